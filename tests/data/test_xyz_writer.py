"""Extended XYZ that is written: the same tensors come back, ASE reads the same, a failed write changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from armillary.data import Structures, read_extxyz, write_extxyz

SIZES = (3, 1, 4)


def structures(periodic: bool = True, seed: int = 0) -> Structures:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return 1e3 * torch.randn(*shape, generator=generator, dtype=torch.float64) ** 3

    atoms, n = sum(SIZES), len(SIZES)
    cells = wraps = None
    stresses = draw(n, 3, 3)
    if periodic:
        cells, wraps = draw(n, 3, 3), torch.tensor([[True, True, False], [False] * 3, [True] * 3])
        cells[1] = 0
    return Structures(
        torch.randint(1, 119, (atoms,), generator=generator),
        draw(atoms, 3),
        torch.tensor([0, *SIZES]).cumsum(0),
        draw(n),
        draw(atoms, 3),
        cells,
        wraps,
        stresses + stresses.mT if periodic else None,
        {
            "temperature": draw(n),
            "id": torch.arange(n) - 1,
            "relaxed": torch.arange(n) > 1,
            "weights": draw(n, 3),
            "single": draw(n, 1),
            "matrix": draw(n, 2, 3),
            "spin": draw(atoms),
            "tags": torch.arange(atoms),
            "fixed": torch.arange(atoms) % 2 == 0,
            "momenta": draw(atoms, 3),
        },
    )


@pytest.mark.parametrize("periodic", [True, False])
def test_what_is_read_is_what_was_written(tmp_path: Path, periodic: bool) -> None:
    given = structures(periodic)
    write_extxyz(tmp_path / "a.xyz", given)
    found = read_extxyz(tmp_path / "a.xyz")
    for name in ("charges", "positions", "offsets", "energies", "forces", "cells", "periodic", "stresses"):
        value = getattr(given, name)
        assert (getattr(found, name) is None) == (value is None), name
        assert value is None or torch.equal(getattr(found, name), value), name
    assert set(found.properties) == set(given.properties)
    for name, value in given.properties.items():
        assert torch.equal(found.properties[name], value), name
        assert found.properties[name].dtype == value.dtype, name
    assert list(tmp_path.iterdir()) == [tmp_path / "a.xyz"]


def test_ase_reads_the_same(tmp_path: Path) -> None:
    io = pytest.importorskip("ase.io")
    given = structures()
    write_extxyz(tmp_path / "a.xyz", given)
    for k, atoms in enumerate(io.read(tmp_path / "a.xyz", ":", format="extxyz")):
        one = given[k]
        np.testing.assert_array_equal(atoms.numbers, one.charges)
        np.testing.assert_array_equal(atoms.positions, one.positions)
        np.testing.assert_array_equal(atoms.cell.array, one.cells[0])  # type: ignore[index]
        np.testing.assert_array_equal(atoms.pbc, one.periodic[0])  # type: ignore[index]
        assert atoms.get_potential_energy() == float(one.energies)  # type: ignore[arg-type]
        np.testing.assert_array_equal(atoms.get_forces(), one.forces)
        np.testing.assert_array_equal(atoms.get_stress(voigt=False), one.stresses[0])  # type: ignore[index]
        np.testing.assert_array_equal(atoms.info["weights"], one.properties["weights"][0])
        np.testing.assert_array_equal(atoms.arrays["spin"], one.properties["spin"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("energy", torch.zeros(3), "another name"),
        ("a b", torch.zeros(3), "another name"),
        ("a:b", torch.zeros(8), "another name"),
        ("rank two", torch.zeros(8), "another name"),
        ("tensor", torch.zeros(8, 3, 3), r"shape \(8, 3, 3\)"),
        ("matrix", torch.full((3, 2, 2), torch.nan), "not finite"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, value: Tensor, message: str) -> None:
    given = structures()
    path = tmp_path / "a.xyz"
    path.write_text("old")
    wrong = Structures(given.charges, given.positions, given.offsets, properties={name: value})
    with pytest.raises(ValueError, match=message):
        write_extxyz(path, wrong)
    assert path.read_text() == "old"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_extxyz(path, structures())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
