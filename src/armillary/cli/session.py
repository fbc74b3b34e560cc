"""What every training from the command line does around the loop: its run directory, its scores, its summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import armillary
from armillary.train import FitResult, Metrics, Run, TrainConfig, evaluate
from armillary.train.evaluate import Collate

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class RunPlace:
    """Where a run is written, and whether it is there already and goes on. ``command`` continues it."""

    path: Path
    resuming: bool
    command: str

    def existing(self) -> Run | None:
        """The run that goes on. Raises: RunError where the path is none, or, for a new run, is in use."""
        if self.resuming:
            return Run.open(self.path)
        if not _launched():
            Run.check_free(self.path)
        return None

    def check(self, existing: Run | None, table: dict[str, Any]) -> None:
        """Raise a RunError where the run that goes on had other settings."""
        if existing is not None and not _launched():
            existing.check_resumable(table)

    def open(self, table: dict[str, Any], fabric: Fabric) -> Run:
        """The run with the settings ``table``, made or brought up to date by the first process."""
        run = Run(self.path, table)
        if fabric.is_global_zero:
            run = Run.open(self.path) if self.resuming else Run.create(self.path, table)
            run.update_config(table)
        run.command = self.command
        return run


def run_place(run: Path | None, resume: Path | None, default: Path, command: str) -> RunPlace:
    """From the flags ``--run`` and ``--resume``. Raises: ValueError where they contradict each other."""
    if resume is not None and run is not None and run != resume:
        raise ValueError(f"got --run {run} and --resume {resume}: a run is resumed in place, leave --run out.")
    return RunPlace(resume or run or default, resume is not None, command)


def _launched() -> bool:
    """Whether this is a further process of several: the first one made the run."""
    return "LOCAL_RANK" in os.environ


def score(
    fabric: Fabric,
    config: TrainConfig,
    model: nn.Module,
    data: Dataset[Any],
    loss: Callable[[Any, Any], Tensor],
    metrics: Metrics,
    collate: Collate | None = None,
) -> dict[str, float]:
    """Loss and metrics of ``model`` on ``data``, in batches as large as in training."""
    scores = evaluate(
        model,
        data,
        loss,
        metrics,
        fabric=fabric,
        batch_size=max(1, config.batch_size // (config.accumulate * fabric.world_size)),
        workers=config.workers,
        collate=collate,
    )
    return scores or {}


def summary(model: nn.Module, result: FitResult, seconds: float, fabric: Fabric) -> dict[str, Any]:
    """What ``result.json`` says of any training."""
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "stopped_early": result.stopped_early,
        "seconds": round(seconds, 2),
        "versions": {
            "armillary": armillary.__version__,
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        },
        "device": str(fabric.device),
        "processes": fabric.world_size,
    }
