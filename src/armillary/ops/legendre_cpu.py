"""The Legendre stage on the CPU: fields are moved once into rows of one order each, multiplied, and moved back.

What is moved, 8 bytes for each complex number of the field and of its coefficients, goes a cache line of orders at a
time; the products are those of the BLAS that torch has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from armillary.ops.compiling import ready
from armillary.ops.legendre_blocks import Block, Recurrence, blocks_of, functions_of
from armillary.ops.legendre_kernels import ORDERS, mover
from armillary.ops.memory import empty
from armillary.ops.threads import run


@lru_cache(maxsize=32)
def _places(blocks: tuple[Block, ...], orders: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Where the rows of each order lie, for one column: rings (M, 2, 2) and degrees (M, 2, 3).

    Rings: offset, how many; degrees: offset, how many, how many of them at the head lie below the order. Then the sizes
    of both.
    """
    rings, degrees = np.zeros((orders, 2, 2), np.int64), np.zeros((orders, 2, 3), np.int64)
    ring_end = degree_end = 0
    for block in blocks:
        for s in (0, 1):
            for n in range(block.size):
                rings[block.m0 + 2 * n, s] = ring_end, block.live
                degrees[block.m0 + 2 * n, s] = degree_end, block.degrees[s], n
                ring_end += block.live
                degree_end += block.degrees[s]
    return rings, degrees, ring_end, degree_end


def _rows(x: Tensor) -> Tensor:
    """x (B, rows, M) with its numbers side by side: as it is or, where it is cut from longer rows, with the rest of
    them, which is not looked at; else a copy."""
    pitch = x.stride(1)
    if x.stride() == (pitch * x.shape[1], pitch, 1) and pitch >= x.shape[2]:
        whole = (x.shape[0], x.shape[1], pitch)
        if x.storage_offset() + x.shape[0] * x.shape[1] * pitch <= x.untyped_storage().nbytes() // x.itemsize:
            return x.as_strided(whole, x.stride())
    return x.contiguous()


def legendre_cpu(x: Tensor, theta: Tensor, nlat: int, lmax: int, synthesis: bool, tables: Sequence[Tensor]) -> Tensor:
    """``ops.legendre.legendre`` on the CPU."""
    batch, _, orders = x.shape
    blocks = blocks_of(theta, lmax, orders, len(tables) > 0)
    recurrence = None if tables else Recurrence(theta.numpy(), lmax, orders)
    rings_at, degrees_at, ring_rows, degree_rows = _places(blocks, orders)
    field = torch.view_as_real(_rows(x.detach()))
    columns, size = 2 * batch, field.itemsize
    rings, degrees = empty(field, columns * ring_rows), empty(field, columns * degree_rows)
    y = empty(field, batch, nlat if synthesis else lmax + 1, orders, 2)
    jobs = [(m, min(m + ORDERS, orders)) for m in range(0, orders, ORDERS)]
    near, far = (field, y) if not synthesis else (y, field)
    to_rings = [near.numpy(), rings.numpy(), rings_at]
    to_degrees = [far.numpy(), degrees.numpy(), degrees_at]
    if synthesis:
        run(ready(mover, "gather", size), to_degrees, (), jobs)
    else:
        run(ready(mover, "fold", size), to_rings, (), jobs)
    ring_end = degree_end = 0
    for at, block in enumerate(blocks):
        functions = functions_of(block, at, recurrence, tables, field)
        for s, table in enumerate(functions):
            ring_shape, degree_shape = (block.size, columns, block.live), (block.size, columns, block.degrees[s])
            ring_part = rings[ring_end:][: columns * block.size * block.live].view(ring_shape)
            degree_part = degrees[degree_end:][: columns * block.size * block.degrees[s]].view(degree_shape)
            ring_end, degree_end = ring_end + ring_part.numel(), degree_end + degree_part.numel()
            if synthesis:
                torch.bmm(degree_part, table, out=ring_part)
            else:
                torch.bmm(ring_part, table.mT, out=degree_part)
    if synthesis:
        run(ready(mover, "unfold", size), to_rings, (), jobs)
    else:
        run(ready(mover, "scatter", size), to_degrees, (), jobs)
    return torch.view_as_complex(y)
