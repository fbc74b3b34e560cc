"""Maps onto grids: area averages, exact rotation of the source, latitude and longitude order, missing values."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.data import DataError
from armillary.data.maps import GlobalMap, _edges, global_map
from armillary.harmonics import random_rotation
from armillary.spaces import Equiangular, GaussLegendre

GRIDS = [Equiangular(15, 31), Equiangular(16), Equiangular(13, poles=True), GaussLegendre(12)]


def polynomial(p):
    """A smooth field on unit vectors (..., 3) -> (2, ...)."""
    x, y, z = p.unbind(-1)
    return torch.stack([x * y + 0.3 * z, z * z * x - 0.5 * y])


def sampled(grid, left=0.0):
    """A map whose left border is the left border of the grid's column 0."""
    return GlobalMap(polynomial(grid.points).numpy().astype(np.float32), grid.colatitudes.numpy(), left)


def area(grid):
    return np.diff(-np.cos(_edges(grid.colatitudes.numpy())))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_map_on_the_grid_passes_unchanged(grid):
    m = sampled(grid)
    assert np.abs(m.on_grid(grid).numpy() - m.values).max() < 1e-6
    points_read = m.on_turned_grid(grid, torch.eye(3, dtype=torch.float64)).numpy()
    assert np.abs(points_read - m.values).max() < 1e-6


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 40), st.integers(4, 60), st.integers(2, 30), st.integers(3, 50), st.integers(0, 2**31 - 1))
def test_averages_keep_constants_and_the_mean_over_the_sphere(h, w, nlat, nlon, seed):
    values = np.random.default_rng(seed).standard_normal((2, h, w)).astype(np.float32)
    m = global_map(values, "x")
    grid = Equiangular(nlat, nlon)
    got = m.averaged(grid)
    want = (values.mean(-1) * area(Equiangular(h, w))).sum(-1)
    assert np.allclose((got.mean(-1) * area(grid)).sum(-1), want, atol=1e-4)
    ones = GlobalMap(np.ones_like(values), m.colatitudes).averaged(grid)
    assert np.abs(ones - 1).max() < 1e-5


def test_whole_factors_are_plain_box_means():
    values = np.random.default_rng(0).standard_normal((1, 12, 24)).astype(np.float32)
    got = global_map(values, "x").averaged(Equiangular(12, 8))
    assert np.allclose(got, values.reshape(1, 12, 8, 3).mean(-1), atol=1e-6)


@pytest.mark.parametrize("kind", ["finer", "coarser"])
def test_rotated_reading_converges_to_the_rotated_function(kind):
    """(R f)(x) = f(R⁻¹x): the error over the sphere falls with the square of the step.

    (By area: in the row around a pole the mean of a cell is not its node, an error of first order.)
    """
    R = random_rotation(torch.Generator().manual_seed(1))
    errors = []
    for n in (24, 48):
        grid = Equiangular(n)
        source = Equiangular(3 * n if kind == "finer" else n // 2)
        # the left borders meet, so the source's columns lie where its own cells do on the grid's circle
        shift = source.longitude_step / 2 - grid.longitude_step / 2
        theta, phi = source.colatitudes[:, None], source.longitudes[None] + shift
        p = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos().expand(-1, source.nlon)], dim=-1)
        m = GlobalMap(polynomial(p).numpy().astype(np.float32), source.colatitudes.numpy())
        want = polynomial(grid.points @ R)
        errors.append(float(grid.integrate((m.on_turned_grid(grid, R) - want).square()).mean().sqrt()))
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.01


