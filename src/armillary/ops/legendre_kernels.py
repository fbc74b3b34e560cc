"""The compiled kernel that makes associated Legendre functions by their recurrence, many rings at a time.

    P̄_mm = -sqrt((2m + 1)/2m) sin θ P̄_{m-1,m-1},     P̄_lm = a_lm (cos θ P̄_{l-1,m} - b_lm P̄_{l-2,m}),
    a_lm = sqrt((4l² - 1)/(l² - m²)),   b_lm = sqrt(((l - 1)² - m²)/(4(l - 1)² - 1))

Near a pole the start of a high order is as small as 10^(-thousands). It carries a power of two of its own until the
function has grown to where float64 holds it; what is smaller than that is zero here.

Three loads, a store and four operations for each value: at a gigabyte of table and more this is faster than to read it.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from numba import carray, types

from armillary.ops.vectors import call, pointer, take

_STEP = 256  # powers of two that are taken out at once
TILE, ORDERS = 32, 16  # rings or degrees, and orders, that are moved at once
LINE = 8  # orders in a cache line of 64 bytes, or two of float64
_CHECK_EVERY = 16  # degrees; in so many a function grows by less than 2^_STEP

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_entry = numba.cfunc(types.void(types.voidptr), cache=True)


@_jit
def sectoral(orders, sine):  # type: ignore[no-untyped-def]
    """P̄_mm for m < orders as (numbers, exponents), (orders, H) each: P̄_mm = number · 2^exponent, exponent ≤ 0."""
    numbers = np.empty((orders, len(sine)))
    exponents = np.zeros((orders, len(sine)), np.int64)
    numbers[0] = np.sqrt(1 / (4 * np.pi))
    for m in range(1, orders):
        factor = -np.sqrt((2 * m + 1) / (2 * m))
        for j in range(len(sine)):
            value, exponent = numbers[m - 1, j] * factor * sine[j], exponents[m - 1, j]
            if abs(value) < 2.0**-_STEP and value != 0:
                value, exponent = value * 2.0**_STEP, exponent - _STEP
            numbers[m, j], exponents[m, j] = value, exponent
    return numbers, exponents


@_jit
def _advance(current, previous, cosine, a, b, first, last):  # type: ignore[no-untyped-def]
    """The next degree, written over the one before the last."""
    for i in range(first, last):
        j = np.uintp(i)
        previous[j] = a * (cosine[j] * current[j] - b * previous[j])


@_jit
def _advance_and_store(current, previous, cosine, a, b, first, target):  # type: ignore[no-untyped-def]
    for i in range(first, len(cosine)):
        j = np.uintp(i)
        value = a * (cosine[j] * current[j] - b * previous[j])
        previous[j] = value
        target[j] = value


@_jit
def _store(source, first, target):  # type: ignore[no-untyped-def]
    for i in range(first, len(source)):
        j = np.uintp(i)
        target[j] = source[j]


@_jit
def _zero(target, at, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        target[at + np.uintp(i)] = 0


@_jit
def _grown(current, previous, exponent, first):  # type: ignore[no-untyped-def]
    """Put powers of two back into what has grown; returns the first ring from which all need none."""
    for j in range(first):
        if exponent[j] < 0 and abs(current[j]) > 1:
            current[j] *= 2.0**-_STEP
            previous[j] *= 2.0**-_STEP
            exponent[j] += _STEP
    while first > 0 and exponent[first - 1] == 0:
        first -= 1
    return first


@_jit
def _order(m, lmax, cosine, current, previous, exponent, even, odd, skip):  # type: ignore[no-untyped-def]
    """Rows of one order: even (I, H) for l - m = 0, 2, …, odd (I', H) for l - m = 1, 3, …, after ``skip`` zeros.

    Returns the number of rings at the pole where all of them are zero.
    """
    previous[:] = 0
    even[:skip] = 0
    odd[:skip] = 0
    first = len(cosine)
    first = _grown(current, previous, exponent, first)
    for l in range(m, lmax + 1):
        i = (l - m) // 2 + skip
        row = even[i] if (l - m) % 2 == 0 else odd[i]
        _zero(row, np.uintp(0), first)
        if l == m:
            _store(current, first, row)
            continue
        a = np.sqrt((4.0 * l * l - 1) / (float(l) * l - float(m) * m))
        b = np.sqrt(((l - 1.0) * (l - 1) - float(m) * m) / (4.0 * (l - 1) * (l - 1) - 1)) if l > m + 1 else 0.0
        _advance(current, previous, cosine, a, b, 0, first)
        _advance_and_store(current, previous, cosine, a, b, first, row)
        current, previous = previous, current
        if first and (l - m) % _CHECK_EVERY == 0:
            first = _grown(current, previous, exponent, first)
    return first


@cache
def fill(itemsize: int) -> int:
    """Arrays cosine (H,), numbers and exponents of ``sectoral`` (M, H), the rows to fill of every second order m0,
    m0 + 2, …: even (n, I, H) for degrees m0, m0 + 2, … and odd (n, I', H) for m0 + 1, m0 + 3, …, and zeros (n,), to be
    told the rings at the pole where an order is zero; numbers: m0 and lmax. A job is a run of orders."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (20,), np.int64)
        cosine = carray(pointer(t[0]), (t[1],), np.float64)
        numbers = carray(pointer(t[2]), (t[3], t[4]), np.float64)
        exponents = carray(pointer(t[5]), (t[6], t[7]), np.int64)
        even = carray(pointer(t[8]), (t[9], t[10], t[11]), dtype)
        odd = carray(pointer(t[12]), (t[13], t[14], t[15]), dtype)
        zeros = carray(pointer(t[16]), (t[17],), np.int64)
        m0, lmax = t[18], t[19]
        current, previous, exponent = np.empty(t[1]), np.empty(t[1]), np.empty(t[1], np.int64)
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for n in range(jobs[job, 0], jobs[job, 1]):
                m = m0 + 2 * n
                current[:] = numbers[m]
                exponent[:] = exponents[m]
                zeros[n] = _order(m, lmax, cosine, current, previous, exponent, even[n], odd[n], n)

    return kernel.address or 0


# Fields have their orders side by side, rows of the products their rings or degrees. Both are moved in tiles by way of
# small buffers, so that whole cache lines are read and written, and turned there a square of vectors at a time.
# Fields, rows and tiles are flat here and indices unsigned: otherwise most of the time goes into finding places.
# x is one sample (J or L, width); of each row ``taken`` numbers (order, part) from ``first`` on are moved. In a
# tile the numbers of a row are ``_PITCH`` apart before it is turned and ``TILE`` apart afterwards; it holds two kinds.

_PITCH = 2 * ORDERS
_KIND = _PITCH * TILE


@_jit
def _turn(turn, lanes, rows, columns, source, at, pitch, target, to, target_pitch):  # type: ignore[no-untyped-def]
    """target[to + j · target_pitch + i] = source[at + i · pitch + j], i < rows, j < columns; squares may overlap."""
    if rows < lanes or columns < lanes:
        for i in range(rows):
            for j in range(columns):
                here, there = np.uintp(at + i * pitch + j), np.uintp(to + j * target_pitch + i)
                target[there] = source[here]
        return
    here, there = np.int64(source.ctypes.data), np.int64(target.ctypes.data)
    for i0 in range(0, rows, lanes):
        i = min(i0, rows - lanes)
        for j0 in range(0, columns, lanes):
            j = min(j0, columns - lanes)
            x = here + (at + i * pitch + j) * source.itemsize
            y = there + (to + j * target_pitch + i) * target.itemsize
            call(turn, (x, pitch, y, target_pitch))


@_jit
def _sum_and_difference(source, a, b, target, to, other, count):  # type: ignore[no-untyped-def]
    for n in range(count):
        i = np.uintp(n)
        u, v = source[a + i], source[b + i]
        target[to + i] = u + v
        target[other + i] = u - v


@_jit
def _fold(x, nlat, width, first, taken, rows, places, columns, b, tile, flat, turn, lanes):  # type: ignore[no-untyped-def]
    """Rings of one sample to sums and differences of mirrored rings."""
    half = (nlat + 1) // 2
    for j0 in range(0, half, TILE):
        count = min(TILE, half - j0)
        for i in range(count):
            north, south = np.uintp((j0 + i) * width + first), np.uintp((nlat - 1 - j0 - i) * width + first)
            at, other = np.uintp(i * _PITCH), np.uintp(_KIND + i * _PITCH)
            _sum_and_difference(x, north, south, flat, at, other, taken)
            if north == south:  # the equator is its own image
                _copy(x, north, flat, at, taken)
        for s in range(2):
            _turn(turn, lanes, count, taken, flat, s * _KIND, _PITCH, tile, s * _KIND, TILE)
            for n in range(taken):
                skip, start = _rings(j0, half, first, n, s, places, columns, b)
                _copy(tile, np.uintp(s * _KIND + n * TILE + skip), rows, np.uintp(start), count - skip)


@_jit
def _unfold(x, nlat, width, first, taken, rows, places, columns, b, tile, flat, turn, lanes):  # type: ignore[no-untyped-def]
    """The adjoint of ``_fold``."""
    half = (nlat + 1) // 2
    for j0 in range(0, half, TILE):
        count = min(TILE, half - j0)
        for s in range(2):
            for n in range(taken):
                skip, start = _rings(j0, half, first, n, s, places, columns, b)
                place = s * _KIND + n * TILE
                _zero(tile, np.uintp(place), min(skip, TILE))
                _copy(rows, np.uintp(start), tile, np.uintp(place + skip), count - skip)
            _turn(turn, lanes, taken, count, tile, s * _KIND, TILE, flat, s * _KIND, _PITCH)
        for i in range(count):
            north, south = np.uintp((j0 + i) * width + first), np.uintp((nlat - 1 - j0 - i) * width + first)
            at, other = np.uintp(i * _PITCH), np.uintp(_KIND + i * _PITCH)
            _sum_and_difference(flat, at, other, x, north, south, taken)
            if north == south:
                _copy(flat, at, x, north, taken)


@_jit
def _rings(j0, half, first, n, s, places, columns, b):  # type: ignore[no-untyped-def]
    """(how many of the rings from j0 on are zero, place of the others in the rows) of one order and kind."""
    offset, live = places[(first + n) // 2, s, 0], places[(first + n) // 2, s, 1]
    skip = max(0, half - live - j0)
    return skip, offset * columns + (2 * b + n % 2) * live + j0 - (half - live) + skip


@_jit
def _gather(x, degrees, width, first, taken, rows, places, columns, b, tile, turn, lanes):  # type: ignore[no-untyped-def]
    """Degrees of one sample to rows of every second degree, with zeros for those below the order."""
    for n in range(taken):
        for s in range(2):
            offset, length, zeros = places[(first + n) // 2, s]
            start = offset * columns + (2 * b + n % 2) * length
            _zero(rows, np.uintp(start), zeros)
    for l0 in range(_first_degree(first), degrees, 2 * TILE):
        count = min(2 * TILE, degrees - l0)
        for p in range(2):
            at, length = (l0 + p) * width + first, (count - p + 1) // 2
            _turn(turn, lanes, length, taken, x, at, 2 * width, tile, p * _KIND, TILE)
        for n in range(taken):
            for s in range(2):
                place, start, length = _piece(l0, count, first, n, s, places, columns, b)
                _copy(tile, np.uintp(place), rows, np.uintp(start), length)


@_jit
def _scatter(x, degrees, width, first, taken, rows, places, columns, b, tile, turn, lanes):  # type: ignore[no-untyped-def]
    """The adjoint of ``_gather``: degrees below the order are zero."""
    for l in range(min(_first_degree(first), degrees)):
        _zero(x, np.uintp(l * width + first), taken)
    for l0 in range(_first_degree(first), degrees, 2 * TILE):
        count = min(2 * TILE, degrees - l0)
        if l0 < first // 2 + ORDERS:
            tile[:] = 0
        for n in range(taken):
            for s in range(2):
                place, start, length = _piece(l0, count, first, n, s, places, columns, b)
                _copy(rows, np.uintp(start), tile, np.uintp(place), length)
        for p in range(2):
            at, length = (l0 + p) * width + first, (count - p + 1) // 2
            _turn(turn, lanes, taken, length, tile, p * _KIND, TILE, x, at, 2 * width)


@_jit
def _first_degree(first):  # type: ignore[no-untyped-def]
    """Degrees before this even one are zero for all orders from (first / 2) on."""
    return first // 2 // 2 * 2


@_jit
def _piece(l0, count, first, n, s, places, columns, b):  # type: ignore[no-untyped-def]
    """(place in the tile, place in the rows, length) of degrees l0 ≤ l < l0 + count, l0 even, of one order and kind."""
    m = (first + n) // 2
    offset, degrees, zeros = places[m, s]
    parity = (m + s) % 2  # of the degrees of this kind, which lie in the tile at l = l0 + parity + 2i
    i = max(0, (m + s - l0 - parity) // 2)
    start = offset * columns + (2 * b + n % 2) * degrees + zeros + (l0 + parity - m - s) // 2 + i
    return parity * _KIND + n * TILE + i, start, (count - parity + 1) // 2 - i


@_jit
def _copy(source, at, target, to, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        target[to + np.uintp(i)] = source[at + np.uintp(i)]


MOVES = ("fold", "unfold", "gather", "scatter")


@cache
def mover(kind: str, itemsize: int) -> int:
    """Between a field (B, J, M, 2) and rows of one order, kind (of reflection or of degree), and column (b, part) each:
    ``fold`` and ``gather`` lead to rows, ``unfold`` and ``scatter`` back.

    Arrays: the field, the rows, and places (M, 2, 2 or 3): the offset of each order and kind for one column, the length
    of its rows, and for degrees the zeros at their head; numbers: the first order to be moved and the one after the
    last, the address of ``vectors.transpose`` and the lanes of a vector. A job is a run of chunks, of ``ORDERS`` orders
    of one sample each, those of the same orders side by side.
    """
    dtype = np.float32 if itemsize == 4 else np.float64
    move = MOVES.index(kind)  # a function in its place would keep the machine code from being found in the cache

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (15,), np.int64)
        batch, length, width, columns = t[1], t[2], t[3] * t[4], 2 * t[1]
        rows = carray(pointer(t[5]), (t[6],), dtype)
        places = carray(pointer(t[7]), (t[8], t[9], t[10]), np.int64)
        tile, flat = np.empty(2 * _KIND, dtype), np.empty(2 * _KIND, dtype)
        m0, m1, turn, lanes = t[11], t[12], t[13], t[14]
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for chunk in range(jobs[job, 0], jobs[job, 1]):
                m, b = m0 + chunk // batch * ORDERS, chunk % batch
                first, taken = 2 * m, 2 * min(ORDERS, m1 - m)
                x = carray(pointer(t[0] + b * length * width * itemsize), (length * width,), dtype)
                if move == 0:
                    _fold(x, length, width, first, taken, rows, places, columns, b, tile, flat, turn, lanes)
                elif move == 1:
                    _unfold(x, length, width, first, taken, rows, places, columns, b, tile, flat, turn, lanes)
                elif move == 2:
                    _gather(x, length, width, first, taken, rows, places, columns, b, tile, turn, lanes)
                else:
                    _scatter(x, length, width, first, taken, rows, places, columns, b, tile, turn, lanes)

    return kernel.address or 0
