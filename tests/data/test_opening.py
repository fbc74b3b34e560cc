"""From a config to samples: splits, held-out longitudes, rotation, normalisation, missing values, new files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.data import DataConfig, DataError, denormalize, open_dataset, read_inputs, with_normalization
from armillary.data.normalization import ChannelMoments, standardized
from armillary.data.records import split_indices
from armillary.spaces import Equiangular, GaussLegendre

GRID = Equiangular(12)
rng = np.random.default_rng(0)


@pytest.fixture
def regression(tmp_path):
    """Ten maps, inputs of two channels far from zero, a target of one."""
    x = rng.standard_normal((10, 2, 24, 48)) * [[[[3.0]], [[0.1]]]] + [[[[0.5]], [[100.0]]]]
    path = tmp_path / "r.npz"
    np.savez(path, x=x, y=rng.random((10, 24, 48)) * 50)
    return DataConfig(source="npz", path=str(path), task="regression", inputs=("x",), targets=("y",))


@pytest.fixture
def single(tmp_path):
    """One map of labels, with the rows' number as input."""
    path = tmp_path / "one.npz"
    labels = rng.integers(0, 4, (24, 48), dtype=np.uint8)
    labels[:, :2] = 255
    rows = np.broadcast_to(np.arange(24.0)[:, None], (24, 48))
    np.savez(path, x=rows, y=labels, lat=90 - 7.5 * (np.arange(24) + 0.5), lon=-180 + 7.5 * (np.arange(48) + 0.5))
    return DataConfig(source="npz", path=str(path), inputs=("x",), targets=("y",), holdout_lon=(0.0, 45.0))


def changed(config, **fields):
    return DataConfig.from_dict({**config.to_dict(), **fields})


