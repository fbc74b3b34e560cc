"""Images turned, mirrored, shifted and fitted: exact where they can be, the stated interpolation elsewhere."""

import math

import numpy as np
import pytest
import torch

from armillary.data import Motion, moved
from armillary.data.motion import fitted
from armillary.spaces import ImageGrid

rng = np.random.default_rng(0)
SIZES = [(1, 1), (2, 2), (7, 7), (8, 8), (5, 9), (8, 5)]


def random_image(shape, channels=2):
    return rng.integers(0, 256, (channels, *shape), dtype=np.uint8)


def keys(t):
    """Keys' kernel for a = -1/2, as the paper writes it."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def slowly_moved(image, motion):
    """(g f)(p) = f(g⁻¹ p), f(q) = Σ_pixels f_ij k(q_x - x_j) k(q_y - y_i), every pixel summed."""
    height, width = image.shape[1:]
    points = ImageGrid(height, width).points.numpy()
    out = np.zeros(image.shape)
    cos, sin = math.cos(motion.angle), math.sin(motion.angle)
    for i in range(height):
        for j in range(width):
            x, y = points[i, j, 0] - motion.right, points[i, j, 1] - motion.up
            x, y = cos * x + sin * y, -sin * x + cos * y
            x = -x if motion.flip else x
            column = [keys(x - points[0, b, 0]) for b in range(width)]
            row = [keys(y - points[a, 0, 1]) for a in range(height)]
            out[:, i, j] = np.einsum("cab,a,b->c", image.astype(float), row, column)
    return np.clip(out, 0, 255)


@pytest.mark.parametrize("shape", SIZES)
def test_any_motion_is_the_sum_over_all_pixels(shape):
    for _ in range(4):
        image = random_image(shape)
        motion = Motion(rng.uniform(-7, 7), bool(rng.integers(2)), int(rng.integers(-3, 4)), int(rng.integers(-3, 4)))
        got, want = moved(image, motion), slowly_moved(image, motion)
        assert got.dtype == np.uint8
        assert got.shape == image.shape
        assert np.abs(got - want).max() < 0.5 + 1e-9


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("quarters", range(-1, 5))
def test_quarter_turns_mirrors_and_shifts_move_pixels(shape, quarters):
    image = random_image(shape)
    square = shape[0] == shape[1]
    motion = Motion(quarters * math.pi / 2, True, 1, -2)
    assert motion.is_exact(shape) == (square or quarters % 2 == 0)
    if motion.is_exact(shape):
        want = torch.rot90(torch.from_numpy(image).flip(-1), quarters, (-2, -1))
        padded = torch.nn.functional.pad(want, (2, 2, 2, 2))
        want = padded[:, : shape[0], 1 : 1 + shape[1]]  # one to the right, two down
        assert torch.equal(torch.from_numpy(moved(image, motion)), want)
        np.testing.assert_array_equal(np.rint(slowly_moved(image, motion)), want.numpy())


def test_angles_near_a_quarter_turn_agree_with_it():
    image = random_image((9, 9))
    near = Motion(math.pi / 2 + 1e-6)
    assert not near.is_exact((9, 9))
    np.testing.assert_array_equal(moved(image, near), moved(image, Motion(math.pi / 2)))


def test_a_shift_beyond_the_image_leaves_nothing():
    image = random_image((4, 6))
    for motion in (Motion(right=6), Motion(up=-4), Motion(right=-9, up=1)):
        assert not moved(image, motion).any()
    np.testing.assert_array_equal(moved(image, Motion(right=5))[:, :, 5], image[:, :, 0])


def test_the_error_of_one_turn_falls_with_the_third_power_of_the_pixel():
    """Against the image of the turned function itself; rounding of the input and of the output may take one step."""
    errors = []
    for size in (16, 32, 64):
        points = ImageGrid(size, size).points.numpy() * (16 / size)
        x, y = points[..., 0], points[..., 1]
        cos, sin = math.cos(0.7), math.sin(0.7)

        def blob(x, y):
            return 255 * np.exp(-((x - 1) ** 2 + (y + 2) ** 2))

        got = moved(np.rint(blob(x, y)).astype(np.uint8)[None], Motion(0.7))[0]
        errors.append(np.abs(got - blob(cos * x + sin * y, cos * y - sin * x)).max() - 1)
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_memory_layout_does_not_matter(layout):
    image = random_image((8, 8))
    other = {"C": image, "F": np.asfortranarray(image), "strided": np.repeat(image, 2, axis=2)[:, :, ::2]}[layout]
    for motion in (Motion(0.3, True, 1, 0), Motion(math.pi / 2), Motion(up=1)):
        np.testing.assert_array_equal(moved(other, motion), moved(image, motion))


def test_fitted_keeps_its_own_size_and_the_shape_of_things():
    image = random_image((10, 14), 3)
    assert fitted(image, ImageGrid(10, 14)) is image
    assert fitted(image, ImageGrid(7, 5)).shape == (3, 7, 5)


@pytest.mark.parametrize(("shape", "size"), [((60, 90), 30), ((90, 60), 30), ((61, 75), 27), ((20, 30), 50)])
def test_fitting_keeps_shapes_and_the_middle(shape, size):
    """A round blob a sixth of the shorter side wide stays one, in the middle, whatever the image's own shape."""

    def blob(grid, width):
        return 255 * np.exp(-grid.points.square().sum(-1).numpy() / width**2)

    image = np.rint(blob(ImageGrid(*shape), min(shape) / 6)).astype(np.uint8)[None]
    got = fitted(image, ImageGrid(size, size))[0]
    assert np.abs(got - blob(ImageGrid(size, size), size / 6)).max() < 0.04 * 255


def test_fitting_does_not_alias():
    stripes = np.zeros((1, 64, 64), np.uint8)
    stripes[..., ::2] = 255
    small = fitted(stripes, ImageGrid(16, 16))
    assert np.abs(small.astype(int) - 127).max() < 12
