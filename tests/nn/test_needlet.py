"""Needlet convolution and shrinkage on the sphere: direct twins, equivariance, contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import random_rotation
from armillary.harmonics import (
    SHT,
    BumpBank,
    InverseSHT,
    MeyerBank,
    Needlets,
    SphereNeedlets,
    random_field,
    rotate_coefficients,
)
from armillary.nn import NeedletShrinkage, SphereNeedletConv
from armillary.nn.needlet import band_profiles
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import check_layer, equivariance_error


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> None:
    """Every module here is a Sequential: torch compiles the same code only so many times."""
    torch._dynamo.reset()


def coefficients(lmax: int, channels: int, batch: int = 2) -> Tensor:
    grid = GaussLegendre(lmax + 1)
    return SHT(grid)(random_field(grid, lmax, (batch, channels), torch.Generator().manual_seed(0)))


def on_samples(grid, *layers: nn.Module) -> nn.Sequential:
    lmax = layers[0].lmax if hasattr(layers[0], "lmax") else layers[0].transform.lmax
    return nn.Sequential(SHT(grid, lmax), *layers, InverseSHT(grid, lmax))


@pytest.mark.parametrize("lmax", [6, 7])
@pytest.mark.parametrize("profiles", [1, 3, 40])
def test_profiles_share_the_band(lmax: int, profiles: int) -> None:
    needlets = Needlets(lmax, MeyerBank())
    rows = band_profiles(needlets, profiles)
    torch.testing.assert_close(rows.sum(0), torch.ones(lmax + 1).double(), rtol=0, atol=1e-14)
    assert float(rows.min()) >= 0
    if profiles == 1:
        torch.testing.assert_close(rows, needlets.multipliers.square(), rtol=0, atol=0)


@pytest.mark.parametrize("lmax", [6, 7])
def test_convolution_is_multiplication_in_each_band(lmax: int) -> None:
    """The definition: decompose, mix the channels of each band by its own matrix, reconstruct."""
    needlets = Needlets(lmax, MeyerBank())
    layer = SphereNeedletConv(2, 3, needlets).double()
    with torch.no_grad():
        layer.bias.normal_()
    x, transform = coefficients(lmax, 2), SphereNeedlets(needlets)
    parts = transform.decompose(x)
    mixed = [torch.einsum("oi,bilm->bolm", w.to(x.dtype), part) for w, part in zip(layer.weight, parts, strict=True)]
    grid = GaussLegendre(lmax + 1)
    wanted = InverseSHT(grid)(transform.reconstruct(mixed)) + layer.bias[:, None, None]
    torch.testing.assert_close(InverseSHT(grid)(layer(x)), wanted, rtol=0, atol=1e-12)


def test_convolution_commutes_with_rotation() -> None:
    x, R = coefficients(7, 2), random_rotation(torch.Generator().manual_seed(2))
    layer = SphereNeedletConv(2, 3, Needlets(7, BumpBank()), profiles=2).double()
    torch.testing.assert_close(layer(rotate_coefficients(x, R)), rotate_coefficients(layer(x), R), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [GaussLegendre(8), Equiangular(9)], ids=str)
def test_contract_of_the_convolution(grid) -> None:
    torch.manual_seed(0)
    layer = SphereNeedletConv(2, 3, Needlets(grid.lmax, MeyerBank()), profiles=2)
    check_layer(on_samples(grid, layer), grid, channels=2, tolerance=1e-12)


@pytest.mark.parametrize("lmax", [6, 7])
def test_shrinkage_by_its_definition(lmax: int) -> None:
    """sign(v) max(|v| - λ, 0) on the samples of details, nothing on the approximation."""
    transform = SphereNeedlets(Needlets(lmax, MeyerBank()), oversample=1.5)
    layer = NeedletShrinkage(2, transform, initial=0.2).double()
    with torch.no_grad():
        layer.threshold += torch.randn(layer.threshold.shape, dtype=torch.float64)
    x = coefficients(lmax, 2)
    samples = transform(x)
    heights = iter(torch.nn.functional.softplus(layer.threshold))
    for i, band in enumerate(transform.bands):
        if band.detail is not None:
            v = samples[i]
            samples[i] = v.sign() * (v.abs() - next(heights)[:, None, None]).clamp(min=0)
    torch.testing.assert_close(layer(x), transform.synthesize(samples), rtol=0, atol=1e-12)
    assert (layer(x) - x).norm() > 0.01 * x.norm()


def test_no_threshold_is_the_identity_and_a_high_one_leaves_the_approximation() -> None:
    transform = SphereNeedlets(Needlets(7, MeyerBank()))
    x = coefficients(7, 1)
    low, high = (NeedletShrinkage(1, transform, initial).double() for initial in (1e-12, 100))
    torch.testing.assert_close(low(x), x, rtol=0, atol=1e-10)
    parts = transform.decompose(x)
    rest = [part if i == 0 else torch.zeros_like(part) for i, part in enumerate(parts)]
    torch.testing.assert_close(high(x), transform.reconstruct(rest), rtol=0, atol=1e-12)
    assert NeedletShrinkage(1, transform, 0.3).threshold.shape == (len(transform.bands) - 1, 1)


def test_error_of_shrinkage_falls_with_oversampling() -> None:
    """Samples are exact, the threshold is not band-limited: aliasing is the error, and finer grids have less."""
    grid, needlets, errors = GaussLegendre(16), Needlets(15, MeyerBank()), []
    for oversample in (1, 2, 4):
        layer = NeedletShrinkage(1, SphereNeedlets(needlets, oversample), initial=0.1)
        errors.append(equivariance_error(on_samples(grid, layer), grid, channels=1, lmax=15))
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2]
    assert errors[2] < 0.01


def test_contract_of_shrinkage() -> None:
    grid = GaussLegendre(8)
    layer = NeedletShrinkage(2, SphereNeedlets(Needlets(7, MeyerBank()), 2), initial=0.3)
    check_layer(on_samples(grid, layer), grid, channels=2, tolerance=None, lmax=7)


def test_bad_input() -> None:
    needlets = Needlets(7, MeyerBank())
    for arguments in ((0, 1), (1, 0), (1.0, 1)):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            SphereNeedletConv(*arguments, needlets)
    with pytest.raises(ValueError, match="profiles"):
        SphereNeedletConv(1, 1, needlets, profiles=0)
    layer = SphereNeedletConv(2, 1, needlets)
    for x in (coefficients(6, 2), coefficients(7, 3), coefficients(7, 2).real, coefficients(7, 2)[0]):
        with pytest.raises(ValueError, match="this SphereNeedletConv wants complex"):
            layer(x)
    with pytest.raises(ValueError, match="threshold > 0"):
        NeedletShrinkage(1, SphereNeedlets(needlets), 0)
    with pytest.raises(ValueError, match="no detail bands"):
        NeedletShrinkage(1, SphereNeedlets(Needlets(7, MeyerBank(), 0)))
    shrinkage = NeedletShrinkage(2, SphereNeedlets(needlets))
    with pytest.raises(ValueError, match=r"wants \(batch, 2"):
        shrinkage(coefficients(7, 3))
    with pytest.raises(ValueError, match="NeedletShrinkage wants"):
        shrinkage(coefficients(6, 2))
