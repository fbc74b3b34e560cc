"""DISCO layers commute with exact rotations up to a stated discretisation error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import random_rotation
from armillary.harmonics import random_field, rotate
from armillary.nn import DiscoConv, DiscoConvTranspose, PiecewiseLinear
from armillary.nn.disco import StencilConv
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid


def equivariance_error(layer: StencilConv, lmax: int, seed: int, rotations: int = 2) -> float:
    """max over rotations and basis functions ψ_k of |L_k(R f) - R L_k(f)| / |L_k(f)| in L², f of that band limit.

    Each function by itself: a combination whose output nearly cancels would only measure the cancellation.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer = layer.double()
        layer.weight.copy_(torch.eye(layer.basis.size)[:, None])
        f = random_field(layer.grid, lmax, (1, 1), generator)
        y = layer(f)
        worst = 0.0
        for _ in range(rotations):
            R = random_rotation(generator)
            turned: Tensor = layer(rotate(f, layer.grid, R, lmax))
            difference = turned - rotate(y, layer.grid_out, R)
            square = layer.grid_out.integrate(difference**2) / layer.grid_out.integrate(y**2)
            worst = max(worst, float(square.max().sqrt()))
    return worst


@pytest.mark.parametrize("grid", [Equiangular(128), GaussLegendre(128), Equiangular(129, poles=True)], ids=str)
def test_on_one_grid(grid: SphereGrid) -> None:
    layer = DiscoConv(1, 3, grid)
    assert layer.degree == 4
    assert equivariance_error(layer, 16, seed=0) < 1e-5
    assert equivariance_error(layer, 32, seed=1, rotations=1) < 1e-3


@pytest.mark.parametrize("kind", [Equiangular, GaussLegendre])
def test_strided(kind: type[SphereGrid]) -> None:
    layer = DiscoConv(1, 3, kind(128), kind(64))
    assert equivariance_error(layer, 16, seed=2) < 1e-5
    assert equivariance_error(layer, 32, seed=3, rotations=1) < 1e-3


@pytest.mark.parametrize("kind", [Equiangular, GaussLegendre])
def test_transposed(kind: type[SphereGrid]) -> None:
    layer = DiscoConvTranspose(1, 3, kind(128), kind(160))
    assert "general path" in repr(layer)
    assert equivariance_error(layer, 16, seed=4, rotations=1) < 1e-5
    assert equivariance_error(layer, 32, seed=5, rotations=1) < 1e-3


def test_transposed_by_two() -> None:
    layer = DiscoConvTranspose(1, 3, Equiangular(64), Equiangular(128))
    assert equivariance_error(layer, 8, seed=9, rotations=1) < 1e-5


def test_without_matched_moments_it_is_far_worse() -> None:
    grid = GaussLegendre(64)
    plain = equivariance_error(DiscoConv(1, 3, grid, moments=None), 16, seed=6)
    matched = equivariance_error(DiscoConv(1, 3, grid), 16, seed=6)
    assert plain > 1e-3
    assert matched < plain / 50


def test_error_falls_at_least_with_the_fourth_order() -> None:
    coarse, fine = (equivariance_error(DiscoConv(1, 3, Equiangular(n)), 8, seed=7) for n in (32, 64))
    assert fine < coarse / 16


def test_directional_filters_are_not_equivariant() -> None:
    """The meter sees what is not equivariant: a directional filter at a cutoff that is not small."""
    layer = DiscoConv(1, 4, GaussLegendre(32), basis=PiecewiseLinear(2, 3), cutoff=0.5)
    assert equivariance_error(layer, 8, seed=8) > 1e-2
