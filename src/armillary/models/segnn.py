"""Steerable graph networks: messages and updates are MLPs steered by attributes of edges and nodes.

Shape legend: P points, E edges, G graphs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn.edge_checks import check_edges
from armillary.nn.gate import Gate
from armillary.nn.radial import lengths
from armillary.nn.tensor_product import TensorProduct
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.real_harmonics import spherical_harmonics
from armillary.ops.sums import mean_by, sum_by


def steerable_attributes(vectors: Tensor, lmax: int) -> Tensor:
    """``Σ_k √4π Y_lm(v_k / |v_k|)``, l ≤ lmax: (..., K, 3) → (..., (lmax + 1)²), features of ``Irreps.natural(lmax)``.

    The steerable attributes of points or edges that several vectors describe (Brandstetter et al. 2022, section 2); a
    zero vector adds its Y_00 alone. Raises: ValueError as ``spherical_harmonics``.
    """
    return math.sqrt(4 * math.pi) * spherical_harmonics(lmax, vectors).sum(-2)


def centred(positions: Tensor, batch: Tensor | None = None, graphs: int = 1) -> Tensor:
    """Positions (P, 3) minus the mean of their graph, of which ``batch`` (P,) has the number; None: one graph.

    Commutes with rotations and does not see translations.
    """
    if batch is None:
        return positions - positions.mean(0, keepdim=True)
    return positions - mean_by(batch, positions, graphs)[batch]


def centred_as_published(positions: Tensor) -> Tensor:
    """Each point (P, 3) minus the mean of its own three coordinates, as the published N-body code has it.

    It does not commute with rotations, and takes no translation away: networks of such features are not equivariant.
    Here to reproduce that code; ``centred`` is what was meant.
    """
    return positions - positions.mean(-1, keepdim=True)


class SteerableMLP(nn.Module):
    """Layers ``x ↦ gate(W_a x + b)``: matrices W_a linear in a steerable attribute a, biases on scalars.

    ``W_a x`` is a ``TensorProduct``; gates take SiLU of scalars and multiply all else by sigmoids of scalars.
    ``widths`` are the irreps after each layer; with ``last="linear"`` the last has no gate.

    Shapes: x (N, irreps_in.dim), a (N, attributes.dim) → (N, widths[-1].dim). Commutes with O(3) to rounding.
    Raises: ValueError for no widths, an irrep that no path reaches, or shapes that do not fit.
    Source: Brandstetter et al. 2022, arXiv 2110.02905, section 3; pinned by ``tests/models/test_segnn.py``.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        attributes: Irreps | str,
        widths: Sequence[Irreps | str],
        last: Literal["gated", "linear"] = "gated",
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("got no widths, wanted the irreps after each layer.")
        if last not in ("gated", "linear"):
            raise ValueError(f"got last = {last!r}, wanted 'gated' or 'linear'.")
        gated = [Gate(Irreps(width)) for width in (widths if last == "gated" else widths[:-1])]
        ends = [gate.irreps_in for gate in gated] + ([] if last == "gated" else [Irreps(widths[-1])])
        starts = [Irreps(irreps_in), *map(Irreps, widths[:-1])]
        self.irreps_in, self.irreps_out = starts[0], Irreps(widths[-1])
        self.products = nn.ModuleList(
            TensorProduct(a, attributes, b, bias=O3Irrep(0, 1) in b) for a, b in zip(starts, ends, strict=True)
        )
        self.gates = nn.ModuleList([*gated, *([] if last == "gated" else [nn.Identity()])])

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        for product, gate in zip(self.products, self.gates, strict=True):
            x = gate(product(x, a))
        return x

    def of_mixed(self, mixed: Sequence[Tensor | None], a: Tensor) -> Tensor:
        """The output, from what ``products[0].mix`` made of x."""
        first, *rest = zip(self.products, self.gates, strict=True)
        x = first[1](cast(TensorProduct, first[0]).contract(mixed, a))
        for product, gate in rest:
            x = gate(product(x, a))
        return x


