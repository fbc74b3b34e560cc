"""Each convention of docs/conventions.md, pinned: closed forms written out here, never the library against itself."""

from __future__ import annotations

import math
import re

import pytest
import torch

from armillary.groups import (
    euler_zyz,
    from_euler_zyz,
    random_rotation,
    rotation_about,
    wigner_D,
    wigner_D_real,
)
from armillary.groups.so3 import real_to_complex
from armillary.harmonics import SHT, InverseSHT, Resample, resample, rotate
from armillary.harmonics.rotation import rotate_coefficients
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid

GRIDS = [Equiangular(12), Equiangular(13, 25, poles=True), GaussLegendre(9), GaussLegendre(12, 27)]
PI = math.pi


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def xyz(grid: SphereGrid) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The coordinates of the grid's points, from its angles alone."""
    theta, phi = torch.meshgrid(grid.colatitudes, grid.longitudes, indexing="ij")
    return theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_colatitude_first_row_0_north(grid: SphereGrid) -> None:
    theta = grid.colatitudes
    assert grid.shape == (len(theta), len(grid.longitudes))
    assert (theta.diff() > 0).all()
    assert 0 <= theta[0] < PI / 4
    assert theta[-1] <= PI
    torch.testing.assert_close(theta + theta.flip(0), torch.full_like(theta, PI), rtol=0, atol=1e-14)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_longitudes_start_at_zero_and_go_east(grid: SphereGrid) -> None:
    expected = real([2 * PI * k / grid.nlon for k in range(grid.nlon)])
    torch.testing.assert_close(grid.longitudes, expected, rtol=0, atol=1e-14)


