"""System 13, steerable kernels as convolutions of SE(3): two forms of one map, and what it does to turned clouds.

1. *Equivalence*: a tensor field network's convolution against a quadrature of the group's, random kernels and signals,
   float64; kernels to the other form and back; the error of nonlinearities under rotations against their samples.
2. *Classification* of the Princeton Shape Benchmark under three protocols, clouds as stored, turned about z and turned
   at will, in training and test. The same network of signals with ReLUs of norms and with networks of values sampled on
   SO(3), against a network of coordinates.

Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903. Its data are others, so that figures do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

from armillary.data.clouds import Clouds, DrawnClouds, Turns, turned
from armillary.groups import SO3Signals
from armillary.models import PlainPointClassifier, SE3Classifier
from armillary.models.se3 import norm_relu, sampled_mlp
from armillary.nn import ClassificationMetrics
from armillary.recipes import se3_equivalence as equivalence
from armillary.recipes.files import required_file
from armillary.recipes.homogeneous_points import FILE, read_clouds
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.se3_figure import draw
from armillary.recipes.training import Trained, error_rate, trained
from armillary.train import TrainConfig, to_table

CLAIM = (
    "A convolution of SE(3) is a tensor field network's, by an invertible map of kernels; networks of it, with a "
    "nonlinearity on samples of SO(3), classify turned clouds as well as upright ones, where coordinates fail."
)
SAMPLED, NORMS, PLAIN = "signals, MLP on samples of SO(3)", "signals, ReLU of norms", "coordinates (PointNet)"
FORMS, TRIP, ERROR = "difference of the two forms", "kernel there and back", "error under rotations"
TESTS: dict[Turns, tuple[Turns, ...]] = {"none": ("none", "so3"), "z": ("z", "so3"), "so3": ("so3",)}
"""How clouds are turned in the tests of a training, by how they were turned in training."""


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: classes, points stored and points of a cloud, channels of the networks of signals,
    neighbours, and passes over all parts of the clouds, of these networks and of the one of coordinates."""

    classes: int
    stored: int
    points: int
    channels: int
    neighbours: int
    passes: int
    plain_passes: int


