"""Vector micro-kernels for the CPU: small C functions with all accumulators in registers, made when first needed.

All are matrix products of a small block whose size is known when the code is made. Left to itself a compiler keeps the
accumulators of such loops in memory; here every load, multiply-add and store is written down, for vectors as wide as
the processor has them. A function takes milliseconds to make and is known by its address. Its arguments are int64:
addresses in bytes, strides and offsets in numbers. ``call``, ``pointer`` and ``take`` serve numba code around them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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


class Emitter:
    """Loads, stores and multiply-adds of vectors of float32 or float64 at integer addresses; ``width`` numbers each,
    default ``lanes``."""

    def __init__(self, builder: ir.IRBuilder, itemsize: int, width: int | None = None) -> None:
        self.b = builder
        self.itemsize = itemsize
        self.scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.width = width or lanes(itemsize)
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

    def interleaved(self, a: Any, b: Any, first: int) -> Any:
        """a[first], b[first], a[first + 1], b[first + 1], …: half of the numbers of both."""
        lanes = [first + i // 2 + i % 2 * self.width for i in range(self.width)]
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), self.width), lanes))

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

    def load_vectors(self, address: Any, first: int, count: int) -> list[Any]:
        return [self.load(self.at(address, index((first + v) * self.width))) for v in range(count)]

    def rank_one(self, factors: Any, terms: list[list[Any]], held: list[Any]) -> list[Any]:
        """held[m, v] + factors[m] · terms[m][v]."""
        new = []
        for m, row in enumerate(terms):
            factor = self.broadcast(self.at(factors, index(m)))
            new += [self.fma(factor, term, held[m * len(row) + v]) for v, term in enumerate(row)]
        return new

    def store_block(self, values: list[Any], address: Any, stride: Any, first: int, count: int) -> None:
        """Rows of ``count`` vectors, from the vector ``first`` of each row."""
        for i, value in enumerate(values):
            row = self.at(address, self.b.mul(index(i // count), stride))
            self.store(value, self.at(row, index((first + i % count) * self.width)))

    def constant(self, value: float) -> Any:
        """A number in all places of a vector."""
        return ir.Constant(self.vector, [value] * self.width)

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
    """An int64."""
    return ir.Constant(_INDEX, value)


_keep_alive: list[Any] = []  # machine code lives as long as its engine


def compiled(arguments: int, generate: Callable[[ir.IRBuilder, Any], None]) -> int:
    """The address of a function of so many int64 whose body ``generate`` emits."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INDEX] * arguments), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    generate(builder, function.args)
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple().create_target_machine(
        llvm.get_host_cpu_name(), features, opt=3, jit=True
    )
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    _keep_alive.append(engine)
    return int(engine.get_function_address("kernel"))


@cache
def strip(rows: int, vectors: int, itemsize: int) -> int:
    """y[m, v] = shifts[m] + Σ_i coefficients[i, m] · x[offsets[i] + v] for m < rows and v < vectors · lanes.

    Arguments: x, offsets (int64), coefficients (count, rows), count, shifts, y, stride between rows of y. No shifts
    where their address is 0.
    """

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        x, offsets, coefficients, count, shifts, y, y_stride = arguments
        emit = Emitter(builder, itemsize)
        initial = emit.optional_broadcasts(shifts, rows)
        done = 0
        for block in cut(vectors, rows):

            def body(i: Any, held: list[Any], block: int = block, done: int = done) -> list[Any]:
                source = emit.at(x, emit.load(emit.at(offsets, i, 8), _INDEX))
                loaded = emit.load_vectors(source, done, block)
                factors = emit.at(coefficients, emit.b.mul(i, index(rows)))
                return emit.rank_one(factors, [loaded] * rows, held)

            total = emit.accumulate(count, [value for value in initial for _ in range(block)], body)
            emit.store_block(total, y, y_stride, done, block)
            done += block

    return compiled(7, generate)


