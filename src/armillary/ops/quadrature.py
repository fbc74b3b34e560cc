"""One-dimensional quadrature rules for the colatitude, and exact inner products of sampled ring functions.

Everything is float64. A rule is a pair (theta, weight) of shape (n,) with
``sum_j weight[j] g(theta[j]) ≈ ∫_0^π g(θ) sin θ dθ``, so the weights sum to 2.

A ring function F_m(θ), the m-th longitude frequency of a field of band limit ``lmax``, is a trigonometric polynomial
of degree ``lmax``: a cosine series for even m, a sine series for odd m. On equispaced nodes that series is determined
by its samples, so the inner product ``∫ F G sin θ dθ`` is an exact quadratic form of the samples. This gives the *full*
band on equiangular grids (``lmax = nlat - 1``) where weights alone would stop at half of it.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.special
import torch
from torch import Tensor

from armillary.ops.constants import cached_constant


@cached_constant(32)
def gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes and weights in colatitude.

    Exact for polynomials in cos θ of degree 2n - 1.

    Returns: colatitudes (n,), ascending in (0, π), radians; weights (n,), sum 2.
    Source: Abramowitz & Stegun 25.4.29; pinned by ``tests/ops/test_quadrature.py``.
    """
    start = np.arccos(scipy.special.roots_legendre(n)[0])[::-1].astype(np.longdouble)
    theta, slope = start, np.ones_like(start)
    for _ in range(2):  # Newton in θ and extended precision: nodes and weights to the last bit of float64
        x, sin = np.cos(theta), np.sin(theta)
        before, value = np.ones_like(x), x.copy()
        for k in range(1, n):
            before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
        slope = n * (x * value - before) / sin  # dP_n/dθ
        theta = theta - value / slope
    return torch.from_numpy(theta.astype(np.float64)), torch.from_numpy((2 / slope**2).astype(np.float64))


@cached_constant(32)
def fejer(n: int) -> tuple[Tensor, Tensor]:
    """Fejér's first rule: nodes θ_j = (j + ½)π/n, poles excluded; exact for degree n - 1 in cos θ."""
    theta = (torch.arange(n, dtype=torch.float64) + 0.5) * (math.pi / n)
    k = torch.arange(1, n // 2 + 1, dtype=torch.float64)
    series = (torch.cos(2 * theta[:, None] * k) / (4 * k**2 - 1)).sum(dim=1)
    return theta, (2 / n) * (1 - 2 * series)


@cached_constant(32)
def clenshaw_curtis(n: int) -> tuple[Tensor, Tensor]:
    """Clenshaw–Curtis: nodes θ_j = jπ/(n - 1), poles included; exact for degree n - 1 in cos θ."""
    if n < 2:
        raise ValueError(f"Clenshaw-Curtis needs both poles: got n = {n}, wanted n >= 2.")
    last = n - 1
    theta = torch.arange(n, dtype=torch.float64) * (math.pi / last)
    k = torch.arange(1, last // 2 + 1, dtype=torch.float64)
    b = torch.full_like(k, 2.0)
    if last % 2 == 0 and last > 0:
        b[-1] = 1.0
    series = (b * torch.cos(2 * theta[:, None] * k) / (4 * k**2 - 1)).sum(dim=1)
    weight = (2 / last) * (1 - series)
    weight[0] /= 2
    weight[-1] /= 2
    return theta, weight


def _sine_weighted_cosines(order: Tensor) -> Tensor:
    """∫_0^π cos(nθ) sin θ dθ = (1 + (-1)^n) / (1 - n²), elementwise over integer ``order``."""
    even = (order % 2) == 0
    return torch.where(even, 2.0 / torch.where(even, 1.0 - order**2, 1.0), 0.0)


@cached_constant(16)
def equiangular_inner_product(n: int, poles: bool, odd: bool) -> Tensor:
    """Exact inner product of ring functions sampled on an equiangular grid.

    ``∫_0^π F(θ) G(θ) sin θ dθ = F^T S G`` for cosine series F, G of degree ≤ n - 1 (``odd=False``) or sine series
    (``odd=True``; degree ≤ n, or ≤ n - 2 where the poles are nodes).

    Returns: S of shape (n, n), symmetric, float64.
    """
    j = torch.arange(n, dtype=torch.float64)
    theta = j * (math.pi / (n - 1)) if poles else (j + 0.5) * (math.pi / n)
    if odd:
        k = torch.arange(1, n - 1 if poles else n + 1, dtype=torch.float64)
        basis = torch.sin(k[:, None] * theta)
        series = basis * (2.0 / (n - 1 if poles else n))
        if not poles:
            series[-1] /= 2
        sign = -1.0
    else:
        k = torch.arange(n, dtype=torch.float64)
        basis = torch.cos(k[:, None] * theta)
        series = basis * (2.0 / (n - 1 if poles else n))
        series[0] /= 2
        if poles:
            series[-1] /= 2
            series[:, 0] /= 2
            series[:, -1] /= 2
        sign = 1.0
    overlap = 0.5 * (_sine_weighted_cosines(k[:, None] - k) + sign * _sine_weighted_cosines(k[:, None] + k))
    gram = series.T @ overlap @ series
    return 0.5 * (gram + gram.T)
