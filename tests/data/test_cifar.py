"""CIFAR-10 from its binary files, an archive, arrays, JPEG strings and folders of pictures."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.data import DataConfig, DataError, image_grid, open_dataset
from armillary.spaces import ImageGrid

GRID = ImageGrid(32, 32)
rng = np.random.default_rng(2)


def changed(config, **fields):
    return DataConfig.from_dict({**config.to_dict(), **fields})


def batch(n, seed):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    labels = (np.arange(n) % 10).astype(np.uint8)
    return images, labels, np.concatenate([labels[:, None], images.reshape(n, -1)], axis=1).tobytes()


@pytest.fixture
def binary(tmp_path):
    folder = tmp_path / "cifar" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(batch(8, i)[2])
    (folder / "test_batch.bin").write_bytes(batch(10, 6)[2])
    return DataConfig(source="cifar10", path=str(tmp_path / "cifar"), standardize=False)


def test_binary_batches_are_read_in_order(binary):
    data = open_dataset(binary, GRID, "test")
    images, labels, _ = batch(10, 6)
    assert len(data) == 10
    assert data.spec.input_names == ("red", "green", "blue")
    assert data.spec.output_names[9] == "truck"
    assert all(torch.equal(data[i][0], torch.from_numpy(images[i]).float() / 255) for i in range(10))
    assert [int(data[i][1]) for i in range(10)] == labels.tolist()
    train = open_dataset(changed(binary, train_indices=tuple(range(36)), valid_indices=(36, 37)), GRID, "train")
    assert torch.equal(train[9][0], torch.from_numpy(batch(8, 2)[0][1]).float() / 255)
    assert image_grid(binary) == GRID


def test_an_archive_is_read_where_it_lies(binary, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "cifar" / "cifar-10-batches-bin", "../../cifar-10-batches-bin")  # never written anywhere
    before = sorted(tmp_path.parent.rglob("*.bin"))
    inside = open_dataset(changed(binary, path=str(path)), GRID, "test")
    outside = open_dataset(binary, GRID, "test")
    assert all(torch.equal(inside[i][0], outside[i][0]) for i in range(10))
    assert sorted(tmp_path.parent.rglob("*.bin")) == before
    whole = path.read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.tar\.gz: the archive cannot be read"):
        open_dataset(changed(binary, path=str(tmp_path / "cut.tar.gz")), GRID, "test")
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match=r"holds no test_batch\.bin"):
        open_dataset(changed(binary, path=str(tmp_path / "empty.tar.gz")), GRID, "test")


def test_damaged_and_missing_batches_are_named(binary, tmp_path):
    folder = tmp_path / "cifar" / "cifar-10-batches-bin"
    whole = (folder / "data_batch_3.bin").read_bytes()
    for damage, match in [
        (whole[:-5], "wanted a multiple of 3073"),
        (b"", "0 bytes"),
        (b"\x0b" + whole[1:], "class 11"),
    ]:
        (folder / "data_batch_3.bin").write_bytes(damage)
        with pytest.raises(DataError, match=match):
            open_dataset(changed(binary, path=f"{binary.path}/../cifar"), GRID, "train")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin is missing"):
        open_dataset(binary, GRID, "train")


def test_the_pickled_version_is_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for i in range(1, 6):
        (folder / f"data_batch_{i}").write_bytes(pickle.dumps({b"data": 0}))
    for path in (tmp_path, folder):
        with pytest.raises(DataError, match="pickled and never loaded: take the binary"):
            open_dataset(DataConfig(source="cifar10", path=str(path)), GRID, "train")


def jpeg_set(n):
    images = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(n)]
    strings = []
    for image in images:
        content = io.BytesIO()
        Image.fromarray(image).save(content, "JPEG", quality=100, subsampling=0)
        strings.append(content.getvalue())
    return images, strings


def packed(strings, part):
    return {
        f"jpeg_{part}": np.frombuffer(b"".join(strings), np.uint8),
        f"offset_{part}": np.cumsum([0, *(len(s) for s in strings)]),
        f"y_{part}": (np.arange(len(strings)) % 10).astype(np.uint8),
    }


def test_jpeg_strings(tmp_path):
    images, strings = jpeg_set(12)
    names = np.array([f"class {i}" for i in range(10)])
    np.savez(tmp_path / "j.npz", **packed(strings, "train"), **packed(strings[:10], "test"), class_names=names)
    config = DataConfig(source="cifar10", path=str(tmp_path / "j.npz"), standardize=False)
    data = open_dataset(config, GRID, "test")
    assert data.spec.output_names == tuple(names)
    assert data.name(3) == "test[3]"
    assert max(np.abs(data[i][0].numpy() - np.moveaxis(images[i], -1, 0) / 255).max() for i in range(10)) < 0.03
    assert int(data[7][1]) == 7


def test_a_string_that_is_no_jpeg_stops_or_is_skipped(tmp_path):
    _, strings = jpeg_set(12)
    strings[4] = strings[4][:200]
    strings[6] = b""
    small = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(small, "JPEG")
    strings[9] = small.getvalue()
    np.savez(tmp_path / "j.npz", **packed(strings, "train"), **packed(strings, "test"))
    config = DataConfig(source="cifar10", path=str(tmp_path / "j.npz"), standardize=False)
    with pytest.raises(DataError, match=r"j\.npz: test\[4\]: the picture cannot be read"):
        open_dataset(config, GRID, "test")
    with pytest.warns(UserWarning, match="3 samples skipped"):
        data = open_dataset(changed(config, on_bad="skip"), GRID, "test")
    assert [name for name, _ in data.skipped] == ["test[4]", "test[6]", "test[9]"]
    assert [data.name(i) for i in (4, 8)] == ["test[5]", "test[11]"]
    assert int(data[4][1]) == 5


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"offset_test": np.array([0, 50, 20])}, "ascending"),
        ({"offset_test": np.array([-4, 50])}, "ascending"),
        ({"offset_test": np.array([0, 10**9])}, "ascending"),
        ({"offset_test": np.array([0.0, 5.0])}, "integers"),
        ({"y_test": np.zeros(3, np.uint8)}, "tells of 12 images"),
        ({"y_test": np.full(12, 10, np.uint8)}, "wanted 0 to 9"),
        ({"class_names": np.array(["a", "b"])}, "2 names"),
        ({"jpeg_test": np.array([None], dtype=object)}, "pickled"),
        ({"x_test": np.zeros((12, 28, 28, 3), np.uint8)}, r"images of \(3, 28, 28\)"),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path, change, match):
    _, strings = jpeg_set(12)
    np.savez(tmp_path / "j.npz", **{**packed(strings, "test"), **change})
    with pytest.raises(DataError, match=match):
        open_dataset(DataConfig(source="cifar10", path=str(tmp_path / "j.npz")), GRID, "test")


def test_plain_arrays_and_other_archives(tmp_path):
    images, labels, _ = batch(10, 3)
    np.savez(tmp_path / "x.npz", x_test=np.moveaxis(images, 1, -1), y_test=labels)
    data = open_dataset(DataConfig(source="cifar10", path=str(tmp_path / "x.npz"), standardize=False), GRID, "test")
    assert torch.equal(data[2][0], torch.from_numpy(images[2]).float() / 255)
    np.savez(tmp_path / "z.npz", z=images, y_test=labels)
    with pytest.raises(DataError, match="wanted x_test, or jpeg_test"):
        open_dataset(DataConfig(source="cifar10", path=str(tmp_path / "z.npz")), GRID, "test")


def test_class_folders(tmp_path):
    images, _, _ = batch(12, 4)
    for part in ("train", "test"):
        for k, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(6):
                Image.fromarray(np.moveaxis(images[6 * k + i], 0, -1)).save(tmp_path / part / name / f"{i}.png")
    data = open_dataset(DataConfig(source="cifar10", path=str(tmp_path), standardize=False), GRID, "test")
    assert data.spec.output_names == ("cat", "dog")
    assert data.name(7) == "dog/1.png"
    assert torch.equal(data[7][0], torch.from_numpy(images[7]).float() / 255)
    assert image_grid(DataConfig(source="cifar10", path=str(tmp_path))) == GRID
