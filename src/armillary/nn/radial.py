"""Functions of a distance: bases that turn it into features, and cutoffs that end smoothly."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer, checked_positive


def lengths(vectors: Tensor) -> Tensor:
    """|r| of vectors (..., 3): (...); where r = 0 its derivatives of every order are 0, not infinite.

    The square is taken after a division by the largest component, so that neither 1e-30 nor 1e30 is lost in float32.
    What is below the smallest normal number, whose inverse overflows, counts as zero.
    Raises: ValueError for another last dimension, or what is not real floating point.
    """
    if vectors.ndim < 1 or vectors.shape[-1] != 3 or not vectors.is_floating_point():
        raise ValueError(f"vectors have shape {tuple(vectors.shape)}, {vectors.dtype}, wanted real ones, (..., 3).")
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    there = largest >= torch.finfo(vectors.dtype).tiny
    scale = torch.where(there, largest, 1)
    square = (vectors / scale).square().sum(-1, keepdim=True)
    return torch.where(there, torch.where(there, square, 1).sqrt() * scale, 0)[..., 0]


class GaussianSmearing(ConstantModule):
    """Gaussians at equidistant centres: ``φ_k(d) = exp(-(d - μ_k)²/(2σ²))``, ``μ_k = k·cutoff/(functions - 1)``.

    ``σ = width·(μ_1 - μ_0)``. Shapes: d (...) in the unit of ``cutoff`` → (..., functions).
    Raises: ValueError for fewer than 2 functions, or a cutoff or width that is no number > 0.
    Source: Schütt et al. 2018 (SchNet, arXiv 1706.08566), eq. 6; Zitnick et al. 2022 (SCN, arXiv 2206.14331), section
    3.3. Pinned by ``tests/nn/test_radial.py``.
    """

    def __init__(self, functions: int, cutoff: float, width: float = 1.0) -> None:
        super().__init__()
        self.functions, self.cutoff = checked_integer("functions", functions, 2), checked_positive("cutoff", cutoff)
        self.width = checked_positive("width", width)
        with torch.device("cpu"):
            self.register_constant("centres", torch.linspace(0, self.cutoff, self.functions, dtype=torch.float64))

    def forward(self, d: Tensor) -> Tensor:
        sigma = self.width * self.cutoff / (self.functions - 1)
        return torch.exp(-0.5 * ((d[..., None] - self.constant("centres", d)) / sigma).square())

    def extra_repr(self) -> str:
        return f"{self.functions}, cutoff={self.cutoff:g}, width={self.width:g}"


class BesselBasis(ConstantModule):
    """The spherical Bessel functions of degree 0 that vanish at the cutoff c: ``φ_k(d) = √(2/c) sin(kπd/c)/d``, k = 1…

    Orthonormal on the ball: ``∫_0^c φ_k φ_l d² dd = δ_kl``. At d = 0 the limit ``√(2/c) kπ/c``.
    Shapes: d (...) in the unit of ``cutoff`` → (..., functions).
    Raises: ValueError for functions < 1 or a cutoff that is no number > 0.
    Source: Gasteiger et al. 2020 (DimeNet, arXiv 2003.03123), eq. 7; pinned by ``tests/nn/test_radial.py``.
    """

    def __init__(self, functions: int, cutoff: float) -> None:
        super().__init__()
        self.functions, self.cutoff = checked_integer("functions", functions, 1), checked_positive("cutoff", cutoff)
        with torch.device("cpu"):
            numbers = torch.arange(1, self.functions + 1, dtype=torch.float64)
            self.register_constant("frequencies", numbers * (math.pi / self.cutoff))

    def forward(self, d: Tensor) -> Tensor:
        frequencies = self.constant("frequencies", d)
        x = d[..., None]
        near = (
            x.abs() * frequencies[-1] < 0.03
        )  # there derivatives of sin(x)/x would lose digits, two orders nearly all
        safe, square = torch.where(near, 1, x), (frequencies * torch.where(near, x, 0)).square()
        series = frequencies * (1 - square / 6 * (1 - square / 20 * (1 - square / 42)))  # to the last digit in float64
        return (2 / self.cutoff) ** 0.5 * torch.where(near, series, torch.sin(frequencies * safe) / safe)

    def extra_repr(self) -> str:
        return f"{self.functions}, cutoff={self.cutoff:g}"


class PolynomialCutoff(nn.Module):
    """From 1 at d = 0 to 0 at the cutoff c, with two continuous derivatives there (p - 1 at 0):

        u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2),    x = d/c < 1, else 0.

    A higher p stays longer near 1. Energies weighted by it have continuous forces, and forces continuous derivatives.
    Shapes: d (...) → (...). Raises: ValueError for p < 2 or a cutoff that is no number > 0.
    Source: Gasteiger et al. 2020 (DimeNet, arXiv 2003.03123), eq. 8; pinned by ``tests/nn/test_radial.py``.
    """

    def __init__(self, cutoff: float, p: int = 6) -> None:
        super().__init__()
        self.cutoff, self.p = checked_positive("cutoff", cutoff), checked_integer("p", p, 2)

    def forward(self, d: Tensor) -> Tensor:
        x, p = (d / self.cutoff).clamp(max=1), self.p
        # In powers of 1 - x no digits cancel at the cutoff: u = (1 - x)³ Σ_k (k+1)(k+2)/2 x^k, k < p.
        series = torch.zeros_like(x)
        for k in range(p - 1, -1, -1):
            series = series * x + (k + 1) * (k + 2) / 2
        return (1 - x) ** 3 * series

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff:g}, p={self.p}"


class CosineCutoff(nn.Module):
    """``u(d) = (1 + cos(πd/c))/2`` below the cutoff c, else 0: one continuous derivative at c, so that forces are
    continuous there and their derivatives jump.

    Shapes: d (...) → (...). Raises: ValueError for a cutoff that is no number > 0.
    Source: Behler & Parrinello 2007; pinned by ``tests/nn/test_radial.py``.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = checked_positive("cutoff", cutoff)

    def forward(self, d: Tensor) -> Tensor:
        return 0.5 * (1 + torch.cos(math.pi * (d / self.cutoff).clamp(max=1)))

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff:g}"
