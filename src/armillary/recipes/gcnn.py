"""System 12, group-equivariant convolutional networks: the paper's two tables, run again.

1. *Rotated MNIST*: an ordinary network (Z2CNN), p4 with the maximum over rotations after each layer, and p4 throughout
   (P4CNN), of about equal numbers of weights; the error falls in this order.
2. *CIFAR-10*: All-CNN-C over Z2, p4 and p4m with equal numbers of parameters; the error falls in this order, although
   photographs are not turned.

The data are not the paper's: rotated digits made anew from MNIST (12 000 and 50 000 others, as the original was), and
a part of CIFAR-10.
Source: Cohen & Welling 2016, arXiv 1602.07576, tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from armillary.groups import FiniteGroup, cyclic, dihedral
from armillary.models import AllCNNC, GroupCNN, RotationPoolingCNN, equal_width
from armillary.nn import ClassificationMetrics
from armillary.recipes.planar_data import Counts, Splits, photographs, rotated_digits
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.training import Trained, error_rate, trained
from armillary.spaces import act_on_image
from armillary.testing import GroupAction, commutation_error
from armillary.train import TrainConfig

CLAIM = (
    "With equal numbers of weights, p4 networks err less than networks that pool over rotations after each layer, and "
    "these less than ordinary ones, on rotated MNIST; on CIFAR-10 p4m less than p4 and p4 less than ordinary ones."
)


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: images and epochs of both tasks, width (in the plane) and dropout of All-CNN-C."""

    digits: Counts
    digit_epochs: int
    photographs: Counts
    photograph_epochs: int
    width: int
    dropout: float


SCALES = {
    "tiny": Scale(Counts(80, 16, 64), 1, Counts(40, 8, 32), 1, 4, 0.0),
    "small": Scale(Counts(10_000, 2_000, 50_000), 12, Counts(5_000, 1_000, 3_000), 10, 12, 0.0),
    "paper": Scale(Counts(10_000, 2_000, 50_000), 100, Counts(16_667, 3_333, 3_000), 100, 96, 0.5),
}


@dataclass(frozen=True)
class Contestant:
    """A network of one task, the group under which its scores should not change, and the paper's error in percent."""

    name: str
    group: FiniteGroup
    build: Callable[[], nn.Module]
    paper: float


def digit_networks() -> tuple[Contestant, ...]:
    """The three networks of table 1, worst first: as in the paper, Z2CNN has dropout and P4CNN has none."""
    z2, p4 = cyclic(1), cyclic(4)
    return (
        Contestant("Z2CNN", z2, lambda: GroupCNN(z2, 20, dropout=0.1), 5.03),
        Contestant("P4CNN, rotation pooling", p4, lambda: RotationPoolingCNN(p4, 20, dropout=0.1), 3.21),
        Contestant("P4CNN", p4, lambda: GroupCNN(p4, 10), 2.28),
    )


def photograph_networks(width: int, dropout: float) -> tuple[Contestant, ...]:
    """All-CNN-C of table 2, worst first."""

    def of(name: str, group: FiniteGroup, paper: float) -> Contestant:
        return Contestant(
            f"All-CNN-C, {name}", group, lambda: AllCNNC(group, equal_width(width, group), dropout=dropout), paper
        )

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
        (DIGITS, digit_networks(), rotated_digits(size.digits, console), size.digit_epochs),
        (
            PHOTOGRAPHS,
            photograph_networks(size.width, size.dropout),
            photographs(size.photographs, console),
            size.photograph_epochs,
        ),
    )
    curves: dict[str, dict[str, list[float]]] = {}
    for metric, contestants, data, epochs in tasks:
        config = TrainConfig(epochs=epochs, batch_size=64, lr=3e-3, best_metric="accuracy", best_mode="max")
        rows, changes = [], []
        for contestant in contestants:
            found = _trainings(contestant, data, config, out / "runs", seeds, console)
            errors = [error_rate(one.network, data.test, 10) for one in found]
            seconds = sum(one.seconds for one in found) / seeds
            rows.append(Row.of_seeds(contestant.name, metric, errors, found[-1].params, seconds))
            curves.setdefault(metric, {})[contestant.name] = _validation_error(found)
            if contestant.group.order > 1:
                changes.append(Row(contestant.name, CHANGE, _change(found[-1].network, contestant.group, data)))
        result.rows += [*rows, *changes]
        result.checks += [_order(contestants, rows, metric), _invariance(changes, metric)]
        result.notes.append(f"{data}; {epochs} epochs.")
    result.checks.insert(1, _margin(result.rows))
    result.notes.append(
        f"All-CNN-C: width {size.width} in the plane, dropout {size.dropout}; no augmentation; {seeds} seeds."
    )
    draw(out / "figure.png", result, curves)
    return result.write(out)


