"""The compiled kernels of ``ops.disco_cpu``: the three loops over latitudes, tiles and channels, and their parts.

A kernel is a C function of one pointer, to what ``ops.threads.run`` describes, and takes jobs (runs of latitudes) as
long as there are any. It is made for the sizes of blocks and tiles; the makers give its address.
Shape legend: B batch, C channels, H rings, W longitudes; a tile is a block of longitudes as wide as a few vectors.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from numba import carray, types

from armillary.ops.vectors import contract, lanes, pointer, products, strip, take

WEIGHT_COLUMNS = 1024  # longitudes of the responses that a gradient of the weight holds at once

_jit = numba.njit(nogil=True, cache=True)
_entry = numba.cfunc(types.void(types.voidptr), nopython=True, cache=True)


@_jit
def _keep(arrays):  # type: ignore[no-untyped-def]
    """Named in a call at the end of a kernel that works on their addresses, arrays live until then."""


@_jit
def _extend(row, pad, repeats):  # type: ignore[no-untyped-def]
    """Continue row[pad : pad + repeats] periodically to both ends."""
    for i in range(pad + repeats, row.shape[0]):
        row[i] = row[i - repeats]
    for i in range(pad - 1, -1, -1):
        row[i] = row[i + repeats]


@_jit
def _load_ring(rows, held, pad, repeats):  # type: ignore[no-untyped-def]
    """Copy the rows (C, W) of one ring to held (C, stride, L), longitude u·stride + s at [s, pad + u]."""
    stride = held.shape[1]
    for c in range(rows.shape[0]):
        for s in range(stride):
            if stride == 1:
                held[c, 0, pad : pad + repeats] = rows[c]
            else:
                for u in range(repeats):
                    held[c, s, pad + u] = rows[c, u * stride + s]
            _extend(held[c, s], pad, repeats)


@_jit
def _offsets(entries, first, last, stride, slots, length, pad, offsets):  # type: ignore[no-untyped-def]
    """Where the entries (or pairs) first..last of the stencil lie in a rolling buffer of (slots, stride, length)."""
    for e in range(first, last):
        for way in range(entries.shape[1]):
            ring, residue, position = entries[e, way]
            offsets[e - first, way] = ((ring % slots) * stride + residue) * length + pad + position


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
def contract_then_mix(functions: int, evens: int, mix: int, vectors: int, itemsize: int) -> int:
    """The kernel for blocks of so many functions and output channels and tiles of so many vectors."""
    tile, dtype = vectors * lanes(itemsize), np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (32,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        values = carray(pointer(t[11]), (t[12], t[13], t[14]), dtype)
        weight = carray(pointer(t[15]), (t[16], t[17], t[18], t[19]), dtype)
        bias = carray(pointer(t[20]), (t[21],), dtype)
        y = carray(pointer(t[22]), (t[23], t[24], t[25], t[26]), dtype)
        slots, pad, length = t[27], t[28], t[29]
        batch, channels, _, nlon = x.shape
        nlon_out = y.shape[3]
        blocks, n_entries = values.shape[:2]
        groups, mixes, rows = weight.shape[:3]
        phases = (len(starts) - 1) // y.shape[2]
        repeats, outs = nlon_out // phases, y.shape[1] // groups
        stride = nlon // repeats
        buffer = np.zeros((channels, slots, stride, length), dtype)
        z, out = np.empty((channels * blocks * functions, tile), dtype), np.empty((mix, tile), dtype)
        z_rows = np.arange(rows) * tile
        tiles = (repeats + tile - 1) // tile
        offsets = np.empty((np.max(starts[phases:] - starts[:-phases]), entries.shape[1]), np.int64)
        held = np.empty(slots, np.int64)
        at_buffer = buffer.ctypes.data
        at_offsets = offsets.ctypes.data
        at_values = values.ctypes.data
        at_z = z.ctypes.data
        at_z_rows = z_rows.ctypes.data
        at_weight = weight.ctypes.data
        at_bias = bias.ctypes.data
        at_out = out.ctypes.data
        at_y = y.ctypes.data
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            first, last = jobs[job]
            for b in range(batch):
                held[:] = -1
                for j in range(first, last):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    for e in range(begin, end):
                        ring = entries[e, 0, 0]
                        if held[ring % slots] != ring:
                            held[ring % slots] = ring
                            _load_ring(x[b, :, ring], buffer[:, ring % slots], pad, repeats)
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for phase in range(phases):
                        e, count = (
                            starts[j * phases + phase],
                            starts[j * phases + phase + 1] - starts[j * phases + phase],
                        )
                        for i in range(tiles):
                            start = min(i * tile, max(0, repeats - tile))
                            for c in range(channels):
                                for block in range(blocks):
                                    contract(
                                        at_buffer + (c * slots * stride * length + start) * itemsize,
                                        at_offsets + (e - begin) * 8 * entries.shape[1],
                                        at_values + (block * n_entries + e) * functions * itemsize,
                                        count,
                                        at_z + (c * blocks + block) * functions * tile * itemsize,
                                        tile,
                                        functions,
                                        evens,
                                        vectors,
                                        itemsize,
                                    )
                            for g in range(groups):
                                for m in range(mixes):
                                    channel = g * outs + m * mix
                                    direct = phases == 1 and repeats >= tile and (m + 1) * mix <= outs
                                    if direct:
                                        place = (
                                            at_y
                                            + (((b * y.shape[1] + channel) * y.shape[2] + j) * nlon_out + start)
                                            * itemsize
                                        )
                                        apart = y.shape[2] * nlon_out
                                    else:
                                        place, apart = at_out, tile
                                    strip(
                                        at_z + g * rows * tile * itemsize,
                                        at_z_rows,
                                        at_weight + (g * mixes + m) * rows * mix * itemsize,
                                        rows,
                                        at_bias + (g * mixes + m) * mix * itemsize,
                                        place,
                                        apart,
                                        mix,
                                        vectors,
                                        itemsize,
                                    )
                                    if not direct:
                                        for o in range(min(mix, outs - m * mix)):
                                            _write(out[o], y[b, channel + o, j], phase, phases, start)
        _keep((buffer, offsets, z, z_rows, out))

    return kernel.address or 0


@cache
def mix_then_contract(mix: int, vectors: int, itemsize: int) -> int:
    """As ``_contract_then_mix``; the weight makes rows (o, k) of each input ring, which the entries then add up."""
    tile, dtype = vectors * lanes(itemsize), np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (32,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        values = carray(pointer(t[11]), (t[12], t[13], t[14]), dtype)
        weight = carray(pointer(t[15]), (t[16], t[17], t[18], t[19]), dtype)
        bias = carray(pointer(t[20]), (t[21],), dtype)
        y = carray(pointer(t[22]), (t[23], t[24], t[25], t[26]), dtype)
        slots, pad, length = t[27], t[28], t[29]
        batch, channels, _, nlon = x.shape
        nlon_out = y.shape[3]
        functions = values.shape[2]
        groups, mixes, inner = weight.shape[:3]
        phases = (len(starts) - 1) // y.shape[2]
        repeats, outs = nlon_out // phases, y.shape[1]
        stride = nlon // repeats
        per_group = outs // groups * functions
        plane = slots * stride * length
        buffer = np.zeros((outs * functions + mix, slots, stride, length), dtype)  # a block may run over
        tiles = (repeats + tile - 1) // tile
        width = (nlon + tile - 1) // tile * tile
        field, out = np.zeros((channels, width), dtype), np.empty((mix, tile), dtype)
        field_rows = np.arange(inner) * width
        most = np.max(starts[phases:] - starts[:-phases])
        offsets, rows = np.empty((most, 1), np.int64), np.empty(most * functions, np.int64)
        held = np.empty(slots, np.int64)
        at_field = field.ctypes.data
        at_field_rows = field_rows.ctypes.data
        at_weight = weight.ctypes.data
        at_buffer = buffer.ctypes.data
        at_out = out.ctypes.data
        at_rows = rows.ctypes.data
        at_values = values.ctypes.data
        at_bias = bias.ctypes.data
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            first, last = jobs[job]
            for b in range(batch):
                held[:] = -1
                for j in range(first, last):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    for e in range(begin, end):
                        ring = entries[e, 0, 0]
                        slot = ring % slots
                        if held[slot] == ring:
                            continue
                        held[slot] = ring
                        for c in range(channels):
                            field[c, :nlon] = x[b, c, ring]
                        for g in range(groups):
                            for m in range(mixes):
                                for start in range(0, nlon, tile):
                                    row = g * per_group + m * mix
                                    if stride == 1:
                                        target = (row * slots + slot) * length + pad + start
                                        strip(
                                            at_field + (g * inner * width + start) * itemsize,
                                            at_field_rows,
                                            at_weight + (g * mixes + m) * inner * mix * itemsize,
                                            inner,
                                            0,
                                            at_buffer + target * itemsize,
                                            plane,
                                            mix,
                                            vectors,
                                            itemsize,
                                        )
                                        continue
                                    strip(
                                        at_field + (g * inner * width + start) * itemsize,
                                        at_field_rows,
                                        at_weight + (g * mixes + m) * inner * mix * itemsize,
                                        inner,
                                        0,
                                        at_out,
                                        tile,
                                        mix,
                                        vectors,
                                        itemsize,
                                    )
                                    for i in range(min(mix, per_group - m * mix)):
                                        for t in range(start, min(start + tile, nlon)):
                                            buffer[row + i, slot, t % stride, pad + t // stride] = out[i, t - start]
                        for i in range(outs * functions):
                            for s in range(stride):
                                _extend(buffer[i, slot, s], pad, repeats)
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for e in range(end - begin):
                        for k in range(functions):
                            rows[e * functions + k] = offsets[e, 0] + k * plane
                    for phase in range(phases):
                        e, count = (
                            starts[j * phases + phase],
                            starts[j * phases + phase + 1] - starts[j * phases + phase],
                        )
                        for channel in range(outs):
                            for i in range(tiles):
                                start = min(i * tile, max(0, repeats - tile))
                                strip(
                                    at_buffer + (channel * functions * plane + start) * itemsize,
                                    at_rows + (e - begin) * functions * 8,
                                    at_values + e * functions * itemsize,
                                    count * functions,
                                    at_bias + channel * itemsize,
                                    at_out,
                                    tile,
                                    1,
                                    vectors,
                                    itemsize,
                                )
                                _write(out[0], y[b, channel, j], phase, phases, start)
        _keep((buffer, field, field_rows, rows, out))

    return kernel.address or 0


@cache
def weight_gradient(functions: int, evens: int, mix: int, columns: int, vectors: int, itemsize: int) -> int:
    """The kernel that adds up the gradient of the weight in blocks, its rows (c, k) in chunks of channels.

    ``sums`` is (jobs, G, chunks, O/mix, rows/columns, mix·columns, lanes); the last axis is summed by the caller.
    """
    tile, dtype = vectors * lanes(itemsize), np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (32,), np.int64)
        x = carray(pointer(t[0]), (t[1], t[2], t[3], t[4]), dtype)
        entries = carray(pointer(t[5]), (t[6], t[7], t[8]), np.int64)
        starts = carray(pointer(t[9]), (t[10],), np.int64)
        values = carray(pointer(t[11]), (t[12], t[13], t[14]), dtype)
        grad = carray(pointer(t[15]), (t[16], t[17], t[18], t[19]), dtype)
        sums = carray(pointer(t[20]), (t[21], t[22], t[23], t[24], t[25], t[26], t[27]), dtype)
        slots, pad, length, at_once = t[28], t[29], t[30], t[31]
        batch, channels, _, nlon = x.shape
        nlon_out = grad.shape[3]
        blocks, n_entries = values.shape[:2]
        groups, chunks, mixes, parts = sums.shape[1:5]
        phases = (len(starts) - 1) // grad.shape[2]
        repeats, outs, inner = nlon_out // phases, grad.shape[1] // groups, channels // groups
        stride = nlon // repeats
        buffer = np.zeros((channels, slots, stride, length), dtype)
        most = min(WEIGHT_COLUMNS, (repeats + tile - 1) // tile * tile)
        z, g_rows = np.zeros((parts * columns, most), dtype), np.zeros((groups, mixes * mix, most), dtype)
        offsets = np.empty((np.max(starts[phases:] - starts[:-phases]), entries.shape[1]), np.int64)
        held = np.empty(slots, np.int64)
        at_buffer = buffer.ctypes.data
        at_offsets = offsets.ctypes.data
        at_values = values.ctypes.data
        at_z = z.ctypes.data
        at_g_rows = g_rows.ctypes.data
        at_sums, sums_of_job = sums.ctypes.data, sums[0].size
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            first, last = jobs[job]
            for b in range(batch):
                held[:] = -1
                for j in range(first, last):
                    begin, end = starts[j * phases], starts[(j + 1) * phases]
                    for e in range(begin, end):
                        ring = entries[e, 0, 0]
                        if held[ring % slots] != ring:
                            held[ring % slots] = ring
                            _load_ring(x[b, :, ring], buffer[:, ring % slots], pad, repeats)
                    _offsets(entries, begin, end, stride, slots, length, pad, offsets)
                    for phase in range(phases):
                        e, count = (
                            starts[j * phases + phase],
                            starts[j * phases + phase + 1] - starts[j * phases + phase],
                        )
                        for left in range(0, repeats, most):
                            width = min(most, repeats - left)
                            tiles = (width + tile - 1) // tile
                            for g in range(groups):
                                for o in range(outs):
                                    row = grad[b, g * outs + o, j, left * phases + phase :: phases]
                                    g_rows[g, o, :width] = row[:width]
                                    g_rows[g, o, width : tiles * tile] = 0
                            for g in range(groups):
                                for chunk in range(chunks):
                                    for c in range(min(at_once, inner - chunk * at_once)):
                                        channel = g * inner + chunk * at_once + c
                                        for block in range(blocks):
                                            for i in range(tiles):
                                                contract(
                                                    at_buffer
                                                    + (channel * slots * stride * length + left + i * tile) * itemsize,
                                                    at_offsets + (e - begin) * 8 * entries.shape[1],
                                                    at_values + (block * n_entries + e) * functions * itemsize,
                                                    count,
                                                    at_z
                                                    + ((c * blocks + block) * functions * most + i * tile) * itemsize,
                                                    most,
                                                    functions,
                                                    evens,
                                                    vectors,
                                                    itemsize,
                                                )
                                    for m in range(mixes):
                                        for part in range(parts):
                                            products(
                                                at_g_rows + (g * mixes + m) * mix * most * itemsize,
                                                most,
                                                at_z + part * columns * most * itemsize,
                                                most,
                                                tiles * vectors,
                                                at_sums
                                                + job * sums_of_job * itemsize
                                                + (((g * chunks + chunk) * mixes + m) * parts + part)
                                                * mix
                                                * columns
                                                * (tile // vectors)
                                                * itemsize,
                                                mix,
                                                columns,
                                                itemsize,
                                            )
        _keep((buffer, offsets, z, g_rows))

    return kernel.address or 0
