"""Remapping along geodesics against direct sums at the displaced points, and its inverse."""

import math

import pytest
import torch
from torch import Tensor

from armillary.data.lensing import GradientProduct, Lensing, displaced
from armillary.groups import random_rotation
from armillary.harmonics import SHT, InverseSHT, evaluate, random_field, rotate_coefficients
from armillary.spaces import Equiangular, GaussLegendre


def coefficients(lmax: int, count: int, seed: int, decay: float = 0.0) -> Tensor:
    grid = GaussLegendre(lmax + 1)
    c = SHT(grid)(random_field(grid, lmax, (count,), torch.Generator().manual_seed(seed)))
    c[:, 0] = 0
    return c * (1.0 + torch.arange(lmax + 1).double()[:, None]) ** -decay


def test_displaced_points_lie_along_great_circles():
    n = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    v = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(displaced(n, v), torch.tensor([math.sin(0.3), 0, math.cos(0.3)], dtype=torch.float64))
    torch.testing.assert_close(displaced(n, 0 * v), n)


@pytest.mark.parametrize(("lmax", "grid"), [(12, GaussLegendre(20)), (13, Equiangular(21)), (8, GaussLegendre(9, 32))])
def test_remapping_is_the_direct_sum_at_the_displaced_points(lmax, grid):
    T, phi = coefficients(lmax, 2, 0), 0.05 * coefficients(lmax, 2, 1, 1.5)
    lensing = Lensing(grid, lmax, grid.lmax, taps=14)
    # the gradient in Cartesian components by differences of the direct sum of φ, extended along rays
    sources = []
    for c in phi:
        n, step = grid.points.reshape(-1, 3), 1e-5
        columns = []
        for axis in torch.eye(3, dtype=torch.float64) * step:
            columns.append((evaluate(c, n + axis) - evaluate(c, n - axis)) / (2 * step))  # evaluate takes directions
        sources.append(displaced(n, torch.stack(columns, -1)))
    wanted = torch.stack([evaluate(T[i], sources[i]) for i in range(2)]).reshape(2, *grid.shape)
    got = InverseSHT(grid)(lensing.lens(T, phi))
    band = InverseSHT(grid)(SHT(grid)(wanted))  # what of it the grid keeps
    assert float((got - band).abs().max() / band.std()) < 1e-6
    unlensed = InverseSHT(grid, lmax)(T)
    assert float((got - unlensed).std() / unlensed.std()) > 0.03  # lensing did something


def test_interpolation_error_falls_with_taps():
    T, phi = coefficients(15, 1, 0), 0.02 * coefficients(15, 1, 1, 1.5)
    fields = [Lensing(GaussLegendre(24), 15, 15, taps).lens(T, phi) for taps in (4, 6, 8, 14)]
    errors = [float((f - fields[-1]).norm() / fields[-1].norm()) for f in fields[:-1]]
    assert errors[0] < 2e-3
    assert errors[1] < 2e-5
    assert errors[2] < 2e-7


def test_images_are_the_inverse_of_sources():
    grid, phi = GaussLegendre(16), 0.03 * coefficients(15, 2, 1, 1.5)
    lensing = Lensing(grid, 15, 15, taps=14)
    q = lensing.images(phi, 1e-12)
    assert float((q - grid.points.reshape(-1, 3)).norm(dim=-1).max()) > 1e-2
    for i in range(2):  # exp_q ∇φ(q) = n, the gradient at q by differences of the direct sum
        step = 1e-5
        axes = torch.eye(3, dtype=torch.float64) * step
        slope = torch.stack([(evaluate(phi[i], q[i] + a) - evaluate(phi[i], q[i] - a)) / (2 * step) for a in axes], -1)
        assert float((displaced(q[i], slope) - grid.points.reshape(-1, 3)).abs().max()) < 1e-8


def test_delensing_undoes_lensing():
    T, phi = coefficients(20, 2, 0, 1.0), 0.01 * coefficients(20, 2, 1, 2.0)
    low = Lensing(GaussLegendre(64), 20, 60, taps=12).lens(T, phi)
    back = Lensing(GaussLegendre(64), 60, 20, taps=12).delens(low, phi, 1e-10)
    assert float((back - T).norm() / T.norm()) < 1e-6
    assert float((low[:, :21, :21] - T).norm() / T.norm()) > 5e-3  # what there was to undo


def test_lensing_commutes_with_rotations():
    T, phi = coefficients(12, 1, 0), 0.02 * coefficients(12, 1, 1, 1.5)
    lensing = Lensing(GaussLegendre(64), 12, 12, taps=12)
    R = random_rotation(torch.Generator().manual_seed(3))
    turned = lensing.lens(rotate_coefficients(T, R), rotate_coefficients(phi, R))
    wanted = rotate_coefficients(lensing.lens(T, phi), R)
    assert float((turned - wanted).norm() / wanted.norm()) < 1e-9
    other = rotate_coefficients(lensing.lens(T, -phi), R)  # the sign of the deflection matters
    assert float((turned - other).norm() / wanted.norm()) > 1e-2


@pytest.mark.parametrize("lmax", [6, 7])
def test_gradient_product_is_that_of_laplacians(lmax):
    """``2 ∇a·∇b = Δ(ab) - a Δb - b Δa``."""
    a, b = coefficients(lmax, 2, 0), coefficients(lmax, 2, 1)
    grid = GaussLegendre(2 * lmax + 1)
    l = torch.arange(2 * lmax + 1).double()[:, None]
    square = l * (l + 1)

    def field(c: Tensor) -> Tensor:
        return InverseSHT(grid, lmax)(c)

    product = -square * SHT(grid)(field(a) * field(b))
    product += SHT(grid)(field(a) * field(square[: lmax + 1] * b) + field(b) * field(square[: lmax + 1] * a))
    wanted = product[:, : lmax + 1, : lmax + 1] / 2
    got = GradientProduct(lmax)(a, b)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12 * float(wanted.abs().max()))


def test_no_skies_and_single_precision():
    lensing = Lensing(GaussLegendre(12), 8, 9)
    T, phi = coefficients(8, 2, 0, 1.0), 0.01 * coefficients(8, 2, 1, 2.0)
    for remap in (lensing.lens, lensing.delens):
        assert remap(T[:0], phi[:0]).shape == (0, 10, 10)
        single = remap(T.to(torch.complex64), phi.to(torch.complex64))
        assert single.dtype == torch.complex128
        torch.testing.assert_close(single, remap(T, phi), rtol=0, atol=1e-5)


def test_bad_input_is_an_error():
    with pytest.raises(ValueError, match="finer grid"):
        Lensing(GaussLegendre(8), 10, 5)
    lensing = Lensing(GaussLegendre(12), 8, 8)
    c = coefficients(8, 1, 0)
    with pytest.raises(ValueError, match="the potential has shape"):
        lensing.lens(c, coefficients(9, 1, 1))
    with pytest.raises(ValueError, match="the field has shape"):
        lensing.lens(c.real, c)
    with pytest.raises(ValueError, match="got 2 fields and 1 potentials"):
        lensing.lens(coefficients(8, 2, 0), c)
    with pytest.raises(ValueError, match="folds the sky"):
        lensing.delens(c, 0.5 * c)
