"""Spherical channel networks: atoms carry functions on the sphere, and edges act on them in their own frame.

Shape legend: P atoms, E edges, C channels, N = (L + 1)² coefficients by degree, K of them with |m| ≤ M in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models.forces import ElementEmbedding, structure_of, sum_by
from armillary.nn.dense import dense
from armillary.nn.edge_frames import edge_frames
from armillary.nn.edge_orders import OrderGate, OrderLinear
from armillary.nn.edge_rotation import EdgeRotation
from armillary.nn.radial import BesselBasis, PolynomialCutoff, lengths
from armillary.nn.sphere_pointwise import SpherePointwise, sphere_functions
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.spaces import GaussLegendre

Message = Literal["escn", "scn"]


class TurnedMessage(nn.Module):
    """The message of eSCN: two SO(2)-wise linear maps with gates between them, in the frame of the edge.

        z = Q_e [x_j, x_i] ∘ w(e),     m_e = Q_eᵀ B(gate(A(z)))

    w(e), a number for each degree and channel, is a network of the edge's features. Commutes with rotations exactly,
    and with reflections where ``reflections``. Shapes: x (P, N, C), Q (E, K, N), features (E, F) → (E, N, C).
    Source: Passaro & Zitnick 2023, arXiv 2302.03655, section 3; pinned by ``tests/models/test_scn.py``.
    """

    def __init__(self, lmax: int, mmax: int, channels: int, hidden: int, features: int, reflections: bool) -> None:
        super().__init__()
        self.channels = channels
        self.gate = OrderGate(lmax, mmax, hidden)
        start, gated, middle, end = (
            EdgeRotation(irreps, mmax)
            for irreps in (
                Irreps.natural(lmax, 2 * channels),
                self.gate.irreps_in,
                self.gate.irreps,
                Irreps.natural(lmax, channels),
            )
        )
        self.mix = OrderLinear(start, gated, reflections=reflections)
        self.out = OrderLinear(middle, end, reflections=reflections)
        self.weigh = _EdgeWeights(lmax, mmax, features, 2 * channels)

    def forward(self, pair: Tensor, Q: Tensor, features: Tensor) -> Tensor:
        z = self.mix(self.weigh(Q @ pair, features).flatten(1))
        return self.out(self.gate(z)).unflatten(1, (-1, self.channels))


class DenseMessage(nn.Module):
    """The message of SCN: a dense network of all coefficients in the frame of the edge, gated by the edge's features.

        m_e = Q_eᵀ B SiLU(w(e) ∘ A(Q_e [x_j, x_i]))

    Coefficients of m ≠ 0 depend on the turn of the frame about the edge, and a dense network does not commute with it:
    for M > 0 the message follows the choice of frames, which ``nn.edge_frames`` makes the same in every run, and
    which jumps where an edge crosses the xy-plane. Shapes as of ``TurnedMessage``.
    Source: Zitnick et al. 2022, arXiv 2206.14331, section 3.2; pinned by ``tests/models/test_scn.py``.
    """

    def __init__(self, lmax: int, mmax: int, channels: int, hidden: int, features: int) -> None:
        super().__init__()
        self.rows = EdgeRotation(Irreps.natural(lmax), mmax).size
        self.mix = nn.Linear(self.rows * 2 * channels, hidden)
        self.weigh = dense(features, features, hidden)
        self.out = nn.Linear(hidden, self.rows * channels)

    def forward(self, pair: Tensor, Q: Tensor, features: Tensor) -> Tensor:
        z = self.mix((Q @ pair).flatten(1)) * self.weigh(features)
        return self.out(nn.functional.silu(z)).unflatten(1, (self.rows, -1))


class _EdgeWeights(ConstantModule):
    """Multiplies the rows of an edge (E, K, C) by numbers of their degree and channel, a network of its features."""

    def __init__(self, lmax: int, mmax: int, features: int, channels: int) -> None:
        super().__init__()
        self.lmax = lmax
        degrees = [l for l, _ in EdgeRotation(Irreps.natural(lmax), mmax).components]
        self.register_constant("degrees", torch.tensor(degrees, device="cpu"))
        self.network = dense(features, features, (lmax + 1) * channels)

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        weights = self.network(features).unflatten(1, (self.lmax + 1, -1))
        return z * weights.index_select(1, self.constant("degrees", z))


class SCN(ConstantModule):
    """Energies, and forces by a head of their own, from atoms that carry C functions on the sphere of degree ≤ L.

        x_i ← x_i + P(Σ_{j ∈ N(i)} u(d_ij) m_ij / √n, x_i),     E = s Σ_i (mean_n f(x_i(n)) + b_{z_i})

    m are ``message``\\ s in the frame of the edge, cut off at orders |m| ≤ M: "escn", which commute with rotations, or
    "scn", which follow the frame. P is a dense network of two layers on the grid of ``SpherePointwise``. u is the
    ``PolynomialCutoff``; the features of an edge are Bessel functions of its length and embeddings of both elements. f
    is a dense network: at 128 directions ("directions"), or of the mean of the functions alone ("mean"); b numbers of
    each element. ``neighbours`` n, the mean number, and ``scale`` s, the unit of energy, are measured on data.
    ``reflections``: whether messages of eSCN commute with these too, or use the full map of SO(3).

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
    ) -> None:
        super().__init__()
        if message not in ("escn", "scn") or head not in ("directions", "mean"):
            raise ValueError(f"got message = {message!r}, head = {head!r}; wanted escn or scn, directions or mean.")
        if not (0 < neighbours < math.inf and 0 < scale < math.inf):
            raise ValueError(f"got neighbours = {neighbours} and scale = {scale}, wanted numbers > 0.")
        checked_integer("layers", layers, 1)
        self.lmax, self.channels, self.head = lmax, checked_integer("channels", channels, 1), head
        self.mmax = checked_integer("mmax", lmax if mmax is None else mmax, 0, lmax, why=", lmax")
        self.neighbours, self.scale = float(neighbours), float(scale)
        self.rotation = EdgeRotation(Irreps.natural(lmax), self.mmax)
        self.embedding = ElementEmbedding(elements, channels)
        self.shift = ElementEmbedding(elements, 1)
        nn.init.zeros_(self.shift.embedding.weight)
        self.ends = ElementEmbedding(elements, 2 * radial)  # of source and target, beside the radial functions
        self.radial, self.envelope = BesselBasis(radial, cutoff), PolynomialCutoff(cutoff)
        width = checked_integer("hidden", channels if hidden is None else hidden, 1)
        self.edges = nn.Sequential(nn.Linear(3 * radial, features), nn.SiLU())
        # At first atoms carry scalars, which have m = 0 alone in any frame: eSCN needs no more rows there.
        orders = [0 if message == "escn" else self.mmax, *[self.mmax] * (layers - 1)]
        self.messages = nn.ModuleList(
            TurnedMessage(lmax, m, channels, width, features, reflections)
            if message == "escn"
            else DenseMessage(lmax, m, channels, width, features)
            for m in orders
        )
        self.rows = [EdgeRotation(Irreps.natural(lmax), m).size for m in orders]
        self.updates = nn.ModuleList(
            SpherePointwise(dense(2 * channels, channels, channels), lmax, rings) for _ in range(layers)
        )
        self.energy = dense(channels, channels, 1)
        self.force = dense(channels, channels, 1) if forces else None
        with torch.device("cpu"):
            grid = GaussLegendre(8, 16)
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
        source, target = edge_index
        d = lengths(vectors)
        Q = self.rotation.matrices(edge_frames(vectors, self.lmax))
        ends_S, ends_T = self.ends(charges).chunk(2, 1)
        features = self.edges(
            torch.cat([self.radial(d), ends_S.index_select(0, source), ends_T.index_select(0, target)], 1)
        )
        back = (Q * (self.envelope(d) / math.sqrt(self.neighbours))[:, None, None]).mT
        scalars = self.embedding(charges)[:, None]
        x = torch.cat([scalars, scalars.new_zeros(len(charges), (self.lmax + 1) ** 2 - 1, self.channels)], 1)
        for message, update, rows in zip(self.messages, self.updates, self.rows, strict=True):
            pair = torch.cat([x.index_select(0, source), x.index_select(0, target)], -1)
            heard = sum_by(target, back[..., :rows] @ message(pair, Q[:, :rows], features), len(x))
            x = x + update(torch.cat([heard, x], -1))
        return x

    def _values(self, x: Tensor) -> Tensor:
        """What the head sees: (P, directions, C), or the means (P, 1, C)."""
        return self.constant("to_directions", x) @ x if self.head == "directions" else x[:, :1]

    def _energies(self, values: Tensor, charges: Tensor, batch: Tensor | None, structures: int) -> Tensor:
        weights = self.constant("weights", values) if self.head == "directions" else values.new_ones(1)
        atoms = self.energy(values)[..., 0] @ weights + self.shift(charges)[:, 0]
        return sum_by(structure_of(charges, batch), self.scale * atoms, structures)

    def extra_repr(self) -> str:
        return f"head={self.head!r}, neighbours={self.neighbours:g}, scale={self.scale:g}"
