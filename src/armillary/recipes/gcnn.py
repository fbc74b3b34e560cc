"""System 12, group-equivariant convolutional networks: the paper's two tables, run again.

1. *Rotated MNIST*: an ordinary network (Z2CNN), p4 with the maximum over rotations after each layer, and p4 throughout
   (P4CNN), of about equal numbers of weights; the error falls in this order.
2. *CIFAR-10*: All-CNN-C over Z2, p4 and p4m with equal numbers of parameters; the error falls in this order, although
   photographs are not turned.

The data are not the paper's: rotated digits made anew from MNIST, and a fifth of CIFAR-10.
Source: Cohen & Welling 2016, arXiv 1602.07576, tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from armillary.groups import FiniteGroup, cyclic, dihedral
from armillary.models import AllCNNC, GroupCNN, RotationPoolingCNN, equal_width
from armillary.nn import ClassificationMetrics
from armillary.recipes.gcnn_data import Splits, cifar10, rotated_mnist
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.spaces import act_on_image
from armillary.testing import GroupAction, commutation_error
from armillary.train import Run, TrainConfig, evaluate, fit, load_weights, make_fabric
from armillary.train.state import seed_everything

CLAIM = (
    "With equal numbers of weights, p4 networks err less than networks that pool over rotations after each layer, and "
    "these less than ordinary ones, on rotated MNIST; on CIFAR-10 p4m less than p4 and p4 less than ordinary ones."
)


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: images and epochs of both tasks, and the width of All-CNN-C in the plane."""

    digits: int
    digit_tests: int
    digit_epochs: int
    photographs: int
    photograph_tests: int
    photograph_epochs: int
    width: int


SCALES = {
    "tiny": Scale(96, 64, 1, 48, 32, 1, 4),
    "small": Scale(12_000, 5_000, 12, 6_000, 3_000, 12, 16),
    "paper": Scale(12_000, 5_000, 60, 20_000, 3_000, 100, 96),
}


@dataclass(frozen=True)
class Contestant:
    """A network of one task, the group under which its scores should not change, and the paper's error in percent."""

    name: str
    group: FiniteGroup
    build: Callable[[], nn.Module]
    paper: float


def digit_networks() -> tuple[Contestant, ...]:
    """The three networks of table 1, worst first."""
    z2, p4 = cyclic(1), cyclic(4)
    return (
        Contestant("Z2CNN", z2, lambda: GroupCNN(z2, 20), 5.03),
        Contestant("P4CNN, rotation pooling", p4, lambda: RotationPoolingCNN(p4, 20), 3.21),
        Contestant("P4CNN", p4, lambda: GroupCNN(p4, 10), 2.28),
    )


def photograph_networks(width: int) -> tuple[Contestant, ...]:
    """All-CNN-C of table 2, worst first."""

    def of(name: str, group: FiniteGroup, paper: float) -> Contestant:
        return Contestant(f"All-CNN-C, {name}", group, lambda: AllCNNC(group, equal_width(width, group)), paper)

    return of("Z2", cyclic(1), 9.44), of("p4", cyclic(4), 8.84), of("p4m", dihedral(4), 7.59)


DIGITS, PHOTOGRAPHS = "test error on rotated MNIST, %", "test error on CIFAR-10, %"
CHANGE = "relative change of the scores under the group"


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (an hour or two on a laptop), "paper" (wants a GPU). Trainings are run
    directories below ``out/runs``: a recipe that was stopped continues from their checkpoints. Returns the content of
    ``result.json``. Raises: ValueError for an unknown scale, seeds < 1, or data that are not there.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    paper = "rotated MNIST 5.03, 3.21, 2.28 %; CIFAR-10 9.44, 8.84, 7.59 %"
    result = Result("gcnn", scale, CLAIM, paper, "arXiv 1602.07576, tables 1 and 2")
    tasks = (
        (DIGITS, digit_networks(), rotated_mnist(size.digits, size.digit_tests), size.digit_epochs),
        (
            PHOTOGRAPHS,
            photograph_networks(size.width),
            cifar10(size.photographs, size.photograph_tests),
            size.photograph_epochs,
        ),
    )
    for metric, contestants, data, epochs in tasks:
        config = TrainConfig(epochs=epochs, batch_size=64, lr=3e-3, best_metric="accuracy", best_mode="max")
        rows, changes = [], []
        for contestant in contestants:
            row, change = _rows(contestant, metric, data, config, out / "runs", seeds, console)
            rows.append(row)
            changes += [change] if contestant.group.order > 1 else []
        result.rows += [*rows, *changes]
        result.checks += [_order(contestants, rows, metric), _invariance(changes, metric)]
    result.notes.append(
        f"{size.digits} rotated digits made from MNIST (not the published files), {size.digit_epochs} epochs; "
        f"{size.photographs} photographs of CIFAR-10, stored as JPEG, {size.photograph_epochs} epochs, All-CNN-C of "
        f"width {size.width} in the plane, no augmentation; a sixth of each validates; {seeds} seeds."
    )
    draw(out / "figure.png", result)
    return result.write(out)


