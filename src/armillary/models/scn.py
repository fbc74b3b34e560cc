"""Spherical channel networks: atoms carry functions on the sphere, and edges act on them in their own frame.

Shape legend: P atoms, E edges, C channels, N = (L + 1)² coefficients by degree, K of them with |m| ≤ M in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models.forces import ElementEmbedding, structure_of
from armillary.models.scn_messages import DenseMessage, TurnedMessage
from armillary.nn.dense import dense
from armillary.nn.edge_frames import edge_frames
from armillary.nn.edge_rotation import EdgeRotation
from armillary.nn.nearest import NearestWeights
from armillary.nn.radial import BesselBasis, PolynomialCutoff, lengths
from armillary.nn.sphere_pointwise import SpherePointwise, sphere_functions
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.sums import sum_by
from armillary.spaces import GaussLegendre

Message = Literal["escn", "scn"]


class _Edges(NamedTuple):
    """Edges whose messages have one degree l ≤ L', N' = (L' + 1)²."""

    source: Tensor
    target: Tensor
    Q: Tensor
    """(E, K, N')."""
    back: Tensor
    """Its transpose, times the weight of the edge in the sum."""
    features: Tensor

    def heard(self, x: Tensor, message: nn.Module) -> Tensor:
        """The sums of messages at each atom, (P, N, C), of functions x (P, N, C)."""
        rows, count = message.rows, self.Q.shape[-1]
        part = x if count == x.shape[1] else x[:, :count]
        pair = torch.cat([part.index_select(0, self.source), part.index_select(0, self.target)], -1)
        sent = self.back[..., :rows] @ message(pair, self.Q[:, :rows], self.features)
        found = sum_by(self.target, sent, len(x))
        return found if count == x.shape[1] else nn.functional.pad(found, (0, 0, 0, x.shape[1] - count))


class SCN(ConstantModule):
    """Energies, and forces by a head of their own, from atoms that carry C functions on the sphere of degree ≤ L.

        x_i ← x_i + P(Σ_{j ∈ N(i)} u(d_ij) m_ij / √n, x_i),     E = s Σ_i (mean_n f(x_i(n)) + b_{z_i})

    m are ``message``\\ s in the frame of the edge, cut off at orders |m| ≤ M: "escn", which commute with rotations, or
    "scn", which follow the frame. P is a dense network of two layers on the grid of ``SpherePointwise``. u is the
    ``PolynomialCutoff``; the features of an edge are Bessel functions of its length and embeddings of both elements. f
    is a dense network: at 128 directions ("directions"; more for L > 3), or of the mean of the functions alone
    ("mean"); b numbers of each element. Coincident atoms hear nothing of each other. ``neighbours`` n, the mean number,
    and ``scale`` s, the unit of energy, are measured on data.
    ``reflections``: whether messages of eSCN commute with these too, or use the full map of SO(3).
    ``taps``: turns of the frame about the edge over which messages of SCN are averaged (``DenseMessage``).

    With ``nearest`` and ``far_degree`` L' only the ``nearest`` neighbours of an atom, by distance, send messages of
    degree L: m_ij = t m^L_ij + (1 - t) m^L'_ij, networks with weights of their own, t the ``NearestWeights`` with
    ``blend`` for its width. Edges of t = 0 are computed at degree L' and orders |m| ≤ min(M, L') alone, those of t = 1
    at L and M alone. In the published network t is 1 or 0 by rank and its energy jumps where two neighbours change
    ranks; here t goes from one to the other while a neighbour becomes farther, by ``blend``, than ``nearest`` others,
    and energies keep two continuous derivatives. ``blend`` → 0 is the published form.

    Shapes: charges (P,) int64, vectors (E, 3) in the unit of ``cutoff``, edge_index (2, E), batch (P,) → (structures,).
    ``energies_and_forces`` gives the forces of the head, (P, 3), too: ``F_i = 3s mean_n n g(x_i(n))``.
    Symmetry: invariant under translations and the order of atoms and edges; under rotations up to the aliasing of the
    grid ("escn": ``rings`` lowers it) or up to what frames do ("scn", M > 0). Twice differentiable, except where a
    frame of "scn" jumps.
    Raises: ValueError for sizes out of range, and atoms of other ``elements``.
    Source: Zitnick et al. 2022, arXiv 2206.14331; Passaro & Zitnick 2023, arXiv 2302.03655; pinned by
    ``tests/models/test_scn.py``.
    """

    def __init__(
        self,
        elements: Sequence[int],
        channels: int = 32,
        layers: int = 3,
        lmax: int = 2,
        mmax: int | None = None,
        cutoff: float = 5.0,
        *,
        message: Message = "escn",
        hidden: int | None = None,
        radial: int = 8,
        features: int = 32,
        rings: int | None = None,
        head: Literal["directions", "mean"] = "directions",
        forces: bool = False,
        reflections: bool = True,
        neighbours: float = 10.0,
        scale: float = 1.0,
        nearest: int | None = None,
        far_degree: int | None = None,
        blend: float = 0.5,
        taps: int = 1,
    ) -> None:
        super().__init__()
        if message not in ("escn", "scn") or head not in ("directions", "mean"):
            raise ValueError(f"got message = {message!r}, head = {head!r}; wanted escn or scn, directions or mean.")
        checked_integer("layers", layers, 1)
        self.lmax, self.channels, self.head = lmax, checked_integer("channels", channels, 1), head
        self.mmax = checked_integer("mmax", lmax if mmax is None else mmax, 0, lmax, why=", lmax")
        if checked_integer("taps", taps, 1) > 1 and (message == "escn" or not self.mmax):
            raise ValueError(f"got taps = {taps}, wanted 1: messages of eSCN, and of m = 0 alone, do not see turns.")
        if (nearest is None) != (far_degree is None):
            raise ValueError(f"got nearest = {nearest} and far_degree = {far_degree}, wanted both or neither.")
        self.neighbours, self.scale = checked_positive("neighbours", neighbours), checked_positive("scale", scale)
        self.rotation = EdgeRotation(Irreps.natural(lmax), self.mmax)
        self.embedding = ElementEmbedding(elements, channels)
        self.shift = ElementEmbedding(elements, 1)
        nn.init.zeros_(self.shift.embedding.weight)
        self.ends = ElementEmbedding(elements, 2 * radial)  # of source and target, beside the radial functions
        self.radial, self.envelope = BesselBasis(radial, cutoff), PolynomialCutoff(cutoff)
        width = checked_integer("hidden", channels if hidden is None else hidden, 1)
        self.edges = nn.Sequential(nn.Linear(3 * radial, features), nn.SiLU())

        def messages(lmax: int, mmax: int) -> nn.ModuleList:
            # At first atoms carry scalars, which have m = 0 alone in any frame: eSCN needs no more rows there.
            orders = [0 if message == "escn" else mmax, *[mmax] * (layers - 1)]
            return nn.ModuleList(
                TurnedMessage(lmax, m, channels, width, features, reflections)
                if message == "escn"
                else DenseMessage(lmax, m, channels, width, features, taps if m else 1)
                for m in orders
            )

        self.messages = messages(lmax, self.mmax)
        self.updates = nn.ModuleList(
            SpherePointwise(dense(2 * channels, channels, channels), lmax, rings) for _ in range(layers)
        )
        self.energy = dense(channels, channels, 1)
        self.force = dense(channels, channels, 1) if forces else None
        self.nearest: NearestWeights | None = None
        if nearest is not None and far_degree is not None:
            self.nearest = NearestWeights(nearest, blend)
            low = checked_integer("far_degree", far_degree, 0, lmax, why=", lmax")
            self.far_rotation = EdgeRotation(Irreps.natural(low), min(low, self.mmax))
            self.far_messages = messages(low, min(low, self.mmax))
        with torch.device("cpu"):
            side = max(8, 2 * (lmax + 1))
            grid = GaussLegendre(side, 2 * side)
            directions = grid.points.flatten(0, 1)
            self.register_constant("directions", directions)
            self.register_constant("weights", grid.quadrature.expand(grid.shape).flatten() / (4 * math.pi))
            self.register_constant("to_directions", sphere_functions(lmax, directions))

    def forward(
        self, charges: Tensor, vectors: Tensor, edge_index: Tensor, batch: Tensor | None = None, structures: int = 1
    ) -> Tensor:
        x = self.functions(charges, vectors, edge_index)
        return self._energies(self._values(x), charges, batch, structures)

    def energies_and_forces(
        self, charges: Tensor, vectors: Tensor, edge_index: Tensor, batch: Tensor | None = None, structures: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Energies (structures,) and the forces of the head (P, 3). Raises: ValueError where there is no such head."""
        if self.force is None:
            raise ValueError("this SCN has no head of forces: build it with forces=True, or use ConservativeForces.")
        x = self.functions(charges, vectors, edge_index)
        at_directions = self.constant("to_directions", x) @ x
        pushes = self.force(at_directions)[..., 0] * self.constant("weights", x)
        forces = 3 * self.scale * (pushes @ self.constant("directions", x))
        values = at_directions if self.head == "directions" else self._values(x)
        return self._energies(values, charges, batch, structures), forces

    def functions(self, charges: Tensor, vectors: Tensor, edge_index: Tensor) -> Tensor:
        """The functions that atoms carry after the last layer, (P, N, C)."""
        d = lengths(vectors)
        groups = self._groups(charges, vectors, d, edge_index)
        scalars = self.embedding(charges)[:, None]
        x = torch.cat([scalars, scalars.new_zeros(len(charges), (self.lmax + 1) ** 2 - 1, self.channels)], 1)
        kinds = [self.messages] if self.nearest is None else [self.messages, self.far_messages]
        for layer, update in enumerate(self.updates):
            heard = [edges.heard(x, messages[layer]) for edges, messages in zip(groups, kinds, strict=True)]
            x = x + update(torch.cat([sum(heard[1:], heard[0]), x], -1))
        return x

    def _groups(self, charges: Tensor, vectors: Tensor, d: Tensor, edge_index: Tensor) -> list[_Edges]:
        """All edges; or those to the nearest atoms, and those to the others, which share edges between the two."""
        # Between coincident atoms there is no direction: whatever they told each other would not turn with the rest.
        weights = self.envelope(d) * (d > 0) / math.sqrt(self.neighbours)
        if self.nearest is None:
            return [self._edges(charges, vectors, d, edge_index, weights, self.rotation)]
        t, found = self.nearest(d, edge_index[1]), []
        for share, rotation in ((t, self.rotation), (1 - t, self.far_rotation)):
            if torch.compiler.is_compiling():  # no size may depend on the data: edges with a share of 0 remain
                own = torch.arange(len(d), device=d.device)
            else:
                own = share.detach().nonzero()[:, 0]
            r, own_d, own_weights = (a.index_select(0, own) for a in (vectors, d, weights * share))
            found.append(self._edges(charges, r, own_d, edge_index.index_select(1, own), own_weights, rotation))
        return found

    def _edges(
        self, charges: Tensor, vectors: Tensor, d: Tensor, edge_index: Tensor, weights: Tensor, rotation: EdgeRotation
    ) -> _Edges:
        source, target = edge_index
        Q = rotation.matrices(edge_frames(vectors, rotation.lmax))
        ends_S, ends_T = self.ends(charges).chunk(2, 1)
        features = self.edges(
            torch.cat([self.radial(d), ends_S.index_select(0, source), ends_T.index_select(0, target)], 1)
        )
        return _Edges(source, target, Q, (Q * weights[:, None, None]).mT, features)

    def _values(self, x: Tensor) -> Tensor:
        """What the head sees: (P, directions, C), or the means (P, 1, C)."""
        return self.constant("to_directions", x) @ x if self.head == "directions" else x[:, :1]

    def _energies(self, values: Tensor, charges: Tensor, batch: Tensor | None, structures: int) -> Tensor:
        weights = self.constant("weights", values) if self.head == "directions" else values.new_ones(1)
        atoms = self.energy(values)[..., 0] @ weights + self.shift(charges)[:, 0]
        return sum_by(structure_of(charges, batch), self.scale * atoms, structures)

    def extra_repr(self) -> str:
        return f"head={self.head!r}, neighbours={self.neighbours:g}, scale={self.scale:g}"
