"""Lensed skies as a data set: what is observed, estimates of the sky before lensing, and that sky."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.data.cmb import LensedSky, Skies, simulate, spectrum_of
from armillary.data.lensing import GradientProduct, Lensing
from armillary.data.spec import DataError, FieldDataset, FieldSpec, Split
from armillary.harmonics import SHT, InverseSHT
from armillary.spaces import GaussLegendre

INPUTS = ("observed", "delensed", "potential", "residual potential", "residual convergence")


def gain(estimate: Tensor, truth: Tensor) -> Tensor:
    """The factor of each degree that brings an estimate nearest to the truth, ``Σ Re â a* / Σ |â|²``, (lmax + 1,).

    Coefficients (B, lmax + 1, lmax + 1); sums over skies and orders. Where an estimate has no power the factor is 0.
    """
    own = spectrum_of(estimate).mean(0)
    return torch.where(own > 0, spectrum_of(estimate, truth).mean(0) / own.clamp(min=1e-300), 0.0)


def remapped_back(skies: Skies, sky: LensedSky, batch: int = 4) -> Tensor:
    """The standard way of delensing: the Wiener filtered map, remapped back along the Wiener filtered potential.

        T̂(n) = T̄(q),  exp_q ∇φ̄(q) = n,   T̄ = C̃/(C̃ + N) T_observed,  φ̄ = C^φφ/(C^φφ + N^φφ) φ_observed,

    as coefficients (B, lmax + 1, lmax + 1). Not yet multiplied by its ``gain``.
    """
    size = sky.lmax + 1
    temperature = sky.lensed / (sky.lensed + sky.noise)
    lensing = Lensing(GaussLegendre(5 * size // 4), sky.lmax, sky.lmax, taps=6)
    potential = filtered_potential(skies, sky)
    parts = [
        lensing.delens(temperature[:, None] * skies.observed[i : i + batch], potential[i : i + batch], tolerance=1e-4)
        for i in range(0, len(potential), batch)
    ]
    return torch.cat(parts)


def filtered_potential(skies: Skies, sky: LensedSky) -> Tensor:
    """φ̄ = C^φφ/(C^φφ + N^φφ) φ_observed, coefficients (B, lmax + 1, lmax + 1)."""
    power = sky.potential[: sky.lmax + 1]
    return (power / (power + sky.potential_noise).clamp(min=1e-300))[:, None] * skies.observed_potential


def quadratic_potential(delensed: Tensor, sky: LensedSky) -> Tensor:
    """What lensing a delensed map still shows, by the quadratic estimator of temperature, up to a factor of each
    degree, which is negative.

        Δ² ψ = ∇·(T̄ ∇T),    T̄ = T_lm / C_l,

    with T a Wiener estimate of the map, so that T̄ is filtered by its inverse variance. Coefficients (B, lmax + 1,
    lmax + 1); times its ``gain`` against φ - φ̄ it is the estimate of the potential that is left.
    Source: Hu & Okamoto 2002 (astro-ph/0111606).
    """
    l = torch.arange(sky.lmax + 1).double()[:, None]
    square = l * (l + 1)
    power = sky.unlensed[: sky.lmax + 1, None]
    weighted = torch.where(power > 0, 1 / power.clamp(min=1e-300), 0.0) * delensed
    product, grid = GradientProduct(sky.lmax), GaussLegendre(3 * (sky.lmax + 1) // 2 + 1)
    synthesis, analysis = InverseSHT(grid, sky.lmax), SHT(grid, sky.lmax)
    slopes = torch.cat([product(*pair) for pair in zip(weighted.split(16), delensed.split(16), strict=True)])
    levels = [
        analysis(synthesis(a) * synthesis(-square * b))
        for a, b in zip(weighted.split(16), delensed.split(16), strict=True)
    ]
    return (torch.cat(levels) + slopes) / square.clamp(min=1) ** 2


@dataclass(frozen=True)
class Estimates:
    """Coefficients (B, lmax + 1, lmax + 1) of estimates of the sky before lensing, each with its gain: the Wiener
    filter of the observed map, which knows no potential; the map remapped back; that map moved on, to first order,
    along the residual potential ψ that its own quadratic estimator finds. And φ̄ and ψ."""

    wiener: Tensor
    delensed: Tensor
    twice: Tensor
    potential: Tensor
    residual: Tensor


class DelensingDataset(FieldDataset):
    """Pairs (x, y) of simulated skies on ``GaussLegendre(lmax + 1)``, float32: x (5, nlat, nlon), y (1, nlat, nlon).

    y is the sky before lensing with equal power in every degree, ``Σ a_lm w_l Y_lm`` with ``w_l² = 4π/((2l + 1) lmax
    C_l)``: unit variance, and the mean square of an error is the mean over degrees of its power relative to C_l. x:
    the observed map and the map remapped back (``remapped_back``, times its gain), both with these weights; the
    Wiener filtered potential, and the residual potential and convergence of ``quadratic_potential`` (times its gain),
    of unit variance over the training skies. Gains and scales are measured on the training skies and handed on by
    ``for_split``.

    Raises: DataError for fewer than one sky, or where ``like`` has other skies; ValueError for an unknown split.
    """

    scales: Tensor
    sky: LensedSky

    def __init__(
        self, sky: LensedSky, count: int, split: Split = "train", seed: int = 0, like: DelensingDataset | None = None
    ) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DataError(f"got {count!r} skies for the {split} split, wanted at least one.")
        if like is not None and like.sky != sky:
            raise DataError(
                f"got {sky} with the gains and scales of {like.sky}: take for_split of a data set of its own."
            )
        grid = GaussLegendre(sky.lmax + 1)
        super().__init__(FieldSpec("regression", grid, INPUTS, ("unlensed",)))
        self.sky, self.count, self.split, self.seed, self.grid = sky, count, split, seed, grid
        self.skies = simulate(sky, range(count), split, seed)
        l, power = torch.arange(sky.lmax + 1).double(), sky.unlensed[: sky.lmax + 1].clamp(min=1e-300)
        self.weights = torch.where(l > 0, (4 * torch.pi / ((2 * l + 1) * sky.lmax * power)).sqrt(), 0.0)
        self.gains: dict[str, Tensor] = {} if like is None else like.gains
        self.estimates = self._estimates()
        self.y = self.field(self.skies.truth)[:, None]
        scales: Tensor | None = None if like is None else like.scales
        self.x, self.scales = self._inputs(scales)

    def _estimates(self) -> Estimates:
        skies, truth = self.skies, self.skies.truth
        wiener = self._times_gain("wiener", skies.observed, truth)
        delensed = self._times_gain("delensed", remapped_back(skies, self.sky), truth)
        potential = filtered_potential(skies, self.sky)
        quadratic = quadratic_potential(delensed, self.sky)
        residual = self._times_gain("residual", quadratic, skies.potential - potential)
        product = GradientProduct(self.sky.lmax)
        moved = torch.cat([product(*pair) for pair in zip(delensed.split(16), residual.split(16), strict=True)])
        twice = self._times_gain("twice", delensed - moved, truth)
        return Estimates(wiener, delensed, twice, potential, residual)

    def _times_gain(self, name: str, estimate: Tensor, truth: Tensor) -> Tensor:
        """Times the gain of this name, which is measured here unless another data set has handed it on."""
        if name not in self.gains:
            self.gains[name] = gain(estimate, truth)
        return estimate * self.gains[name][:, None]

    def for_split(self, split: Split, count: int) -> DelensingDataset:
        """Skies of another split, with the gains and scales of this one."""
        return DelensingDataset(self.sky, count, split, self.seed, self)

    def field(self, coefficients: Tensor) -> Tensor:
        """Coefficients in μK to a field with equal power in every degree: (B, lmax + 1, lmax + 1) → (B, nlat, nlon)
        float32."""
        weights = self.weights.to(coefficients.device)
        return self._synthesis(coefficients)(coefficients * weights[:, None]).float()

    def coefficients(self, field: Tensor) -> Tensor:
        """The inverse of ``field``: (..., nlat, nlon) → (..., lmax + 1, lmax + 1), μK. Degree 0 is dropped."""
        inverse = torch.where(self.weights > 0, 1 / self.weights.clamp(min=1e-300), 0.0).to(field.device)
        return SHT(self.grid, self.sky.lmax).to(field.device)(field.double()) * inverse[:, None]

    def _synthesis(self, like: Tensor) -> InverseSHT:
        return InverseSHT(self.grid, self.sky.lmax).to(like.device)

    def _inputs(self, scales: Tensor | None) -> tuple[Tensor, Tensor]:
        synthesis, found = InverseSHT(self.grid, self.sky.lmax), self.estimates
        l = torch.arange(self.sky.lmax + 1).double()[:, None]
        potentials = (found.potential, found.residual, found.residual * (l * (l + 1) / 2))
        last = torch.stack([synthesis(c) for c in potentials], 1)
        if scales is None:
            scales = (self.grid.integrate(last**2).mean(0) / (4 * torch.pi)).sqrt()
        first = torch.stack([self.field(self.skies.observed), self.field(found.delensed)], 1)
        return torch.cat([first, (last / scales[:, None, None]).float()], 1), scales

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = self._check_index(index)
        return self.x[index].clone(), self.y[index].clone()

    def name(self, index: int) -> str:
        return f"{self.split} sky {self._check_index(index)} of seed {self.seed}"

    @property
    def longitudes(self) -> Tensor:
        return torch.rad2deg(self.grid.longitudes)

    def denormalize(self, prediction: Tensor) -> Tensor:
        """A field with equal power in every degree as the map in μK."""
        return self._synthesis(prediction)(self.coefficients(prediction)).to(prediction.dtype)
