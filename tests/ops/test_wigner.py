"""Wigner d-functions and Legendre tables: scipy, arbitrary precision, the addition theorem, symmetry."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor

from armillary.ops.wigner import legendre_table, wigner_d

THETA = torch.tensor([0.0, 1e-6, 0.01, 0.4, 1.1, math.pi / 2, 2.3, 3.1, math.pi], dtype=torch.float64)


def degree(l: int, m: Tensor, n: Tensor, beta: Tensor) -> Tensor:
    """d^l_{mn}(β), the last of the sequence."""
    *_, d = wigner_d(l, m, n, beta)
    return d


def square(l: int, beta: float) -> Tensor:
    orders = torch.arange(-l, l + 1)
    return degree(l, orders[:, None], orders[None, :], torch.tensor([[beta]], dtype=torch.float64))


def exact_legendre(l: int, m: int, theta: float) -> float:
    """P̄_lm in 60 digits: the closed form at l = m, then the recurrence in the degree."""
    with mpmath.workdps(60):
        t = mpmath.mpf(theta)
        log = (mpmath.loggamma(2 * m + 2) - mpmath.log(4 * mpmath.pi)) / 2 - m * mpmath.log(2) - mpmath.loggamma(m + 1)
        value = (-1) ** m * mpmath.exp(log) * mpmath.sin(t) ** m
        before = mpmath.mpf(0)
        for k in range(m + 1, l + 1):
            a = mpmath.sqrt(mpmath.mpf(4 * k * k - 1) / (k * k - m * m))
            b = mpmath.sqrt(mpmath.mpf((k - 1) ** 2 - m * m) / (4 * (k - 1) ** 2 - 1)) if k > m + 1 else 0
            before, value = value, a * (mpmath.cos(t) * value - b * before)
        return float(value)


def test_written_out_to_degree_one() -> None:
    """Condon–Shortley: d^{1/..} of degree 1 in closed form, rows and columns m, n = -1, 0, 1."""
    b = 0.7
    c, s = math.cos(b), math.sin(b) / 2**0.5
    wanted = [[(1 + c) / 2, s, (1 - c) / 2], [-s, c, s], [(1 - c) / 2, -s, (1 + c) / 2]]
    torch.testing.assert_close(square(1, b), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-15)
    assert square(0, b).tolist() == [[1.0]]


def test_legendre_agrees_with_scipy_for_all_orders() -> None:
    lmax = 60
    table = legendre_table(lmax, torch.arange(-lmax, lmax + 1), THETA)
    l, m = np.arange(lmax + 1)[None, :, None], np.arange(-lmax, lmax + 1)[:, None, None]
    with np.errstate(all="ignore"):
        wanted = scipy.special.sph_harm_y(l, m, THETA.numpy(), 0.0).real
    wanted = torch.from_numpy(np.where(np.abs(m) > l, 0.0, wanted))
    torch.testing.assert_close(table, wanted, rtol=1e-11, atol=2e-13)


@pytest.mark.parametrize("spin", [1, -2, 3, 7])
def test_spin_tables_are_columns_of_the_wigner_matrix(spin: int) -> None:
    lmax = 9
    table = legendre_table(lmax, torch.arange(-lmax, lmax + 1), THETA, spin)
    for l in range(lmax + 1):
        for j, theta in enumerate(THETA.tolist()):
            wanted = torch.zeros(2 * lmax + 1, dtype=torch.float64)
            if l >= abs(spin):
                column = square(l, theta)[:, l + spin]
                wanted[lmax - l : lmax + l + 1] = column * math.sqrt((2 * l + 1) / (4 * math.pi))
            torch.testing.assert_close(table[:, l, j], wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("l", [2, 5, 17])
def test_explicit_sum(l: int) -> None:
    """Wigner's own finite sum, in exact arithmetic of 40 digits."""
    beta = 1.234
    d = square(l, beta)
    generator = torch.Generator().manual_seed(l)
    for m, n in torch.randint(-l, l + 1, (12, 2), generator=generator).tolist():
        with mpmath.workdps(40):
            f, c, s = mpmath.factorial, mpmath.cos(mpmath.mpf(beta) / 2), mpmath.sin(mpmath.mpf(beta) / 2)
            root = mpmath.sqrt(f(l + m) * f(l - m) * f(l + n) * f(l - n))
            total = sum(
                (-1) ** (m - n + k)
                * c ** (2 * l + n - m - 2 * k)
                * s ** (m - n + 2 * k)
                / (f(l + n - k) * f(k) * f(m - n + k) * f(l - m - k))
                for k in range(max(0, n - m), min(l + n, l - m) + 1)
            )
            wanted = float(root * total)
        assert float(d[l + m, l + n]) == pytest.approx(wanted, abs=1e-14)


