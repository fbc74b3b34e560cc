"""Simulated skies: their seeds, their spectra before and after lensing, and the data set of delensing."""

import math

import pytest
import torch

from armillary.data import DataError
from armillary.data.cmb import LensedSky, gaussian_coefficients, simulate, spectrum_of
from armillary.data.cmb_delensing import DelensingDataset, gain, quadratic_potential
from armillary.data.draws import keyed_generator
from armillary.harmonics import SHT, InverseSHT
from armillary.spaces import Equiangular, GaussLegendre

SMALL = LensedSky(lmax=15, stretch=120)


def test_gaussian_coefficients_have_their_spectrum():
    spectrum = 1 / (1.0 + torch.arange(20).double()) ** 2
    c = torch.stack([gaussian_coefficients(spectrum, keyed_generator("test", i)) for i in range(300)])
    power = spectrum_of(c)
    l = torch.arange(20).double()
    z = (power.mean(0) / spectrum - 1) / (2 / ((2 * l + 1) * 300)).sqrt()
    assert float(z.abs().max()) < 4
    spread = power.var(0) / spectrum**2 * (2 * l + 1) / 2  # chi-square of 2l + 1 degrees of freedom
    assert float((spread - 1).abs().max()) < 0.5
    assert bool((c[:, :, 0].imag == 0).all())
    assert float(c.triu(1).abs().max()) == 0
    for grid in (GaussLegendre(20), Equiangular(23)):  # the coefficients of a real field of that power
        field = InverseSHT(grid, 19)(c[:3])
        torch.testing.assert_close(SHT(grid, 19)(field), c[:3], rtol=1e-10, atol=1e-12)
    square = GaussLegendre(20).integrate(InverseSHT(GaussLegendre(20), 19)(c[:3]) ** 2)
    torch.testing.assert_close(square, ((2 * l + 1) * power[:3]).sum(-1))


def test_a_lower_lmax_is_the_truncated_sky():
    spectrum = torch.ones(12, dtype=torch.float64)
    high = gaussian_coefficients(spectrum, keyed_generator("test", 1))
    torch.testing.assert_close(gaussian_coefficients(spectrum[:8], keyed_generator("test", 1)), high[:8, :8])


def test_skies_are_pure_functions_of_seed_split_and_number():
    skies = simulate(SMALL, range(3), "train", 0)
    again = simulate(SMALL, range(1, 3), "train", 0, batch=1)
    for name in ("truth", "observed", "potential", "observed_potential"):
        torch.testing.assert_close(getattr(skies, name)[1:], getattr(again, name), rtol=1e-12, atol=1e-12)
        for split, seed in (("valid", 0), ("train", 1)):
            assert not torch.allclose(getattr(simulate(SMALL, range(1), split, seed), name), getattr(skies, name)[:1])
    assert not torch.allclose(skies.truth[0], skies.truth[1])


def test_mean_lensed_spectrum_is_the_expected_one():
    """Curved sky expectation (itself equal to CAMB's) against simulations, with the error bars of Gaussian fields."""
    sky = LensedSky(lmax=23, stretch=80, noise_uk_arcmin=0.0)
    powers = spectrum_of(simulate(sky, range(96), "train", 0).observed)
    l = torch.arange(24).double()

    def chi2(expected: torch.Tensor) -> float:
        spread = expected * (2 / ((2 * l + 1) * len(powers))).sqrt()
        return float((((powers.mean(0) - expected) / spread)[1:] ** 2).mean())

    limit = 1 + 4 * math.sqrt(2 / 23)
    assert chi2(sky.lensed) < limit
    assert chi2(sky.unlensed[:24]) > 2 * limit  # the test can tell them apart


def test_noise_has_its_spectrum():
    sky = LensedSky(lmax=15, stretch=120, noise_uk_arcmin=500.0, beam_arcmin=3.0, potential_reach=200)
    quiet = LensedSky(lmax=15, stretch=120, noise_uk_arcmin=0.0, potential_reach=200)
    loud, silent = simulate(sky, range(40), "test", 0), simulate(quiet, range(40), "test", 0)
    l = torch.arange(16).double()
    for difference, expected in (
        (loud.observed - silent.observed, sky.noise),
        (loud.observed_potential - loud.potential, sky.potential_noise),
    ):
        z = (spectrum_of(difference).mean(0) / expected.clamp(min=1e-300) - 1) / (2 / ((2 * l + 1) * 40)).sqrt()
        assert float(z[1:].abs().max()) < 4
    reach = LensedSky(lmax=15, stretch=100, potential_reach=500)  # L = 500 is degree 5
    assert float(reach.potential_noise[5]) == pytest.approx(float(reach.potential[5]), rel=1e-12)


