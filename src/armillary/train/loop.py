"""The training loop: epochs, accumulation, several processes, checkpoints, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from armillary.train.calibrate import calibrate
from armillary.train.config import TrainConfig, learning_rate
from armillary.train.devices import make_fabric
from armillary.train.evaluate import Collate, Metrics, applied, evaluate, sum_over_processes
from armillary.train.interrupts import Interrupted, StopSignals, ignore_in_worker
from armillary.train.logs import open_tensorboard
from armillary.train.progress import Display
from armillary.train.run import Checkpoint, Run, RunError
from armillary.train.sampler import Step, keyed_seed, plan_epoch, steps_per_epoch
from armillary.train.state import random_state, seed_everything, set_random_state
from armillary.train.statistics import average_statistics

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from rich.console import Console


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient became NaN or infinite; the last checkpoint is untouched."""


@dataclass(frozen=True)
class FitResult:
    """``history``: one row for each epoch; ``best_epoch`` from 1; ``best_score``: that epoch's ``best_metric``."""

    history: list[dict[str, float]]
    best_epoch: int
    best_score: float
    stopped_early: bool


@dataclass
class _Place:
    """Where a run stands. ``epoch`` and ``step`` count what is finished; loss sums are of the open epoch."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    samples: int = 0
    best_epoch: int = 0
    best_score: float = math.nan
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model: nn.Module,
    train_set: Dataset[Any],
    valid_set: Dataset[Any] | None,
    loss: Callable[[Any, Any], Tensor],
    metrics: Metrics | None,
    config: TrainConfig,
    run: Run,
    *,
    fabric: Fabric | None = None,
    console: Console | None = None,
    collate: Collate | None = None,
) -> FitResult:
    """Train ``model`` on ``train_set``; after each epoch score it on ``valid_set`` and write a checkpoint to ``run``.

    A step descends Σ_p (n_p/n) loss(model(x_p), y_p) over the parts p of its n samples, whatever process computes them.
    Sets yield ``(x, y)``; one with ``set_epoch(e)`` is told the epoch, one with ``name(i)`` names samples in errors.
    Samples that cannot be stacked, such as molecules, are joined to a batch ``(x, y)`` by ``collate(samples)``. Where
    x is a tuple (or NamedTuple) the model is called as ``model(*x)``; the loss and the metrics get y as it is.
    A run that has a checkpoint continues from it, bit for bit on the CPU with the same number of devices. At the end
    the model holds the weights of the last epoch; the best ones are in ``run``'s checkpoint ``best``.

    ``fabric``: a launched one; made from ``config`` where absent.
    Raises: NonFiniteLoss; Interrupted after SIGINT or SIGTERM (a checkpoint was written); RunError for a checkpoint
    that does not fit the model; SaveError; ValueError for an unknown ``best_metric``, device or precision.
    """
    if fabric is None:
        fabric = make_fabric(config)
        fabric.launch()
    return _Loop(model, train_set, valid_set, loss, metrics, config, run, fabric, console, collate).run_all()


class _Loop:
    def __init__(
        self,
        model: nn.Module,
        train_set: Dataset[Any],
        valid_set: Dataset[Any] | None,
        loss: Callable[[Any, Any], Tensor],
        metrics: Metrics | None,
        config: TrainConfig,
        run: Run,
        fabric: Fabric,
        console: Console | None,
        collate: Collate | None,
    ) -> None:
        self.model, self.train_set, self.valid_set = model, train_set, valid_set
        self.loss = loss.to(fabric.device) if isinstance(loss, nn.Module) else loss
        self.metrics, self.config, self.run, self.fabric, self.collate = metrics, config, run, fabric, collate
        self.rank, self.world_size = fabric.global_rank, fabric.world_size
        self.n_samples = len(train_set)  # type: ignore[arg-type]
        self.n_steps = steps_per_epoch(self.n_samples, config.batch_size)
        self.place = _Place()
        self.display = Display(config.epochs, self.n_steps, console=console, enabled=fabric.is_global_zero)
        self.wrapped, self.optimizer = fabric.setup(model, _optimizer(model, config))

    def run_all(self) -> FitResult:
        resumed = self._restore()
        self._check_validation()
        if not resumed:
            seed_everything(keyed_seed(self.config.seed, self.rank))
            self._save("last")
        early = self._out_of_patience()
        board = open_tensorboard(self.run.path) if self.config.tensorboard and self.fabric.is_global_zero else None
        with StopSignals() as stop, self.display:
            self.stop = stop
            if resumed:
                self.display.say(f"continuing {self.run.path} at epoch {self.place.epoch + 1}, step {self.place.step}")
            while self.place.epoch < self.config.epochs and not early:
                row, better = self._epoch()
                early = self._out_of_patience()
                self.display.epoch_line(row, better)
                if board is not None:
                    board.write(row)
        if board is not None:
            board.close()
        if early:
            self.display.say(f"stopped early: no better {self.config.best_metric} for {self.place.stale} epochs")
        return FitResult(list(self.place.history), self.place.best_epoch, self.place.best_score, early)

    def _epoch(self) -> tuple[dict[str, float], bool]:
        place, start = self.place, time.monotonic()
        if hasattr(self.train_set, "set_epoch"):
            self.train_set.set_epoch(place.epoch)
        plan = self._plan()
        self.model.train()
        loader = self._parts(plan[place.step :])
        try:
            for step in plan[place.step :]:
                value, lr = self._step(step, loader)
                self.display.step(place.epoch, place.step, value, lr)
                place.step += 1
                place.loss_sum += value * len(step.samples)
                place.samples += len(step.samples)
                self._stop_if_asked()
        except RuntimeError as error:
            if self.stop.signum and "worker" in str(error):  # the signal also ended the loading processes
                self._interrupt(self.stop.signum)
            raise
        if self.config.calibrate:
            parts = self._parts(plan[: self.config.calibrate])
            with self.fabric.autocast():
                calibrate(self.model, (x for x, _ in parts))
            average_statistics(self.model, self.fabric)
        row = self._finished_row(start)
        better = self._judge(row)
        place.history.append(row)
        place.epoch, place.step, place.loss_sum, place.samples = place.epoch + 1, 0, 0.0, 0
        if better:
            self._save("best")
        self._save("last")
        if self.fabric.is_global_zero:
            self.run.write_metrics(place.history)
        return row, better

    def _step(self, step: Step, loader: Iterator[tuple[Any, Any]]) -> tuple[float, float]:
        """One optimizer step; its loss over all processes, and the learning rate."""
        place, last = self.place, len(step.parts) - 1
        lr = learning_rate(self.config, place.epoch * self.n_steps + place.step, self.config.epochs * self.n_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sums = torch.zeros(3, dtype=torch.float64)  # loss, parts that are not finite, signal
        suspects: list[int] = []
        self.optimizer.zero_grad()
        for k, part in enumerate(step.parts):
            x, y = next(loader)
            hold = self.world_size > 1 and k < last
            with self.fabric.no_backward_sync(self.wrapped, enabled=hold):
                value = self.loss(applied(self.wrapped, x), y)
                self.fabric.backward(value * (part.share * self.world_size))
            number = value.item()
            sums[0] += number * part.share
            if not math.isfinite(number):
                sums[1] += 1
                suspects += part.indices
        sums[2] = float(self.stop.signum > 0)
        sums = sum_over_processes(sums, self.fabric)
        if sums[1] > 0:
            raise self._non_finite("loss", suspects or step.samples)
        self._stop_agreed = bool(sums[2] > 0)
        limit = math.inf if self.config.clip_grad is None else self.config.clip_grad
        norm = self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        if self.config.precision != "16-mixed" and norm is not None and not torch.isfinite(norm):
            raise self._non_finite("gradient", step.samples)
        self.optimizer.step()
        average_statistics(self.model, self.fabric)
        return sums[0].item(), lr

    def _finished_row(self, start: float) -> dict[str, float]:
        place = self.place
        row = {"epoch": place.epoch + 1, "lr": float(self.optimizer.param_groups[0]["lr"])}
        row["train_loss"] = place.loss_sum / place.samples
        if self.valid_set is not None:
            self.display.validating(place.epoch)
            row.update(self._validate())
        row["seconds"] = round(time.monotonic() - start, 3)
        return row

    def _validate(self) -> dict[str, float]:
        assert self.valid_set is not None
        scores = evaluate(
            self.model,
            self.valid_set,
            self.loss,
            self.metrics,
            fabric=self.fabric,
            batch_size=max(1, self.config.batch_size // (self.config.accumulate * self.world_size)),
            workers=self.config.workers,
            collate=self.collate,
            should_stop=lambda: self.stop.signum > 0,
        )
        if scores is None:
            self._interrupt(self.stop.signum)
        return {f"valid_{name}": value for name, value in scores.items()}  # type: ignore[union-attr]

    def _check_validation(self) -> None:
        """Score a few samples, so that a wrong metric name or target shows before an epoch is spent."""
        if self.valid_set is None:
            return
        few = Subset(self.valid_set, range(min(self.world_size, len(self.valid_set))))  # type: ignore[arg-type]
        scores = evaluate(
            self.model, few, self.loss, self.metrics, fabric=self.fabric, batch_size=1, collate=self.collate
        )
        if self.config.best_metric not in scores:  # type: ignore[operator]  # nothing stops it
            known = ", ".join(scores)  # type: ignore[arg-type]
            raise ValueError(f"train: got best_metric = {self.config.best_metric!r}, wanted one of: {known}.")

    def _out_of_patience(self) -> bool:
        return self.config.early_stop is not None and self.place.stale >= self.config.early_stop

    def _judge(self, row: dict[str, float]) -> bool:
        """Whether this epoch is the best so far; keeps count for the early stop."""
        place = self.place
        score = row[f"valid_{self.config.best_metric}" if self.valid_set is not None else "train_loss"]
        sign = 1 if self.config.best_mode == "max" else -1
        better = place.best_epoch == 0 or sign * score > sign * place.best_score
        better = better or (math.isnan(place.best_score) and not math.isnan(score))
        if better:
            place.best_epoch, place.best_score, place.stale = int(row["epoch"]), score, 0
        else:
            place.stale += 1
        return better

    def _plan(self) -> list[Step]:
        return plan_epoch(
            self.n_samples,
            self.config.batch_size,
            self.config.accumulate,
            seed=self.config.seed,
            epoch=self.place.epoch,
            rank=self.rank,
            world_size=self.world_size,
        )

    def _parts(self, steps: Sequence[Step]) -> Iterator[tuple[Any, Any]]:
        """The samples of this process, part by part. A fresh loader each epoch, so that workers know the epoch."""
        indices = [list(part.indices) for step in steps for part in step.parts]
        loader: DataLoader[Any] = DataLoader(
            self.train_set,
            batch_sampler=indices,
            num_workers=self.config.workers,
            worker_init_fn=ignore_in_worker,
            collate_fn=self.collate,
            generator=torch.Generator().manual_seed(keyed_seed(self.config.seed, self.place.epoch)),
        )
        for x, y in loader:
            yield self.fabric.to_device(x), self.fabric.to_device(y)

    def _stop_if_asked(self) -> None:
        if self._stop_agreed:
            self._interrupt(self.stop.signum or 2)

    def _interrupt(self, signum: int) -> None:
        self._save("last")
        place = self.place
        raise Interrupted(
            f"stopped at epoch {place.epoch + 1}, step {place.step} of {self.n_steps}; everything up to here is saved. "
            f"Continue with: {self.run.command} --resume {self.run.path}",
            signum,
        )

    def _non_finite(self, what: str, indices: Sequence[int]) -> NonFiniteLoss:
        name = getattr(self.train_set, "name", str)
        shown = ", ".join(name(i) for i in indices[:8]) + (", ..." if len(indices) > 8 else "")
        return NonFiniteLoss(
            f"the {what} is not finite at epoch {self.place.epoch + 1}, step {self.place.step + 1}; samples: {shown}. "
            f"Look at these samples, lower train.lr, or use precision 32-true. "
            f"The last checkpoint in {self.run.path} is untouched."
        )

    def _save(self, name: str) -> None:
        own = random_state(self.fabric.device)
        generators: list[Any] = [own]
        if self.world_size > 1:
            generators = [None] * self.world_size
            torch.distributed.all_gather_object(generators, own)
        if self.fabric.is_global_zero:
            training = {
                "place": dict(vars(self.place)),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "generators": generators,
                "n_samples": self.n_samples,
            }
            self.run.save_checkpoint(name, Checkpoint(self.model.state_dict(), training))
        self.fabric.barrier()

    def _restore(self) -> bool:
        found = self.run.has_checkpoint("last") if self.fabric.is_global_zero else False
        found = self.fabric.broadcast(found)
        if not found:
            return False
        saved = self.run.load_checkpoint("last")
        training = saved.training
        if training["n_samples"] != self.n_samples:
            raise RunError(
                f"{self.run.path} was trained on {training['n_samples']} samples, the training set now has "
                f"{self.n_samples}: give it the same data, or start a new run."
            )
        load_weights(self.model, saved.model, where=str(self.run.checkpoint_path("last")))
        self.optimizer.load_state_dict(training["optimizer"])
        self.fabric.strategy.precision.load_state_dict(training["precision"])
        self.place = _Place(**training["place"])
        if self.place.history and self.fabric.is_global_zero:
            self.run.write_metrics(self.place.history)
        if self.rank < len(training["generators"]):
            set_random_state(training["generators"][self.rank], self.fabric.device)
        else:
            seed_everything(keyed_seed(self.config.seed, self.rank, self.place.epoch))
        return True


def load_weights(model: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """``model.load_state_dict``; RunError that names the first differences where the weights are another network's."""
    own = model.state_dict()
    wrong = [f"{k} is missing" for k in own if k not in weights] + [f"{k} is unknown" for k in weights if k not in own]
    wrong += [
        f"{k} is {tuple(weights[k].shape)}, the network wants {tuple(v.shape)}"
        for k, v in own.items()
        if k in weights and weights[k].shape != v.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise RunError(f"the weights in {where} are of another network: {'; '.join(wrong[:3])}{more}.")
    model.load_state_dict(weights)


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameter to train: every one has requires_grad=False, or there is none.")
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr)
