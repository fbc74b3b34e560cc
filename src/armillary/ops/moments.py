"""Quadrature stencils with matched moments.

A stencil ``s_i ≈ q_i ψ(ω_i)`` integrates a smooth field against a filter ψ over a small cap. Sampling ψ at a handful of
points is inaccurate whatever the quadrature, because ψ has kinks and an edge. But the field is smooth: it is a
polynomial in the tangent coordinates of the cap up to O(θ_c^(p+1)). So the stencil is corrected, by as little as
possible, until it integrates every polynomial of degree ≤ p exactly as the continuous filter does:

    minimise Σ_i δ_i² / q_i   subject to   Σ_i (s_i + δ_i) u_i^a v_i^b = ∫ ψ u^a v^b dω   for a + b ≤ p.

The points never determine the next degrees fully, but many of their combinations they do. Those directions of degrees
p + 1 and p + 2 that the points resolve safely are matched as well: that lowers the error several times at no cost, and
leaves the stencil's norm (its response to noise) near that of the filter.
"""

from __future__ import annotations

import torch
from torch import Tensor

EXTRA_DEGREES = 2
MAX_CONDITION = 1e3  # of the matched polynomials at the points; beyond, stencils are matched by large terms that cancel
RESOLVED = 1e-3  # singular value, relative to the largest, above which a direction of the extra degrees is matched


def monomials(u: Tensor, v: Tensor, degree: int) -> Tensor:
    """u^a v^b for a + b ≤ degree, ordered by total degree: (n,) → ((degree + 1)(degree + 2)/2, n)."""
    return torch.stack([u ** (total - b) * v**b for total in range(degree + 1) for b in range(total + 1)])


def monomial_count(degree: int) -> int:
    """The number of monomials of degree ≤ ``degree`` in two variables; 0 for degree -1."""
    return (degree + 1) * (degree + 2) // 2


class LocalPolynomials:
    """The weighted polynomials at the points of one stencil.

    Shapes: u, v, q (n,) float64: tangent coordinates relative to the cutoff, and quadrature weights (positive).
    ``degree`` is the highest that will be asked for.
    """

    def __init__(self, u: Tensor, v: Tensor, q: Tensor, degree: int) -> None:
        self.root = (q / q.mean()).sqrt()
        self.basis = monomials(u, v, degree + EXTRA_DEGREES) * self.root
        # QR of the n × A matrix: its leading columns serve every lower degree
        self.q_factor, self.r_factor = torch.linalg.qr(self.basis[: monomial_count(degree)].T)

    def supports(self, degree: int) -> bool:
        """Whether the points determine the polynomials of that degree safely."""
        count = monomial_count(degree)
        if count > len(self.root):
            return False
        values = torch.linalg.svdvals(self.r_factor[:count, :count])
        return bool(values[-1] * MAX_CONDITION > values[0])

    def correct(self, stencil: Tensor, moments: Tensor, degree: int) -> Tensor:
        """The stencil (K, n) changed least so that its moments are those given, (K, count(degree + EXTRA_DEGREES))."""
        exact, total = monomial_count(degree), monomial_count(degree + EXTRA_DEGREES)
        gap = (moments - (stencil / self.root) @ self.basis[:total].T).T
        # in units of root: the least-norm solution of (basis) δ = gap is Q R^-T gap
        span, factor = self.q_factor[:, :exact], self.r_factor[:exact, :exact]
        delta = span @ torch.linalg.solve_triangular(factor.T, gap[:exact], upper=False)
        extra = self.basis[exact:total]
        rest = gap[exact:] - extra @ delta
        left, values, right = torch.linalg.svd(extra - (extra @ span) @ span.T, full_matrices=False)
        largest = torch.linalg.matrix_norm(self.basis[:total], 2)
        inverse = torch.where(values > RESOLVED * largest, 1 / values, 0.0)
        delta = delta + right.T @ (inverse[:, None] * (left.T @ rest))
        return stencil + delta.T * self.root
