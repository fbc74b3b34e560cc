"""Warped images: against sums over pixels, the theorem on images, its error against resolution, the contract."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from armillary.nn import WarpImage, sample_image, with_warp_padding
from armillary.nn.warp import Interpolation
from armillary.spaces import ImageGrid, LogPolar, PerspectiveSphere, ScaleAspect, Warp
from armillary.testing import GroupAction, check_layer, commutation_error

SQUARE = ImageGrid(12, 12)
POLAR = LogPolar(16, 6, 1.0, 5.0)


def hat(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp(min=0)


def keys(t: Tensor) -> Tensor:
    t, a = t.abs(), -0.5
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    return torch.where(t <= 1, near, torch.where(t < 2, a * (t**3 - 5 * t**2 + 8 * t - 4), torch.zeros_like(t)))


def interpolated(x: Tensor, points: Tensor, grid: ImageGrid, interpolation: str) -> Tensor:
    """The twin: the sum over all pixels of the image, with the kernel of the distance in x and in y."""
    kernel = hat if interpolation == "bilinear" else keys
    distance = points[..., None, None, :] - grid.points
    weight = kernel(distance[..., 0]) * kernel(distance[..., 1])
    return torch.einsum("bchw,rshw->bcrs", x, weight)


def random_image(grid: ImageGrid, channels: int = 2, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *grid.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("warp", "grid"),
    [
        (LogPolar(9, 5, 0.7, 8.0), ImageGrid(12, 9)),
        (ScaleAspect(5, 6, 0.5, 14.0, (1, -1), "corner"), ImageGrid(7, 10)),
        (PerspectiveSphere(5, 6, 1.0, 5.0, 30.0, 0.6, 0.7), ImageGrid(10, 11)),
        (LogPolar(3, 2, 0.2, 0.9), ImageGrid(1, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_against_the_sum_over_pixels(warp: Warp, grid: ImageGrid, interpolation: Interpolation) -> None:
    x = random_image(grid)
    layer = WarpImage(warp, grid, interpolation)
    wanted = interpolated(x, warp.points(grid), grid, interpolation)
    torch.testing.assert_close(layer(x), wanted, atol=1e-12, rtol=1e-12)
    assert layer(x).shape == (2, 2, *warp.shape)


def test_points_of_each_image_and_points_nowhere() -> None:
    grid = ImageGrid(6, 5)
    x = random_image(grid)
    points = 2 * torch.randn(2, 3, 4, 2, dtype=torch.float64)
    wanted = torch.cat([interpolated(x[k : k + 1], points[k], grid, "bilinear") for k in range(2)])
    torch.testing.assert_close(sample_image(x, points, grid), wanted, atol=1e-12, rtol=1e-12)
    points[:, 0, 0] = math.nan
    points[:, 0, 1, 0] = math.inf
    points[:, 0, 2, 1] = -1e9
    assert (sample_image(x, points, grid)[:, :, 0, :3] == 0).all()
    assert (sample_image(x, points, grid, "bicubic")[:, :, 0, :3] == 0).all()
    at_pixels = sample_image(x, grid.points, grid)
    torch.testing.assert_close(at_pixels, x, atol=1e-12, rtol=1e-12)


def analytic(points: Tensor) -> Tensor:
    """An image in units of its own size, zero at the border to 1e-4; points in halves of the side."""
    x, y = points[..., 0], points[..., 1]
    return torch.exp(-6 * ((x - 0.2) ** 2 + 1.3 * (y + 0.1) ** 2)) * (1 + 0.8 * torch.sin(4 * x + y))


def warps_for(size: int) -> list[Warp]:
    return [
        LogPolar(24, 10, 0.1 * size / 2, 0.8 * size / 2),
        ScaleAspect(8, 10, 0.2 * size / 2, 0.9 * size / 2),
        PerspectiveSphere(9, 8, 1.0, 4.0, 1.6 * size, 0.6, 0.7),
    ]


@pytest.mark.parametrize(("interpolation", "order"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["polar", "scale", "sphere"])
def test_warp_of_the_transformed_is_the_shifted_warp_as_resolution_grows(
    kind: int, interpolation: Interpolation, order: int
) -> None:
    """Images sampled at pixels, transformed exactly, warped by interpolation: the error falls as the order says."""
    errors = []
    for size in (32, 64, 128):
        grid, warp = ImageGrid(size, size), warps_for(size)[kind]
        v = 2 * torch.tensor(warp.step, dtype=torch.float64)
        moved_from = warp.transform(-v, grid)(grid.points)
        original, transformed = (analytic(p / (size / 2)).nan_to_num(0)[None, None] for p in (grid.points, moved_from))
        layer = WarpImage(warp, grid, interpolation)
        wanted, found = torch.roll(layer(original), (2, 2), (-2, -1)), layer(transformed)
        rows = slice(0 if warp.periodic[0] else 2, None)
        difference = (found - wanted)[..., rows, 2:]
        if kind == 2:  # pixels that had been out of sight before
            difference = difference[..., 1:-1, 1:-1]
        errors.append(float(difference.norm() / wanted.norm()))
    assert errors[0] < 0.1
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) > order - 0.5, errors


def quarter_turns(grid: ImageGrid, warp: LogPolar, channels: int) -> GroupAction:
    """Turns by 90°, which permute the pixels of a square image and the rows of its log-polar warp."""
    return GroupAction(
        (channels, *grid.shape),
        range(1, 4),
        lambda k, x: torch.rot90(x, k, (-2, -1)),
        lambda k, y: torch.roll(y, k * warp.rows // 4, -2),
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [12, 13])
def test_quarter_turns_become_shifts_exactly(size: int, interpolation: Interpolation) -> None:
    grid = ImageGrid(size, size)
    symmetry = quarter_turns(grid, POLAR, 3)
    assert commutation_error(WarpImage(POLAR, grid, interpolation), symmetry) < 1e-13
    other_way = GroupAction(symmetry.shape, [1, 3], symmetry.act_in, lambda k, y: torch.roll(y, -k * 4, -2))
    assert commutation_error(WarpImage(POLAR, grid), other_way) > 0.1


@pytest.mark.parametrize(
    ("grid", "interpolation"), [(SQUARE, "bilinear"), (ImageGrid(13, 13), "bicubic")], ids=["even", "odd"]
)
def test_contract_of_a_convolution_over_the_group(grid: ImageGrid, interpolation: Interpolation) -> None:
    """Warp, then a CNN padded to match: rotation × scale convolution, equivariant under turns of the image."""
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(2, 4, 5, padding=2), nn.Softplus(), nn.Conv2d(4, 3, 3, padding=1))
    layer = nn.Sequential(WarpImage(POLAR, grid, interpolation), with_warp_padding(cnn, POLAR))
    check_layer(layer, quarter_turns(grid, POLAR, 2), tolerance=1e-12)
    with pytest.raises(AssertionError, match="commutation error"):  # with zeros at the seam it is not
        check_layer(nn.Sequential(WarpImage(POLAR, grid), cnn), quarter_turns(grid, POLAR, 2), compile=False)


def test_dtypes_are_kept_and_constants_survive_casts() -> None:
    grid = ImageGrid(200, 200)  # wide enough for points in half precision to miss their pixels
    layer = WarpImage(LogPolar(16, 6, 1.0, 95.0), grid)
    x = random_image(grid)
    reference = layer(x)
    assert layer(x.float()).dtype == torch.float32
    torch.testing.assert_close(layer(x.float()).double(), reference, atol=2e-4, rtol=1e-4)
    low = layer(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), layer(x.bfloat16().double()), atol=0.03, rtol=0.01)
    torch.testing.assert_close(layer.half().double()(x), reference, atol=0, rtol=0)
    assert layer.state_dict() == {}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_integers_and_complex_numbers_are_refused(dtype: torch.dtype) -> None:
    x = torch.ones(1, 1, 12, 12).to(dtype)
    with pytest.raises(ValueError, match=f"x has dtype {dtype}, WarpImage wants floating point"):
        WarpImage(POLAR, SQUARE)(x)
    with pytest.raises(ValueError, match="sample_image wants floating point"):
        sample_image(x, POLAR.points(SQUARE), SQUARE)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_export_with_any_batch(interpolation: Interpolation) -> None:
    layer, x = WarpImage(POLAR, SQUARE, interpolation), torch.randn(3, 2, 12, 12)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=64)},))
    for batch in (2, 5):
        other = torch.randn(batch, 2, 12, 12)
        torch.testing.assert_close(program.module()(other), layer(other))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_second_derivatives_and_constants_on_meta(interpolation: Interpolation) -> None:
    with torch.device("meta"):
        layer = WarpImage(POLAR, SQUARE, interpolation)
    x = random_image(SQUARE, 1, 1).requires_grad_()
    torch.testing.assert_close(layer(x), WarpImage(POLAR, SQUARE, interpolation)(x), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert torch.isfinite(second).all()
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[..., ::5, ::3].pow(3), (x,), atol=1e-4)


def test_gradients_in_image_and_points() -> None:
    grid = ImageGrid(5, 6)
    x = random_image(grid, 1, 1).requires_grad_()
    points = (torch.rand(2, 3, 2, dtype=torch.float64) * 3 - 1.5).requires_grad_()
    for interpolation in ("bilinear", "bicubic"):
        assert torch.autograd.gradcheck(lambda a, p, i=interpolation: sample_image(a, p, grid, i), (x, points))


def test_bicubic_is_exact_on_quadratic_images() -> None:
    grid = ImageGrid(9, 8)
    points = torch.rand(5, 5, 2, dtype=torch.float64) * 4 - 2  # more than a pixel from the border

    def quadratic(p: Tensor) -> Tensor:
        return 1 + 0.3 * p[..., 0] - 2 * p[..., 1] + p[..., 0] ** 2 - p[..., 0] * p[..., 1]

    found = sample_image(quadratic(grid.points)[None, None], points, grid, "bicubic")
    torch.testing.assert_close(found[0, 0], quadratic(points), atol=1e-12, rtol=1e-12)


def test_repr_tells_what_it_does() -> None:
    inside, outside = WarpImage(POLAR, SQUARE), WarpImage(LogPolar(8, 2, 1.0, 100.0), SQUARE, "bicubic")
    assert "LogPolar(rows=16, columns=6" in repr(inside)
    assert "bilinear" in repr(inside)
    assert "outside" not in repr(inside)
    assert "50% of the points outside the image" in repr(outside)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WarpImage(POLAR, SQUARE, "nearest"), "'bilinear' or 'bicubic'"),
        (lambda: WarpImage(POLAR, SQUARE)(torch.zeros(1, 1, 12, 13)), r"WarpImage wants \(..., 12, 12\)"),
        (lambda: WarpImage(POLAR, SQUARE)(torch.zeros(1, 12, 12)), r"wants \(batch, channels, 12, 12\)"),
        (lambda: sample_image(torch.zeros(2, 1, 12, 12), torch.zeros(4, 2), SQUARE), r"shape \(4, 2\) for 2 images"),
        (lambda: sample_image(torch.zeros(2, 1, 12, 12), torch.zeros(3, 4, 4, 2), SQUARE), r"wanted .* \(2, rows"),
        (lambda: sample_image(torch.zeros(2, 1, 9, 9), torch.zeros(4, 4, 2), SQUARE), "sample_image wants"),
    ],
)
def test_wrong_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_exports_for_batches_of_any_size(interpolation) -> None:
    layer, x = WarpImage(LogPolar(8, 6, 1.0, 5.0), ImageGrid(12, 12), interpolation), torch.randn(2, 1, 12, 12)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    more = torch.randn(5, 1, 12, 12)
    torch.testing.assert_close(program.module()(more), layer(more))


def test_bicubic_points_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = WarpImage(POLAR, SQUARE, "bicubic")
    monkeypatch.setattr("armillary.nn.warp._taps", None)
    assert layer(random_image(SQUARE)).shape == (2, 2, *POLAR.shape)