@pytest.mark.parametrize("how", ["nearest", "majority"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_rotated_labels_are_the_labels_of_the_rotated_points(grid, how):
    R = random_rotation(torch.Generator().manual_seed(2))
    h, w = 90, 180
    rows = np.where(np.arange(h) < 30, 7, np.where(np.arange(h) < 60, 2, 255))
    m = global_map(np.broadcast_to(rows[:, None], (1, h, w)).astype(np.int64), "labels")
    got = m.labels_on_grid(grid, R, how)
    theta = torch.acos((grid.points @ R)[..., 2].clamp(-1, 1))
    want = torch.where(theta < math.pi / 3, 7, torch.where(theta < 2 * math.pi / 3, 2, 255))
    border = ((theta - math.pi / 3).abs() < 0.02) | ((theta - 2 * math.pi / 3).abs() < 0.02)
    if how == "majority":
        border |= ((theta - math.pi / 3).abs() < 0.2) | ((theta - 2 * math.pi / 3).abs() < 0.2)
    assert got.dtype == torch.int64
    assert (got == want)[~border].all()
    assert (~border).float().mean() > 0.5


def test_upright_labels_of_a_grid_of_the_same_size_are_the_file():
    labels = np.random.default_rng(0).integers(0, 9, (1, 20, 40))
    got = global_map(labels, "x").labels_on_grid(Equiangular(20), torch.eye(3, dtype=torch.float64))
    assert (got.numpy() == labels[0]).all()


def test_columns_on_a_border_all_go_the_same_way():
    """Reducing by two puts each grid point on a corner of four pixels."""
    labels = np.arange(20 * 40).reshape(1, 20, 40)
    got = global_map(labels, "x").labels_on_grid(Equiangular(10), torch.eye(3, dtype=torch.float64)).numpy()
    assert (got == labels[0, ::2, ::2]).all()


def test_majority_takes_the_commonest_label_of_a_cell():
    labels = np.zeros((1, 24, 48), dtype=np.int64)
    labels[0, 9, 12] = 5  # the pixel under the middle of a cell of 3 × 3, alone against eight
    m = global_map(labels, "x")
    assert (m.labels_on_grid(Equiangular(8), torch.eye(3, dtype=torch.float64), "majority") == 0).all()


def test_rising_latitudes_are_turned_and_longitudes_keep_the_files_first_column():
    values = np.random.default_rng(0).standard_normal((1, 4, 8)).astype(np.float32)
    lat, lon = np.array([-60.0, -20, 20, 60]), 20 + np.arange(8) * 45.0
    m = global_map(values, "x", lat, lon)
    assert (m.values == values[:, ::-1]).all()
    assert np.allclose(np.rad2deg(m.colatitudes), [30, 70, 110, 150])
    assert np.allclose(m.longitudes, lon)
    closed = global_map(np.concatenate([values, values[..., :1]], -1), "x", lat, 20 + np.arange(9) * 45.0)
    assert closed.values.shape == (1, 4, 8)
    wrapped = global_map(values, "x", lat[::-1], (lon + 180) % 360 - 180)
    assert np.allclose(wrapped.longitudes, lon)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (np.array([10.0, 0, 20, 30]), None),
        (np.array([0.0, 30, 60, 95]), None),
        (np.array([0.0, 30, 60]), None),
        (None, np.arange(8) * 10.0),
        (None, np.arange(7) * 45.0),
        (None, np.array([0, 45, 90, 135, 180, 260, 270, 315.0])),
        (None, np.arange(8)[::-1] * 45.0),
    ],
)
def test_wrong_axes_are_errors_that_name_the_map(lat, lon):
    with pytest.raises(DataError, match="field u"):
        global_map(np.zeros((1, 4, 8), dtype=np.float32), "field u", lat, lon)


def test_missing_values_are_left_out_of_averages_and_stay_missing_where_most_is():
    values = np.full((1, 8, 16), 3.0, dtype=np.float32)
    values[0, 0, 0] = np.nan
    values[0, 4:8, 4:8] = np.nan
    m = global_map(values, "x")
    got = m.on_grid(Equiangular(4))
    assert got[0, 0, 0] == 3.0
    assert got[0, 2:, 2:4].isnan().all()
    assert got.isnan().sum() == 4
    turned = m.on_turned_grid(Equiangular(8), random_rotation())
    assert turned.isnan().any()
    assert (turned[~turned.isnan()] - 3.0).abs().max() < 1e-6


@pytest.mark.parametrize("keep_inside", [True, False])
def test_bands_of_longitude_wrap_round(keep_inside):
    m = GlobalMap(np.zeros((1, 2, 36), dtype=np.int64), np.array([1.0, 2.0]), left=-180.0)
    blank = m.masked((170.0, -170.0, 0.0, 10.0), keep_inside, 9).values[0, 0] == 9
    inside = np.zeros(36, dtype=bool)
    inside[[0, 18, 35]] = True
    assert (blank == (~inside if keep_inside else inside)).all()
