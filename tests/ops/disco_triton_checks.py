"""What the Triton kernels must do. ``test_triton.py`` runs this file in a process of its own.

In Triton's interpreter (TRITON_INTERPRET=1, which has to be set before triton is imported) fields lie on the CPU and
the kernels run as numpy; without it they run on a GPU.
"""

from __future__ import annotations

import os
from itertools import product

import pytest
import torch
from tests.ops.test_disco_cpu import LAYERS, close, parts
from tests.ops.test_disco_operator import SHAPES, problem, randn
from torch import Tensor, nn

from armillary.nn import DiscoConv, PiecewiseLinear
from armillary.ops import disco_cpu, disco_triton
from armillary.ops.disco import _disco_cuda, _disco_grad_weight_cuda, disco_grad_weight_reference, disco_reference
from armillary.ops.disco_triton import disco_grad_weight_triton
from armillary.spaces import Equiangular

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
MORE_SHAPES = [
    (1, 37, 3, 1, 40, 3, 10, 2, 10),  # several blocks of channels and of functions
    (1, 3, 140, 1, 2, 2, 6, 2, 6),  # several blocks of outputs
    (5, 4, 4, 2, 3, 3, 30, 4, 45),  # tiles that hold parts of several samples
    (2, 9, 9, 9, 5, 2, 20, 2, 20),  # depthwise, several blocks of channels
]
# The interpreter takes seconds for a layer.
LAYER_NAMES = ["axisymmetric, global", "strided by three", "depthwise"] if INTERPRETED else list(LAYERS)


