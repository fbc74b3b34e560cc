"""Wigner matrices of edges on the CPU: the recurrence of ``ops.edge_wigner`` for a block of edges at once, vectors
along the edges, and the two maps by generators.

The coefficients of a step couple each component with at most five; products of the two sides are taken one side after
the other, so that degree l takes about 20 (2l + 1)² multiply-adds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba import carray, types
from torch import Tensor

from armillary.ops.compiling import ready
from armillary.ops.constants import cached_constant
from armillary.ops.edge_generators import generators, raising, wigner_size
from armillary.ops.memory import empty
from armillary.ops.threads import run
from armillary.ops.vectors import pointer, take

_BLOCK = 64  # edges whose matrices of two degrees stay in the cache
_jit = numba.njit(nogil=True, cache=True)
_entry = numba.cfunc(types.void(types.voidptr), cache=True)


def _entries(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries that are not 0 of some arrays (rows, …), sorted by array and row: their other indices (n, 2), their
    values, and where each row of each array begins (rows of all + 1,)."""
    places, values, starts = [], [], [0]
    for array in arrays:
        for row in array.reshape(len(array), -1, array.shape[-1]):
            found = np.argwhere(np.abs(row) > 1e-12)
            places.append(found)
            values.append(row[tuple(found.T)])
            starts.append(starts[-1] + len(found))
    return np.array(np.concatenate(places), np.int64, order="C"), np.concatenate(values), np.array(starts, np.int64)


@cached_constant(16)
def _steps(lmax: int) -> tuple[np.ndarray, ...]:
    """C_l for l = 2..lmax: rows m, with indices (a, u)."""
    arrays = [raising(l).permute(2, 0, 1).numpy() for l in range(2, lmax + 1)]
    return _entries(arrays) if arrays else (np.zeros((1, 2), np.int64), np.zeros(1), np.zeros(1, np.int64))


@cached_constant(16)
def _turns(lmax: int) -> tuple[np.ndarray, ...]:
    """G_k for l = 0..lmax: rows m, with indices (k, n)."""
    return _entries([generators(l).permute(1, 0, 2).numpy() for l in range(lmax + 1)])


@_jit
def _add(target, factor, source, scale):  # type: ignore[no-untyped-def]
    for i in range(_BLOCK):
        e = np.uintp(i)
        target[e] += scale * factor[e] * source[e]


@_jit
def _add_scaled(target, source, scale):  # type: ignore[no-untyped-def]
    for i in range(_BLOCK):
        e = np.uintp(i)
        target[e] += scale * source[e]


@_jit
def _raise(l, old, new, half, D1, places, values, starts, first):  # type: ignore[no-untyped-def]
    """new (n, n, block) = Cᵀ (old ⊗ D1) C with ``half`` (n, n - 2, 3, block) between; ``first``: row of m = -l."""
    n = 2 * l + 1
    for m in range(n):
        half[m, : n - 2] = 0
        for t in range(starts[first + m], starts[first + m + 1]):
            a, u = places[t, 0], places[t, 1]
            for b in range(n - 2):
                for v in range(3):
                    _add(half[m, b, v], D1[u, v], old[a, b], values[t])
    for m in range(n):
        for k in range(n):
            new[m, k] = 0
            for t in range(starts[first + k], starts[first + k + 1]):
                _add_scaled(new[m, k], half[m, places[t, 0], places[t, 1]], values[t])


