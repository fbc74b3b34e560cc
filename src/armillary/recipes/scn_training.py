"""The trainings of the recipe of system 20: frames of ethanol, networks of equal size, their errors and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from armillary.data.atom_graphs import AtomGraphs, collate_atoms, reference_energies
from armillary.data.structures import Structures
from armillary.data.trajectories import load_npz_trajectory
from armillary.groups import random_rotations
from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.nn.energies import EnergyForcesLoss, EnergyForcesMetrics
from armillary.recipes.files import required_file
from armillary.recipes.training import Trained, trained
from armillary.train import Run, TrainConfig, evaluate, make_fabric, to_table

FILE, TRAIN, TEST = "molecular_dynamics.npz", "ethanol_train", "ethanol_test"


@dataclass(frozen=True)
class ScnScale:
    """How large the comparison is: frames for training (a twentieth of them to choose the epoch by) and for tests,
    epochs of the networks of equal size and of those that differ in L and M, these (L, M), the first the size of the
    networks compared; steps of dynamics."""

    frames: int
    tests: int
    epochs: int
    sweep_epochs: int
    channels: int
    layers: int
    degrees: tuple[tuple[int, int], ...]
    steps: int
    lr: float = 1e-2
    batch: int = 5


@dataclass(frozen=True)
class Scored:
    """A trained network, where its run is, and what was measured of it on test frames, meV and meV/Å."""

    found: Trained
    path: Path
    scores: dict[str, float]
    turned: float
    """Mean change of a component of forces when the frame is turned and the forces turned back."""

    @property
    def seconds_per_epoch(self) -> float:
        """The median of its epochs."""
        seconds = sorted(row["seconds"] for row in self.found.history)
        return seconds[len(seconds) // 2]


class Frames:
    """The frames of a scale as samples, and what is measured on those for training."""

    def __init__(self, size: ScnScale, cutoff: float = 5.0) -> None:
        file = required_file(FILE)
        frames = load_npz_trajectory(file, TRAIN)
        order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))[: size.frames]
        held = max(1, size.frames // 20)
        self.tests: Structures = load_npz_trajectory(file, TEST)[: size.tests]
        references = reference_energies(frames[order[held:]])
        parts = (frames[order[held:]], frames[order[:held]], self.tests)
        self.train, self.valid, self.test = (AtomGraphs(part, cutoff, references) for part in parts)
        self.network = AtomsConfig(
            elements=tuple(references),
            references=tuple(references.values()),
            channels=size.channels,
            hidden=size.channels,
            layers=size.layers,
            lmax=size.degrees[0][0],
            mmax=size.degrees[0][1],
            cutoff=cutoff,
            neighbours=self.train.neighbours(),
            scale=self.train.force_scale(),
        )


def of_equal_size(config: AtomsConfig, like: AtomsConfig) -> AtomsConfig:
    """``config`` with the width that brings its number of parameters nearest to that of ``like``: the channels of an
    invariant network, the hidden channels of messages."""

    def sized(width: int) -> AtomsConfig:
        return replace(config, channels=width) if config.name == "invariant" else replace(config, hidden=width)

    target = _parameters(like)
    low, high = 1, 2
    while _parameters(sized(high)) < target:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _parameters(sized(middle)) < target else (low, middle)
    return min((sized(low), sized(high)), key=lambda c: abs(_parameters(c) - target))


def _parameters(config: AtomsConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_atoms_model(config).parameters())


def train_one(
    name: str, config: AtomsConfig, frames: Frames, size: ScnScale, epochs: int, seed: int, runs: Path, console: Console
) -> Scored:
    """Train a network, or take the run that is there, and score the epoch that was best on the frames held out."""
    path = runs / f"{name}-{seed}"
    settings = TrainConfig(
        epochs=epochs,
        batch_size=size.batch,
        lr=size.lr,
        clip_grad=10.0,
        calibrate=0,
        seed=seed,
        best_metric="force_mae",
    )
    loss, metrics = EnergyForcesLoss(1.0, 10.0), EnergyForcesMetrics()
    table = {"task": {"frames": size.frames, "data": TRAIN}, "network": to_table(config)}
    build: Callable[[], nn.Module] = lambda: build_atoms_model(config)  # noqa: E731
    splits = (frames.train, frames.valid)
    found = trained(build, splits, loss, metrics, settings, table, path, console, collate_atoms)
    return Scored(found, path, scores_on_tests(found.network, frames), turned_forces(found.network, frames))


def on_grid(trained: nn.Module, config: AtomsConfig, rings: int) -> nn.Module:
    """A trained network with the nonlinearity on a grid of so many rings: weights know nothing of the grid."""
    network = build_atoms_model(replace(config, rings=rings))
    network.load_state_dict(trained.state_dict())
    return network


def scores_on_tests(network: nn.Module, frames: Frames) -> dict[str, float]:
    """Errors on the test frames, meV and meV/Å."""
    fabric, metrics = make_fabric(TrainConfig(accelerator="cpu")), EnergyForcesMetrics()
    scores = evaluate(network, frames.test, None, metrics, fabric=fabric, batch_size=50, collate=collate_atoms)
    assert scores is not None
    return scores


@torch.no_grad()
def turned_forces(network: nn.Module, frames: Frames, count: int = 50) -> float:
    """The mean absolute change of a component of the forces, meV/Å, when frames turn and forces are turned back, in
    float64."""
    network.double().eval()
    x, _ = collate_atoms(frames.test.samples[:count])
    x = x._replace(positions=x.positions.double(), offsets=x.offsets.double())
    upright, changes = network(*x).forces, []
    for R in random_rotations(4, torch.Generator().manual_seed(0)):
        moved = network(*x._replace(positions=x.positions @ R.T)).forces @ R
        changes.append(float((moved - upright).abs().mean()))
    network.float()
    return 1000 * sum(changes) / len(changes)


def run_of(scored: Scored) -> Run:
    """The run directory of a training."""
    return Run.open(scored.path)
