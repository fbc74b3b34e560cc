"""``armillary train``: from settings to a trained, scored run directory."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import torch
from cyclopts import Parameter
from rich.console import Console
from torch import nn

from armillary.cli.baseline import best_constant
from armillary.cli.grid import AUTO, settled_grid
from armillary.cli.report import finite, print_scores
from armillary.cli.session import RunPlace, run_place, score, summary
from armillary.cli.settings import Settings
from armillary.cli.trained import Trained, load_trained, network_for, save_spec
from armillary.data import DataConfig, DataError, FieldDataset, open_dataset, with_normalization
from armillary.models import ModelConfig
from armillary.nn import SegmentationMetrics
from armillary.spaces import SphereGrid
from armillary.train import FitResult, Run, TrainConfig, fit, load_weights, make_fabric, to_table
from armillary.train.image_pictures import draw_images
from armillary.train.objectives import LossConfig, Task, build_loss, build_metrics
from armillary.train.pictures import Panel, draw_curves, draw_rows, input_panel, regression_panels, segmentation_panels
from armillary.train.state import seed_everything


def train(
    *,
    grid: str = AUTO,
    task: Task | None = None,
    config: Path | None = None,
    run: Path | None = None,
    resume: Path | None = None,
    data: Annotated[DataConfig, Parameter(group="Data")] = DataConfig(),  # noqa: B008  # frozen values
    model: Annotated[ModelConfig, Parameter(group="Model")] = ModelConfig(),  # noqa: B008
    loss: Annotated[LossConfig, Parameter(group="Loss")] = LossConfig(),  # noqa: B008
    train: Annotated[TrainConfig, Parameter(group="Training")] = TrainConfig(),  # noqa: B008
) -> int:
    """Train a network; write checkpoints, scores and pictures to a run directory.

    Examples::

        armillary train --data.source digits --grid equiangular:64 --run runs/digits
        armillary train --task classification --model.widths 16 32 64 --train.epochs 5 --run runs/classes
        armillary train --config earth.toml --train.lr 1e-3 --run runs/earth
        armillary train --data.source rotated_mnist --data.path mnist.npz --model.name planar_unet --run runs/rotated
        armillary train --resume runs/earth
        armillary train --resume runs/earth --train.epochs 40

    A configuration file has the tables [data], [model], [loss], [train] and the key grid, with the names of the
    flags below. Flags go before the file, the file before the defaults.

    Parameters
    ----------
    grid
        Where the network works. On the sphere KIND:NLAT[xNLON][+poles], KIND equiangular or gauss; in the plane
        image (the size of the source's images), or image:HEIGHT[xWIDTH] (they are scaled and cropped to it). auto:
        image for sources that hold nothing else (rotated_mnist, cifar10, image_folder), otherwise equiangular:64.
    task
        Short for --data.task.
    config
        TOML or YAML file with settings.
    run
        New directory for the run (default: runs/SOURCE-TASK).
    resume
        Continue this run from its last checkpoint.
    """
    if task is not None:
        data = replace(data, task=task)
    settings = Settings(grid=settled_grid(grid, data), data=data, model=model, loss=loss, train=train)
    place = run_place(run, resume, Path("runs") / f"{data.source}-{data.task}", "armillary train")
    place.check(place.existing(), to_table(settings))
    return _Session(settings, place).train()


class _Session:
    """One ``armillary train``: opens everything first, so that mistakes show before the run directory is made."""

    def __init__(self, settings: Settings, place: RunPlace) -> None:
        self.settings, self.place = settings, place
        self.fabric = make_fabric(settings.train)
        self.grid = settings.space
        self.train_set = open_dataset(settings.data, self.grid, "train")
        self.spec = self.train_set.spec
        data = with_normalization(settings.data, self.train_set.normalization)  # measured once
        self.valid_set = open_dataset(data, self.grid, "valid")
        self.test_set: FieldDataset | None = None
        self.upright_set: FieldDataset | None = None
        self.no_test = ""
        try:
            self.test_set = open_dataset(data, self.grid, "test")
            if data.rotated_test != "none":
                self.upright_set = open_dataset(replace(data, rotated_test="none"), self.grid, "test")
        except DataError as error:
            self.no_test = str(error)
        for held in (self.train_set, self.valid_set, self.test_set):
            if held is not None:
                held.check()
        seed_everything(settings.train.seed)
        self.model = network_for(settings.model, self.spec)
        self.loss = build_loss(self.spec.task, self.grid, settings.loss, self.spec.ignore_index)
        self.metrics = build_metrics(self.spec.task, self.grid, self.spec.output_names, self.spec.ignore_index)

    def train(self) -> int:
        self.fabric.launch()
        self.console = Console(quiet=not self.fabric.is_global_zero)
        table = to_table(self.settings)
        run = self.place.open(table, self.fabric)
        if self.fabric.is_global_zero:
            save_spec(run, self.train_set, self.settings.data)
        self.fabric.barrier()
        self._announce(table)
        start = time.monotonic()
        result = fit(
            self.model,
            self.train_set,
            self.valid_set,
            self.loss,
            self.metrics,
            self.settings.train,
            run,
            fabric=self.fabric,
            console=self.console,
        )
        self._finish(run, result, time.monotonic() - start)
        return 0

    def _announce(self, table: dict[str, Any]) -> None:
        say = self.console.print
        say(tomli_w.dumps(table), markup=False, highlight=False)
        parameters = sum(p.numel() for p in self.model.parameters())
        sizes = [len(s) if s is not None else 0 for s in (self.train_set, self.valid_set, self.test_set)]
        say(f"{self.grid}; inputs {', '.join(self.spec.input_names)}; outputs {', '.join(self.spec.output_names)}")
        say(f"{parameters:,} parameters; samples: {sizes[0]} train, {sizes[1]} valid, {sizes[2]} test")
        for name, reason in {pair for s in (self.train_set, self.valid_set, self.test_set) if s for pair in s.skipped}:
            say(f"skipped {name}: {reason}", markup=False)
        if self.no_test:
            say(f"no test split: {self.no_test}", markup=False)
        say(f"run directory: {self.place.path}\n", highlight=False)

    def _finish(self, run: Run, result: FitResult, seconds: float) -> None:
        load_weights(self.model, run.load_weights("best"), where=str(run.checkpoint_path("best")))
        scores = {}
        for name, data in (("valid", self.valid_set), ("test", self.test_set), ("test_upright", self.upright_set)):
            if data is not None:
                scores[name] = self._score(self.model, data)
        held_out = "valid" if self.test_set is None else "test"
        scores[f"{held_out}_constant"] = self._score(best_constant(self.train_set), self.test_set or self.valid_set)
        if not self.fabric.is_global_zero:
            return
        run.write_json("result.json", finite(self._result(result, scores, seconds)))
        curves = draw_curves(run.path / "curves.png", result.history, self.settings.train.best_metric)
        samples = draw_samples(run.path / "samples.png", load_trained(run), self.test_set or self.valid_set)
        title = f"best epoch: {result.best_epoch} of {len(result.history)}"
        if self.spec.task == "regression" and (self.settings.data.log_target or self.settings.data.standardize_target):
            title += "; targets as the network sees them" + (", log(1 + x)" if self.settings.data.log_target else "")
        print_scores(self.console, scores, title)
        self.console.print(f"wrote {run.path / 'result.json'}, {curves}, {samples}", highlight=False)

    def _score(self, model: nn.Module, data: FieldDataset) -> dict[str, float]:
        scores = score(self.fabric, self.settings.train, model, data, self.loss, self.metrics)
        if isinstance(self.metrics, SegmentationMetrics):
            for name, value in zip(self.spec.output_names, self.metrics.iou().tolist(), strict=True):
                scores[f"iou/{name}"] = value
        return scores

    def _result(self, result: FitResult, scores: dict[str, Any], seconds: float) -> dict[str, Any]:
        return {
            "task": self.spec.task,
            "grid": self.grid.to_dict(),
            "samples": {"train": len(self.train_set), "valid": len(self.valid_set), "test": len(self.test_set or ())},
            **summary(self.model, result, seconds, self.fabric),
            **scores,
        }


def draw_samples(path: Path, trained: Trained, data: FieldDataset, n: int = 4) -> Path:
    """Input, target and prediction of the first samples of ``data``; of images three times as many."""
    count = min(n if isinstance(trained.grid, SphereGrid) else 3 * n, len(data))
    pairs = [data[i] for i in range(count)]
    outputs = trained.predict(torch.stack([x for x, _ in pairs]))
    if trained.spec.task == "regression":
        outputs = data.denormalize(outputs)
        pairs = [(x, data.denormalize(y)) for x, y in pairs]
    rows = [panels(trained, x, y, out) for (x, y), out in zip(pairs, outputs, strict=True)]
    names = [data.name(i) for i in range(count)]
    if not isinstance(trained.grid, SphereGrid):
        return draw_images(path, [row[0] for row in rows], names=names)
    classes = trained.spec.output_names if trained.spec.task == "segmentation" else ()
    return draw_rows(path, trained.grid, rows, names=names, classes=classes)


def panels(trained: Trained, x: torch.Tensor, y: torch.Tensor | None, output: torch.Tensor) -> list[Panel]:
    """The pictures of one sample for the network's task; ``output`` raw scores, or a field in its own units."""
    spec = trained.spec
    if spec.task == "regression":
        return regression_panels(x, y, output, spec.input_names, spec.output_names)
    if spec.task == "segmentation":
        return segmentation_panels(x, y, output.argmax(0), spec.input_names, spec.output_names)
    shown = input_panel(x, spec.input_names)
    title = f"predicted {spec.output_names[int(output.argmax())]}"
    title += f", is {spec.output_names[int(y)]}" if y is not None else ""
    return [replace(shown, title=title)]
