"""Vector micro-kernels for the CPU: LLVM code with all accumulators in registers, emitted into functions that numba
compiles at first use.

Both are matrix products of a small block that is known when the code is emitted. Left to itself the compiler keeps the
accumulators of such loops in memory; here every load, multiply-add and store is written down, for vectors as wide as
the processor has them. Addresses are integers, in bytes; strides and offsets are counted in numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _vector_unit() -> tuple[int, int]:
    """(bytes in a vector register, number of registers) of this processor."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    return 16, 32 if llvm.get_default_triple().startswith(("aarch64", "arm64")) else 16


VECTOR_BYTES, REGISTERS = _vector_unit()

_INDEX = ir.IntType(64)


def lanes(itemsize: int) -> int:
    """Numbers in a vector."""
    return VECTOR_BYTES // itemsize


def cut(vectors: int, rows: int) -> list[int]:
    """How ``vectors`` columns are cut into blocks so that ``rows`` accumulators for each fit the registers."""
    most = max(1, (REGISTERS - 1) // (rows + 1))
    blocks = -(-vectors // most)
    return [vectors * (b + 1) // blocks - vectors * b // blocks for b in range(blocks)]


class _Emitter:
    """Loads, stores and multiply-adds of vectors of float32 or float64 at integer addresses."""

    def __init__(self, builder: ir.IRBuilder, itemsize: int) -> None:
        self.b = builder
        self.itemsize = itemsize
        self.scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.width = lanes(itemsize)
        self.vector = ir.VectorType(self.scalar, self.width)
        name = f"llvm.fma.v{self.width}f{8 * itemsize}"
        known = builder.module.globals.get(name)
        self.fma_function = known or ir.Function(builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name)
        self.zero = ir.Constant(self.vector, [0.0] * self.width)

    def at(self, address: Any, offset: Any, scale: int | None = None) -> Any:
        """address + offset · itemsize."""
        return self.b.add(address, self.b.mul(offset, index(scale or self.itemsize)))

    def load(self, address: Any, kind: ir.Type | None = None) -> Any:
        pointer = self.b.inttoptr(address, (kind or self.vector).as_pointer())
        value = self.b.load(pointer)
        value.align = self.itemsize
        return value

    def store(self, value: Any, address: Any) -> None:
        self.b.store(value, self.b.inttoptr(address, self.vector.as_pointer())).align = self.itemsize

    def broadcast(self, address: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.b.insert_element(undefined, self.load(address, self.scalar), ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.b.shuffle_vector(first, undefined, zeros)

    def optional_broadcasts(self, address: Any, count: int) -> list[Any]:
        """The numbers at the address, each in a vector; zeros if the address is 0."""
        before = self.b.block
        given, after = self.b.append_basic_block("given"), self.b.append_basic_block("joined")
        self.b.cbranch(self.b.icmp_signed("!=", address, index(0)), given, after)
        self.b.position_at_end(given)
        values = [self.broadcast(self.at(address, index(i))) for i in range(count)]
        self.b.branch(after)
        self.b.position_at_end(after)
        joined = []
        for value in values:
            phi = self.b.phi(self.vector)
            phi.add_incoming(self.zero, before)
            phi.add_incoming(value, given)
            joined.append(phi)
        return joined

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.b.call(self.fma_function, [a, b, c])

    def accumulate(self, count: Any, start: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """``for i in range(count): accumulators = body(i, accumulators)``, the accumulators in registers."""
        before = self.b.block
        head = self.b.append_basic_block("head")
        inside = self.b.append_basic_block("inside")
        after = self.b.append_basic_block("after")
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(_INDEX)
        i.add_incoming(index(0), before)
        held = []
        for value in start:
            phi = self.b.phi(self.vector)
            phi.add_incoming(value, before)
            held.append(phi)
        self.b.cbranch(self.b.icmp_signed("<", i, count), inside, after)
        self.b.position_at_end(inside)
        new = body(i, held)
        i.add_incoming(self.b.add(i, index(1)), self.b.block)
        for phi, value in zip(held, new, strict=True):
            phi.add_incoming(value, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return held


def index(value: int) -> ir.Constant:
    return ir.Constant(_INDEX, value)


@intrinsic
def pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An address as a pointer, which ``numba.carray`` makes an array of."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def take(typingctx, counter):  # type: ignore[no-untyped-def]
    """Add one to the int64 at an address, in one step for all threads; gives what was there."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = builder.inttoptr(arguments[0], _INDEX.as_pointer())
        return builder.atomic_rmw("add", place, index(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic(prefer_literal=True)
def strip(typingctx, x, offsets, coefficients, count, shifts, y, y_stride, rows, vectors, itemsize):  # type: ignore[no-untyped-def]
    """y[m, v] = shifts[m] + Σ_i coefficients[i, m] · x[offsets[i] + v] for m < rows and v < vectors · lanes.

    ``coefficients`` is (count, rows) in row-major order, offsets int64; row m of y begins at m · y_stride. No shifts
    where their address is 0. The last three arguments are literal integers.
    """
    m, columns, size = rows.literal_value, vectors.literal_value, itemsize.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, offsets, coefficients, count, shifts, y, y_stride = arguments[:7]
        emit = _Emitter(builder, size)
        initial = emit.optional_broadcasts(shifts, m)
        done = 0
        for block in cut(columns, m):

            def body(i, held, block=block, done=done):  # type: ignore[no-untyped-def]
                source = emit.at(x, emit.load(emit.at(offsets, i, 8), _INDEX))
                loaded = [emit.load(emit.at(source, index((done + v) * emit.width))) for v in range(block)]
                factors = emit.at(coefficients, emit.b.mul(i, index(m)))
                new = []
                for r in range(m):
                    factor = emit.broadcast(emit.at(factors, index(r)))
                    new += [emit.fma(factor, loaded[v], held[r * block + v]) for v in range(block)]
                return new

            total = emit.accumulate(count, [value for value in initial for _ in range(block)], body)
            for r in range(m):
                row = emit.at(y, emit.b.mul(index(r), y_stride))
                for v in range(block):
                    emit.store(total[r * block + v], emit.at(row, index((done + v) * emit.width)))
            done += block
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7, rows, vectors, itemsize), generate


@intrinsic(prefer_literal=True)
def contract(typingctx, x, offsets, coefficients, count, y, y_stride, rows, evens, vectors, itemsize):  # type: ignore[no-untyped-def]
    """As ``strip``, without shifts, and with mirrored entries paired where ``evens`` is not negative.

    Then an entry has two offsets, a and b, and row m takes ``coefficients[i, m] · (x[a + v] + x[b + v])`` if m < evens,
    the difference otherwise: half the multiply-adds. The last four arguments are literal integers.
    """
    m, even = rows.literal_value, evens.literal_value
    columns, size = vectors.literal_value, itemsize.literal_value
    ways = 2 if even >= 0 else 1

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, offsets, coefficients, count, y, y_stride = arguments[:6]
        emit = _Emitter(builder, size)
        done = 0
        for block in cut(columns, m + ways - 1):

            def body(i, held, block=block, done=done):  # type: ignore[no-untyped-def]
                loaded = []
                for way in range(ways):
                    offset = emit.load(emit.at(emit.at(offsets, i, 8 * ways), index(way), 8), _INDEX)
                    source = emit.at(x, offset)
                    loaded.append([emit.load(emit.at(source, index((done + v) * emit.width))) for v in range(block)])
                sums = differences = loaded[0]
                if ways == 2:
                    sums = [emit.b.fadd(a, b) for a, b in zip(*loaded, strict=True)]
                    differences = [emit.b.fsub(a, b) for a, b in zip(*loaded, strict=True)]
                factors = emit.at(coefficients, emit.b.mul(i, index(m)))
                new = []
                for r in range(m):
                    factor = emit.broadcast(emit.at(factors, index(r)))
                    terms = sums if r < even else differences
                    new += [emit.fma(factor, terms[v], held[r * block + v]) for v in range(block)]
                return new

            total = emit.accumulate(count, [emit.zero] * (m * block), body)
            for r in range(m):
                row = emit.at(y, emit.b.mul(index(r), y_stride))
                for v in range(block):
                    emit.store(total[r * block + v], emit.at(row, index((done + v) * emit.width)))
            done += block
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, rows, evens, vectors, itemsize), generate


@intrinsic(prefer_literal=True)
def products(typingctx, a, a_stride, b, b_stride, count, sums, rows, columns, itemsize):  # type: ignore[no-untyped-def]
    """sums[m, n, :] += Σ_i a[m, i, :] · b[n, i, :], the last axis the lanes of a vector, for m < rows, n < columns.

    The sum over lanes is left to the end, when all contributions are in. Row m of ``a`` begins at m · a_stride and has
    ``count`` vectors. The last three arguments are literal integers.
    """
    m, n, size = rows.literal_value, columns.literal_value, itemsize.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        a, a_stride, b, b_stride, count, sums = arguments[:6]
        emit = _Emitter(builder, size)

        def body(i, held):  # type: ignore[no-untyped-def]
            at = emit.b.mul(i, index(emit.width))
            left = [emit.load(emit.at(emit.at(a, emit.b.mul(index(r), a_stride)), at)) for r in range(m)]
            new = list(held)
            for c in range(n):
                right = emit.load(emit.at(emit.at(b, emit.b.mul(index(c), b_stride)), at))
                for r in range(m):
                    new[r * n + c] = emit.fma(left[r], right, held[r * n + c])
            return new

        places = [emit.at(sums, index(p * emit.width)) for p in range(m * n)]
        total = emit.accumulate(count, [emit.load(place) for place in places], body)
        for value, place in zip(total, places, strict=True):
            emit.store(value, place)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, rows, columns, itemsize), generate
