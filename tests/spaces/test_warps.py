"""Warps against literal evaluations, the group law, and the theorem: a transformed image has a shifted warp."""

import json
import math

import pytest
import torch
from torch import Tensor

from armillary.spaces import ImageGrid, LogPolar, PerspectiveSphere, ScaleAspect, Warp, warp_from_dict

SPHERE = PerspectiveSphere(9, 12, radius=1.5, distance=6.0, focal=70.0, largest_pitch=0.7, largest_yaw=0.9)
WARPS = [
    LogPolar(16, 9, 1.0, 14.5),
    LogPolar(7, 2, 0.5, 3.0),
    ScaleAspect(8, 11, 1.0, 14.0),
    ScaleAspect(6, 5, 2.0, 28.0, (-1, 1), "corner"),
    ScaleAspect(6, 5, 2.0, 28.0, (1, -1), "corner"),
    SPHERE,
]
GRIDS = [ImageGrid(32, 32), ImageGrid(27, 40)]
each_warp = pytest.mark.parametrize("warp", WARPS, ids=lambda w: f"{type(w).__name__}-{w.shape[0]}")
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=["square", "odd"])


def small_steps(warp: Warp, count: int, seed: int = 0) -> Tensor:
    """Random u within half the extent of the grid."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([axis.period for axis in warp.axes], dtype=torch.float64)
    return (torch.rand(count, 2, generator=generator, dtype=torch.float64) - 0.5) * extent / 2


def smooth(points: Tensor) -> Tensor:
    """An analytic image of no symmetry."""
    x, y = points[..., 0] / 10, points[..., 1] / 10
    return torch.exp(-((x - 0.3) ** 2) - 2 * (y + 0.2) ** 2) + 0.3 * torch.sin(2 * x - y) + 0.1 * y


@each_grid
@each_warp
def test_sizes_types_and_steps(warp: Warp, grid: ImageGrid) -> None:
    points, u = warp.points(grid), warp.coordinates
    assert points.shape == u.shape == (*warp.shape, 2)
    assert points.dtype == u.dtype == torch.float64
    assert torch.isfinite(points).all()
    torch.testing.assert_close(u.diff(dim=0)[..., 0], torch.full_like(u[1:, :, 0], warp.step[0]))
    torch.testing.assert_close(u.diff(dim=1)[..., 1], torch.full_like(u[:, 1:, 0], warp.step[1]))
    assert warp.periodic == (isinstance(warp, LogPolar), False)


def test_log_polar_points_one_by_one() -> None:
    warp = LogPolar(12, 5, 1.5, 24.0)
    points = warp.points(ImageGrid(9, 14))
    for k in range(12):
        for j in range(5):
            radius, angle = 1.5 * 16 ** (j / 4), 2 * math.pi * k / 12
            wanted = [radius * math.cos(angle), radius * math.sin(angle)]
            torch.testing.assert_close(points[k, j].tolist(), wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("quadrant", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_scale_aspect_points_one_by_one(quadrant: tuple[int, int]) -> None:
    grid = ImageGrid(9, 14)
    for where, origin in (("middle", (0, 0)), ("corner", (-7 * quadrant[0], -4.5 * quadrant[1]))):
        warp = ScaleAspect(3, 5, 1.5, 24.0, quadrant, where)  # type: ignore[arg-type]
        points = warp.points(grid)
        for k in range(3):
            for j in range(5):
                x, y = quadrant[0] * 1.5 * 16 ** (j / 4), quadrant[1] * 1.5 * 16 ** (k / 2)
                wanted = [origin[0] + x, origin[1] + y]
                torch.testing.assert_close(points[k, j].tolist(), wanted, atol=1e-12, rtol=0)


def test_from_a_corner_the_whole_image_is_in_the_quadrant() -> None:
    for grid in GRIDS:
        for quadrant in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            warp = ScaleAspect(3, 3, 1.0, 2.0, quadrant, "corner")
            distance = (grid.points - warp.origin(grid)) * torch.tensor(quadrant)
            assert distance.amin((0, 1)).tolist() == [0.5, 0.5]


def on_sphere(warp: PerspectiveSphere, latitude: float, longitude: float) -> Tensor:
    ring = math.cos(latitude)
    unit = [ring * math.sin(longitude), math.sin(latitude), ring * math.cos(longitude)]
    return warp.radius * torch.tensor(unit, dtype=torch.float64)


def seen_at(warp: PerspectiveSphere, point: Tensor) -> Tensor:
    """Pinhole camera at (0, 0, distance)."""
    return warp.focal * point[:2] / (warp.distance - point[2])


def test_perspective_points_one_by_one() -> None:
    points = SPHERE.points(ImageGrid(32, 32))
    for k, pitch in enumerate(torch.linspace(-0.7, 0.7, 9).double()):
        for j, yaw in enumerate(torch.linspace(-0.9, 0.9, 12).double()):
            wanted = seen_at(SPHERE, on_sphere(SPHERE, float(pitch), float(yaw)))
            torch.testing.assert_close(points[k, j], wanted, atol=1e-5, rtol=0)  # linspace is single


def test_yaw_is_a_rigid_rotation_and_pitch_is_one_on_the_middle_meridian() -> None:
    grid, turn = ImageGrid(32, 32), 0.3
    cos, sin = math.cos(turn), math.sin(turn)
    yaw = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=torch.float64)
    pitch = torch.tensor([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], dtype=torch.float64)
    for latitude, longitude in ((0.2, 0.4), (-0.5, 0.1), (0.0, -0.6)):
        point = on_sphere(SPHERE, latitude, longitude)
        moved = SPHERE.transform([0.0, turn], grid)(seen_at(SPHERE, point))
        torch.testing.assert_close(moved, seen_at(SPHERE, yaw @ point), atol=1e-12, rtol=0)
    for latitude in (-0.5, 0.0, 0.4):
        point = on_sphere(SPHERE, latitude, 0.0)
        moved = SPHERE.transform([turn, 0.0], grid)(seen_at(SPHERE, point))
        torch.testing.assert_close(moved, seen_at(SPHERE, pitch @ point), atol=1e-12, rtol=0)
    aside = on_sphere(SPHERE, 0.2, 0.6)
    difference = SPHERE.transform([turn, 0.0], grid)(seen_at(SPHERE, aside)) - seen_at(SPHERE, pitch @ aside)
    assert difference.norm() > 0.5


@each_grid
@each_warp
def test_group_law(warp: Warp, grid: ImageGrid) -> None:
    """t_u t_v = t_{u+v}, t_0 = 1, where both are in sight."""
    points = warp.points(grid)
    for u, v in zip(small_steps(warp, 5), small_steps(warp, 5, seed=1), strict=True):
        twice = warp.transform(u, grid)(warp.transform(v, grid)(points))
        once = warp.transform(u + v, grid)(points)
        seen = torch.isfinite(twice) & torch.isfinite(once)
        assert seen.double().mean() > 0.5
        torch.testing.assert_close(twice[seen], once[seen], atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(warp.transform([0.0, 0.0], grid)(points), points, atol=1e-12, rtol=1e-12)


@each_grid
@each_warp
def test_locate_inverts_the_orbit(warp: Warp, grid: ImageGrid) -> None:
    u = warp.locate(warp.points(grid), grid)
    for k, axis in enumerate(warp.axes):
        assert axis.difference(u[..., k], warp.coordinates[..., k]).abs().max() < 1e-12


@each_grid
@each_warp
def test_the_warp_of_a_transformed_image_is_the_shifted_warp(warp: Warp, grid: ImageGrid) -> None:
    """For (t_v I)(p) = I(t_{-v} p) of an analytic I: Î'(u) = Î(u - v), to rounding, for shifts by whole pixels."""
    points = warp.points(grid)
    image = smooth(points)
    for shift in ((1, 0), (0, 1), (2, 1), (-1, 1)):
        v = torch.tensor(shift) * torch.tensor(warp.step, dtype=torch.float64)
        transformed = smooth(warp.transform(-v, grid)(points))
        wanted = torch.roll(image, shift, (0, 1))
        kept = torch.ones(warp.shape, dtype=torch.bool)
        for dim, (periodic, by) in enumerate(zip(warp.periodic, shift, strict=True)):
            if not periodic:  # what the roll brought in from the other end
                index = torch.arange(warp.shape[dim])
                inside = (index - by >= 0) & (index - by < warp.shape[dim])
                kept &= inside[:, None] if dim == 0 else inside[None, :]
        kept &= torch.isfinite(transformed)
        assert kept.sum() >= 4
        torch.testing.assert_close(transformed[kept], wanted[kept], atol=1e-12, rtol=1e-12)


