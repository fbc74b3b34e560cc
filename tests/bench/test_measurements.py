"""What the benchmarks make of their measurements, without the peer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import equivariance
import peer
import pytest
import speed
from parts import record


def test_table_and_record(tmp_path):
    assert record.table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
    path = record.write(tmp_path / "new", "x.json", {"ratio": 2.5})
    assert json.loads(path.read_text()) == {"ratio": 2.5}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]
    with pytest.raises(TypeError):
        record.write(tmp_path / "new", "x.json", {"ratio": object()})
    assert json.loads(path.read_text()) == {"ratio": 2.5}


def test_summary_takes_the_best_of_theirs():
    errors = {equivariance.OURS: 1e-5, equivariance.PLAIN: 2e-2}
    errors |= {f"torch-harmonics, {mode}": 1e-2 / (1 + i) for i, mode in enumerate(equivariance.NORM_MODES)}
    case = {"grid": "Gauss–Legendre", "kind": "plain", "cutoff": "3 rings", "nlat": 64, "nlat_out": 64, "l": 16}
    rows = [{**case, "implementation": name, "mean": value, "moments": 4} for name, value in errors.items()]
    (line,) = equivariance.summary(rows)
    assert line["best"] == equivariance.NORM_MODES[-1]
    assert line["ratio"] == pytest.approx(1e-2 / len(equivariance.NORM_MODES) / 1e-5)
    assert line["ours_moments_off"] == 2e-2


def test_every_case_has_layers_of_its_size():
    for case in equivariance.cases(full=False):
        if case.nlat == 64:
            layer = case.layer(None)
            assert (layer.grid.nlat, layer.grid_out.nlat) == case.sizes
            assert all(l <= min(layer.grid.lmax, layer.grid_out.lmax) for l in case.degrees)


def test_picture_is_drawn(tmp_path):
    lines = [
        {
            "grid": grid,
            "kind": kind,
            "cutoff": "3 rings",
            "nlat": nlat,
            "l": l,
            "ours": nlat**-4.0,
            "theirs": dict.fromkeys(equivariance.NORM_MODES, 1 / nlat),
        }
        for grid in ("one", "two")
        for kind in ("plain", "strided", "transposed")
        for nlat in (64, 128)
        for l in (16, 32)
    ]
    equivariance.draw(lines, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("case", [speed.Case(12, 12, channels=2), speed.Case(8, 16, channels=2, n_azimuthal=4)])
def test_runner_times_a_layer(case):
    runner = speed.Runner(Path(sys.executable), "armillary", case.job(1, False), dict(os.environ))
    try:
        first, second = runner.ask("pass"), runner.ask("pass")
    finally:
        runner.close()
    assert runner.build > 0
    assert all(passed["forward"] > 0 and passed["backward"] > 0 for passed in (first, second))
    assert runner.process.returncode == 0


def test_runner_that_ends_is_reported(capfd):
    job = speed.Case(12, 12, channels=2).job(1, False) | {"x_shape": [1, 3, 12, 24]}
    with pytest.raises(peer.PeerError, match="armillary ended with code 1"):
        speed.Runner(Path(sys.executable), "armillary", job, dict(os.environ))
    assert "x has shape (1, 3, 12, 24)" in capfd.readouterr().err