class PairMessages(nn.Module):
    """``Σ_j φ([f_i, f_j, s_ij], a_ij)``, φ a ``SteerableMLP`` of the given widths, s_ij scalars of the edge.

    The first layer mixes channels of f at points, before they go to the edges. Shapes: f (P, irreps.dim), scalars
    (E, S), attributes (E, attributes.dim), edge_index (2, E) → (P, widths[-1].dim).
    """

    def __init__(
        self,
        irreps: Irreps,
        widths: Sequence[Irreps],
        attributes: Irreps,
        scalars: int,
        last: Literal["gated", "linear"] = "gated",
    ) -> None:
        super().__init__()
        inputs = irreps + irreps + Irreps([(scalars, O3Irrep(0, 1))])
        self.mlp, self.streams = SteerableMLP(inputs, attributes, widths, last), len(irreps)

    def forward(self, f: Tensor, scalars: Tensor, attributes: Tensor, edge_index: Tensor) -> Tensor:
        first, n = cast(TensorProduct, self.mlp.products[0]), self.streams
        of_point, of_neighbour = first.mix(f, 0, n), first.mix(f, n, 2 * n)
        of_edge = first.mix(scalars, 2 * n)
        mixed: list[Tensor | None] = []
        for point, neighbour, edge in zip(of_point, of_neighbour, of_edge, strict=True):
            mixed.append(edge)
            if point is not None and neighbour is not None:  # f has this irrep
                both = point[edge_index[1]] + neighbour[edge_index[0]]
                mixed[-1] = both if edge is None else both + edge
        return sum_by(edge_index[1], self.mlp.of_mixed(mixed, attributes), len(f))


class NonlinearMessages(PairMessages):
    """``PairMessages`` of two gated layers."""

    def __init__(self, irreps: Irreps, messages: Irreps, attributes: Irreps, scalars: int) -> None:
        super().__init__(irreps, [messages, messages], attributes, scalars)


class LinearMessages(nn.Module):
    """``Σ_j W(s_ij, a_ij) f_j``: linear in the features, as steerable convolutions (tensor field networks) have them.

    W is a ``TensorProduct`` whose paths and channels are weighted by an MLP of the scalars of the edge, its length
    among them: where lengths are not of order one, each layer multiplies features by them. Shapes as for
    ``NonlinearMessages``.
    """

    def __init__(self, irreps: Irreps, messages: Irreps, attributes: Irreps, scalars: int, hidden: int = 32) -> None:
        super().__init__()
        self.product = TensorProduct(irreps, attributes, messages)
        self.sizes = [weight.shape[1] for weight in self.product.weights]
        self.radial = nn.Sequential(nn.Linear(scalars, hidden), nn.SiLU(), nn.Linear(hidden, sum(self.sizes)))

    def forward(self, f: Tensor, scalars: Tensor, attributes: Tensor, edge_index: Tensor) -> Tensor:
        weights = self.radial(scalars)[:, None].split(self.sizes, -1)
        mixed = [h[edge_index[0]] * w for h, w in zip(self.product.mix(f), weights, strict=True) if h is not None]
        return sum_by(edge_index[1], self.product.contract(mixed, attributes), len(f))


