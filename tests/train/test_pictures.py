import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.spaces import Equiangular, GaussLegendre, SphereGrid
from armillary.train.pictures import (
    UNSCORED,
    class_colours,
    colour_labels,
    draw_curves,
    draw_rows,
    input_panel,
    orthographic,
    regression_panels,
    segmentation_panels,
)


@pytest.mark.parametrize("grid", [Equiangular(90), Equiangular(91, 180, poles=True), GaussLegendre(90)])
@pytest.mark.parametrize(("longitude", "latitude"), [(0.0, 0.0), (2.0, 0.5), (-1.0, -1.2)])
def test_orthographic_view_shows_the_right_points(grid: SphereGrid, longitude: float, latitude: float) -> None:
    # The component of each point along three axes of the view is what the picture must show at (u, v).
    n = 61
    image = orthographic(grid.points.numpy(), grid, longitude, latitude, pixels=n)
    axis = (np.arange(n) + 0.5) * 2 / n - 1
    u, v = np.meshgrid(axis, -axis)
    inside = u**2 + v**2 < 1
    up = np.array(
        [math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)]
    )
    east = np.array([-math.sin(longitude), math.cos(longitude), 0])
    north = np.cross(up, east)
    for direction, wanted in ((east, u), (north, v), (up, np.sqrt(np.clip(1 - u**2 - v**2, 0, None)))):
        assert np.abs((image @ direction - wanted)[inside]).max() < 1.6 * math.pi / 90
    assert (image[~inside] == 1).all()


@pytest.mark.parametrize("n", [1, 2, 10, 11, 20, 21, 60])
def test_class_colours_differ(n: int) -> None:
    names = ["background", *map(str, range(1, n))]
    for colours in (class_colours(n), class_colours(n, names)):
        assert colours.shape == (n, 3)
        assert len({tuple(np.round(c, 3)) for c in colours}) == n


def test_labels_that_are_not_scored_are_grey() -> None:
    picture = colour_labels(torch.tensor([[0, 1, 255]]), class_colours(2))
    assert tuple(picture[0, 2]) == UNSCORED
    assert tuple(picture[0, 0]) == tuple(class_colours(2)[0])


def test_three_bands_of_one_array_are_colours() -> None:
    x = torch.rand(4, 6, 12)
    assert input_panel(x, ["rgb[0]", "rgb[1]", "rgb[2]", "elev"]).values.shape == (6, 12, 3)
    assert input_panel(x, ["u", "v", "w", "elev"]).values.shape == (6, 12)
    assert input_panel(x[:1], ["u"]).title == "input u"


def test_pictures_are_written(tmp_path: Path) -> None:
    grid = Equiangular(6)
    x, y = torch.randn(1, *grid.shape), torch.randint(0, 3, grid.shape)
    guess = torch.where(torch.rand(grid.shape) < 0.5, y, 0)
    rows = [segmentation_panels(x, y, guess, ["a"], ["background", "p", "q"])]
    assert [panel.title for panel in rows[0]] == ["input a", "target", "prediction", "errors (red)"]
    field = torch.randn(2, *grid.shape)
    target = field + torch.randn(2, *grid.shape)
    target[0, 0] = math.nan
    target[1] = math.nan
    rows.append(regression_panels(x, target, field, ["a"], ["t", "u"]))
    for row in ([rows[0]], [rows[1], rows[1]], [segmentation_panels(x, None, guess, ["a"], ["p", "q", "r"])]):
        path = draw_rows(tmp_path / "rows.png", grid, row, names=["one"], classes=["background", "p", "q"])
        assert np.asarray(Image.open(path).convert("L")).std() > 10


def test_curves_with_gaps(tmp_path: Path) -> None:
    history = [{"epoch": 1, "train_loss": 2.0, "valid_loss": math.nan}, {"epoch": 2, "train_loss": 1.0, "valid_x": 1.0}]
    one = draw_curves(tmp_path / "a.png", history, "x").read_bytes()
    other = draw_curves(tmp_path / "b.png", [{**row, "train_loss": 1.5} for row in history], "x").read_bytes()
    pictures = [np.asarray(Image.open(io.BytesIO(content)).convert("L")) for content in (one, other)]
    assert (pictures[0] != pictures[1]).any()
