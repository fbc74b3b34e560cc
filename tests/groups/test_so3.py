"""Rotations, Euler angles and Wigner matrices: against explicit matrices, scipy's harmonics and e3nn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from armillary.groups import euler_zyz, from_euler_zyz, random_rotation, rotation_about, wigner_D, wigner_D_real
from armillary.groups.so3 import check_rotation, real_to_complex


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def harmonics(l: int, points: torch.Tensor) -> torch.Tensor:
    """Y_lm at unit vectors (P, 3) for m = -l..l by scipy: (2l + 1, P)."""
    x, y, z = points.numpy().T
    orders = np.arange(-l, l + 1)[:, None]
    return torch.from_numpy(scipy.special.sph_harm_y(l, orders, np.arccos(np.clip(z, -1, 1)), np.arctan2(y, x)))


def unit_vectors(count: int, seed: int) -> torch.Tensor:
    points = torch.randn(count, 3, generator=generator(seed), dtype=torch.float64)
    return points / points.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotation_about_turns_right_handed(axis: str) -> None:
    index = "xyz".index(axis)
    R = rotation_about(axis, math.pi / 2)
    unit = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(R @ unit[index], unit[index], rtol=0, atol=1e-15)
    torch.testing.assert_close(R @ unit[(index + 1) % 3], unit[(index + 2) % 3], rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="wanted 'x', 'y' or 'z'"):
        rotation_about("w", 0.1)


def test_rotation_about_is_batched() -> None:
    angles = torch.randn(2, 3, generator=generator(0), dtype=torch.float64)
    batch = rotation_about("y", angles)
    assert batch.shape == (2, 3, 3, 3)
    torch.testing.assert_close(batch[1, 2], rotation_about("y", float(angles[1, 2])))


def test_euler_angles_of_random_rotations() -> None:
    for seed in range(50):
        R = random_rotation(generator(seed))
        alpha, beta, gamma = euler_zyz(R)
        assert 0 <= beta <= math.pi
        torch.testing.assert_close(from_euler_zyz(alpha, beta, gamma), R, rtol=0, atol=1e-14)


@pytest.mark.parametrize("tilt", [0.0, 1e-15, 1e-13, 3e-12, 1e-11, 1e-8, 1e-4])
@pytest.mark.parametrize("south", [False, True])
def test_euler_angles_near_the_poles(tilt: float, south: bool) -> None:
    """Rounding leaves α and γ uncertain where β ≈ 0 or π; their product Z(α) Y(β) Z(γ) must not suffer."""
    for seed in range(5):
        S = random_rotation(generator(seed))
        R = S.T @ (S @ from_euler_zyz(0.7, math.pi - tilt if south else tilt, -2.1))  # not exact in the last bits
        angles = euler_zyz(R)
        torch.testing.assert_close(from_euler_zyz(*angles), R, rtol=0, atol=3e-12 if tilt < 1e-12 else 1e-14)
        single = euler_zyz(R.float())
        torch.testing.assert_close(from_euler_zyz(*single), R, rtol=0, atol=1e-6)


def test_euler_angles_at_the_poles_have_no_gamma() -> None:
    assert euler_zyz(from_euler_zyz(0.3, 0, 0.4)) == pytest.approx((0.7, 0, 0), abs=1e-14)
    assert euler_zyz(from_euler_zyz(0.3, math.pi, 0.4)) == pytest.approx((-0.1, math.pi, 0), abs=1e-14)


@pytest.mark.parametrize(
    ("R", "message"),
    [
        (torch.eye(4), r"shape \(4, 4\)"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), "det = -1"),
        (1.001 * torch.eye(3), "not a rotation"),
        (torch.eye(3, dtype=torch.float64) * (1 + 1e-7), "not a rotation"),
        (torch.full((3, 3), math.nan), "not a rotation"),
    ],
)
def test_what_is_not_a_rotation_is_refused(R: torch.Tensor, message: str) -> None:
    for reader in (check_rotation, euler_zyz, lambda matrix: wigner_D(1, matrix)):
        with pytest.raises(ValueError, match=message):
            reader(R)


def test_rounded_rotations_are_accepted() -> None:
    check_rotation(random_rotation(generator(0), dtype=torch.float32))


def test_random_rotations_are_uniform() -> None:
    """Under the Haar measure the mean of every Wigner matrix of degree ≥ 1 is zero and E tr(D¹)² = 1."""
    gen = generator(1)
    sample = torch.stack([random_rotation(gen) for _ in range(2000)])
    bound = 5 / math.sqrt(2000)  # five standard deviations of entries of variance ≤ 1
    assert sample.mean(0).abs().max() < bound
    traces = sample.diagonal(dim1=1, dim2=2).sum(1)
    assert abs(float((traces**2).mean()) - 1) < 2 * bound  # the variance of tr² is 2
    quadratic = torch.stack([wigner_D_real(2, R) for R in sample[:400]]).mean(0)
    assert quadratic.abs().max() < 5 / math.sqrt(400)


def test_random_rotations_repeat_with_their_generator() -> None:
    assert torch.equal(random_rotation(generator(3)), random_rotation(generator(3)))
    assert not torch.equal(random_rotation(generator(3)), random_rotation(generator(4)))
    assert random_rotation(dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("l", [0, 1, 2, 5, 12])
def test_wigner_D_turns_the_harmonics(l: int) -> None:
    """Y_ln(R⁻¹ p) = Σ_m D_mn(R) Y_lm(p), with the harmonics by scipy."""
    R, points = random_rotation(generator(l)), unit_vectors(7, l)
    turned = harmonics(l, points @ R)  # rows p: p R = (R⁻¹ p)ᵀ
    torch.testing.assert_close(wigner_D(l, R).T @ harmonics(l, points), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("l", [1, 2, 16, 63, 256])
def test_wigner_D_is_a_unitary_representation(l: int) -> None:
    R, S = random_rotation(generator(2 * l)), random_rotation(generator(2 * l + 1))
    D = wigner_D(l, R)
    identity = torch.eye(2 * l + 1, dtype=torch.complex128)
    bound = 2e-14 * (l + 10)  # phases e^{-imα} lose l ulp of the angle
    assert (D @ D.conj().T - identity).abs().max() < bound
    assert (wigner_D(l, R @ S) - D @ wigner_D(l, S)).abs().max() < bound
    if l < 100:
        assert (wigner_D(l, R.T) - D.conj().T).abs().max() < bound
        assert (wigner_D(l, torch.eye(3, dtype=torch.float64)) - identity).abs().max() < bound


@pytest.mark.parametrize("l", [0, 1, 3, 8])
def test_real_basis_is_the_textbooks(l: int) -> None:
    """Real harmonics √2 (-1)^m Re Y_lm, √2 (-1)^m Im Y_l|m| by scipy; U and the real matrices follow from them."""
    points = unit_vectors(9, l)
    Y = harmonics(l, points)
    rows = [
        2**0.5 * (-1) ** m * (Y[l + abs(m)].real if m > 0 else Y[l + abs(m)].imag) if m else Y[l].real
        for m in range(-l, l + 1)
    ]
    real = torch.stack(rows)
    U = real_to_complex(l)
    torch.testing.assert_close(U @ U.conj().T, torch.eye(2 * l + 1, dtype=torch.complex128), rtol=0, atol=1e-15)
    # Σ a_m S_m = Σ (U a)_m Y_m for every a, so Uᵀ Y = S
    torch.testing.assert_close(U.T @ Y, real.to(Y), rtol=0, atol=1e-13)
    R = random_rotation(generator(l))
    D = wigner_D_real(l, R)
    torch.testing.assert_close(D @ D.T, torch.eye(2 * l + 1, dtype=torch.float64), rtol=0, atol=1e-13)
    turned = U.T @ harmonics(l, points @ R)
    torch.testing.assert_close((D.T @ real).to(turned), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("l", range(11))
def test_real_matrices_agree_with_e3nn(l: int) -> None:
    """e3nn takes y for the polar axis: its (x, y, z) are our (y, z, x). Its tables of J are rounded to float32."""
    o3 = pytest.importorskip("e3nn.o3")
    R = random_rotation(generator(100 + l))
    order = [1, 2, 0]
    theirs = o3.Irrep(l, 1).D_from_matrix(R[order][:, order])
    torch.testing.assert_close(wigner_D_real(l, R), theirs.double(), rtol=0, atol=1e-5)
