"""``armillary atoms relax`` and ``armillary atoms dynamics``: ASE with a trained network."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from armillary.cli.atoms_trained import free_target, load_trained_atoms
from armillary.data import Structures, format_extxyz, read_structures
from armillary.train import Run
from armillary.train.devices import resolve_accelerator
from armillary.train.files import write_text

if TYPE_CHECKING:
    from ase import Atoms

Precision = Literal["float32", "float64"]
Accelerator = Literal["auto", "cpu", "cuda"]


def relax(
    run: Path,
    file: str,
    *,
    out: Path | None = None,
    fmax: float = 0.02,
    steps: int = 500,
    cell: bool = False,
    precision: Precision = "float64",
    overwrite: bool = False,
    accelerator: Accelerator = "auto",
) -> int:
    """Move the atoms of each structure of a file to where a trained network's forces vanish (needs ase).

    Examples::

        armillary atoms relax runs/md start.xyz --out relaxed.xyz
        armillary atoms relax runs/crystals start.xyz --cell --fmax 0.005

    Written are the last positions with energy (eV) and forces (eV/Å), as extended XYZ. The exit code is 1 if a
    structure did not converge; it is written all the same, and named.

    Parameters
    ----------
    run
        Directory written by armillary atoms train.
    file
        Structures to start from.
    out
        The file to write (default: RUN/relaxed/NAME.xyz).
    fmax
        Largest force that is left on an atom, eV/Å.
    steps
        Steps of L-BFGS at most, for each structure.
    cell
        Relax the cells too, of structures that are periodic in three directions.
    precision
        What the network computes in.
    overwrite
        Replace a result that exists.
    accelerator
        Kind of device.
    """
    if not fmax > 0 or steps < 1:
        raise ValueError(f"got --fmax {fmax:g} and --steps {steps}, wanted a force > 0 and 1 or more steps.")
    target = free_target(out or run / "relaxed" / f"{Path(file).stem}.xyz", file, overwrite)
    held, calculator = _opened(run, file, precision, accelerator)
    if cell and not (held.periodic is not None and bool(held.periodic.all())):
        raise ValueError(f"got --cell, not all structures of {file} are periodic in three directions: leave it out.")
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    frames, table = (
        _Frames(),
        Table("structure", "atoms", "energy before [eV]", "after", "steps", "largest force [eV/Å]"),
    )
    late = []
    for k in track(range(len(held)), "relaxing", transient=True, disable=not Console().is_terminal):
        atoms = _atoms(held, k)
        atoms.calc = calculator
        before = atoms.get_potential_energy()
        optimizer = LBFGS(FrechetCellFilter(atoms) if cell else atoms, logfile=None)  # type: ignore[arg-type]
        if not optimizer.run(fmax=fmax, steps=steps):
            late.append(k)
        frames.add(atoms)
        largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        energies = (f"{before:.4f}", f"{atoms.get_potential_energy():.4f}")
        table.add_row(str(k), str(len(atoms)), *energies, str(optimizer.nsteps), f"{largest:.4f}")
    write_text(target, format_extxyz(frames.joined()))
    Console().print(table)
    print(f"{file}: {len(held)} structure{'s' * (len(held) != 1)} -> {target}")
    if late:
        numbers = ", ".join(map(str, late[:8])) + (", ..." if len(late) > 8 else "")
        print(f"{len(late)} did not converge in {steps} steps: structure {numbers}.", file=sys.stderr)
    return 1 if late else 0


def dynamics(
    run: Path,
    file: str,
    *,
    out: Path | None = None,
    structure: int = 0,
    kelvin: float = 300.0,
    femtoseconds: float = 0.5,
    steps: int = 2000,
    every: int = 10,
    friction: float = 0.0,
    seed: int = 0,
    precision: Precision = "float64",
    overwrite: bool = False,
    accelerator: Accelerator = "auto",
) -> int:
    """Molecular dynamics of one structure with a trained network (needs ase).

    Examples::

        armillary atoms dynamics runs/md start.xyz --out trajectory.xyz
        armillary atoms dynamics runs/md start.xyz --kelvin 500 --friction 10 --steps 20000 --every 50

    Velocity Verlet at constant energy, or Langevin's equation where there is a friction. Frames are written as extended
    XYZ with energy, forces, velocities (Å/fs), time (ps), temperature (K) and total_energy (eV). Ctrl-C writes the
    frames that were made. The exit code is 1 if the atoms flew apart, past numbers that are finite.

    Parameters
    ----------
    run
        Directory written by armillary atoms train.
    file
        A structure to start from.
    out
        The file to write (default: RUN/dynamics/NAME.xyz).
    structure
        Which structure of the file, from 0.
    kelvin
        Temperature of the velocities at the start, and of Langevin's heat bath.
    femtoseconds
        Time step.
    steps
        Time steps.
    every
        Steps between frames that are written.
    friction
        Friction of Langevin's equation, 1/ps; 0: constant energy.
    seed
        Seed of the velocities and of the heat bath.
    precision
        What the network computes in.
    overwrite
        Replace a result that exists.
    accelerator
        Kind of device.
    """
    for name, value in (("kelvin", kelvin), ("femtoseconds", femtoseconds), ("friction", friction)):
        if not (0 <= value < math.inf) or (name == "femtoseconds" and value == 0):
            raise ValueError(f"got --{name} {value:g}, wanted a number {'> 0' if name == 'femtoseconds' else '>= 0'}.")
    for name, count, least in (
        ("steps", steps, 1),
        ("every", every, 1),
        ("structure", structure, 0),
        ("seed", seed, 0),
    ):
        if count < least:
            raise ValueError(f"got --{name} {count}, wanted an integer >= {least}.")
    target = free_target(out or run / "dynamics" / f"{Path(file).stem}.xyz", file, overwrite)
    held, calculator = _opened(run, file, precision, accelerator)
    if structure >= len(held):
        raise ValueError(f"got --structure {structure}, {file} has 0 to {len(held) - 1}.")
    atoms = _atoms(held, structure)
    atoms.calc = calculator
    mover = _mover(atoms, kelvin, femtoseconds, friction, seed)
    frames, apart = _Frames(), False
    frames.add(atoms, 0.0)
    try:
        with Progress(transient=True, disable=not Console().is_terminal) as progress:
            task = progress.add_task("moving", total=steps)
            for done in range(every, steps + 1, every):
                mover.run(every)
                apart = not math.isfinite(atoms.get_total_energy())
                if apart:
                    break
                frames.add(atoms, done * femtoseconds / 1000)
                progress.update(task, completed=done)
    except ValueError:
        apart = not np.isfinite(atoms.positions).all()  # such have no neighbours
        if not apart:
            raise
    finally:
        write_text(target, format_extxyz(frames.joined()))
        print(f"{file}: {len(frames.parts)} frames -> {target}")
    total, warm = frames.values["total_energy"], frames.values["temperature"]
    print(f"temperature {np.mean(warm):.0f} K; total energy {1000 * (total[-1] - total[0]) / len(atoms):+.3g} meV/atom")
    if apart:
        print(f"the atoms flew apart after {frames.values['time'][-1]:g} ps.", file=sys.stderr)
    return 1 if apart else 0


def _mover(atoms: Atoms, kelvin: float, femtoseconds: float, friction: float, seed: int) -> Any:
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import Stationary, ZeroRotation
    from ase.md.verlet import VelocityVerlet
    from ase.units import fs, kB

    draws = np.random.default_rng(seed)
    widths = np.sqrt(kelvin * kB * atoms.get_masses())[:, None]
    atoms.set_momenta(draws.standard_normal((len(atoms), 3)) * widths)
    if len(atoms) > 1:
        Stationary(atoms)
        if not atoms.pbc.any():
            ZeroRotation(atoms)
    if friction == 0:
        return VelocityVerlet(atoms, timestep=femtoseconds * fs)
    return Langevin(
        atoms, timestep=femtoseconds * fs, temperature_K=kelvin, friction=friction / (1000 * fs), rng=draws, fixcm=False
    )


def _opened(run: Path, file: str, precision: Precision, accelerator: Accelerator) -> tuple[Structures, Any]:
    """The structures, all of elements the network knows, and its calculator."""
    from armillary.interop.ase import Calculator

    opened = Run.open(run)
    trained, held = load_trained_atoms(opened), read_structures(file)
    for k, elements in trained.unknown(held).items():
        raise ValueError(f"{file}: structure {k} {trained.unknown_elements(elements)}.")
    return held, Calculator(opened, dtype=precision, device=resolve_accelerator(accelerator), skin=1.0)


def _atoms(held: Structures, k: int) -> Atoms:
    from ase import Atoms

    one = held[k]
    atoms = Atoms(numbers=one.charges.numpy(), positions=one.positions.numpy())
    if one.cells is not None and one.periodic is not None:
        atoms.set_cell(one.cells[0].numpy())
        atoms.set_pbc(one.periodic[0].numpy())
    return atoms


@dataclass
class _Frames:
    """What a run of ASE passes through."""

    parts: list[Structures] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {"time": [], "temperature": [], "total_energy": []})
    velocities: list[torch.Tensor] = field(default_factory=list)

    def add(self, atoms: Atoms, time: float | None = None) -> None:
        """The atoms as they are; with a time (ps) what moves as well."""
        from ase.units import fs

        periodic = bool(atoms.pbc.any())
        self.parts.append(
            Structures(
                torch.from_numpy(atoms.numbers.astype(np.int64)),
                torch.from_numpy(atoms.positions.copy()),
                torch.tensor([0, len(atoms)]),
                torch.tensor([atoms.get_potential_energy()], dtype=torch.float64),
                torch.from_numpy(atoms.get_forces().astype(np.float64)),
                torch.from_numpy(np.array(atoms.cell))[None] if periodic else None,
                torch.from_numpy(atoms.pbc.copy())[None] if periodic else None,
            )
        )
        if time is not None:
            for name, value in zip(self.values, (time, atoms.get_temperature(), atoms.get_total_energy()), strict=True):
                self.values[name].append(float(value))
            self.velocities.append(torch.from_numpy(atoms.get_velocities() * fs))

    def joined(self) -> Structures:
        """All frames, with what was kept of their motion."""
        whole = Structures.join(self.parts)
        if not self.velocities:
            return whole
        properties = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.values.items()}
        return Structures(
            whole.charges,
            whole.positions,
            whole.offsets,
            whole.energies,
            whole.forces,
            whole.cells,
            whole.periodic,
            properties=properties | {"velocities": torch.cat(self.velocities)},
        )
