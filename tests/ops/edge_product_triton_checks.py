"""What the Triton kernels of the edge product must do. ``test_triton.py`` runs this file by itself.

In Triton's interpreter (TRITON_INTERPRET=1, which has to be set before triton is imported) tensors lie on the CPU and
the kernels run as numpy; without it they run on a GPU.
"""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from armillary.groups import Irreps
from armillary.nn import EdgeProduct, edge_frames
from armillary.ops import edge_product_cpu, edge_product_triton, edge_product_triton_kernels
from armillary.ops.edge_paths import EdgePaths
from armillary.ops.edge_product import (
    _edge_product_cuda,
    _edge_product_grad_cuda,
    edge_product_grad_reference,
    edge_product_reference,
)
from armillary.ops.edge_product_triton import launches

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
CASES = {
    "scalars": ("5x0e", 0, "5x0e", 3, 6),
    "both parities": ("3x0e+3x0o+3x1o+3x1e+3x2e", 2, "3x1e+3x2e+3x0o", 2, 4),
    "from low to high": ("1x1o+1x0e", 7, "1x6e+1x1e+1x3o", 2, 2),
    "from high to low": ("2x6e+2x3o", 4, "2x2e+2x0e+2x3e", 2, 2),
    "a stream twice": ("33x1o+33x0e+33x1o", 1, "33x1o+33x1o", 4, 6),
    "two blocks of channels": ("130x0e+130x1o", 1, "130x1o+130x1e", 2, 3),
}

if INTERPRETED:
    # At each call within a kernel the interpreter replaces all functions of the language again, which takes longer than
    # the call. For functions in the file of the kernel it has done so at the launch.
    from triton.runtime.interpreter import InterpretedFunction

    plain_call = InterpretedFunction.__call__

    def call(self: InterpretedFunction, *arguments: object, **more: object) -> object:
        if self.fn.__module__ == edge_product_triton_kernels.__name__:
            return self.rewrite()(*arguments, **more)
        return plain_call(self, *arguments, **more)

    InterpretedFunction.__call__ = call


def problem(layer: EdgeProduct, points: int, edges: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple:
    """Arguments of the operator: unsorted edges, repeated ones, edges along z, sources and targets without any."""
    g = torch.Generator().manual_seed(seed)
    x, r, weights = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in (
            (points, layer.irreps_in.dim // layer.channels, layer.channels),
            (edges, 3),
            (edges, len(layer.paths), layer.channels),
        )
    )
    r[:2] = torch.tensor([[0.0, 0, 1.5], [0, 0, -0.5]])[:edges]
    source, target = (torch.randint(n - 1, (edges,), generator=g) for n in (points, points + 1))
    source[-1], target[-1] = source[0], target[0]
    floats = [t.to(dtype).to(DEVICE) for t in (x, edge_frames(r, layer.lmax + 1), weights)]
    return *floats, source.to(DEVICE), target.to(DEVICE), points + 1, *layer._numbers


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


def check(arguments: tuple, relative: float, torque: bool = True) -> None:
    """All that the two operators compute, against the twin in float64."""
    exact = tuple(a.double() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments)
    y, wanted = _edge_product_cuda(*arguments), edge_product_reference(*exact)
    assert (y.dtype, y.device, y.shape) == (arguments[0].dtype, arguments[0].device, wanted.shape)
    assert error(y, wanted) < relative
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).to(y)
    rest = *arguments[3:5], *arguments[6:], torque
    found = _edge_product_grad_cuda(*arguments[:3], g, *rest)
    for mine, theirs in zip(found, edge_product_grad_reference(*exact[:3], g.double(), *rest), strict=True):
        assert (mine.dtype, mine.shape) == (y.dtype, theirs.shape)
        assert error(mine, theirs) < relative


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_reference(name: str) -> None:
    irreps, lmax, out, points, edges = CASES[name]
    check(problem(EdgeProduct(irreps, lmax, out), points, edges), 1e-12)