def test_gain_is_the_best_factor_of_each_degree():
    truth = simulate(SMALL, range(6), "train", 0).truth
    noisy = 3 * truth + 2 * simulate(SMALL, range(6), "test", 0).truth
    g = gain(noisy, truth)[:, None]
    best = spectrum_of(g * noisy - truth).mean(0)[1:]
    for factor in (0.98, 1.02):
        assert bool((spectrum_of(factor * g * noisy - truth).mean(0)[1:] > best).all())


def test_quadratic_potential_is_the_divergence():
    """``∇·(a ∇b) = ½ (Δ(ab) + a Δb - b Δa)``, a = b/C; the potential that is left is minus it, times a factor."""
    b = simulate(SMALL, range(2), "train", 0).truth
    power = SMALL.unlensed[:16, None]
    a = torch.where(power > 0, b / power.clamp(min=1e-300), 0.0)
    l = torch.arange(16).double()[:, None]
    square, grid = l * (l + 1), GaussLegendre(32)
    inverse, forward = InverseSHT(grid, 15), SHT(grid, 15)
    twice = -square * forward(inverse(a) * inverse(b))
    twice += forward(inverse(a) * inverse(-square * b) - inverse(b) * inverse(-square * a))
    wanted = twice / 2 / square.clamp(min=1) ** 2
    got = quadratic_potential(b, SMALL)
    assert float((got - wanted)[:, 1:].norm() / wanted[:, 1:].norm()) < 1e-12
    data = DelensingDataset(SMALL, 24)
    assert bool((data.gains["residual"][2:] < 0).all())


def test_data_set_of_delensing():
    data = DelensingDataset(SMALL, 6)
    x, y = data[2]
    assert x.shape == (5, *data.grid.shape)
    assert y.shape == (1, *data.grid.shape)
    assert x.dtype == y.dtype == torch.float32
    x.zero_()
    assert float(data[2][0].abs().max()) > 0  # samples are copies
    torch.testing.assert_close(data.coefficients(data.y[:, 0]), data.skies.truth, rtol=1e-4, atol=1e-3)
    variance = data.grid.integrate(data.y[:, 0].double() ** 2).mean() / (4 * math.pi)
    assert 0.6 < float(variance) < 1.4
    truth = data.skies.truth

    def left(estimate: torch.Tensor) -> float:
        return float((spectrum_of(estimate - truth).mean(0) / spectrum_of(truth).mean(0))[2:].mean())

    assert left(data.estimates.delensed) < 0.5 * left(data.estimates.wiener) < 0.5 * left(data.skies.observed)
    other = data.for_split("valid", 2)
    assert other.gains is data.gains
    assert not torch.allclose(other.y, data.y[:2])
    assert "valid sky 1" in other.name(1)
    field = data.denormalize(data.y[:, 0])
    torch.testing.assert_close(SHT(data.grid, 15)(field.double()), truth, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lmax": 3}, "lmax = 3"),
        ({"stretch": 0}, "stretch = 0"),
        ({"stretch": 40.0}, "stretch = 40.0"),
        ({"noise_uk_arcmin": -1.0}, "noise_uk_arcmin"),
        ({"noise_uk_arcmin": "3"}, "noise_uk_arcmin = '3'"),
        ({"beam_arcmin": True}, "beam_arcmin = True"),
        ({"beam_arcmin": math.nan}, "beam_arcmin"),
        ({"lmax": 127}, "beyond the spectra"),
        ({"potential_reach": 6000}, "beyond the spectra"),
    ],
)
def test_bad_skies_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        LensedSky(**settings)


def test_bad_requests_are_errors():
    with pytest.raises(ValueError, match="at least one"):
        simulate(SMALL, range(0), "train", 0)
    with pytest.raises(ValueError, match="wanted one of train"):
        simulate(SMALL, range(1), "exam", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch = -1"):
        simulate(SMALL, range(1), "train", 0, batch=-1)
    with pytest.raises(DataError, match="at least one"):
        DelensingDataset(SMALL, 0)
    tiny = LensedSky(lmax=4, stretch=120)
    with pytest.raises(DataError, match="with the gains and scales of"):
        DelensingDataset(SMALL, 1, "valid", 0, DelensingDataset(tiny, 1))


def test_wrong_spectra_and_coefficients_are_errors():
    for wrong, message in (
        (-torch.ones(4), "negative or infinite power"),
        (torch.tensor([1.0, math.inf]), "negative or infinite power"),
        (torch.tensor([1.0, math.nan]), "negative or infinite power"),
        (torch.ones(4, 4), "wanted real C_l"),
        (torch.ones(0), "wanted real C_l"),
    ):
        with pytest.raises(ValueError, match=message):
            gaussian_coefficients(wrong, keyed_generator("test", 0))
    square = torch.zeros(2, 4, 4, dtype=torch.complex128)
    for pair in ((square[..., :3], None), (square[0, 0], None), (square, square[:, :1, :1])):
        with pytest.raises(ValueError, match=r"wanted \(\.\.\., lmax \+ 1, lmax \+ 1\)"):
            spectrum_of(*pair)
