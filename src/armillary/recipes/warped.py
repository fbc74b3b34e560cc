"""System 6, warped convolutions: its paper's claim, run again on public pictures.

The pose of an image is estimated by a CNN on its warp with a soft-argmax, against the same CNN with a fully connected
layer, and with a soft-argmax on the image as it is; all of one size and training.

The vehicles and faces of the paper are not public. Here real pictures are put into known poses, one group for each
warp: digits under rotation × scale and under scale × aspect, photographs on a sphere under pitch × yaw. The paper's
figures are on other data, so only the order of the three networks is compared.

Source: Henriques & Vedaldi 2017, arXiv 1609.04382.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from armillary.data.spec import Split
from armillary.models import FullyConnectedPose, PlanarPose, WarpedPose
from armillary.nn import AxisL1Loss
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.training import Trained, trained
from armillary.recipes.warped_data import TASKS, Task, draw_samples, load_pictures, source_of
from armillary.recipes.warped_figure import draw
from armillary.train import TrainConfig, to_table

CLAIM = (
    "A CNN on the warped image estimates two-parameter poses better than the same CNN with a fully connected layer, or "
    "with a soft-argmax on the unwarped image."
)
PAPER_VALUE = (
    "vehicles: rotation 26.44° (CNN+FC 28.87°, CNN+soft-argmax 30.6°), scale 5.4 px (17.51, 5.783); faces: yaw 10.65°, "
    "pitch 6.351° (CNN+FC 13.87°, 7.23°)"
)
PUBLISHED = {
    "rotation error, degrees": "26.44 (FC 28.87, soft-argmax 30.6)",
    "scale error, %": "5.4 px (FC 17.51, soft-argmax 5.783)",
    "pitch error, degrees": "6.351 (FC 7.23)",
    "yaw error, degrees": "10.65 (FC 13.87)",
}
WARPED, PLANAR, CONNECTED = "warped CNN + soft-argmax", "CNN + soft-argmax", "CNN + fully connected"


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: side of the image, cells of the warp, channels, pictures, epochs."""

    size: int
    cells: int
    widths: tuple[int, ...]
    samples: int
    tests: int
    epochs: int


SCALES = {
    "tiny": Scale(16, 16, (4, 4), 48, 16, 1),
    "small": Scale(48, 32, (12, 24, 24), 600, 500, 16),
    "paper": Scale(64, 48, (20, 40, 40), 6000, 1500, 40),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the comparison again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (minutes), "paper". Trainings are run directories below ``out/runs``: a
    recipe that was stopped continues from their checkpoints. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale or seeds < 1.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    tasks = [make(size.size, size.cells) for make in TASKS]
    result = Result("warped", scale, CLAIM, PAPER_VALUE, "arXiv 1609.04382, sections 6.2 and 6.3")
    for task in tasks:
        samples = min(size.samples, len(load_pictures(task.pictures, "train")))
        tests = min(size.tests, len(load_pictures(task.pictures, "test")))
        rows = _compare(task, size, samples, tests, out / "runs", seeds, console)
        result.rows += rows
        result.checks += _judge(task, rows)
        result.notes.append(
            f"{task.name}: {source_of(task.pictures)}, {samples} for training, {tests} others for the test, "
            f"{task.grid.height} × {task.grid.width} pixels; {task.warp}; {size.epochs} epochs, {seeds} seeds."
        )
    result.notes += [
        "Errors are means of absolute errors over the test pictures; those of scale are of ln(scale), in percent.",
        "Each picture is resampled once, bicubically, into its pose; pose and picture are fixed over the epochs.",
        "Widths of the fully connected network are chosen for the parameter count of the warped one.",
    ]
    draw(out / "figure.png", result, tasks)
    return result.write(out)


def _judge(task: Task, rows: Sequence[Row]) -> list[Check]:
    mean = {(row.name, row.metric): row.mean for row in rows}
    checks = []
    for what, _ in task.report:
        metric = f"{task.name}: {what}"
        ours, planar, connected = (mean[name, metric] for name in (WARPED, PLANAR, CONNECTED))
        checks.append(
            Check(
                f"{metric}: warped below both baselines",
                PUBLISHED.get(what, "not measured"),
                f"{ours:.2f} (FC {connected:.2f}, soft-argmax {planar:.2f})",
                ours < min(planar, connected),
            )
        )
    return checks


def _networks(task: Task, size: Scale, channels: int) -> dict[str, Callable[[], nn.Module]]:
    """The three networks, the fully connected one with widths that give it the parameters of the warped one."""

    def connected(factor: float) -> nn.Module:
        widths = tuple(max(1, round(factor * width)) for width in size.widths)
        return FullyConnectedPose(channels, task.grid, task.warp.axes, widths)

    target = _parameters(WarpedPose(channels, task.grid, task.warp, size.widths))
    best = min(
        (0.3 + 0.01 * step for step in range(91)), key=lambda factor: abs(_parameters(connected(factor)) - target)
    )
    return {
        WARPED: lambda: WarpedPose(channels, task.grid, task.warp, size.widths),
        PLANAR: lambda: PlanarPose(channels, task.grid, task.warp.axes, size.widths),
        CONNECTED: lambda: connected(best),
    }


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _compare(task: Task, size: Scale, samples: int, tests: int, runs: Path, seeds: int, console: Console) -> list[Row]:
    @lru_cache(maxsize=2)
    def data(split: Split, seed: int) -> tuple[Tensor, Tensor]:
        return draw_samples(task, samples if split == "train" else tests, split, seed)

    networks = _networks(task, size, data("test", 0)[0].shape[1])
    scores: dict[str, list[list[float]]] = {name: [] for name in networks}
    seconds, params = dict.fromkeys(networks, 0.0), dict.fromkeys(networks, 0)
    for seed in range(seeds):
        for short, (name, make) in zip(("warped", "planar", "connected"), networks.items(), strict=True):
            console.print(f"{task.name}, {name}, seed {seed}")
            path = runs / f"{task.name.replace(' × ', '-')}-{short}-{seed}"
            found = _trained(make, task, size, data("train", seed), seed, path, console)
            scores[name].append(_errors(found.network, task, *data("test", seed)))
            seconds[name] += found.seconds
            params[name] = found.params
    return [
        Row.of_seeds(name, f"{task.name}: {what}", values, params[name], seconds[name] / seeds)
        for name in networks
        for (what, _), values in zip(task.report, zip(*scores[name], strict=True), strict=True)
    ]


def _trained(
    make: Callable[[], nn.Module],
    task: Task,
    size: Scale,
    data: tuple[Tensor, Tensor],
    seed: int,
    path: Path,
    console: Console,
) -> Trained:
    """The network after its last epoch."""
    config = TrainConfig(epochs=size.epochs, batch_size=24, lr=4e-3, seed=seed)
    made = {"warp": task.warp.to_dict(), "pictures": source_of(task.pictures), "samples": len(data[0])}
    settings = {"task": task.name, **made, "scale": to_table(size)}
    loss = AxisL1Loss(task.warp.axes)
    return trained(make, (TensorDataset(*data), None), loss, None, config, settings, path, console)


def _errors(network: nn.Module, task: Task, x: Tensor, u: Tensor) -> list[float]:
    """The mean absolute error of each coordinate in the units of the report."""
    network.cpu().eval()
    with torch.no_grad():
        found = torch.cat([network(part) for part in x.split(100)])
    return [
        float(axis.difference(found[:, k], u[:, k]).abs().mean()) * unit
        for k, (axis, (_, unit)) in enumerate(zip(task.warp.axes, task.report, strict=True))
    ]