def test_equiangular_nodes() -> None:
    centres, poles = Equiangular(7).colatitudes, Equiangular(7, poles=True).colatitudes
    torch.testing.assert_close(centres, real([(j + 0.5) * PI / 7 for j in range(7)]), rtol=0, atol=1e-14)
    torch.testing.assert_close(poles, real([j * PI / 6 for j in range(7)]), rtol=0, atol=1e-14)
    assert (Equiangular(7).shape, Equiangular(7, poles=True).shape) == ((7, 14), (7, 12))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_points_are_unit_vectors_xyz(grid: SphereGrid) -> None:
    assert grid.points.shape == (*grid.shape, 3)
    torch.testing.assert_close(grid.points, torch.stack(xyz(grid), dim=-1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_quadrature_sums_to_4_pi(grid: SphereGrid) -> None:
    assert float(grid.quadrature.sum()) == pytest.approx(4 * PI, rel=1e-14)
    oriented = OrientedGrid(grid, 5)
    assert float(oriented.quadrature.sum()) == pytest.approx(8 * PI**2, rel=1e-14)
    assert float(grid.integrate(xyz(grid)[2] ** 2)) == pytest.approx(4 * PI / 3, rel=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_constants_are_float64(grid: SphereGrid) -> None:
    for constant in (grid.colatitudes, grid.longitudes, grid.ring_weights, grid.quadrature, grid.points):
        assert constant.dtype == torch.float64


def test_the_band_limit_is_the_grids_own() -> None:
    assert [grid.lmax for grid in GRIDS] == [11, 11, 8, 11]
    assert (Equiangular(12, 11).lmax, GaussLegendre(12, 12).lmax) == (5, 5)


def test_frequencies_beyond_the_grid_are_an_error() -> None:
    grid = Equiangular(8)
    for build in (SHT, InverseSHT):
        build(grid, 7)
        with pytest.raises(ValueError, match="lmax = 8"):
            build(grid, 8)


def test_harmonics_are_orthonormal_with_condon_shortley() -> None:
    """f_lm = ∫ f Y_lm* dω, with the Y_lm of degree 0, 1, 2 written out."""
    for grid in GRIDS:
        x, y, z = xyz(grid)
        w = torch.complex(x, y)
        harmonics = {
            (0, 0): torch.full_like(z, math.sqrt(1 / (4 * PI))),
            (1, 0): math.sqrt(3 / (4 * PI)) * z,
            (1, 1): -math.sqrt(3 / (8 * PI)) * w,
            (2, 0): math.sqrt(5 / (16 * PI)) * (3 * z**2 - 1),
            (2, 1): -math.sqrt(15 / (8 * PI)) * z * w,
            (2, 2): math.sqrt(15 / (32 * PI)) * w**2,
        }
        for (l, m), harmonic in harmonics.items():
            # Re Y_lm = (Y_lm + (-1)^m Y_l,-m) / 2, so its coefficient at m > 0 is ½; Im Y_lm gives -i/2.
            expected = torch.zeros(4, 4, dtype=torch.complex128)
            expected[l, m] = 1 if m == 0 else 0.5
            cosine = harmonic.real if m else harmonic
            torch.testing.assert_close(SHT(grid, lmax=3)(cosine), expected, rtol=0, atol=1e-13)
            if m:
                torch.testing.assert_close(SHT(grid, lmax=3)(harmonic.imag), -1j * expected, rtol=0, atol=1e-13)


def test_coefficients_are_indexed_by_degree_and_order_from_zero() -> None:
    grid = Equiangular(10)
    coefficients = SHT(grid, lmax=6)(torch.randn(2, 3, *grid.shape, generator=generator(), dtype=torch.float64))
    assert coefficients.shape == (2, 3, 7, 7)
    assert coefficients.is_complex()
    beyond = torch.triu(torch.ones(7, 7), diagonal=1).bool()
    assert (coefficients[..., beyond] == 0).all()
    assert (coefficients[..., ~beyond].abs() > 0).all()


def test_real_basis_is_ordered_minus_l_to_l() -> None:
    """In degree 1 the real harmonics are √(3/4π)·(y, z, x), so the real Wigner matrix is R in that order."""
    R = random_rotation(generator(1))
    order = [1, 2, 0]
    torch.testing.assert_close(wigner_D_real(1, R), R[order][:, order], rtol=0, atol=1e-13)
    # a_complex = U a_real: the real harmonic of order -1 is √(3/4π) y = i/√2 (Y_1,-1 + Y_1,1).
    expected = torch.tensor([0.5**0.5 * 1j, 0, 0.5**0.5 * 1j], dtype=torch.complex128)
    torch.testing.assert_close(real_to_complex(1)[:, 0], expected, rtol=0, atol=1e-15)


def test_euler_angles_are_zyz() -> None:
    a, b, c = 0.7, 1.1, -2.3

    def z(t: float) -> torch.Tensor:
        return real([[math.cos(t), -math.sin(t), 0], [math.sin(t), math.cos(t), 0], [0, 0, 1]])

    def y(t: float) -> torch.Tensor:
        return real([[math.cos(t), 0, math.sin(t)], [0, 1, 0], [-math.sin(t), 0, math.cos(t)]])

    torch.testing.assert_close(from_euler_zyz(a, b, c), z(a) @ y(b) @ z(c), rtol=0, atol=1e-14)
    assert euler_zyz(from_euler_zyz(a, b, c)) == pytest.approx((a, b, c), abs=1e-13)
    torch.testing.assert_close(rotation_about("z", 0.3), z(0.3), rtol=0, atol=1e-14)


def test_rotations_are_3_by_3_matrices() -> None:
    R = random_rotation(generator(2))
    torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-14)
    assert float(torch.linalg.det(R)) == pytest.approx(1, abs=1e-14)
    grid = Equiangular(6)
    with pytest.raises(ValueError, match="rotation"):
        rotate(torch.zeros(grid.shape).double(), grid, torch.diag(real([1, 1, -1])))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_actions_are_left(grid: SphereGrid) -> None:
    """(R f)(p) = f(R⁻¹ p), on polynomials evaluated at the rotated points; and R(S f) = (RS) f."""
    R, S = random_rotation(generator(3)), random_rotation(generator(4))

    def polynomial(p: torch.Tensor) -> torch.Tensor:
        x, y, z = p.unbind(-1)
        return 1 + x - 2 * y * z + x * y * z + z**3

    f = polynomial(grid.points)
    turned = polynomial(grid.points @ R)  # row vectors: p R = (R⁻¹ p)ᵀ
    torch.testing.assert_close(rotate(f, grid, R), turned, rtol=0, atol=1e-12)
    torch.testing.assert_close(rotate(rotate(f, grid, S), grid, R), rotate(f, grid, R @ S), rtol=0, atol=1e-12)


def test_a_positive_turn_about_z_moves_fields_east() -> None:
    grid = Equiangular(9, 19)
    f = resample(torch.randn(grid.shape, generator=generator(5), dtype=torch.float64), grid, grid)
    east = rotate(f, grid, rotation_about("z", 3 * grid.longitude_step))
    torch.testing.assert_close(east, f.roll(3, dims=-1), rtol=0, atol=1e-12)


def test_wigner_matrices_are_a_representation() -> None:
    """(R f)_lm = Σ_n D_mn(R) f_ln, D_mn = e^{-imα} d_mn(β) e^{-inγ}, D(R S) = D(R) D(S)."""
    R, S = random_rotation(generator(6)), random_rotation(generator(7))
    torch.testing.assert_close(wigner_D(3, R @ S), wigner_D(3, R) @ wigner_D(3, S), rtol=0, atol=1e-12)
    about_z = torch.diagonal(wigner_D(2, rotation_about("z", 0.4)))
    expected = [complex(math.cos(0.4 * m), -math.sin(0.4 * m)) for m in range(-2, 3)]
    torch.testing.assert_close(about_z, torch.tensor(expected, dtype=torch.complex128), rtol=0, atol=1e-14)
    f = torch.zeros(2, 3, dtype=torch.complex128)
    f[1] = torch.randn(3, generator=generator(8), dtype=torch.complex128)
    torch.testing.assert_close(rotate_coefficients(f, R)[1], wigner_D(1, R) @ f[1], rtol=0, atol=1e-13)


def test_the_orientation_axis_comes_right_after_the_channels() -> None:
    """A sample at (γ, θ, φ) sits at the rotation Z(φ) Y(θ) Z(γ)."""
    space = OrientedGrid(Equiangular(4), 3)
    assert space.shape == (3, 4, 8)
    space.check_field(torch.zeros(2, 5, 3, 4, 8))
    with pytest.raises(ValueError, match="orientation axis"):
        space.check_field(torch.zeros(2, 3, 5, 4, 8))
    expected = [0, 2 * PI / 3, 4 * PI / 3]
    assert space.orientations.tolist() == pytest.approx(expected, abs=1e-15)
    # f(R) = (R v)·u for fixed u, v is band-limited; under Q it becomes f(Q⁻¹ R).
    u, v = torch.randn(2, 3, generator=generator(9), dtype=torch.float64)
    theta, phi = torch.meshgrid(space.grid.colatitudes, space.grid.longitudes, indexing="ij")
    samples = from_euler_zyz(phi, theta, space.orientations[:, None, None])
    Q = random_rotation(generator(10))
    turned = rotate(torch.einsum("gijab,a,b->gij", samples, u, v), space, Q)
    torch.testing.assert_close(turned, torch.einsum("gijab,a,b->gij", samples, Q @ u, v), rtol=0, atol=1e-12)


def test_fields_are_batch_channels_then_the_grid() -> None:
    grid, other = Equiangular(8), GaussLegendre(5)
    assert Resample(grid, other)(torch.randn(2, 3, *grid.shape, generator=generator())).shape == (2, 3, 5, 10)
    with pytest.raises(ValueError, match=re.escape("wants (..., 8, 16)")):
        SHT(grid)(torch.zeros(2, 16, 8, 3))


def test_a_state_dict_holds_parameters_only() -> None:
    grid = Equiangular(8)
    for module in (SHT(grid), InverseSHT(grid), Resample(grid, GaussLegendre(6))):
        assert list(module.buffers()), "the constants are buffers, so that they move with the module"
        assert module.state_dict() == {}
