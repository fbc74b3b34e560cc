"""The compiled kernel that makes Wigner functions by their recurrence in the degree, many rings at a time.

    p^l_mn(β) = sqrt((2l + 1)/8π²) d^l_mn(β),     0 ≤ n ≤ m ≤ l ≤ lmax,
    p^l = a_l (cos β - mn/(l(l - 1))) p^{l-1} - b_l p^{l-2},     c_l = sqrt((l² - m²)(l² - n²)),
    a_l = sqrt((2l + 1)(2l - 1)) l/c_l,   b_l = sqrt((2l + 1)/(2l - 3)) l c_{l-1}/((l - 1) c_l)

The other signs and orders follow by symmetry (``ops.so3``). A recurrence starts at l = m from
``d^m_mn = (-1)^(m-n) sqrt(C(2m, m + n)) cos(β/2)^(m+n) sin(β/2)^(m-n)``, which near the poles is as small as
10^(-thousands). It carries a power of two of its own until it has grown to where float64 holds it; what is smaller than
that is zero here.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from numba import carray, types

from armillary.ops.vectors import pointer, take

_STEP = 256  # powers of two that are taken out at once
_CHECK_EVERY = 16  # degrees; in so many a function grows by less than 2^_STEP

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_entry = numba.cfunc(types.void(types.voidptr), cache=True)


@_jit
def _scaled(value, exponent):  # type: ignore[no-untyped-def]
    if abs(value) < 2.0**-_STEP and value != 0:
        return value * 2.0**_STEP, exponent - _STEP
    return value, exponent


@_jit
def next_starts(m, cosine, sine, numbers, exponents):  # type: ignore[no-untyped-def]
    """d^m_mn for n = 0..m, as numbers · 2^exponents (orders, J), written over d^{m-1}_{m-1,n}.

    ``cosine`` and ``sine`` (J,) are those of β/2. For m = 0 the first row is set to 1.
    """
    if m == 0:
        numbers[0] = 1
        exponents[0] = 0
        return
    for j in range(len(cosine)):
        value = numbers[m - 1, j] * cosine[j] * cosine[j]
        numbers[m, j], exponents[m, j] = _scaled(value, exponents[m - 1, j])
    for n in range(m):
        factor = -np.sqrt(2.0 * m * (2.0 * m - 1) / ((float(m) + n) * (float(m) - n)))
        for j in range(len(cosine)):
            value = numbers[n, j] * (factor * cosine[j] * sine[j])
            numbers[n, j], exponents[n, j] = _scaled(value, exponents[n, j])


@_jit
def _advance(current, previous, cosine, a, middle, b, target):  # type: ignore[no-untyped-def]
    """The next degree, written over the one before the last, and to the target."""
    for i in range(len(cosine)):
        j = np.uintp(i)
        value = a * ((cosine[j] - middle) * current[j]) - b * previous[j]
        previous[j] = value
        target[j] = value


@_jit
def _hide(target, exponent):  # type: ignore[no-untyped-def]
    for j in range(len(target)):
        if exponent[j] < 0:
            target[j] = 0


@_jit
def _grown(current, previous, exponent):  # type: ignore[no-untyped-def]
    """Put powers of two back into what has grown; returns whether some are still out."""
    out = False
    for j in range(len(exponent)):
        if exponent[j] < 0 and abs(current[j]) > 1:
            current[j] *= 2.0**-_STEP
            previous[j] *= 2.0**-_STEP
            exponent[j] += _STEP
        out |= exponent[j] < 0
    return out


@_jit
def _degrees(m, n, lmax, cosine, current, previous, exponent, target):  # type: ignore[no-untyped-def]
    """Rows l = m..lmax of one pair of orders, (lmax - m + 1, J); ``current`` and ``exponent`` hold d^m_mn."""
    scale = np.sqrt((2 * m + 1) / (8 * np.pi * np.pi))
    for j in range(len(cosine)):
        current[j] *= scale
        previous[j] = 0
    out = _grown(current, previous, exponent)
    target[0] = current
    if out:
        _hide(target[0], exponent)
    mm, nn = float(m) * m, float(n) * n
    below = 0.0
    for l in range(m + 1, lmax + 1):
        x = float(l)
        here = np.sqrt((x * x - mm) * (x * x - nn))
        a = np.sqrt((2 * x + 1) * (2 * x - 1)) * x / here
        b, middle = 0.0, 0.0
        if l > 1:
            b = np.sqrt((2 * x + 1) / (2 * x - 3)) * x * below / ((x - 1) * here) if l > m + 1 else 0.0
            middle = m * n / (x * (x - 1))
        _advance(current, previous, cosine, a, middle, b, target[l - m])
        current, previous, below = previous, current, here
        if out:
            _hide(target[l - m], exponent)
            if (l - m) % _CHECK_EVERY == 0:
                out = _grown(current, previous, exponent)


@cache
def fill(itemsize: int) -> int:
    """Arrays cosine (J,) of β, numbers and exponents (orders, J) of ``next_starts``, and the functions of one m to be
    made, (n, lmax - m + 1, J) for n = 0, 1, …; numbers: m and lmax. A job is a run of orders n."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (14,), np.int64)
        cosine = carray(pointer(t[0]), (t[1],), np.float64)
        numbers = carray(pointer(t[2]), (t[3], t[4]), np.float64)
        exponents = carray(pointer(t[5]), (t[6], t[7]), np.int64)
        target = carray(pointer(t[8]), (t[9], t[10], t[11]), dtype)
        m, lmax = t[12], t[13]
        current, previous, exponent = np.empty(t[1]), np.empty(t[1]), np.empty(t[1], np.int64)
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for n in range(jobs[job, 0], jobs[job, 1]):
                current[:] = numbers[n]
                exponent[:] = exponents[n]
                _degrees(m, n, lmax, cosine, current, previous, exponent, target[n])

    return kernel.address or 0
