"""Quadrature stencils with matched moments.

A stencil ``s_i ≈ q_i ψ(ω_i)`` integrates a smooth field against a filter ψ over a small cap. Sampling ψ at a handful of
points is inaccurate whatever the quadrature, because ψ has kinks and an edge. But the field is smooth: it is a polynomial in
the tangent coordinates of the cap up to O(θ_c^(p+1)). So the stencil is corrected, by as little as possible, until it
integrates every polynomial of degree ≤ p exactly as the continuous filter does:

    minimise Σ_i δ_i² / q_i   subject to   Σ_i (s_i + δ_i) u_i^a v_i^b = ∫ ψ u^a v^b dω   for a + b ≤ p.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_CONDITION = 1e6


def monomials(u: Tensor, v: Tensor, degree: int) -> Tensor:
    """u^a v^b for a + b ≤ degree, ordered by total degree: (n,) → ((degree + 1)(degree + 2)/2, n)."""
    return torch.stack([u ** (total - b) * v**b for total in range(degree + 1) for b in range(total + 1)])


def monomial_count(degree: int) -> int:
    """The number of monomials of degree ≤ ``degree`` in two variables; 0 for degree -1."""
    return (degree + 1) * (degree + 2) // 2


class LocalPolynomials:
    """The weighted polynomials at the points of one stencil, factored once for all degrees and filters.

    Shapes: u, v, q (n,) float64: tangent coordinates relative to the cutoff, and quadrature weights (positive).
    """

    def __init__(self, u: Tensor, v: Tensor, q: Tensor, degree: int) -> None:
        self.root = (q / q.mean()).sqrt()
        self.basis = monomials(u, v, degree)
        # QR of the n × A matrix: its leading columns serve every lower degree
        self.q_factor, self.r_factor = torch.linalg.qr((self.basis * self.root).T)

    def supports(self, degree: int) -> bool:
        """Whether the points determine the polynomials of that degree safely."""
        count = monomial_count(degree)
        if count > len(self.root):
            return False
        values = torch.linalg.svdvals(self.r_factor[:count, :count])
        return bool(values[-1] * MAX_CONDITION > values[0])

    def correct(self, stencil: Tensor, moments: Tensor, degree: int) -> Tensor:
        """The stencil (..., n) changed least so that its moments are those given, (..., count(degree))."""
        count = monomial_count(degree)
        gap = moments[..., :count] - stencil @ self.basis[:count].T
        # δ = W^½ Q R^-T gap is the least-norm solution of (basis) δ = gap in the weighted norm
        solved = torch.linalg.solve_triangular(self.r_factor[:count, :count].T, gap.reshape(-1, count).T, upper=False)
        delta = (self.q_factor[:, :count] @ solved).T * self.root
        return stencil + delta.reshape(stencil.shape)
