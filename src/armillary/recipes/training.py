"""One training of a recipe: a run directory that continues where it was stopped, and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from armillary.nn import ClassificationMetrics
from armillary.train import Metrics, Run, TrainConfig, evaluate, fit, load_weights, make_fabric, to_table
from armillary.train.evaluate import Collate
from armillary.train.state import seed_everything


@dataclass(frozen=True)
class Trained:
    """A network with the weights to judge it by, and a row of ``metrics.csv`` for each of its epochs."""

    network: nn.Module
    history: list[dict[str, float]]

    @property
    def seconds(self) -> float:
        """What its epochs took, also where they were run before."""
        return sum(row["seconds"] for row in self.history)

    @property
    def params(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def trained(
    build: Callable[[], nn.Module],
    splits: tuple[Dataset[Any], Dataset[Any] | None],
    loss: Callable[[Any, Any], Tensor],
    metrics: Metrics | None,
    config: TrainConfig,
    settings: Mapping[str, Any],
    path: Path,
    console: Console,
    collate: Collate | None = None,
) -> Trained:
    """The network after its best epoch on the validation split, or its last where there is none; it is on the CPU.

    ``build`` is called after seeding, so that ``config.seed`` determines the initial weights. ``splits``: for training
    and for validation. ``settings`` are tables for ``config.toml`` that, beside ``config``, tell this training from
    others in the same directory. ``collate``: as for ``fit``. A training that was finished is not run again.

    Raises: RunError where ``path`` holds a training with other settings, or files and no training.
    """
    table = {**settings, "train": to_table(config)}
    run = Run.open(path) if (path / "config.toml").exists() else Run.create(path, table)
    run.check_resumable(table)
    seed_everything(config.seed)
    network = build()
    outcome = fit(network, *splits, loss, metrics, config, run, console=console, collate=collate)
    if splits[1] is not None:
        load_weights(network, run.load_weights("best"), where=str(path))
    return Trained(network.cpu(), outcome.history)


def error_rate(network: nn.Module, data: TensorDataset, classes: int) -> float:
    """The share of samples of another class than predicted, in percent."""
    metrics, fabric = ClassificationMetrics(classes), make_fabric(TrainConfig())
    scores = evaluate(network, data, None, metrics, fabric=fabric, batch_size=100)
    assert scores is not None
    return 100 * (1 - scores["accuracy"])
