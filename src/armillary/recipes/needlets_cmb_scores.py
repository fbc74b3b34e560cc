"""How estimates of the sky before lensing are scored: the same calibration by held out skies for every method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.data.cmb import spectrum_of
from armillary.data.cmb_delensing import gain

FIRST_DEGREE = 2


@dataclass(frozen=True)
class Scores:
    """Of one method on the test skies. ``residual`` and ``correlation`` are curves over degrees 0..lmax.

    ``residual``: r_l = Σ|g_l â_lm - a_lm|² / Σ|a_lm|², after the factor g_l of ``gain`` measured on held out skies.
    ``correlation``: ρ_l = Σ Re â a* / √(Σ|â|² Σ|a|²).
    ``spectrum_error``: the mean over skies and degrees 2..lmax of |Ĉ_l - C_l^sky| / C_l.
    ``residual_power``: the mean of r_l over degrees 2..lmax.
    ``map_error``: root of the mean square of the error map, relative to that of the truth (both in μK).
    """

    residual: Tensor
    correlation: Tensor
    spectrum_error: float
    residual_power: float
    map_error: float


def estimated_spectra(estimate: Tensor, held_out: Tensor, held_out_truth: Tensor) -> Tensor:
    """The power of each sky's truth in each degree, estimated from the power of ``estimate``: (B, lmax + 1).

        Ĉ_l = C_l + ρ_l² (C_l/Ĉ'_l)(P_l - Ĉ'_l),

    P the power of the estimate, and C, Ĉ', ρ the mean power of truth and estimate and their correlation on held out
    skies: for Gaussian fields the best linear estimate there is, without bias, whatever factor the estimate lacks in
    each degree.
    """
    own, true = spectrum_of(held_out).mean(0), spectrum_of(held_out_truth).mean(0)
    cross = spectrum_of(held_out, held_out_truth).mean(0)
    slope = torch.where(own > 0, (cross / own.clamp(min=1e-300)) ** 2, 0.0)  # ρ² C/C'
    return true + slope * (spectrum_of(estimate) - own)


def score(estimate: Tensor, truth: Tensor, held_out: Tensor, held_out_truth: Tensor) -> Scores:
    """Score coefficients (B, lmax + 1, lmax + 1) against the truth, calibrated on those of held out skies."""
    bands = slice(FIRST_DEGREE, None)
    scaled = estimate * gain(held_out, held_out_truth)[:, None]
    power, error = spectrum_of(truth), spectrum_of(scaled - truth)
    residual = error.mean(0) / power.mean(0).clamp(min=1e-300)
    correlation = (
        spectrum_of(estimate, truth).mean(0) / (spectrum_of(estimate).mean(0) * power.mean(0)).clamp(min=1e-300).sqrt()
    )
    spectra = estimated_spectra(estimate, held_out, held_out_truth)
    expected = spectrum_of(torch.cat([truth, held_out_truth])).mean(0)
    modes = 2 * torch.arange(truth.shape[-1]).double() + 1
    return Scores(
        residual,
        correlation,
        float(((spectra - power).abs() / expected.clamp(min=1e-300))[:, bands].mean()),
        float(residual[bands].mean()),
        float(((error * modes).sum() / (power * modes).sum()).sqrt()),
    )
