"""System 10, kernels and nonlinearities on homogeneous spaces: what fields of spin and of SO(3) are worth, measured.

1. *Vector fields*: the wind at 200 hPa from wind and geopotential at 500 and 850 hPa, trained on half of the globe
   (every other sector of longitude), tested on the rest, as it is and turned exactly. A network of fields of spin
   against networks of the same layers and parameter count that take u and v for scalars, one of them trained on turned
   fields.
2. *Point clouds*: classes of the Princeton Shape Benchmark, tested as stored and turned at random. A network of
   features of SO(3), trained as stored, against a network of coordinates, trained as stored or turned.

Source: Xu, Lei, Dobriban & Daniilidis 2022, arXiv 2206.08362. The paper has other data; both tasks are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.utils.data import ConcatDataset, Dataset

from armillary.data.clouds import DrawnClouds
from armillary.groups import Orders, random_rotation
from armillary.models import PlainPointClassifier, SpinNet, SteerablePointClassifier
from armillary.nn import ClassificationMetrics
from armillary.recipes import homogeneous_points as points
from armillary.recipes import homogeneous_wind as wind
from armillary.recipes.files import required_file
from armillary.recipes.homogeneous_figure import draw
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.training import error_rate, trained
from armillary.spaces import GaussLegendre
from armillary.train import TrainConfig, to_table

CLAIM = (
    "Feature fields of any type on a homogeneous space, with kernels from the Fourier description and nonlinearities "
    "by lift and projection, treat vector fields and turned point clouds as what they are."
)
SPIN, SCALAR, TURNED = "fields of spin", "u and v as scalars", "u and v as scalars, trained turned"
LINEAR = "wind at 500 hPa, scaled"
STEERABLE, PLAIN, PLAIN_TURNED = "features of SO(3)", "coordinates", "coordinates, trained turned"
AS_IS, ROTATED = "wind error, m/s", "wind error, fields turned, m/s"
ACCURACY, ROTATED_ACCURACY, CHANGED = "accuracy, %", "accuracy, clouds turned, %", "classes that a turn changes, %"


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: rings, width and steps (``copies`` in each epoch) for the winds, rotations to test
    under; classes, points and channels for the clouds, and passes over the parts of each."""

    nlat: int
    width: int
    copies: int
    epochs: int
    rotations: int
    classes: int
    stored: int
    points: int
    channels: int
    passes: int
    plain_passes: int


