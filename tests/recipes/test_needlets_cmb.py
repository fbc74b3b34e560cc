"""The part of the needlet recipe on the microwave sky at its smallest, and its scores where the answer is known."""

import pytest
import torch
from rich.console import Console

from armillary.data.cmb import gaussian_coefficients, spectrum_of
from armillary.data.cmb_delensing import DelensingDataset
from armillary.data.draws import keyed_generator
from armillary.data.lensing import Lensing
from armillary.recipes.needlets_cmb import (
    DISCO,
    MAP,
    NEEDLETS,
    PLANE,
    RESIDUAL,
    SCALES,
    SPECTRUM,
    STANDARD,
    TWICE,
    WIENER,
    Correction,
    contestants,
    judge,
    run,
)
from armillary.recipes.needlets_cmb_scores import estimated_spectra, score
from armillary.recipes.report import Row
from armillary.spaces import GaussLegendre
from armillary.testing import SphereSymmetry, commutation_error


def fields(name: str, count: int, spectrum: torch.Tensor) -> torch.Tensor:
    return torch.stack([gaussian_coefficients(spectrum, keyed_generator(name, i)) for i in range(count)])


def test_tiny_scale_gives_rows_checks_and_a_figure_and_resumes(tmp_path):
    rows, checks, notes = run(SCALES["tiny"], tmp_path, 2, Console(quiet=True))
    assert {(row.name, row.metric) for row in rows} == {
        (name, metric)
        for name in (WIENER, STANDARD, TWICE, NEEDLETS, DISCO, PLANE)
        for metric in (SPECTRUM, RESIDUAL, MAP)
    }
    for row in rows:
        learned = row.name in (NEEDLETS, DISCO, PLANE)
        assert (row.n_seeds, row.params is not None) == ((2, True) if learned else (1, False))
    assert len(checks) == 9
    assert "120 times" in notes[0]
    assert (tmp_path / "cmb.png").read_bytes()[:4] == b"\x89PNG"
    again, _, _ = run(SCALES["tiny"], tmp_path, 2, Console(quiet=True))
    assert [row.mean for row in rows] == [row.mean for row in again]


def test_checks_follow_the_rows():
    def rows(own: float) -> list[Row]:
        others = {WIENER: 0.4, STANDARD: 0.2, TWICE: 0.15, DISCO: 0.16, PLANE: 0.12, NEEDLETS: own}
        return [Row(name, metric, mean) for name, mean in others.items() for metric in (SPECTRUM, RESIDUAL)]

    assert [check.holds for check in judge(rows(0.3))] == [True, True, False, False, False, False, False, False]
    assert [check.holds for check in judge(rows(0.14))] == [True, True, True, True, True, True, True, False]


def test_scores_of_an_estimate_with_known_noise():
    l = torch.arange(33).double()
    spectrum, noise = 1 / (l + 1) ** 2, 0.5 / (l + 1) ** 2
    truth, held = fields("a", 60, spectrum), fields("b", 60, spectrum)
    factor = (2 + l)[:, None]  # an estimate may lack or exceed power: the calibration finds it
    got = score(factor * (truth + fields("c", 60, noise)), truth, factor * (held + fields("d", 60, noise)), held)
    wanted = 0.5 / 1.5  # N/(C + N)
    assert got.residual_power == pytest.approx(wanted, rel=0.05)
    assert float((got.correlation[8:] ** 2 - 1 / 1.5).abs().max()) < 0.05
    # for Gaussian fields the error of Ĉ has the share √(1 - ρ⁴) of the spread of C
    spread = (spectrum_of(truth) / spectrum - 1).abs()[:, 2:].mean()
    assert got.spectrum_error == pytest.approx(float(spread) * (1 - wanted_rho(1.5)) ** 0.5, rel=0.1)
    perfect = score(factor * truth, truth, factor * held, held)
    assert perfect.residual_power < 1e-20
    assert perfect.spectrum_error < 1e-10
    assert perfect.map_error < 1e-10


def wanted_rho(total: float) -> float:
    """ρ⁴ where the estimate has ``total`` times the power of the truth."""
    return (1 / total) ** 2


def test_estimated_spectra_are_unbiased():
    spectrum = torch.ones(20, dtype=torch.float64)
    truth, noise = fields("a", 200, spectrum), fields("c", 200, 2 * spectrum)
    half = slice(0, 100), slice(100, 200)
    found = estimated_spectra((truth + noise)[half[0]], (truth + noise)[half[1]], truth[half[1]])
    assert float((found.mean(0) - spectrum_of(truth[half[0]]).mean(0))[4:].abs().max()) < 0.15


def test_networks_are_of_equal_size_and_start_at_the_map_remapped_back():
    size = SCALES["tiny"]
    data = DelensingDataset(size.sky, 3)
    networks = {name: build() for name, build in contestants(size, data).items()}
    counts = [sum(p.numel() for p in network.parameters()) for network in networks.values()]
    assert max(counts) < 1.4 * min(counts), counts  # at four channels widths leave little choice
    x = data.x
    for network in networks.values():
        with torch.no_grad():
            network.gain.zero_()
            network.scale.zero_()
        torch.testing.assert_close(network.eval()(x), x[:, 1:2])
        assert not any(name.endswith(("weights", "inverse")) for name in network.state_dict())


class _TwoInputs(torch.nn.Module):
    """Takes channels 1 and 2 of the inputs as r and ψ."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 1:3]


def test_the_correction_commutes_with_rotations_and_is_the_first_order_of_lensing():
    data = DelensingDataset(SCALES["tiny"].sky, 2)
    layer = Correction(_TwoInputs(), data).double()
    error = commutation_error(layer, SphereSymmetry(data.grid, data.grid, 5, lmax=15))
    assert error < 1e-10
    skies = data.skies
    x = torch.stack([data.y[:, 0]] * 5, 1).double()
    potential = 1e-3 * skies.potential
    synthesis = layer.synthesis.double()
    x[:, 2] = synthesis(potential)
    with torch.no_grad():
        layer.gain.zero_()
        layer.scale.fill_(1 / layer.unit)
    truth = data.coefficients(x[:, 1])
    wanted = Lensing(GaussLegendre(32), 15, 15).lens(truth, potential) - truth
    got = data.coefficients(layer(x)[:, 0].detach()) - truth
    got, wanted = got[:, 1:], wanted[:, 1:]  # degree 0 is not observed
    assert float((got - wanted).norm() / wanted.norm()) < 1e-2
