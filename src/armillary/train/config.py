"""How a network is trained: one frozen value that the command line, the TOML file and the loop share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """Everything the training loop needs to know; every field has a default and can be written as JSON or TOML.

    ``batch_size`` is the number of samples behind one optimizer step, over all processes and accumulated parts: a run
    on two devices, or with ``accumulate=4``, follows the same path as a run on one (up to rounding, and up to batch
    statistics, which are those of one part).

    Raises: ValueError where a value is out of range; the message names the field.
    """

    epochs: int = 20
    """Passes over the training set."""
    batch_size: int = 8
    """Samples per optimizer step, over all devices and accumulated parts."""
    accumulate: int = 1
    """Parts a batch is split into, one after the other, to save memory."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Update rule; sgd uses Nesterov momentum 0.9."""
    lr: float = 2e-3
    """Highest learning rate."""
    weight_decay: float = 1e-4
    """Decay of weight tensors (biases and norm gains are left alone)."""
    scheduler: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a half cosine down to lr/100, or constant."""
    warmup: float = 0.05
    """Fraction of all steps over which the learning rate rises linearly from 0."""
    clip_grad: float | None = 1.0
    """Largest gradient norm; none: no clipping."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the forward pass; mixed kinds only where the device has them."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    devices: int = 1
    """Processes, one for each device."""
    seed: int = 0
    """Seed of the initial weights, the order of samples and dropout."""
    calibrate: int = 16
    """Training batches over which batch norm statistics are averaged anew before each validation; 0: running
    averages."""
    early_stop: int | None = None
    """Stop after this many epochs without a better score; none: never."""
    best_metric: str = "loss"
    """Validation metric by which the best checkpoint is chosen."""
    best_mode: Literal["min", "max"] = "min"
    """Whether a low or a high best_metric is good."""
    workers: int = 0
    """Data-loading processes per device; 0: load in the training process."""
    tensorboard: bool = False
    """Write TensorBoard logs beside metrics.csv (extra: armillary[tensorboard])."""

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("accumulate", 1),
            ("devices", 1),
            ("workers", 0),
            ("calibrate", 0),
        ):
            self._check_integer(name, least)
        self._check_integer("seed", 0)
        if self.early_stop is not None:
            self._check_integer("early_stop", 1)
        if self.batch_size < self.accumulate * self.devices:
            raise ValueError(
                f"train: got batch_size = {self.batch_size} for {self.devices} device(s) x accumulate = "
                f"{self.accumulate}, wanted at least one sample each: raise batch_size or lower accumulate."
            )
        self._check_number("lr", self.lr, 0.0, open_low=True)
        self._check_number("weight_decay", self.weight_decay, 0.0)
        self._check_number("warmup", self.warmup, 0.0, 1.0)
        if self.clip_grad is not None:
            self._check_number("clip_grad", self.clip_grad, 0.0, open_low=True)

    def _check_integer(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"train: got {name} = {value!r}, wanted an integer >= {least}.")

    def _check_number(
        self, name: str, value: float, low: float, high: float = math.inf, open_low: bool = False
    ) -> None:
        inside = math.isfinite(value) and (low < value if open_low else low <= value) and value <= high
        if not inside:
            bound = f"> {low:g}" if open_low else f">= {low:g}"
            bound += f" and <= {high:g}" if math.isfinite(high) else ""
            raise ValueError(f"train: got {name} = {value!r}, wanted a number {bound}.")


RESUMABLE_CHANGES = frozenset(
    f"train.{name}" for name in ("epochs", "devices", "accelerator", "workers", "tensorboard")
)
"""Settings that may differ when a run is resumed; any other difference would make it another experiment."""


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """The learning rate of optimizer step ``step`` (from 0) out of ``total_steps``.

    With w = round(warmup·T): lr·(step + 1)/w while step < w; after it lr (constant), or
    lr·(ε + (1 - ε)·(1 + cos πu)/2) with u = (step - w)/(T - w) and ε = 0.01 (cosine).
    A pure function of the step: a resumed run needs no scheduler state beyond it.
    """
    warm = round(config.warmup * total_steps)
    if step < warm:
        return config.lr * (step + 1) / warm
    if config.scheduler == "constant":
        return config.lr
    u = min(1.0, (step - warm) / max(1, total_steps - warm))
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * u)))