def test_a_turn_is_counter_clockwise_and_pitch_goes_up() -> None:
    grid = ImageGrid(9, 9)
    right = torch.tensor([2.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(LogPolar(8, 4, 1, 4).transform([math.pi / 2, 0], grid)(right).tolist(), [0.0, 2.0])
    up, sideways = (SPHERE.transform(u, grid)(torch.zeros(2).double()) for u in ([0.1, 0.0], [0.0, 0.1]))
    assert up[1] > 0 == up[0]
    assert sideways[0] > 0 == sideways[1]


def test_off_the_sphere_out_of_sight_and_over_the_pole_is_nan() -> None:
    grid = ImageGrid(64, 64)
    rim = SPHERE.focal * SPHERE.radius / math.sqrt(SPHERE.distance**2 - SPHERE.radius**2)
    points = torch.tensor([[rim * 1.001, 0], [0, -rim * 0.999], [0, 0]], dtype=torch.float64)
    assert torch.isnan(SPHERE.locate(points, grid)).any(-1).tolist() == [True, False, False]
    for u, gone in (
        ([0.0, 1.2], False),
        ([0.0, 1.4], True),
        ([1.2, 0.0], False),
        ([1.6, 0.0], True),
        ([2.4, 2.4], True),
    ):
        moved = SPHERE.transform(u, grid)(points[2])
        assert torch.isnan(moved).any().item() is gone, u
    assert torch.isnan(ScaleAspect(4, 4, 1, 9).locate(torch.tensor([-1.0, 2.0]), grid)).all()
    assert torch.isnan(LogPolar(4, 4, 1, 9).locate(torch.zeros(2), grid)).all()


@each_warp
def test_many_transforms_at_once_in_either_precision(warp: Warp) -> None:
    grid = ImageGrid(10, 12)
    u = small_steps(warp, 3)
    together = warp.transform(u[:, None, None], grid)(grid.points)
    assert together.shape == (3, 10, 12, 2)
    one_by_one = torch.stack([warp.transform(v, grid)(grid.points) for v in u])
    torch.testing.assert_close(together, one_by_one, equal_nan=True)
    single = warp.transform(u[0], grid)(grid.points.float())
    assert single.dtype == torch.float32
    both = torch.isfinite(single) & torch.isfinite(one_by_one[0])
    torch.testing.assert_close(single[both].double(), one_by_one[0][both], atol=2e-3, rtol=1e-4)


@each_warp
def test_values_are_equal_hashable_and_described(warp: Warp) -> None:
    assert json.loads(json.dumps(warp.to_dict())) == warp.to_dict()
    again = warp_from_dict(warp.to_dict())
    assert again == warp
    assert hash(again) == hash(warp)
    assert again is not warp


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogPolar(2, 4, 1, 9), "rows = 2, wanted an integer >= 3"),
        (lambda: LogPolar(4, 1, 1, 9), "columns = 1, wanted an integer >= 2"),
        (lambda: LogPolar(4, 4.0, 1, 9), "columns = 4.0"),
        (lambda: LogPolar(4, 4, 0, 9), "smallest = 0, wanted a finite number > 0"),
        (lambda: LogPolar(4, 4, 9, 9), "wanted smallest < largest"),
        (lambda: LogPolar(4, 4, 1, math.inf), "largest = inf"),
        (lambda: ScaleAspect(4, 4, 5, 2), "wanted smallest < largest"),
        (lambda: ScaleAspect(True, 4, 1, 2), "rows = True"),
        (lambda: ScaleAspect(4, 4, 1, 2, (1, 0)), "signs of x and y"),
        (lambda: ScaleAspect(4, 4, 1, 2, (1, 1), "edge"), "'middle' or 'corner'"),
        (lambda: PerspectiveSphere(4, 4, 1, 1, 50, 0.5, 0.5), "radius < distance"),
        (lambda: PerspectiveSphere(4, 4, 1, 4, 0, 0.5, 0.5), "focal = 0"),
        (lambda: PerspectiveSphere(4, 4, 1, 4, 50, -0.5, 0.5), "largest_pitch = -0.5"),
        (lambda: PerspectiveSphere(4, 4, 1, 2, 50, 0.8, 0.8), "out of sight"),
        (lambda: PerspectiveSphere(4, 4, 1, 4, 50, 0.1, 1.6), "out of sight"),
        (lambda: SPHERE.transform([0.1, 0.2, 0.3], GRIDS[0]), r"shape \(3,\), wanted \(..., 2\)"),
        (lambda: SPHERE.transform([math.nan, 0], GRIDS[0]), "not finite"),
        (lambda: SPHERE.transform([0, 0], GRIDS[0])(torch.zeros(4)), r"shape \(4,\)"),
        (lambda: SPHERE.locate(torch.zeros(4), GRIDS[0]), r"shape \(4,\)"),
        (lambda: warp_from_dict({"type": "Polar"}), "wanted one of"),
        (lambda: warp_from_dict({"type": "LogPolar", "size": 3}), "got fields"),
    ],
)
def test_wrong_arguments(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
