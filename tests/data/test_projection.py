"""A picture on the sphere: the rotation acts exactly on the continuous function."""

import math

import pytest
import torch

from armillary.data import project_image
from armillary.data.projection import tangent_frame
from armillary.harmonics import random_rotation
from armillary.spaces import Equiangular, GaussLegendre

GRIDS = [Equiangular(17, 30), Equiangular(16, poles=True), GaussLegendre(12)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_linear_picture_is_read_exactly_at_any_rotation(grid, dtype, tolerance):
    """Bilinear interpolation has no error on a plane, so the twin is the projection formula itself."""
    g = torch.Generator().manual_seed(3)
    R, size, center = random_rotation(g), 1.9, (1.1, 2.3)
    h, w = 21, 33
    column = (torch.arange(w, dtype=torch.float64) + 0.5) * 2 / w - 1  # -1 west border, 1 east border
    row = (torch.arange(h, dtype=torch.float64) + 0.5) * 2 / h - 1
    image = torch.stack([column.expand(h, w), row[:, None].expand(h, w)]).to(dtype)
    got = project_image(image, grid, R, size, center)

    c, e, n = tangent_frame(*center)
    p = torch.einsum("ji,hwj->hwi", R, grid.points)  # R^T applied to each point
    half = 2 * math.tan(size / 4)
    u = 2 * (p @ e) / (1 + p @ c) / half
    v = -2 * (p @ n) / (1 + p @ c) / half * (w / h)
    inside = (u.abs() < 1 - 1 / w) & (v.abs() < 1 - 1 / h)
    assert inside.sum() > 5
    assert got.dtype == dtype
    assert (got[0].double() - u)[inside].abs().max() < tolerance
    assert (got[1].double() - v)[inside].abs().max() < tolerance
    outside = (u.abs() > 1 + 1 / w) | (v.abs() > 1 + 1 / h)
    assert (got[:, outside] == 0).all()


def test_angular_size_is_the_width_of_the_picture():
    grid = Equiangular(181, 720)
    got = project_image(torch.ones(1, 40, 80), grid, torch.eye(3), 1.0, (math.pi / 2, math.pi))
    equator = got[0, 90] > 0.5
    assert equator.sum().item() * grid.longitude_step == pytest.approx(1.0, abs=2 * grid.longitude_step)


def test_upright_picture_has_its_top_north_and_its_right_east():
    image = torch.zeros(1, 8, 8, dtype=torch.float64)
    image[0, 0, 7] = 1.0  # top right
    got = project_image(image, Equiangular(64), torch.eye(3), 1.5, (math.pi / 2, math.pi))[0]
    row, column = divmod(int(got.argmax()), 128)
    assert row < 32
    assert column > 64


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_turning_by_a_longitude_step_rolls_the_samples(grid):
    image = torch.rand(2, 9, 7, dtype=torch.float64)
    a = grid.longitude_step * 3
    Z = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]], dtype=torch.float64)
    still = project_image(image, grid, torch.eye(3), 2.0, (1.2, 0.4))
    assert (project_image(image, grid, Z, 2.0, (1.2, 0.4)) - still.roll(3, -1)).abs().max() < 1e-12


def test_noncontiguous_picture_and_a_centre_at_the_pole():
    image = torch.rand(9, 7, 3).permute(2, 1, 0)
    got = project_image(image, Equiangular(16), random_rotation(), 3.0, (0.0, 0.0))
    assert got.shape == (3, 16, 32)
    assert torch.isfinite(got).all()


@pytest.mark.parametrize(
    ("image", "rotation", "size"),
    [
        (torch.zeros(4, 4), torch.eye(3), 1.0),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), torch.eye(3), 1.0),
        (torch.zeros(1, 4, 4), torch.eye(2), 1.0),
        (torch.zeros(1, 4, 4), torch.eye(3), 7.0),
    ],
)
def test_wrong_arguments_are_named(image, rotation, size):
    with pytest.raises(ValueError, match=r"want"):
        project_image(image, Equiangular(8), rotation, size)
