"""Digits and MNIST on the sphere."""

import gzip
import struct

import numpy as np
import pytest
import torch

from armillary.data import DataConfig, DataError, open_dataset
from armillary.data.glyphs import shrink
from armillary.spaces import Equiangular, GaussLegendre

GRID = Equiangular(24)


def write_idx(path, array, zipped=False):
    opener = gzip.open if zipped else open
    with opener(path, "wb") as f:
        f.write(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


@pytest.fixture
def mnist_arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, 30).astype(np.uint8),
        "x_test": rng.integers(0, 256, (8, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 8).astype(np.uint8),
    }


def write_idx_folder(folder, arrays, zipped):
    end = ".gz" if zipped else ""
    for part, stem in (("train", "train"), ("test", "t10k")):
        write_idx(folder / f"{stem}-images-idx3-ubyte{end}", arrays[f"x_{part}"], zipped)
        write_idx(folder / f"{stem}-labels-idx1-ubyte{end}", arrays[f"y_{part}"], zipped)


@pytest.mark.parametrize("task", ["segmentation", "classification"])
@pytest.mark.parametrize("grid", [Equiangular(25, 41), GaussLegendre(24), Equiangular(17, poles=True)], ids=str)
def test_shapes_types_and_ranges(task, grid):
    data = open_dataset(DataConfig(task=task, rotated_test="so3"), grid, "test")
    x, y = data[len(data) - 1]
    assert x.shape == (1, *grid.shape)
    assert x.dtype == torch.float32
    assert 0 <= x.min() <= x.max() <= 1
    assert x.max() > 0.5
    assert y.dtype == torch.int64
    assert y.shape == (grid.shape if task == "segmentation" else ())
    assert len(data.spec.output_names) == (11 if task == "segmentation" else 10)
    with pytest.raises(IndexError):
        data[len(data)]


def test_labels_are_the_digits_of_the_name_and_cover_the_strokes():
    data = open_dataset(DataConfig(), Equiangular(48), "train")
    for i in range(5):
        x, y = data[i]
        digits = data.name(i).split("-")[-1]
        assert set(y.unique().tolist()) == {0} | {int(d) + 1 for d in digits}
        assert ((y > 0) == (x[0] > 0.4)).all()


def test_unrotated_digits_stand_near_the_equator_in_their_quarters():
    data = open_dataset(DataConfig(), Equiangular(32), "valid")
    for i in range(4):
        _, y = data[i]
        assert (y[:6] == 0).all()
        assert (y[-6:] == 0).all()
        for quarter in y.chunk(4, dim=1):
            assert (quarter > 0).any()
            assert len(quarter.unique()) == 2


def test_splits_share_no_picture():
    parts = [open_dataset(DataConfig(task="classification"), GRID, s).images for s in ("train", "valid", "test")]
    assert sum(len(p) for p in parts) == 1797
    rows = torch.cat(parts).flatten(1)
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize("kind", ["none", "z", "so3"])
def test_draws_are_reproducible_and_keyed(kind):
    config = DataConfig(rotated_test=kind, seed=3)
    a, b = (open_dataset(config, GRID, "test") for _ in range(2))
    assert torch.equal(a[4][0], b[4][0])
    b.set_epoch(5)  # test samples do not change with the epoch
    assert torch.equal(a[4][0], b[4][0])
    other = open_dataset(DataConfig(rotated_test=kind, seed=4), GRID, "test")
    assert not torch.equal(a[4][0], other[4][0])
    assert not torch.equal(a[4][0], a[5][0])


def test_augmentation_is_fresh_in_each_epoch_and_repeats_after_resume():
    config = DataConfig(augment="so3")
    data, resumed = open_dataset(config, GRID, "train"), open_dataset(config, GRID, "train")
    seen = []
    for epoch in range(3):
        data.set_epoch(epoch)
        seen.append(data[1])
    resumed.set_epoch(2)
    assert torch.equal(resumed[1][0], seen[2][0])
    assert torch.equal(resumed[1][1], seen[2][1])
    assert not torch.equal(seen[0][0], seen[1][0])
    valid = open_dataset(config, GRID, "valid")
    upright = open_dataset(DataConfig(), GRID, "valid")
    assert torch.equal(valid[0][0], upright[0][0])


def test_rotation_keeps_the_area_of_each_class():
    grid = Equiangular(96)
    upright = open_dataset(DataConfig(), grid, "test")
    turned = open_dataset(DataConfig(rotated_test="so3"), grid, "test")
    for i in range(3):
        digit = int(upright.name(i)[-1]) + 1
        before, after = (grid.integrate((d[i][1] == digit).double()) for d in (upright, turned))
        assert not torch.equal(upright[i][1], turned[i][1])
        assert after.item() == pytest.approx(before.item(), rel=0.1)


@pytest.mark.parametrize("form", ["npz", "idx", "gz"])
def test_mnist_from_each_form_of_file(tmp_path, mnist_arrays, form):
    path = tmp_path
    if form == "npz":
        path = tmp_path / "mnist.npz"
        np.savez_compressed(path, **mnist_arrays)
    else:
        write_idx_folder(tmp_path, mnist_arrays, form == "gz")
    config = DataConfig(source="mnist", path=str(path), task="classification", digit_size=1.5)
    sizes = {s: len(open_dataset(config, GRID, s)) for s in ("train", "valid", "test")}
    assert sizes == {"train": 25, "valid": 5, "test": 8}
    test = open_dataset(config, GRID, "test")
    assert [int(test[i][1]) for i in range(8)] == mnist_arrays["y_test"].tolist()


def test_broken_mnist_files_are_named(tmp_path, mnist_arrays):
    config = DataConfig(source="mnist", path=str(tmp_path))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        open_dataset(config, GRID, "train")
    write_idx_folder(tmp_path, mnist_arrays, False)
    images = tmp_path / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="complete"):
        open_dataset(config, GRID, "train")
    images.write_bytes(whole + b"\0")
    with pytest.raises(DataError, match="bytes or more"):
        open_dataset(config, GRID, "valid")
    images.write_bytes(b"PK" + whole)
    with pytest.raises(DataError, match="not an idx file"):
        open_dataset(config, GRID, "train")
    bad = tmp_path / "other.npz"
    np.savez(bad, **{**mnist_arrays, "y_train": mnist_arrays["y_train"] + 3})
    with pytest.raises(DataError, match="wanted 0 to 9"):
        open_dataset(DataConfig(source="mnist", path=str(bad)), GRID, "train")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"task": "regression"}, "no regression target"),
        ({"digits_per_sphere": 8}, "overlap"),
        ({"fractions": (1.0, 0.0, 0.0)}, "empty"),
    ],
)
def test_impossible_wishes_are_errors(change, match):
    with pytest.raises(DataError, match=match):
        open_dataset(DataConfig(**change), GRID, "valid")


def test_shrink_keeps_the_mean():
    images = torch.rand(3, 28, 28)
    small = shrink(images, 2)
    assert small.shape == (3, 14, 14)
    assert torch.allclose(small.mean((1, 2)), images.mean((1, 2)))
    assert shrink(images, 1) is images
