"""Samples of different sizes through the loop: joined by a function, tuples in and out, counted one by one."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from armillary.train import Interrupted, Run, TrainConfig, evaluate, fit, make_fabric, to_table
from armillary.train.calibrate import calibrate
from armillary.train.evaluate import full_precision


class Groups(NamedTuple):
    """Rows of several groups, one below the other."""

    rows: Tensor
    group: Tensor
    groups: int


class Totals(NamedTuple):
    """What each group and each row is worth."""

    sums: Tensor
    rows: Tensor


class Ragged(Dataset[Any]):
    """Groups of 1 to 4 rows."""

    def __init__(self, n: int = 11) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, Totals]:
        rows = torch.randn(1 + i % 4, 3, generator=torch.Generator().manual_seed(i))
        return rows, Totals(rows.sum(), rows.sum(1))


def collate(samples: list[Any]) -> tuple[Groups, Totals]:
    rows = [x for x, _ in samples]
    group = torch.cat([torch.full((len(x),), k) for k, x in enumerate(rows)])
    return Groups(torch.cat(rows), group, len(rows)), Totals(
        torch.stack([y.sums for _, y in samples]), torch.cat([y.rows for _, y in samples])
    )


class Sum(nn.Module):
    """A number for each row, and their sums over groups."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Linear(3, 1)
        nn.init.constant_(self.each.weight, 0.1)
        nn.init.constant_(self.each.bias, 0.5)

    def forward(self, rows: Tensor, group: Tensor, groups: int) -> Totals:
        values = self.each(rows)[:, 0]
        return Totals(values.new_zeros(groups).index_add(0, group, values), values)


class Worst:
    """The mean over groups of the difference."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.state = torch.zeros(2, dtype=torch.float64)

    def update(self, prediction: Totals, target: Totals) -> None:
        assert isinstance(target, Totals)
        difference = (prediction.sums - target.sums).abs().double()
        self.state += torch.tensor([float(difference.sum()), len(difference)])

    def compute(self) -> dict[str, float]:
        return {"difference": (self.state[0] / self.state[1]).item()}


def loss(prediction: Totals, target: Totals) -> Tensor:
    return (prediction.sums - target.sums).square().mean() + (prediction.rows - target.rows).square().mean()


CONFIG = TrainConfig(epochs=30, batch_size=4, lr=5e-2, accelerator="cpu", best_metric="difference")


def train(path: Path, config: TrainConfig = CONFIG, **changes: Any) -> Any:
    run = Run.open(path) if (path / "config.toml").exists() else Run.create(path, {"train": to_table(config)})
    model = Sum()
    function = changes.get("loss", loss)
    console = Console(file=io.StringIO())
    result = fit(model, Ragged(), Ragged(5), function, Worst(), config, run, console=console, collate=collate)
    return model, result


@pytest.mark.parametrize(("accumulate", "workers"), [(1, 0), (2, 1)])
def test_ragged_samples_are_learned(tmp_path: Path, accumulate: int, workers: int) -> None:
    epochs = 30 if workers == 0 else 2
    model, result = train(tmp_path / "run", replace(CONFIG, accumulate=accumulate, workers=workers, epochs=epochs))
    scores = [row["valid_difference"] for row in result.history]
    assert scores[-1] < (0.1 if workers == 0 else 1) * scores[0]
    if workers == 0:
        torch.testing.assert_close(model.each.weight, torch.ones(1, 3), rtol=0, atol=0.05)


def test_a_stopped_run_continues_bit_for_bit(tmp_path: Path) -> None:
    config, calls = replace(CONFIG, epochs=3), [0]
    whole, _ = train(tmp_path / "whole", config)

    def stopping(prediction: Totals, target: Totals) -> Tensor:
        calls[0] += 1
        if calls[0] == 6:
            raise SystemExit("killed")
        return loss(prediction, target)

    with pytest.raises((SystemExit, Interrupted)):
        train(tmp_path / "run", config, loss=stopping)
    again, _ = train(tmp_path / "run", config)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())


def test_each_sample_counts_once_in_the_score() -> None:
    """The loss of a batch is weighed by its samples, not by its rows nor by the length of the tuple."""
    data, model = Ragged(7), Sum()

    def mean_of_groups(prediction: Totals, target: Totals) -> Tensor:
        return (prediction.sums - target.sums).abs().mean()

    fabric = make_fabric(CONFIG)
    scores = [
        evaluate(model, data, mean_of_groups, Worst(), fabric=fabric, batch_size=size, collate=collate)
        for size in (1, 3, 7)
    ]
    for score in scores:
        assert score is not None
        assert score["loss"] == pytest.approx(scores[0]["loss"], rel=1e-6)  # type: ignore[index]
        assert score["loss"] == pytest.approx(score["difference"], rel=1e-6)


def test_statistics_are_averaged_over_tuples_too() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, rows: Tensor, group: Tensor, groups: int) -> Tensor:
            return self.norm(rows)

    model = Normed()
    x, _ = collate([Ragged()[i] for i in range(4)])
    assert calibrate(model, [x, x]) == 2
    torch.testing.assert_close(model.norm.running_mean, x.rows.mean(0))


def test_half_precision_in_tuples() -> None:
    half = Totals(torch.ones(2, dtype=torch.bfloat16), torch.ones(2))
    found = full_precision(half)
    assert isinstance(found, Totals)
    assert found.sums.dtype == found.rows.dtype == torch.float32
    assert full_precision(torch.ones(2, dtype=torch.float16)).dtype == torch.float32
    assert full_precision(torch.ones(2, dtype=torch.float64)).dtype == torch.float64
