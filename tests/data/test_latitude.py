"""Latitude as an input: a field of the map's own rows that turns with the map."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataConfig, open_dataset, read_inputs, with_normalization
from armillary.data.draws import sample_rotation
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=rng.random((5, 3, 90, 180), dtype=np.float32), y=rng.random((5, 90, 180)))
    return DataConfig(
        source="npz",
        path=str(tmp_path / "a.npz"),
        task="regression",
        inputs=("x",),
        targets=("y",),
        latitude_input=True,
        standardize=False,
    )


@pytest.mark.parametrize("grid", [Equiangular(15), GaussLegendre(12)])
def test_latitude_is_the_last_input_and_turns_with_the_map(config: DataConfig, grid: SphereGrid) -> None:
    data = open_dataset(config, grid, "train")
    assert data.spec.input_names == ("x[0]", "x[1]", "x[2]", "sin2_latitude")
    upright = data[0][0][3]
    edges = torch.cat([torch.zeros(1), (grid.colatitudes[1:] + grid.colatitudes[:-1]) / 2, torch.full((1,), torch.pi)])
    z = torch.cos(edges)
    mean = (z[:-1] ** 3 - z[1:] ** 3) / (3 * (z[:-1] - z[1:]))  # of z² over the area of a cell
    # the file's 90 rows have the value of their centre; where a cell's edge cuts one, up to a tenth of it goes astray
    assert (upright - mean[:, None]).abs().max() < 0.1 * np.pi / 90
    turned = open_dataset(dataclasses.replace(config, augment="so3"), grid, "train")
    R = sample_rotation("so3", "none", config.seed, "train", 0, 0)
    there = (grid.points @ R)[..., 2].square().float()
    # the centroid of a polar cell lies a sixth of the spacing from its node, and the slope is at most 1
    assert (turned[0][0][3] - there).abs().max() < 0.2 * np.pi / grid.nlat
    assert (upright - there).abs().max() > 0.3


def test_a_new_file_and_a_picture_get_it_too(config: DataConfig, tmp_path: Path) -> None:
    from PIL import Image

    grid = Equiangular(10)
    config = dataclasses.replace(config, standardize=True)
    saved = with_normalization(config, open_dataset(config, grid, "train").normalization)
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 3, 20, 40), np.float32))
    x, _ = read_inputs(tmp_path / "b.npz", saved, grid)
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "b.png")
    picture, _ = read_inputs(tmp_path / "b.png", saved, grid)
    assert x.shape == (2, 4, 10, 20)
    assert torch.equal(picture[0], x[0])
    assert x[0, 3, 0, 0] > 1
    assert x[0, 3, 5, 0] < 0
