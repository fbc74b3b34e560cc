"""The calculator of a run: energies, forces and stress against the network and differences, relaxation, dynamics."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from armillary.data.atom_graphs import atom_graph
from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.train import Run, RunError, TrainConfig, to_table
from armillary.train.run import Checkpoint

ase = pytest.importorskip("ase")

from ase.build import bulk, molecule  # noqa: E402
from ase.calculators.calculator import PropertyNotImplementedError  # noqa: E402
from ase.filters import FrechetCellFilter  # noqa: E402
from ase.md.verlet import VelocityVerlet  # noqa: E402
from ase.optimize import BFGS  # noqa: E402
from ase.units import fs, kB  # noqa: E402

from armillary.interop.ase import Calculator  # noqa: E402

TINY = AtomsConfig(
    elements=(1, 6, 8, 29), references=(-13.5, -1000.25, -2000.125, -5.0), channels=4, lmax=1, mmax=1, hidden=4,
    cutoff=4.0, radial=4, scale=0.3,
)  # fmt: skip
KINDS = {
    "escn": TINY,
    "scn, direct": replace(TINY, name="scn", forces="direct"),
    "invariant": replace(TINY, name="invariant", radial=8, channels=8),
}


def run_of(path: Path, config: AtomsConfig) -> Run:
    torch.manual_seed(1)
    run = Run.create(path, {"network": to_table(config), "train": to_table(TrainConfig())})
    run.save_checkpoint("best", Checkpoint(build_atoms_model(config).state_dict(), {}))
    return run


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest) -> AtomsConfig:
    return KINDS[request.param]


def calculator(path: Path, config: AtomsConfig = TINY, **options: Any) -> Calculator:
    return Calculator(run_of(path / "run", config), **{"dtype": "float64", **options})


def test_energies_and_forces_are_the_networks(tmp_path: Path, config: AtomsConfig) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator(tmp_path, config)
    model = build_atoms_model(config)
    model.load_state_dict(Run.open(tmp_path / "run").load_weights("best"))
    graph = atom_graph(torch.from_numpy(atoms.numbers).long(), torch.from_numpy(atoms.positions), config.cutoff)
    found = model.double()(*graph._replace(positions=torch.from_numpy(atoms.positions), offsets=graph.offsets.double()))
    references = 2 * -1000.25 - 2000.125 - 6 * 13.5
    assert atoms.get_potential_energy() == pytest.approx(float(found.energies.detach()) + references, abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), found.forces.detach().numpy(), atol=1e-10)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()  # no cell
    single = Calculator(tmp_path / "run")
    assert single.get_potential_energy(atoms) == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert "stress" in single.implemented_properties or config.forces == "direct"


@pytest.mark.parametrize("name", ["escn", "invariant"])
def test_forces_and_stress_are_derivatives(tmp_path: Path, name: str) -> None:
    atoms = bulk("Cu", "fcc", a=3.6)  # a cell smaller than the cutoff
    atoms = atoms.repeat((2, 1, 1))
    atoms.rattle(0.1, seed=3)
    atoms.calc = calculator(tmp_path, KINDS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the name of these two changes in ASE
        numeric = atoms.calc.calculate_numerical_stress(atoms, d=1e-5)
        forces = atoms.calc.calculate_numerical_forces(atoms, d=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), numeric, atol=1e-8)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-7)
    assert np.abs(numeric).max() > 1e-4
    shifted = atoms.copy()
    shifted.positions += [7.3, -2.2, 0.4]
    shifted.wrap()
    shifted.calc = atoms.calc
    assert shifted.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    double = atoms.repeat((1, 2, 1))
    double.calc = Calculator(tmp_path / "run", dtype="float64")
    assert double.get_potential_energy() == pytest.approx(2 * atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(double.get_stress(), atoms.get_stress(), atol=1e-9)


def test_results_do_not_depend_on_the_skin(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", TINY)
    with_skin, without = Calculator(run, dtype="float64", skin=1.0), Calculator(run, dtype="float64", skin=0.0)
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    random = np.random.default_rng(0)
    for step in range(6):
        atoms.positions += 0.25 * random.standard_normal((len(atoms), 3))
        if step == 3:
            atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
        if step == 4:
            del atoms[0]
        energies = [calc.get_potential_energy(atoms) for calc in (with_skin, without)]
        assert energies[0] == pytest.approx(energies[1], abs=1e-9)
        np.testing.assert_allclose(with_skin.get_stress(atoms), without.get_stress(atoms), atol=1e-9)


def test_a_structure_relaxes(tmp_path: Path) -> None:
    """Cell and positions, down the energy of a network with random weights."""
    atoms = bulk("Cu", "fcc", a=3.4, cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.calc = calculator(tmp_path)
    inside = FrechetCellFilter(atoms)
    energies = [atoms.get_potential_energy()]
    relaxation = BFGS(inside, logfile=None, maxstep=0.02)
    for _ in range(3):
        relaxation.run(fmax=0, steps=10)
        energies.append(atoms.get_potential_energy())
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < energies[0]


def kicks(atoms: Any) -> np.ndarray:
    """Momenta of 300 K."""
    return np.random.default_rng(1).standard_normal((len(atoms), 3)) * np.sqrt(300 * kB * atoms.get_masses())[:, None]


def test_constant_energy_dynamics(tmp_path: Path) -> None:
    """Verlet keeps the energy to second order in the step: a quarter of the error at half the step."""
    run, spread = run_of(tmp_path / "run", TINY), []
    for step in (0.4, 0.2):
        atoms = molecule("CH3CH2OH")
        atoms.calc = Calculator(run, dtype="float64")
        atoms.set_momenta(kicks(atoms))
        dynamics, totals = VelocityVerlet(atoms, step * fs), []
        for _ in range(round(16 / step)):
            dynamics.run(1)
            totals.append(atoms.get_total_energy())
        spread.append(np.ptp(totals))
    assert spread[0] < 0.02
    assert spread[1] < 0.4 * spread[0]


def test_errors(tmp_path: Path) -> None:
    calc = calculator(tmp_path)
    with pytest.raises(ValueError, match=r"atomic numbers \[7\], the run knows \[1, 6, 8, 29\]"):
        calc.get_potential_energy(molecule("NH3"))
    atoms = molecule("H2O")
    atoms.positions[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        calc.get_potential_energy(atoms)
    with pytest.raises(ValueError, match="skin"):
        Calculator(tmp_path / "run", skin=-1)
    with pytest.raises(ValueError, match="dtype"):
        Calculator(tmp_path / "run", dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="no checkpoint 'last'"):
        Calculator(tmp_path / "run", "last")
    Run.create(tmp_path / "other", {"train": {}})
    with pytest.raises(RunError, match=r"no \[network\] in its settings"):
        Calculator(tmp_path / "other")
