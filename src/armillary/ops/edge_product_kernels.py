"""The compiled kernels of ``ops.edge_product_cpu``: what one edge does to one vector of channels, and the loops around.

The code for an edge is written for one product: degrees, paths and the number of channels are constants in it. Turning
a stream by its Wigner matrix is a product with all rows of the result in registers; the coefficients of the paths are
written out, number by number, since most couple one component with one. The loops over points and edges are compiled
once, for all products.

The numbers of one edge and channel, L = lmax of everything: (L + 1)(2L + 1)(2L + 3)/3 multiply-adds for each turn (two
in a forward pass, three in a backward pass), and about as many for the paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types

from armillary.ops.edge_generators import generators, wigner_size
from armillary.ops.edge_paths import EdgePaths, Pair
from armillary.ops.vectors import Emitter, call, compiled, index, pointer, take

_entry = numba.cfunc(types.void(types.voidptr), cache=True)
Rows = list[list[Any]]


class _Edge:
    """Emits the parts of the work on one edge, ``width`` channels out of ``channels``."""

    def __init__(self, builder: ir.IRBuilder, plan: EdgePaths, channels: int, width: int, itemsize: int) -> None:
        self.emit = Emitter(builder, itemsize, width)
        self.plan, self.channels = plan, channels
        most = 2 * plan.lmax + 1
        memory = builder.alloca(self.emit.vector, most)
        memory.align = 64
        self.scratch = builder.ptrtoint(memory, ir.IntType(64))

    def row(self, base: Any, number: int) -> Any:
        """Where a row of (rows, channels) begins."""
        return self.emit.at(base, index(number * self.channels))

    def turned(self, D: Any, x: Any, degrees: Sequence[int], rows: Sequence[int]) -> Rows:
        """D x by stream: vectors."""
        return [self._turn(D, self.row(x, a), l) for l, a in zip(degrees, rows, strict=False)]

    def _turn(self, D: Any, x: Any, l: int) -> list[Any]:
        e, n = self.emit, 2 * l + 1
        block = e.at(D, index(wigner_size(l - 1)))
        if l == 0:
            return [e.load(x)]

        def body(k: Any, held: list[Any]) -> list[Any]:
            value = e.load(e.at(x, e.b.mul(k, index(self.channels))))
            column = e.at(block, k)
            return [e.fma(e.broadcast(e.at(column, index(m * n))), value, h) for m, h in enumerate(held)]

        return e.accumulate(index(n), [e.zero] * n, body)

    def add_turned_back(self, parts: Rows, D: Any, y: Any, degrees: Sequence[int], rows: Sequence[int]) -> None:
        """y += Dᵀ parts, in memory."""
        for part, l, a in zip(parts, degrees, rows, strict=False):
            e, n, target = self.emit, 2 * l + 1, self.row(y, a)
            places = [self.row(target, m) for m in range(n)]
            held = [e.load(place) for place in places]
            if l == 0:
                e.store(e.b.fadd(held[0], part[0]), places[0])
                continue
            size = index(e.width * e.itemsize)
            for m, value in enumerate(part):
                e.store(value, e.b.add(self.scratch, e.b.mul(index(m), size)))
            block = e.at(D, index(wigner_size(l - 1)))

            def body(k: Any, held: list[Any], block: Any = block, n: int = n, size: Any = size) -> list[Any]:
                e = self.emit
                value = e.load(e.b.add(self.scratch, e.b.mul(k, size)))
                row = e.at(block, e.b.mul(k, index(n)))
                return [e.fma(e.broadcast(e.at(row, index(m))), value, h) for m, h in enumerate(held)]

            for place, value in zip(places, e.accumulate(index(n), held, body), strict=True):
                e.store(value, place)

    def nothing(self, degrees: Sequence[int]) -> Rows:
        return [[None] * (2 * l + 1) for l in degrees]

    def add(self, rows: list[Any], m: int, a: Any, b: Any, negative: bool = False) -> None:
        """rows[m] += ± a b."""
        e = self.emit
        a = e.b.fneg(a) if negative else a
        rows[m] = e.b.fmul(a, b) if rows[m] is None else e.fma(a, b, rows[m])

    def weights(self, w: Any, pair: Pair) -> list[Any]:
        return [self.emit.load(self.row(w, path)) for path in pair.paths]

    def factor(self, loaded: Sequence[Any], pair: Pair, m: int) -> Any:
        """Σ_paths w c_m; None where all are 0."""
        total: list[Any] = [None]
        for value, row in zip(loaded, pair.coefficients, strict=True):
            if row[m]:
                self.add(total, 0, value, self.emit.constant(row[m]))
        return total[0]

    def couplings(self, pair: Pair, m: int) -> list[tuple[int, int, bool]]:
        """(component out, component in, sign) that the factor of m couples."""
        l1, l3 = self.plan.degrees_in[pair.source], self.plan.degrees_out[pair.target]
        if pair.odd:
            return [(l3 + m, l1 - m, False), (l3 - m, l1 + m, True)]
        return [(l3 + m, l1 + m, False), (l3 - m, l1 - m, False)][: 2 if m else 1]

    def contracted(self, parts: Rows, w: Any) -> Rows:
        """T(w) x̃."""
        found = self.nothing(self.plan.degrees_out)
        for pair in self.plan.pairs:
            loaded = self.weights(w, pair)
            for m in range(len(pair.coefficients[0])):
                factor = self.factor(loaded, pair, m)
                for out, start, negative in self.couplings(pair, m) if factor is not None else ():
                    self.add(found[pair.target], out, factor, parts[pair.source][start], negative)
        return self.filled(found)

    def contracted_back(self, parts: Rows, grads: Rows, w: Any, gw: Any, forward: bool) -> tuple[Rows, Rows]:
        """T(w)ᵀ g̃ and, where asked for, T(w) x̃; the gradient of the weights goes to memory."""
        e = self.emit
        back, found = self.nothing(self.plan.degrees_in), self.nothing(self.plan.degrees_out)
        for pair in self.plan.pairs:
            loaded, sums = self.weights(w, pair), [None] * len(pair.paths)
            for m in range(len(pair.coefficients[0])):
                factor, product = self.factor(loaded, pair, m), [None]
                if factor is None:
                    continue
                for out, start, negative in self.couplings(pair, m):
                    x, g = parts[pair.source][start], grads[pair.target][out]
                    self.add(back[pair.source], start, factor, g, negative)
                    if forward:
                        self.add(found[pair.target], out, factor, x, negative)
                    self.add(product, 0, x, g, negative)
                for p, row in enumerate(pair.coefficients):
                    if row[m]:
                        self.add(sums, p, product[0], e.constant(row[m]))
            for path, value in zip(pair.paths, sums, strict=True):
                e.store(e.zero if value is None else value, self.row(gw, path))
        return self.filled(back), self.filled(found)

    def filled(self, rows: Rows) -> Rows:
        return [[self.emit.zero if value is None else value for value in row] for row in rows]

    def add_torque(self, torque: list[Any], parts: Rows, turned: Rows, degrees: Sequence[int]) -> None:
        """torque[k] += Σ parts · G_k turned, for k = x, y."""
        e = self.emit
        for a, b, l in zip(parts, turned, degrees, strict=True):
            for k, generator in enumerate(generators(l)[:2].tolist()):
                for m in range(2 * l + 1):
                    for n in range(m):
                        if abs(generator[m][n]) > 1e-9:
                            wedge = e.fma(a[m], b[n], e.b.fneg(e.b.fmul(a[n], b[m])))
                            self.add(torque, k, wedge, e.constant(generator[m][n]))


@cache
def edge_forward(plan: EdgePaths, channels: int, width: int, itemsize: int) -> int:
    """y += Dᵀ T(w) D x. Arguments: x, D, w, y."""

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        x, D, w, y = arguments
        edge = _Edge(builder, plan, channels, width, itemsize)
        parts = edge.turned(D, x, plan.degrees_in, plan.rows_in)
        edge.add_turned_back(edge.contracted(parts, w), D, y, plan.degrees_out, plan.rows_out)

    return compiled(4, generate)


@cache
def edge_backward(plan: EdgePaths, channels: int, width: int, itemsize: int, torque: bool) -> int:
    """gx += …, gw = …, torque (2, width) += …. Arguments: x, D, w, g, gx, gw, torque."""

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        x, D, w, g, gx, gw, t = arguments
        edge = _Edge(builder, plan, channels, width, itemsize)
        e = edge.emit
        parts = edge.turned(D, x, plan.degrees_in, plan.rows_in)
        grads = edge.turned(D, g, plan.degrees_out, plan.rows_out)
        back, found = edge.contracted_back(parts, grads, w, gw, torque)
        if torque:
            places = [e.at(t, index(k * e.width)) for k in (0, 1)]
            sums = [e.load(place) for place in places]
            edge.add_torque(sums, back, parts, plan.degrees_in)
            edge.add_torque(sums, found, grads, plan.degrees_out)
            for place, value in zip(places, sums, strict=True):
                e.store(value, place)
        edge.add_turned_back(back, D, gx, plan.degrees_in, plan.rows_in)

    return compiled(7, generate)


@cache
def sum_edges(itemsize: int) -> int:
    """Arrays x (P, K·C), D (E, S), w (E, W·C), y (Q, M·C), order (E,), starts (Q + 1,), source (E,); numbers: channels,
    width and address of the code for most channels, and for those that are left. A job is a run of targets."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (22,), np.int64)
        y = carray(pointer(t[9]), (t[10], t[11]), dtype)
        order, starts = carray(pointer(t[12]), (t[13],), np.int64), carray(pointer(t[14]), (t[15],), np.int64)
        source = carray(pointer(t[16]), (t[17],), np.int64)
        channels, width, code, last = t[18], t[19], t[20], t[21]
        whole = channels // width * width
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for i in range(jobs[job, 0], jobs[job, 1]):
                y[i] = 0
                for place in range(starts[i], starts[i + 1]):
                    e = order[place]
                    x_at, y_at = t[0] + source[e] * t[2] * itemsize, t[9] + i * t[11] * itemsize
                    D_at, w_at = t[3] + e * t[5] * itemsize, t[6] + e * t[8] * itemsize
                    for c in range(0, whole, width):
                        shift = c * itemsize
                        call(code, (x_at + shift, D_at, w_at + shift, y_at + shift))
                    if whole < channels:
                        shift = whole * itemsize
                        call(last, (x_at + shift, D_at, w_at + shift, y_at + shift))

    return kernel.address or 0


