"""Simulated skies of the cosmic microwave background, lensed by a Gaussian potential and observed with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from armillary.data.cmb_spectra import check_spectrum, lensed_spectrum, planck2018, stretched
from armillary.data.draws import keyed_generator
from armillary.data.lensing import Lensing
from armillary.data.spec import SPLITS, Split
from armillary.spaces import GaussLegendre

ARCMINUTE = math.pi / 10800


@dataclass(frozen=True)
class LensedSky:
    """How skies are made. Degree l of a sky stands for degree L = ``stretch``·l of the real one.

        T̃(n) = T(exp_n ∇φ(n)),  observed = T̃ + noise (degrees ≤ lmax),  φ observed = φ + noise,

    T and φ independent and Gaussian with the spectra of Planck 2018, degrees 1 to ``lmax_simulated`` = 1.5·lmax. The
    noise of T is white, ``noise_uk_arcmin`` with a Gaussian beam of ``beam_arcmin`` (full width at half maximum)
    divided out; that of φ is white in the convergence κ = -∇²φ/2, as that of quadratic estimators is nearly, and as
    strong as the signal at L = ``potential_reach``.

    Raises: ValueError for sizes or noise out of range, or degrees beyond the table of spectra.
    """

    lmax: int = 63
    stretch: int = 40
    noise_uk_arcmin: float = 10.0
    beam_arcmin: float = 1.4
    potential_reach: int = 500

    def __post_init__(self) -> None:
        for name, least in (("lmax", 4), ("stretch", 1), ("potential_reach", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"LensedSky: got {name} = {value!r}, wanted an integer >= {least}.")
        for name in ("noise_uk_arcmin", "beam_arcmin"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= 0):
                raise ValueError(f"LensedSky: got {name} = {value!r}, wanted a number >= 0.")
        table = planck2018().lmax
        if max(self.stretch * self.lmax_simulated, self.potential_reach) > table:
            raise ValueError(
                f"LensedSky: stretch {self.stretch} · lmax_simulated {self.lmax_simulated} or potential_reach "
                f"{self.potential_reach} is beyond the spectra, which end at {table}: lower lmax or stretch."
            )

    @property
    def lmax_simulated(self) -> int:
        return 3 * self.lmax // 2

    @cached_property
    def unlensed(self) -> Tensor:
        """C_l of T, (lmax_simulated + 1,), μK²."""
        return stretched(planck2018().tt, self.stretch, self.lmax_simulated)

    @cached_property
    def potential(self) -> Tensor:
        """C_l of φ, (lmax_simulated + 1,)."""
        return stretched(planck2018().pp, self.stretch, self.lmax_simulated, potential=True)

    @cached_property
    def lensed(self) -> Tensor:
        """The expected C_l of T̃, (lmax + 1,)."""
        return lensed_spectrum(self.unlensed, self.potential, self.lmax)

    @cached_property
    def noise(self) -> Tensor:
        """C_l of the noise of T, (lmax + 1,)."""
        L = torch.arange(self.lmax + 1, dtype=torch.float64) * self.stretch
        width = self.beam_arcmin * ARCMINUTE / math.sqrt(8 * math.log(2))
        return (self.stretch * self.noise_uk_arcmin * ARCMINUTE) ** 2 * torch.exp(L * (L + 1) * width**2)

    @cached_property
    def potential_noise(self) -> Tensor:
        """C_l of the noise of φ, (lmax + 1,), 0 at l = 0."""
        reach = self.potential_reach
        level = (reach * (reach + 1)) ** 2 * float(planck2018().pp[reach])
        l = torch.arange(self.lmax + 1, dtype=torch.float64)
        L = l * self.stretch
        noise = float(self.stretch) ** 6 * level / (L * (L + 1)).clamp(min=1) ** 2
        return torch.where(l > 0, noise, 0.0)


@dataclass(frozen=True)
class Skies:
    """Coefficients (B, lmax + 1, lmax + 1) complex128 of a number of skies: the truth, what is observed of it, and
    the potential and what is observed of that."""

    truth: Tensor
    observed: Tensor
    potential: Tensor
    observed_potential: Tensor


def gaussian_coefficients(spectrum: Tensor, generator: np.random.Generator) -> Tensor:
    """Coefficients of a real Gaussian field: ``<f_lm f_l'm'*> = C_l δ δ``, (lmax + 1, lmax + 1) complex128, index (l,
    m ≥ 0).

    Drawn degree by degree: with the same generator a field of lower lmax is the truncated one, whatever grid it is
    put on.
    Raises: ValueError for a spectrum of another shape than (lmax + 1,), or with negative or infinite power.
    """
    check_spectrum(spectrum)
    size = len(spectrum)
    out = np.zeros((size, size), dtype=np.complex128)
    for l in range(size):
        x = generator.standard_normal(2 * l + 1)
        out[l, 0] = x[0]
        out[l, 1 : l + 1] = (x[1::2] + 1j * x[2::2]) * math.sqrt(0.5)
    return torch.from_numpy(out) * spectrum.double().sqrt()[:, None]


def spectrum_of(a: Tensor, b: Tensor | None = None) -> Tensor:
    """The (cross-)power of each degree, ``Σ_m Re a_lm b_lm* / (2l + 1)``: (..., lmax + 1, lmax + 1), m ≥ 0 → (...,
    lmax + 1).

    Raises: ValueError for coefficients of another shape.
    """
    for c in (a, a if b is None else b):
        if c.ndim < 2 or c.shape[-1] != c.shape[-2] or c.shape[-1] != a.shape[-1]:
            raise ValueError(
                f"got coefficients of shape {tuple(c.shape)}, wanted (..., lmax + 1, lmax + 1), index (l, m)."
            )
    product = (a * (a if b is None else b).conj()).real.tril()
    l = torch.arange(a.shape[-1], device=a.device, dtype=product.dtype)
    return (2 * product.sum(-1) - product[..., 0]) / (2 * l + 1)


def simulate(sky: LensedSky, indices: range, split: Split, seed: int, batch: int = 4) -> Skies:
    """Skies number ``indices`` of a split: pure functions of (sky, seed, split, number), ``batch`` lensed at once.

    Raises: ValueError for an unknown split, no skies, or a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"got batch = {batch}, wanted at least 1 sky at once.")
    if split not in SPLITS or not len(indices):
        raise ValueError(
            f"got split {split!r} and {len(indices)} skies, wanted one of {', '.join(SPLITS)} and at least one."
        )
    lens = Lensing(GaussLegendre(sky.lmax_simulated + 1), sky.lmax_simulated, sky.lmax, taps=6)
    size = sky.lmax + 1
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(indices), batch):
        drawn = []
        for index in indices[start : start + batch]:
            generators = (
                keyed_generator(f"cmb-{split}-{what}", seed, index) for what in ("T", "phi", "noise", "phi noise")
            )
            spectra = (sky.unlensed, sky.potential, sky.noise, sky.potential_noise)
            drawn.append([gaussian_coefficients(c, g) for c, g in zip(spectra, generators, strict=True)])
        truth, potential, noise, potential_noise = (torch.stack(list(c)) for c in zip(*drawn, strict=True))
        low = potential[:, :size, :size]
        parts.append((truth[:, :size, :size], lens.lens(truth, potential) + noise, low, low + potential_noise))
    return Skies(*(torch.cat(list(p)) for p in zip(*parts, strict=True)))