SCALES = {
    "tiny": Scale(2, 64, 32, 2, 6, 1, 1),
    "small": Scale(8, 512, 256, 12, 16, 6, 40),
    "paper": Scale(8, 1024, 512, 24, 24, 30, 200),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run both parts and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    Reads ``psb_pointclouds.npz`` in the folder that ``$ARMILLARY_DATA`` names. ``scale``: "tiny" (seconds), "small"
    (twenty minutes on one core), "paper" (hours). Trainings are run directories below ``out/runs``: a recipe that was
    stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale, seeds < 1, or a file that is not there.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    required_file(FILE)
    result = Result("se3", scale, CLAIM, "no figure for these data", "arXiv 2211.15903")
    result.rows += forms()
    result.rows += clouds(size, out / "runs", seeds, console)
    result.checks += judge(result.rows)
    result.notes += [
        "Difference, kernels there and back: the largest entry, relative to the largest of what it should be.",
        "Error under rotations: of the nonlinearity on standard normal signals of degree <= 1, float64.",
        f"Accuracy a/b, %: clouds turned by a in training and by b in the test; {size.points} points, the "
        f"{size.classes} most frequent classes of the Princeton Shape Benchmark; {size.passes} passes over "
        f"{size.stored // size.points} parts of each cloud, {size.plain_passes} for the network of coordinates.",
        "Sizes and passes were chosen with one seed, by the accuracy on a fifth of the training shapes, trained on the "
        "others; the trainings here are on all of them.",
    ]
    draw(out / "figure.png", result)
    return result.write(out)


def forms() -> list[Row]:
    """Equality of the two forms, and the errors of nonlinearities by samples."""
    rows = []
    for band, J in ((1, 2), (2, 2)):
        rows.append(
            Row(f"signals of degree {band}, filters of degree {J}", FORMS, equivalence.form_difference(band, J))
        )
        rows.append(Row(f"signals of degree {band}, filters of degree {J}", TRIP, equivalence.round_trip(band, J)))
    rows.append(Row("ReLU of norms", ERROR, equivalence.nonlinearity_error(SO3Signals(8, 1), None)))
    for samples, error in equivalence.errors_by_samples(1, 6):
        rows.append(Row(f"MLP, {samples} samples", ERROR, error))
    return rows


def network(name: str, size: Scale) -> nn.Module:
    """A new network of a contestant. Raises: KeyError for another name."""
    if name == PLAIN:
        return PlainPointClassifier(size.classes)
    acts = {SAMPLED: sampled_mlp, NORMS: norm_relu}[name]
    return SE3Classifier(size.classes, size.channels, neighbours=size.neighbours, nonlinearity=acts)


def train_one(name: str, turns: Turns, seed: int, size: Scale, data: Clouds, runs: Path, console: Console) -> Trained:
    """The training of one contestant by one protocol and seed, in a run directory of its own below ``runs``; what was
    finished is not run again."""
    plain = name == PLAIN
    passes, lr = (size.plain_passes, 3e-3) if plain else (size.passes, 5e-3)
    config = TrainConfig(epochs=passes, batch_size=16, lr=lr, weight_decay=1e-2, warmup=0.1, seed=seed)
    drawn = DrawnClouds(data, size.points, turns, seed)
    path = runs / f"{ {SAMPLED: 'sampled', NORMS: 'norms', PLAIN: 'plain'}[name] }-{turns}-{seed}"
    settings, metrics = {"scale": to_table(size)}, ClassificationMetrics(size.classes)
    console.print(f"{name}, trained {turns}, seed {seed}")
    return trained(
        lambda: network(name, size), (drawn, None), nn.CrossEntropyLoss(), metrics, config, settings, path, console
    )


def clouds(size: Scale, runs: Path, seeds: int, console: Console) -> list[Row]:
    """Accuracies on the test clouds by contestant, by the turns in training and by those in the test."""
    data, test = read_clouds(size.classes, size.stored)
    judged: dict[Turns, TensorDataset] = {}
    for turns in TESTS:
        moved = turned(test, turns)
        judged[turns] = TensorDataset(moved.points[:, : size.points], moved.labels)
    rows = []
    for name in (SAMPLED, NORMS, PLAIN):
        for turns, tests in TESTS.items():
            found: dict[Turns, list[float]] = {other: [] for other in tests}
            seconds, params = 0.0, 0
            for seed in range(seeds):
                outcome = train_one(name, turns, seed, size, data, runs, console)
                seconds, params = seconds + outcome.seconds / seeds, outcome.params
                for other in tests:
                    found[other].append(100 - error_rate(outcome.network, judged[other], size.classes))
            rows += [Row.of_seeds(name, metric(turns, other), v, params, seconds) for other, v in found.items()]
    return rows


def metric(turns: Turns, tests: Turns) -> str:
    """The metric of a row of accuracies."""
    return f"accuracy {turns}/{tests}, %"


def judge(rows: list[Row]) -> list[Check]:
    """The parts of the claim, from the rows; the spread of a difference is √(s² + s'²), s those over seeds."""
    row = {(r.name, r.metric): r for r in rows}

    def compared(name: str, other: str, one: tuple[Turns, Turns], two: tuple[Turns, Turns]) -> tuple[float, float, str]:
        a, b = row[name, metric(*one)], row[other, metric(*two)]
        spread = ((a.std or 0.0) ** 2 + (b.std or 0.0) ** 2) ** 0.5
        return a.mean - b.mean, spread, f"{a.mean:.1f} and {b.mean:.1f} %, spread {spread:.1f}"

    largest = {which: max(r.mean for r in rows if r.metric == which) for which in (FORMS, TRIP)}
    checks = [
        Check(text, "exact", f"{largest[which]:.1e}", largest[which] < 1e-12)
        for which, text in (
            (FORMS, "the tensor field form is the group form by quadrature, float64"),
            (TRIP, "the map of kernels is inverted to rounding, both ways"),
        )
    ]
    for name in (SAMPLED, NORMS):
        difference, spread, text = compared(name, name, ("z", "so3"), ("so3", "so3"))
        checks.append(
            Check(f"{name}: accuracy z/SO(3) equals SO(3)/SO(3) within spread", "yes", text, abs(difference) <= spread)
        )
    difference, spread, text = compared(PLAIN, PLAIN, ("so3", "so3"), ("z", "so3"))
    checks.append(
        Check(f"{PLAIN}: SO(3)/SO(3) above z/SO(3), by more than the spread", "yes", text, difference > spread)
    )
    difference, spread, text = compared(SAMPLED, PLAIN, ("z", "so3"), ("so3", "so3"))
    checks.append(
        Check(
            "z/SO(3), MLP on samples above coordinates trained SO(3), by more than the spread",
            "yes",
            text,
            difference > spread,
        )
    )
    difference, spread, text = compared(SAMPLED, NORMS, ("z", "so3"), ("z", "so3"))
    checks.append(
        Check("z/SO(3), MLP on samples above ReLU of norms, by more than the spread", "yes", text, difference > spread)
    )
    return checks
