"""The recipe of system 20 runs at the tiny scale, on made-up frames, continues, and judges what it measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.models.atoms import AtomsConfig
from armillary.recipes import scn
from armillary.recipes.report import Row
from armillary.recipes.scn_dynamics import _judged
from armillary.recipes.scn_training import ScnScale, _parameters, of_equal_size

pytest.importorskip("ase")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Water shaken about: springs between all pairs."""
    generator, arrays = np.random.default_rng(0), {}
    still = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    for name, frames in (("train", 24), ("test", 6)):
        x = still + 0.05 * generator.standard_normal((frames, 3, 3))
        forces = 20 * (still - x)
        arrays |= {
            f"ethanol_{name}_z": np.array([8, 1, 1], np.uint8),
            f"ethanol_{name}_pos": x.astype(np.float32),
            f"ethanol_{name}_energy": -2000 + 10 * ((x - still) ** 2).sum((1, 2)),
            f"ethanol_{name}_forces": forces.astype(np.float32),
        }
    np.savez(tmp_path / "molecular_dynamics.npz", **arrays)
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))


@pytest.mark.usefixtures("data")
def test_the_recipe_runs_and_continues(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = scn.reproduce("tiny", out, seeds=1)
    assert json.loads((out / "result.json").read_text()) == result
    assert (out / "figure.png").exists()
    assert "figure.png" in (out / "report.md").read_text()
    found = {(row["name"], row["metric"]): row for row in result["rows"]}
    assert len(found) == len(result["rows"]) == 4 * (4 + 2) + 2 * 4 + 2 * 2
    assert all(np.isfinite(row["mean"]) for row in result["rows"])
    assert found[scn.ESCN, scn.FORCE]["n_seeds"] == 1
    sizes = [found[name, scn.FORCE]["params"] for name in (scn.ESCN, scn.SCN, scn.INVARIANT, scn.DIRECT)]
    assert max(sizes) < 1.25 * min(sizes)  # whole channels of a tiny network
    assert len(result["checks"]) == 8
    assert len(list((out / "runs").iterdir())) == 4 + 2
    stamps = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    again = scn.reproduce("tiny", out, seeds=1)
    assert [row["mean"] for row in again["rows"]] == [row["mean"] for row in result["rows"]]
    assert {path: path.stat().st_mtime_ns for path in stamps if path.name.startswith("dynamics")} == {
        path: stamp for path, stamp in stamps.items() if path.name.startswith("dynamics")
    }


def test_networks_of_equal_size() -> None:
    size: ScnScale = scn.SCALES["small"]
    like = AtomsConfig(channels=size.channels, hidden=size.channels, layers=size.layers)
    for config in (replace(like, name="scn"), replace(like, name="invariant"), replace(like, forces="direct")):
        sized = of_equal_size(config, like)
        assert abs(_parameters(sized) / _parameters(like) - 1) < 0.03
        assert sized.name == config.name


def test_drifts_are_fitted() -> None:
    times = np.linspace(0, 10, 101)
    found = _judged(times, 5 + 0.009 * times + 0.0018 * np.sin(50 * times), 9, 300.0, True)
    assert found.slope == pytest.approx(1.0, abs=0.02)
    assert found.largest == pytest.approx(10.0, abs=0.25)
    assert found.spread == pytest.approx(0.2 / 2**0.5, rel=0.1)
    assert np.isfinite(_judged(times, np.where(times > 5, np.nan, times), 9, 300.0, False).slope)


def test_the_verdict() -> None:
    degrees = [(2, 2), (0, 0)]

    def rows(escn: float, high: float, slope: float, fine: float = 0.1) -> list[Row]:
        values = {scn.ESCN: escn, scn.SCN: 12.0, scn.INVARIANT: 15.0, scn.DIRECT: 11.0}
        made = [Row(name, scn.FORCE, value) for name, value in values.items()]
        made += [Row(scn.ESCN, scn.TURNED, 0.4), Row(scn.SCN, scn.TURNED, 4.0), Row(scn.read_on(24), scn.TURNED, fine)]
        made += [Row(scn.ESCN, scn.SLOPE, slope), Row(scn.ESCN, scn.LARGEST, 0.3), Row(scn.DIRECT, scn.SLOPE, -7.0)]
        return [*made, Row(scn.sized(0, 0), scn.FORCE, 20.0), Row(scn.sized(2, 2), scn.FORCE, high)]

    assert all(check.holds for check in scn.judge(rows(10.0, 10.0, -0.01), degrees))
    held = [check.holds for check in scn.judge(rows(14.0, 21.0, 8.0), degrees)]
    assert held == [False, True, True, True, True, False, False, False]
    assert not scn.judge(rows(10.0, 10.0, -0.01, 0.3), degrees)[3].holds


def test_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"this recipe reads molecular_dynamics\.npz"):
        scn.reproduce("tiny", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    assert torch.get_default_dtype() == torch.float32
