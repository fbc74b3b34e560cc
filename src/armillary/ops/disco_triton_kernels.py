"""The two Triton kernels of the DISCO contraction; ``ops.disco_triton`` launches them.

A tile is a row of the stencil (a latitude and a phase) and a run of its points: pairs (sample, longitude) counted with
the longitude inside, so that short rows still fill a tile. For a block of channels the neighbourhood is contracted,

    z[k, (c, p)] = Σ_e ψ[k, e] x[e, (c, p)]:     (K × E) · (E × C·P), a matrix product whose right side is gathered,

and, since (k, (c, p)) and ((k, c), p) are the same order in memory, z is at once the right side of the mixing product
``y[o, p] += w[o, (k, c)] z[(k, c), p]``. It never leaves the chip. Neighbouring threads read neighbouring longitudes.

Count for one tile, E entries and all C channels: ``2·E·K·C·P`` operations to contract and ``2·K·C·O·P`` to mix;
``E·C·P`` numbers gathered (a ring is shared by many tiles and comes from cache), ``O·K·C`` weights from cache, ``O·P``
numbers written. A gathered number serves K functions only: the gather, not the products, bounds a wide neighbourhood.

Legend of the blocks: POINTS, ENTRIES, CHANNELS, FUNCTIONS, OUTS; all are powers of two, and what is beyond the end is
read as zero. Offsets within one channel fit 32 bits; those between channels and samples are 64 bits wide.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _outputs(tile, points, repeats, POINTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The sample and the longitude step of each point of a tile, and whether there is such a point."""
    point = tile * POINTS + tl.arange(0, POINTS)
    return (point // repeats).to(tl.int64), point % repeats, point < points


@triton.jit
def _responses(  # type: ignore[no-untyped-def]
    x,  # the first channel of the group in the first sample
    values,  # (K, entries)
    rings,  # (entries,): where the ring of an entry begins in a channel
    columns,  # (entries,): from 0 to nlon - 1
    first,  # of the row
    last,
    tile,
    channel,
    function,
    points,
    repeats,
    stride,
    nlon,
    plane,
    channels,
    inner,
    functions,
    entries,
    ACCUMULATOR: tl.constexpr,
    PRECISION: tl.constexpr,
    POINTS: tl.constexpr,
    ENTRIES: tl.constexpr,
    CHANNELS: tl.constexpr,
    FUNCTIONS: tl.constexpr,
):
    """z (FUNCTIONS, CHANNELS · POINTS) of one tile, from the functions and channels that begin at the given ones."""
    lane = tl.arange(0, CHANNELS * POINTS)
    point = tile * POINTS + lane % POINTS
    own_channel = channel + lane // POINTS
    live = (point < points) & (own_channel < inner)
    field = x + ((point // repeats).to(tl.int64) * channels + own_channel) * plane
    step = point % repeats * stride
    k = function + tl.arange(0, FUNCTIONS)
    own_values = values + k.to(tl.int64) * entries
    z = tl.zeros((FUNCTIONS, CHANNELS * POINTS), ACCUMULATOR)
    for begin in range(first, last, ENTRIES):
        entry = begin + tl.arange(0, ENTRIES)
        there = entry < last
        psi = tl.load(own_values[:, None] + entry[None, :], mask=(k < functions)[:, None] & there[None, :], other=0.0)
        column = tl.load(columns + entry, mask=there, other=0)[:, None] + step[None, :]
        column = tl.where(column >= nlon, column - nlon, column)
        place = tl.load(rings + entry, mask=there, other=0)[:, None] + column
        seen = tl.load(field[None, :] + place, mask=there[:, None] & live[None, :], other=0.0)
        z = tl.dot(psi, seen, z, input_precision=PRECISION, out_dtype=ACCUMULATOR)
    return z


@triton.jit
def contract_and_mix(  # type: ignore[no-untyped-def]
    x,  # (B, C, nlat, nlon)
    weight,  # (O, K, C/G)
    bias,  # (O,) or None
    y,  # (B, O, nlat_out, nlon_out)
    values,
    rings,
    columns,
    starts,
    rows,  # all rows of the stencil, the longest first
    points,
    repeats,
    phases,
    stride,
    nlon,
    plane,
    nlat_out,
    groups,
    inner,
    outs,
    functions,
    entries,
    tiles,
    out_blocks,
    ACCUMULATOR: tl.constexpr,
    PRECISION: tl.constexpr,
    POINTS: tl.constexpr,
    ENTRIES: tl.constexpr,
    CHANNELS: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    OUTS: tl.constexpr,
    DEPTHWISE: tl.constexpr,
):
    """y of one tile and one block of output channels.

    ``DEPTHWISE`` is for groups of one channel each: they are passed as one group, and channels are not mixed.
    """
    program = tl.program_id(0)
    out_block, rest = program % out_blocks, program // out_blocks
    tile, rest = rest % tiles, rest // tiles
    group, rest = rest % groups, rest // groups
    row = tl.load(rows + rest)
    first, last = tl.load(starts + row), tl.load(starts + row + 1)
    k, c = tl.arange(0, FUNCTIONS * CHANNELS) // CHANNELS, tl.arange(0, FUNCTIONS * CHANNELS) % CHANNELS
    out = out_block * OUTS + tl.arange(0, OUTS)
    own = group * outs + out
    first_channel, last_channel = 0, inner
    if DEPTHWISE:
        first_channel, last_channel = out_block * OUTS, out_block * OUTS + 1
    total = tl.zeros((OUTS, POINTS), ACCUMULATOR)
    for function in range(0, functions, FUNCTIONS):
        for channel in range(first_channel, last_channel, CHANNELS):
            z = _responses(
                x + (group * inner).to(tl.int64) * plane,
                values,
                rings,
                columns,
                first,
                last,
                tile,
                channel,
                function,
                points,
                repeats,
                stride,
                nlon,
                plane,
                groups * inner,
                inner,
                functions,
                entries,
                ACCUMULATOR,
                PRECISION,
                POINTS,
                ENTRIES,
                CHANNELS,
                FUNCTIONS,
            )
            if DEPTHWISE:
                own_k = function + tl.arange(0, FUNCTIONS)
                w = tl.load(
                    weight + own[None, :] * functions + own_k[:, None],
                    mask=(own_k < functions)[:, None] & (out < outs)[None, :],
                    other=0.0,
                )
                z = tl.reshape(z, (FUNCTIONS, CHANNELS, POINTS))
                total += tl.sum(z * w.to(ACCUMULATOR)[:, :, None], axis=0)
            else:
                w = tl.load(
                    weight + (own[:, None] * functions + function + k[None, :]) * inner + channel + c[None, :],
                    mask=(out < outs)[:, None] & ((function + k < functions) & (channel + c < inner))[None, :],
                    other=0.0,
                )
                z = tl.reshape(z, (FUNCTIONS * CHANNELS, POINTS)).to(w.dtype)
                total = tl.dot(w, z, total, input_precision=PRECISION, out_dtype=ACCUMULATOR)
    if bias is not None:
        total += tl.load(bias + own, mask=out < outs, other=0.0).to(ACCUMULATOR)[:, None]
    sample, step, live = _outputs(tile, points, repeats, POINTS)
    ring = (sample[None, :] * (groups * outs) + own[:, None]) * nlat_out + row // phases
    place = ring * (repeats * phases) + (step * phases + row % phases)[None, :]
    tl.store(y + place, total, mask=(out < outs)[:, None] & live[None, :])


@triton.jit
def weight_sums(  # type: ignore[no-untyped-def]
    x,  # (B, C, nlat, nlon)
    grad,  # (B, O, nlat_out, nlon_out)
    sums,  # (chunks, O, K, C/G)
    values,
    rings,
    columns,
    starts,
    rows,
    points,
    repeats,
    phases,
    stride,
    nlon,
    plane,
    nlat_out,
    groups,
    inner,
    outs,
    functions,
    entries,
    tiles,
    out_blocks,
    channel_blocks,
    function_blocks,
    jobs,  # rows · tiles
    chunks,
    ACCUMULATOR: tl.constexpr,
    PRECISION: tl.constexpr,
    POINTS: tl.constexpr,
    ENTRIES: tl.constexpr,
    CHANNELS: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    OUTS: tl.constexpr,
    DEPTHWISE: tl.constexpr,
):
    """Σ g zᵀ over every ``chunks``-th tile, for one block of output channels, functions and input channels."""
    program = tl.program_id(0)
    out_block, rest = program % out_blocks, program // out_blocks
    channel, rest = rest % channel_blocks * CHANNELS, rest // channel_blocks
    function, rest = rest % function_blocks * FUNCTIONS, rest // function_blocks
    group, chunk = rest % groups, rest // groups
    if DEPTHWISE:
        out = channel + tl.arange(0, OUTS)
        total = tl.zeros((FUNCTIONS, CHANNELS), ACCUMULATOR)
    else:
        out = out_block * OUTS + tl.arange(0, OUTS)
        total = tl.zeros((OUTS, FUNCTIONS * CHANNELS), ACCUMULATOR)
    own = group * outs + out
    for job in range(chunk, jobs, chunks):
        row, tile = tl.load(rows + job // tiles), job % tiles
        z = _responses(
            x + (group * inner).to(tl.int64) * plane,
            values,
            rings,
            columns,
            tl.load(starts + row),
            tl.load(starts + row + 1),
            tile,
            channel,
            function,
            points,
            repeats,
            stride,
            nlon,
            plane,
            groups * inner,
            inner,
            functions,
            entries,
            ACCUMULATOR,
            PRECISION,
            POINTS,
            ENTRIES,
            CHANNELS,
            FUNCTIONS,
        )
        sample, step, live = _outputs(tile, points, repeats, POINTS)
        ring = (sample[None, :] * (groups * outs) + own[:, None]) * nlat_out + row // phases
        place = ring * (repeats * phases) + (step * phases + row % phases)[None, :]
        g = tl.load(grad + place, mask=(out < outs)[:, None] & live[None, :], other=0.0)
        if DEPTHWISE:
            z = tl.reshape(z, (FUNCTIONS, CHANNELS, POINTS))
            total += tl.sum(z * g.to(ACCUMULATOR)[None, :, :], axis=2)
        else:
            z = tl.reshape(z, (FUNCTIONS * CHANNELS, POINTS)).to(g.dtype)
            total = tl.dot(g, tl.trans(z), total, input_precision=PRECISION, out_dtype=ACCUMULATOR)
    own_sums = sums + chunk.to(tl.int64) * (groups * outs) * functions * inner
    if DEPTHWISE:
        k = function + tl.arange(0, FUNCTIONS)
        own_sums = sums + chunk.to(tl.int64) * outs * functions
        place = own[None, :] * functions + k[:, None]
        tl.store(own_sums + place, total, mask=(k < functions)[:, None] & (out < outs)[None, :])
    else:
        k = function + tl.arange(0, FUNCTIONS * CHANNELS) // CHANNELS
        c = channel + tl.arange(0, FUNCTIONS * CHANNELS) % CHANNELS
        place = (own[:, None] * functions + k[None, :]) * inner + c[None, :]
        tl.store(own_sums + place, total, mask=(out < outs)[:, None] & ((k < functions) & (c < inner))[None, :])
