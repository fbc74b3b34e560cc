"""Power spectra of the cosmic microwave background: a published model, its lensing, and skies of larger angles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from armillary.data.arrays import open_npz, read_array
from armillary.data.spec import DataError
from armillary.ops.constants import cached_constant
from armillary.ops.quadrature import gauss_legendre
from armillary.ops.wigner import wigner_d

_FILE = Path(__file__).parent / "spectra" / "planck2018.npz"
_NAMES = ("tt", "ee", "te", "pp", "tt_lensed")


@dataclass(frozen=True)
class CMBSpectra:
    """C_l for l = 0..lmax, float64: temperature and polarisation before lensing in μK², the lensing potential φ, and
    the lensed temperature by the code that made the table."""

    tt: Tensor
    ee: Tensor
    te: Tensor
    pp: Tensor
    tt_lensed: Tensor

    @property
    def lmax(self) -> int:
        return len(self.tt) - 1


@cached_constant(1)
def planck2018(path: Path = _FILE) -> CMBSpectra:
    """The spectra of the best fit of Planck 2018 (ΛCDM; TT,TE,EE+lowE+lensing), l ≤ 5000, computed with CAMB 2.0.5.

    H₀ = 67.32, Ω_b h² = 0.022383, Ω_c h² = 0.12011, τ = 0.0543, A_s = 2.1005e-9, n_s = 0.96605, Σm_ν = 0.06 eV. The
    file keeps l(l + 1)C_l (of φ l²(l + 1)²C_l) in float32; ``docs/figures/cmb_spectra.py`` writes it.

    Raises: DataError for a file without these columns, of unequal lengths, or with numbers no spectrum has.
    Source: Planck 2018 results VI, arXiv 1807.06209, table 1; pinned by ``tests/data/test_cmb_spectra.py``.
    """
    with open_npz(path) as archive:
        table = {name: torch.from_numpy(read_array(archive, name, path, 1.0)).double() for name in _NAMES}
    if len({tuple(v.shape) for v in table.values()}) > 1 or table["tt"].ndim != 1 or len(table["tt"]) < 3:
        raise DataError(
            f"{path}: columns of shapes {[tuple(v.shape) for v in table.values()]}, wanted one (lmax + 1,)."
        )
    for name, column in table.items():
        if not bool(torch.isfinite(column).all()) or (name != "te" and bool((column < 0).any())):
            raise DataError(f"{path}: column {name!r} has negative or infinite power.")
    if bool((table["te"] ** 2 > 1.001 * table["tt"] * table["ee"]).any()):
        raise DataError(f"{path}: te² exceeds tt·ee, which no pair of fields has.")
    l = torch.arange(len(table["tt"])).double().clamp(min=1)
    return CMBSpectra(**{name: v / (l * (l + 1)) ** (2 if name == "pp" else 1) for name, v in table.items()})


def check_spectrum(spectrum: Tensor, name: str = "spectrum") -> None:
    """Raise a ValueError unless a spectrum is (lmax + 1,) real, lmax >= 0, finite and nowhere negative."""
    if spectrum.ndim != 1 or not len(spectrum) or spectrum.is_complex():
        raise ValueError(
            f"the {name} has shape {tuple(spectrum.shape)} and dtype {spectrum.dtype}, wanted real C_l, (lmax + 1,)."
        )
    if not bool((torch.isfinite(spectrum) & (spectrum >= 0)).all()):
        raise ValueError(
            f"the {name} has negative or infinite power, from {float(spectrum.min()):.3g}: wanted C_l >= 0."
        )


def stretched(spectrum: Tensor, stretch: int, lmax: int, potential: bool = False) -> Tensor:
    """The spectrum of a sky whose angles are ``stretch`` times as large: degree l is degree L = stretch·l of the real
    one.

    ``C'_l = s² C_{sl}`` keeps the power per logarithm of scale; a deflection grows with all angles, so a potential has
    ``C'_l = s⁶ C_{sl}``. (lmax + 1,) float64, 0 at l = 0. A patch of the flat sky blown up to a sphere: curvature is
    not stretched along, which matters for the lowest degrees only.

    Raises: ValueError for a stretch or lmax that is no integer >= 1, or where the table ends before stretch·lmax.
    """
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in (stretch, lmax)):
        raise ValueError(f"got stretch = {stretch!r}, lmax = {lmax!r}, wanted integers >= 1.")
    if stretch * lmax >= len(spectrum):
        raise ValueError(
            f"got stretch = {stretch}, lmax = {lmax}: degree {stretch * lmax} is beyond the table, which ends at "
            f"{len(spectrum) - 1}: lower one of them."
        )
    out = spectrum[::stretch][: lmax + 1].double() * float(stretch) ** (6 if potential else 2)
    out[0] = 0
    return out


def lensed_spectrum(spectrum: Tensor, potential: Tensor, lmax: int) -> Tensor:
    """The expected spectrum of a Gaussian sky remapped by the gradient of a Gaussian potential.

        ξ̃(β) = Σ (2l + 1)/4π C_l [X₀² d^l_00 + 8/(l(l + 1)) A X₁² d^l_{1,-1} + A² (X₁² d^l_00 + X₂² d^l_{2,-2})],
        X₀ = e^{-l(l + 1)σ²/4},  X₁ = l(l + 1)/4 X₀,  X₂ = ¼ √((l + 2)!/(l - 2)!) e^{-(l(l + 1) - 2)σ²/4},

    σ²(β) = S(0) - S(β), ``S = Σ (2l + 1)/4π l(l + 1) C_l^φφ d^l_11`` and A the same with d^l_{1,-1}; C̃_l = 2π ∫ ξ̃
    d^l_00 dcos β. All orders in σ², the first two in A, on the curved sky. Shapes: (lmax_T + 1,), (lmax_φ + 1,) →
    (lmax + 1,), float64.

    Raises: ValueError where lmax exceeds the degrees of ``spectrum``, or for spectra that are empty or have negative or
    infinite power.
    Source: Challinor & Lewis 2005 (astro-ph/0502425), Lewis & Challinor 2006 (astro-ph/0601594), section 4; pinned by
    ``tests/data/test_cmb_spectra.py`` against CAMB and by ``tests/data/test_cmb.py`` against simulated skies.
    """
    most = len(spectrum) - 1
    if not 0 <= lmax <= most:
        raise ValueError(f"got lmax = {lmax}, the spectrum has degrees 0 to {most}.")
    for name, c in (("spectrum", spectrum), ("potential", potential)):
        check_spectrum(c, name)
    theta, weights = gauss_legendre(most + lmax // 2 + 64)
    one, zero = torch.ones(1, 1, dtype=torch.long), torch.zeros_like(theta)
    orders = torch.tensor([[1], [1]])
    S, A, S0 = zero.clone(), zero.clone(), 0.0
    for l, d in enumerate(wigner_d(len(potential) - 1, orders, torch.tensor([[1], [-1]]), theta[None])):
        share = (2 * l + 1) / (4 * torch.pi) * l * (l + 1) * float(potential[l])
        S, A, S0 = S + share * d[0], A + share * d[1], S0 + share
    variance, xi = S0 - S, zero.clone()
    orders = torch.tensor([[0], [1], [2]])
    for l, d in enumerate(wigner_d(most, orders, -orders, theta[None])):
        ll = l * (l + 1)
        x0 = torch.exp(-ll * variance / 4)
        x1 = ll / 4 * x0
        x2 = 0.25 * (max(0, (l + 2) * (l + 1) * l * (l - 1))) ** 0.5 * torch.exp(-(ll - 2) * variance / 4)
        near = x0**2 * d[0] + (8 / ll * A * x1**2 * d[1] if l else 0) + A**2 * (x1**2 * d[0] + x2**2 * d[2])
        xi = xi + (2 * l + 1) / (4 * torch.pi) * float(spectrum[l]) * near
    terms = wigner_d(lmax, 0 * one, 0 * one, theta[None])
    return 2 * torch.pi * torch.stack([(weights * xi * d[0]).sum() for d in terms])
