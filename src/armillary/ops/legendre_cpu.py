"""The Legendre stage on the CPU: fields are moved once into rows of one order each, multiplied, and moved back.

What is moved, 8 bytes for each complex number of the field and of its coefficients, goes a cache line of orders at a
time; the products are those of the BLAS that torch has. Orders are taken in groups of blocks, so that what lies between
is small and its memory is used again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from armillary.ops.compiling import ready
from armillary.ops.legendre_blocks import Block, Part, Recurrence, blocks_of, functions_of, parts_of
from armillary.ops.legendre_kernels import LINE, ORDERS, mover
from armillary.ops.memory import empty
from armillary.ops.threads import run
from armillary.ops.vectors import lanes, transpose

_GROUP_NUMBERS = 2**20  # of rows that lie between the field and the products, for a group of orders: two level-2 caches
_JOBS = 8  # that a thread has at least


class _Group(NamedTuple):
    """Consecutive orders m0..m1 - 1, the parts of blocks that hold them, and how many numbers each column has."""

    m0: int
    m1: int
    parts: list[Part]
    rings: int
    degrees: int


@lru_cache(maxsize=32)
def _groups(blocks: tuple[Block, ...], orders: int, columns: int) -> tuple[list[_Group], np.ndarray, np.ndarray]:
    """The groups, and where the rows of each order lie in its group, for one column: rings (M, 2, 2) and degrees (M, 2,
    3).

    Rings: offset, how many; degrees: offset, how many, how many of them at the head lie below the order.
    """
    rings, degrees = np.zeros((orders, 2, 2), np.int64), np.zeros((orders, 2, 3), np.int64)
    numbers = columns * max(2 * block.live + sum(block.degrees) for block in blocks)  # of an order
    lines = max(1, _GROUP_NUMBERS // max(1, numbers * LINE))
    groups: list[_Group] = []
    for m0 in range(0, orders, lines * LINE):
        m1 = min(m0 + lines * LINE, orders)
        ring_end = degree_end = 0
        parts = parts_of(blocks, m0, m1)
        for _, _, block in parts:
            for s in (0, 1):
                for n in range(block.size):
                    rings[block.m0 + 2 * n, s] = ring_end, block.live
                    degrees[block.m0 + 2 * n, s] = degree_end, block.degrees[s], n
                    ring_end += block.live
                    degree_end += block.degrees[s]
        groups.append(_Group(m0, m1, parts, ring_end, degree_end))
    return groups, rings, degrees


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
    recurrence = None if tables else Recurrence(theta.numpy(), lmax, orders)
    field = torch.view_as_real(_rows(x.detach()))
    columns, size = 2 * batch, field.itemsize
    blocks = blocks_of(theta, lmax, orders, len(tables) > 0)
    groups, rings_at, degrees_at = _groups(blocks, orders, columns)
    rings = empty(field, columns * max(group.rings for group in groups))
    degrees = empty(field, columns * max(group.degrees for group in groups))
    y = empty(field, batch, nlat if synthesis else lmax + 1, orders, 2)
    near, far = (y, field) if synthesis else (field, y)
    fold, unfold, gather, scatter = (ready(mover, kind, size) for kind in ("fold", "unfold", "gather", "scatter"))
    threads, moving = torch.get_num_threads(), (ready(transpose, size), lanes(size))
    of_rings = [near.numpy(), rings.numpy(), rings_at]
    of_degrees = [far.numpy(), degrees.numpy(), degrees_at]
    for group in groups:
        chunks = -(-(group.m1 - group.m0) // ORDERS) * batch
        cuts = np.linspace(0, chunks, min(chunks, _JOBS * threads) + 1).astype(int)
        jobs, numbers = list(pairwise(cuts)), (group.m0, group.m1, *moving)
        run(*((gather, of_degrees) if synthesis else (fold, of_rings)), numbers, jobs)
        ring_end = degree_end = 0
        for part in group.parts:
            block, functions = part.block, functions_of(part, recurrence, tables, field)
            for s, table in enumerate(functions):
                ring_shape, degree_shape = (block.size, columns, block.live), (block.size, columns, block.degrees[s])
                ring_part = rings[ring_end:][: math.prod(ring_shape)].view(ring_shape)
                degree_part = degrees[degree_end:][: math.prod(degree_shape)].view(degree_shape)
                ring_end, degree_end = ring_end + ring_part.numel(), degree_end + degree_part.numel()
                if synthesis:
                    torch.bmm(degree_part, table, out=ring_part)
                else:
                    torch.bmm(ring_part, table.mT, out=degree_part)
        run(*((unfold, of_rings) if synthesis else (scatter, of_degrees)), numbers, jobs)
    return torch.view_as_complex(y)
