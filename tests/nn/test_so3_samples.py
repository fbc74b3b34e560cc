"""Layers of samples between coefficients: the same with and without keeping samples; norms and integrals on SO(3)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import random_rotation
from armillary.harmonics import InverseSO3Transform, SO3Blocks, SO3Transform, random_field, rotate_blocks
from armillary.nn import Pointwise, SO3Conv, SO3Product, SO3Samples, SphereBatchNorm, SphereMean
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import check_layer, equivariance_error, invariance_error

SPACE = OrientedGrid(GaussLegendre(6, 12), 12)


def coefficients(batch: int, channels: int, lmax: int) -> torch.Tensor:
    torch.manual_seed(1)
    return SO3Transform(SPACE, lmax)(torch.randn(batch, channels, *SPACE.shape))


def test_a_layer_of_samples_is_the_three_steps() -> None:
    c = coefficients(2, 3, 5)
    layer = SO3Samples(nn.ReLU(), SPACE, 5, 3)
    wanted = SO3Transform(SPACE, 3)(InverseSO3Transform(SPACE, 5)(c).relu())
    torch.testing.assert_close(layer(c), wanted)
    linear = SO3Samples(nn.Identity(), SPACE, 5, 3)
    torch.testing.assert_close(linear(c), SO3Blocks(5).resize(c, 3), rtol=0, atol=1e-5)


def step(recompute: bool, kept: list[int] | None = None):
    torch.manual_seed(0)
    layer = SO3Samples(nn.Sequential(SphereBatchNorm(3, SPACE), nn.ReLU()), SPACE, 5, 5, recompute)
    x = coefficients(4, 3, 5).requires_grad_()

    def pack(t: torch.Tensor) -> torch.Tensor:
        if kept is not None and t.numel() >= 3 * SPACE.n_orientations:
            kept.append(t.untyped_storage().nbytes())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = layer(x)
    y.abs().square().sum().backward()
    norm = layer.body[1][0]
    return y.detach(), x.grad, norm.weight.grad, norm.running_mean, norm.running_var, int(norm.num_batches_tracked)


def test_samples_are_made_again() -> None:
    """The same numbers, running statistics counted once, and only coefficients kept."""
    whole, again = [], []
    first, second = step(False, whole), step(True, again)
    for a, b in zip(first[:5], second[:5], strict=True):
        torch.testing.assert_close(a, b)
    assert first[5] == second[5] == 1
    x = coefficients(4, 3, 5)
    assert max(again) == x.numel() * 8
    assert sum(again) == x.numel() * 8
    assert sum(whole) > 2 * 4 * 3 * 4 * SPACE.n_orientations * 6 * 12


def test_a_network_of_coefficients_is_that_of_samples() -> None:
    torch.manual_seed(0)
    conv = SO3Conv(2, 3, SPACE, SPACE)
    product = SO3Product(2, 3, 5)
    product.load_state_dict(conv.product.state_dict())
    x = torch.randn(2, 2, *SPACE.shape)
    got = InverseSO3Transform(SPACE)(product(SO3Transform(SPACE)(x)))
    torch.testing.assert_close(got, conv(x))


@pytest.mark.parametrize("space", [SPACE, OrientedGrid(Equiangular(11), 11)], ids=str)
def test_norm_integral_and_nonlinearity_keep_the_contract_on_so3(space: OrientedGrid) -> None:
    lmax = min(space.lmax, space.nmax, 5)
    norm = SphereBatchNorm(2, space)
    nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    torch.compiler.reset()
    check_layer(norm, space, space, channels=2, tolerance=1e-12, lmax=lmax)
    norm = SphereBatchNorm(2, space, track_running_stats=False)  # normalised by the area of each batch
    assert equivariance_error(norm, space, channels=2, lmax=lmax) < 1e-12
    assert invariance_error(SphereMean(space), space, channels=2, lmax=lmax) < 1e-12
    square = Pointwise(torch.square, SPACE, 1.5)
    layer = nn.Sequential(SO3Conv(2, 2, SPACE, SPACE), square, SO3Conv(2, 1, SPACE, SPACE))
    assert equivariance_error(layer, SPACE, channels=2, lmax=5) < 1e-12


def test_the_integral_is_the_lowest_coefficient() -> None:
    x = random_field(SPACE, 5, (2, 3), torch.Generator().manual_seed(0))
    lowest = SO3Transform(SPACE)(x)[..., 0].real / (8 * torch.pi**2) ** 0.5
    torch.testing.assert_close(SphereMean(SPACE)(x), lowest, rtol=0, atol=1e-12)


def test_the_error_of_relu_falls_with_the_samples() -> None:
    c = coefficients(2, 1, 5).to(torch.complex128)
    R = random_rotation(torch.Generator().manual_seed(2))
    errors = []
    for n in (6, 12, 24):
        layer = SO3Samples(nn.ReLU(), OrientedGrid(GaussLegendre(n), 2 * n), 5, 5)
        after, wanted = layer(rotate_blocks(c, SO3Blocks(5), left=R)), rotate_blocks(layer(c), SO3Blocks(5), left=R)
        errors.append(float((after - wanted).norm() / wanted.norm()))
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_errors() -> None:
    with pytest.raises(ValueError, match="holds 0 <= lmax <= 5"):
        SO3Samples(nn.ReLU(), SPACE, 6, 5)
    assert "made again" in repr(SO3Samples(nn.ReLU(), SPACE, 5, 5, recompute=True))