@cache
def contract(rows: int, evens: int, vectors: int, itemsize: int) -> int:
    """As ``strip``, without shifts, and with mirrored entries in pairs where ``evens`` is not negative.

    Then an entry has two offsets, a and b, and row m takes ``coefficients[i, m] · (x[a + v] + x[b + v])`` if m < evens,
    the difference otherwise: half the multiply-adds. Arguments: x, offsets, coefficients, count, y, stride of y.
    """
    ways = 2 if evens >= 0 else 1

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        x, offsets, coefficients, count, y, y_stride = arguments
        emit = Emitter(builder, itemsize)
        done = 0
        for block in cut(vectors, rows + ways - 1):

            def body(i: Any, held: list[Any], block: int = block, done: int = done) -> list[Any]:
                place = emit.at(offsets, i, 8 * ways)
                loaded = [
                    emit.load_vectors(emit.at(x, emit.load(emit.at(place, index(way), 8), _INDEX)), done, block)
                    for way in range(ways)
                ]
                terms = [loaded[0]] * rows
                if ways == 2:
                    sums = [emit.b.fadd(a, b) for a, b in zip(*loaded, strict=True)]
                    differences = [emit.b.fsub(a, b) for a, b in zip(*loaded, strict=True)]
                    terms = [sums if m < evens else differences for m in range(rows)]
                return emit.rank_one(emit.at(coefficients, emit.b.mul(i, index(rows))), terms, held)

            total = emit.accumulate(count, [emit.zero] * (rows * block), body)
            emit.store_block(total, y, y_stride, done, block)
            done += block

    return compiled(6, generate)


@cache
def products(rows: int, columns: int, itemsize: int) -> int:
    """sums[m, n, :] += Σ_i a[m, i, :] · b[n, i, :], the last axis the lanes of a vector, for m < rows, n < columns.

    The sum over lanes is left to the end, when all contributions are in. Arguments: a, stride between rows of a, b,
    stride between rows of b, count of vectors in a row, sums.
    """

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        a, a_stride, b, b_stride, count, sums = arguments
        emit = Emitter(builder, itemsize)

        def body(i: Any, held: list[Any]) -> list[Any]:
            at = emit.b.mul(i, index(emit.width))
            left = [emit.load(emit.at(emit.at(a, emit.b.mul(index(m), a_stride)), at)) for m in range(rows)]
            new = list(held)
            for n in range(columns):
                right = emit.load(emit.at(emit.at(b, emit.b.mul(index(n), b_stride)), at))
                for m in range(rows):
                    new[m * columns + n] = emit.fma(left[m], right, held[m * columns + n])
            return new

        places = [emit.at(sums, index(p * emit.width)) for p in range(rows * columns)]
        total = emit.accumulate(count, [emit.load(place) for place in places], body)
        for value, place in zip(total, places, strict=True):
            emit.store(value, place)

    return compiled(6, generate)


@cache
def transpose(itemsize: int) -> int:
    """y[j, i] = x[i, j] for i, j < lanes. Arguments: x, stride between its rows, y, stride between its rows."""

    def generate(builder: ir.IRBuilder, arguments: Any) -> None:
        x, x_stride, y, y_stride = arguments
        emit = Emitter(builder, itemsize)
        rows = [emit.load(emit.at(x, emit.b.mul(index(i), x_stride))) for i in range(emit.width)]
        half = emit.width // 2
        for _ in range(emit.width.bit_length() - 1):  # each step moves the lowest bit of the lane into the row
            rows = [emit.interleaved(rows[i // 2], rows[i // 2 + half], i % 2 * half) for i in range(emit.width)]
        emit.store_block(rows, y, y_stride, 0, 1)

    return compiled(4, generate)


@intrinsic
def call(typingctx, address, arguments):  # type: ignore[no-untyped-def]
    """Call the function at an address with a tuple of integers."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kinds = signature.args[1].types
        items = [builder.extract_value(values[1], i) for i in range(len(kinds))]
        items = [context.cast(builder, v, kind, types.int64) for v, kind in zip(items, kinds, strict=True)]
        kind = ir.FunctionType(ir.VoidType(), [_INDEX] * len(items))
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), items)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


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
