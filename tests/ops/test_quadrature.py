"""Quadrature in colatitude: closed forms, degrees of exactness, other people's nodes, and dense integrals."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre
from torch import Tensor

from armillary.ops.quadrature import clenshaw_curtis, equiangular_inner_product, fejer, gauss_legendre

RULES = {"gauss": gauss_legendre, "fejer": fejer, "clenshaw": clenshaw_curtis}


def legendre_integral(theta: Tensor, weight: Tensor, degree: int) -> float:
    """Σ_j w_j P_degree(cos θ_j): 2 for degree 0, else 0 where the rule is exact."""
    coefficients = np.zeros(degree + 1)
    coefficients[degree] = 1
    return float(weight.numpy() @ legendre.legval(np.cos(theta.numpy()), coefficients))


@pytest.mark.parametrize("rule", ["fejer", "clenshaw"])
@given(n=st.integers(2, 60))
@settings(max_examples=25, deadline=None)
def test_equiangular_rules_are_exact_to_degree_n_minus_1(rule: str, n: int) -> None:
    theta, weight = RULES[rule](n)
    assert weight.min() > 0
    for degree in range(n):
        assert legendre_integral(theta, weight, degree) == pytest.approx(2 * (degree == 0), abs=1e-14)
    beyond = n + n % 2  # the lowest even degree that the rule misses
    assert abs(legendre_integral(theta, weight, beyond)) > 1e-6


@given(n=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_gauss_legendre_is_exact_to_degree_2n_minus_1(n: int) -> None:
    theta, weight = gauss_legendre(n)
    assert weight.min() > 0
    for degree in range(2 * n):
        assert legendre_integral(theta, weight, degree) == pytest.approx(2 * (degree == 0), abs=1e-14)
    assert abs(legendre_integral(theta, weight, 2 * n)) > 1e-3


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 2048])
def test_weights_are_positive_symmetric_and_sum_to_2(rule: str, n: int) -> None:
    if rule == "clenshaw" and n == 1:
        return
    theta, weight = RULES[rule](n)
    assert theta.shape == weight.shape == (n,)
    assert theta.dtype == weight.dtype == torch.float64
    assert weight.min() > 0
    assert (theta.diff() > 0).all()
    assert float(weight.sum()) == pytest.approx(2, abs=5e-15 * math.sqrt(n))
    torch.testing.assert_close(theta + theta.flip(0), torch.full_like(theta, math.pi), rtol=0, atol=1e-14)
    torch.testing.assert_close(weight, weight.flip(0), rtol=2e-11, atol=1e-17)


def test_rules_of_few_nodes_written_out() -> None:
    def check(rule: tuple[Tensor, Tensor], theta: list[float], weight: list[float]) -> None:
        for got, wanted in zip(rule, (theta, weight), strict=True):
            torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=2e-15)

    third, pi = math.acos(1 / math.sqrt(3)), math.pi
    check(gauss_legendre(1), [pi / 2], [2.0])
    check(gauss_legendre(2), [third, pi - third], [1.0, 1.0])
    outer = math.acos(math.sqrt(0.6))
    check(gauss_legendre(3), [outer, pi / 2, pi - outer], [5 / 9, 8 / 9, 5 / 9])
    check(fejer(1), [pi / 2], [2.0])
    check(fejer(2), [pi / 4, 3 * pi / 4], [1.0, 1.0])
    check(fejer(3), [pi / 6, pi / 2, 5 * pi / 6], [4 / 9, 10 / 9, 4 / 9])
    check(clenshaw_curtis(2), [0.0, pi], [1.0, 1.0])
    check(clenshaw_curtis(3), [0.0, pi / 2, pi], [1 / 3, 4 / 3, 1 / 3])  # Simpson's rule


def test_clenshaw_curtis_wants_both_poles() -> None:
    with pytest.raises(ValueError, match="n = 1, wanted n >= 2"):
        clenshaw_curtis(1)


@pytest.mark.parametrize("n", [1, 2, 5, 40, 101])
def test_gauss_legendre_nodes_agree_with_numpy(n: int) -> None:
    x, w = legendre.leggauss(n)
    theta, weight = gauss_legendre(n)
    np.testing.assert_allclose(np.cos(theta.numpy()), x[::-1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(weight.numpy(), w[::-1], rtol=0, atol=1e-14)  # numpy's own lose digits near the poles


@pytest.mark.parametrize(("n", "j"), [(16, 0), (33, 16), (257, 3), (2048, 0), (2048, 700), (2048, 2047)])
def test_gauss_legendre_to_the_last_bits_by_mpmath(n: int, j: int) -> None:
    """Newton's method at 40 digits, from the asymptotic node: colatitudes and weights to a few ulp."""
    with mpmath.workdps(40):
        k = j if j < n / 2 else n - 1 - j
        t = mpmath.mpf(4 * k + 3) / (4 * n + 2) * mpmath.pi
        for _ in range(8):
            x, before, value = mpmath.cos(t), mpmath.mpf(1), mpmath.cos(t)
            for degree in range(1, n):
                before, value = value, ((2 * degree + 1) * x * value - degree * before) / (degree + 1)
            slope = n * (x * value - before) / mpmath.sin(t)
            t -= value / slope
        wanted_theta = float(t if j == k else mpmath.pi - t)
        wanted_weight = float(2 / slope**2)
    theta, weight = gauss_legendre(n)
    assert float(theta[j]) == pytest.approx(wanted_theta, rel=4e-16)
    assert float(weight[j]) == pytest.approx(wanted_weight, rel=2e-15 * math.sqrt(n))


