"""Extended XYZ: what ASE writes, what others write, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataError, read_extxyz
from armillary.data.elements import SYMBOLS, atomic_number
from armillary.data.xyz import parse_header

WATER = """3
Properties=species:S:1:pos:R:3:forces:R:3:charge:R:1 energy=-12.5 config_type="a b" temperature=300
O 0.0 0.0 0.1 0 0 -1.5 -0.8
H 0.9 0.0 0.0 0.25 1e-3 0 0.4
h 0.0 0.9 -1.0d-1 0.5 0 .5 0.4
"""
CELL = """2
Lattice="5 0 0 0.5 5 0 0 0 6" Properties=Z:I:1:pos:R:3:forces:R:3:charge:R:1 pbc="T T F" energy=3 temperature=10 flag
29 0 0 0 0 0 0 0
8 1 1 1 0 0 0 0
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_two_frames(tmp_path: Path) -> None:
    s = read_extxyz(write(tmp_path / "a.xyz", WATER + "\n" + CELL))
    assert s.charges.tolist() == [8, 1, 1, 29, 8]
    assert s.energies.tolist() == [-12.5, 3.0]
    assert s.forces[:3].tolist() == [[0, 0, -1.5], [0.25, 1e-3, 0], [0.5, 0, 0.5]]
    assert s.positions[2].tolist() == [0, 0.9, -0.1]
    assert s.cells[1].tolist() == [[5, 0, 0], [0.5, 5, 0], [0, 0, 6]]
    assert s.cells[0].abs().max() == 0
    assert s.periodic.tolist() == [[False] * 3, [True, True, False]]
    assert set(s.properties) == {"temperature", "charge"}
    assert s.properties["temperature"].tolist() == [300, 10]
    assert s.properties["charge"].tolist() == [-0.8, 0.4, 0.4, 0, 0]
    assert read_extxyz(write(tmp_path / "b.xyz", CELL.replace(' pbc="T T F"', ""))).periodic.all()
    named = read_extxyz(tmp_path / "a.xyz", energy="temperature", forces="none")
    assert named.forces is None
    assert named.energies.tolist() == [300, 10]


def test_plain_xyz(tmp_path: Path) -> None:
    s = read_extxyz(write(tmp_path / "a.xyz", '2\nmade by "hand, E = {3\nC 0 0 0\nO 0 0 1.2 0.3\n'))
    assert s.charges.tolist() == [6, 8]
    assert s.energies is None
    assert s.cells is None


def test_against_ase(tmp_path: Path) -> None:
    ase = pytest.importorskip("ase")
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write as ase_write

    rng = np.random.default_rng(0)
    frames = []
    for n in (1, 4, 7):
        atoms = ase.Atoms(
            numbers=rng.integers(1, 119, n), positions=rng.normal(size=(n, 3)) * 5, cell=rng.normal(size=(3, 3)),
            pbc=rng.integers(0, 2, 3).astype(bool),
        )  # fmt: skip
        atoms.info.update(
            temperature=float(n), weights=rng.normal(size=4), dielectric=rng.normal(size=(3, 3)), name='a "b" =c'
        )
        atoms.arrays["spin"] = rng.normal(size=(n, 2))
        stress = rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(n, 3)), stress=stress)
        frames.append(atoms)
    ase_write(tmp_path / "a.xyz", frames, format="extxyz")
    s = read_extxyz(tmp_path / "a.xyz")
    for i, atoms in enumerate(frames):
        one = s[i]
        np.testing.assert_array_equal(one.charges, atoms.numbers)
        np.testing.assert_allclose(one.positions, atoms.positions, rtol=0, atol=1e-7)
        np.testing.assert_allclose(one.cells[0], atoms.cell.array, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(one.periodic[0], atoms.pbc)
        np.testing.assert_allclose(one.energies[0], atoms.get_potential_energy(), rtol=1e-14)
        np.testing.assert_allclose(one.forces, atoms.get_forces(), rtol=0, atol=1e-7)
        np.testing.assert_allclose(one.stresses[0], atoms.get_stress(voigt=False), rtol=0, atol=1e-14)
        np.testing.assert_allclose(one.properties["spin"], atoms.arrays["spin"], rtol=0, atol=1e-7)
        np.testing.assert_allclose(one.properties["weights"][0], atoms.info["weights"], rtol=0, atol=1e-14)
        assert one.properties["temperature"].tolist() == [atoms.info["temperature"]]


def test_headers() -> None:
    text = 'a=1 "b c"=\'x y\' d={1 2} e=[1, 2] f g = "q\\"r" h="" Lattice="1 0 0"'
    wanted = {"a": "1", "b c": "x y", "d": "1 2", "e": "[1, 2]", "f": "T", "g": 'q"r', "h": "", "Lattice": "1 0 0"}
    assert parse_header(text) == wanted
    for broken in ('a="1', "a='1 b=2", 'a={1 "'):
        with pytest.raises(DataError, match="header"):
            parse_header(broken)


def test_stress_of_six_numbers(tmp_path: Path) -> None:
    text = CELL.replace("flag", 'stress="1 2 3 4 5 6"')
    assert read_extxyz(write(tmp_path / "a.xyz", text)).stresses[0].tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]


