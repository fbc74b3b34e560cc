"""The needlet recipe runs at the tiny scale, on made-up molecules, and judges what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data.qm7 import Molecules
from armillary.groups import random_rotation
from armillary.harmonics import rotate
from armillary.recipes import needlets, needlets_qm7
from armillary.recipes.needlets_qm7_data import counted, kernel_ridge, signals_of
from armillary.recipes.report import Row
from armillary.spaces import GaussLegendre


def made_up(n: int, seed: int = 0) -> Molecules:
    """Atoms on a jittered lattice of 1.5 Å, one to four of them heavy."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.cartesian_prod(*[torch.arange(2)] * 3).double() * 1.5
    positions = places + 0.1 * torch.randn(n, 8, 3, generator=generator, dtype=torch.float64)
    charges = torch.tensor([6, 7, 8, 16, 1, 1, 1, 0])[torch.rand(n, 8, generator=generator).argsort(1)]
    charges[torch.rand(n, 8, generator=generator) < 0.2] = 0
    charges[:, 0] = 6
    return Molecules(charges, positions, -100.0 * (charges > 0).sum(1).double() + torch.randn(n, generator=generator))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = made_up(60)
    np.savez(tmp_path / "qm7.npz", z=m.charges.numpy(), pos=m.positions.numpy(), hof_kcal=m.energies.numpy())
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))


@pytest.mark.usefixtures("data")
def test_the_recipe_runs_and_continues(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = needlets.reproduce("tiny", out, seeds=1)
    assert json.loads((out / "result.json").read_text()) == result
    for name in ("qm7.png", "cmb.png"):
        assert (out / name).exists()
        assert name in (out / "report.md").read_text()
    names = {(row["name"], row["metric"]) for row in result["rows"]}
    networks = {(n, t) for n in (needlets_qm7.NEEDLETS, needlets_qm7.S2CNN) for t in (needlets_qm7.TURNED,)}
    assert networks <= names
    molecules = [row for row in result["rows"] if row["metric"].startswith("QM7")]
    assert len(molecules) == 4 * 2 + 2
    assert len(result["rows"]) == len(names) == len(molecules) + 6 * 3
    assert all(np.isfinite(row["mean"]) for row in result["rows"])
    assert all(row["n_seeds"] == 5 for row in molecules)
    assert len(result["checks"]) == 5 + 9
    again = needlets.reproduce("tiny", out, seeds=1)
    assert [r["mean"] for r in again["rows"]] == [r["mean"] for r in result["rows"]]


def test_without_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="ARMILLARY_DATA"):
        needlets.reproduce("tiny", tmp_path, seeds=1)
    with pytest.raises(ValueError, match="wanted one of"):
        needlets.reproduce("huge", tmp_path)


def test_signals_are_scaled_and_turn_with_the_molecule() -> None:
    m, grid, R = made_up(12), GaussLegendre(6), random_rotation(torch.Generator().manual_seed(1))
    signals, train = signals_of(m, 6), torch.arange(8)
    x = signals.samples(train, grid).double()
    there = x[:, :, 5:, 0, 0].sum(-1) > 0
    assert float(x[~there].abs().max()) == 0
    variance = grid.integrate(x[train][there[train]][:, :5] ** 2).mean(0) / (4 * torch.pi)
    torch.testing.assert_close(variance, torch.ones(5).double(), rtol=1e-4, atol=0)
    # Turned before it is cut to the bandlimit, by the exact rotation of the samples after it.
    turned = Molecules(m.charges, m.positions @ R.mT, m.energies)
    other = signals_of(turned, 6).samples(train, grid).double()
    wanted = rotate(x[:, :, :5], grid, R)
    assert (other[:, :, :5] - wanted).norm() < 2e-2 * wanted.norm()


def test_the_kernel_interpolates() -> None:
    x = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1000
    y = torch.sin(x.sum(1) / 500)
    found = kernel_ridge(torch.cdist(x, x, p=1), y, torch.arange(250), torch.arange(250, 300))
    assert float((found - y[250:]).abs().mean()) < 0.1
    m = made_up(50)
    fitted = counted(m, torch.arange(40))
    assert float((fitted - m.energies).abs().max()) < 6


def test_the_verdict() -> None:
    def rows(own: float) -> list[Row]:
        names = {needlets_qm7.NEEDLETS: own, needlets_qm7.S2CNN: 6.0, needlets_qm7.KERNEL: 5.0}
        metrics = (needlets_qm7.MAE, needlets_qm7.RMSE)
        made = [Row(name, metric, value) for name, value in names.items() for metric in metrics]
        return [*made, Row(needlets_qm7.NEEDLETS, needlets_qm7.TURNED, 0.52)]

    assert [c.holds for c in needlets_qm7.judge(rows(5.5))] == [True, False, True, False, True]
    assert [c.holds for c in needlets_qm7.judge(rows(4.5))] == [True, True, True, True, False]
