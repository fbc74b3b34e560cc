"""The linear map of the channels: a 1×1 convolution, on spaces of any dimension."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from armillary.nn import PointwiseLinear
from armillary.spaces import Equiangular, OrientedGrid
from armillary.testing import equivariance_error


def test_is_a_convolution_of_one_pixel() -> None:
    torch.manual_seed(0)
    layer, x = PointwiseLinear(3, 5).double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    wanted = F.conv2d(x, layer.weight[..., None, None], layer.bias)
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-14)
    torch.testing.assert_close(layer(x.transpose(2, 3)), wanted.transpose(2, 3), rtol=0, atol=1e-14)
    torch.testing.assert_close(layer(x[:, :, None])[:, :, 0], wanted, rtol=0, atol=1e-14)
    torch.testing.assert_close(layer(x[..., 0, 0]), wanted[..., 0, 0], rtol=0, atol=1e-14)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(x.float()).dtype == torch.bfloat16


@pytest.mark.parametrize("space", [Equiangular(8), OrientedGrid(Equiangular(8), 3)], ids=str)
def test_commutes_with_rotations_on_any_space(space) -> None:  # type: ignore[no-untyped-def]
    layer = PointwiseLinear(3, 2)
    assert equivariance_error(layer, space, channels=3) < 1e-12
    x = torch.randn(2, 3, *space.shape)
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


def test_gradients() -> None:
    layer = PointwiseLinear(2, 3).double()
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_wrong_channels() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 4, 2, 2\).*built for \(batch, 3, ...\): pass in_channels=4"):
        PointwiseLinear(3, 2)(torch.zeros(1, 4, 2, 2))


def test_exports_for_batches_of_any_size() -> None:
    layer, x = PointwiseLinear(3, 5), torch.randn(2, 3, 4, 6)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    more = torch.randn(5, 3, 4, 6)
    torch.testing.assert_close(program.module()(more), layer(more))
