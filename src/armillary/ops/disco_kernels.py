"""The compiled kernels of ``ops.disco_cpu``: three loops over latitudes, tiles and channels, and their parts.

A kernel is a C function of one pointer, to what ``ops.threads.run`` describes, and takes jobs (runs of latitudes) as
long as there are any. There is one of each kind for float32 and for float64, compiled once and cached; sizes of blocks
enter with the micro-kernels of ``ops.vectors``, whose addresses are among the arguments.

Shape legend: B batch, C channels, H rings, W longitudes; a tile is a block of longitudes, a few vectors wide.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from numba import carray, types

from armillary.ops.vectors import call, lanes, pointer, take

WEIGHT_COLUMNS = 1024  # longitudes of the responses that a gradient of the weight holds at once

_jit = numba.njit(nogil=True, cache=True)
_entry = numba.cfunc(types.void(types.voidptr), cache=True)


@_jit
def _keep(arrays):  # type: ignore[no-untyped-def]
    """Named in a call at the end of a kernel that works on their addresses, arrays live until then."""


@_jit
def _copy(target, source, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        u = np.uintp(i)  # an index with a sign would keep the loop from being vectorised
        target[u] = source[u]


@_jit
def _extend(row, pad, repeats, left, right):  # type: ignore[no-untyped-def]
    """Continue row[pad : pad + repeats] periodically by so many numbers to both ends."""
    for done in range(0, right, repeats):  # a period at a time, so that a piece never overlaps its source
        end = pad + repeats + done
        _copy(row[end:], row[end - repeats :], min(repeats, right - done))
    for done in range(0, left, repeats):
        count = min(repeats, left - done)
        start = pad - done - count
        _copy(row[start:], row[start + repeats :], count)


@_jit
def _load_ring(rows, held, pad, repeats, left, right):  # type: ignore[no-untyped-def]
    """Copy the rows (C, W) of one ring to held (C, stride, L), longitude u·stride + s at [s, pad + u]."""
    stride = held.shape[1]
    for c in range(rows.shape[0]):
        if stride == 1:
            _copy(held[c, 0, pad:], rows[c], repeats)
        elif stride == 2:
            row, even, odd = rows[c], held[c, 0, pad:], held[c, 1, pad:]
            for i in range(repeats):
                u = np.uintp(i)
                even[u] = row[u + u]
                odd[u] = row[u + u + np.uintp(1)]
        else:
            for s in range(stride):
                for u in range(repeats):
                    held[c, s, pad + u] = rows[c, u * stride + s]
        for s in range(stride):
            _extend(held[c, s], pad, repeats, left, right)


@_jit
def _load_missing(x, entries, begin, end, buffer, held, pad, repeats, reach):  # type: ignore[no-untyped-def]
    """Bring the rings of x (C, H, W) that the entries begin..end need into the rolling buffer."""
    slots = len(held)
    for e in range(begin, end):
        ring = entries[e, 0, 0]
        if held[ring % slots] != ring:
            held[ring % slots] = ring
            _load_ring(x[:, ring], buffer[:, ring % slots], pad, repeats, reach[ring, 0], reach[ring, 1])


@_jit
def _offsets(entries, first, last, stride, slots, length, pad, offsets):  # type: ignore[no-untyped-def]
    """Where the entries (or pairs) first..last of the stencil lie in a rolling buffer of (slots, stride, length)."""
    for e in range(first, last):
        for way in range(entries.shape[1]):
            ring, residue, position = entries[e, way]
            offsets[e - first, way] = ((ring % slots) * stride + residue) * length + pad + position


@_jit
def _most(starts, phases):  # type: ignore[no-untyped-def]
    """The most entries of a latitude."""
    return np.max(starts[phases:] - starts[:-phases])


@_jit
def _write(tile, y, phase, phases, start):  # type: ignore[no-untyped-def]
    """Put a tile, or what of it fits, into every phases-th longitude of the row y."""
    count = min(len(tile), len(y) // phases - start)
    if phases == 1:
        y[start : start + count] = tile[:count]
    else:
        row = y[start * phases + phase :]
        for t in range(count):
            row[np.uintp(t * phases)] = tile[np.uintp(t)]


@cache
def contract_then_mix(itemsize: int) -> int:
    """Arrays x, entries, starts, reach (H, 2), values (blocks, nnz, K), weight (G, O/mix, C·K, mix), bias (O) padded
    alike, and y; numbers slots, pad, length, tile, mix, and the micro-kernels ``contract`` and ``strip``."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (37,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        reach = carray(pointer(t[11]), (t[12], t[13]), np.int64)
        at_values, blocks, n_entries, functions = t[14], t[15], t[16], t[17]
        at_weight, groups, mixes, rows = t[18], t[19], t[20], t[21]
        at_bias, at_y = t[23], t[25]
        y = carray(pointer(at_y), (t[26], t[27], t[28], t[29]), dtype)
        slots, pad, length, tile, mix, contract, strip = t[30], t[31], t[32], t[33], t[34], t[35], t[36]
        batch, channels, _, nlon = x.shape
        _, out_channels, nlat_out, nlon_out = y.shape
        phases, outs = (len(starts) - 1) // nlat_out, out_channels // groups
        repeats = nlon_out // phases
        stride, tiles = nlon // repeats, (repeats + tile - 1) // tile
        plane = slots * stride * length
        buffer = np.zeros((channels, slots, stride, length), dtype)
        z, out = np.empty((channels * blocks * functions, tile), dtype), np.empty((mix, tile), dtype)
        z_rows = np.arange(rows) * tile
        offsets = np.empty((_most(starts, phases), entries.shape[1]), np.int64)
        held = np.empty(slots, np.int64)
        at_buffer, at_offsets, at_z = buffer.ctypes.data, offsets.ctypes.data, z.ctypes.data
        at_z_rows, at_out = z_rows.ctypes.data, out.ctypes.data
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for b in range(batch):
                held[:] = -1
                for j in range(jobs[job, 0], jobs[job, 1]):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    _load_missing(x[b], entries, begin, end, buffer, held, pad, repeats, reach)
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for phase in range(phases):
                        e = starts[j * phases + phase]
                        count = starts[j * phases + phase + 1] - e
                        own = at_offsets + (e - begin) * 8 * entries.shape[1]
                        for i in range(tiles):
                            start = min(i * tile, max(0, repeats - tile))
                            for c in range(channels):
                                source = at_buffer + (c * plane + start) * itemsize
                                for block in range(blocks):
                                    factors = at_values + (block * n_entries + e) * functions * itemsize
                                    target = at_z + (c * blocks + block) * functions * tile * itemsize
                                    call(contract, (source, own, factors, count, target, tile))
                            for g in range(groups):
                                source = at_z + g * rows * tile * itemsize
                                for m in range(mixes):
                                    channel = g * outs + m * mix
                                    factors = at_weight + (g * mixes + m) * rows * mix * itemsize
                                    shifts = at_bias + (g * mixes + m) * mix * itemsize
                                    if phases == 1 and repeats >= tile and (m + 1) * mix <= outs:
                                        row = ((b * out_channels + channel) * nlat_out + j) * nlon_out + start
                                        target, apart = at_y + row * itemsize, nlat_out * nlon_out
                                        call(strip, (source, at_z_rows, factors, rows, shifts, target, apart))
                                    else:
                                        call(strip, (source, at_z_rows, factors, rows, shifts, at_out, tile))
                                        for o in range(min(mix, outs - m * mix)):
                                            _write(out[o], y[b, channel + o, j], phase, phases, start)
        _keep((buffer, offsets, z, z_rows, out))

    return kernel.address or 0