if INTERPRETED:
    # The interpreter keeps bfloat16 as its bits in uint16: it multiplies these, and rounds without a carry. Here such
    # numbers are multiplied as float32 and rounded by torch.
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    plain_dot, plain_cast = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl

    def widened(a: TensorHandle) -> TensorHandle:
        if a.dtype.scalar != tl.bfloat16:
            return a
        return TensorHandle((a.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self, a, b, *others):
        return plain_dot(self, widened(a), widened(b), *others)

    def cast_impl(self, a, wanted):
        if a.dtype.scalar == tl.float32 and wanted.scalar == tl.bfloat16:
            bits = torch.from_numpy(np.ascontiguousarray(a.data)).bfloat16().view(torch.int16).numpy().view(np.uint16)
            return TensorHandle(bits, wanted.scalar)
        return plain_cast(self, a, wanted)

    InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl = create_dot, cast_impl


def moved(arguments: tuple) -> tuple:
    """The arguments of the operator on the device of the tests."""
    return tuple([t.to(DEVICE) for t in a] if isinstance(a, list) else a.to(DEVICE) if isinstance(a, Tensor) else a
                 for a in arguments)  # fmt: skip


def turned(weight: Tensor, groups: int) -> Tensor:
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def check(arguments: tuple, relative: float) -> None:
    """All that the two operators compute, on the given arguments, against the twin in float64."""
    exact = tuple(
        [a[0].double(), *a[1:]] if isinstance(a, list) else a.double() if isinstance(a, Tensor) else a
        for a in arguments
    )
    x, weight, _, stencil, _, groups, _ = arguments
    field, w, _, twin, *_ = exact
    y = _disco_cuda(*arguments)
    assert (y.dtype, y.device) == (x.dtype, x.device)
    assert close(y.double(), disco_reference(*exact), relative)
    g = randn(*y.shape, seed=3).to(y)
    back = _disco_cuda(g, turned(weight, groups), None, stencil, x.shape[3], groups, True)
    wanted = disco_reference(g.double(), turned(w, groups), None, twin, x.shape[3], groups, True)
    assert back.dtype == x.dtype
    assert close(back.double(), wanted, relative)
    gw = _disco_grad_weight_cuda(x, g, stencil, weight.shape[2], groups)
    wanted = disco_grad_weight_reference(field, g.double(), twin, weight.shape[2], groups)
    assert (gw.dtype, gw.device, gw.is_contiguous()) == (x.dtype, x.device, True)
    assert close(gw.double(), wanted, relative)
    if g.numel() > 1000:
        return
    for adjoint in (False, True):  # whichever side is contracted
        pair = (g, x) if adjoint else (x, g)
        gw = disco_triton._grad_weight(*pair, stencil, weight.shape[2], groups, adjoint)
        assert close((turned(gw, groups) if adjoint else gw).double(), wanted, relative)


@pytest.mark.parametrize("shape", SHAPES + MORE_SHAPES)
def test_shapes(shape: tuple) -> None:
    check(moved(problem(shape)), 1e-12)


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_layers(name: str) -> None:
    check(moved(parts(LAYERS[name](), torch.float64)), 1e-12)


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[5], SHAPES[7]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_lower_precision(shape: tuple, dtype: torch.dtype) -> None:
    """Half precision is summed in float32; responses and results are rounded."""
    check(moved(problem(shape, dtype)), 4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(("programs", "shape"), [(1, SHAPES[1]), (7, SHAPES[8])])
def test_several_tiles_in_a_chunk(monkeypatch: pytest.MonkeyPatch, programs: int, shape: tuple) -> None:
    monkeypatch.setattr(disco_triton, "_PROGRAMS", programs)
    check(moved(problem(shape)), 1e-12)


def test_results_are_the_same_bit_by_bit() -> None:
    arguments = moved(problem((2, 6, 5, 1, 3, 2, 96, 2, 96), torch.float32))
    y = _disco_cuda(*arguments)
    assert torch.equal(_disco_cuda(*arguments), y)
    weights = [_disco_grad_weight_cuda(arguments[0], y, arguments[3], 3, 1) for _ in range(2)]
    assert torch.equal(*weights)


def test_strided_arguments() -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = moved(problem(SHAPES[1]))
    y = _disco_cuda(x, weight, bias, stencil, nlon_out, groups, False)
    odd = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    w = weight.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    spread = bias.repeat_interleave(2)[::2]
    assert not odd.is_contiguous()
    assert torch.equal(_disco_cuda(odd, w, spread, stencil, nlon_out, groups, False), y)
    g = y.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    wanted = _disco_grad_weight_cuda(x, y, stencil, 3, groups)
    assert torch.equal(_disco_grad_weight_cuda(odd, g, stencil, 3, groups), wanted)


def test_a_stencil_without_entries_and_an_empty_batch() -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = moved(problem(SHAPES[1]))
    values, entries, starts, order, entries_t, starts_t = stencil
    none = [values[:0], entries[:0], starts * 0, order[:0], entries_t[:0], starts_t * 0]
    y = _disco_cuda(x, weight, bias, none, nlon_out, groups, False)
    assert torch.equal(y, bias[:, None, None].expand_as(y))
    assert not _disco_grad_weight_cuda(x, y, none, 3, groups).any()
    assert _disco_cuda(x[:0], weight, bias, stencil, nlon_out, groups, False).shape == (0, *y.shape[1:])
    assert not _disco_grad_weight_cuda(x[:0], y[:0], stencil, 3, groups).any()


def test_numbers_that_are_not_read_do_not_matter() -> None:
    """Beyond the end of a channel, a sample or a row there may be anything: a product with zero would keep a nan."""
    x, weight, bias, stencil, nlon_out, groups, _ = moved(problem(SHAPES[1]))
    y = _disco_cuda(x, weight, bias, stencil, nlon_out, groups, False)
    guarded = x.new_full((4, *x.shape[1:]), float("nan"))
    guarded[1:3] = x
    assert torch.equal(_disco_cuda(guarded[1:3], weight, bias, stencil, nlon_out, groups, False), y)
    x[0, 0, 0] = float("nan")
    holes = _disco_cuda(x, weight, bias, stencil, nlon_out, groups, False).isnan()
    assert torch.equal(holes, disco_reference(x, weight, bias, stencil, nlon_out, groups, False).isnan())
    assert 0 < holes.sum() < holes.numel()


def test_a_change_of_the_stencil_is_seen() -> None:
    x, weight, _, stencil, *others = moved(problem(SHAPES[1]))
    before = _disco_cuda(x, weight, None, stencil, *others)
    stencil[0].mul_(2)
    assert close(_disco_cuda(x, weight, None, stencil, *others), 2 * before, 1e-12)


def test_a_plan_is_made_once_for_each_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training steps through the operators: their gradients, and no sorting of the stencil after the first."""
    made = []
    plan = disco_triton._Plan
    monkeypatch.setattr(disco_triton, "_Plan", lambda *a: made.append(1) or plan(*a))
    if INTERPRETED:
        monkeypatch.setattr(disco_cpu, "disco_cpu", disco_triton.disco_triton)
        monkeypatch.setattr(disco_cpu, "disco_grad_weight_cpu", disco_grad_weight_triton)
    layer = DiscoConv(2, 3, Equiangular(4), basis=PiecewiseLinear(2, 3)).to(DEVICE)

    def gradients(layer: nn.Module) -> list[Tensor]:
        x = randn(1, layer.in_channels, *layer.grid.shape, seed=0).to(DEVICE, layer.weight.dtype).requires_grad_()
        return list(torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()]))

    first = gradients(layer)
    assert len(made) == 2
    assert all(torch.equal(a, b) for a, b in zip(gradients(layer), first, strict=True))
    assert len(made) == 2
    monkeypatch.undo()
    for mine, wanted in zip(first, gradients(layer.cpu()), strict=True):
        assert close(mine.cpu(), wanted, 1e-5)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_blocks_cover_the_problem_within_their_bounds(itemsize: int, depthwise: bool) -> None:
    budget = 2048 if itemsize == 8 else 4096
    for points, inner, outs, functions in product((1, 48, 10**6), (1, 3, 64, 500), (1, 20, 500), (1, 2, 5, 9, 40)):
        outs = inner if depthwise else outs
        cut = disco_triton._launch(points, inner, outs, functions, itemsize, depthwise)
        lanes, terms = cut.channels * cut.points, cut.channels * cut.functions
        assert max(disco_triton._ENTRIES, cut.functions) * lanes <= budget
        assert cut.outs * max(cut.points, 0 if depthwise else terms) <= 2 * budget
        assert cut.points >= 16
        assert depthwise or terms >= 16
        assert cut.tiles * cut.points >= points
        assert cut.channel_blocks * cut.channels >= inner
        assert cut.function_blocks * cut.functions >= functions
        assert cut.out_blocks * cut.outs >= outs


@pytest.mark.parametrize(("switch", "precision"), [("ieee", "ieee"), ("tf32", "tf32"), ("none", "ieee")])
def test_torch_says_how_float32_is_multiplied(switch: str, precision: str) -> None:
    cut = disco_triton._launch(64, 4, 4, 3, 4, False)
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = switch
        assert cut.options(torch.float32)["PRECISION"] == precision
        assert cut.options(torch.float64)["PRECISION"] == "ieee"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_a_dtype_that_is_not_served() -> None:
    x, weight, *others = moved(problem(SHAPES[0]))
    with pytest.raises(TypeError, match=r"x has dtype torch.complex64, wanted one of .*: cast x"):
        _disco_cuda(x.to(torch.complex64), weight, *others)


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU: a field of 2³¹ numbers")
def test_offsets_beyond_32_bits() -> None:
    """The last channel of a field of more than 2³¹ numbers."""
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GB of free memory on the GPU")
    x = torch.zeros(1, 257, 2048, 4096, dtype=torch.bfloat16, device=DEVICE)
    x[:, -1] = 3
    rows = torch.arange(2048)
    stencil = [torch.ones(2048, 1), torch.stack([rows, rows], 1), torch.arange(2049)]
    places = torch.arange(0)  # the adjoint is not used
    stencil = [t.to(DEVICE) for t in (stencil[0].bfloat16(), *stencil[1:], places, places, places)]
    weight = torch.ones(1, 257, 1, dtype=torch.bfloat16, device=DEVICE)
    assert bool((_disco_cuda(x, weight, None, stencil, 4096, 1, False) == 3).all())
