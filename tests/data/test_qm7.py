"""Molecules from a file, potentials on spheres about atoms, Coulomb matrices: against direct sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataError
from armillary.data.qm7 import Molecules, atom_signals, coulomb_matrices, folds, load_qm7
from armillary.groups import random_rotation
from armillary.harmonics import rotate
from armillary.spaces import GaussLegendre

WATER = [(8, 0.0, 0.0, 0.0), (1, 0.96, 0.0, 0.0), (1, -0.24, 0.93, 0.0)]
CYANIDE = [(1, 0.0, 0.0, -1.07), (6, 0.1, 0.0, 0.0), (7, 0.0, 0.2, 1.15)]


def made_up() -> Molecules:
    atoms = torch.tensor([[*WATER, (0, 0, 0, 0)], [*CYANIDE, (0, 0, 0, 0)]], dtype=torch.float64)
    return Molecules(atoms[..., 0].long(), atoms[..., 1:].contiguous(), torch.tensor([-232.0, -310.0]).double())


def write(path: Path, **changes: np.ndarray) -> Path:
    m = made_up()
    arrays = {
        "z": m.charges.numpy().astype(np.uint8),
        "pos": m.positions.numpy().astype(np.float32),
        "hof_kcal": m.energies.numpy(),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def test_reading(tmp_path: Path) -> None:
    m = load_qm7(write(tmp_path / "a.npz"))
    assert len(m) == 2
    torch.testing.assert_close(m.positions, made_up().positions, rtol=0, atol=1e-6)
    assert m.counts().tolist() == [[2, 0, 0, 1, 0], [1, 1, 1, 0, 0]]
    assert m.select(torch.tensor([1])).energies.tolist() == [-310.0]
    arrays = dict(np.load(tmp_path / "a.npz", allow_pickle=False))
    both = {f"{k}{s}": v for k, v in arrays.items() for s in ("_train", "_test")}
    np.savez(tmp_path / "b.npz", **both)
    assert len(load_qm7(tmp_path / "b.npz")) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": np.ones((2, 4))}, "wanted integers"),
        ({"z": np.ones((2, 3), np.uint8)}, r"got charges \(2, 3\)"),
        ({"z": np.zeros((2, 4), np.uint8)}, "each molecule has an atom"),
        ({"pos": np.full((2, 4, 3), np.nan)}, "not finite"),
        ({"pos": np.zeros((2, 4, 3))}, "0 Å apart"),
        ({"hof_kcal": np.zeros((3,))}, r"energies \(3,\)"),
        ({"hof_kcal": np.array(["a", "b"])}, "wanted integers and twice real numbers"),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_qm7(write(tmp_path / "a.npz", **changes))


def test_missing_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=np.ones((2, 4), np.uint8))
    with pytest.raises(DataError, match="pos"):
        load_qm7(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable"):
        load_qm7(tmp_path / "b.npz")


def test_signals_by_the_direct_sum() -> None:
    grid, radius = GaussLegendre(4), 0.4
    x = atom_signals(made_up(), grid, radius, centres=(6, 7, 8))
    assert x.shape == (2, 2, 5 + 3, *grid.shape)  # O; C and N
    assert float(x[0, 1].abs().max()) == 0
    assert x[:, :, 5:, 2, 3].tolist() == [[[0, 0, 1], [0, 0, 0]], [[1, 0, 0], [0, 1, 0]]]
    for molecule, atoms, centres in ((0, WATER, [0]), (1, CYANIDE, [1, 2])):
        for place, i in enumerate(centres):
            for c, z in enumerate((1, 6, 7, 8, 16)):
                for p, q in ((0, 0), (3, 5)):
                    at = torch.tensor(atoms[i][1:]).double() + radius * grid.points[p, q]
                    wanted = sum(
                        atoms[i][0] * z / float((at - torch.tensor(atom[1:]).double()).norm())
                        for j, atom in enumerate(atoms)
                        if j != i and atom[0] == z
                    )
                    assert float(x[molecule, place, c, p, q]) == pytest.approx(wanted, rel=1e-6)


def test_places_without_an_atom_may_lie_on_a_sphere() -> None:
    """Padding lies at the origin: on a grid point of the sphere about C, here, where the potential of an atom is
    infinite."""
    grid, radius = GaussLegendre(4), 0.4
    positions = torch.zeros(1, 3, 3, dtype=torch.float64)
    positions[0, 0] = -radius * grid.points[1, 2]
    positions[0, 1] = positions[0, 0] + torch.tensor([1.0, 0.5, 0.0])
    energy = torch.zeros(1, dtype=torch.float64)
    with_padding = atom_signals(Molecules(torch.tensor([[6, 1, 0]]), positions, energy), grid, radius)
    without = atom_signals(Molecules(torch.tensor([[6, 1]]), positions[:, :2], energy), grid, radius)
    assert torch.equal(with_padding, without)


def test_turned_molecules_have_turned_signals() -> None:
    m, grid, R = made_up(), GaussLegendre(48), random_rotation(torch.Generator().manual_seed(0))
    turned = Molecules(m.charges, m.positions @ R.mT, m.energies)
    x, y = (atom_signals(k, grid, 0.4).double() for k in (m, turned))
    assert (rotate(x, grid, R) - y).norm() < 1e-5 * y.norm()


def test_bad_arguments_of_signals() -> None:
    grid = GaussLegendre(4)
    for radius in (0.0, 0.49, -1.0):
        with pytest.raises(ValueError, match="half the least distance"):
            atom_signals(made_up(), grid, radius)
    with pytest.raises(DataError, match=r"charge \[8\]"):
        atom_signals(made_up(), grid, 0.4, elements=(1, 6, 7))
    with pytest.raises(DataError, match="no molecule has an atom"):
        atom_signals(made_up(), grid, 0.4, centres=(16,))


def test_coulomb_matrices() -> None:
    m = made_up()
    got = coulomb_matrices(m)
    assert got.shape == (2, 10)
    bohr = 0.529177210903
    oh, hh = 8 / (0.96 / bohr), 1 / (float((m.positions[0, 1] - m.positions[0, 2]).norm()) / bohr)
    oh2 = 8 / (float(m.positions[0, 2].norm()) / bohr)
    first, second = max(oh, oh2), min(oh, oh2)
    wanted = [0.5 * 8**2.4, first, second, 0, 0.5, hh, 0, 0.5, 0, 0]
    torch.testing.assert_close(got[0], torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=0)
    mixed = torch.tensor([2, 0, 3, 1])
    R = random_rotation(torch.Generator().manual_seed(0))
    other = Molecules(m.charges[:, mixed], m.positions[:, mixed] @ R.mT, m.energies)
    torch.testing.assert_close(coulomb_matrices(other), got, rtol=1e-10, atol=1e-12)


def test_folds() -> None:
    parts = folds(23, 5)
    assert sorted(torch.cat(parts).tolist()) == list(range(23))
    assert {len(p) for p in parts} == {4, 5}
    assert all(torch.equal(a, b) for a, b in zip(parts, folds(23, 5), strict=True))
    assert not torch.equal(parts[0], folds(23, 5, seed=1)[0])
    for n, count in ((4, 5), (4, 1)):
        with pytest.raises(ValueError, match="folds of"):
            folds(n, count)


@pytest.mark.data
def test_the_real_file(data_dir: Path) -> None:
    """6 000 molecules of H, C, N, O and S, energies in kcal/mol, of which atom counts leave 15 to 20."""
    m = load_qm7(data_dir / "qm7.npz")
    counts = m.counts()
    assert len(m) == 6000
    assert 0.9 < m.closest() < 1.0
    assert -2200 < float(m.energies.min()) < float(m.energies.max()) < -400
    table = torch.cat([counts, torch.ones(6000, 1).double()], dim=1)
    rest = m.energies - table @ torch.linalg.lstsq(table, m.energies, driver="gelsd").solution
    assert 15 < float(rest.square().mean().sqrt()) < 20
