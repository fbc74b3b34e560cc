"""Wigner functions ``p^l_mn(β) = sqrt((2l + 1)/8π²) d^l_mn(β)``, 0 ≤ n ≤ m ≤ l ≤ lmax, one m at a time: from a table or
by their recurrence, and the choice between them.

These are an eighth of all orders; the others follow by symmetry (``ops.so3``). The table of lmax = 127 on 256 rings has
90 million numbers, and to read them from memory takes about as long as to make them.

Shape legend: J rings, N = m + 1 orders n, L = lmax - m + 1 degrees.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_TABLE_NUMBERS = 2**23  # with more the table does not stay in the cache of a processor


def row_offsets(lmax: int, rings: int) -> list[int]:
    """Where the functions of m = 0, 1, … begin in the table, and its length at the end."""
    offsets = [0]
    for m in range(lmax + 1):
        offsets.append(offsets[-1] + (m + 1) * (lmax - m + 1) * rings)
    return offsets


def tabulates_so3(lmax: int, rings: int) -> bool:
    """Whether a table of the Wigner functions is faster than their recurrence: where it fits the cache."""
    return row_offsets(lmax, rings)[-1] <= _TABLE_NUMBERS


def wigner_rows(beta: Tensor, lmax: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """For m = 0..lmax the functions ``p^l_mn(β_j)``, (N, L, J), index (n, l - m, j), by their recurrence in float64.

    ``beta`` (J,) float64 in [0, π], radians, on the CPU. A yielded tensor is overwritten by the next.
    Source: Varshalovich et al. 1988, 4.8; pinned by ``tests/ops/test_wigner_rows.py``.
    """
    from armillary.ops.compiling import ready
    from armillary.ops.threads import run
    from armillary.ops.wigner_kernels import fill, next_starts  # numba is imported and compiles at first use

    angles, rings, size = beta.numpy(), len(beta), lmax + 1
    cosine, half_cosine, half_sine = np.cos(angles), np.cos(angles / 2), np.sin(angles / 2)
    numbers, exponents = np.zeros((size, rings)), np.zeros((size, rings), np.int64)
    largest = max((m + 1) * (size - m) for m in range(size)) * rings
    buffer = torch.empty(largest, dtype=dtype)
    for m in range(size):
        next_starts(m, half_cosine, half_sine, numbers, exponents)
        rows = buffer[: (m + 1) * (size - m) * rings].view(m + 1, size - m, rings)
        arrays = [cosine, numbers, exponents, rows.numpy()]
        run(ready(fill, dtype.itemsize), arrays, (m, lmax), [(n, n + 1) for n in range(m + 1)])
        yield rows


def wigner_table(beta: Tensor, lmax: int) -> Tensor:
    """All of ``wigner_rows`` one after the other, float64, flat: as ``so3_fourier`` takes them."""
    offsets = row_offsets(lmax, len(beta))
    table = torch.empty(offsets[-1], dtype=torch.float64)
    for m, rows in enumerate(wigner_rows(beta, lmax, torch.float64)):
        table[offsets[m] : offsets[m + 1]] = rows.flatten()
    return table


def table_rows(table: Tensor, lmax: int, rings: int) -> Iterator[Tensor]:
    """The rows of ``wigner_rows`` as views of a ``wigner_table``."""
    offsets = row_offsets(lmax, rings)
    for m in range(lmax + 1):
        yield table[offsets[m] : offsets[m + 1]].view(m + 1, lmax - m + 1, rings)
