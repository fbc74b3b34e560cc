"""Real spherical and solid harmonics of vectors, as polynomials: without angles, so that no direction is special.

Ordered m = -l..l, orthonormal on the sphere, degree 1 proportional to (y, z, x). With x + iy taken to the power m and

    Π_mm = c_m,     Π_lm = a_lm (z Π_{l-1,m} - b_lm |r|² Π_{l-2,m}),

    |r|^l Y_lm = Π_lm Re (x + iy)^m  (m ≥ 0),     Π_l|m| Im (x + iy)^|m|  (m < 0)

for any r. The recurrence of the orthonormal Legendre functions without their factor sin^m θ: stable upwards in l, and
smooth through the poles. Pinned by ``tests/ops/test_real_harmonics.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.ops.integers import checked_integer


def solid_harmonics(lmax: int, r: Tensor) -> Tensor:
    """``|r|^l Y_lm(r/|r|)``, l = 0..lmax, m = -l..l: homogeneous polynomials of degree l in r.

    Shapes: r (..., 3) → (..., (lmax + 1)²), degree l at l²..(l + 1)² - 1. Smooth everywhere, differentiable any number
    of times; the gradient is that of the polynomials. Sums of squares: Σ_m = (2l + 1)/4π |r|^2l.

    Raises: ValueError for lmax < 0, another shape, or what is not real floating point.
    """
    checked_integer("lmax", lmax, 0)
    if r.shape[-1:] != (3,) or not r.is_floating_point():
        raise ValueError(f"r has shape {tuple(r.shape)} and dtype {r.dtype}, wanted real vectors of shape (..., 3).")
    x, y, z = r.reshape(-1, 3).T.contiguous().unbind(0)  # orders first, so that each operation is over long rows
    squared = x * x + y * y + z * z
    cos, sin = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(lmax):
        cos, sin = [*cos, x * cos[-1] - y * sin[-1]], [*sin, x * sin[-1] + y * cos[-1]]
    cos_MN, sin_MN = torch.stack(cos), torch.stack(sin)
    a, b = _recurrence(lmax, r)
    before, row, diagonal = z[:0, None], z * 0 + (4 * math.pi) ** -0.5, (2 * math.pi) ** -0.5
    row = row[None]
    degrees = [row]
    for l in range(1, lmax + 1):
        diagonal *= (1 + 0.5 / l) ** 0.5
        last = (2 * l + 1) ** 0.5 * z * row[-1]
        rows = [last[None], torch.full_like(last, diagonal)[None]]
        if l > 1:
            rows.insert(0, a[l, : l - 1, None] * (z * row[:-1] - b[l, : l - 1, None] * (squared * before)))
        before, row = row, torch.cat(rows)
        degrees += [(row[1:] * sin_MN[1 : l + 1]).flip(0), row * cos_MN[: l + 1]]
    return torch.cat(degrees).T.contiguous().view(*r.shape[:-1], (lmax + 1) ** 2)


def spherical_harmonics(lmax: int, r: Tensor) -> Tensor:
    """``Y_lm(r/|r|)``, l = 0..lmax, m = -l..l: orthonormal, ∫ Y_lm Y_l'm' dω = δ.

    Shapes: r (..., 3) of any length → (..., (lmax + 1)²). The gradient falls as 1/|r| and is perpendicular to r. A zero
    vector has no direction: there Y_00 is what it always is, all others are zero, and so is the gradient. Lengths below
    the smallest normal number count as zero; nothing overflows before that, nor for the longest.

    Raises: as ``solid_harmonics``.
    """
    if r.shape[-1:] != (3,) or not r.is_floating_point():
        raise ValueError(f"r has shape {tuple(r.shape)} and dtype {r.dtype}, wanted real vectors of shape (..., 3).")
    largest = r.detach().abs().amax(-1, keepdim=True)
    zero = largest < torch.finfo(r.dtype).tiny
    scaled = r / torch.where(zero, 1.0, largest)  # Y does not depend on the length, so nor on this factor
    inverse = torch.where(zero, 0.0, (scaled.square().sum(-1, keepdim=True) + zero).rsqrt())
    return solid_harmonics(lmax, scaled * inverse)


def _recurrence(lmax: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """a_lm and b_lm, (lmax + 1, lmax + 1), where m < l - 1; computed in float64."""
    degree = torch.arange(lmax + 1, dtype=torch.float64, device=like.device)
    l2, m2 = degree[:, None] ** 2, degree**2
    below = (degree[:, None] - 1) ** 2
    a = ((4 * l2 - 1) / (l2 - m2)).sqrt()
    b = ((below - m2) / (4 * below - 1)).sqrt()
    return a.to(like.dtype), b.to(like.dtype)
