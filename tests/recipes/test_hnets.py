"""The harmonic networks recipe at its smallest scale, its data, and its measures on networks of known answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from armillary.models import HarmonicClassifier
from armillary.recipes.hnets import (
    GRID,
    HARMONIC,
    LONGER,
    PLAIN,
    changed_predictions,
    judge,
    orientation_error,
    reproduce,
)
from armillary.recipes.hnets_turns import turned
from armillary.recipes.report import Row


def test_tiny_scale_writes_a_complete_result_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["system"] == "hnets"
    assert {row["name"] for row in result["rows"]} == {HARMONIC, PLAIN, LONGER}
    sizes = {row["name"]: row["params"] for row in result["rows"]}
    assert sizes[PLAIN] == pytest.approx(sizes[HARMONIC], rel=0.25)
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    assert [row["mean"] for row in again["rows"]] == [row["mean"] for row in result["rows"]]


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", tmp_path, 1)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", tmp_path, 0)
    with pytest.raises(ValueError, match=r"got images \(2, 3, 4\)"):
        turned(torch.zeros(2, 3, 4), torch.zeros(2), 4)


def test_turned_images_keep_their_pixels_or_go_round_by_quarters() -> None:
    images = torch.rand(3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(turned(images, torch.zeros(3), 9), images, rtol=0, atol=1e-14)
    for k in (1, 2, 3):
        got = turned(images, torch.full((3,), k * math.pi / 2, dtype=torch.float64), 9)
        torch.testing.assert_close(got, torch.rot90(images, k, (-2, -1)), rtol=0, atol=1e-13)


def test_a_smooth_image_is_turned_as_its_function() -> None:
    p, angle = GRID.points, 0.7

    def blob(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((x - 4) ** 2 + 0.5 * (y + 1) ** 2) / 6)

    x, y = p.unbind(-1)
    cos, sin = math.cos(angle), math.sin(angle)
    wanted = blob(cos * x + sin * y, cos * y - sin * x)
    got = turned(blob(x, y)[None], torch.tensor([angle], dtype=torch.float64), 28)[0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4)  # what lies beyond the edge: exp(-10)


def test_measures_of_orientation() -> None:
    torch.manual_seed(0)
    network = HarmonicClassifier(1, 10, GRID, (2, 3, 4))
    x, y = GRID.points.unbind(-1)
    centres = torch.randn(6, 2, 1, 1, dtype=torch.float64) * 3
    digits = torch.exp(-((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2) / 8)
    assert orientation_error(network, digits) < 10
    assert len(changed_predictions(network, digits)) == 11
    assert sum(changed_predictions(lambda_network(), digits)) == 0

    class Scrambled(HarmonicClassifier):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return super().features(x).roll(len(self.head.orders_out.orders), dims=1) * torch.randn(1, 40, 1, 1)

    assert orientation_error(Scrambled(1, 10, GRID, (2, 3, 4)), digits) > 40


def lambda_network() -> torch.nn.Module:
    """Scores that see the sum of the image alone."""
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(1, 10))


def test_a_claim_that_fails_is_told() -> None:
    def rows(longer: float) -> list[Row]:
        figures = {HARMONIC: (1.5, 3.0), PLAIN: (5.0, 20.0), LONGER: (longer, 10.0)}
        metrics = ("test error, %", "predictions that change under a turn, %")
        found = [Row(name, m, v) for name, pair in figures.items() for m, v in zip(metrics, pair, strict=True)]
        return [*found, Row(HARMONIC, "orientation error, degrees", 12.0)]

    assert [check.holds for check in judge(rows(4.0))] == [True, True, False, True]
    assert [check.holds for check in judge(rows(1.4))] == [False, True, False, True]  # the better CNN is what counts
