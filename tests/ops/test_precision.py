"""Layers and transforms under ``torch.autocast``: convolutions in the lower precision, transforms in their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.harmonics import SHT, InverseSHT
from armillary.nn import DiscoConv, DiscoConvTranspose, DiscoLift, DiscoSO3Conv, PiecewiseLinear
from armillary.ops.precision import as_autocast
from armillary.spaces import Equiangular

GRID, COARSE = Equiangular(12), Equiangular(6)
LAYERS = {
    "plain": lambda: DiscoConv(3, 4, GRID),
    "directional": lambda: DiscoConv(3, 4, GRID, COARSE, basis=PiecewiseLinear(2, 3)),
    "transposed": lambda: DiscoConvTranspose(3, 4, GRID, Equiangular(24)),
    "by harmonics": lambda: DiscoConv(3, 4, GRID, cutoff=1.0, harmonic=True),
    "lift": lambda: DiscoLift(3, 4, GRID, 4),
    "orientations": lambda: DiscoSO3Conv(3, 4, GRID, 4),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_convolutions_take_the_lower_precision(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer: nn.Module = LAYERS[name]()
    x = torch.randn(2, 3, *layer.space.shape if hasattr(layer, "space") else GRID.shape).requires_grad_()
    wanted = layer(x)
    with torch.autocast("cpu", dtype):
        y = layer(x)
        with torch.autocast("cpu", enabled=False):
            assert layer(x).dtype == torch.float32
    assert y.dtype == dtype
    assert float((y - wanted).norm() / wanted.norm()) < 4 * torch.finfo(dtype).eps
    y.float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(compiled(x), y, rtol=0, atol=float(y.abs().max()) * 4 * torch.finfo(dtype).eps)


def test_float64_stays() -> None:
    layer = DiscoConv(3, 4, GRID).double()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 3, *GRID.shape, dtype=torch.float64)).dtype == torch.float64


def test_transforms_keep_theirs() -> None:
    """On equiangular rings the weights are a matrix, and its product must not lose digits."""
    x = torch.randn(2, *GRID.shape)
    analysis, synthesis = SHT(GRID), InverseSHT(GRID)
    wanted = analysis(x)
    with torch.autocast("cpu", torch.bfloat16):
        c = analysis(x)
        torch.testing.assert_close(c, wanted)
        torch.testing.assert_close(synthesis(c), synthesis(wanted))
    assert analysis(x.bfloat16()).dtype == torch.complex64


def test_outside_of_autocast_nothing_is_cast() -> None:
    for dtype in (torch.float32, torch.float16, torch.int64):
        assert as_autocast(torch.zeros(1, dtype=dtype)).dtype == dtype
