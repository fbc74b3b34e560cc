"""Builder of ``EdgeProduct`` on a fixed graph, for the worker ``timer.py``."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.nn import EdgeProduct, edge_frames


class EdgeSum(nn.Module):
    """Features (P, dim) → (P, dim); edge vectors and weights are parameters, so that gradients reach them."""

    def __init__(self, build: dict[str, Any]) -> None:
        super().__init__()
        irreps = Irreps.natural(build["lmax"], build["channels"])
        began = time.perf_counter()
        self.product = EdgeProduct(irreps, build["lmax"], irreps)
        self.facts = {"construct_s": time.perf_counter() - began}
        generator = torch.Generator().manual_seed(0)
        edges = build["edges"]
        self.vectors = nn.Parameter(torch.randn(edges, 3, generator=generator))
        self.weights = nn.Parameter(torch.randn(edges, self.product.weight_numel, generator=generator))
        self.register_buffer("edge_index", torch.randint(build["points"], (2, edges), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        frames = edge_frames(self.vectors, self.product.lmax)
        return self.product(x, frames, self.weights, self.get_buffer("edge_index"))


def build_edge(build: dict[str, Any]) -> EdgeSum:
    """The layer; ``facts`` tell the seconds of its construction and of its first pass, which compiles."""
    layer = EdgeSum(build)
    began = time.perf_counter()
    layer(torch.randn(build["points"], layer.product.irreps_in.dim, requires_grad=True)).sum().backward()
    layer.facts["first_s"] = time.perf_counter() - began
    layer.zero_grad()
    return layer


BUILDERS = {"edge": build_edge}