class SEGNN(nn.Module):
    """Steerable E(3) equivariant graph network.

        f_i = W_{a_i} x_i at first,        m_ij = φ_2(φ_1([f_i, f_j, |x_ij|, s_ij], a_ij), a_ij),
        f_i += U_2(U_1([f_i, Σ_j m_ij], a_i), a_i)

    in ``layers`` layers, and a ``SteerableMLP`` for the output. All layers are gated but the embedding, U_2 and the
    last. Attributes are harmonics of degree ≤ ``lmax``: a_ij = Y(x_j - x_i), or its mean with Y(v) of vectors v
    of the edge, and a_i = mean_j a_ij, or its mean with Y(v) of vectors v of the point, such as its velocity or the
    force on it.

    Every ablation of the paper is a choice here. ``messages="linear"`` makes the messages linear in f_j.
    ``neighbours`` divides the sums of messages: about as many as points have keeps features of order one.
    ``sent``: the irreps of a message, by default ``hidden``; scalars alone are invariant messages. ``attributes``:
    ``"both"``, or ``"edges"``: a_i = 1, so that updates are not steered. With ``lmax=0`` and scalars everywhere it is
    an invariant network.

    Shapes: features x (P, irreps_in.dim), positions (P, 3), edge_index (2, E), edge_scalars s (E, edge_scalars),
    node_vectors (P, K, 3), edge_vectors (E, K', 3) → (P, irreps_out.dim), or (graphs, irreps_out.dim) with ``pool``
    "sum" or "mean" over the points of each graph, whose number is in ``batch`` (P,).
    Positions enter by differences alone: what is to see where a point lies takes ``centred`` positions as features.

    Symmetry: commutes with O(3) to rounding, does not change under translations. Twice differentiable in the positions.
    Raises: ValueError for layers < 1, choices that are none, an irrep that no path reaches, or shapes that do not fit.
    Source: Brandstetter et al. 2022, arXiv 2110.02905; pinned by ``tests/models/test_segnn.py``.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_out: Irreps | str,
        hidden: Irreps | str = "32x0e+16x1o",
        *,
        lmax: int = 1,
        layers: int = 4,
        messages: Literal["nonlinear", "linear"] = "nonlinear",
        sent: Irreps | str | None = None,
        attributes: Literal["both", "edges"] = "both",
        edge_scalars: int = 0,
        neighbours: float = 1.0,
        pool: Literal["none", "sum", "mean"] = "none",
    ) -> None:
        super().__init__()
        self.lmax, self.edge_scalars = (
            checked_integer("lmax", lmax, 0),
            checked_integer("edge_scalars", edge_scalars, 0),
        )
        checked_integer("layers", layers, 1)
        chosen("messages", messages, ("nonlinear", "linear"))
        chosen("attributes", attributes, ("both", "edges"))
        chosen("pool", pool, ("none", "sum", "mean"))
        self.irreps_in, self.irreps_out, self.hidden = Irreps(irreps_in), Irreps(irreps_out), Irreps(hidden)
        self.neighbours = checked_positive("neighbours", neighbours)
        self.attributes, self.pool, self.in_channels = attributes, pool, self.irreps_in.dim
        sent = self.hidden if sent is None else Irreps(sent)
        of_edges = Irreps.natural(self.lmax)
        of_nodes = of_edges if attributes == "both" else Irreps("0e")
        kind = NonlinearMessages if messages == "nonlinear" else LinearMessages
        self.embedding = SteerableMLP(self.irreps_in, of_nodes, [self.hidden], "linear")
        self.messages = nn.ModuleList(kind(self.hidden, sent, of_edges, 1 + self.edge_scalars) for _ in range(layers))
        self.updates = nn.ModuleList(
            SteerableMLP(self.hidden + sent, of_nodes, [self.hidden, self.hidden], "linear") for _ in range(layers)
        )
        self.head = SteerableMLP(self.hidden, of_nodes, [self.hidden, self.irreps_out], "linear")

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        edge_index: Tensor,
        edge_scalars: Tensor | None = None,
        node_vectors: Tensor | None = None,
        edge_vectors: Tensor | None = None,
        batch: Tensor | None = None,
        graphs: int | None = None,
    ) -> Tensor:
        self._check(features, positions, edge_index, edge_scalars, node_vectors, edge_vectors)
        source, target = edge_index
        r = positions[source] - positions[target]
        d = lengths(r)[:, None]
        scalars = d if edge_scalars is None else torch.cat([d, edge_scalars], 1)
        vectors = r[:, None] if edge_vectors is None else torch.cat([r[:, None], edge_vectors], 1)
        of_edges = steerable_attributes(vectors, self.lmax) / vectors.shape[1]
        of_nodes = self._node_attributes(of_edges, target, positions, node_vectors)
        f = self.embedding(features, of_nodes)
        for messages, update in zip(self.messages, self.updates, strict=True):
            received = messages(f, scalars, of_edges, edge_index) / self.neighbours
            f = f + update(torch.cat([f, received], 1), of_nodes)
        y = self.head(f, of_nodes)
        if self.pool == "none":
            return y
        batch = edge_index.new_zeros(len(y)) if batch is None else batch
        if batch.shape != y.shape[:1]:
            raise ValueError(f"batch has shape {tuple(batch.shape)}, wanted ({len(y)},), the graph of each point.")
        if graphs is None:
            graphs = int(batch.max()) + 1 if len(batch) else 0
        return (sum_by if self.pool == "sum" else mean_by)(batch, y, graphs)

    def _node_attributes(self, a: Tensor, target: Tensor, positions: Tensor, vectors: Tensor | None) -> Tensor:
        if self.attributes == "edges":
            return torch.ones_like(positions[:, :1])
        return node_attributes(a, target, positions, vectors, self.lmax)

    def _check(
        self,
        x: Tensor,
        positions: Tensor,
        edges: Tensor,
        scalars: Tensor | None,
        vectors: Tensor | None,
        of_edges: Tensor | None,
    ) -> None:
        check_graph(self, x, positions, edges, scalars, vectors)
        if of_edges is not None and (of_edges.ndim != 3 or of_edges.shape[::2] != (edges.shape[1], 3)):
            raise ValueError(f"edge_vectors have shape {tuple(of_edges.shape)}, wanted ({edges.shape[1]}, K, 3).")
        if vectors is not None and self.attributes == "edges":
            raise ValueError('node_vectors came to a network with attributes="edges", which does not look at them.')


def node_attributes(a: Tensor, target: Tensor, positions: Tensor, vectors: Tensor | None, lmax: int) -> Tensor:
    """The mean of the attributes a (E, ·) of the edges to each point, or its mean with those of K vectors (P, K, 3)."""
    mean = mean_by(target, a, len(positions))
    if vectors is None:
        return mean
    return (mean + steerable_attributes(vectors, lmax)) / (1 + vectors.shape[1])


class _Graphs(Protocol):
    irreps_in: Irreps
    edge_scalars: int


def check_graph(
    network: _Graphs, x: Tensor, positions: Tensor, edges: Tensor, scalars: Tensor | None, vectors: Tensor | None
) -> None:
    """Raises: ValueError unless features, positions, edges, scalars of edges and vectors of points fit a network."""
    network.irreps_in.check(x, type(network).__name__)
    if x.ndim != 2 or positions.shape != (len(x), 3):
        raise ValueError(
            f"features have shape {tuple(x.shape)} and positions {tuple(positions.shape)}, wanted (P, "
            f"{network.irreps_in.dim}) and (P, 3)."
        )
    check_edges(x, edges)
    got = 0 if scalars is None else scalars.shape[-1]
    if got != network.edge_scalars or (scalars is not None and scalars.shape != (edges.shape[1], got)):
        raise ValueError(
            f"edge_scalars have shape {None if scalars is None else tuple(scalars.shape)}, wanted "
            f"({edges.shape[1]}, {network.edge_scalars}): pass edge_scalars={got} to the constructor, or others here."
        )
    if vectors is not None and (vectors.ndim != 3 or vectors.shape[::2] != positions.shape):
        raise ValueError(f"node_vectors have shape {tuple(vectors.shape)}, wanted ({len(x)}, K, 3).")


def chosen(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises: ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"got {name} = {value!r}, wanted one of {', '.join(choices)}.")
