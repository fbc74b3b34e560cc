"""The recipe on SE(3): it runs on a file of the layout, continues, its figures are what they say, and it judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from armillary.groups import SO3, SO3Signals
from armillary.recipes import se3, se3_equivalence
from armillary.recipes.report import Row


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clouds of two kinds, in the layout of the real file."""
    rng, clouds = np.random.default_rng(0), {}
    for split, count in (("train", 12), ("test", 6)):
        labels = np.arange(count) % 2
        shapes = rng.normal(size=(count, 64, 3)) * (np.where(labels[:, None, None], [1, 1, 2], 1))
        shapes /= np.abs(shapes).max((1, 2), keepdims=True)
        clouds[f"points_i16_{split}"] = (shapes * 32767).astype(np.int16)
        clouds[f"coarse_{split}"] = np.array([5, 2], dtype=np.uint8)[labels]
    np.savez(tmp_path / "psb_pointclouds.npz", **clouds, coarse_names=np.array(list("abcdefg")))
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    return tmp_path


def test_it_runs_and_continues(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [row for row in se3.forms() if "of degree 2, " not in row.name]
    monkeypatch.setattr(se3, "forms", lambda: few)
    out = tmp_path / "out"
    result = se3.reproduce("tiny", out, seeds=1)
    assert json.loads((out / "result.json").read_text()) == result
    assert (out / "figure.png").stat().st_size > 1000
    assert len(result["rows"]) == len(few) + 3 * 5
    assert len(result["checks"]) == 7
    assert [check["holds"] for check in result["checks"][:2]] == [True, True]
    assert se3.reproduce("tiny", out, seeds=1)["rows"] == result["rows"]


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    with pytest.raises(ValueError, match=r"reads psb_pointclouds\.npz"):
        se3.reproduce("tiny", tmp_path)
    with pytest.raises(ValueError, match="scale 'huge'"):
        se3.reproduce("huge", tmp_path)


def test_errors_of_nonlinearities() -> None:
    signals = SO3Signals(2, 1)
    assert se3_equivalence.nonlinearity_error(signals, None) < 1e-13
    coarse, fine = (se3_equivalence.nonlinearity_error(signals, SO3().quadrature(n)) for n in (1, 4))
    assert fine < coarse / 10
    samples = [n for n, _ in se3_equivalence.errors_by_samples(1, 2)]
    assert samples == [12, 18, 24, 60, 75]
    assert [n for n, _ in se3_equivalence.errors_by_samples(2, 2)] == [60, 75]


def test_it_judges() -> None:
    def rows(sampled: float, forms: float) -> list[Row]:
        found = [Row("x", se3.FORMS, forms), Row("x", se3.TRIP, 1e-15)]
        for name in (se3.SAMPLED, se3.NORMS, se3.PLAIN):
            for turns, tests in (("z", "so3"), ("so3", "so3")):
                value = sampled if name == se3.SAMPLED and turns == "z" else 60.0
                found.append(Row(name, se3.metric(turns, tests), value, 1.0))  # type: ignore[arg-type]
        return found

    assert [check.holds for check in se3.judge(rows(61.0, 1e-14))] == [True, True, True, True, False, False, False]
    assert [check.holds for check in se3.judge(rows(70.0, 1e-9))] == [False, True, False, True, False, True, True]