@pytest.mark.parametrize("n", [3, 4, 10, 101])
@pytest.mark.parametrize("by", ["random", "order"])
def test_splits_are_disjoint_cover_all_and_never_empty(n, by):
    config = DataConfig(split_by=by)
    parts = [split_indices(n, config, s) for s in ("train", "valid", "test")]
    assert all(len(p) for p in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    if by == "order":
        assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()
    other = split_indices(n, DataConfig(split_by=by, split_seed=1), "train")
    assert n < 10 or (by == "order") == (other.tolist() == parts[0].tolist())


@pytest.mark.parametrize(
    ("fields", "split", "match"),
    [
        ({"fractions": (0.8, 0.2, 0.0)}, "test", "test split of 10 records is empty"),
        ({"train_indices": (0, 11)}, "train", r"\[11\] are not among"),
        ({"train_indices": (0, 1), "valid_indices": (1, 2)}, "valid", "share records"),
        ({"train_indices": (0, 1)}, "valid", "empty"),
    ],
)
def test_impossible_splits_are_errors(fields, split, match):
    with pytest.raises(DataError, match=match):
        split_indices(10, DataConfig(**fields), split)


@pytest.mark.parametrize("grid", [GRID, Equiangular(13, 20, poles=True), GaussLegendre(9)], ids=str)
def test_inputs_are_standardised_over_the_train_split_by_area(regression, grid):
    train = open_dataset(regression, grid, "train")
    assert len(train) == 7
    x = torch.stack([train[i][0] for i in range(len(train))]).double()
    w = grid.quadrature / (4 * torch.pi)
    mean = (x * w).sum((-2, -1)).mean(0)
    std = ((x - mean[:, None, None]).square() * w).sum((-2, -1)).mean(0).sqrt()
    assert mean.abs().max() < 1e-4
    assert (std - 1).abs().max() < 1e-4
    valid = open_dataset(regression, grid, "valid")
    assert valid.normalization == train.normalization
    assert json.loads(json.dumps(train.normalization)) == {k: list(v) for k, v in train.normalization.items()}


def test_saved_normalisation_is_used_and_measured_again_only_when_absent(regression, tmp_path):
    data = open_dataset(regression, GRID, "test")
    saved = with_normalization(regression, data.normalization)
    x, names = read_inputs(regression.path, saved, GRID)
    again, _ = read_inputs(regression.path, regression, GRID)
    assert torch.equal(x, again)
    assert x.shape == (10, 2, *GRID.shape)
    assert torch.equal(x[names.index(data.name(0))], data[0][0])
    moved = changed(saved, path=str(tmp_path / "gone.npz"))  # a saved run needs its data no more
    assert torch.equal(read_inputs(regression.path, moved, GRID)[0], x)
    other = changed(saved, input_mean=(0.0, 0.0), input_std=(1.0, 1.0))
    assert open_dataset(other, GRID, "test")[0][0][1].mean() == pytest.approx(100, abs=1)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_targets_come_back_in_their_units(regression, log, standardize):
    plain = open_dataset(regression, GRID, "test")[0][1]
    config = changed(regression, log_target=log, standardize_target=standardize)
    data = open_dataset(config, GRID, "test")
    y = data[0][1]
    assert (y - plain).abs().max() > 1 or not (log or standardize)
    assert torch.allclose(data.denormalize(y), plain, rtol=1e-4)
    saved = with_normalization(config, data.normalization)
    assert torch.allclose(denormalize(torch.stack([y, y]), saved)[1], plain, rtol=1e-4)


def test_log_of_inputs(regression):
    config = changed(regression, standardize=False, log_inputs=["x[1]"])
    plain = open_dataset(changed(regression, standardize=False), GRID, "test")[0][0]
    x = open_dataset(config, GRID, "test")[0][0]
    assert torch.allclose(x[1], torch.log1p(plain[1]))
    assert torch.equal(x[0], plain[0])
    with pytest.raises(DataError, match=r"x\[0\] falls to -.*log_inputs"):
        open_dataset(changed(regression, log_inputs=["x"]), GRID, "train")
    with pytest.raises(DataError, match="unknown input 'y'"):
        open_dataset(changed(regression, log_inputs=["y"]), GRID, "train")


def test_moments_survive_a_large_mean():
    moments = ChannelMoments(GRID)
    fields = [1e6 + torch.randn(2, *GRID.shape, dtype=torch.float64) for _ in range(4)]
    for f in fields:
        moments.add(f)
    mean, std = moments.mean_std(("a", "b"))
    assert std == pytest.approx((1.0, 1.0), rel=0.1)
    z = torch.stack([standardized(f, mean, std) for f in fields])
    assert ((z.square() * GRID.quadrature).sum((0, 2, 3)) / (16 * torch.pi)).tolist() == pytest.approx([1, 1], rel=1e-6)


def test_a_single_map_holds_out_longitudes(single):
    train, valid = open_dataset(single, GRID, "train"), open_dataset(single, GRID, "valid")
    lon = train.longitudes
    inside = (lon > 0) & (lon < 45)
    (_, y_train), (_, y_valid) = train[0], valid[0]
    assert (y_train[:, inside] == 255).all()
    assert (y_valid[:, ~inside] == 255).all()
    assert (y_valid[:, inside] != 255).all()
    assert (y_train[:, ~inside & (lon > -160)] != 255).all()
    test = open_dataset(changed(single, test_lon=[90.0, 120.0]), GRID, "test")
    scored = (test[0][1] != 255).any(0)
    assert (scored == (lon > 90) & (lon < 120)).all()
    train = open_dataset(changed(single, test_lon=[90.0, 120.0]), GRID, "train")
    assert (train[0][1][:, scored] == 255).all()


def test_a_single_map_without_a_held_out_band_is_refused(single):
    with pytest.raises(DataError, match=r"set data\.holdout_lon"):
        open_dataset(changed(single, holdout_lon=[]), GRID, "valid")


def test_rotation_of_a_single_map_is_keyed_and_fresh(single):
    config = changed(single, augment="so3", samples_train=5, rotated_test="so3", samples_test=3)
    a, b = (open_dataset(config, GRID, "train") for _ in range(2))
    assert len(a) == 5
    assert a.name(3) == "one#3"
    a.set_epoch(2)
    b.set_epoch(2)
    assert torch.equal(a[3][0], b[3][0])
    assert torch.equal(a[3][1], b[3][1])
    b.set_epoch(3)
    assert not torch.equal(a[3][0], b[3][0])
    assert not torch.equal(a[3][0], a[4][0])
    test = open_dataset(config, GRID, "test")
    assert not torch.equal(test[0][0], test[1][0])
    scored = [GRID.integrate((test[i][1] != 255).double()).item() for i in range(3)]
    assert scored == pytest.approx([4 * torch.pi / 8] * 3, rel=0.25)


def test_turned_inputs_and_labels_stay_together(tmp_path):
    """A label that is a function of the input stays one at every rotation, but for mixed cells."""
    h, w = 60, 120
    theta = np.broadcast_to((np.arange(h)[:, None] + 0.5) * np.pi / h, (h, w))
    field = np.cos(theta) * 2 + np.sin(theta) * np.cos(np.arange(w) * 2 * np.pi / w)
    path = tmp_path / "a.npz"
    np.savez(path, x=field, y=(field > 0.5).astype(np.uint8))
    config = DataConfig(
        source="npz", path=str(path), inputs=("x",), targets=("y",), holdout_lon=(0, 10), augment="so3",
        standardize=False, samples_train=4,
    )  # fmt: skip
    data = open_dataset(config, Equiangular(20), "train")
    for i in range(4):
        x, y = data[i]
        clear = ((x[0] - 0.5).abs() > 0.3) & (y != 255)
        assert clear.float().mean() > 0.5
        assert ((x[0] > 0.5).long() == y)[clear].all()


@pytest.fixture
def holes(tmp_path):
    x = rng.standard_normal((6, 2, 24, 48)) + 10
    x[1, 1, 3, :5] = np.nan
    x[1, 1, 4, 0] = np.inf
    x[:, 0, :4] = np.nan
    path = tmp_path / "holes.npz"
    np.savez(path, x=x, y=rng.random((6, 24, 48)), fields=np.array(["sst", "slp"]))
    return DataConfig(
        source="npz", path=str(path), task="regression", inputs=("x[slp]",), targets=("y",), channel_names_from="fields"
    )


def test_missing_inputs_stop_with_sample_channel_count_and_fix(holes):
    with pytest.raises(
        DataError, match=r'holes\[1\]: x\[slp\] has 6 NaN or infinite values of 1152.*nan_inputs = "mean"'
    ):
        read_inputs(holes.path, changed(holes, standardize=False), GRID)
    config = changed(holes, inputs=["x"], train_indices=[1])
    with pytest.raises(DataError, match=r"x\[sst\] has 192 .*1 other channels"):
        open_dataset(config, GRID, "train")


@pytest.mark.parametrize("standardize", [False, True])
def test_missing_inputs_are_filled_with_the_mean_and_marked(holes, standardize):
    config = changed(holes, inputs=["x"], nan_inputs="mean", standardize=standardize)
    grid = Equiangular(24)
    data = open_dataset(config, grid, "train")
    assert data.spec.input_names == ("x[sst]", "x[slp]", "valid")
    x, _ = read_inputs(config.path, with_normalization(config, data.normalization), grid)
    assert torch.isfinite(x).all()
    assert (x[:, 2, :4] == 0).all()
    filled = 0.0 if standardize else data.normalization["input_mean"][0]
    assert (x[:, 0, :4] - filled).abs().max() < 1e-5
    assert x[1, 2, 4, 0] == 0
    assert (x[[0, 2, 3, 4, 5], 2, 4:] == 1).all()


def test_missing_values_of_a_regression_target_stay_missing(holes):
    config = changed(holes, inputs=["y"], targets=["x[0]"], layout=["NHW"])
    y = open_dataset(config, GRID, "train")[0][1]
    assert y[0, :2].isnan().all()
    assert not y[0, 2:].isnan().any()


def test_items_are_kept_in_memory_and_safe_from_change(regression):
    for cache in (512, 0):
        data = open_dataset(changed(regression, cache_mb=cache), GRID, "test")
        x, y = data[0]
        before = x.clone()
        x.zero_()
        y.zero_()
        assert torch.equal(data[0][0], before)
        assert bool(data._items) == bool(cache)


def test_prediction_from_a_picture_and_from_wrong_files(tmp_path, regression):
    pixels = rng.integers(0, 256, (3, 24, 48, 3), dtype=np.uint8)
    path = tmp_path / "rgb.npz"
    np.savez(path, rgb=pixels, y=rng.random((3, 24, 48, 1)))
    config = DataConfig(source="npz", path=str(path), task="regression", inputs=("rgb",), targets=("y",))
    config = with_normalization(config, open_dataset(config, GRID, "train").normalization)
    Image.fromarray(pixels[1]).save(tmp_path / "one.png")
    x, names = read_inputs(tmp_path / "one.png", config, GRID)
    assert names == ["one"]
    assert (x[0] - read_inputs(path, config, GRID)[0][1]).abs().max() < 1e-6
    Image.fromarray(pixels[1, ..., 0]).save(tmp_path / "grey.png")
    with pytest.raises(DataError, match="1 bands"):
        read_inputs(tmp_path / "grey.png", config, GRID)
    with pytest.raises(DataError, match="unknown array 'rgb'"):
        read_inputs(regression.path, config, GRID)
    with pytest.raises(DataError, match="no such file"):
        read_inputs(tmp_path / "none.npz", config, GRID)
    np.savez(tmp_path / "four.npz", rgb=np.zeros((24, 48, 4)))
    with pytest.raises(DataError, match="4 input channels"):
        read_inputs(tmp_path / "four.npz", config, GRID)


def test_prediction_on_digit_spheres(tmp_path):
    data = open_dataset(DataConfig(), GRID, "test")
    x = torch.stack([data[i][0] for i in range(3)])
    np.savez(tmp_path / "d.npz", x=x.numpy())
    got, names = read_inputs(tmp_path / "d.npz", DataConfig(), GRID)
    assert (got - x).abs().max() < 1e-6
    assert names == ["d[0]", "d[1]", "d[2]"]
    np.savez(tmp_path / "flat.npz", x=np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match="not flat digits"):
        read_inputs(tmp_path / "flat.npz", DataConfig(), GRID)
    broken = x.numpy()
    broken[1, 0, 2, 2] = np.nan
    np.savez(tmp_path / "nan.npz", x=broken)
    with pytest.raises(DataError, match=r"nan\[1\]: intensity has 1 NaN"):
        read_inputs(tmp_path / "nan.npz", DataConfig(), GRID)


def test_unknown_split_is_an_error():
    with pytest.raises(DataError, match="known: train, valid, test"):
        open_dataset(DataConfig(), GRID, "validation")


def test_workers_give_the_same_samples(regression):
    data = open_dataset(changed(regression, augment="so3"), GRID, "train")
    loader = torch.utils.data.DataLoader(data, batch_size=3, num_workers=1)
    assert torch.equal(next(iter(loader))[0], torch.stack([data[i][0] for i in range(3)]))
