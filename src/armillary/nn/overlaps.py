"""Conservative averages between two partitions of an interval or a circle: the stencils of pooling.

An output cell is the average of the input cells it overlaps, each by the length of the overlap. Few cells overlap, so
the matrix is banded: row o holds ``K`` input indices and weights. Float64 throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from armillary.spaces import SphereGrid

DENSE_LIMIT = 256 * 128  # entries up to which one matrix product is at least as fast as gathering the band


def interval_overlaps(edges_in: Tensor, edges_out: Tensor) -> tuple[Tensor, Tensor]:
    """Index (n_out, K) of the input cells that each output cell overlaps, and the lengths of the overlaps.

    Edges ascend. Rows with fewer than K overlaps are filled up with length 0. Overlaps below 1e-11 of the smallest cell
    are rounding of the edges and count as none.
    """
    n_in = edges_in.numel() - 1
    tiny = 1e-11 * min(edges_in.diff().min().item(), edges_out.diff().min().item())
    low, high = edges_out[:-1], edges_out[1:]
    first = (torch.searchsorted(edges_in, low + tiny, right=True) - 1).clamp(0, n_in - 1)
    last = (torch.searchsorted(edges_in, high - tiny) - 1).clamp(0, n_in - 1)
    band = int((last - first).max()) + 1
    index = first[:, None] + torch.arange(band)
    inside = index <= last[:, None]
    index = index.clamp(max=n_in - 1)
    length = torch.minimum(high[:, None], edges_in[index + 1]) - torch.maximum(low[:, None], edges_in[index])
    return index, torch.where(inside, length.clamp(min=0.0), 0.0)


def ring_overlaps(grid_in: SphereGrid, grid_out: SphereGrid) -> tuple[Tensor, Tensor]:
    """Overlaps of zones, in cos θ: the area two zones share is 2π times the length."""
    return interval_overlaps(-grid_in.cell_edges, -grid_out.cell_edges)


def longitude_overlaps(grid_in: SphereGrid, grid_out: SphereGrid) -> tuple[Tensor, Tensor]:
    """Overlaps of longitude cells centred at the longitudes, periodic, in units of π/(nlon_in·nlon_out).

    Those units make every edge an integer, so cells that touch do not overlap by a rounding error.
    """
    n_in, n_out = grid_in.nlon, grid_out.nlon
    cells_in = torch.arange(-n_in, 2 * n_in + 1, dtype=torch.float64)  # one period more on each side
    cells_out = torch.arange(n_out + 1, dtype=torch.float64)
    index, length = interval_overlaps((2 * cells_in - 1) * n_out, (2 * cells_out - 1) * n_in)
    return (index - n_in) % n_in, length


def dense(index: Tensor, weight: Tensor, n_in: int) -> Tensor:
    """The banded matrix written out, (n_out, n_in)."""
    return torch.zeros(index.shape[0], n_in, dtype=weight.dtype).scatter_add_(1, index, weight)


class _Band(torch.autograd.Function):
    """``y[..., o, ...] = Σ_k weight[o, k] x[..., index[o, k], ...]`` along ``dim``; the gradient gathers too.

    The transpose of a band is a band, so the backward pass needs no scatter: it is deterministic and as fast.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, index: Tensor, weight: Tensor, index_t: Tensor, weight_t: Tensor
    ) -> Tensor:
        ctx.dim = dim
        ctx.save_for_backward(index, weight, index_t, weight_t)
        shape = [1] * x.ndim
        shape[dim] = -1
        y: Tensor | None = None
        for k in range(index.shape[1]):
            term = x.index_select(dim, index[:, k]) * weight[:, k].view(shape)
            y = term if y is None else y.add_(term)
        assert y is not None
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, weight, index_t, weight_t = ctx.saved_tensors
        return apply_band(grads[0], ctx.dim, index_t, weight_t, index, weight), None, None, None, None, None


apply_band: Callable[..., Tensor] = _Band.apply
