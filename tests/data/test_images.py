"""Images in the plane as data sets: MNIST, rotated MNIST, digits; draws, normalisation, new files."""

import hashlib
import math

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.data import (
    DataConfig,
    DataError,
    Motion,
    image_grid,
    moved,
    open_dataset,
    read_inputs,
    with_normalization,
)
from armillary.data.draws import sample_motion
from armillary.spaces import Equiangular, ImageGrid

GRID = ImageGrid(28, 28)
#: What docs/data.md promises of rotated MNIST, for the digits of ``ramp``.
ANGLE = 0.15215437500130277
NAMES = ["mnist[46]", "mnist[49]", "mnist[50]", "mnist[44]"]
TRAIN = "d413feef33fe91a95cff25126561b25e351e0d729eed40a134b1935d59e29775"
TEST = "3176b3eccb1721b265baaa46634c045099eed5b85f6f22ce7d9ffea30ea70b71"


def ramp(n, seed):
    """Digits nobody has seen: the same on every machine."""
    i, y, x = np.indices((n, 28, 28))
    return ((x * (3 + i % 5) + y * (7 - i % 3) + 31 * i + seed) % 256).astype(np.uint8)


@pytest.fixture
def arrays():
    return {
        "x_train": ramp(40, 0),
        "y_train": (np.arange(40) % 10).astype(np.uint8),
        "x_test": ramp(12, 5),
        "y_test": (np.arange(12) % 10).astype(np.uint8),
    }


