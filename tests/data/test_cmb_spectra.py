"""The table of spectra, its stretching, and the expected lensed spectrum against that of CAMB."""

import math

import numpy as np
import pytest
import torch

from armillary.data.cmb_spectra import lensed_spectrum, planck2018, stretched
from armillary.data.spec import DataError


def test_the_table_is_the_microwave_sky():
    table = planck2018()
    assert table.lmax == 5000
    l = torch.arange(5001).double()
    power = l * (l + 1) * table.tt / (2 * math.pi)
    assert abs(int(power.argmax()) - 220.6) < 1  # the first acoustic peak, as published
    assert 5600 < float(power.max()) < 5850  # μK²
    assert bool((table.te**2 <= 1.001 * table.tt * table.ee).all())
    assert bool((table.te < 0).any())
    deflection = ((2 * l + 1) / (4 * math.pi) * l * (l + 1) * table.pp).sum().sqrt()
    assert 2.3 < math.degrees(float(deflection)) * 60 < 2.8  # arcminutes


def test_expected_lensed_spectrum_is_cambs():
    table = planck2018()
    got = lensed_spectrum(table.tt[:1801], table.pp[:1801], 1200)
    wanted = table.tt_lensed[:1201]
    assert float((got / wanted - 1)[2:].abs().max()) < 1e-3  # to 2500 with all degrees: 6e-4
    assert float((table.tt[:1201] / wanted - 1)[2:].abs().max()) > 3e-2  # what lensing does


def test_no_potential_no_lensing():
    table = planck2018()
    c = table.tt[:41].clone()
    torch.testing.assert_close(lensed_spectrum(c, torch.zeros(41, dtype=torch.float64), 40), c, rtol=1e-11, atol=1e-12)
    with pytest.raises(ValueError, match="degrees 0 to 40"):
        lensed_spectrum(c, c, 41)
    with pytest.raises(ValueError, match="the potential has negative"):
        lensed_spectrum(c, -c, 4)
    with pytest.raises(ValueError, match="the spectrum has shape"):
        lensed_spectrum(c[None], c, 0)


def test_a_constant_is_not_lensed_and_power_is_kept():
    c = torch.zeros(61, dtype=torch.float64)
    c[0] = 3.0
    potential = torch.zeros(11, dtype=torch.float64)
    potential[3] = 1e-5
    torch.testing.assert_close(lensed_spectrum(c, potential, 60), c, rtol=1e-12, atol=1e-14)
    c[4] = 2.0
    lensed = lensed_spectrum(c, potential, 60)
    l = torch.arange(61).double()
    torch.testing.assert_close(((2 * l + 1) * lensed).sum(), ((2 * l + 1) * c).sum())  # remapping keeps the variance
    assert float(lensed[4]) < 1.999


def test_stretching():
    table = planck2018()
    c, p = stretched(table.tt, 40, 63), stretched(table.pp, 40, 63, potential=True)
    assert c[0] == p[0] == 0
    assert float(c[10]) == pytest.approx(1600 * float(table.tt[400]), rel=1e-12)
    l = torch.arange(64).double()
    per_log = ((l * (l + 1)) * p * l * l)[10] / 40**2  # deflections grow with angles
    assert float(per_log) == pytest.approx(float(400.0**2 * 10 * 11 * 1600 * table.pp[400]), rel=1e-12)
    for bad in ((0, 5), (2.5, 5), (True, 5), (3, 0), (3, 5.0), (3, True)):
        with pytest.raises(ValueError, match="integers >= 1"):
            stretched(table.tt, *bad)
    with pytest.raises(ValueError, match="beyond the table"):
        stretched(table.tt, 40, 126)


def test_broken_tables_are_errors(tmp_path):
    good = {name: np.ones(5, dtype=np.float32) for name in ("tt", "ee", "te", "pp", "tt_lensed")}
    path = tmp_path / "table.npz"
    for change, message in (
        ({"ee": np.ones(4, dtype=np.float32)}, "wanted one"),
        ({"pp": np.full(5, -1, dtype=np.float32)}, "'pp' has negative"),
        ({"te": np.full(5, np.nan, dtype=np.float32)}, "'te' has negative or infinite"),
        ({"te": np.full(5, 2, dtype=np.float32)}, "te² exceeds"),
    ):
        np.savez(path, **{**good, **change})
        planck2018.cache_clear()
        with pytest.raises(DataError, match=message):
            planck2018(path)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable"):
        planck2018(path)
    planck2018.cache_clear()
