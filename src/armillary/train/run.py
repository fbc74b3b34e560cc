"""A run directory: the settings, the log and the checkpoints of one training."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import tomli_w
from torch import Tensor

import armillary
from armillary.train import files
from armillary.train.config import RESUMABLE_CHANGES
from armillary.train.state import join_tensors, split_tensors
from armillary.train.tables import differences

CONFIG, METRICS, CHECKPOINTS = "config.toml", "metrics.csv", "checkpoints"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FORMAT = 1


class RunError(ValueError):
    """A run directory or checkpoint is missing, damaged or belongs to other settings."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights and the state of everything that moves during training.

    ``model``: the state dict. ``training``: nested dicts, lists, scalars and tensors (optimizer, random generators,
    place in the epoch, scores so far).
    """

    model: dict[str, Tensor]
    training: dict[str, Any]


class Run:
    """The directory of one training run.

    ::

        config.toml                       every setting, defaults included
        metrics.csv                       one row for each finished epoch
        checkpoints/last, checkpoints/best
            model.safetensors             parameters and running statistics
            optimizer.safetensors         optimizer and random-generator tensors
            state.json                    epoch, step, scores, and where each tensor belongs

    Every file and every checkpoint folder is replaced in one step: a killed process or a full disk leaves the
    previous one. Made by ``Run.create`` (a new directory) or ``Run.open`` (an existing one).
    ``command``: what continues it, for messages.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.command = "armillary train"

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> Run:
        """Start a run in a new or empty directory; ``config`` is a nested table (see ``tables.to_table``).

        Raises: RunError where the directory holds files already; SaveError.
        """
        path = Path(path)
        cls.check_free(path)
        run = cls(path, dict(config))
        files.write_text(path / CONFIG, tomli_w.dumps(run.config))
        return run

    @staticmethod
    def check_free(path: str | Path) -> None:
        """Raise a RunError if ``path`` is in use."""
        path = Path(path)
        if path.is_file():
            raise RunError(f"{path} is a file, wanted a directory to be made for the run.")
        if (path / CONFIG).exists():
            raise RunError(f"{path} holds a run already: continue it with --resume {path}, or choose another name.")
        if path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and holds no run: choose another directory.")

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run. Raises: RunError where ``path`` is not one."""
        path = Path(path)
        if not (path / CONFIG).is_file():
            what = "does not exist" if not path.exists() else f"holds no {CONFIG}"
            raise RunError(f"{path} is not a run directory: it {what}. Runs are made by `armillary train`.")
        try:
            with open(path / CONFIG, "rb") as file:
                return cls(path, tomllib.load(file))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{path / CONFIG} cannot be read: {error}.") from error

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def check_resumable(self, config: Mapping[str, Any]) -> None:
        """Raise a RunError that lists every difference between ``config`` and the run's own settings.

        Epochs, devices, accelerator, workers and log settings may differ.
        """
        changed = {k: v for k, v in differences(self.config, config).items() if k not in RESUMABLE_CHANGES}
        if changed:
            lines = "; ".join(f"{k}: {old!r} in the run, {new!r} now" for k, (old, new) in changed.items())
            raise RunError(f"{self.path} was trained with other settings ({lines}): undo them or start a new run.")

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Replace the settings by ones that ``check_resumable`` accepts."""
        self.check_resumable(config)
        self.config = dict(config)
        files.write_text(self.path / CONFIG, tomli_w.dumps(self.config))

    def checkpoint_path(self, name: str) -> Path:
        return self.path / CHECKPOINTS / name

    def has_checkpoint(self, name: str = "last") -> bool:
        files.recover_folder(self.checkpoint_path(name))
        return (self.checkpoint_path(name) / STATE).is_file()

    def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> None:
        """Write ``checkpoints/name`` whole or not at all. Raises: SaveError; the previous one is then still there."""
        skeleton, tensors = split_tensors(checkpoint.training)
        model = {k: v.detach().cpu().contiguous().clone() for k, v in checkpoint.model.items()}
        state = {"format": FORMAT, "armillary": armillary.__version__, "training": skeleton}
        contents = {
            MODEL: safetensors.torch.save(model),
            OPTIMIZER: safetensors.torch.save(tensors),
            STATE: json.dumps(state, allow_nan=False).encode(),
        }
        files.write_folder(self.checkpoint_path(name), contents)

    def load_checkpoint(self, name: str = "last") -> Checkpoint:
        """Raises: RunError where it is missing or damaged."""
        folder = self._checkpoint_folder(name)
        try:
            state = json.loads((folder / STATE).read_text())
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                raise ValueError(f"its {STATE} is not of format {FORMAT}")
            tensors = safetensors.torch.load_file(folder / OPTIMIZER)
            return Checkpoint(self.load_weights(name), join_tensors(state["training"], tensors))
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            raise RunError(f"checkpoint {folder} cannot be read: {error}.") from error

    def load_weights(self, name: str = "best") -> dict[str, Tensor]:
        """The state dict of a checkpoint. Raises: RunError where it is missing or damaged."""
        folder = self._checkpoint_folder(name)
        try:
            return safetensors.torch.load_file(folder / MODEL)
        except (OSError, safetensors.SafetensorError) as error:
            raise RunError(f"checkpoint {folder} cannot be read: {error}.") from error

    def _checkpoint_folder(self, name: str) -> Path:
        if not self.has_checkpoint(name):
            raise RunError(f"{self.path} has no checkpoint {name!r} yet: train it first (armillary train).")
        return self.checkpoint_path(name)

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write ``metrics.csv`` anew from all finished epochs."""
        names = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        files.write_text(self.path / METRICS, text.getvalue())

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv`` (empty before the first epoch ends)."""
        path = self.path / METRICS
        if not path.exists():
            return []
        try:
            rows = csv.DictReader(io.StringIO(path.read_text()))
            return [{k: float(v) for k, v in row.items() if v} for row in rows]
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}.") from error

    def write_json(self, name: str, value: Any) -> Path:
        """Write ``NAME`` in the run directory; returns its path."""
        files.write_json(self.path / name, value)
        return self.path / name

    def read_json(self, name: str) -> Any:
        """Raises: RunError where the file is missing or no JSON."""
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name} cannot be read: {error}.") from error
