"""Circular harmonics on a small square of pixels: filters that turn by a phase when the image turns.

``B(p) = R(ρ) e^{imφ}`` in polar coordinates about the middle of the kernel, x to the right and y upward. Taps on a ring
of radius r, with the phase e^{imφ} along it, are spread onto the pixels by a Gaussian of width σ. With taps all around
the ring the sum is an integral,

    ∫ exp(-|p - r u(φ')|² / 2σ²) e^{imφ'} dφ' = 2π exp(-(ρ - r)² / 2σ²) Ĩ_m(ρ r / σ²) e^{imφ},

Ĩ_m(t) = e^{-t} I_m(t) the modified Bessel function, so that R is known in closed form, and no tap has to be placed.

Sampled at pixels, such a filter also answers to angular frequencies n = m + 4j, j ≠ 0: the lattice has only quarter
turns. How much is told by its moments ``Σ_p B(p) ρ^d e^{-inφ}``, which are zero for n ≠ m in the continuum. A k×k
kernel resolves polynomials up to degree k - 1, so that these moments can be made to vanish for d < k by the smallest
relative change of the filter. What is left acts on derivatives of degree ≥ k alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.special import ive
from torch import Tensor

from armillary.ops.integers import checked_integer

LOST = 1e-6  # of the norm of a filter: nothing but rounding remains of it
SMALLEST = 1e-100  # a norm whose square is still far from underflow


@dataclass(frozen=True)
class CircularHarmonics:
    """The circular harmonics of ``rings`` rings on a kernel of ``size`` × ``size`` pixels.

    Radii run evenly from 0, the middle, to ``(size - 1)/2 - sigma``, so that the Gaussians (width ``sigma``, pixels)
    end within the kernel. A ring of radius r pixels holds the orders |m| ≤ πr, which have two pixels for each period,
    and a kernel of k × k the orders |m| < k; rings that cannot hold an order are left out of its filters.
    ``match_moments`` removes what the sampled filters answer to wrong angular frequencies up to degree size - 1;
    without it they are only sampled, as in the paper.

    Error: under a wave of wavenumber κ → 0 the relative error of steering falls as ``κ^(size - |m|)`` or faster with
    matched moments; without, as κ² for m = 1 and not at all for m = 2.

    Raises: ValueError for an even size or one below 3, no ring, sigma outside of (0, (size - 1)/2); from ``filters``,
    for a sigma so small that a ring between pixels reaches none.
    Source: Worrall et al. 2017 (arXiv 1612.04642); the closed form and the moments are ours. Pinned
    by ``tests/ops/test_circular.py``.
    """

    size: int = 5
    rings: int = 4
    sigma: float = 0.5
    match_moments: bool = True

    def __post_init__(self) -> None:
        checked_integer("size", self.size, 3, who="CircularHarmonics")
        checked_integer("rings", self.rings, 1, who="CircularHarmonics")
        if self.size % 2 == 0:
            raise ValueError(f"CircularHarmonics: got size = {self.size}, wanted an odd number >= 3 of pixels.")
        if not 0 < self.sigma < (self.size - 1) / 2:
            raise ValueError(
                f"CircularHarmonics: got sigma = {self.sigma}, wanted 0 < sigma < {(self.size - 1) / 2:g} pixels, half "
                f"the width of the kernel."
            )

    @property
    def radii(self) -> tuple[float, ...]:
        """The radius of each ring, in pixels; one ring alone is the middle."""
        outer = (self.size - 1) / 2 - self.sigma
        return tuple(outer * j / max(1, self.rings - 1) for j in range(self.rings))

    def radii_of(self, order: int) -> tuple[float, ...]:
        """The radii of the rings that hold ``order``. Raises: ValueError where no ring or not the kernel does."""
        held = tuple(r for r in self.radii if abs(order) <= math.pi * r)
        if not held or abs(order) >= self.size:
            raise ValueError(
                f"got order {order} on {self}: rings of radii {', '.join(f'{r:.2g}' for r in self.radii)} pixels hold "
                f"|m| <= {math.floor(math.pi * self.radii[-1])}, the kernel |m| < {self.size}. Take a larger kernel, "
                f"or leave this order out."
            )
        return held

    def profile(self, order: int, rho: Tensor) -> Tensor:
        """The radial functions R_j(ρ) of the continuous filters, not normalised: shape S → (rings held, *S)."""
        r = np.asarray(self.radii_of(order)).reshape(-1, *[1] * rho.ndim)
        distance = rho.double().numpy()
        gauss = np.exp(-((distance - r) ** 2) / (2 * self.sigma**2))
        return torch.from_numpy(gauss * ive(abs(order), distance * r / self.sigma**2))

    def filters(self, order: int) -> Tensor:
        """The filters of ``order`` on the pixels, (rings held, size, size) complex128, each of norm 1; row 0 on top.

        A filter of another angle β is e^{iβ} times this one, and that of order -m its conjugate.
        Raises: ValueError for an order that cannot be held.
        """
        with torch.device("cpu"):  # whatever the default device: the values are kept for all
            return _filters(self, order).clone()


@lru_cache(maxsize=64)
def _filters(basis: CircularHarmonics, order: int) -> Tensor:
    half = (basis.size - 1) / 2
    steps = torch.arange(basis.size, dtype=torch.float64) - half
    x, y = torch.meshgrid(steps, -steps, indexing="xy")
    rho, phi = torch.hypot(x, y), torch.atan2(y, x)
    values = basis.profile(order, rho) * torch.exp(1j * order * phi)
    norms = torch.linalg.vector_norm(values, dim=(1, 2), keepdim=True)
    if not float(norms.min()) > SMALLEST:
        raise ValueError(f"order {order} on {basis}: a ring reaches no pixel, take a larger sigma.")
    values = (values / norms).flatten(1)
    if basis.match_moments:
        values = torch.stack([_matched(one, order, rho.flatten() / half, phi.flatten(), basis.size) for one in values])
    norms = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    if not float(norms.min()) >= LOST:
        raise ValueError(f"order {order} on {basis}: nothing is left of a filter whose moments are matched.")
    return _symmetric((values / norms).unflatten(1, (basis.size, basis.size)), order)


def _symmetric(filters: Tensor, order: int) -> Tensor:
    """The mean over quarter turns and the mirror, which change a filter by rounding only: then they hold exactly."""
    turned = [torch.rot90(filters, k, (-2, -1)) * 1j ** (order * k % 4) for k in range(4)]
    mean = torch.stack(turned).mean(0)
    return (mean + mean.flip(-2).conj()) / 2


def _matched(values: Tensor, order: int, rho: Tensor, phi: Tensor, size: int) -> Tensor:
    """The filter without wrong moments below degree ``size``, by the change δ of least Σ |δ|²/|B|²."""
    wrong = [n for n in range(1 - size, size) if n != order and (n - order) % 4 == 0]
    pairs = [(n, degree) for n in wrong for degree in range(abs(n), size, 2)]
    if not pairs:
        return values
    moments = torch.stack([rho**degree * torch.exp(-1j * n * phi) for n, degree in pairs])
    weight = values.abs()
    change = torch.linalg.pinv(moments * weight, rtol=1e-13) @ (moments @ values)
    return values - weight * change
