"""The two Triton kernels of the product with the harmonics of edges; ``ops.edge_product_triton`` launches them.

A program is one warp: a point and a block of channels. It goes over the edges of the point in their order and adds in
registers, so that nothing of the size edges × components exists, no two programs write to the same place, and every run
gives the same bits. A lane has one, two or four channels and all components of them. What belongs to the edge, a number
of its frame, is the same for all lanes; what couples components is written out number by number. So blocks are not
padded, nothing goes from lane to lane but the sum of the torque, and zeros are not multiplied.

Count, for one edge with all paths up to L (R numbers of a frame, n of Clebsch–Gordan, c pairs of components): forward
2R + n + c multiply-adds for each channel, backward 3R + 2n + 2c, and c and the generators for the torque. Bytes are
those no cache can spare, for 32 channels of float32: W weights of a channel, their gradients, the frame.

    L     R     n     c     W    forward   backward   torque    bytes forward   backward
    2    35    19    19    11        108        181       67            1 548      2 956
    4   165   108    85    42        523        881      277            6 036     11 412
    6   455   365   231   106      1 506      2 557      663           15 388     28 956

That is 4 to 7 operations for a byte, where a GPU has more than ten: weights, which no two edges share, bound the time,
not arithmetic. From a memory of 4.8 TB/s an edge takes at least 0.3, 1.3, 3.2 ns forward and 0.6, 2.4, 6.0 ns backward.
Tensor cores would not help: blocks padded to 16 × 16 have eight times the multiply-adds at L = 4. What comes next is
the number of instructions that read: a warp reads each number of a frame once or, where registers do not hold it, for
each turn, R to 3R of them, against W + 2 (L + 1)² for weights and features. Several channels in a lane share them.

Fewer than 32 channels leave lanes idle. A point of very many edges is one program, and takes its time.

Legend: P points that are summed into, E edges, C channels. Offsets within an edge or a point are constants of the
program; numbers of edges and points are 64 bits wide before they are multiplied.
"""

