"""The S2CNN recipe at its smallest scale, and how its claim is judged."""

from __future__ import annotations

import json

import pytest

from armillary.recipes.report import Row
from armillary.recipes.s2cnn import (
    CLASSIFICATION,
    SCALES,
    SEGMENTATION,
    contestants,
    judge_classification,
    judge_segmentation,
    reproduce,
)
from armillary.spaces import Equiangular


def test_tiny_scale_writes_a_complete_result_and_resumes(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["system"] == "s2cnn"
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert "scikit-learn" in (tmp_path / "report.md").read_text()
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    scores = [[r["mean"] for r in each["rows"] if "rotated" in r["metric"]] for each in (result, again)]
    assert scores[0] == scores[1]
    tiny = SCALES["tiny"]
    equivariant, growth, longer = len(tiny.equivariant), len(tiny.growth), len(tiny.longer)
    # the first on a quarter too, CNNs on three kinds of data, longer ones in one task on one
    assert len(scores[0]) == 2 * (equivariant + 1 + 3 * growth) + longer
    assert sum("latency" in r["metric"] for r in result["rows"]) == 2 * (equivariant + growth) + longer


@pytest.mark.parametrize("task", [SEGMENTATION, CLASSIFICATION], ids=lambda task: task.name)
def test_cnns_have_at_least_the_parameters_that_are_named(task) -> None:
    from armillary.models import build_model

    size = SCALES["small"]
    grid = Equiangular(*size.grid)
    counts = {
        name: sum(p.numel() for p in build_model(network.config(task), 1, task.outputs, grid, task.kind).parameters())
        for name, (network, _) in contestants(task, size, grid).items()
    }
    for growth, _ in size.growth:
        assert growth <= counts[f"CNN, {growth} ×"] / counts["S2CNN"] <= 1.5 * growth


def rows(task: str, metric: str, scores: dict[str, tuple[int, float]]) -> list[Row]:
    return [Row(name, f"{task}: {metric}, rotated", mean, params=params) for name, (params, mean) in scores.items()]


def test_segmentation_is_judged_against_cnns_of_at_least_the_size() -> None:
    scores = {
        "S2CNN, upright": (100, 0.5),
        "S2CNN, a quarter of the spheres, upright": (100, 0.1),
        "DISCO, upright": (300, 0.5),
        "CNN, 1 ×, upright": (50, 0.9),  # smaller than both
        "CNN, 2 ×, each turned once": (200, 0.6),
        "CNN, 4 ×, turned anew in every epoch": (400, 0.4),
    }
    checks = judge_segmentation(rows("segmentation", "mIoU of digits", scores), SCALES["tiny"])
    assert [check.holds for check in checks] == [False, True]
    assert "0.600 (CNN, 2 ×, each turned once, 200)" in checks[0].measured


def test_classification_tells_the_first_cnn_that_catches_up() -> None:
    scores = {
        "S2CNN, upright": (100, 0.5),
        "DISCO, upright": (300, 0.7),
        "CNN, 1 ×, upright": (150, 0.2),
        "CNN, 4 ×, turned anew in every epoch": (400, 0.6),
        "CNN, 2 ×, turned anew in every epoch": (200, 0.5),
    }
    (check,) = judge_classification(rows("classification", "accuracy", scores), SCALES["tiny"])
    assert check.holds
    assert check.measured.startswith("CNN, 2 ×, turned anew in every epoch (200 parameters)")
    (check,) = judge_classification(rows("classification", "accuracy", scores)[:3], SCALES["tiny"])
    assert not check.holds
    assert check.measured.startswith("none; the best, CNN, 1 ×, upright")


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", None, 1)
