"""Resampling between grids: the same field, whatever the grid."""

from __future__ import annotations

import pytest
import torch

from armillary.harmonics import SHT, InverseSHT, Resample, evaluate, random_field, resample
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

PAIRS = [
    (Equiangular(8), GaussLegendre(8)),
    (Equiangular(8), Equiangular(17, 33, poles=True)),
    (GaussLegendre(12, 25), Equiangular(7)),
    (Equiangular(9, poles=True), GaussLegendre(5, 9)),
    (GaussLegendre(6, 11), GaussLegendre(6, 11)),
]


@pytest.mark.parametrize(("grid_in", "grid_out"), PAIRS, ids=str)
def test_values_at_the_new_points(grid_in: SphereGrid, grid_out: SphereGrid) -> None:
    lmax = min(grid_in.lmax, grid_out.lmax)
    f = random_field(grid_in, lmax, (2, 3), torch.Generator().manual_seed(0))
    coefficients = SHT(grid_in, lmax)(f)
    wanted = evaluate(coefficients, grid_out.points.reshape(-1, 3)).unflatten(-1, grid_out.shape)
    got = resample(f, grid_in, grid_out)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(resample(got, grid_out, grid_in), f, rtol=0, atol=1e-12)
    single = Resample(grid_in, grid_out)(f.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), wanted, rtol=0, atol=1e-5)


def test_what_the_output_cannot_hold_is_removed() -> None:
    fine, coarse = GaussLegendre(16), Equiangular(5)
    f = random_field(fine, 15, (), torch.Generator().manual_seed(1))
    c = SHT(fine)(f)
    torch.testing.assert_close(resample(f, fine, coarse), InverseSHT(coarse)(c[:5, :5].contiguous()))
    torch.testing.assert_close(resample(f, fine, coarse, lmax=2), InverseSHT(coarse, 2)(c[:3, :3].contiguous()))


def test_gradients_and_errors() -> None:
    layer = Resample(Equiangular(3), GaussLegendre(4))
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    with pytest.raises(ValueError, match=r"lmax = 3.*Equiangular"):
        Resample(Equiangular(3), GaussLegendre(4), lmax=3)
    with pytest.raises(ValueError, match=r"lmax = 3.*GaussLegendre"):
        Resample(Equiangular(8), GaussLegendre(3), lmax=3)
