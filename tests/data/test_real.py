"""The example configs on the real data sets in $ARMILLARY_DATA."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataConfig, Motion, image_grid, moved, open_dataset, read_inputs, with_normalization
from armillary.spaces import Equiangular

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("ARMILLARY_DATA" not in os.environ, reason="$ARMILLARY_DATA is not set"),
]
GRID = Equiangular(32)
EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    return DataConfig.from_dict(tomllib.loads((EXAMPLES / f"{name}.toml").read_text())["data"])


@pytest.mark.parametrize("name", ["earth", "panoramas", "mnist"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_examples_open_and_give_finite_samples(name, split):
    data = open_dataset(example(name), GRID, split)
    x, y = data[len(data) - 1]
    assert x.shape == (len(data.spec.input_names), *GRID.shape)
    assert torch.isfinite(x).all()
    if data.spec.task == "segmentation":
        scored = y[y != data.spec.ignore_index]
        assert 0 <= scored.min() <= scored.max() < len(data.spec.output_names)
        assert len(scored.unique()) > 2
    else:
        assert y.shape == (len(data.spec.output_names), *GRID.shape)
        assert torch.isfinite(data.denormalize(y)).all()


def test_earth_is_the_right_way_up_and_whole_in_prediction():
    config = example("earth")
    data = open_dataset(config, GRID, "valid")
    x, names = read_inputs(config.path, with_normalization(config, data.normalization), GRID)
    assert names == ["earth_segmentation"]
    c = data.spec.input_names.index("elev_m")
    elevation = x[0, c] * data.normalization["input_std"][c] + data.normalization["input_mean"][c]
    lon = data.longitudes
    tibet = elevation[int((90 - 33) / 180 * 32), int((lon - 88).abs().argmin())]
    antarctica = elevation[-1].mean()
    assert tibet > 3500
    assert antarctica > 1500
    assert elevation[0].mean() < -500  # the Arctic ocean


def test_climatology_marks_missing_data_and_reads_channels_by_name():
    config = DataConfig(
        source="npz",
        path="$ARMILLARY_DATA/surface_climatology.npz",
        task="regression",
        inputs=("x[SPD]", "x[SLP]"),
        targets=("x[SST]",),
        channel_names_from="fields",
        nan_inputs="mean",
        standardize_target=True,
    )
    data = open_dataset(config, Equiangular(46, 72, poles=True), "train")
    x, y = data[0]
    assert data.spec.input_names == ("x[SPD]", "x[SLP]", "valid")
    assert 0.2 < x[2].mean() < 0.9
    assert 0.1 < y.isnan().float().mean() < 0.8
    warm = data.denormalize(y)[0][:, :]
    tropics, polar = warm[20:26], warm[3:8]
    assert tropics[~tropics.isnan()].mean() > polar[~polar.isnan()].mean() + 10


def test_winds_on_levels():
    config = DataConfig(
        source="npz",
        path="$ARMILLARY_DATA/reanalysis_uvz.npz",
        task="regression",
        inputs=("u", "v"),
        targets=("z",),
        layout=("CHW",),
        target_layout="CHW",
        channel_names_from="level_hPa",
        holdout_lon=(0.0, 60.0),
    )
    data = open_dataset(config, Equiangular(61, 120, poles=True), "train")
    x, y = data[0]
    assert data.spec.input_names[0] == "u[200]"
    assert x.shape == (6, 61, 120)
    assert y.shape == (3, 61, 120)
    assert y[0][~y[0].isnan()].mean() > y[2][~y[2].isnan()].mean()


def test_rotated_mnist_agrees_with_the_set_that_others_made(data_dir):
    """The same digits turned by the same angles with other software: the way round is ours, and pixels nearly so."""
    with np.load(data_dir / "mnist_rotated_derived.npz") as f, np.load(data_dir / "mnist.npz") as m:
        digits, want = m["x_train"][f["mnist_train_index"][:100]], f["x_train"][:100]
        angles = np.deg2rad(f["angle_deg_train"][:100].astype(float))
    got = [moved(d[None], Motion(a))[0] for d, a in zip(digits, angles, strict=True)]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(got, want, strict=True)]
    assert min(alike) > 0.99
    away = [moved(d[None], Motion(-a))[0] for d, a in zip(digits, angles, strict=True)]
    assert np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(away, want, strict=True)]) < 0.6


def test_the_planar_sources_open(data_dir):
    for source, file, sizes in (
        ("rotated_mnist", "mnist.npz", (12000, 50000)),
        ("rotated_mnist", "mnist_rotated_derived.npz", (12000, 5000)),
        ("mnist", "mnist.npz", (60000, 5000)),
        ("cifar10", "cifar10_jpeg_subset.npz", (20000, 3000)),
    ):
        config = DataConfig(source=source, path=str(data_dir / file), task="classification", augment="so2")
        grid = image_grid(config)
        train = open_dataset(config, grid, "train")
        config = with_normalization(config, train.normalization)
        valid, test = (open_dataset(config, grid, split) for split in ("valid", "test"))
        assert (len(train) + len(valid), len(test)) == sizes
        x, y = zip(*(data[i] for data in (train, valid, test) for i in (0, 7, len(data) - 1)), strict=True)
        assert torch.stack(x).shape == (9, len(config.input_mean), *grid.shape)
        assert torch.stack(x).isfinite().all()
        assert 0 <= min(y) <= max(y) <= 9


def test_the_example_of_rotated_mnist(data_dir):
    config = example("rotated_mnist")
    train = open_dataset(config, image_grid(config), "train")
    train.set_epoch(1)
    assert train[5][0].shape == (1, 28, 28)
