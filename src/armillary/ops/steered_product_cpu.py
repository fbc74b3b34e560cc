"""Tables of products on the CPU, compiled at first use by numba and kept in its cache.

Each row is worked on by one thread, its terms in their order: outputs do not depend on the number of threads. Vectors
run along the channels. The arithmetic is tested against the reference of ``ops.steered_product``.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Literal

import numba
import numpy as np
import torch
from numba import carray, types
from torch import Tensor

from armillary.ops.compiling import ready
from armillary.ops.memory import empty
from armillary.ops.threads import run
from armillary.ops.vectors import pointer, take

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_sums = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_entry = numba.cfunc(types.void(types.voidptr), cache=True)
_ROWS = 256  # of the least job that is worth a thread


@_jit
def _add(z, o, h, a, w, factor):  # type: ignore[no-untyped-def]
    for i in range(w):
        z[o + np.uintp(i)] += factor * h[a + np.uintp(i)]


@_sums
def _dot(g, o, h, a, w):  # type: ignore[no-untyped-def]
    total = h[a] * g[o]
    for i in range(1, w):
        total += h[a + np.uintp(i)] * g[o + np.uintp(i)]
    return total


@cache
def kernel(kind: Literal["product", "dot"], itemsize: int) -> int:
    """Arrays: h, y or g, the output, terms (T, 4), values (T,); a job is a run of rows."""
    dtype = np.float32 if itemsize == 4 else np.float64
    dot = kind == "dot"

    @_entry
    def rows(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (14,), np.int64)
        H, Y, Z, T = t[2], t[5], t[8], t[10]
        terms, values = carray(pointer(t[9]), (T, 4), np.int64), carray(pointer(t[12]), (T,), dtype)
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for n in range(jobs[job, 0], jobs[job, 1]):
                h = carray(pointer(t[0] + n * H * itemsize), (H,), dtype)
                y = carray(pointer(t[3] + n * Y * itemsize), (Y,), dtype)
                z = carray(pointer(t[6] + n * Z * itemsize), (Z,), dtype)
                for i in range(Z):
                    z[np.uintp(i)] = 0
                for k in range(T):
                    a, o, w, b = np.uintp(terms[k, 0]), np.uintp(terms[k, 1]), terms[k, 2], np.uintp(terms[k, 3])
                    if dot:
                        z[b] += values[k] * _dot(y, o, h, a, w)
                    else:
                        _add(z, o, h, a, w, values[k] * y[b])

    return rows.address or 0


def steered_cpu(
    h: Tensor, y: Tensor, terms: Tensor, values: Tensor, width: int, kind: Literal["product", "dot"]
) -> Tensor:
    """``ops.steered_product.steered_product`` or ``steered_dot`` for float32 and float64."""
    h, y, values = h.detach().contiguous(), y.detach().contiguous(), values.to(h).contiguous()
    z = empty(h, len(h), width)
    if z.numel() == 0:
        return z
    parts = max(1, min(8 * torch.get_num_threads(), len(h) // _ROWS))
    cuts = np.linspace(0, len(h), parts + 1).astype(int)
    arrays = [x.numpy() for x in (h, y, z, terms.contiguous(), values)]
    run(ready(kernel, kind, h.itemsize), arrays, (), list(pairwise(cuts)))
    return z
