"""System 9, harmonic networks: the paper's claims on rotated digits, run again.

1. *Accurate*: rotated MNIST, the harmonic network of the paper against a plain CNN of equal parameter count, trained
   for as many epochs and, since its epochs are cheaper, for five times as many.
2. *Maximal response and orientation*: the phase of the order 1 features at the middle turns with the image, and the
   predicted class stays.

Source: Worrall, Garbin, Turmukhambetov & Brostow 2017, arXiv 1612.04642.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from armillary.models import HarmonicClassifier, PlainClassifier
from armillary.nn import ClassificationMetrics
from armillary.recipes.hnets_figure import draw
from armillary.recipes.hnets_turns import turned
from armillary.recipes.planar_data import Counts, Splits, rotated_digits
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.training import Trained, error_rate, trained
from armillary.spaces import ImageGrid
from armillary.train import TrainConfig, to_table

CLAIM = (
    "Harmonic networks classify rotated MNIST better than CNNs, with 1.69 % error, and return a maximal response and "
    "an orientation that turn with every patch."
)
HARMONIC, PLAIN, LONGER = "harmonic network", "plain CNN", "plain CNN, 5 × the epochs"
MORE = 5
ERROR, CHANGED, PHASE = "test error, %", "predictions that change under a turn, %", "orientation error, degrees"
PAPER_ERROR = 1.69
ANGLES = tuple(2 * math.pi * k / 12 for k in range(12))
SIZE = 28
GRID = ImageGrid(SIZE, SIZE)


@dataclass(frozen=True)
class Scale:
    """How large the comparison is; ``turns`` is the number of test digits that are turned further."""

    widths: tuple[int, ...]
    digits: Counts
    epochs: int
    turns: int


SCALES = {
    "tiny": Scale((2, 3, 4), Counts(64, 32, 64), 1, 8),
    "small": Scale((4, 8, 16), Counts(10_000, 2_000, 20_000), 8, 100),
    "paper": Scale((8, 16, 32), Counts(10_000, 2_000, 50_000), 100, 500),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (minutes), "paper". Trainings are run directories below ``out/runs``: a
    recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale or seeds < 1.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    result = Result("hnets", scale, CLAIM, f"{PAPER_ERROR} % error", "arXiv 1612.04642")
    curves: dict[str, list[float]] = {}
    plain_widths = _equal_size(size.widths)

    def harmonic() -> nn.Module:
        return HarmonicClassifier(1, 10, GRID, size.widths)

    def plain() -> nn.Module:
        return PlainClassifier(1, 10, GRID, plain_widths)

    contestants = {
        HARMONIC: (harmonic, size, "harmonic"),
        PLAIN: (plain, size, "plain"),
        LONGER: (plain, replace(size, epochs=MORE * size.epochs), "longer"),
    }
    data = rotated_digits(size.digits, console, standardize=False)
    digits = data.test.tensors[0][: size.turns, 0]
    for name, (build, how, folder) in contestants.items():
        figures: dict[str, list[float]] = {ERROR: [], CHANGED: [], PHASE: []}
        per_angle, seconds, params = [], 0.0, 0
        for seed in range(seeds):
            console.print(f"{name}, seed {seed}")
            found = _trained(build, data, how, seed, out / "runs" / f"{folder}-{seed}", console)
            network, params = found.network, found.params
            seconds += found.seconds / seeds
            figures[ERROR].append(error_rate(network, data.test, 10))
            changed = changed_predictions(network, digits)
            figures[CHANGED].append(100 * sum(changed) / len(changed))
            per_angle.append(changed)
            if isinstance(network, HarmonicClassifier):
                figures[PHASE].append(orientation_error(network, digits))
        curves[name] = [100 * sum(values) / seeds for values in zip(*per_angle, strict=True)]
        result.rows += [
            Row.of_seeds(name, metric, values, params, seconds) for metric, values in figures.items() if values
        ]
    result.checks += judge(result.rows)
    result.notes += [
        f"{data}; {size.epochs} epochs, {seeds} seeds; widths {size.widths} and {plain_widths}.",
        f"Turns: the first {len(digits)} test digits turned by {len(ANGLES) - 1} multiples of 30°, as band-limited "
        f"functions.",
    ]
    draw(out / "figure.png", result, [math.degrees(a) for a in ANGLES[1:]], curves)
    return result.write(out)


def judge(rows: list[Row]) -> list[Check]:
    """The parts of the claim, from the rows."""
    mean = {(row.name, row.metric): row.mean for row in rows}
    own, phase = mean[HARMONIC, ERROR], mean[HARMONIC, PHASE]
    plain, changed = (min(mean[name, metric] for name in (PLAIN, LONGER)) for metric in (ERROR, CHANGED))
    return [
        Check(
            "rotated digits: error below that of the better CNN of equal size",
            "yes",
            f"{own:.2f} against {plain:.2f} %",
            own < plain,
        ),
        Check("error on rotated MNIST", f"{PAPER_ERROR} %", f"{own:.2f} %", own <= PAPER_ERROR),
        Check(
            "the phase of order 1 at the middle turns with the image, mean deviation at most 10°",
            "stable",
            f"{phase:.1f}°",
            phase <= 10,
        ),
        Check(
            "predictions change less under turns than those of the better CNN",
            "yes",
            f"{mean[HARMONIC, CHANGED]:.1f} against {changed:.1f} %",
            mean[HARMONIC, CHANGED] < changed,
        ),
    ]


@torch.no_grad()
def orientation_error(network: HarmonicClassifier, digits: Tensor) -> float:
    """The mean of |arg Σ_c z_c(α) z_c(0)* - α| in degrees, over digits and angles; z: order 1 at the middle.

    Digits (n, 28, 28) are turned by ``ANGLES`` without interpolation. Chance is 90°.
    """
    network.eval()
    orders, grid = network.head.orders_out, network.head.grid
    first = torch.tensor([order == 1 for order in orders.channel_orders])
    middle = []
    for angle in ANGLES:
        features = network.features(_turned(digits, angle))[..., grid.height // 2, grid.width // 2].double()
        middle.append(torch.complex(*features.chunk(2, dim=1))[:, first])
    deviations = [
        torch.angle((z * middle[0].conj()).sum(1) * torch.exp(torch.tensor(-1j * angle, dtype=torch.complex128)))
        for z, angle in zip(middle[1:], ANGLES[1:], strict=True)
    ]
    return math.degrees(float(torch.stack(deviations).abs().mean()))


@torch.no_grad()
def changed_predictions(network: nn.Module, digits: Tensor) -> list[float]:
    """For each angle of ``ANGLES`` but the first the share of digits whose predicted class changes."""
    network.eval()
    before = network(_turned(digits, 0.0)).argmax(1)
    return [float((network(_turned(digits, angle)).argmax(1) != before).double().mean()) for angle in ANGLES[1:]]


def _turned(digits: Tensor, angle: float) -> Tensor:
    return turned(digits, torch.full((len(digits),), angle), SIZE).float()[:, None]


def _equal_size(widths: tuple[int, ...]) -> tuple[int, ...]:
    """The widths of the plain CNN whose parameter count is nearest to that of the harmonic network."""

    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    target = count(HarmonicClassifier(1, 10, GRID, widths))
    candidates = [tuple(max(1, round(w * step / 100)) for w in widths) for step in range(50, 151)]
    return min(candidates, key=lambda c: abs(count(PlainClassifier(1, 10, GRID, c)) - target))


def _trained(
    build: Callable[[], nn.Module], data: Splits, size: Scale, seed: int, path: Path, console: Console
) -> Trained:
    config = TrainConfig(epochs=size.epochs, batch_size=32, lr=5e-3, seed=seed, best_metric="accuracy", best_mode="max")
    splits, loss, metrics = (data.train, data.valid), nn.CrossEntropyLoss(), ClassificationMetrics(10)
    settings = {"scale": to_table(size), "data": {"source": data.source}}
    return trained(build, splits, loss, metrics, config, settings, path, console)
