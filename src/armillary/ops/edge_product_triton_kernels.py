"""The two Triton kernels of the product with the harmonics of edges; ``ops.edge_product_triton`` launches them.

One program is one warp: a point, or a few where channels are fewer than lanes, and a block of channels. It goes over
the edges of the point in their order and adds in registers, so that nothing of the size edges × components exists, no
two programs write to the same place, and every run gives the same bits. A lane has its own channels and all components
of them. Wigner matrices are read number by number, the same number for the whole warp, and every coefficient is written
out: blocks are not padded, components do not move between lanes, and what is zero is not multiplied.

Count, for one edge and channel with all paths up to L (2 L + 1 components of degree L, R = Σ_l (2l + 1)²):

    forward    2 R multiply-adds to turn, n to weigh the coefficients, c to couple,
    backward   3 R                        n                          3 c, and n for the gradient of the weights,

    L         R      n      c    weights    forward    backward    operations/byte of a float32 weight
    2        35     19     19        11        108         200                                     4.9
    4       165     85     65        42        480         860                                     5.7
    6       455    231    147       106       1288        2268                                     6.1

No edge shares its weights: they come from memory once in either pass, and their gradients go there once. A GPU with
ten float32 operations to a byte of memory traffic waits for the weights, not for arithmetic; tensor cores, which want
blocks padded to 16 × 16, would have eight times the work at L = 4. The other numbers of an edge are R of its frame for
each block of channels, and features that come from cache. What is left is reading: of R numbers of a frame, each twice
or three times, by instructions of which a multiprocessor starts one a cycle. ``ops.edge_product_triton`` gives a lane
several channels where they fit its registers, which share these reads.

Legend: P points that are summed into, E edges, C channels; LANES = POINTS · CHANNELS. Offsets within an edge or a point
are constants of the program; the number of a point or edge is 64 bits wide before it is multiplied.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _place(points, starts, C: tl.constexpr, POINTS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The point of each lane, where its edges begin and how many they are; the channel; whether there are both.

    With one point in a program, what belongs to the point or to an edge is a scalar. Lanes without a channel repeat the
    last one, those without a point have no edges.
    """
    block = tl.program_id(0)
    lane = tl.arange(0, POINTS * CHANNELS)
    channel = block % ((C + CHANNELS - 1) // CHANNELS) * CHANNELS + lane % CHANNELS
    point = block // ((C + CHANNELS - 1) // CHANNELS)
    if POINTS > 1:
        point = point * POINTS + lane // CHANNELS
    there = (channel < C) & (point < points)
    own = tl.minimum(point, points - 1)
    first = tl.load(starts + own)
    count = tl.load(starts + own + 1) - first
    if POINTS > 1:
        count = tl.where(point < points, count, 0)
    return own.to(tl.int64), first, count, tl.minimum(channel, C - 1), there


@triton.jit
def _zeros(COUNT: tl.constexpr, LANES: tl.constexpr, SUM: tl.constexpr):  # type: ignore[no-untyped-def]
    rows = ()
    for _ in tl.static_range(COUNT):
        rows += (tl.zeros((LANES,), SUM),)
    return rows


@triton.jit
def _turned(field, frame, STREAM: tl.constexpr, C: tl.constexpr, SUM: tl.constexpr, CACHE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The components of D x of one stream."""
    n: tl.constexpr = STREAM.size
    x = field + STREAM.row * C
    D = frame + STREAM.block
    seen = ()
    for k in tl.static_range(n):
        seen += (tl.load(x + k * C).to(SUM),)
    rows = ()
    for m in tl.static_range(n):
        total = tl.load(D + m * n, cache_modifier=CACHE).to(SUM) * seen[0]
        for k in tl.static_range(1, n):
            total += tl.load(D + (m * n + k), cache_modifier=CACHE).to(SUM) * seen[k]
        rows += (total,)
    return rows


@triton.jit
def _plus_turned_back(rows, parts, frame, live, STREAM: tl.constexpr, ALL: tl.constexpr, SUM: tl.constexpr, EVICT: tl.constexpr):  # type: ignore[no-untyped-def]
    """rows + Dᵀ parts of one stream; of lanes that have no edge now, rows alone."""
    n: tl.constexpr = STREAM.size
    D = frame + STREAM.block
    found = ()
    for k in tl.static_range(n):
        more = tl.load(D + k, eviction_policy=EVICT).to(SUM) * parts[STREAM.held]
        for m in tl.static_range(1, n):
            more += tl.load(D + (m * n + k), eviction_policy=EVICT).to(SUM) * parts[STREAM.held + m]
        if not ALL:
            more = tl.where(live, more, 0.0)
        found += (rows[STREAM.held + k] + more,)
    return found


@triton.jit
def _factors(w, PAIR: tl.constexpr, C: tl.constexpr, LANES: tl.constexpr, SUM: tl.constexpr):  # type: ignore[no-untyped-def]
    """Σ_paths w c_m of a pair of streams, by order m."""
    held = ()
    for p in tl.static_range(len(PAIR.paths)):
        held += (tl.load(w + PAIR.paths[p] * C).to(SUM),)
    factors = ()
    for m in tl.static_range(len(PAIR.coefficients[0])):
        total = tl.zeros((LANES,), SUM)
        for p in tl.static_range(len(PAIR.paths)):
            if PAIR.coefficients[p][m] != 0:
                total += held[p] * PAIR.coefficients[p][m]
        factors += (total,)
    return factors


@triton.jit
def _plus_coupled(rows, parts, factors, START: tl.constexpr, FROM: tl.constexpr, TABLE: tl.constexpr):  # type: ignore[no-untyped-def]
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
def _product(parts, grads, ORDER: tl.constexpr, FROM: tl.constexpr, TABLE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The gradient of the factor of one order."""
    total = tl.zeros_like(grads[0])
    for k in tl.static_range(len(TABLE)):
        if TABLE[k][1] == ORDER:
            if TABLE[k][2] > 0:
                total += grads[k] * parts[FROM + TABLE[k][0]]
            elif TABLE[k][2] < 0:
                total -= grads[k] * parts[FROM + TABLE[k][0]]
    return total


@triton.jit
def _store_weight_gradients(gw, parts, grads, live, PAIR: tl.constexpr, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """Σ_m c_m · (gradient of the factor of m), for each path of a pair of streams."""
    products = ()
    for m in tl.static_range(len(PAIR.coefficients[0])):
        products += (_product(parts, grads, m, PAIR.input.held, PAIR.forward),)
    for p in tl.static_range(len(PAIR.paths)):
        total = tl.zeros_like(grads[0])
        for m in tl.static_range(len(products)):
            if PAIR.coefficients[p][m] != 0:
                total += products[m] * PAIR.coefficients[p][m]
        tl.store(gw + PAIR.paths[p] * C, total, mask=live)


@triton.jit
def _plus_torque(torque, a, b, STREAM: tl.constexpr, AXIS: tl.constexpr, START: tl.constexpr):  # type: ignore[no-untyped-def]
    """torque + <a, G b> about one axis; a and b begin at START."""
    for i in tl.static_range(len(STREAM.generators[AXIS])):
        torque += (
            a[START + STREAM.generators[AXIS][i][0]] * b[START + STREAM.generators[AXIS][i][1]]
            - a[START + STREAM.generators[AXIS][i][1]] * b[START + STREAM.generators[AXIS][i][0]]
        ) * STREAM.generators[AXIS][i][2]
    return torque


@triton.jit
def _store(field, rows, there, STREAM: tl.constexpr, C: tl.constexpr):  # type: ignore[no-untyped-def]
    n: tl.constexpr = STREAM.size
    for k in tl.static_range(n):
        tl.store(field + (STREAM.row + k) * C, rows[STREAM.held + k], mask=there)


@triton.jit
def sum_edges(  # type: ignore[no-untyped-def]
    x,  # (P', K, C)
    frames,  # (E, S)
    weights,  # (E, W, C)
    y,  # (P, M, C)
    order,  # (E,): the edges by point
    others,  # (E,): the point at the other end of each, in that order
    starts,  # (P + 1,): where the edges of a point begin in it
    points,
    edges,
    numbers,  # S
    PLAN: tl.constexpr,
    C: tl.constexpr,
    KEEP: tl.constexpr,
    SUM: tl.constexpr,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """The streams of y that the plan has. Input streams one after the other: each is turned, and coupled to all of
    the output, which is held twice: for this edge, and summed."""
    LANES: tl.constexpr = POINTS * CHANNELS
    point, first, count, channel, there = _place(points, starts, C, POINTS, CHANNELS)
    most = tl.max(count, axis=0) if POINTS > 1 else count
    rows = _zeros(PLAN.held, LANES, SUM)
    for step in range(0, most):
        place = tl.minimum(first + step, edges - 1) if POINTS > 1 else first + step
        edge = tl.load(order + place).to(tl.int64)
        frame = frames + edge * numbers
        w = weights + edge * (PLAN.paths * C) + channel
        field = x + tl.load(others + place).to(tl.int64) * (PLAN.rows_in * C) + channel
        found = _zeros(PLAN.held, LANES, SUM)
        for i in tl.static_range(len(PLAN.inputs)):
            parts = _turned(field, frame, PLAN.inputs[i], C, SUM, "")
            for j in tl.static_range(len(PLAN.pairs[i])):
                factors = _factors(w, PLAN.pairs[i][j], C, LANES, SUM)
                found = _plus_coupled(
                    found, parts, factors, PLAN.pairs[i][j].output.held, 0, PLAN.pairs[i][j].forward
                )
        summed = ()
        for o in tl.static_range(len(PLAN.outputs)):
            summed += _plus_turned_back(rows, found, frame, step < count, PLAN.outputs[o], POINTS == 1, SUM, "" if KEEP else "evict_first")
        rows = summed
    for o in tl.static_range(len(PLAN.outputs)):
        _store(y + point * (PLAN.rows_out * C) + channel, rows, there, PLAN.outputs[o], C)


@triton.jit
def sum_edges_back(  # type: ignore[no-untyped-def]
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
    points,
    edges,
    numbers,
    PLAN: tl.constexpr,
    C: tl.constexpr,
    TORQUE: tl.constexpr,
    KEEP: tl.constexpr,
    SUM: tl.constexpr,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """The streams of gx that the plan has, the gradients of their weights, and their part of the torque. Output streams
    one after the other; the input is held turned, as its gradient for this edge, and as its summed gradient."""
    LANES: tl.constexpr = POINTS * CHANNELS
    BLOCKS: tl.constexpr = (C + CHANNELS - 1) // CHANNELS
    point, first, count, channel, there = _place(points, starts, C, POINTS, CHANNELS)
    most = tl.max(count, axis=0) if POINTS > 1 else count
    rows = _zeros(PLAN.held, LANES, SUM)
    field = x + point * (PLAN.rows_in * C) + channel
    for step in range(0, most):
        live = there & (step < count)
        place = tl.minimum(first + step, edges - 1) if POINTS > 1 else first + step
        edge = tl.load(order + place).to(tl.int64)
        frame = frames + edge * numbers
        at = edge * (PLAN.paths * C) + channel
        upper = grad + tl.load(others + place).to(tl.int64) * (PLAN.rows_out * C) + channel
        parts = ()
        for i in tl.static_range(len(PLAN.inputs)):
            parts += _turned(field, frame, PLAN.inputs[i], C, SUM, "")
        back = _zeros(PLAN.held, LANES, SUM)
        about_x = tl.zeros((LANES,), SUM)
        about_y = tl.zeros((LANES,), SUM)
        for o in tl.static_range(len(PLAN.outputs)):
            grads = _turned(upper, frame, PLAN.outputs[o], C, SUM, "" if KEEP else ".ca")
            found = _zeros(PLAN.outputs[o].size, LANES, SUM)
            for j in tl.static_range(len(PLAN.pairs[o])):
                factors = _factors(weights + at, PLAN.pairs[o][j], C, LANES, SUM)
                back = _plus_coupled(back, grads, factors, PLAN.pairs[o][j].input.held, 0, PLAN.pairs[o][j].back)
                if TORQUE:
                    found = _plus_coupled(
                        found, parts, factors, 0, PLAN.pairs[o][j].input.held, PLAN.pairs[o][j].forward
                    )
                _store_weight_gradients(gw + at, parts, grads, live, PLAN.pairs[o][j], C)
            if TORQUE:
                about_x = _plus_torque(about_x, found, grads, PLAN.outputs[o], 0, 0)
                about_y = _plus_torque(about_y, found, grads, PLAN.outputs[o], 1, 0)
        summed = ()
        for i in tl.static_range(len(PLAN.inputs)):
            if TORQUE:
                about_x = _plus_torque(about_x, back, parts, PLAN.inputs[i], 0, PLAN.inputs[i].held)
                about_y = _plus_torque(about_y, back, parts, PLAN.inputs[i], 1, PLAN.inputs[i].held)
            summed += _plus_turned_back(rows, back, frame, step < count, PLAN.inputs[i], POINTS == 1, SUM, "" if KEEP else "evict_first")
        rows = summed
        if TORQUE:
            lane = tl.arange(0, POINTS * CHANNELS)
            own = torques + (edge * BLOCKS + tl.program_id(0) % BLOCKS) * 2
            _store_torque(own, tl.where(live, about_x, 0.0), live, POINTS, CHANNELS)
            _store_torque(own + 1, tl.where(live, about_y, 0.0), live, POINTS, CHANNELS)
    for i in tl.static_range(len(PLAN.inputs)):
        _store(gx + point * (PLAN.rows_in * C) + channel, rows, there, PLAN.inputs[i], C)


@triton.jit
def _store_torque(place, torque, live, POINTS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The sum over the channels of each edge."""
    if POINTS == 1:
        tl.store(place, tl.sum(torque, axis=0))
    else:
        total = tl.sum(tl.reshape(torque, (POINTS, CHANNELS)), axis=1)
        spread = tl.reshape(tl.broadcast_to(total[:, None], (POINTS, CHANNELS)), (POINTS * CHANNELS,))
        tl.store(place, spread, mask=live & (tl.arange(0, POINTS * CHANNELS) % CHANNELS == 0))
