"""QM9 from files of the published form, archives of such, and npz files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataError, load_qm9
from armillary.data.qm9 import HARTREE, PROPERTIES

VALUES = [150.5, 140.25, 130.125, 0.5, 13.25, -0.4, 0.125, 0.525, 35.5, 0.0447, -40.5, -40.25, -40.125, -40.75, 6.5]


def text(number: int, symbols: str = "CHH", cut: int | None = None) -> str:
    atoms = [f"{s}\t{k}.5\t-1.25*^-2\t0.0625\t{k / 8}" for k, s in enumerate(symbols)]
    head = f"gdb {number}\t" + "\t".join(map(str, VALUES))
    return "\n".join([str(len(symbols)), head, *atoms, "1.0\t2.0", "C\tC", "InChI=1\tInChI=1", ""][:cut])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "files"
    path.mkdir()
    for number, symbols in ((2, "NHHH"), (1, "CHHHH"), (3, "OHF")):
        (path / f"dsgdb9nsd_{number:06d}.xyz").write_text(text(number, symbols))
    return path


def archive(path: Path, texts: dict[str, str], mode: str = "w:bz2") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in texts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return path


def test_folder(folder: Path) -> None:
    s = load_qm9(folder)
    assert s.properties["id"].tolist() == [1, 2, 3]
    assert s[2].charges.tolist() == [8, 1, 9]
    assert s[0].positions[2].tolist() == [2.5, -0.0125, 0.0625]
    assert s[1].properties["partial_charges"].tolist() == [0, 0.125, 0.25, 0.375]
    for name, value in zip(PROPERTIES, VALUES, strict=True):
        energy = name in ("homo", "lumo", "gap", "zpve", "U0", "U", "H", "G")
        assert s.properties[name].tolist() == [value * (HARTREE if energy else 1)] * 3
    assert torch.equal(s.energies, s.properties["U0"])
    assert load_qm9(folder, exclude={2}).properties["id"].tolist() == [1, 3]


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:gz"])
def test_archive(tmp_path: Path, mode: str) -> None:
    path = archive(tmp_path / "a.tar", {"x/1.xyz": text(1), "readme.txt": "no", "../2.xyz": text(2, "O")}, mode)
    s = load_qm9(path)
    assert s.properties["id"].tolist() == [1, 2]
    assert not (tmp_path.parent / "2.xyz").exists()
    path.write_bytes(path.read_bytes()[:-200] if mode == "w:bz2" else b"junk" * 300)
    with pytest.raises(DataError, match="that can be read"):
        load_qm9(path)


BAD = {
    "number": (text(1).replace("3\n", "x\n", 1), "line 1: got 'x'"),
    "huge": (text(1).replace("3\n", "9" * 5000 + "\n", 1), "line 1"),
    "cut": (text(1, cut=4), "4 lines for 3 atoms"),
    "head": (text(1).replace("gdb 1", "abc 1"), "line 2"),
    "properties": (text(1).replace("\t6.5", ""), "15 properties"),
    "columns": (text(1).replace("\t0.125\n", "\n", 1), "line 4: wanted a symbol and four numbers"),
    "element": (text(1, "CQH"), "'Q' is no chemical element"),
    "value": (text(1).replace("0.0625", "zero"), "not a number"),
    "nan": (text(1).replace("0.0625", "nan"), "not finite"),
    "empty": ("", "line 1"),
    "id": (text(1).replace("gdb 1", "gdb 1.5"), "wanted the whole number of a molecule"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(folder: Path, name: str) -> None:
    content, message = BAD[name]
    (folder / "dsgdb9nsd_000002.xyz").write_text(content)
    with pytest.raises(DataError, match=f"000002.xyz: .*{message}"):
        load_qm9(folder)
    s = load_qm9(folder, on_bad="skip")
    assert s.properties["id"].tolist() == [1, 3]
    assert len(s.skipped) == 1


def test_only_the_beginning_of_a_file_is_read(folder: Path) -> None:
    whole = load_qm9(folder)
    with open(folder / "dsgdb9nsd_000002.xyz", "r+b") as file:
        file.truncate(1 << 40)  # a terabyte, of which nothing is written
    assert torch.equal(load_qm9(folder).positions, whole.positions)
    (folder / "dsgdb9nsd_000009.xyz").mkdir()
    with pytest.raises(DataError, match=r"000009.xyz: cannot be read"):
        load_qm9(folder)


def test_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no molecules"):
        load_qm9(tmp_path)


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    sound = {
        "N": np.array([2, 1]),
        "Z": np.array([6, 8, 1], np.uint8),
        "R": np.arange(9.0).reshape(3, 3),
        "id": np.array([7, 9]),
        "U0": np.array([-3.0, -1.0]),
        "mu": np.array([0.5, 0.0]),
    }
    return {**sound, **changes}


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "q.npz", **arrays())
    s = load_qm9(tmp_path / "q.npz")
    assert [p.tolist() for p in s.parts("charges")] == [[6, 8], [1]]
    assert s.energies.tolist() == [-3, -1]
    assert s.properties["mu"].tolist() == [0.5, 0]
    assert load_qm9(tmp_path / "q.npz", exclude=[7]).positions.tolist() == [[6, 7, 8]]
    with pytest.raises(DataError, match="leaves no molecule"):
        load_qm9(tmp_path / "q.npz", exclude=[7, 9])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"N": np.array([2, 2])}, "wanted N"),
        ({"N": np.array([3, 0])}, "wanted N"),
        ({"N": np.array([2.0, 1.0])}, "wanted N"),
        ({"mu": np.zeros(3)}, "wanted N"),
        ({"Z": np.array([6, 8, 0], np.uint8)}, "atomic numbers"),
        ({"Z": np.array([None] * 3)}, "pickled objects"),
    ],
)
def test_bad_npz(tmp_path: Path, changes: dict, message: str) -> None:
    np.savez(tmp_path / "q.npz", **arrays(**changes))
    with pytest.raises(DataError, match=message):
        load_qm9(tmp_path / "q.npz")
