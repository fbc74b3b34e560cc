"""Files of structures told apart, and split: by name, by content, wrong ones named."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import AtomsDataConfig, DataError, Structures, open_structures, read_structures, write_extxyz
from armillary.data.splits import split_ends


def water(n: int = 10, seed: int = 0) -> Structures:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3 * n, 3, generator=generator, dtype=torch.float64)
    energies = torch.arange(n, dtype=torch.float64)
    return Structures(torch.tensor([8, 1, 1]).repeat(n), x, 3 * torch.arange(n + 1), energies, -x)


def as_xyz(path: Path, s: Structures) -> Path:
    write_extxyz(path, s)
    return path


def as_npz(path: Path, s: Structures, *names: str) -> Path:
    arrays = {}
    for name in names or ("water",):
        arrays[f"{name}_z"] = s.charges[:3].numpy()
        arrays[f"{name}_pos"], arrays[f"{name}_forces"] = (v.reshape(-1, 3, 3).numpy() for v in (s.positions, s.forces))  # type: ignore[union-attr]
        arrays[f"{name}_energy"] = s.energies.numpy()  # type: ignore[union-attr]
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    return path


def as_lmdb(path: Path, s: Structures) -> Path:
    lmdb = pytest.importorskip("lmdb")
    environment = lmdb.open(str(path), subdir=False, map_size=1 << 22, lock=False)
    with environment.begin(write=True) as transaction:
        for k in range(len(s)):
            one = s[k]
            row = {"numbers": one.charges.tolist(), "positions": one.positions.tolist(), "energy": float(one.energies)}  # type: ignore[arg-type]
            row["forces"] = one.forces.tolist()  # type: ignore[union-attr]
            transaction.put(str(k).encode(), zlib.compress(json.dumps(row).encode()))
    environment.close()
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Structures], Path]]] = {
    "xyz": ("a.xyz", as_xyz),
    "extxyz": ("a.EXTXYZ", as_xyz),
    "npz": ("a.npz", as_npz),
    "lmdb": ("a.lmdb", as_lmdb),
    "xyz by content": ("md.out", as_xyz),
    "npz by content": ("md", as_npz),
    "lmdb by content": ("data.mdb", as_lmdb),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_files_are_told_apart(tmp_path: Path, kind: str) -> None:
    name, write = WRITERS[kind]
    given = water()
    found = read_structures(write(tmp_path / name, given))
    for part in ("charges", "positions", "offsets", "energies", "forces"):
        assert torch.equal(getattr(found, part), getattr(given, part)), part
    few = read_structures(tmp_path / name, most=4, seed=1)
    assert len(few) == 4
    assert few.energies.tolist() == sorted(few.energies.tolist())  # type: ignore[union-attr]
    assert torch.equal(few.energies, read_structures(tmp_path / name, most=4, seed=1).energies)  # type: ignore[arg-type]
    others = [read_structures(tmp_path / name, most=4, seed=s).energies.tolist() for s in range(2, 6)]  # type: ignore[union-attr]
    assert any(o != few.energies.tolist() for o in others)  # type: ignore[union-attr]
    assert len(read_structures(tmp_path / name, most=40)) == 10


def test_folders_and_names(tmp_path: Path) -> None:
    (tmp_path / "oc20").mkdir()
    as_lmdb(tmp_path / "oc20" / "b.lmdb", water(2))
    as_lmdb(tmp_path / "oc20" / "a.lmdb", water(3))
    assert read_structures(tmp_path / "oc20").energies.tolist() == [0, 1, 2, 0, 1]  # type: ignore[union-attr]
    two = as_npz(tmp_path / "two.npz", water(), "hot", "cold")
    assert len(read_structures(f"{two}:cold")) == 10
    with pytest.raises(DataError, match=r"several trajectories: hot, cold\. Name one, as two.npz:hot"):
        read_structures(two)
    with pytest.raises(DataError, match="unknown trajectory 'cool'"):
        read_structures(f"{two}:cool")
    s = water()
    with open(tmp_path / "named.xyz", "w") as file:
        file.write("1\nProperties=species:S:1:pos:R:3:REF_forces:R:3 energy=1 REF_energy=2\nH 0 0 0 1 2 3\n")
    named = read_structures(tmp_path / "named.xyz", energy="REF_energy", forces="REF_forces")
    assert named.energies.tolist() == [2]  # type: ignore[union-attr]
    assert named.forces.tolist() == [[1, 2, 3]]  # type: ignore[union-attr]
    qm9 = tmp_path / "qm9.npz"
    properties = {name: s.energies.numpy() for name in ("U0", "gap")}  # type: ignore[union-attr]
    np.savez(qm9, N=np.full(10, 3), Z=s.charges.numpy(), R=s.positions.numpy(), id=np.arange(10), **properties)
    assert read_structures(qm9).energies.tolist() == s.energies.tolist()  # type: ignore[union-attr]


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_structures(tmp_path / "gone.xyz")
    with pytest.raises(DataError, match="no such file"):
        read_structures(f"{tmp_path / 'gone.npz'}:name")
    (tmp_path / "POSCAR").write_text("Cu bulk\n1.0\n")
    with pytest.raises(DataError, match=r"what is read: extended XYZ \(\.xyz, \.extxyz\), npz .* LMDB .* QM9"):
        read_structures(tmp_path / "POSCAR")
    with pytest.raises(DataError, match="folder without"):
        read_structures(tmp_path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"no trajectory, .*; the file has x\."):
        read_structures(tmp_path / "other.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:40])
    with pytest.raises(DataError, match="is it complete"):
        read_structures(tmp_path / "cut.npz")
    as_npz(tmp_path / "water.npz", water())
    with pytest.raises(DataError, match="got energy = 'U', which only extxyz and lmdb"):
        read_structures(tmp_path / "water.npz", energy="U")


@pytest.mark.parametrize("by", ["random", "order"])
def test_splits(tmp_path: Path, by: str) -> None:
    path = str(as_xyz(tmp_path / "a.xyz", water()))
    found = open_structures(AtomsDataConfig(path, split_by=by))  # type: ignore[arg-type]
    assert {k: len(s) for k, s in found.items()} == {"train": 8, "valid": 1, "test": 1}
    numbers = [s.energies.tolist() for s in found.values()]  # type: ignore[union-attr]
    assert sorted(e for part in numbers for e in part) == list(range(10))
    assert (numbers == [list(range(8)), [8], [9]]) == (by == "order")
    own = str(as_xyz(tmp_path / "b.xyz", water(3, 1)))
    named = open_structures(AtomsDataConfig(path, valid=own, split_by=by))  # type: ignore[arg-type]
    assert {k: len(s) for k, s in named.items()} == {"train": 9, "test": 1, "valid": 3}
    both = open_structures(AtomsDataConfig(path, valid=own, test=own, fractions=(0.5, 0.5, 0.0)))
    assert {k: len(s) for k, s in both.items()} == {"train": 10, "valid": 3, "test": 3}
    assert set(open_structures(AtomsDataConfig(path, fractions=(0.9, 0.1, 0.0)))) == {"train", "valid"}


def test_splits_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.path is not set: .* extended XYZ"):
        open_structures(AtomsDataConfig())
    path = str(as_xyz(tmp_path / "a.xyz", water(1)))
    with pytest.raises(DataError, match="1 structures leave none for"):
        open_structures(AtomsDataConfig(path))
    for wrong in ((0.5, 0.5), (0.0, 0.5, 0.5), (0.9, 0.9, 0.1), (float("nan"), 0.1, 0.1)):
        with pytest.raises(DataError, match="wanted three parts"):
            AtomsDataConfig(path, fractions=wrong)
    with pytest.raises(DataError, match="got -1"):
        AtomsDataConfig(path, most=-1)


def test_what_is_skipped_is_told(tmp_path: Path) -> None:
    path = as_xyz(tmp_path / "a.xyz", water())
    path.write_text(path.read_text().replace("H", "Q", 1))
    with pytest.raises(DataError, match="'Q' is no chemical element"):
        open_structures(AtomsDataConfig(str(path)))
    path.write_text(path.read_text().replace("energy=4.0", 'energy="4.0').replace("Q", "H"))
    found = open_structures(AtomsDataConfig(str(path), on_bad="skip"))
    assert sum(len(s) for s in found.values()) == 9
    assert [name.rpartition(": ")[2] for s in found.values() for name, _ in s.skipped] == ["frame 4"]


def test_ends_of_splits() -> None:
    assert split_ends(10, (0.7, 0.15, 0.15)).tolist() == [0, 7, 8, 10]
    assert split_ends(3, (0.7, 0.15, 0.15)).tolist() == [0, 1, 2, 3]
    assert split_ends(3, (0.9, 0.1, 0.0)).tolist() == [0, 2, 3, 3]
    assert split_ends(2, (0.8, 0.1, 0.1)).tolist() == [0, 1, 2, 2]  # not enough for all
    assert split_ends(100, (0.5, 0.1, 0.0)).tolist() == [0, 50, 60, 60]