BAD = {
    "empty": ("", "empty"),
    "no number": ("three\n\n", "frame 0, line 1: got 'three'"),
    "no atoms": ("0\n\n", "wanted the number of atoms"),
    "huge": ("999999999\n\nH 0 0 0\n", "is it complete"),
    "huger": ("9" * 5000 + "\n", "wanted the number"),
    "truncated": (WATER[:-30], "columns|complete"),
    "cut": (WATER + CELL.rsplit("\n", 2)[0] + "\n", "frame 1, line 6: the file ends"),
    "element": (WATER.replace("O 0.0", "Q 0.0"), "frame 0: 'Q' is no chemical element"),
    "text": (WATER.replace("1e-3", "x"), "column 'forces' of kind R"),
    "nan": (WATER.replace("1e-3", "nan"), "forces hold values that are not finite"),
    "columns": (WATER.replace("0 0 -1.5", "0 0"), "atom 0 has 7 columns, wanted 8"),
    "properties": (WATER.replace("pos:R:3", "pos:Q:3"), "wanted name:kind:columns"),
    "wide": (WATER.replace("pos:R:3", "pos:R:" + "3" * 5000), "wanted name:kind:columns"),
    "no positions": (WATER.replace("pos:R:3", "xyz:R:3"), "wanted species"),
    "lattice": (CELL.replace("0 0 6", "0 0"), "wanted nine numbers"),
    "pbc": (CELL.replace("T T F", "T T"), "wanted three of T and F"),
    "open": (WATER.replace('"a b"', '"a b'), "header"),
    "some energies": (WATER + CELL.replace("energy=3", ""), "frame 1 has no 'energy', frame 0 has"),
    "energy": (WATER.replace("-12.5", "low"), "'energy' is not made of numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(DataError, match=message):
        read_extxyz(write(tmp_path / "a.xyz", text))


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(DataError, match="not a text file"):
        read_extxyz(tmp_path / "a.xyz")
    with pytest.raises(DataError, match="no such file"):
        read_extxyz(tmp_path / "b.xyz")


def test_skipping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xyz", WATER + WATER.replace("1e-3", "x") + WATER + "junk\n" + WATER)
    s = read_extxyz(path, on_bad="skip")
    assert len(s) == 2
    assert [n.rpartition(": ")[2] for n, _ in s.skipped] == ["frame 1", "frame 3"]
    assert "column 'forces'" in s.skipped[0][1]
    with pytest.raises(DataError, match="no frame can be read; the first"):
        read_extxyz(write(tmp_path / "b.xyz", "junk"), on_bad="skip")


def test_one_long_text_does_not_take_room_for_every_atom(tmp_path: Path) -> None:
    """As an array of texts this would be 80 GB."""
    text = "40000\nProperties=species:S:1:pos:R:3:note:S:1\n" + "H 0 0 0 a\n" * 39999 + f"H 0 0 0 {'b' * 500000}\n"
    assert len(read_extxyz(write(tmp_path / "a.xyz", text)).charges) == 40000


def test_elements() -> None:
    assert len(SYMBOLS) == 118
    assert [atomic_number(s) for s in ("H", "he", "CU", "Og", "79")] == [1, 2, 29, 118, 79]
    for wrong in ("", "X", "0", "119", "1.0", "٣", "9" * 30):
        with pytest.raises(DataError, match="no chemical element"):
            atomic_number(wrong)
    ase_data = pytest.importorskip("ase.data")
    assert list(SYMBOLS) == ase_data.chemical_symbols[1:]


def test_types(tmp_path: Path) -> None:
    s = read_extxyz(write(tmp_path / "a.xyz", WATER))
    assert s.positions.dtype == s.energies.dtype == s.forces.dtype == torch.float64
