"""Builder of e3nn's tensor product with spherical harmonics on a fixed graph, for the worker ``timer.py``.

Runs in any environment with e3nn; imports nothing of armillary. The map is that of ``edge_layers`` in e3nn's own basis
and layout: the same paths, weights of the edges, sums over paths and over neighbours.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from e3nn import o3
from torch import Tensor, nn


class EdgeSum(nn.Module):
    """Features (P, dim) → (P, dim); edge vectors and weights are parameters, so that gradients reach them."""

    def __init__(self, build: dict[str, Any]) -> None:
        super().__init__()
        lmax = build["lmax"]
        irreps = o3.Irreps([(build["channels"], (l, (-1) ** l)) for l in range(lmax + 1)])
        began = time.perf_counter()
        self.harmonics = o3.Irreps.spherical_harmonics(lmax)
        self.product = o3.TensorProduct(
            irreps,
            self.harmonics,
            irreps,
            [(i, l2, o, "uvu", True) for i, l2, o in build["paths"]],
            irrep_normalization="component",
            path_normalization="none",
            shared_weights=False,
            internal_weights=False,
        )
        self.facts = {"construct_s": time.perf_counter() - began}
        generator = torch.Generator().manual_seed(0)
        edges = build["edges"]
        self.vectors = nn.Parameter(torch.randn(edges, 3, generator=generator))
        self.weights = nn.Parameter(torch.randn(edges, self.product.weight_numel, generator=generator))
        self.register_buffer("edge_index", torch.randint(build["points"], (2, edges), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        source, target = self.get_buffer("edge_index")
        harmonics = o3.spherical_harmonics(self.harmonics, self.vectors, True, "component")
        y = self.product(x[source], harmonics, self.weights)
        return y.new_zeros(x.shape[0], y.shape[1]).index_add(0, target, y)


def build_edge(build: dict[str, Any]) -> EdgeSum:
    """The layer; ``facts`` tell the seconds of its construction and of its first pass."""
    layer = EdgeSum(build)
    began = time.perf_counter()
    layer(torch.randn(build["points"], layer.product.irreps_in1.dim, requires_grad=True)).sum().backward()
    layer.facts["first_s"] = time.perf_counter() - began
    layer.zero_grad()
    return layer


BUILDERS = {"edge": build_edge}
