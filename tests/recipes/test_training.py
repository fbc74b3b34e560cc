"""One training of a recipe: it gives its best or last weights, continues, and is not taken for another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

from armillary.recipes.training import Trained, error_rate, trained
from armillary.train import TrainConfig
from armillary.train.run import RunError

CONFIG = TrainConfig(epochs=2, batch_size=4, lr=1e-2, seed=3)


def pairs(seed: int) -> TensorDataset:
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x @ torch.tensor([[1.0], [2.0]]))


def once(path: Path, config: TrainConfig = CONFIG, valid: bool = False, width: int = 1) -> Trained:
    splits = pairs(0), pairs(1) if valid else None
    settings = {"model": {"width": width}}
    return trained(
        lambda: nn.Linear(2, 1), splits, nn.functional.mse_loss, None, config, settings, path, Console(quiet=True)
    )


@pytest.mark.parametrize("valid", [False, True])
def test_a_training_that_is_done_is_not_run_again(tmp_path: Path, valid: bool) -> None:
    first = once(tmp_path / "run", valid=valid)
    assert first.params == 3
    assert len(first.history) == 2
    again = once(tmp_path / "run", valid=valid)
    assert again.history == first.history
    assert again.seconds == first.seconds == sum(row["seconds"] for row in first.history)
    for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_training_continues_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    """The last weights: of five epochs, and of one and then four."""
    steady = replace(CONFIG, scheduler="constant", warmup=0.0)
    whole = once(tmp_path / "whole", replace(steady, epochs=5))
    once(tmp_path / "parts", replace(steady, epochs=1))
    parts = once(tmp_path / "parts", replace(steady, epochs=5))
    torch.testing.assert_close(parts.network.weight, whole.network.weight, rtol=0, atol=0)


def test_the_seed_determines_the_weights(tmp_path: Path) -> None:
    a, b, c = (once(tmp_path / str(i), replace(CONFIG, seed=seed)) for i, seed in enumerate((3, 3, 4)))
    assert torch.equal(a.network.weight, b.network.weight)
    assert not torch.equal(a.network.weight, c.network.weight)


def test_trainings_of_other_settings_are_errors(tmp_path: Path) -> None:
    once(tmp_path / "run")
    with pytest.raises(RunError, match=r"trained with other settings \(train.lr: 0.01 in the run, 0.02 now\)"):
        once(tmp_path / "run", replace(CONFIG, lr=2e-2))
    with pytest.raises(RunError, match=r"model.width: 1 in the run, 2 now"):
        once(tmp_path / "run", width=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        once(tmp_path / "other")


def test_error_rate() -> None:
    data = TensorDataset(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    assert error_rate(nn.Identity(), data, 4) == pytest.approx(25.0)
