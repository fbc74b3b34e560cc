"""System 3, equivariance versus augmentation for spherical images: the paper's comparison, run again.

Digits on the sphere, segmented and classified. Equivariant networks are trained on upright spheres only; planar CNNs of
growing size on upright ones, on as many turned once, and on ones turned anew in every epoch. Trainings take about the
same time, and all networks are tested upright and under random rotations. DISCO, axisymmetric and steerable, which the
paper did not have, stands beside.

Source: Gerken, Carlsson, Linander, Ohlsson, Petersson & Persson 2022, arXiv 2202.03990.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from armillary.data import DataConfig, open_dataset
from armillary.data.config import Rotated
from armillary.models import ModelConfig, build_model
from armillary.nn import ClassificationMetrics, CrossEntropyLoss, SegmentationMetrics
from armillary.recipes.files import data_file
from armillary.recipes.planar_data import FRACTIONS, MNIST
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.s2cnn_cost import BATCH, latency
from armillary.recipes.s2cnn_figure import draw
from armillary.recipes.training import trained
from armillary.spaces import Equiangular, SphereGrid
from armillary.train import TrainConfig, evaluate, make_fabric, to_table

CLAIM = (
    "In segmentation the equivariant network is above every CNN trained with rotations, of far more parameters; in "
    "classification large CNNs with much augmentation catch up."
)
UPRIGHT, ROTATED = "upright", "rotated"


@dataclass(frozen=True)
class Task:
    """A task of the comparison: its data, the kind of network it wants, and what is scored."""

    name: str
    kind: str
    metric: str
    score: str
    outputs: int
    digit_size: float
    digits: int


SEGMENTATION = Task("segmentation", "dense", "mIoU of digits", "miou_foreground", 11, 2.0, 2)
CLASSIFICATION = Task("classification", "global", "accuracy", "accuracy", 10, 2.0, 1)


@dataclass(frozen=True)
class Network:
    """A contestant: its configuration for segmentation and for classification, its learning rate, and how many times
    the epochs of the S2CNN it takes, so that their trainings take about as long."""

    dense: ModelConfig
    glob: ModelConfig
    lr: float = 2e-3
    passes: int = 1

    def config(self, task: Task) -> ModelConfig:
        return self.dense if task.kind == "dense" else self.glob


@dataclass(frozen=True)
class Training:
    """What a network is trained on: the share of the spheres that it gets, and how they are turned."""

    name: str
    share: float = 1.0
    once: Rotated = "none"
    anew: Rotated = "none"


UPRIGHT_DATA = Training("upright")
FEW = Training("a quarter of the spheres, upright", 0.25)
ONCE = Training("each turned once", once="so3")
ANEW = Training("turned anew in every epoch", anew="so3")


@dataclass(frozen=True)
class Scale:
    """How large the comparison is. ``growth``: the CNNs, by size in parameters of the S2CNN and by passes; ``longer``:
    those that classify turned spheres after longer trainings than all others, the same way."""

    grid: tuple[int, int]
    equivariant: dict[str, Network]
    growth: tuple[tuple[int, int], ...]
    longer: tuple[tuple[int, int], ...]
    samples: int
    tests: int
    epochs: int


def _equivariant(
    features: tuple[int, ...], limits: tuple[int, ...], disco: tuple[int, ...], steerable: tuple[int, ...]
) -> dict[str, Network]:
    """The equivariant networks by name; the first is the one whose parameters are counted by."""
    half = (len(features) + 1) // 2
    return {
        "S2CNN": Network(
            ModelConfig("s2cnn", features, limits), ModelConfig("s2cnn", features[:half], limits[:half]), lr=3e-3
        ),
        "DISCO": Network(ModelConfig("disco_unet", disco), ModelConfig("disco_unet", disco), lr=5e-3),
        "steerable DISCO": Network(
            ModelConfig("steerable_disco", steerable), ModelConfig("steerable_disco", steerable), lr=5e-3
        ),
    }


SCALES = {
    "tiny": Scale((8, 16), _equivariant((2, 3, 2), (8, 4, 8), (4,), (2,)), ((1, 2),), ((1, 3),), 16, 8, 1),
    "small": Scale(
        (32, 32),
        _equivariant((5, 6, 7, 6, 5), (14, 10, 7, 10, 14), (23, 46), (8, 17)),
        ((1, 4), (4, 2), (12, 1)),
        ((4, 4), (4, 8)),
        512,
        200,
        8,
    ),
    "paper": Scale(
        (100, 100),
        _equivariant((11, 12, 13, 14, 13, 12, 11), (42, 35, 27, 20, 27, 35, 42), (16, 32, 64), (8, 16, 32)),
        ((1, 4), (5, 2), (27, 1)),
        ((5, 8),),
        60_000,
        5_000,
        20,
    ),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (minutes), "paper". Trainings are run directories below ``out/runs``: a
    recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale or seeds < 1.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    paper = "S2CNN with 204 000 parameters above CNNs with up to 5.5 million"
    result = Result("s2cnn", scale, CLAIM, paper, "arXiv 2202.03990, abstract")
    grid = Equiangular(*size.grid)
    for task in (SEGMENTATION, CLASSIFICATION):
        rows = _compare(task, size, grid, out / "runs", seeds, console)
        result.rows += rows
        result.checks += judge_segmentation(rows, size) if task is SEGMENTATION else judge_classification(rows, size)
    source = "MNIST" if data_file(MNIST) else "scikit-learn's digits"
    others = [f"{name} {network.passes}" for name, network in list(size.equivariant.items())[1:]]
    result.notes += [
        f"{source} on {grid}, {size.samples} training spheres, {size.epochs} epochs of the S2CNN, {size.tests} test "
        f"spheres, {seeds} seeds; {SEGMENTATION.digits} digits to a sphere in segmentation.",
        "CNNs are U-Nets and classifiers of three levels, of the least width that gives them at least "
        f"{', '.join(f'{g} ×' for g, _ in size.growth)} the parameters of the S2CNN.",
        f"Epochs, in those of the S2CNN: {', '.join(others)}, CNNs "
        f"{', '.join(str(passes) for _, passes in size.growth)}, so that trainings take about the same time; CNNs of "
        f"{' and '.join(str(passes) for _, passes in size.longer)} passes classify after longer ones.",
        f"Latency: one sphere in evaluation; training: one step of {BATCH} spheres, divided by their number; "
        f"threads: {torch.get_num_threads()}. Seconds are those of one training by the clock.",
    ]
    draw(out / "figure.png", result, list(size.equivariant))
    return result.write(out)


def contestants(task: Task, size: Scale, grid: SphereGrid) -> dict[str, tuple[Network, tuple[Training, ...]]]:
    """All networks of a task by name, and what each is trained on."""
    found: dict[str, tuple[Network, tuple[Training, ...]]] = {}
    for name, network in size.equivariant.items():
        found[name] = (network, (UPRIGHT_DATA, FEW) if not found else (UPRIGHT_DATA,))
    first = next(iter(size.equivariant.values())).config(task)
    params = _parameters(build_model(first, 1, task.outputs, grid, task.kind))  # type: ignore[arg-type]
    for growth, passes in size.growth:
        plane = _planar(growth * params, task, grid)
        found[f"CNN, {growth} ×"] = (Network(plane, plane, passes=passes), (UPRIGHT_DATA, ONCE, ANEW))
    for growth, passes in size.longer if task is CLASSIFICATION else ():
        plane = _planar(growth * params, task, grid)
        found[f"CNN, {growth} ×, {passes} passes"] = (Network(plane, plane, passes=passes), (ANEW,))
    return found


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _planar(least: int, task: Task, grid: SphereGrid) -> ModelConfig:
    """The smallest planar network of three levels with at least so many parameters."""
    width = 1
    while True:
        config = ModelConfig("planar_unet", (width, 2 * width, 4 * width))
        with torch.device("meta"):
            network = build_model(config, 1, task.outputs, grid, task.kind)  # type: ignore[arg-type]
        if _parameters(network) >= least:
            return config
        width += 1


def _compare(task: Task, size: Scale, grid: SphereGrid, runs: Path, seeds: int, console: Console) -> list[Row]:
    rows = []
    for name, (network, trainings) in contestants(task, size, grid).items():
        params = 0
        for training in trainings:
            scores, seconds = [], 0.0
            for seed in range(seeds):
                console.print(f"{task.name}: {name}, {training.name}, seed {seed}")
                folder = f"{task.name}-{name}-{training.name}-{seed}".replace(",", "").replace(" ", "_")
                model, took = _trained(task, network, training, size, grid, seed, runs / folder, console)
                params, seconds = _parameters(model), seconds + took / seeds
                scores.append([_score(model, task, size, grid, seed, turned) for turned in ("none", "so3")])
            for turned, values in zip((UPRIGHT, ROTATED), zip(*scores, strict=True), strict=True):
                rows.append(Row.of_seeds(f"{name}, {training.name}", _metric(task, turned), values, params, seconds))
        model = build_model(network.config(task), 1, task.outputs, grid, task.kind)  # type: ignore[arg-type]
        for what, milliseconds in latency(model, grid).items():
            rows.append(Row(name, f"{task.name}: {what}, ms per sphere", milliseconds, params=params))
    return rows


def _metric(task: Task, turned: str) -> str:
    return f"{task.name}: {task.metric}, {turned}"


def _data(task: Task, size: Scale, seed: int) -> DataConfig:
    path = data_file(MNIST)
    return DataConfig(
        source="mnist" if path else "digits",
        path=str(path or ""),
        task=task.name,  # type: ignore[arg-type]
        fractions=FRACTIONS if path else (0.7, 0.15, 0.15),
        digits_per_sphere=task.digits,
        digit_size=task.digit_size,
        samples_test=size.tests,
        seed=seed,
    )


def _trained(
    task: Task,
    network: Network,
    training: Training,
    size: Scale,
    grid: SphereGrid,
    seed: int,
    path: Path,
    console: Console,
) -> tuple[nn.Module, float]:
    samples = max(1, round(training.share * size.samples))
    config = TrainConfig(
        epochs=round(size.epochs * network.passes / training.share), batch_size=8, lr=network.lr, seed=seed
    )
    data = replace(_data(task, size, seed), samples_train=samples, rotated_train=training.once, augment=training.anew)
    model = network.config(task)
    loss = CrossEntropyLoss(grid) if task.kind == "dense" else nn.CrossEntropyLoss()
    settings = {"grid": grid.to_dict(), "data": {**to_table(data), "path": ""}, "model": to_table(model)}
    found = trained(
        lambda: build_model(model, 1, task.outputs, grid, task.kind),  # type: ignore[arg-type]
        (open_dataset(data, grid, "train"), None),
        loss,
        None,
        config,
        settings,
        path,
        console,
    )
    return found.network, found.seconds


def _score(network: nn.Module, task: Task, size: Scale, grid: SphereGrid, seed: int, turned: str) -> float:
    data = open_dataset(replace(_data(task, size, seed), rotated_test=turned), grid, "test")  # type: ignore[arg-type]
    metrics = SegmentationMetrics(11, grid, exclude=(0,)) if task.kind == "dense" else ClassificationMetrics(10)
    scores = evaluate(network, data, None, metrics, fabric=make_fabric(TrainConfig()), batch_size=20)
    assert scores is not None
    return scores[task.score]


def _on_rotated(rows: Sequence[Row], task: Task, equivariant: bool, size: Scale) -> list[Row]:
    return [
        row
        for row in rows
        if row.metric == _metric(task, ROTATED) and (row.name.split(", ")[0] in size.equivariant) == equivariant
    ]


def judge_segmentation(rows: Sequence[Row], size: Scale) -> list[Check]:
    """Each equivariant network, trained upright, against the best CNN of at least as many parameters."""
    checks = []
    for own in _on_rotated(rows, SEGMENTATION, True, size):
        if not own.name.endswith(f", {UPRIGHT_DATA.name}") or own.name.endswith(FEW.name):
            continue
        rivals = [row for row in _on_rotated(rows, SEGMENTATION, False, size) if (row.params or 0) >= (own.params or 0)]
        best = max(rivals, key=lambda row: row.mean)
        checks.append(
            Check(
                f"segmentation of rotated spheres: {own.name} ({own.params} parameters), above every CNN of at least "
                f"as many",
                "yes",
                f"{own.mean:.3f} against {best.mean:.3f} ({best.name}, {best.params})",
                own.mean > best.mean,
            )
        )
    return checks


def judge_classification(rows: Sequence[Row], size: Scale) -> list[Check]:
    """Whether a CNN reaches the S2CNN, trained upright, and the smallest and least augmented that does."""
    own = _on_rotated(rows, CLASSIFICATION, True, size)[0]
    rivals = _on_rotated(rows, CLASSIFICATION, False, size)
    above = [row for row in rivals if row.mean >= own.mean]
    best = max(rivals, key=lambda row: row.mean)
    if above:
        first = min(above, key=lambda row: row.params or 0)
        text = f"{first.name} ({first.params} parameters): {first.mean:.3f} against {own.mean:.3f}"
    else:
        text = f"none; the best, {best.name} ({best.params} parameters): {best.mean:.3f} against {own.mean:.3f}"
    return [
        Check(
            f"classification of rotated spheres: CNNs reach the S2CNN ({own.params} parameters); the first that does",
            "large ones with much augmentation",
            text,
            bool(above),
        )
    ]
