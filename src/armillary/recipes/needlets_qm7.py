"""System 4, needlets, on molecules: atomisation energies of QM7 from signals on atoms, in five folds.

A needlet network on SO(3) and an S2CNN of about as many parameters, both a sum over atoms, and ridge regression with a
Laplace kernel on sorted Coulomb matrices. All predict the rest of a linear fit on the numbers of atoms.

Source: Yi et al. 2022, arXiv 2206.10385; Cohen et al. 2018, arXiv 1801.10130, section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from armillary.data.qm7 import ELEMENTS, Molecules, folds, load_qm7
from armillary.groups import random_rotation
from armillary.harmonics import BumpBank
from armillary.models import AtomSum, NeedletRegressor
from armillary.nn import LocalKernel, S2Conv, SO3Conv
from armillary.recipes.files import required_file
from armillary.recipes.needlets_qm7_data import (
    CENTRES,
    Signals,
    coulomb_distances,
    counted,
    kernel_ridge,
    signals_of,
)
from armillary.recipes.needlets_qm7_figure import draw
from armillary.recipes.report import Check, Row
from armillary.recipes.training import Trained, trained
from armillary.spaces import GaussLegendre, OrientedGrid
from armillary.train import TrainConfig, to_table

NEEDLETS, S2CNN, KERNEL, COUNTS = "needlet network", "S2CNN", "Coulomb-matrix kernel", "numbers of atoms"
MAE, RMSE = "QM7: mean absolute error, kcal/mol", "QM7: root mean square error, kcal/mol"
TURNED = "QM7: change of predictions when molecules turn, kcal/mol"
FOLDS = 5
FIGURE, FILE = "qm7.png", "qm7.npz"
PUBLISHED = (
    "published RMSE, kcal/mol (Cohen et al. 2018, table 3): S2CNN 8.47, RBF kernel on sorted Coulomb matrices 12.59, "
    "on randomly sorted ones 11.40, MLP on these 5.96"
)


@dataclass(frozen=True)
class QM7Scale:
    """How large the comparison is: molecules of all folds, bandlimit, channels of both networks, epochs, and how many
    test molecules of each fold are turned."""

    molecules: int
    bandlimit: int
    widths: tuple[int, ...]
    channels: int
    epochs: int
    turned: int


SCALES = {
    "tiny": QM7Scale(60, 4, (2, 2), 2, 1, 4),
    "small": QM7Scale(2500, 6, (8, 8), 11, 15, 100),
    "paper": QM7Scale(7165, 10, (20, 20, 20), 42, 60, 500),
}


class S2CNNRegressor(nn.Module):
    """Fields on the sphere to numbers: S2Conv, ReLU, SO3Conv to two thirds of the bandlimit, ReLU, mean, MLP.

    Shapes: (B, in_channels, nlat, nlon) on ``GaussLegendre(b)`` → (B, out_features).
    Source: Cohen et al. 2018, arXiv 1801.10130, section 5.4, smaller.
    """

    def __init__(
        self, in_channels: int, out_features: int, grid: GaussLegendre, channels: int, hidden: int = 64
    ) -> None:
        super().__init__()
        low = math.ceil(grid.nlat * 2 / 3)
        fine, self.coarse = (OrientedGrid(GaussLegendre(b), 2 * b) for b in (grid.nlat, low))
        first = LocalKernel(min(math.pi / grid.nlat * 2, math.pi), 2, 8)
        second = LocalKernel(min(math.pi / low * 2, math.pi), 2, 6, 6)
        self.lift = S2Conv(in_channels, channels, grid, fine, first)
        self.conv = SO3Conv(channels, channels, fine, self.coarse, second)
        self.head = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, out_features))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(torch.relu(self.lift(x))))
        out: Tensor = self.head(self.coarse.integrate(h) / (8 * math.pi**2))
        return out


def contestants(size: QM7Scale) -> dict[str, Callable[[], nn.Module]]:
    """The networks by name."""
    grid, kinds = GaussLegendre(size.bandlimit), len(CENTRES)

    def needlets() -> nn.Module:
        network = NeedletRegressor(len(ELEMENTS), kinds, grid, size.widths, bank=BumpBank(), profiles=2)
        return AtomSum(network, len(ELEMENTS), kinds)

    def s2cnn() -> nn.Module:
        network = S2CNNRegressor(len(ELEMENTS), kinds, grid, size.channels)
        return AtomSum(network, len(ELEMENTS), kinds)

    return {NEEDLETS: needlets, S2CNN: s2cnn}


def run(size: QM7Scale, out: Path, seeds: int, console: Console) -> tuple[list[Row], list[Check], list[str]]:
    """Train on four folds and test on the fifth, for each of five; writes ``out / "qm7.png"``.

    Each network is trained once for each fold, with the number of the fold as its seed: the spread over folds holds
    that over seeds, and ``seeds`` is not read. Trainings are run directories below ``out / "runs"`` and continue where
    they were stopped. Raises: ValueError where ``$ARMILLARY_DATA`` has no ``qm7.npz``.
    """
    molecules = _molecules(size)
    signals, distances = signals_of(molecules, size.bandlimit), coulomb_distances(molecules)
    networks = contestants(size)
    errors: dict[str, list[Tensor]] = {name: [] for name in (*networks, KERNEL, COUNTS)}
    changes: dict[str, list[float]] = {name: [] for name in networks}
    seconds, params = dict.fromkeys(networks, 0.0), dict.fromkeys(networks, 0)
    for k, test in enumerate(folds(len(molecules), FOLDS)):
        train = torch.cat([f for i, f in enumerate(folds(len(molecules), FOLDS)) if i != k])
        rest = molecules.energies - counted(molecules, train)
        errors[COUNTS].append(-rest[test])
        errors[KERNEL].append(kernel_ridge(distances, rest, train, test) - rest[test])
        x, unit = signals.samples(train, GaussLegendre(size.bandlimit)), float(rest[train].std())
        turned = _turned(molecules.select(test[: size.turned]), signals, size, train, test[: size.turned])
        for name, build in networks.items():
            console.print(f"QM7: {name}, fold {k + 1} of {FOLDS}")
            path = out / "runs" / f"qm7-{name.split()[0].lower()}-{k}"
            data = TensorDataset(x[train], (rest[train] / unit).float())
            found = _trained(build, data, size, k, path, console)
            predicted = _predict(found.network, x[test]) * unit
            errors[name].append(predicted - rest[test])
            change = _predict(found.network, turned) * unit - predicted[: len(turned)]
            changes[name].append(float(change.square().mean().sqrt()))
            seconds[name] += found.seconds / FOLDS
            params[name] = found.params
    rows = []
    for name, parts in errors.items():
        cost = (params.get(name), seconds.get(name))
        rows.append(Row.of_seeds(name, MAE, [float(e.abs().mean()) for e in parts], *cost))
        rows.append(Row.of_seeds(name, RMSE, [float(e.square().mean().sqrt()) for e in parts], *cost))
        if name in changes:
            rows.append(Row.of_seeds(name, TURNED, changes[name], *cost))
    draw(out / FIGURE, errors)
    return rows, judge(rows), _notes(size, molecules, errors)


def judge(rows: list[Row]) -> list[Check]:
    """The parts of the claim about molecules, from the rows."""
    mean = {(row.name, row.metric): row.mean for row in rows}
    checks = []
    for metric in (MAE, RMSE):
        own = mean[NEEDLETS, metric]
        for rival in (S2CNN, KERNEL):
            text = f"{metric}, five folds: {NEEDLETS} below {rival}"
            checks.append(Check(text, "yes", f"{own:.2f} against {mean[rival, metric]:.2f}", own < mean[rival, metric]))
    own, change = mean[NEEDLETS, RMSE], mean[NEEDLETS, TURNED]
    text = "QM7: turning molecules changes predictions of the needlet network by at most a tenth of their error"
    checks.append(Check(text, "approximately invariant", f"{change:.2f} of {own:.2f} kcal/mol", change <= own / 10))
    return checks


def _molecules(size: QM7Scale) -> Molecules:
    molecules = load_qm7(required_file(FILE))
    order = torch.randperm(len(molecules), generator=torch.Generator().manual_seed(0))
    return molecules.select(order[: size.molecules])


def _turned(part: Molecules, signals: Signals, size: QM7Scale, train: Tensor, test: Tensor) -> Tensor:
    """Samples of test molecules, each turned by a rotation of its own, scaled as the others are."""
    generator = torch.Generator().manual_seed(0)
    turns = torch.stack([random_rotation(generator) for _ in range(len(part))])
    moved = Molecules(part.charges, torch.einsum("nij,naj->nai", turns, part.positions), part.energies)
    own = signals_of(moved, size.bandlimit)
    short = signals.kinds.shape[1] - own.kinds.shape[1]
    coefficients = torch.nn.functional.pad(own.coefficients, (0, 0) * 3 + (0, short))
    both = Signals(torch.cat([signals.coefficients[train], coefficients]), signals.kinds[torch.cat([train, test])])
    return both.samples(torch.arange(len(train)), GaussLegendre(size.bandlimit))[len(train) :]


def _trained(
    build: Callable[[], nn.Module], data: TensorDataset, size: QM7Scale, fold: int, path: Path, console: Console
) -> Trained:
    """The network after its last epoch."""
    config = TrainConfig(epochs=size.epochs, batch_size=32, lr=5e-3, seed=fold)
    settings = {"task": "qm7", "fold": fold, "scale": to_table(size)}
    return trained(build, (data, None), nn.functional.l1_loss, None, config, settings, path, console)


@torch.no_grad()
def _predict(network: nn.Module, x: Tensor) -> Tensor:
    network.cpu().eval()
    return torch.cat([network(part) for part in x.split(100)]).double()


def _notes(size: QM7Scale, molecules: Molecules, errors: dict[str, list[Tensor]]) -> list[str]:
    per_fold = "; ".join(
        f"{name} " + ", ".join(f"{float(e.abs().mean()):.2f}" for e in parts) for name, parts in errors.items()
    )
    return [
        f"QM7: {len(molecules)} molecules, five folds, one training for each, {size.epochs} epochs; bandlimit "
        f"{size.bandlimit}, spheres about heavy atoms only; {PUBLISHED}.",
        "QM7: all methods predict the rest of a least-squares fit on numbers of atoms, made on the training folds.",
        f"QM7: mean absolute error of each fold: {per_fold}.",
    ]