def test_without_the_torque() -> None:
    check(problem(EdgeProduct("3x0e+3x1o", 1, "3x0e+3x1o"), 2, 3), 1e-12, torque=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_lower_precision(dtype: torch.dtype) -> None:
    """Half precision is summed in float32, and rounded once."""
    arguments = problem(EdgeProduct("3x0e+3x2e", 4, "3x0e+3x2e"), 2, 4, dtype)
    check(arguments, 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps)


def test_several_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of the result one by one, or a few at a time: also the torque is a sum over launches then."""
    monkeypatch.setattr(edge_product_triton, "_REGISTERS", 30)
    launches.cache_clear()
    layer = EdgeProduct("2x0e+2x1o+2x1e", 1, "2x0e+2x1o+2x1e")
    try:
        assert [len(launches(layer._plan, back, 8)) for back in (False, True)] == [2, 3]
        check(problem(layer, 2, 3), 1e-12)
    finally:
        launches.cache_clear()


def test_paths_in_any_order_and_streams_without_one() -> None:
    """A stream in and one out have no path; the others have theirs here and there among the weights."""
    paths = [(2, 1, 0), (0, 2, 2), (2, 0, 2), (0, 1, 2), (0, 1, 0), (2, 3, 2), (2, 1, 2)]
    plan = EdgePaths((1, 0, 2), (1, 1, 2), tuple(p for p in paths if p not in {(2, 0, 2), (0, 1, 2), (0, 1, 0)}))
    layer = EdgeProduct("3x1o+3x0e+3x2e", 3, "3x1o+3x1o+3x2e")
    x, frames, weights, source, target, points, *_ = problem(layer, 2, 4)
    numbers = list(plan.degrees_in), list(plan.degrees_out), plan.flat
    arguments = x, frames, weights[:, : len(plan.paths)], source, target, points, *numbers
    check(arguments, 1e-12)
    assert not _edge_product_cuda(*arguments)[:, 3:6].any()


def test_results_are_the_same_bit_by_bit() -> None:
    """In every run, and whatever edges of other points stand between those of a point."""
    x, frames, weights, source, target, *rest = problem(EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o"), 3, 8, torch.float32)
    y = _edge_product_cuda(x, frames, weights, source, target, *rest)
    assert torch.equal(_edge_product_cuda(x, frames, weights, source, target, *rest), y)
    order = target.argsort(stable=True)
    again = _edge_product_cuda(x, frames[order], weights[order], source[order], target[order], *rest)
    assert torch.equal(again, y)
    backwards = torch.arange(7, -1, -1, device=DEVICE)
    other = _edge_product_cuda(x, *(t[backwards] for t in (frames, weights, source, target)), *rest)
    assert not torch.equal(other, y)  # sums in another order: the check above is one


def test_edges_are_taken_in_their_order() -> None:
    target, source = torch.tensor([[2, 0, 2, 4, 0, 2], [1, 0, 0, 1, 1, 0]], device=DEVICE)
    order, others, starts = edge_product_triton._sorted(target, source, 6, 2)
    assert order.tolist() == [1, 4, 0, 2, 5, 3]
    assert others.tolist() == [0, 1, 1, 0, 0, 1]
    assert starts.tolist() == [0, 2, 2, 5, 5, 6, 6]


def test_strided_arguments() -> None:
    x, frames, weights, *rest = problem(EdgeProduct("4x0e+4x1o", 1, "4x0e+4x1o"), 3, 5)
    y = _edge_product_cuda(x, frames, weights, *rest)
    odd = [t.permute(*range(t.ndim - 1, -1, -1)).contiguous().permute(*range(t.ndim - 1, -1, -1))
           for t in (x, frames, weights)]  # fmt: skip
    assert not any(t.is_contiguous() for t in odd)
    assert torch.equal(_edge_product_cuda(*odd, *rest), y)
    g = y.sin()
    rest = [*rest[:2], *rest[3:], True]
    wanted = _edge_product_grad_cuda(x, frames, weights, g, *rest)
    found = _edge_product_grad_cuda(*odd, g.permute(2, 1, 0).contiguous().permute(2, 1, 0), *rest)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_no_edges_no_points_no_channels() -> None:
    layer = EdgeProduct("3x0e+3x1o", 1, "3x0e+3x1o")
    x, frames, weights, source, target, points, *numbers = problem(layer, 3, 5)
    none = frames[:0], weights[:0], source[:0], target[:0]
    for start in (x, x[:0]):
        y = _edge_product_cuda(start, *none, points, *numbers)
        assert y.shape == (points, 4, 3)
        assert not y.any()
        gx, gw, torque = _edge_product_grad_cuda(start, *none[:2], y + 1, *none[2:], *numbers, True)
        assert (gx.shape, gw.shape, torque.shape) == (start.shape, none[1].shape, (0, 3))
        assert not gx.any()
    y = _edge_product_cuda(x[..., :0], frames, weights[..., :0], source, target, points, *numbers)
    assert y.shape == (points, 4, 0)


def test_numbers_that_are_not_read_do_not_matter() -> None:
    """Beside the channels of a point there may be anything: a product with zero would keep a nan."""
    x, frames, weights, *rest = problem(EdgeProduct("3x0e+3x1o", 1, "3x0e+3x1o"), 3, 6)
    y = _edge_product_cuda(x, frames, weights, *rest)
    guarded = x.new_full((5, *x.shape[1:]), float("nan"))
    guarded[1:4] = x
    assert torch.equal(_edge_product_cuda(guarded[1:4], frames, weights, *rest), y)
    x[0, 0, 0] = float("nan")
    holes = _edge_product_cuda(x, frames, weights, *rest).isnan()
    assert torch.equal(holes, edge_product_reference(x, frames, weights, *rest).isnan())
    assert 0 < holes.sum() < holes.numel()


@pytest.mark.skipif(not INTERPRETED, reason="on a GPU it ends the process")
@pytest.mark.parametrize("row", [3, 4])
@pytest.mark.parametrize("number", [-1, 9])
def test_numbers_of_points_that_are_not_there(row: int, number: int) -> None:
    arguments = list(problem(EdgeProduct("3x0e+3x1o", 1, "3x0e+3x1o"), 3, 6))
    arguments[row][2] = number
    with pytest.raises(IndexError):
        _edge_product_cuda(*arguments)


@pytest.mark.skipif(not INTERPRETED, reason="the kernels of the CPU are the twin")
def test_gradients_through_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of features, edge vectors and weights of a layer, and their own gradients."""
    layer = EdgeProduct("2x0e+2x1o", 1, "2x1o")
    g = torch.Generator().manual_seed(1)
    shapes = (3, layer.irreps_in.dim), (4, 3), (4, layer.weight_numel)
    inputs = [torch.randn(shape, generator=g, dtype=torch.float64).requires_grad_() for shape in shapes]
    edges = torch.tensor([[0, 1, 0, 0], [2, 0, 2, 0]])

    def gradients() -> list[Tensor]:
        x, r, weights = inputs
        y = layer(x, edge_frames(r, 1), weights, edges)
        first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
        return [y, *first, *torch.autograd.grad(sum(t.sin().sum() for t in first), inputs)]

    monkeypatch.setattr(edge_product_cpu, "edge_product_cpu", edge_product_reference)
    monkeypatch.setattr(edge_product_cpu, "edge_product_grad_cpu", edge_product_grad_reference)
    wanted = gradients()
    calls = []
    for name in ("edge_product", "edge_product_grad"):
        kernel = getattr(edge_product_triton, f"{name}_triton")
        monkeypatch.setattr(edge_product_cpu, f"{name}_cpu", lambda *a, kernel=kernel: calls.append(1) or kernel(*a))
    for mine, theirs in zip(gradients(), wanted, strict=True):
        assert error(mine.detach(), theirs.detach()) < 1e-12
    assert len(calls) == 3  # the product, its gradient, and the product again in the gradient of the gradient


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("L", [0, 2, 6, 10])
def test_launches_have_every_stream_once_within_their_bounds(L: int, itemsize: int, back: bool) -> None:
    irreps = Irreps.natural(L, 2)
    layer = EdgeProduct(irreps, L, irreps)
    made = launches(layer._plan, back, itemsize)
    rows = [s.row for launch in made for s in (launch.inputs if back else launch.outputs)]
    assert rows == list(layer._plan.rows_in[:-1])
    paths = sorted(n for launch in made for runs in launch.runs for first, count, *_ in runs
                   for n in range(first, first + count))  # fmt: skip
    assert paths == list(range(len(layer.paths)))
    for launch in made:
        alone = len(launch.inputs if back else launch.outputs) == 1
        assert alone or launch.registers <= edge_product_triton._REGISTERS
        for count in (1, 20, 32, 33, 64, 500):
            block = edge_product_triton._channels(count, launch.registers)
            assert block in (32, 64, 128)
            assert block == 32 or launch.registers * block // 32 <= edge_product_triton._REGISTERS