def ring_function(coefficients: Tensor, odd: bool, theta: Tensor) -> Tensor:
    """Σ_k a_k cos kθ for k = 0.., or Σ_k a_k sin kθ for k = 1.."""
    k = torch.arange(len(coefficients), dtype=torch.float64) + odd
    wave = torch.sin if odd else torch.cos
    return coefficients @ wave(k[:, None] * theta)


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("poles", [False, True])
@pytest.mark.parametrize("n", [3, 4, 7, 16, 33])
def test_ring_inner_products_are_exact_over_the_full_band(n: int, poles: bool, odd: bool) -> None:
    """F^T S G against Gauss–Legendre quadrature in θ with enough nodes for F G sin θ, F and G of full degree."""
    generator = torch.Generator().manual_seed(n)
    count = n if not odd else n - 2 if poles else n
    a, b = torch.randn(2, count, generator=generator, dtype=torch.float64)
    theta = (clenshaw_curtis if poles else fejer)(n)[0]
    S = equiangular_inner_product(n, poles, odd)
    assert S.shape == (n, n)
    torch.testing.assert_close(S, S.T, rtol=0, atol=0)
    x, w = (torch.from_numpy(v) for v in legendre.leggauss(4 * n + 20))
    fine, fine_weight = (x + 1) * (math.pi / 2), w * (math.pi / 2)
    exact = (ring_function(a, odd, fine) * ring_function(b, odd, fine) * torch.sin(fine)) @ fine_weight
    got = ring_function(a, odd, theta) @ S @ ring_function(b, odd, theta)
    assert float(got) == pytest.approx(float(exact), abs=1e-12 * n)
    assert torch.linalg.eigvalsh(S).min() > -1e-14  # an inner product


@pytest.mark.parametrize("poles", [False, True])
def test_plain_weights_would_not_do(poles: bool) -> None:
    """The reason for the form: the rule's own weights miss the product of two functions of full degree."""
    n = 16
    theta, weight = (clenshaw_curtis if poles else fejer)(n)
    F = torch.cos((n - 2) * theta)
    S = equiangular_inner_product(n, poles, False)
    exact = 1 + 1 / (1 - 4.0 * (n - 2) ** 2)  # ∫ cos²(kθ) sin θ dθ
    assert float(F @ S @ F) == pytest.approx(exact, abs=1e-13)
    assert abs(float((F * weight) @ F) - exact) > 1e-3