def _trainings(
    contestant: Contestant, data: Splits, config: TrainConfig, runs: Path, seeds: int, console: Console
) -> list[Trained]:
    """A training for each seed."""
    found = []
    for seed in range(seeds):
        console.print(f"{contestant.name}, seed {seed}")
        path = runs / f"{contestant.name.replace(', ', '-').replace(' ', '-').lower()}-{seed}"
        settings = {"model": {"name": contestant.name}, "data": {"source": data.source, "samples": len(data.train)}}
        splits, loss, metrics = (data.train, data.valid), nn.CrossEntropyLoss(), ClassificationMetrics(10)
        seeded = replace(config, seed=seed)
        found.append(trained(contestant.build, splits, loss, metrics, seeded, settings, path, console))
    return found


def _validation_error(found: Sequence[Trained]) -> list[float]:
    """After each epoch, in percent, the mean over the trainings."""
    epochs = zip(*(one.history for one in found), strict=True)
    return [100 * (1 - sum(row["valid_accuracy"] for row in rows) / len(rows)) for rows in epochs]


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


def _margin(rows: Sequence[Row]) -> Check:
    mean = {row.name: row.mean for row in rows if row.metric == DIGITS}
    ratio = mean["P4CNN"] / mean["Z2CNN"]
    text = "rotated MNIST: the error of P4CNN is below 0.6 times that of Z2CNN"
    return Check(text, "0.45", f"{ratio:.2f}", ratio < 0.6)


def _invariance(changes: Sequence[Row], metric: str) -> Check:
    worst = max(row.mean for row in changes)
    task = metric.removeprefix("test error on ").removesuffix(", %")
    return Check(f"{task}: scores do not change under the group", "exact", f"{worst:.1e}", worst < 1e-10)


def draw(path: Path, result: Result, curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Path:
    """For each task the error of each network, with the paper's as a line, and the validation error against epochs."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 7.4), layout="constrained")
    tasks = ((DIGITS, digit_networks()), (PHOTOGRAPHS, photograph_networks(1, 0.0)))
    colours = ("tab:gray", "tab:orange", "tab:blue")
    for (bars, lines), (metric, contestants) in zip(figure.subplots(2, 2), tasks, strict=True):
        rows = [row for row in result.rows if row.metric == metric]
        places = range(len(rows))
        spread = [row.std or 0 for row in rows]
        bars.bar(places, [row.mean for row in rows], 0.6, yerr=spread, capsize=3, color=colours, label="here")
        edges = [place - 0.24 for place in places], [place + 0.24 for place in places]
        bars.hlines([c.paper for c in contestants], *edges, color="black", label="paper (its data)")
        bars.set_xticks(places, [row.name.replace(", ", ",\n") for row in rows])
        bars.set(ylabel="%", title=metric.removesuffix(", %"))
        bars.legend(frameon=False, loc="best")
        bars.margins(y=0.25)
        for (name, errors), colour in zip(curves[metric].items(), colours, strict=True):
            lines.semilogy(range(1, len(errors) + 1), errors, color=colour, label=name)
        lines.yaxis.set_major_formatter("{x:g}")
        lines.yaxis.set_minor_formatter("{x:g}")
        lines.set(xlabel="epoch", ylabel="%", title="error on the validation images")
        lines.legend(frameon=False)
    return save_figure(figure, path)