SCALES = {
    "tiny": Scale(12, 1, 2, 1, 2, 2, 64, 32, 1, 1, 1),
    "small": Scale(40, 6, 60, 5, 8, 8, 1024, 128, 12, 3, 9),
    "paper": Scale(96, 12, 100, 20, 20, 8, 1024, 256, 24, 12, 48),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run both tasks and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    Reads ``reanalysis_uvz.npz`` and ``psb_pointclouds.npz`` in the folder that ``$ARMILLARY_DATA`` names. ``scale``:
    "tiny" (seconds), "small" (a quarter of an hour), "paper". Trainings are run directories below ``out/runs``: a
    recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale, seeds < 1, or files that are not there.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    for name in (wind.FILE, points.FILE):
        required_file(name)
    result = Result("homogeneous", scale, CLAIM, "no figure for these tasks", "arXiv 2206.08362")
    result.rows += winds(size, out / "runs", seeds, console)
    result.rows += clouds(size, out / "runs", seeds, console)
    result.checks += judge(result.rows)
    result.notes += [
        f"Winds: ERA-Interim, the mean of one January, degrees ≤ {_lmax(size)}; {wind.SECTORS} sectors of longitude, "
        f"every other one for training, 5° left out at their borders; {size.copies * size.epochs} steps, {seeds} "
        f"seeds, {size.rotations} random rotations, the same for all.",
        "The atmosphere is not SO(3)-symmetric: a network of u and v knows where the pole is, one of spins does not.",
        f"Clouds: {size.points} points, the {size.classes} most frequent classes of the Princeton Shape Benchmark; "
        f"{size.passes} passes over all parts of the clouds, {size.plain_passes} for the networks of coordinates.",
        "There is no validation split: sizes, steps and passes were chosen with one seed, by the errors in these test "
        "sectors and the accuracies on these test clouds.",
    ]
    draw(out / "figure.png", result)
    return result.write(out)


def _lmax(size: Scale) -> int:
    return 2 * (size.nlat - 1) // 3


def winds(size: Scale, runs: Path, seeds: int, console: Console) -> list[Row]:
    """Errors of the wind at 200 hPa in the test sectors, as it is and turned."""
    grid = GaussLegendre(size.nlat)
    data, generator = wind.read_winds(grid, _lmax(size)), torch.Generator().manual_seed(0)
    rotations = [random_rotation(generator) for _ in range(size.rotations)]
    one = torch.eye(3, dtype=torch.float64)

    def spins() -> nn.Module:
        return SpinNet(wind.SPINS_IN, wind.SPINS_OUT, grid, Orders.of({0: size.width, 1: size.width}), profiles=6)

    def components() -> nn.Module:
        return SpinNet(wind.SCALARS_IN, wind.SCALARS_OUT, grid, Orders.image(4 * size.width), profiles=6)

    rows = [Row(LINEAR, AS_IS, wind.scaled_wind_error(data))]
    contestants = [
        (SPIN, spins, False, "spin"),
        (SCALAR, components, False, "scalar"),
        (TURNED, components, True, "turned"),
    ]
    for name, build, turned, folder in contestants:
        scalars = build is components
        found: dict[str, list[float]] = {AS_IS: [], ROTATED: []}
        seconds, params = 0.0, 0
        for seed in range(seeds):
            console.print(f"{name}, seed {seed}")
            draws = torch.Generator().manual_seed(seed + 1)
            given = [random_rotation(draws) for _ in range(size.copies)] if turned else [one]
            maps: Dataset[Any] = wind.dataset(data, given, scalars)
            maps = maps if turned else ConcatDataset([maps] * size.copies)
            config = TrainConfig(epochs=size.epochs, batch_size=1, lr=5e-3, weight_decay=1e-2, seed=seed)
            settings, path, loss = {"scale": to_table(size)}, runs / f"{folder}-{seed}", wind.WeightedSquares()
            outcome = trained(build, (maps, None), loss, None, config, settings, path, console)
            seconds, params = seconds + outcome.seconds / seeds, outcome.params
            errors = [wind.prediction_error(outcome.network, data, R, scalars)[0] for R in (one, *rotations)]
            found[AS_IS].append(errors[0])
            found[ROTATED].append(sum(errors[1:]) / len(rotations))
        rows += [Row.of_seeds(name, metric, values, params, seconds) for metric, values in found.items()]
    return rows


def clouds(size: Scale, runs: Path, seeds: int, console: Console) -> list[Row]:
    """Accuracy on test clouds, as stored and turned."""
    train, test = points.read_clouds(size.classes, size.stored)
    as_stored, turned_test = (points.judged_clouds(test, size.points, flag) for flag in (False, True))
    neighbours = min(16, size.points // 4)

    def steerable() -> nn.Module:
        return SteerablePointClassifier(size.classes, size.channels, neighbours=neighbours)

    def plain() -> nn.Module:
        return PlainPointClassifier(size.classes)

    contestants: list[tuple[str, Callable[[], nn.Module], bool, int, float, str]] = [
        (STEERABLE, steerable, False, size.passes, 5e-3, "steerable"),
        (PLAIN, plain, False, size.plain_passes, 3e-3, "plain"),
        (PLAIN_TURNED, plain, True, size.plain_passes, 3e-3, "plain-turned"),
    ]
    rows = []
    for name, build, turned, passes, lr, folder in contestants:
        found: dict[str, list[float]] = {ACCURACY: [], ROTATED_ACCURACY: [], CHANGED: []}
        seconds, params = 0.0, 0
        for seed in range(seeds):
            console.print(f"{name}, seed {seed}")
            drawn = DrawnClouds(train, size.points, "so3" if turned else "none", seed)
            config = TrainConfig(epochs=passes, batch_size=16, lr=lr, weight_decay=1e-2, seed=seed)
            metrics = ClassificationMetrics(size.classes)
            settings, path = {"scale": to_table(size)}, runs / f"{folder}-{seed}"
            outcome = trained(build, (drawn, None), nn.CrossEntropyLoss(), metrics, config, settings, path, console)
            seconds, params = seconds + outcome.seconds / seeds, outcome.params
            network = outcome.network
            found[ACCURACY].append(100 - error_rate(network, as_stored, size.classes))
            found[ROTATED_ACCURACY].append(100 - error_rate(network, turned_test, size.classes))
            found[CHANGED].append(points.changed_classes(network, as_stored, turned_test))
        rows += [Row.of_seeds(name, metric, values, params, seconds) for metric, values in found.items()]
    return rows


def judge(rows: list[Row]) -> list[Check]:
    """The parts of the claim, from the rows; the spread is the standard deviation over seeds."""
    row = {(r.name, r.metric): r for r in rows}

    def pair(name: str, metric: str, turned: str) -> tuple[float, float, float, str]:
        before, after = row[name, metric], row[name, turned]
        spread = max(before.std or 0.0, after.std or 0.0)
        return before.mean, after.mean, spread, f"{before.mean:.3g} and {after.mean:.3g}, spread {spread:.2g}"

    own, own_turned, own_spread, text = pair(SPIN, AS_IS, ROTATED)
    scalar, scalar_turned, scalar_spread, scalar_text = pair(SCALAR, AS_IS, ROTATED)
    augmented = row[TURNED, ROTATED].mean
    stored, stored_turned, cloud_spread, cloud_text = pair(STEERABLE, ACCURACY, ROTATED_ACCURACY)
    rival = max((row[name, ROTATED_ACCURACY] for name in (PLAIN, PLAIN_TURNED)), key=lambda r: r.mean)
    rival_spread = max(cloud_spread, rival.std or 0.0)
    return [
        Check(
            "winds: error of the spin network, as is and turned, equal within spread",
            "yes",
            text,
            abs(own_turned - own) <= own_spread,
        ),
        Check(
            "winds: that of the scalar network is not", "yes", scalar_text, abs(scalar_turned - scalar) > scalar_spread
        ),
        Check(
            "winds turned: spin network below the scalar one trained turned",
            "yes",
            f"{own_turned:.3g} against {augmented:.3g} m/s",
            own_turned < augmented,
        ),
        Check(
            "clouds: accuracy of features of SO(3), as stored and turned, equal within spread",
            "yes",
            cloud_text,
            abs(stored_turned - stored) <= cloud_spread,
        ),
        Check(
            "clouds turned: above both networks of coordinates, by more than the spread",
            "yes",
            f"{stored_turned:.1f} against {rival.mean:.1f} %, spread {rival_spread:.2g}",
            stored_turned - rival.mean > rival_spread,
        ),
    ]
