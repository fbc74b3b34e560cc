"""Steerable point convolutions with residuals: what the comparison of steerable graph networks calls SE linear and SE
non-linear.

Shape legend: P points, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.models.segnn import (
    PairMessages,
    SteerableMLP,
    check_graph,
    chosen,
    node_attributes,
    steerable_attributes,
)
from armillary.nn.gate import Gate
from armillary.nn.radial import lengths
from armillary.ops.integers import checked_integer, checked_positive


class SEConv(nn.Module):
    """A network of steerable point convolutions: messages as of ``SEGNN``, and a gate in place of its update networks.

        f_i = W_{a_i} x_i at first,        f_i += gate(Σ_j W_{a_ij} [f_i, f_j, |x_ij|, s_ij])             "linear"
                                           f_i += gate(Σ_j W_{a_ij} φ([f_i, f_j, |x_ij|, s_ij], a_ij))    "nonlinear"

    in ``layers`` layers, φ one gated layer, W tensor products. Attributes are those of ``SEGNN``; those of points steer
    the first map and the ``SteerableMLP`` for the output alone. The linear convolution is one matrix that is linear in
    harmonics of the direction: the distance adds to a message and does not weigh it, unlike that of ``SEGNN`` with
    ``messages="linear"``, and the only nonlinearity of a layer is that of the sum.

    ``neighbours`` divides the sums. Shapes: features x (P, irreps_in.dim), positions (P, 3), edge_index (2, E),
    edge_scalars s (E, edge_scalars), node_vectors (P, K, 3) → (P, irreps_out.dim).
    Symmetry: commutes with O(3) to rounding, does not change under translations. Twice differentiable in the positions.
    Raises: ValueError for layers < 1, another convolution, an irrep that no path reaches, or shapes that do not fit.
    Source: SE linear and SE non-linear of Brandstetter et al. 2022, arXiv 2110.02905, table 1, as the code of its
    authors has them, in our own normalisation; pinned by ``tests/models/test_seconv.py``.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_out: Irreps | str,
        hidden: Irreps | str = "32x0e+16x1o",
        *,
        convolution: Literal["linear", "nonlinear"] = "nonlinear",
        lmax: int = 1,
        layers: int = 4,
        edge_scalars: int = 0,
        neighbours: float = 1.0,
    ) -> None:
        super().__init__()
        chosen("convolution", convolution, ("linear", "nonlinear"))
        checked_integer("layers", layers, 1)
        self.irreps_in, self.irreps_out, self.hidden = Irreps(irreps_in), Irreps(irreps_out), Irreps(hidden)
        self.lmax, self.edge_scalars = (
            checked_integer("lmax", lmax, 0),
            checked_integer("edge_scalars", edge_scalars, 0),
        )
        self.convolution, self.in_channels = convolution, self.irreps_in.dim
        self.neighbours = checked_positive("neighbours", neighbours)
        attributes, self.gate = Irreps.natural(self.lmax), Gate(self.hidden)
        before: Sequence[Irreps] = [] if convolution == "linear" else [self.hidden]
        widths = [*before, self.gate.irreps_in]
        self.embedding = SteerableMLP(self.irreps_in, attributes, [self.hidden], "linear")
        self.messages = nn.ModuleList(
            PairMessages(self.hidden, widths, attributes, 1 + self.edge_scalars, "linear") for _ in range(layers)
        )
        self.head = SteerableMLP(self.hidden, attributes, [self.hidden, self.irreps_out], "linear")

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        edge_index: Tensor,
        edge_scalars: Tensor | None = None,
        node_vectors: Tensor | None = None,
    ) -> Tensor:
        check_graph(self, features, positions, edge_index, edge_scalars, node_vectors)
        source, target = edge_index
        r = positions[source] - positions[target]
        d = lengths(r)[:, None]
        scalars = d if edge_scalars is None else torch.cat([d, edge_scalars], 1)
        of_edges = steerable_attributes(r[:, None], self.lmax)
        of_nodes = node_attributes(of_edges, target, positions, node_vectors, self.lmax)
        f = self.embedding(features, of_nodes)
        for messages in self.messages:
            f = f + self.gate(messages(f, scalars, of_edges, edge_index) / self.neighbours)
        return self.head(f, of_nodes)

    def extra_repr(self) -> str:
        return f"{self.irreps_in} → {self.irreps_out}, {self.convolution} convolutions, neighbours={self.neighbours:g}"
