"""System 1, the DISCO spherical CNN: its paper's three claims, run again.

1. *Robust under rotation*: segmentation of handwritten digits on the sphere, trained upright, tested upright and
under random
   rotations, DISCO U-Net against a planar CNN U-Net of equal parameter count with and without rotation augmentation,
   and, which the paper does not have, against the U-Net of steerable DISCO.
2. *Equivariant*: the rotation error of each kind of layer against resolution.
3. *Scalable*: operations and memory of one layer against harmonic convolutions up to 4096×2048, counted by stated
formulas, and
   the time of our layer measured.

Source: Ocampo, Price & McEwen 2023, arXiv 2209.13603.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from armillary.data import DataConfig, FieldDataset, open_dataset
from armillary.data.config import Rotated
from armillary.models import ModelConfig, build_model
from armillary.models.config import Name
from armillary.nn import CrossEntropyLoss, SegmentationMetrics
from armillary.recipes.disco_figure import draw
from armillary.recipes.disco_layers import LayerScale, measure_cost, measure_equivariance
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.training import Trained, trained
from armillary.spaces import Equiangular, SphereGrid
from armillary.train import TrainConfig, evaluate, make_fabric, to_table

CLAIM = (
    "DISCO spherical CNNs are robust under rotation where planar ones are not, equivariant up to quadrature, linear "
    "in the number of pixels, and at 4k save 10⁹ of the computation and 10⁴ of the memory of other equivariant "
    "convolutions."
)


@dataclass(frozen=True)
class Scale:
    """How large the comparison is."""

    nlat: int
    widths: tuple[int, ...]
    samples: int
    tests: int
    epochs: int
    layers: LayerScale


SCALES = {
    "tiny": Scale(16, (4, 8), 16, 8, 1, LayerScale((8, 16), (16, 32), 3)),
    "small": Scale(32, (16, 32), 512, 512, 20, LayerScale((64, 128, 256), (64, 128, 256, 512, 1024), 16)),
    "paper": Scale(
        64, (16, 32, 64), 4096, 512, 40, LayerScale((64, 128, 256, 512), (64, 128, 256, 512, 1024, 2048), 16)
    ),
}

DISCO, STEERABLE = "DISCO U-Net", "steerable DISCO U-Net"
PLANE, AUGMENTED = "planar CNN U-Net", "planar CNN U-Net, rotations in training"
UPRIGHT, ROTATED = "mIoU of digits, upright", "mIoU of digits, rotated"


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (minutes), "paper". Trainings are run directories below ``out/runs``: a
    recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale or seeds < 1.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    result = Result(
        "disco", scale, CLAIM, "10⁹ in computation, 10⁴ in memory at 4096×2048", "arXiv 2209.13603, abstract"
    )
    grid = Equiangular(size.nlat)
    segmentation = _segmentation(size, _contestants(size, grid), grid, out / "runs", seeds, console)
    result.rows += segmentation
    result.checks += _judge_segmentation(segmentation)
    console.print("rotation error of layers …")
    layers, check = measure_equivariance(size.layers)
    result.rows += layers
    result.checks.append(check)
    console.print("cost of one layer …")
    costs, checks, notes = measure_cost(size.layers)
    result.rows += costs
    result.checks += checks
    result.notes += notes
    result.notes.append(
        f"Segmentation: digits at {size.nlat} latitudes, {size.samples} training spheres, {size.epochs} epochs, "
        f"{seeds} seeds; the other networks have the parameter count of the DISCO network within 3 %."
    )
    draw(out / "figure.png", result)
    return result.write(out)


def _judge_segmentation(rows: Sequence[Row]) -> list[Check]:
    mean = {(row.name, row.metric): row.mean for row in rows}
    loss = {name: 100 * (mean[name, UPRIGHT] - mean[name, ROTATED]) for name in (DISCO, STEERABLE, PLANE, AUGMENTED)}
    text = "points of mIoU lost from upright to rotated test data"
    return [
        Check(
            f"DISCO U-Net, {text}", "robust (figures for MNIST in its table)", f"{loss[DISCO]:.1f}", loss[DISCO] <= 3
        ),
        Check(f"planar CNN, {text}", "large", f"{loss[PLANE]:.1f}", loss[PLANE] > loss[DISCO] + 10),
        Check(
            "rotated test: DISCO above the planar CNN trained with rotations",
            "yes",
            f"{mean[DISCO, ROTATED]:.3f} against {mean[AUGMENTED, ROTATED]:.3f}",
            mean[DISCO, ROTATED] > mean[AUGMENTED, ROTATED],
        ),
        Check(f"steerable DISCO U-Net, {text}", "ours", f"{loss[STEERABLE]:.1f}", loss[STEERABLE] <= 3),
        Check(
            "rotated test: steerable DISCO above axisymmetric DISCO",
            "ours",
            f"{mean[STEERABLE, ROTATED]:.3f} against {mean[DISCO, ROTATED]:.3f}",
            mean[STEERABLE, ROTATED] > mean[DISCO, ROTATED],
        ),
    ]


def _contestants(size: Scale, grid: SphereGrid) -> dict[str, tuple[str, ModelConfig, Rotated]]:
    """By name: the start of its run directories, its configuration, what it is trained on."""
    sphere = ModelConfig(widths=size.widths)
    plane = _equal_size(sphere, "planar_unet", grid)
    return {
        DISCO: ("disco", sphere, "none"),
        STEERABLE: ("steerable", _equal_size(sphere, "steerable_disco", grid), "none"),
        PLANE: ("plane", plane, "none"),
        AUGMENTED: ("plane", plane, "so3"),
    }


def _segmentation(
    size: Scale,
    contestants: dict[str, tuple[str, ModelConfig, Rotated]],
    grid: SphereGrid,
    runs: Path,
    seeds: int,
    console: Console,
) -> list[Row]:
    rows = []
    both: tuple[Rotated, ...] = ("none", "so3")
    for name, (place, model, augment) in contestants.items():
        scores, seconds, params = [], 0.0, 0
        for seed in range(seeds):
            console.print(f"{name}, seed {seed}")
            found = _trained(model, grid, augment, size, seed, runs / f"{place}-{augment}-{seed}", console)
            seconds += found.seconds
            params = found.params
            scores.append([_score(found.network, grid, size, seed, rotated) for rotated in both])
        for metric, values in zip((UPRIGHT, ROTATED), zip(*scores, strict=True), strict=True):
            rows.append(Row.of_seeds(name, metric, values, params, seconds / seeds))
    return rows


def _data(size: Scale, seed: int) -> DataConfig:
    return DataConfig(
        source="digits",
        digits_per_sphere=3,
        digit_size=1.3,
        samples_train=size.samples,
        samples_valid=max(8, size.samples // 16),
        samples_test=size.tests,
        seed=seed,
    )


def _network(model: ModelConfig, grid: SphereGrid) -> nn.Module:
    return build_model(model, 1, 11, grid, "dense")


def _equal_size(sphere: ModelConfig, name: Name, grid: SphereGrid) -> ModelConfig:
    """The configuration of that name whose parameter count is nearest to that of ``sphere``."""
    target = sum(p.numel() for p in _network(sphere, grid).parameters())

    def scaled(factor: float) -> ModelConfig:
        return replace(sphere, name=name, widths=tuple(max(1, round(factor * w)) for w in sphere.widths))

    def gap(model: ModelConfig) -> int:
        return abs(sum(p.numel() for p in _network(model, grid).parameters()) - target)

    return min(dict.fromkeys(scaled(0.3 + 0.005 * step) for step in range(141)), key=gap)


def _trained(
    model: ModelConfig, grid: SphereGrid, augment: Rotated, size: Scale, seed: int, path: Path, console: Console
) -> Trained:
    data = replace(_data(size, seed), augment=augment)
    config = TrainConfig(
        epochs=size.epochs, batch_size=8, lr=5e-3, seed=seed, best_metric="miou_foreground", best_mode="max"
    )
    splits = open_dataset(data, grid, "train"), open_dataset(data, grid, "valid")
    metrics = SegmentationMetrics(11, grid, exclude=(0,))
    settings = {"grid": grid.to_dict(), "data": to_table(data), "model": to_table(model)}
    return trained(
        lambda: _network(model, grid), splits, CrossEntropyLoss(grid), metrics, config, settings, path, console
    )


def _score(network: nn.Module, grid: SphereGrid, size: Scale, seed: int, rotated: Rotated) -> float:
    data: FieldDataset = open_dataset(replace(_data(size, seed), rotated_test=rotated), grid, "test")
    fabric = make_fabric(TrainConfig())
    metrics = SegmentationMetrics(11, grid, exclude=(0,))
    scores = evaluate(network.to(torch.float32), data, None, metrics, fabric=fabric, batch_size=16)
    assert scores is not None
    return scores["miou_foreground"]