def _rows(
    contestant: Contestant, metric: str, data: Splits, config: TrainConfig, runs: Path, seeds: int, console: Console
) -> tuple[Row, Row]:
    """The test error over the seeds, and how much the group changes the scores of the last trained network."""
    errors, seconds, params, change = [], 0.0, 0, 0.0
    for seed in range(seeds):
        console.print(f"{contestant.name}, seed {seed}")
        path = runs / f"{contestant.name.replace(', ', '-').replace(' ', '-').lower()}-{seed}"
        network, took = _trained(contestant, data, config, seed, path, console)
        scores = evaluate(
            network, data.test, None, ClassificationMetrics(10), fabric=make_fabric(config), batch_size=100
        )
        assert scores is not None
        errors.append(100 * (1 - scores["accuracy"]))
        seconds += took
        params = sum(p.numel() for p in network.parameters())
        change = _change(network, contestant.group, data)
    return Row.of_seeds(contestant.name, metric, errors, params, seconds / seeds), Row(contestant.name, CHANGE, change)


def _trained(
    contestant: Contestant, data: Splits, config: TrainConfig, seed: int, path: Path, console: Console
) -> tuple[nn.Module, float]:
    """The network with the best validation score, and the seconds of its epochs, also where they were run before."""
    config = TrainConfig(**{**asdict(config), "seed": seed})
    table = {
        "model": {"name": contestant.name},
        "data": {"samples": len(data.train)},
        "train": {key: value for key, value in asdict(config).items() if value is not None},
    }
    run = Run.open(path) if (path / "config.toml").exists() else Run.create(path, table)
    run.check_resumable(table)
    seed_everything(seed)
    network = contestant.build()
    loss, metrics = nn.CrossEntropyLoss(), ClassificationMetrics(10)
    outcome = fit(network, data.train, data.valid, loss, metrics, config, run, console=console)
    load_weights(network, run.load_weights("best"), where=str(path))
    return network, sum(row["seconds"] for row in outcome.history)


def _change(network: nn.Module, group: FiniteGroup, data: Splits) -> float:
    shape = data.test.tensors[0].shape[1:]
    symmetry = GroupAction(shape, range(group.order), lambda g, x: act_on_image(group, g, x))
    return commutation_error(network, symmetry, count=group.order)


def _order(contestants: Sequence[Contestant], rows: Sequence[Row], metric: str) -> Check:
    means = [row.mean for row in rows]
    return Check(
        f"{metric}: {' > '.join(c.name for c in contestants)}",
        " > ".join(f"{c.paper:.2f}" for c in contestants),
        ", ".join(f"{mean:.2f}" for mean in means),
        all(worse > better for worse, better in pairwise(means)),
    )


def _invariance(changes: Sequence[Row], metric: str) -> Check:
    worst = max(row.mean for row in changes)
    task = metric.removeprefix("test error on ").removesuffix(", %")
    return Check(f"{task}: scores do not change under the group", "exact", f"{worst:.1e}", worst < 1e-10)


def draw(path: Path, result: Result) -> Path:
    """Two panels of bars: the error of each network, with the paper's as a line."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    tasks = ((DIGITS, digit_networks()), (PHOTOGRAPHS, photograph_networks(1)))
    for axis, (metric, contestants) in zip(figure.subplots(1, 2), tasks, strict=True):
        rows = [row for row in result.rows if row.metric == metric]
        places = range(len(rows))
        axis.bar(places, [r.mean for r in rows], 0.6, yerr=[r.std or 0 for r in rows], capsize=3, label="here")
        axis.plot(places, [c.paper for c in contestants], "_", color="black", markersize=40, label="paper (its data)")
        axis.set_xticks(places, [row.name.replace(", ", ",\n") for row in rows])
        axis.set(ylabel="%", title=metric.removesuffix(", %"))
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    return save_figure(figure, path)