@cache
def mix_then_contract(itemsize: int) -> int:
    """Arrays x, entries, starts, reach (H, 2), values (1, nnz, K), weight (G, O·K/mix, C, mix), bias (O), y; numbers as
    before, but the micro-kernels are ``strip`` for the entries, one row at a time, and ``strip`` for mixing.

    Each ring of the input is mixed to rows (o, k) once, and the entries add those up.
    """
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (37,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        reach = carray(pointer(t[11]), (t[12], t[13]), np.int64)
        at_values, functions = t[14], t[17]
        at_weight, groups, mixes, inner = t[18], t[19], t[20], t[21]
        at_bias = t[23]
        y = carray(pointer(t[25]), (t[26], t[27], t[28], t[29]), dtype)
        slots, pad, length, tile, mix, add, strip = t[30], t[31], t[32], t[33], t[34], t[35], t[36]
        batch, channels, _, nlon = x.shape
        _, out_channels, nlat_out, nlon_out = y.shape
        phases, per_group = (len(starts) - 1) // nlat_out, out_channels // groups * functions
        repeats = nlon_out // phases
        stride, tiles = nlon // repeats, (repeats + tile - 1) // tile
        plane, width = slots * stride * length, (nlon + tile - 1) // tile * tile
        buffer = np.zeros((out_channels * functions + mix, slots, stride, length), dtype)  # a block may run over
        field, out = np.zeros((channels, width), dtype), np.empty((mix, tile), dtype)
        field_rows = np.arange(inner) * width
        most = _most(starts, phases)
        offsets, rows = np.empty((most, 1), np.int64), np.empty(most * functions, np.int64)
        held = np.empty(slots, np.int64)
        at_field, at_field_rows, at_buffer = field.ctypes.data, field_rows.ctypes.data, buffer.ctypes.data
        at_out, at_rows = out.ctypes.data, rows.ctypes.data
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for b in range(batch):
                held[:] = -1
                for j in range(jobs[job, 0], jobs[job, 1]):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    for e in range(begin, end):
                        ring = entries[e, 0, 0]
                        slot = ring % slots
                        if held[slot] == ring:
                            continue
                        held[slot] = ring
                        for c in range(channels):
                            _copy(field[c], x[b, c, ring], nlon)
                        for g in range(groups):
                            for m in range(mixes):
                                row = g * per_group + m * mix
                                factors = at_weight + (g * mixes + m) * inner * mix * itemsize
                                for start in range(0, nlon, tile):
                                    source = at_field + (g * inner * width + start) * itemsize
                                    if stride == 1:
                                        target = at_buffer + ((row * slots + slot) * length + pad + start) * itemsize
                                        call(strip, (source, at_field_rows, factors, inner, 0, target, plane))
                                        continue
                                    call(strip, (source, at_field_rows, factors, inner, 0, at_out, tile))
                                    for i in range(min(mix, per_group - m * mix)):
                                        for p in range(start, min(start + tile, nlon)):
                                            buffer[row + i, slot, p % stride, pad + p // stride] = out[i, p - start]
                        for i in range(out_channels * functions):
                            for s in range(stride):
                                _extend(buffer[i, slot, s], pad, repeats, reach[ring, 0], reach[ring, 1])
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for e in range(end - begin):
                        for k in range(functions):
                            rows[e * functions + k] = offsets[e, 0] + k * plane
                    for phase in range(phases):
                        e = starts[j * phases + phase]
                        count = (starts[j * phases + phase + 1] - e) * functions
                        own = at_rows + (e - begin) * functions * 8
                        factors = at_values + e * functions * itemsize
                        for channel in range(out_channels):
                            for i in range(tiles):
                                start = min(i * tile, max(0, repeats - tile))
                                source = at_buffer + (channel * functions * plane + start) * itemsize
                                shift = at_bias + channel * itemsize
                                call(add, (source, own, factors, count, shift, at_out, tile))
                                _write(out[0], y[b, channel, j], phase, phases, start)
        _keep((buffer, field, field_rows, rows, out))

    return kernel.address or 0


@cache
def weight_gradient(itemsize: int) -> int:
    """Arrays x, entries, starts, reach (H, 2), values (blocks, nnz, K), grad, and sums (jobs, G, chunks, O/mix,
    rows/columns, mix·columns, lanes), to which blocks of the gradient are added; numbers slots, pad, length, tile,
    channels in a chunk, mix, and the micro-kernels ``contract`` and ``products``. Rows (c, k) come in such chunks."""
    dtype, width = (np.float32 if itemsize == 4 else np.float64), lanes(itemsize)

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (39,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        reach = carray(pointer(t[11]), (t[12], t[13]), np.int64)
        at_values, blocks, n_entries, functions = t[14], t[15], t[16], t[17]
        grad = carray(pointer(t[18]), (t[19], t[20], t[21], t[22]), dtype)
        at_sums, groups, chunks, mixes, parts, block_size = t[23], t[25], t[26], t[27], t[28], t[29] * t[30]
        slots, pad, length, tile, at_once, mix, contract, products = (
            t[31],
            t[32],
            t[33],
            t[34],
            t[35],
            t[36],
            t[37],
            t[38],
        )
        columns = t[29] // mix
        batch, channels, _, nlon = x.shape
        _, out_channels, nlat_out, nlon_out = grad.shape
        phases, outs, inner = (len(starts) - 1) // nlat_out, out_channels // groups, channels // groups
        repeats = nlon_out // phases
        stride = nlon // repeats
        plane = slots * stride * length
        most = min(max(WEIGHT_COLUMNS // tile, 1), (repeats + tile - 1) // tile) * tile
        buffer = np.zeros((channels, slots, stride, length), dtype)
        z, g_rows = np.zeros((parts * columns, most), dtype), np.zeros((groups, mixes * mix, most), dtype)
        offsets = np.empty((_most(starts, phases), entries.shape[1]), np.int64)
        held = np.empty(slots, np.int64)
        at_buffer, at_offsets = buffer.ctypes.data, offsets.ctypes.data
        at_z, at_g_rows, at_grad = z.ctypes.data, g_rows.ctypes.data, t[18]
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for b in range(batch):
                held[:] = -1
                for j in range(jobs[job, 0], jobs[job, 1]):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    _load_missing(x[b], entries, begin, end, buffer, held, pad, repeats, reach)
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for phase in range(phases):
                        e = starts[j * phases + phase]
                        count = starts[j * phases + phase + 1] - e
                        own = at_offsets + (e - begin) * 8 * entries.shape[1]
                        for left in range(0, repeats, most):
                            taken = min(most, repeats - left)
                            tiles = (taken + tile - 1) // tile
                            as_it_lies = phases == 1 and outs % mix == 0 and taken == tiles * tile
                            for o in range(0 if as_it_lies else out_channels):
                                row, target = grad[b, o, j, left * phases + phase :], g_rows[o // outs, o % outs]
                                for i in range(taken):
                                    u = np.uintp(i)
                                    target[u] = row[np.uintp(i * phases)]
                                target[taken : tiles * tile] = 0
                            for g in range(groups):
                                for chunk in range(chunks):
                                    for c in range(min(at_once, inner - chunk * at_once)):
                                        channel = g * inner + chunk * at_once + c
                                        for block in range(blocks):
                                            factors = at_values + (block * n_entries + e) * functions * itemsize
                                            row = (c * blocks + block) * functions * most
                                            for i in range(tiles):
                                                source = at_buffer + (channel * plane + left + i * tile) * itemsize
                                                target = at_z + (row + i * tile) * itemsize
                                                call(contract, (source, own, factors, count, target, most))
                                    for m in range(mixes):
                                        if as_it_lies:
                                            channel = b * out_channels + g * outs + m * mix
                                            a = at_grad + ((channel * nlat_out + j) * nlon_out + left) * itemsize
                                            apart = nlat_out * nlon_out
                                        else:
                                            a, apart = at_g_rows + (g * mixes + m) * mix * most * itemsize, most
                                        place = (((job * groups + g) * chunks + chunk) * mixes + m) * parts
                                        for part in range(parts):
                                            target = at_sums + (place + part) * block_size * itemsize
                                            source = at_z + part * columns * most * itemsize
                                            vectors = tiles * tile // width
                                            call(products, (a, apart, source, most, vectors, target))
        _keep((buffer, offsets, z, g_rows))

    return kernel.address or 0
