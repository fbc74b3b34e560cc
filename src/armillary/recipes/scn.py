"""System 20, spherical channel networks: energies and forces of ethanol, and dynamics with them, run again.

1. *Messages*: eSCN messages, which commute with rotations, against SCN messages, which follow the frame of the edge,
   and a network of distances, all of equal size; and forces by a head of their own against derivatives of the energy.
2. *Degrees and orders*: the error of forces against L and M, and what they cost.
3. *Dynamics*: the drift of the total energy along 10 ps at constant energy, in ASE.

Source: Zitnick et al. 2022, arXiv 2206.14331; Passaro & Zitnick 2023, arXiv 2302.03655.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.recipes.scn_dynamics import FEMTOSECONDS, Drift, drift
from armillary.recipes.scn_figure import draw
from armillary.recipes.scn_training import (
    Frames,
    ScnScale,
    Scored,
    of_equal_size,
    on_grid,
    run_of,
    scores_on_tests,
    train_one,
    turned_forces,
)

CLAIM = (
    "Networks of functions on the sphere predict forces better than networks of distances; messages that commute with "
    "rotations predict them better than messages that follow the frame; higher degrees predict better than lower "
    "ones; forces that are derivatives keep the energy of dynamics."
)
PUBLISHED = (
    "Published force error for ethanol of rMD17 at the same level of theory and with 1000 training frames, other "
    "frames than these: MACE 2.1 meV/Å, after many times as much training (Batatia et al. 2022, arXiv 2206.07697)."
)
SCALES = {
    "tiny": ScnScale(20, 4, 1, 1, 4, 1, ((1, 1), (1, 0)), 4),
    "small": ScnScale(1000, 500, 60, 15, 32, 2, ((2, 2), (0, 0), (1, 1), (2, 0), (2, 1), (3, 1), (3, 2)), 20000),
    "paper": ScnScale(1000, 500, 600, 150, 64, 3, ((3, 2), (1, 1), (2, 2), (3, 1), (4, 2), (6, 2)), 20000),
}
ESCN, SCN, INVARIANT, DIRECT = "eSCN message", "SCN message", "invariant network", "eSCN message, direct forces"
FORCE, ENERGY = "ethanol: mean absolute error of forces, meV/Å", "ethanol: mean absolute error of energies, meV"
TURNED = "ethanol: change of forces when frames turn, meV/Å"
COST = "seconds for an epoch"
SLOPE, LARGEST = (
    "dynamics: drift of the energy, meV per atom and ps",
    "dynamics: largest change of the energy, meV/atom",
)


def reproduce(scale: str, out: Path, seeds: int = 1) -> dict[str, Any]:
    """Run the claims again and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (an hour or two for each seed), "paper". Trainings are run directories below
    ``out/runs``: a recipe that was stopped continues from their checkpoints; those of different L and M, and the
    dynamics, are made for the first seed. Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale, seeds < 1, or where ``$ARMILLARY_DATA`` has no ``molecular_dynamics.npz``;
    ImportError without ase.
    """
    size, out, console = chosen_scale(SCALES, scale, seeds), Path(out), Console()
    importlib.import_module("armillary.interop.ase")  # says before the trainings where ase is missing
    frames = Frames(size)
    source = "arXiv 2206.14331, 2302.03655 (claims on OC20, which is not read here)"
    result = Result("scn", scale, CLAIM, "figures for OC20; of ethanol see the notes", source)
    equal = _equal(size, frames, out / "runs", seeds, console)
    sweep = _sweep(size, frames, out / "runs", console)
    drifts: dict[str, Drift] = {}
    for name, scored in equal.items():
        console.print(f"dynamics: {name}")
        drifts[name] = drift(run_of(scored[0]), frames.tests, size.steps)
    result.rows += _rows(equal, sweep, drifts) + _grids(equal[ESCN][0], frames)
    result.checks += judge(result.rows, size.degrees)
    result.notes += _notes(size, seeds, drifts)
    draw(out / "figure.png", {name: scored[0] for name, scored in equal.items()}, sweep, drifts)
    return result.write(out)


def _equal(size: ScnScale, frames: Frames, runs: Path, seeds: int, console: Console) -> dict[str, list[Scored]]:
    """The networks of equal size, by name: one training for each seed."""
    escn = frames.network
    contestants = {
        ESCN: ("escn", escn),
        SCN: ("scn", of_equal_size(replace(escn, name="scn"), escn)),
        INVARIANT: ("invariant", of_equal_size(replace(escn, name="invariant", layers=3, radial=32), escn)),
        DIRECT: ("direct", of_equal_size(replace(escn, forces="direct"), escn)),
    }
    found: dict[str, list[Scored]] = {}
    for name, (place, config) in contestants.items():
        for seed in range(seeds):
            console.print(f"{name}, seed {seed}")
            one = train_one(place, config, frames, size, size.epochs, seed, runs, console)
            found.setdefault(name, []).append(one)
    return found


def _sweep(size: ScnScale, frames: Frames, runs: Path, console: Console) -> dict[tuple[int, int], Scored]:
    """eSCN of other degrees and orders with as many channels, each trained for fewer epochs."""
    found = {}
    for l, m in size.degrees:
        console.print(sized(l, m))
        config = replace(frames.network, lmax=l, mmax=m)
        found[l, m] = train_one(f"sweep-{l}-{m}", config, frames, size, size.sweep_epochs, 0, runs, console)
    return found


def _rows(
    equal: Mapping[str, Sequence[Scored]], sweep: Mapping[tuple[int, int], Scored], drifts: Mapping[str, Drift]
) -> list[Row]:
    rows = []
    for name, several in [*equal.items(), *((sized(l, m), [s]) for (l, m), s in sweep.items())]:
        cost = (several[0].found.params, statistics.fmean(s.found.seconds for s in several))
        rows.append(Row.of_seeds(name, FORCE, [s.scores["force_mae"] for s in several], *cost))
        rows.append(Row.of_seeds(name, ENERGY, [s.scores["energy_mae"] for s in several], *cost))
        rows.append(Row.of_seeds(name, TURNED, [s.turned for s in several], *cost))
        rows.append(Row.of_seeds(name, COST, [s.seconds_per_epoch for s in several], *cost))
    for name, found in drifts.items():
        rows.append(Row(name, SLOPE, found.slope))
        rows.append(Row(name, LARGEST, found.largest))
    return rows


def _grids(escn: Scored, frames: Frames) -> list[Row]:
    """The trained network, its nonlinearity on finer grids than the published one, which it was trained on."""
    rows = []
    for rings in grids(frames.network.lmax):
        network = on_grid(escn.found.network, frames.network, rings)
        rows.append(Row(read_on(rings), FORCE, scores_on_tests(network, frames)["force_mae"]))
        rows.append(Row(read_on(rings), TURNED, turned_forces(network, frames)))
    return rows


def grids(lmax: int) -> tuple[int, int]:
    """Rings of the finer grids: twice and four times the published number."""
    return 4 * (lmax + 1), 8 * (lmax + 1)


def read_on(rings: int) -> str:
    """The name of the trained eSCN network on a grid of so many rings."""
    return f"{ESCN}, read on {rings} rings"


def sized(l: int, m: int) -> str:
    """The name of an eSCN network of those that differ in L and M."""
    return f"eSCN, L = {l}, M = {m}"


def judge(rows: Sequence[Row], degrees: Sequence[tuple[int, int]]) -> list[Check]:
    """The parts of the claim, from the rows; ``degrees`` are L and M of the eSCN networks that differ in them."""
    mean = {(row.name, row.metric): row.mean for row in rows}

    def below(text: str, paper: str, a: str, b: str, metric: str) -> Check:
        found = mean[a, metric], mean[b, metric]
        return Check(text, paper, f"{found[0]:.3g} against {found[1]:.3g}", found[0] < found[1])

    checks = [
        below(f"{FORCE}: {ESCN} below {SCN}", "yes (OC20)", ESCN, SCN, FORCE),
        below(f"{FORCE}: {ESCN} below {INVARIANT}", "yes (OC20)", ESCN, INVARIANT, FORCE),
        below(f"{FORCE}: {SCN} below {INVARIANT}", "yes (OC20)", SCN, INVARIANT, FORCE),
    ]
    finest = read_on(grids(degrees[0][0])[-1])
    text = f"turning frames changes forces of {ESCN} by the grid alone: by less than half on four times the rings"
    found = mean[ESCN, TURNED], mean[finest, TURNED]
    measured = f"{found[0]:.3g} and {found[1]:.3g} of {mean[ESCN, FORCE]:.3g} meV/Å"
    checks.append(Check(text, "equivariant up to the grid", measured, found[1] < found[0] / 2))
    checks.append(below(f"turning frames changes forces of {ESCN} less than of {SCN}", "yes", ESCN, SCN, TURNED))
    lowest, highest = min(degrees), max(degrees)
    checks.append(below("higher degrees have lower errors", "yes (OC20)", sized(*highest), sized(*lowest), FORCE))
    slope, wandering = abs(mean[ESCN, SLOPE]), mean[ESCN, LARGEST]
    text = f"{ESCN}, forces derivatives: energy drifts by less than 0.1 meV per atom and ps"
    checks.append(Check(text, "bounded", f"{slope:.2g}, largest change {wandering:.2g} meV/atom", slope < 0.1))
    direct = abs(mean[DIRECT, SLOPE])
    checks.append(Check(f"{DIRECT}: drifts more", "yes", f"{direct:.2g} against {slope:.2g}", direct > slope))
    return checks


def _notes(size: ScnScale, seeds: int, drifts: Mapping[str, Drift]) -> list[str]:
    held = max(1, size.frames // 20)
    broken = [f"{name} after {found.times[-1]:.2f} ps" for name, found in drifts.items() if not found.whole]
    warmth = ", ".join(f"{name} {found.temperature:.0f} K" for name, found in drifts.items())
    return [
        f"{size.frames - held} frames to train on, {held} to choose the epoch by, {size.tests} to test on; loss "
        f"|ΔE|/atoms + 10 ‖ΔF‖, AdamW, learning rate {size.lr:g}, {size.batch} frames a step; {size.epochs} epochs and "
        f"{seeds} seeds of the networks of equal size, {size.sweep_epochs} epochs of those that differ in L and M.",
        PUBLISHED,
        f"Dynamics: {size.steps} steps of {FEMTOSECONDS} fs from 300 K of kinetic energy, in float32; mean "
        f"temperatures {warmth}. " + (f"Bonds broke: {'; '.join(broken)}." if broken else "No bond broke."),
    ]
