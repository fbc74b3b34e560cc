import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from armillary.spaces import Equiangular
from armillary.train import MissingExtra
from armillary.train.logs import open_tensorboard
from armillary.train.objectives import LossConfig, build_loss, build_metrics

GRID = Equiangular(5)


@pytest.mark.parametrize(
    ("task", "config"),
    [
        ("segmentation", LossConfig()),
        ("segmentation", LossConfig(dice=0.5, label_smoothing=0.1)),
        ("classification", LossConfig()),
        ("regression", LossConfig(regression="l1")),
        ("regression", LossConfig(gradient=0.3)),
    ],
)
def test_a_better_prediction_has_a_lower_loss_and_better_metrics(task: Any, config: LossConfig) -> None:
    torch.manual_seed(0)
    if task == "regression":
        target = torch.randn(2, 3, *GRID.shape)
        good, poor = target + 0.1 * torch.randn_like(target), torch.randn_like(target)
    else:
        target = torch.randint(0, 3, (2, *GRID.shape) if task == "segmentation" else (2,))
        good = 3 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
        poor = good.roll(1, 1)
    loss, metrics = build_loss(task, GRID, config), build_metrics(task, GRID, ["background", "a", "b"])
    assert loss(good, target) < loss(poor, target)
    scores = []
    for guess in (good, poor):
        metrics.reset()
        metrics.update(guess, target)
        scores.append(metrics.compute())
    key = {"segmentation": "miou_foreground", "classification": "accuracy", "regression": "rmse"}[task]
    assert (scores[0][key] > scores[1][key]) == (task != "regression")


def test_the_extra_terms_count() -> None:
    target = torch.randint(0, 3, (1, *GRID.shape))
    guess = torch.randn(1, 3, *GRID.shape)
    plain, dice = (build_loss("segmentation", GRID, LossConfig(dice=w))(guess, target) for w in (0.0, 2.0))
    assert dice > plain + 0.1


@pytest.mark.parametrize(("task", "name"), [("regression", "dice"), ("segmentation", "gradient")])
def test_a_term_of_another_task_is_refused(task: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"got {name} = 1.0 for {task}"):
        build_loss(task, GRID, LossConfig(**{name: 1.0}))
    with pytest.raises(ValueError, match=f"got {name} = -1.0"):
        LossConfig(**{name: -1.0})


def test_tensorboard_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtra, match=r"pip install 'armillary\[tensorboard\]'"):
        open_tensorboard(tmp_path)


def test_tensorboard_writes_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    board = open_tensorboard(tmp_path)
    board.write({"epoch": 1, "train_loss": 0.5})
    board.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"train_loss" in events.read_bytes()
