"""Associated Legendre functions in blocks of orders, from a table or by their recurrence, and the choice between them.

Degrees l < m do not exist, and on rings that mirror each other in the equator ``P̄_lm(π - θ) = (-1)^(l+m) P̄_lm(θ)``: of
the (lmax + 1)² nlat numbers a quarter is needed. Orders are worked on in blocks of every second one (m0, m0 + 2, …): in
a block the degrees of each kind, l - m even or odd, are every second one too, and the products of ``ops.legendre`` with
them are dense but for a few rows at their head.

The functions of a block come from a table, or are made by their recurrence (``ops.legendre_kernels``) when the block is
reached, and forgotten. The table of lmax = 511 has 33 million numbers: to read them from memory takes about as long as
to make them, and no memory at all is the better bargain. ``tabulates`` is that choice.

Shape legend: H rings from the north pole to the equator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_BLOCK_NUMBERS = 2**20  # of the functions that are made at once: what a processor keeps in its cache
_TABLE_NUMBERS = 2**23  # with more the table does not stay in the cache either


def tabulates(lmax: int, nlat: int) -> bool:
    """Whether a table of the Legendre functions is faster than their recurrence: where it fits the cache."""
    return (lmax + 1) ** 2 * nlat // 4 <= _TABLE_NUMBERS


class Block(NamedTuple):
    """Orders m0, m0 + 2, … (``size`` of them) with the degrees m0 + s, m0 + s + 2, … (``degrees[s]`` of them)."""

    m0: int
    size: int
    degrees: tuple[int, int]
    live: int  # rings next to the equator, the last of H, where not all functions are zero

    @property
    def orders(self) -> slice:
        return slice(self.m0, self.m0 + 2 * self.size, 2)


class Recurrence:
    """The Legendre functions of orders m < ``orders`` at the rings ``theta`` (H,), from a pole to the equator."""

    def __init__(self, theta: np.ndarray, lmax: int, orders: int) -> None:
        from armillary.ops.legendre_kernels import sectoral  # numba is imported and compiles at first use

        self.lmax, self.orders = lmax, orders
        self.cosine = np.cos(theta)
        self.starts = sectoral(orders, np.sin(theta))

    def functions(self, m0: int, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, int]:
        """(size, degrees, H) of both kinds of a block, and how many rings are alive in it."""
        from armillary.ops.compiling import ready
        from armillary.ops.legendre_kernels import fill
        from armillary.ops.threads import run

        rings = len(self.cosine)
        even, odd = (torch.empty(size, _degrees(self.lmax, m0 + s), rings, dtype=dtype) for s in (0, 1))
        zeros = np.zeros(size, np.int64)
        arrays = [self.cosine, *self.starts, even.numpy(), odd.numpy(), zeros]
        run(ready(fill, dtype.itemsize), arrays, (m0, self.lmax), [(n, n + 1) for n in range(size)])
        return even, odd, rings - int(zeros.min(initial=rings))


def _degrees(lmax: int, first: int) -> int:
    return max(0, (lmax - first) // 2 + 1)


@lru_cache(maxsize=32)
def _blocks(theta: bytes, lmax: int, orders: int, tabulated: bool) -> tuple[Block, ...]:
    nodes = np.frombuffer(theta)
    # few orders at once, so that little of a block lies at l < m; no more than the cache holds if they are made anew
    at_once = max(8, min(32, (lmax + 1) // 4))
    if not tabulated:
        at_once = max(2, min(at_once, _BLOCK_NUMBERS // ((lmax + 1) * max(1, len(nodes)))))
    recurrence = Recurrence(nodes, lmax, orders)
    blocks = []
    for first in (0, 1):
        for m0 in range(first, orders, 2 * at_once):
            size = min(at_once, (orders - m0 + 1) // 2)
            live = recurrence.functions(m0, size, torch.float32)[2]
            blocks.append(Block(m0, size, (_degrees(lmax, m0), _degrees(lmax, m0 + 1)), live))
    return tuple(sorted(blocks))


def blocks_of(theta: Tensor, lmax: int, orders: int, tabulated: bool) -> tuple[Block, ...]:
    """How the orders are cut into blocks; the first call for new rings makes all functions once, to see where they are
    zero."""
    return _blocks(theta.cpu().double().numpy().tobytes(), lmax, orders, tabulated)


def legendre_tables(theta: Tensor, lmax: int) -> list[Tensor]:
    """The functions of all orders 0..lmax as ``legendre`` takes them, float64: both kinds of each block in turn."""
    recurrence = Recurrence(theta.cpu().double().numpy(), lmax, lmax + 1)
    tables = []
    for block in blocks_of(theta, lmax, lmax + 1, True):
        for part in recurrence.functions(block.m0, block.size, torch.float64)[:2]:
            tables.append(part[..., len(theta) - block.live :].contiguous())
    return tables


class Part(NamedTuple):
    """Consecutive orders of block number ``number``, from its ``start``-th on, as a block of their own."""

    number: int
    start: int
    block: Block


def parts_of(blocks: Sequence[Block], m0: int, m1: int) -> list[Part]:
    """The parts of blocks that hold the orders m0..m1 - 1."""
    parts = []
    for number, block in enumerate(blocks):
        start, end = (min(max(0, (m - block.m0 + 1) // 2), block.size) for m in (m0, m1))
        if start < end:
            even, odd = (max(0, degrees - start) for degrees in block.degrees)
            parts.append(Part(number, start, Block(block.m0 + 2 * start, end - start, (even, odd), block.live)))
    return parts


def functions_of(part: Part, recurrence: Recurrence | None, tables: Sequence[Tensor], like: Tensor) -> Sequence[Tensor]:
    """Both kinds of functions of a part (size, degrees, live): cut from the tables of all blocks, or made in the dtype
    and on the device of ``like``."""
    number, start, block = part
    if recurrence is None:
        return [table[start : start + block.size, start:] for table in tables[2 * number : 2 * number + 2]]
    functions = recurrence.functions(block.m0, block.size, like.dtype)[:2]
    return [f[..., f.shape[2] - block.live :].to(like.device) for f in functions]