@pytest.mark.parametrize("beta", [0.0, 1e-9, 0.3, math.pi / 2, 2.9, math.pi])
def test_matrices_are_orthogonal_and_symmetric_in_the_known_ways(beta: float) -> None:
    l = 40
    d = square(l, beta)
    torch.testing.assert_close(d @ d.T, torch.eye(2 * l + 1, dtype=torch.float64), rtol=0, atol=2e-13)
    orders = torch.arange(-l, l + 1)
    sign = 1.0 - 2.0 * ((orders[:, None] - orders[None, :]) % 2)
    torch.testing.assert_close(d, sign * d.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(d, d.T.flip(0, 1), rtol=0, atol=1e-13)


def test_homomorphism_about_y() -> None:
    torch.testing.assert_close(square(64, 0.4) @ square(64, 1.3), square(64, 1.7), rtol=0, atol=2e-13)


def test_yields_zero_below_the_start_and_fresh_tensors() -> None:
    steps = list(wigner_d(5, torch.tensor([3, -4]), torch.tensor([2]), torch.tensor([0.5], dtype=torch.float64)))
    assert len(steps) == 6
    assert [bool((d != 0)[0]) for d in steps] == [False] * 3 + [True] * 3
    assert [bool((d != 0)[1]) for d in steps] == [False] * 4 + [True] * 2
    kept = steps[4].clone()
    steps[5].zero_()
    torch.testing.assert_close(steps[4], kept)


def test_window_gives_the_same_numbers() -> None:
    l = 24
    orders = torch.arange(-l, l + 1)
    beta = torch.tensor([[0.9]], dtype=torch.float64)
    whole = list(wigner_d(l, orders[:, None], orders[None, :], beta))
    cut = wigner_d(l, orders[:, None], orders[None, :], beta, active=lambda k: (slice(l - k, l + k + 1),) * 2)
    for k, (all_of_it, part) in enumerate(zip(whole, cut, strict=True)):
        assert torch.equal(all_of_it[l - k : l + k + 1, l - k : l + k + 1], part)


def test_addition_theorem_to_degree_2048() -> None:
    """Σ_m P̄_lm(θ)² = (2l + 1)/4π at every degree, near the pole, between and on the equator."""
    lmax = 2048
    theta = torch.tensor([3e-4, 0.8, math.pi / 2], dtype=torch.float64)
    orders = torch.arange(lmax + 1)
    twice = torch.where(orders == 0, 1.0, 2.0).double()
    steps = wigner_d(
        lmax, orders[:, None], torch.zeros(1, 1, dtype=torch.long), theta[None, :], active=lambda l: (slice(0, l + 1),)
    )
    worst = torch.zeros(3, dtype=torch.float64)
    for l, d in enumerate(steps):
        worst = torch.maximum(worst, ((d**2 * twice[: l + 1, None]).sum(0) - 1).abs())
    assert worst[1:].max() < 2e-12
    assert worst[0] < lmax * 2.2e-16 / float(theta[0])  # cos θ rounded: θ is known to eps/θ, and d' ≤ l


@pytest.mark.parametrize(
    ("m", "theta"),
    [
        (0, 0.001),
        (1, 2.5),
        (700, 0.3),  # the start, 10^-371, is nothing in float64
        (700, 0.4),
        (1500, 0.9),
        (2000, 1.2),
        (2000, 1.4),
        (2040, 1.55),
        (2047, 1.5),
        (2048, 1.57),
        (2048, 2.9),  # 10^-1270: zero in float64, and nothing else
    ],
)
def test_degree_2048_by_arbitrary_precision(m: int, theta: float) -> None:
    table = legendre_table(2048, torch.tensor([m]), torch.tensor([theta], dtype=torch.float64))
    for l in (2048, max(m, 1500)):
        assert float(table[0, l, 0]) == pytest.approx(exact_legendre(l, m, theta), rel=1e-9, abs=1e-12)


def test_values_that_grow_from_underflow() -> None:
    """The start is below the smallest float64, yet higher degrees reach order one: nothing may be lost on the way."""
    m, theta = 750, 0.37
    assert m * math.log10(math.sin(theta)) < -324
    table = legendre_table(2048, torch.tensor([m]), torch.tensor([theta], dtype=torch.float64))
    assert table[0, 2000:].abs().max() > 0.1
    for l in (2047, 2048):
        assert float(table[0, l, 0]) == pytest.approx(exact_legendre(l, m, theta), abs=1e-11)