@cache
def sum_edges_back(itemsize: int) -> int:
    """Arrays x (P, K·C), D (E, S), w (E, W·C), grad (Q, M·C), gx (P, K·C), gw (E, W·C), torque (E, 3), order (E,),
    starts (P + 1,), target (E,); numbers as ``sum_edges``. A job is a run of sources."""
    dtype = np.float32 if itemsize == 4 else np.float64

    @_entry
    def kernel(data):  # type: ignore[no-untyped-def]
        head = carray(data, (4,), np.int64)
        jobs, t = carray(pointer(head[2]), (head[1], 2), np.int64), carray(pointer(head[3]), (31,), np.int64)
        gx, torque = carray(pointer(t[12]), (t[13], t[14]), dtype), carray(pointer(t[18]), (t[19], t[20]), dtype)
        order, starts = carray(pointer(t[21]), (t[22],), np.int64), carray(pointer(t[23]), (t[24],), np.int64)
        target = carray(pointer(t[25]), (t[26],), np.int64)
        channels, width, code, last = t[27], t[28], t[29], t[30]
        whole = channels // width * width
        most, rest = np.zeros((2, width), dtype), np.zeros((2, max(1, channels - whole)), dtype)
        most_at, rest_at = most.ctypes.data, rest.ctypes.data
        while True:
            job = take(head.ctypes.data)
            if job >= len(jobs):
                break
            for j in range(jobs[job, 0], jobs[job, 1]):
                gx[j] = 0
                for place in range(starts[j], starts[j + 1]):
                    e = order[place]
                    x_at, gx_at = t[0] + j * t[2] * itemsize, t[12] + j * t[14] * itemsize
                    D_at, g_at = t[3] + e * t[5] * itemsize, t[9] + target[e] * t[11] * itemsize
                    w_at, gw_at = t[6] + e * t[8] * itemsize, t[15] + e * t[17] * itemsize
                    most[:] = 0
                    rest[:] = 0
                    for c in range(0, whole, width):
                        s = c * itemsize
                        call(code, (x_at + s, D_at, w_at + s, g_at + s, gx_at + s, gw_at + s, most_at))
                    if whole < channels:
                        s = whole * itemsize
                        call(last, (x_at + s, D_at, w_at + s, g_at + s, gx_at + s, gw_at + s, rest_at))
                    for k in range(2):
                        torque[e, k] = most[k].sum() + rest[k].sum()
                    torque[e, 2] = 0

    return kernel.address or 0
