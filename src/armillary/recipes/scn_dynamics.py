"""Dynamics of constant energy with a trained network in ASE, and how far the energy drifts."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from armillary.data.structures import Structures
from armillary.train import Run

FEMTOSECONDS = 0.5
"""The step of Verlet's method."""


@dataclass(frozen=True)
class Drift:
    """The energy along a trajectory: ``times`` ps and ``totals``, eV above the first; ``slope`` of a line through them,
    meV per atom and ps; ``spread``, the standard deviation about it, and ``largest`` deviation from the start, meV per
    atom. ``whole``: whether all steps were made with every bond within twice its first length."""

    times: list[float]
    totals: list[float]
    slope: float
    spread: float
    largest: float
    temperature: float
    whole: bool


def drift(run: Run, frames: Structures, steps: int, kelvin: float = 300.0) -> Drift:
    """``steps`` of velocity Verlet from the first frame with momenta of ``kelvin`` (the same for every network), no
    linear or angular momentum; kept in the run's ``dynamics.json`` and not made again.

    Raises: ImportError without ase.
    """
    kept = f"dynamics-{steps}.json"
    if (run.path / kept).exists():
        return Drift(**run.read_json(kept))
    from ase import Atoms
    from ase.md.velocitydistribution import Stationary, ZeroRotation
    from ase.md.verlet import VelocityVerlet
    from ase.units import fs, kB

    from armillary.interop.ase import Calculator

    first = frames[0]
    atoms = Atoms(numbers=first.charges.numpy(), positions=first.positions.numpy())
    atoms.calc = Calculator(run, skin=1.0)
    widths = np.sqrt(kelvin * kB * atoms.get_masses())[:, None]
    atoms.set_momenta(np.random.default_rng(0).standard_normal((len(atoms), 3)) * widths)
    Stationary(atoms)
    ZeroRotation(atoms)
    apart = atoms.get_all_distances()
    bonds = np.nonzero(np.triu(apart < 1.7, 1))
    dynamics, every = VelocityVerlet(atoms, FEMTOSECONDS * fs), max(1, steps // 1000)
    times, totals, warmth, whole = [0.0], [atoms.get_total_energy()], [], True
    for step in range(every, steps + 1, every):
        dynamics.run(every)
        times.append(step * FEMTOSECONDS / 1000)
        totals.append(atoms.get_total_energy())
        warmth.append(atoms.get_temperature())
        whole = bool((atoms.get_all_distances()[bonds] < 2 * apart[bonds]).all()) and bool(np.isfinite(totals[-1]))
        if not whole:
            break
    found = _judged(np.array(times), np.array(totals), len(atoms), float(np.mean(warmth)), whole)
    run.write_json(kept, asdict(found))
    return found


def _judged(times: np.ndarray, totals: np.ndarray, atoms: int, temperature: float, whole: bool) -> Drift:
    above = np.nan_to_num(totals - totals[0], nan=1e6, posinf=1e6, neginf=-1e6)
    per_atom = 1000 * above / atoms
    slope, offset = np.polyfit(times, per_atom, 1)
    spread = float((per_atom - slope * times - offset).std())
    largest = float(np.abs(per_atom).max())
    return Drift(times.tolist(), above.tolist(), float(slope), spread, largest, temperature, whole)