@cache
def blocks_of_edges(itemsize: int) -> int:
    """Arrays R (E, 9), the degrees (E, S), places, values, starts of ``_steps``; number: lmax. A job is a run of edges
    that begins at a block."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (14,), np.int64)
        R, D = carray(pointer(t[0]), (t[1], t[2]), dtype), carray(pointer(t[3]), (t[4], t[5]), dtype)
        places = carray(pointer(t[6]), (t[7], t[8]), np.int64)
        values, starts = carray(pointer(t[9]), (t[10],), dtype), carray(pointer(t[11]), (t[12],), np.int64)
        lmax = t[13]
        n = 2 * lmax + 1
        D1 = np.zeros((3, 3, _BLOCK), dtype)
        old, new = np.zeros((n, n, _BLOCK), dtype), np.zeros((n, n, _BLOCK), dtype)
        half = np.zeros((n, max(1, n - 2), 3, _BLOCK), dtype)
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for begin in range(jobs[job, 0], jobs[job, 1], _BLOCK):
                count = min(_BLOCK, jobs[job, 1] - begin)
                for e in range(count):
                    for i in range(3):
                        for j in range(3):
                            D1[i, j, e] = R[begin + e, (i + 1) % 3 * 3 + (j + 1) % 3]
                    D[begin + e, 0] = 1
                old[:3, :3] = D1[:3, :3] if lmax else old[:3, :3]
                at, first = 1, 0
                for l in range(1, lmax + 1):
                    m = 2 * l + 1
                    if l > 1:
                        _raise(l, old, new, half, D1, places, values, starts, first)
                        old, new = new, old
                        first += m
                    for i in range(m):
                        for j in range(m):
                            for e in range(count):
                                D[begin + e, at + i * m + j] = old[i, j, e]
                    at += m * m

    return kernel.address or 0


@cache
def generated(itemsize: int) -> int:
    """Arrays a (E, S), D (E, S), the result (E, 3) or (E, S), places, values, starts of ``_turns``; numbers: lmax and
    which: 0 for the torque of a and D, 1 where a (E, 3) turns D."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (18,), np.int64)
        a, D = carray(pointer(t[0]), (t[1], t[2]), dtype), carray(pointer(t[3]), (t[4], t[5]), dtype)
        out = carray(pointer(t[6]), (t[7], t[8]), dtype)
        places = carray(pointer(t[9]), (t[10], t[11]), np.int64)
        values, starts = carray(pointer(t[12]), (t[13],), dtype), carray(pointer(t[14]), (t[15],), np.int64)
        lmax, turning = t[16], t[17]
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for e in range(jobs[job, 0], jobs[job, 1]):
                out[e] = 0
                at, row = 0, 0
                for l in range(lmax + 1):
                    n = 2 * l + 1
                    for m in range(n):
                        for entry in range(starts[row + m], starts[row + m + 1]):
                            k, other, value = places[entry, 0], at + places[entry, 1] * n, values[entry]
                            own = at + m * n
                            if turning:
                                factor = value * a[e, k]
                                for j in range(n):
                                    out[e, np.uintp(own + j)] += factor * D[e, np.uintp(other + j)]
                            else:
                                total = D[e, 0] * 0
                                for j in range(n):
                                    total += a[e, np.uintp(own + j)] * D[e, np.uintp(other + j)]
                                out[e, k] += value * total
                    at += n * n
                    row += n

    return kernel.address or 0


def _jobs(edges: int) -> list[tuple[int, int]]:
    step = _BLOCK * max(1, edges // (_BLOCK * 8 * torch.get_num_threads()))
    return [(first, min(edges, first + step)) for first in range(0, edges, step)]


def _array(x: Tensor) -> Any:
    return x.detach().reshape(len(x), -1).contiguous().numpy()


def wigner_cpu(R: Tensor, lmax: int) -> Tensor:
    """``ops.edge_wigner.edge_wigner`` on the CPU."""
    D = empty(R, len(R), wigner_size(lmax))
    own = _array(R)
    places, values, starts = _steps(lmax)
    tables = [places, values.astype(own.dtype), starts]
    run(ready(blocks_of_edges, R.itemsize), [own, D.numpy(), *tables], [lmax], _jobs(len(R)))
    return D


def generated_cpu(a: Tensor, D: Tensor, lmax: int, turning: bool) -> Tensor:
    """``edge_turn`` or ``edge_torque`` on the CPU."""
    out = empty(D, len(D), D.shape[1] if turning else 3)
    own = _array(a)
    places, values, starts = _turns(lmax)
    tables = [places, values.astype(own.dtype), starts]
    run(ready(generated, D.itemsize), [own, _array(D), out.numpy(), *tables], [lmax, int(turning)], _jobs(len(D)))
    return out
