"""ModelNet40 from HDF5 files and OFF meshes, sound, damaged and hostile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataError, load_modelnet40, normalized, read_off, sample_surface

h5py = pytest.importorskip("h5py")


def write(path: Path, n: int = 3, seed: int = 0, **changes: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10, 3)).astype(np.float32)
    arrays = {"data": x, "label": np.arange(n, dtype=np.uint8)[:, None] % 2, "normal": -x, **changes}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
    return arrays


def test_folder(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"ply_data_train{k}.h5", 3 + k, k) for k in (0, 1))
    write(tmp_path / "ply_data_test0.h5", 2)
    c = load_modelnet40(tmp_path, "train", points=4)
    assert c.names == ("0", "1")
    np.testing.assert_array_equal(c.points, np.concatenate([first["data"], second["data"]])[:, :4])
    np.testing.assert_array_equal(c.normals, -c.points)
    assert c.labels.tolist() == [0, 1, 0, 0, 1, 0, 1]
    (tmp_path / "shape_names.txt").write_text("airplane\nbath tub\n\n")
    assert load_modelnet40(tmp_path, "test", points=10).names == ("airplane", "bath tub")
    assert len(load_modelnet40(tmp_path / "ply_data_test0.h5", points=10)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.zeros((3, 10))}, r"got data float64 \(3, 10\)"),
        ({"data": np.zeros((3, 10, 3), int)}, "data int64"),
        ({"label": np.zeros((2, 1), int)}, r"label int64 \(2, 1\)"),
        ({"label": np.zeros((3, 1))}, "label float64"),
        ({"normal": np.zeros((3, 9, 3))}, "normal"),
        ({"data": np.full((3, 10, 3), np.inf)}, "not finite"),
        ({"label": np.full((3, 1), -1)}, "not all among"),
    ],
)
def test_bad_tables(tmp_path: Path, changes: dict, message: str) -> None:
    write(tmp_path / "train.h5", **changes)
    with pytest.raises(DataError, match=message):
        load_modelnet40(tmp_path, points=5)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no files \*train\*.h5"):
        load_modelnet40(tmp_path)
    path = tmp_path / "train.h5"
    write(path)
    with pytest.raises(DataError, match="points = 11, the clouds have 10"):
        load_modelnet40(tmp_path, points=11)
    with pytest.raises(DataError, match="over max_gib"):
        load_modelnet40(tmp_path, points=5, max_gib=1e-8)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match="is it complete"):
        load_modelnet40(tmp_path, points=5)
    path.write_bytes(b"junk" * 99)
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_modelnet40(tmp_path, points=5)


def test_files_that_point_elsewhere(tmp_path: Path) -> None:
    """Neither links nor tables outside of the file are followed, and Python objects are no numbers."""
    write(tmp_path / "secret.h5")
    (tmp_path / "raw").write_bytes(b"\0" * 360)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"] = h5py.ExternalLink("secret.h5", "data")
        file["label"] = np.zeros(3, int)
    with pytest.raises(DataError, match="'data' of its own"):
        load_modelnet40(tmp_path, points=5)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_dataset("data", (3, 10, 3), "f4", external=[(str(tmp_path / "raw"), 0, 360)])
        file["label"] = np.zeros(3, int)
    with pytest.raises(DataError, match="'data' of its own"):
        load_modelnet40(tmp_path, points=5)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"] = h5py.SoftLink("/label")
        file["label"] = np.zeros(3, int)
    with pytest.raises(DataError, match="'data' of its own"):
        load_modelnet40(tmp_path, points=5)


def test_tables_without_numbers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"] = h5py.Empty("f4")
        file["label"] = np.zeros(3, int)
    with pytest.raises(DataError, match="'data' of its own"):
        load_modelnet40(tmp_path, points=5)


CUBE = """8 6 12
0 0 0
2 0 0
2 1 0
0 1 0
0 0 1
2 0 1
2 1 1
0 1 1   # the last
4 0 3 2 1
4 4 5 6 7 255 0 0

4 0 1 5 4
4 2 3 7 6
3 0 4 7
3 0 7 3
4 1 2 6 5
""".replace("8 6 12", "8 7 12")


@pytest.mark.parametrize("head", ["OFF\n", "OFF", "OFF\n# made up\n"])
def test_off(tmp_path: Path, head: str) -> None:
    path = tmp_path / "m.off"
    path.write_text(head + CUBE)
    v, f = read_off(path)
    assert v.shape == (8, 3)
    assert f.shape == (12, 3)
    assert f[0].tolist() == [0, 3, 2]
    a, b, c = v[f].unbind(1)
    assert float((a * torch.linalg.cross(b, c)).sum() / 6) == pytest.approx(2.0)
    assert float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2) == pytest.approx(10.0)
    x = sample_surface(v, f, 20000, torch.Generator().manual_seed(0))
    on = ((x == 0) | ((x - torch.tensor([2.0, 1, 1])).abs() < 1e-12)).sum(0).double() / 20000
    torch.testing.assert_close(on, torch.tensor([0.2, 0.4, 0.4]).double(), rtol=0, atol=0.02)
    torch.testing.assert_close(x.mean(0), torch.tensor([1.0, 0.5, 0.5]).double(), rtol=0, atol=0.02)
    assert float(normalized(x).norm(dim=1).max()) == pytest.approx(1.0)
    assert float(normalized(x).mean(0).abs().max()) < 1e-12
    assert torch.equal(normalized(torch.ones(2, 4, 3)), torch.zeros(2, 4, 3))


BAD_OFF = {
    "empty": ("", "empty"),
    "ply": ("ply\n1", "begins with 'ply'"),
    "counts": ("OFF\nx 3\n", "wanted the numbers"),
    "no counts": ("OFF\n", "wanted the numbers"),
    "cut": ("OFF\n" + CUBE[:-30], "is the file complete"),
    "huge": ("OFF\n999999999 1 0\n0 0 0", "is the file complete"),
    "corner": ("OFF\n" + CUBE.replace("3 0 4 7", "3 0 4 8"), "wanted 0 to 7"),
    "huge corner": ("OFF\n" + CUBE.replace("3 0 4 7", "3 0 4 " + "8" * 50), "wanted 0 to 7"),
    "negative": ("OFF\n" + CUBE.replace("3 0 4 7", "3 0 4 -1"), "wanted 0 to 7"),
    "few corners": ("OFF\n" + CUBE.replace("3 0 4 7", "5 0 4 7"), "a face of 5 corners has 3"),
    "vertex": ("OFF\n" + CUBE.replace("2 1 0\n", "2 1\n"), "three numbers"),
    "nan": ("OFF\n" + CUBE.replace("2 1 0\n", "2 nan 0\n"), "not finite"),
}


@pytest.mark.parametrize("name", BAD_OFF)
def test_bad_off(tmp_path: Path, name: str) -> None:
    text, message = BAD_OFF[name]
    (tmp_path / "m.off").write_text(text)
    with pytest.raises(DataError, match=message):
        read_off(tmp_path / "m.off")


def test_no_area() -> None:
    with pytest.raises(ValueError, match="no area"):
        sample_surface(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 4)
