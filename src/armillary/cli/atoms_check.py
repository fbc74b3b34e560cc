"""``armillary atoms check``: the symmetry of a trained network of atoms, and its forces against its energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from armillary.cli.atoms_settings import atoms_settings_of
from armillary.cli.atoms_trained import TrainedAtoms, load_trained_atoms
from armillary.cli.report import finite
from armillary.data import DataError, Structures, graphs_of, open_structures, read_structures
from armillary.groups import random_rotations
from armillary.nn import EnergyForces
from armillary.train import Run
from armillary.train.files import write_json
from armillary.train.pictures import save_figure

FAR = 10.0
"""Å that structures are moved by, a standard deviation in each direction."""
STEPS = {torch.float64: 1e-3, torch.float32: 3e-2}
"""Å of the finite differences: where rounding and the fourth power of the step are both small."""

Moved = Callable[[Structures, torch.Generator], tuple[Structures, Callable[[Tensor], Tensor]]]
"""Structures under a random symmetry, and what takes their forces back."""


def check(
    run: Path,
    file: str | None = None,
    *,
    samples: int = 8,
    draws: int = 4,
    seed: int = 0,
) -> int:
    """Measure how far a trained network of atoms is from its symmetries; write check.json and check.png to the run.

    Examples::

        armillary atoms check runs/md
        armillary atoms check runs/md new.xyz --samples 50 --draws 10

    For structures x and random g, a rotation, a reflection and rotation, a translation (10 Å) or a permutation of the
    atoms, cells turned as well and neighbours found anew, the error of energies is |E(g x) - E(x)| / |E(x)| and of
    forces |g⁻¹ F(g x) - F(x)| / |F(x)|, norms over all structures, E above the energies of single atoms. Derivatives:
    |d·F + D_d E| / |d·F|, D_d E the difference quotient of fourth order of the energy along random directions d. All in
    float64 and in float32.

    Parameters
    ----------
    run
        Directory written by armillary atoms train.
    file
        Structures to measure on (default: those of the run's test, or validation, split).
    samples
        Structures to take.
    draws
        Random elements of each symmetry, and directions.
    seed
        Seed of the structures and elements.
    """
    for name, value, least in (("samples", samples, 1), ("draws", draws, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"got --{name} {value}, wanted an integer >= {least}.")
    opened = Run.open(run)
    trained = load_trained_atoms(opened)
    structures = _bare(_structures(opened, file, samples, seed))
    unknown = trained.unknown(structures)
    if unknown:
        k, elements = next(iter(unknown.items()))
        raise DataError(f"{file}: structure {k} of those taken {trained.unknown_elements(elements)}.")
    rows = []
    jobs = [(name, dtype) for name in (*SYMMETRIES, "derivatives") for dtype in (torch.float64, torch.float32)]
    for name, dtype in track(jobs, "measuring", transient=True, disable=not Console().is_terminal):
        generator = torch.Generator().manual_seed(seed)
        if name == "derivatives":
            errors = {"force_error": _derivative_error(trained, structures, dtype, draws, generator)}
        else:
            errors = _symmetry_errors(trained, structures, SYMMETRIES[name], dtype, draws, generator)
        rows.append({"symmetry": name, "dtype": str(dtype).removeprefix("torch.")} | errors)
    result = {"structures": len(structures), "draws": draws, "network": trained.config.name, "rows": rows}
    write_json(opened.path / "check.json", finite(result))
    _print(rows, f"relative errors; {len(structures)} structures, {draws} draws")
    print(f"wrote {opened.path / 'check.json'}, {_draw(opened.path / 'check.png', rows)}")
    return 0


def _structures(run: Run, file: str | None, samples: int, seed: int) -> Structures:
    if file is not None:
        return read_structures(file, most=samples, seed=seed)
    held = open_structures(atoms_settings_of(run).data)
    found = held["test"] if "test" in held else held["valid"]
    chosen = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:samples]
    return found[chosen.sort().values]


def _bare(s: Structures) -> Structures:
    """Without what would have to be moved along."""
    return Structures(s.charges, s.positions, s.offsets, cells=s.cells, periodic=s.periodic)


def _turned(structures: Structures, generator: torch.Generator, reflect: bool) -> tuple[Structures, Any]:
    R = random_rotations(1, generator)[0].double()
    if reflect:
        R = -R
    cells = None if structures.cells is None else structures.cells @ R.T
    return replace(structures, positions=structures.positions @ R.T, cells=cells), lambda forces: forces @ R


def _rotated(structures: Structures, generator: torch.Generator) -> tuple[Structures, Any]:
    return _turned(structures, generator, reflect=False)


def _reflected(structures: Structures, generator: torch.Generator) -> tuple[Structures, Any]:
    return _turned(structures, generator, reflect=True)


def _shifted(structures: Structures, generator: torch.Generator) -> tuple[Structures, Any]:
    by = FAR * torch.randn(len(structures), 3, generator=generator, dtype=torch.float64)
    return replace(structures, positions=structures.positions + by[structures.batch]), lambda forces: forces


def _permuted(structures: Structures, generator: torch.Generator) -> tuple[Structures, Any]:
    parts = zip(structures.offsets.tolist(), structures.sizes.tolist(), strict=False)
    order = torch.cat([first + torch.randperm(size, generator=generator) for first, size in parts])
    moved = replace(structures, charges=structures.charges[order], positions=structures.positions[order])
    return moved, lambda forces: torch.empty_like(forces).index_copy(0, order, forces)


SYMMETRIES: dict[str, Moved] = {
    "rotations": _rotated,
    "reflections": _reflected,
    "translations": _shifted,
    "permutations": _permuted,
}


def _evaluated(trained: TrainedAtoms, structures: Structures, dtype: torch.dtype) -> EnergyForces:
    return trained.evaluate(graphs_of(structures, trained.config.cutoff, dtype), 16, dtype)


def _symmetry_errors(
    trained: TrainedAtoms,
    structures: Structures,
    moved: Moved,
    dtype: torch.dtype,
    draws: int,
    generator: torch.Generator,
) -> dict[str, float]:
    here = _evaluated(trained, structures, dtype)
    energies, forces = [], []
    for _ in range(draws):
        there, back = moved(structures, generator)
        found = _evaluated(trained, there, dtype)
        energies.append(_relative(found.energies - here.energies, here.energies))
        forces.append(_relative(back(found.forces) - here.forces, here.forces))
    return {"energy_error": sum(energies) / draws, "force_error": sum(forces) / draws}


def _derivative_error(
    trained: TrainedAtoms, structures: Structures, dtype: torch.dtype, draws: int, generator: torch.Generator
) -> float:
    def per_structure(values: Tensor) -> Tensor:
        return torch.zeros(len(structures), dtype=torch.float64).index_add(0, structures.batch, values.sum(1))

    h, forces = STEPS[dtype], _evaluated(trained, structures, dtype).forces
    wrong, along = [], []
    for _ in range(draws):
        d = torch.randn(forces.shape, generator=generator, dtype=torch.float64)
        d /= per_structure(d.square()).sqrt()[structures.batch][:, None]
        e = {
            k: _evaluated(trained, replace(structures, positions=structures.positions + k * h * d), dtype).energies
            for k in (-2, -1, 1, 2)
        }
        quotient = (8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * h)
        along.append(per_structure(d * forces))
        wrong.append(along[-1] + quotient)
    return _relative(torch.cat(wrong), torch.cat(along))


def _relative(difference: Tensor, value: Tensor) -> float:
    size = float(value.norm())
    return float(difference.norm()) / size if size > 0 else float("nan")


def _print(rows: list[dict[str, Any]], title: str) -> None:
    table = Table("symmetry", "energy, float64", "forces, float64", "energy, float32", "forces, float32", title=title)
    for name in dict.fromkeys(row["symmetry"] for row in rows):
        own = {row["dtype"]: row for row in rows if row["symmetry"] == name}
        cells = [own[dtype].get(key) for dtype in ("float64", "float32") for key in ("energy_error", "force_error")]
        table.add_row(name, *("" if cell is None else f"{cell:.1e}" for cell in cells))
    Console().print(table)


def _draw(path: Path, rows: list[dict[str, Any]]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axis = figure.subplots()
    names = list(dict.fromkeys(row["symmetry"] for row in rows))
    for k, (dtype, key) in enumerate((d, e) for d in ("float64", "float32") for e in ("energy_error", "force_error")):
        own = [(names.index(r["symmetry"]), r[key]) for r in rows if r["dtype"] == dtype and r.get(key)]
        label = f"{'energy' if key == 'energy_error' else 'forces'}, {dtype}"
        axis.plot([x + 0.15 * (k - 1.5) for x, _ in own], [y for _, y in own], "os"[k % 2], label=label)
    axis.set_xticks(range(len(names)), names)
    axis.set_yscale("log")
    axis.set_ylabel("relative error")
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=7, ncols=2)
    return save_figure(figure, path)
