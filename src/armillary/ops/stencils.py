"""How the stencil of a convolution between two grids of rings is kept: as lists of entries, once per latitude.

A stencil is the list of entries e that an output point has, stored once per output latitude j and phase r: the pattern
of longitudes repeats after ``phases`` output points, for which the input moves by ``stride`` points (one phase where
the ratio of longitudes is an integer). Six tensors describe it: ``values`` (nnz, K), ``entries`` (nnz, 2) of ring and
column (column relative to output point 0; it may be negative and wraps), ``starts`` (nlat_out·phases + 1,) where the
entries of each row (j, r) begin, and, for the adjoint, the same entries as seen from the input: ``order`` (nnz,), which
sorts the values, ``entries_t`` and ``starts_t``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def pattern(nlon_in: int, nlon_out: int) -> tuple[int, int, int]:
    """(repeats T, phases, stride) of output longitudes over input longitudes."""
    repeats = math.gcd(nlon_in, nlon_out)
    return repeats, nlon_out // repeats, nlon_in // repeats


def make_stencil(
    values: Tensor, entries: Tensor, starts: Tensor, nlat_in: int, nlon_in: int, nlon_out: int
) -> list[Tensor]:
    """The six tensors of a stencil from the first three (see the top of this file)."""
    _, phases, stride = pattern(nlon_in, nlon_out)
    row = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    ring, column = entries.unbind(1)
    row_t = ring * stride + column % stride
    order = torch.argsort(row_t, stable=True)
    column_t = row % phases - phases * torch.div(column, stride, rounding_mode="floor")
    entries_t = torch.stack([row // phases, column_t], dim=1)[order]
    starts_t = torch.zeros(nlat_in * stride + 1, dtype=torch.int64)
    starts_t[1:] = torch.bincount(row_t, minlength=nlat_in * stride).cumsum(0)
    return [values, entries, starts, order, entries_t, starts_t]


def swapped(stencil: Sequence[Tensor]) -> list[Tensor]:
    """The stencil with input and output exchanged."""
    values, entries, starts, order, entries_t, starts_t = stencil
    return [values[order], entries_t, starts_t, torch.argsort(order), entries, starts]
