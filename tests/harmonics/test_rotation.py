"""Exact rotation of fields on the sphere and on SO(3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz, random_rotation, rotation_about, wigner_D
from armillary.harmonics import SHT, evaluate, random_field, rotate, rotate_coefficients
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid

GRIDS = [Equiangular(10), Equiangular(9, 21), Equiangular(9, poles=True), GaussLegendre(8), GaussLegendre(7, 15)]
EYE = torch.eye(3, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(
    "R",
    [
        random_rotation(generator(1)),
        random_rotation(generator(2)),
        rotation_about("y", math.pi),
        from_euler_zyz(0.8, math.pi, 0.3),
        from_euler_zyz(0.8, 1e-11, 0.3),
        rotation_about("x", math.pi / 2),
    ],
)
def test_values_at_turned_points(grid: SphereGrid, R: Tensor) -> None:
    """(R f)(x) = f(R⁻¹ x), with f summed directly from its coefficients at the points R⁻¹ x."""
    f = random_field(grid, grid.lmax, (2,), generator(3))
    points = grid.points.reshape(-1, 3) @ R  # rows: (R⁻¹ x)ᵀ = xᵀ R
    wanted = evaluate(SHT(grid)(f), points).unflatten(-1, grid.shape)
    torch.testing.assert_close(rotate(f, grid, R), wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_is_an_action(grid: SphereGrid) -> None:
    R, S = random_rotation(generator(4)), random_rotation(generator(5))
    f = random_field(grid, grid.lmax, (), generator(6))
    torch.testing.assert_close(rotate(rotate(f, grid, S), grid, R), rotate(f, grid, R @ S), rtol=0, atol=1e-12)
    torch.testing.assert_close(rotate(rotate(f, grid, R), grid, R.T), f, rtol=0, atol=1e-12)
    torch.testing.assert_close(rotate(f, grid, EYE), f, rtol=0, atol=1e-12)
    torch.testing.assert_close(grid.integrate(rotate(f, grid, R)), grid.integrate(f), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("steps", [1, 3, -2])
def test_whole_steps_about_z_are_rolls(grid: SphereGrid, steps: int) -> None:
    f = random_field(grid, grid.lmax, (1, 2), generator(7))
    turned = rotate(f, grid, rotation_about("z", steps * grid.longitude_step))
    torch.testing.assert_close(turned, f.roll(steps, -1), rtol=0, atol=1e-12)


def test_north_pole_goes_where_R_sends_it() -> None:
    """A bump at the north pole ends at R e_z."""
    grid = GaussLegendre(33)
    R = from_euler_zyz(0.7, 1.1, 2.0)
    f = torch.exp(20 * (grid.points[..., 2] - 1))
    turned = rotate(f, grid, R)
    wanted = torch.exp(20 * (grid.points @ R[:, 2] - 1))
    torch.testing.assert_close(turned, wanted, rtol=0, atol=1e-9)  # the bump itself reaches beyond degree 32 by 1e-10


def test_degree_255_round_trip() -> None:
    grid = GaussLegendre(256)
    f = random_field(grid, 255, (), generator(8))
    R = random_rotation(generator(9))
    error = rotate(rotate(f, grid, R), grid, R.T) - f
    assert float(error.norm() / f.norm()) < 1e-10


def test_float32_strides_and_gradients() -> None:
    grid = Equiangular(8)
    R = random_rotation(generator(10))
    f = random_field(grid, 7, (3,), generator(11))
    single = rotate(f.float(), grid, R.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), rotate(f, grid, R), rtol=0, atol=1e-5)
    strided = f.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(rotate(strided, grid, R), rotate(f, grid, R))
    small = Equiangular(3)
    x = torch.randn(small.shape, generator=generator(12), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: rotate(v, small, R), x)


def test_lmax_removes_the_rest() -> None:
    grid = Equiangular(9)
    f = random_field(grid, 8, (), generator(13))
    c = SHT(grid)(rotate(f, grid, random_rotation(generator(14)), lmax=4))
    assert c[5:].abs().max() < 1e-13
    assert c[1:5].abs().max() > 0.1


def test_coefficients_turn_by_the_wigner_matrices() -> None:
    lmax, R = 6, random_rotation(generator(15))
    full = torch.zeros(lmax + 1, 2 * lmax + 1, dtype=torch.complex128)
    wanted = torch.zeros_like(full)
    for l in range(lmax + 1):
        part = torch.randn(2 * l + 1, generator=generator(l), dtype=torch.complex128)
        full[l, lmax - l : lmax + l + 1] = part
        wanted[l, lmax - l : lmax + l + 1] = wigner_D(l, R) @ part
    torch.testing.assert_close(rotate_coefficients(full, R), wanted, rtol=0, atol=1e-13)
    grid = GaussLegendre(7)
    half = SHT(grid)(random_field(grid, lmax, (), generator(16)))
    sign = (-1.0) ** torch.arange(1, lmax + 1)
    negative = (half[:, 1:].conj() * sign).flip(1)
    turned = rotate_coefficients(torch.cat([negative, half], dim=1), R)
    torch.testing.assert_close(rotate_coefficients(half, R), turned[:, lmax:], rtol=0, atol=1e-13)


def test_errors() -> None:
    grid = Equiangular(8)
    f = torch.zeros(grid.shape)
    for wrong in (torch.diag(torch.tensor([1.0, 1.0, -1.0])), torch.zeros(3, 3), torch.eye(2)):
        for space, field in ((grid, f), (OrientedGrid(grid, 3), f.expand(3, 8, 16))):
            with pytest.raises(ValueError, match="rotation"):
                rotate(field, space, wrong)
    with pytest.raises(ValueError, match="rotate wants"):
        rotate(f.T, grid, EYE)
    with pytest.raises(ValueError, match="orientation axis"):
        rotate(f, OrientedGrid(grid, 3), EYE)
    with pytest.raises(ValueError, match="lmax = 9"):
        rotate(f, grid, EYE, lmax=9)
    with pytest.raises(ValueError, match="wanted complex"):
        rotate_coefficients(torch.zeros(3, 4, dtype=torch.complex64), EYE)
    with pytest.raises(ValueError, match="wanted complex"):
        rotate_coefficients(torch.zeros(3, 3), EYE)
    for wrong in (torch.zeros(5, dtype=torch.complex64), torch.zeros((), dtype=torch.complex64)):
        with pytest.raises(ValueError, match="wanted complex"):
            rotate_coefficients(wrong, EYE)


def polynomial_on_so3(seed: int) -> Callable[[Tensor], Tensor]:
    """f(Q) = Σ of products of up to two entries of Q a_k: degree and orientation frequency at most 2."""
    a = torch.randn(3, 3, generator=generator(seed), dtype=torch.float64)
    b = torch.randn(3, 3, 3, generator=generator(seed + 1), dtype=torch.float64)

    def f(Q: Tensor) -> Tensor:
        turned = torch.einsum("...ij,kj->...ki", Q, a)
        return (
            1
            + torch.einsum("...ki,ki->...", turned, b[0])
            + (torch.einsum("...ki,ki->...", turned, b[1]) * torch.einsum("...ki,ki->...", turned, b[2]))
        )

    return f


def frames(space: OrientedGrid) -> Tensor:
    gamma = space.orientations[:, None, None]
    theta, phi = space.grid.colatitudes[None, :, None], space.grid.longitudes[None, None, :]
    return from_euler_zyz(phi, theta, gamma)


SPACES = [
    OrientedGrid(Equiangular(6), 5),
    OrientedGrid(GaussLegendre(5, 9), 6),
    OrientedGrid(Equiangular(5, 7, poles=True), 7),
    OrientedGrid(GaussLegendre(3), 8),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_oriented_fields_turn_as_functions_on_so3(space: OrientedGrid) -> None:
    """(R f)(Q) = f(R⁻¹ Q) for a polynomial evaluated directly at R⁻¹ Q."""
    f, Q = polynomial_on_so3(20), frames(space)
    for R in (random_rotation(generator(21)), from_euler_zyz(0.2, math.pi, 0.5), EYE):
        torch.testing.assert_close(rotate(f(Q), space, R), f(R.T @ Q), rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", [*SPACES, OrientedGrid(Equiangular(4), 1), OrientedGrid(Equiangular(4), 2)], ids=str)
def test_oriented_action(space: OrientedGrid) -> None:
    R, S = random_rotation(generator(22)), random_rotation(generator(23))
    f = random_field(space, space.lmax, (2,), generator(24))
    torch.testing.assert_close(rotate(rotate(f, space, S), space, R), rotate(f, space, R @ S), rtol=0, atol=1e-12)
    torch.testing.assert_close(rotate(f, space, EYE), f, rtol=0, atol=1e-12)
    turned = rotate(f, space, rotation_about("z", 2 * space.grid.longitude_step))
    torch.testing.assert_close(turned, f.roll(2, -1), rtol=0, atol=1e-12)
    single = rotate(f.float(), space, R)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), rotate(f, space, R), rtol=0, atol=2e-5)


def test_a_field_without_orientation_turns_as_on_the_sphere() -> None:
    space = OrientedGrid(GaussLegendre(6), 4)
    f, R = random_field(space.grid, 5, (), generator(25)), random_rotation(generator(26))
    lifted = f.expand(space.shape)
    torch.testing.assert_close(rotate(lifted, space, R), rotate(f, space.grid, R).expand(space.shape))