@pytest.fixture
def mnist(tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    return DataConfig(source="mnist", path=str(tmp_path / "m.npz"), task="classification", standardize=False)


def changed(config, **fields):
    return DataConfig.from_dict({**config.to_dict(), **fields})


def test_digits_need_no_files():
    data = open_dataset(DataConfig(task="classification"), ImageGrid(8, 8), "test")
    x, y = data[0]
    assert x.shape == (1, 8, 8)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert y.shape == ()
    assert data.spec.output_names == tuple("0123456789")
    assert image_grid(DataConfig(task="classification")) == ImageGrid(8, 8)
    sizes = [len(open_dataset(DataConfig(task="classification"), ImageGrid(8, 8), s)) for s in ("train", "valid")]
    assert sum(sizes) + len(data) == 1797
    with pytest.raises(IndexError):
        data[len(data)]


def test_mnist_keeps_its_own_test_set_and_order(mnist, arrays):
    test = open_dataset(mnist, GRID, "test")
    assert [test.name(i) for i in (0, 11)] == ["test[0]", "test[11]"]
    assert torch.equal(test[3][0], torch.from_numpy(arrays["x_test"][3:4]).float() / 255)
    assert int(test[3][1]) == 3
    train, valid = (open_dataset(mnist, GRID, s) for s in ("train", "valid"))
    names = [d.name(i) for d in (train, valid) for i in range(len(d))]
    assert sorted(names) == sorted(f"train[{i}]" for i in range(40))
    index = int(valid.name(0)[6:-1])
    assert torch.equal(valid[0][0], torch.from_numpy(arrays["x_train"][index][None]).float() / 255)


def test_channels_are_standardised_over_the_upright_train_split(mnist):
    config = changed(mnist, standardize=True, augment="so2", rotated_test="so2")
    train = open_dataset(config, GRID, "train")
    upright = open_dataset(changed(config, augment="none"), GRID, "train")
    x = torch.stack([upright[i][0] for i in range(len(upright))]).double()
    assert abs(float(x.mean())) < 1e-6
    assert abs(float(x.std(correction=0)) - 1) < 1e-6
    test = open_dataset(config, GRID, "test")
    assert test.normalization == train.normalization
    saved = with_normalization(config, train.normalization)
    assert torch.equal(open_dataset(saved, GRID, "test")[2][0], test[2][0])


def test_other_sizes_are_fitted(mnist):
    for grid in (ImageGrid(14, 14), ImageGrid(33, 33), ImageGrid(20, 30)):
        data = open_dataset(changed(mnist, standardize=True), grid, "train")
        assert data[0][0].shape == (1, *grid.shape)
        assert data[0][0].isfinite().all()


def digest(data, n):
    return hashlib.sha256(b"".join((data[i][0] * 255).round().byte().numpy().tobytes() for i in range(n))).hexdigest()


def test_rotated_mnist_is_the_same_on_every_machine(mnist):
    """Choice, angles and pixels are pinned: a change of any would make another data set under the same name."""
    config = changed(mnist, source="rotated_mnist")
    train, test = (open_dataset(config, GRID, s) for s in ("train", "test"))
    assert len(test) == 12
    assert train.records.angle(0) == pytest.approx(ANGLE, abs=1e-12)
    assert [test.name(i) for i in range(4)] == NAMES
    assert digest(train, 8) == TRAIN
    assert digest(test, 8) == TEST
    other = open_dataset(changed(config, split_seed=1), GRID, "test")
    assert digest(other, 8) != TEST
    assert digest(open_dataset(changed(config, seed=1), GRID, "test"), 8) == TEST


def test_rotated_mnist_is_mnist_turned_by_its_angles(mnist, arrays):
    data = open_dataset(changed(mnist, source="rotated_mnist"), GRID, "train")
    for i in range(5):
        source = int(data.name(i)[6:-1])
        angle = data.records.angle(int(data.indices[i]))
        assert 0 <= angle < 2 * math.pi
        want = moved(arrays["x_train"][source][None], Motion(angle))
        assert torch.equal(data[i][0], torch.from_numpy(want).float() / 255)
        assert int(data[i][1]) == arrays["y_train"][source]


def test_rotated_mnist_never_tests_on_what_it_trained_on(mnist, monkeypatch):
    from armillary.data import image_sources

    monkeypatch.setattr(image_sources, "ROTATED_TRAIN", 15)
    monkeypatch.setattr(image_sources, "ROTATED_TEST", 30)
    config = changed(mnist, source="rotated_mnist")
    sets = [open_dataset(config, GRID, s) for s in ("train", "valid", "test")]
    names = [{d.name(i) for i in range(len(d))} for d in sets]
    assert len(names[0]) + len(names[1]) == 15
    assert len(names[2]) == 30
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & names[2]
    assert all(int(n[6:-1]) < 40 for n in names[0] | names[1])  # chosen from MNIST's own training digits


def test_a_file_of_turned_digits_is_read_as_it_is(tmp_path, arrays):
    np.savez(tmp_path / "r.npz", **arrays, angle_deg_train=np.zeros(40, "f4"), angle_deg_test=np.zeros(12, "f4"))
    config = DataConfig(source="rotated_mnist", path=str(tmp_path / "r.npz"), standardize=False)
    assert config.task == "classification"
    data = open_dataset(config, GRID, "test")
    assert torch.equal(data[5][0], torch.from_numpy(arrays["x_test"][5:6]).float() / 255)


def test_draws_are_functions_of_seed_epoch_and_index(mnist):
    config = changed(mnist, augment="so2", augment_flip=True, augment_shift=3)
    a, b = (open_dataset(config, GRID, "train") for _ in range(2))
    a.set_epoch(2)
    first = [a[i][0] for i in range(4)]
    b.set_epoch(2)
    assert all(torch.equal(b[i][0], first[i]) for i in reversed(range(4)))
    b.set_epoch(3)
    assert not torch.equal(b[0][0], first[0])
    other = open_dataset(changed(config, seed=1), GRID, "train")
    other.set_epoch(2)
    assert not torch.equal(other[0][0], first[0])
    loader = torch.utils.data.DataLoader(a, batch_size=4, num_workers=1)
    assert torch.equal(next(iter(loader))[0], torch.stack(first))


def test_one_kind_of_augmentation_leaves_the_draws_of_another(mnist):
    turns = [sample_motion(changed(mnist, augment="so2"), "train", 1, i).angle for i in range(5)]
    all_of_it = changed(mnist, augment="so2", augment_flip=True, augment_shift=2)
    assert [sample_motion(all_of_it, "train", 1, i).angle for i in range(5)] == turns


def test_draws_are_spread_as_they_should(mnist):
    config = changed(mnist, augment="c4", augment_flip=True, augment_shift=2)
    warps = [sample_motion(config, "train", 0, i) for i in range(2000)]
    quarters = np.bincount([w.quarters() for w in warps])
    assert quarters.tolist() == pytest.approx([500] * 4, abs=100)
    assert sum(w.flip for w in warps) == pytest.approx(1000, abs=100)
    for values in ([w.right for w in warps], [w.up for w in warps]):
        assert np.unique(values).tolist() == [-2, -1, 0, 1, 2]
        assert np.mean(values) == pytest.approx(0, abs=0.15)
    config = changed(config, augment="so2")
    angles = [sample_motion(config, "train", 0, i).angle for i in range(2000)]
    assert np.histogram(angles, 8, (0, 2 * math.pi))[0].tolist() == pytest.approx([250] * 8, abs=70)


def test_only_training_is_augmented_and_only_named_splits_are_turned(mnist, arrays):
    config = changed(mnist, augment="so2", augment_flip=True, augment_shift=4)
    plain = open_dataset(mnist, GRID, "test")
    assert torch.equal(open_dataset(config, GRID, "test")[4][0], plain[4][0])
    turned = open_dataset(changed(config, rotated_test="so2"), GRID, "test")
    again = open_dataset(changed(config, rotated_test="so2"), GRID, "test")
    again.set_epoch(5)
    assert not torch.equal(turned[4][0], plain[4][0])
    assert torch.equal(turned[4][0], again[4][0])
    quarter = open_dataset(changed(mnist, rotated_test="c4"), GRID, "test")
    for i in range(6):
        assert any(torch.equal(quarter[i][0], torch.rot90(plain[i][0], k, (-2, -1))) for k in range(4))
    fixed = open_dataset(changed(mnist, rotated_train="so2", augment_flip=True), GRID, "train")
    fixed.set_epoch(1)
    assert fixed[0][0].isfinite().all()


def test_a_further_turn_is_interpolated_once(mnist, arrays):
    data = open_dataset(changed(mnist, source="rotated_mnist", augment="so2", augment_shift=2), GRID, "train")
    source, angle = int(data.name(1)[6:-1]), data.records.angle(int(data.indices[1]))
    want = moved(arrays["x_train"][source][None], Motion(angle + 0.4))
    assert torch.equal(data.turned(1, 0.4), torch.from_numpy(want).float() / 255)
    fixed = open_dataset(changed(mnist, rotated_test="so2"), GRID, "test")
    angle = sample_motion(fixed.config, "test", 0, 3).angle
    want = moved(arrays["x_test"][3][None], Motion(angle + 0.4))
    assert torch.equal(fixed.turned(3, 0.4), torch.from_numpy(want).float() / 255)
    assert torch.equal(fixed.turned(3, math.pi / 2), torch.rot90(fixed[3][0], 1, (-2, -1)))
    upright = open_dataset(mnist, GRID, "test")
    assert torch.equal(upright.turned(0, 0.0), upright[0][0])
    assert torch.equal(upright.turned(0, math.pi), upright[0][0].flip(-1, -2))


def test_epochs_of_another_length(mnist):
    data = open_dataset(changed(mnist, samples_test=30, rotated_test="so2"), GRID, "test")
    assert len(data) == 30
    assert data.name(13) == "test[1]#1"
    assert not torch.equal(data[1][0], data[13][0])


@pytest.mark.parametrize(
    ("change", "grid", "match"),
    [
        ({"task": "segmentation"}, GRID, "set classification"),
        ({"augment": "so3"}, GRID, "images turn by so2, c4"),
        ({"rotated_test": "z"}, GRID, "data.rotated_test"),
        ({"augment": "c4"}, ImageGrid(28, 20), "square"),
        ({"augment_shift": 28}, GRID, "out of sight"),
        ({"latitude_input": True}, GRID, "maps of a sphere"),
        ({"holdout_lon": (0.0, 10.0)}, GRID, "maps of a sphere"),
        ({"source": "npz", "inputs": ("x",)}, GRID, "lies on a sphere"),
        ({"source": "rotated_mnist"}, Equiangular(8), "--grid image"),
        ({"augment": "so2"}, Equiangular(8), "spheres turn by z, so3"),
        ({"augment_flip": True}, Equiangular(8), "images in the plane"),
        ({"fractions": (1.0, 0.0, 0.0)}, GRID, "valid split"),
    ],
)
def test_impossible_wishes_are_errors(mnist, change, grid, match):
    with pytest.raises(DataError, match=match):
        open_dataset(changed(mnist, **change), grid, "valid")


def test_broken_files_are_named(mnist, tmp_path, arrays):
    for source in ("mnist", "rotated_mnist"):
        gone = changed(mnist, source=source, path=str(tmp_path / "gone.npz"))
        with pytest.raises(DataError, match="no such file"):
            open_dataset(gone, GRID, "train")
        (tmp_path / "bad.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:3000])
        with pytest.raises(DataError, match=r"bad\.npz"):
            open_dataset(changed(gone, path=str(tmp_path / "bad.npz")), GRID, "train")
    np.savez(tmp_path / "sizes.npz", **{**arrays, "x_test": arrays["x_test"][:, :20]})
    with pytest.raises(DataError, match=r"training images are \(28, 28\), test images \(20, 28\)"):
        open_dataset(changed(mnist, source="rotated_mnist", path=str(tmp_path / "sizes.npz")), GRID, "test")
    objects = np.empty(3, dtype=object)
    np.savez(tmp_path / "objects.npz", **{**arrays, "x_train": objects})
    with pytest.raises(DataError, match="pickled"):
        open_dataset(changed(mnist, path=str(tmp_path / "objects.npz")), GRID, "train")


def test_new_images_are_read_as_the_training_data(mnist, tmp_path, arrays):
    config = changed(mnist, standardize=True)
    data = open_dataset(config, GRID, "test")
    saved = changed(with_normalization(config, data.normalization), path=str(tmp_path / "gone"))
    np.savez(tmp_path / "n.npz", x=arrays["x_test"])
    x, names = read_inputs(tmp_path / "n.npz", saved, GRID)
    assert names[2] == "n[2]"
    assert all(torch.equal(x[i], data[i][0]) for i in range(12))
    np.savez(tmp_path / "f.npz", x=arrays["x_test"][:, None].astype("f4") / 255)
    assert torch.equal(read_inputs(tmp_path / "f.npz", saved, GRID)[0], x)
    (tmp_path / "folder").mkdir()
    Image.fromarray(arrays["x_test"][1]).save(tmp_path / "folder" / "b.png")
    Image.fromarray(arrays["x_test"][0]).convert("RGB").resize((60, 40)).save(tmp_path / "folder" / "a.png")
    several, names = read_inputs(tmp_path / "folder", saved, GRID)
    assert names == ["a", "b"]
    assert torch.equal(several[1], x[1])
    assert torch.equal(read_inputs(tmp_path / "folder" / "b.png", saved, GRID)[0][0], x[1])
    assert torch.equal(read_inputs(tmp_path / "n.npz", config, GRID)[0], x)  # measured again


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros((2, 28, 28, 3), np.uint8), "has 3 channels, the network was trained with 1"),
        (np.full((2, 28, 28), 2.0), r"1568 values that are NaN or outside"),
        (np.full((2, 28, 28), np.nan), "NaN or outside"),
        (np.zeros((2, 28, 28), np.int64), "of uint8 with C = 1 or 3"),
        (np.zeros((28, 28), np.uint8), r"has shape \(28, 28\)"),
        (np.zeros((0, 28, 28), np.uint8), "no samples"),
    ],
)
def test_new_arrays_that_cannot_be_used(mnist, tmp_path, x, match):
    np.savez(tmp_path / "n.npz", x=x)
    with pytest.raises(DataError, match=match):
        read_inputs(tmp_path / "n.npz", mnist, GRID)
    np.savez(tmp_path / "y.npz", y=x)
    with pytest.raises(DataError, match="unknown array 'x'"):
        read_inputs(tmp_path / "y.npz", mnist, GRID)


def test_the_size_of_a_source(mnist, tmp_path):
    assert image_grid(mnist) == GRID
    with pytest.raises(DataError, match="--grid image:64"):
        image_grid(DataConfig(source="image_folder", path=str(tmp_path)))