# mypy: disable-error-code="no-untyped-def, assignment"
# Types are triton's here: a tuple grows by assignment.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _place(starts, C: tl.constexpr, CHANNELS: tl.constexpr):
    """The point of the program, where its edges begin and end, and the channels of the lanes."""
    block = tl.program_id(0)
    point = block // ((C + CHANNELS - 1) // CHANNELS)
    channel = block % ((C + CHANNELS - 1) // CHANNELS) * CHANNELS + tl.arange(0, CHANNELS)
    return point.to(tl.int64), tl.load(starts + point), tl.load(starts + point + 1), channel


@triton.jit
def _zeros(COUNT: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr):
    rows = ()
    for _ in tl.static_range(COUNT):
        rows += (tl.full((CHANNELS,), 0.0, SUM),)
    return rows


@triton.jit
def _unpacked(values, WIDE: tl.constexpr, CHANNELS: tl.constexpr):
    """(CHANNELS, WIDE) as a tuple of WIDE columns."""
    if WIDE == 1:
        rows = (tl.reshape(values, (CHANNELS,)),)
    else:
        even, odd = tl.split(tl.reshape(values, (CHANNELS, WIDE // 2, 2)))
        low = _unpacked(even, WIDE // 2, CHANNELS)
        high = _unpacked(odd, WIDE // 2, CHANNELS)
        rows = ()
        for k in tl.static_range(WIDE // 2):
            rows += (low[k], high[k])
    return rows


@triton.jit
def _packed(rows, START: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr):
    """Every STEP-th of the rows, as (CHANNELS, WIDE); beyond the last of them, the last again."""
    if WIDE == 1:
        values = rows[START if len(rows) > START else len(rows) - 1][:, None]
    else:
        even = _packed(rows, START, 2 * STEP, WIDE // 2)
        odd = _packed(rows, START + STEP, 2 * STEP, WIDE // 2)
        values = tl.reshape(tl.join(even, odd), (even.shape[0], WIDE))
    return values


@triton.jit
def _loaded(
    field, channel, COUNT: tl.constexpr, WIDE: tl.constexpr, C: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr
):
    """COUNT rows of channels as a tuple. One instruction of Triton's for all of them: the passes of its compiler that
    go over each load and all that hangs on it would take minutes."""
    row = tl.arange(0, WIDE)[None, :]
    place = field + (row * C + channel[:, None])
    if C % CHANNELS == 0 and COUNT == WIDE:
        values = tl.load(place)
    elif C % CHANNELS == 0:
        values = tl.load(place, mask=row < COUNT, other=0.0)
    else:
        values = tl.load(place, mask=(row < COUNT) & (channel < C)[:, None], other=0.0)
    return _unpacked(values.to(SUM), WIDE, CHANNELS)


@triton.jit
def _store(field, channel, rows, WIDE: tl.constexpr, C: tl.constexpr):
    row = tl.arange(0, WIDE)[None, :]
    there = (row < len(rows)) & (channel < C)[:, None]
    tl.store(field + (row * C + channel[:, None]), _packed(rows, 0, 1, WIDE), mask=there)


@triton.jit
def _turned(field, channel, frame, STREAM: tl.constexpr, C: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr):
    """The components of D x of one stream."""
    n: tl.constexpr = STREAM.size
    seen = _loaded(field + STREAM.row * C, channel, n, STREAM.wide, C, CHANNELS, SUM)
    D = frame + STREAM.block
    rows = ()
    for m in tl.static_range(n):
        total = tl.load(D + m * n).to(SUM) * seen[0]
        for k in tl.static_range(1, n):
            total = tl.fma(tl.load(D + (m * n + k)).to(SUM), seen[k], total)
        rows += (total,)
    return rows


@triton.jit
def _plus_turned_back(
    rows, parts, frame, STREAM: tl.constexpr, START: tl.constexpr, EVICT: tl.constexpr, SUM: tl.constexpr
):
    """rows + Dᵀ parts of one stream, which begins in parts at START."""
    n: tl.constexpr = STREAM.size
    D = frame + STREAM.block
    found = ()
    for k in tl.static_range(n):
        total = rows[STREAM.held + k]
        for m in tl.static_range(n):
            total = tl.fma(tl.load(D + (m * n + k), eviction_policy=EVICT).to(SUM), parts[START + m], total)
        found += (total,)
    return found


@triton.jit
def _weights(weights, channel, RUNS: tl.constexpr, C: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr):
    """The weights of an edge for one stream of the output."""
    held = ()
    for i in tl.static_range(len(RUNS)):
        held += _loaded(weights + RUNS[i][0] * C, channel, RUNS[i][1], RUNS[i][2], C, CHANNELS, SUM)[: RUNS[i][1]]
    return held


@triton.jit
def _factors(held, PAIR: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr):
    """Σ_paths w c_m of a pair of streams, by order m."""
    factors = ()
    for m in tl.static_range(len(PAIR.coefficients[0])):
        total = tl.full((CHANNELS,), 0.0, SUM)
        for p in tl.static_range(len(PAIR.paths)):
            if PAIR.coefficients[p][m] != 0:
                total += held[PAIR.paths[p]] * PAIR.coefficients[p][m]
        factors += (total,)
    return factors


@triton.jit
def _plus_coupled(rows, parts, factors, START: tl.constexpr, FROM: tl.constexpr, TABLE: tl.constexpr):
    """rows, to those of one stream from START on being added what TABLE couples of another stream (``Coupling``)."""
    found = rows[:START]
    for k in tl.static_range(len(TABLE)):
        total = rows[START + k]
        if TABLE[k][2] > 0:
            total += factors[TABLE[k][1]] * parts[FROM + TABLE[k][0]]
        elif TABLE[k][2] < 0:
            total -= factors[TABLE[k][1]] * parts[FROM + TABLE[k][0]]
        found += (total,)
    return found + rows[START + len(TABLE) :]


@triton.jit
def _product(parts, grads, ORDER: tl.constexpr, FROM: tl.constexpr, TABLE: tl.constexpr):
    """The gradient of the factor of one order."""
    total = tl.full(grads[0].shape, 0.0, grads[0].dtype)
    for k in tl.static_range(len(TABLE)):
        if TABLE[k][1] == ORDER:
            if TABLE[k][2] > 0:
                total += grads[k] * parts[FROM + TABLE[k][0]]
            elif TABLE[k][2] < 0:
                total -= grads[k] * parts[FROM + TABLE[k][0]]
    return total


@triton.jit
def _weight_gradients(sums, parts, grads, PAIR: tl.constexpr):
    """sums, with Σ_m c_m · (gradient of the factor of m) at the paths of a pair of streams."""
    products = ()
    for m in tl.static_range(len(PAIR.coefficients[0])):
        products += (_product(parts, grads, m, PAIR.input.held, PAIR.forward),)
    for p in tl.static_range(len(PAIR.paths)):
        total = tl.full(grads[0].shape, 0.0, grads[0].dtype)
        for m in tl.static_range(len(products)):
            if PAIR.coefficients[p][m] != 0:
                total += products[m] * PAIR.coefficients[p][m]
        sums = sums[: PAIR.paths[p]] + (total,) + sums[PAIR.paths[p] + 1 :]  # noqa: RUF005  (triton has no other)
    return sums


@triton.jit
def _plus_torque(torque, a, b, STREAM: tl.constexpr, AXIS: tl.constexpr, START: tl.constexpr):
    """torque + <a, G b> about one axis; a and b begin at START."""
    for i in tl.static_range(len(STREAM.generators[AXIS])):
        torque += (
            a[START + STREAM.generators[AXIS][i][0]] * b[START + STREAM.generators[AXIS][i][1]]
            - a[START + STREAM.generators[AXIS][i][1]] * b[START + STREAM.generators[AXIS][i][0]]
        ) * STREAM.generators[AXIS][i][2]
    return torque


@triton.jit
def _stream(rows, STREAM: tl.constexpr):
    return rows[STREAM.held : STREAM.held + STREAM.size]


# A pointer is not known to be aligned: Triton would read 16 bytes at a time, and have a lane that holds its row only,
# and its four channels, pass them on to other lanes by shuffles and shared memory.
@triton.jit(do_not_specialize_on_alignment=["x", "frames", "weights", "y"])
def sum_edges(
    x,  # (P', K, C)
    frames,  # (E, S)
    weights,  # (E, W, C)
    y,  # (P, M, C)
    order,  # (E,): the edges by point
    others,  # (E,): the point at the other end of each, in that order
    starts,  # (P + 1,): where the edges of a point begin in it
    numbers,  # S
    PLAN: tl.constexpr,
    EVICT: tl.constexpr,  # how a frame is read for the second time
    C: tl.constexpr,
    CHANNELS: tl.constexpr,
    SUM: tl.constexpr,
):
    """The streams of y that the plan has, one after the other for each edge."""
    point, first, last, channel = _place(starts, C, CHANNELS)
    rows = _zeros(PLAN.held, CHANNELS, SUM)
    for place in range(first, last):
        edge = tl.load(order + place).to(tl.int64)
        frame = frames + edge * numbers
        field = x + tl.load(others + place).to(tl.int64) * (PLAN.rows_in * C)
        parts = ()
        for i in tl.static_range(len(PLAN.inputs)):
            parts += _turned(field, channel, frame, PLAN.inputs[i], C, CHANNELS, SUM)
        summed = ()
        for o in tl.static_range(len(PLAN.outputs)):
            w = _weights(weights + edge * (PLAN.paths * C), channel, PLAN.runs[o], C, CHANNELS, SUM)
            found = _zeros(PLAN.outputs[o].size, CHANNELS, SUM)
            for j in tl.static_range(len(PLAN.pairs[o])):
                factors = _factors(w, PLAN.pairs[o][j], CHANNELS, SUM)
                found = _plus_coupled(found, parts, factors, 0, PLAN.pairs[o][j].input.held, PLAN.pairs[o][j].forward)
            summed += _plus_turned_back(rows, found, frame, PLAN.outputs[o], 0, EVICT, SUM)
        rows = summed
    for o in tl.static_range(len(PLAN.outputs)):
        field = y + point * (PLAN.rows_out * C) + PLAN.outputs[o].row * C
        _store(field, channel, _stream(rows, PLAN.outputs[o]), PLAN.outputs[o].wide, C)


@triton.jit(do_not_specialize_on_alignment=["x", "frames", "weights", "grad", "gx", "gw", "torques"])
def sum_edges_back(
    x,  # (P, K, C)
    frames,  # (E, S)
    weights,  # (E, W, C)
    grad,  # (Q, M, C)
    gx,  # (P, K, C)
    gw,  # (E, W, C)
    torques,  # (E, blocks of channels, 2)
    order,
    others,
    starts,
    numbers,
    PLAN: tl.constexpr,
    TORQUE: tl.constexpr,
    C: tl.constexpr,
    CHANNELS: tl.constexpr,
    SUM: tl.constexpr,
):
    """The streams of gx that the plan has, the gradients of their weights, and their part of the torque."""
    point, first, last, channel = _place(starts, C, CHANNELS)
    BLOCKS: tl.constexpr = (C + CHANNELS - 1) // CHANNELS
    rows = _zeros(PLAN.held, CHANNELS, SUM)
    for place in range(first, last):
        edge = tl.load(order + place).to(tl.int64)
        frame = frames + edge * numbers
        upper = grad + tl.load(others + place).to(tl.int64) * (PLAN.rows_out * C)
        parts = ()
        for i in tl.static_range(len(PLAN.inputs)):
            parts += _turned(x + point * (PLAN.rows_in * C), channel, frame, PLAN.inputs[i], C, CHANNELS, SUM)
        back = _zeros(PLAN.held, CHANNELS, SUM)
        about_x = tl.full((CHANNELS,), 0.0, SUM)
        about_y = tl.full((CHANNELS,), 0.0, SUM)
        for o in tl.static_range(len(PLAN.outputs)):
            w = _weights(weights + edge * (PLAN.paths * C), channel, PLAN.runs[o], C, CHANNELS, SUM)
            grads = _turned(upper, channel, frame, PLAN.outputs[o], C, CHANNELS, SUM)
            found = _zeros(PLAN.outputs[o].size, CHANNELS, SUM)
            sums = w
            for j in tl.static_range(len(PLAN.pairs[o])):
                factors = _factors(w, PLAN.pairs[o][j], CHANNELS, SUM)
                back = _plus_coupled(back, grads, factors, PLAN.pairs[o][j].input.held, 0, PLAN.pairs[o][j].back)
                if TORQUE:
                    found = _plus_coupled(
                        found, parts, factors, 0, PLAN.pairs[o][j].input.held, PLAN.pairs[o][j].forward
                    )
                sums = _weight_gradients(sums, parts, grads, PLAN.pairs[o][j])
            _store_weights(gw + edge * (PLAN.paths * C), channel, sums, PLAN.runs[o], C)
            if TORQUE:
                about_x = _plus_torque(about_x, found, grads, PLAN.outputs[o], 0, 0)
                about_y = _plus_torque(about_y, found, grads, PLAN.outputs[o], 1, 0)
        summed = ()
        for i in tl.static_range(len(PLAN.inputs)):
            if TORQUE:
                about_x = _plus_torque(about_x, back, parts, PLAN.inputs[i], 0, PLAN.inputs[i].held)
                about_y = _plus_torque(about_y, back, parts, PLAN.inputs[i], 1, PLAN.inputs[i].held)
            summed += _plus_turned_back(rows, back, frame, PLAN.inputs[i], PLAN.inputs[i].held, "", SUM)
        rows = summed
        if TORQUE:
            own = torques + (edge * BLOCKS + tl.program_id(0) % BLOCKS) * 2
            tl.store(own, tl.sum(about_x, axis=0))
            tl.store(own + 1, tl.sum(about_y, axis=0))
    for i in tl.static_range(len(PLAN.inputs)):
        field = gx + point * (PLAN.rows_in * C) + PLAN.inputs[i].row * C
        _store(field, channel, _stream(rows, PLAN.inputs[i]), PLAN.inputs[i].wide, C)


@triton.jit
def _store_weights(field, channel, sums, RUNS: tl.constexpr, C: tl.constexpr):
    for i in tl.static_range(len(RUNS)):
        _store(field + RUNS[i][0] * C, channel, sums[RUNS[i][3] : RUNS[i][3] + RUNS[i][1]], RUNS[i][2], C)
