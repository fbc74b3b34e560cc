"""Turns of the plane act exactly, and the meter sees what commutes with them and what does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from armillary.spaces import ImageGrid
from armillary.testing import PlaneSymmetry, commutation_error

QUARTERS = [math.pi / 2, math.pi, -math.pi / 2, 0.0]


def disc(grid: ImageGrid) -> Tensor:
    """A fine sampling of a round function: what commutes with every turn about the middle."""
    return torch.exp(-grid.points.square().sum(-1) / 8)


@pytest.mark.parametrize("size", [(8, 8), (9, 9)])
def test_quarter_turns_are_rot90(size: tuple[int, int]) -> None:
    grid = ImageGrid(*size)
    symmetry = PlaneSymmetry(grid, grid, 2, angles=QUARTERS, frequency=1.0, window=3.0)
    turns = [1, 2, 3, 0]
    for (x, moved, _), k in zip(symmetry.pairs(4, 3, torch.Generator().manual_seed(0)), turns, strict=True):
        assert x.shape == (3, 2, *size)
        torch.testing.assert_close(moved, torch.rot90(x, k, (-2, -1)), rtol=0, atol=1e-12)


def test_other_turns_leave_the_middle_and_turn_the_gradient() -> None:
    grid, h = ImageGrid(5, 5), 1e-4
    symmetry = PlaneSymmetry(grid, grid, 1, frequency=1.0, window=4.0)
    generator = torch.Generator().manual_seed(0)
    function = symmetry._function(1, generator)
    for angle in (0.3, 2.0, -1.2):
        near = torch.tensor([[[h, 0.0], [-h, 0.0], [0.0, h], [0.0, -h]]], dtype=torch.float64)
        cos, sin = math.cos(angle), math.sin(angle)
        back = near @ torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)  # rows R⁻¹ p
        dx, dy = (function.at(near)[0, 0, 0].view(2, 2) @ torch.tensor([1.0, -1.0], dtype=torch.float64)) / (2 * h)
        tx, ty = (function.at(back)[0, 0, 0].view(2, 2) @ torch.tensor([1.0, -1.0], dtype=torch.float64)) / (2 * h)
        assert float(tx) == pytest.approx(float(cos * dx - sin * dy), abs=1e-6)  # ∇(R f)(0) = R ∇f(0)
        assert float(ty) == pytest.approx(float(sin * dx + cos * dy), abs=1e-6)
    for x, moved, _ in symmetry.pairs(3, 2, generator):
        torch.testing.assert_close(moved[..., 2, 2], x[..., 2, 2], rtol=0, atol=1e-14)
        assert (moved - x).abs().max() > 0.1


def test_turning_and_turning_back_is_the_identity() -> None:
    grid = ImageGrid(6, 7)
    points = grid.points
    symmetry = PlaneSymmetry(grid, None, 1)
    there = symmetry._turned_back(0.4)
    x, y = there.unbind(-1)
    again = torch.stack([math.cos(0.4) * x - math.sin(0.4) * y, math.sin(0.4) * x + math.cos(0.4) * y], dim=-1)
    torch.testing.assert_close(again, points, rtol=0, atol=1e-14)
    torch.testing.assert_close(there.norm(dim=-1), points.norm(dim=-1), rtol=0, atol=1e-14)


def test_tells_round_filters_from_others() -> None:
    grid = ImageGrid(25, 25)
    symmetry = PlaneSymmetry(grid, grid, 1, frequency=0.3)
    conv = nn.Conv2d(1, 1, 25, padding=12, bias=False)
    conv.weight.data = disc(grid).float()[None, None]
    assert commutation_error(conv, symmetry, batch=4) < 1e-7  # a Gaussian cut off at 6 of its widths
    for layer in (nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, (1, 5), padding=(0, 2))):
        assert commutation_error(layer, symmetry, batch=4) > 0.02


def test_vectors_turn() -> None:
    """The gradient by central differences: a vector field, to the second order; as two scalars it fails."""

    def turn(angle: float, v: Tensor) -> Tensor:
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.stack([cos * v[:, 0] - sin * v[:, 1], sin * v[:, 0] + cos * v[:, 1]], dim=1)

    def gradient(x: Tensor) -> Tensor:
        dx = (x.roll(-1, -1) - x.roll(1, -1)) / 2
        dy = (x.roll(1, -2) - x.roll(-1, -2)) / 2
        return torch.cat([dx, dy], dim=1)

    def divergence(v: Tensor) -> Tensor:
        dx, dy = gradient(v[:, :1])[:, 0], gradient(v[:, 1:])[:, 1]
        return (dx + dy)[:, None]

    grid = ImageGrid(9, 9)
    errors = [
        commutation_error(gradient, PlaneSymmetry(grid, grid, 1, None, turn, frequency=f), batch=8) for f in (0.2, 0.1)
    ]
    assert errors[0] < 0.05
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert commutation_error(gradient, PlaneSymmetry(grid, grid, 1), batch=8) > 0.3
    assert commutation_error(divergence, PlaneSymmetry(grid, grid, 2, turn, None, frequency=0.1), batch=8) < 0.02
    assert commutation_error(divergence, PlaneSymmetry(grid, grid, 2, frequency=0.1), batch=8) > 0.3


def test_a_group_axis_is_permuted() -> None:
    """Lifting to quarter turns: the responses of four turned filters."""
    weight = torch.randn(3, 1, 3, 3, dtype=torch.float64)
    stack = torch.stack([torch.rot90(weight, k, (-2, -1)) for k in range(4)], dim=1).flatten(0, 1)

    def lift(x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, stack, padding=1).unflatten(1, (3, 4))

    def act(angle: float, y: Tensor) -> Tensor:
        return y.roll(round(angle / (math.pi / 2)), dims=2)

    grid = ImageGrid(8, 8)
    symmetry = PlaneSymmetry(grid, grid, 1, None, act, angles=QUARTERS, frequency=1.0)
    assert commutation_error(lift, symmetry) < 1e-14
    assert commutation_error(lift, PlaneSymmetry(grid, grid, 1, angles=QUARTERS)) > 0.3
    onward = PlaneSymmetry(grid, grid, (3, 4), act, act, angles=QUARTERS)
    assert onward.inputs(2, torch.Generator()).shape == (2, 3, 4, 8, 8)
    assert commutation_error(lambda x: x.square(), onward) < 1e-14


def test_strides_that_keep_the_middle_and_strides_that_move_it() -> None:
    grid, half = ImageGrid(9, 9), ImageGrid(5, 5)
    assert commutation_error(lambda x: x[..., ::2, ::2], PlaneSymmetry(grid, half, 1)) < 1e-14
    even, odd = ImageGrid(14, 14), ImageGrid(7, 7)
    assert commutation_error(lambda x: x[..., ::2, ::2], PlaneSymmetry(even, odd, 1)) > 0.1
    assert commutation_error(nn.AvgPool2d(2), PlaneSymmetry(even, odd, 1, frequency=0.02)) < 1e-4


def test_outputs_without_an_image_are_compared_whole() -> None:
    grid = ImageGrid(32, 32)
    windowed = PlaneSymmetry(grid, None, 2, frequency=0.5, window=3.0)
    assert commutation_error(lambda x: x.square().mean((-2, -1)), windowed) < 1e-5
    assert commutation_error(lambda x: x[..., 3, 5], windowed) > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frequency": 0.0}, "share of Nyquist"),
        ({"frequency": 1.1}, "share of Nyquist"),
        ({"waves": 0}, "waves"),
        ({"window": 0.0}, "window"),
        ({"grid_out": ImageGrid(4, 4)}, "no pixel in the middle"),
        ({"grid_out": ImageGrid(3, 5), "angles": [math.pi / 2]}, "square image"),
    ],
)
def test_errors(arguments, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        PlaneSymmetry(**{"grid": ImageGrid(9, 9), "grid_out": ImageGrid(9, 9), "channels": 1, **arguments})


def test_wrong_outputs() -> None:
    grid = ImageGrid(5, 5)
    with pytest.raises(ValueError, match="grid_out"):
        commutation_error(lambda x: x[..., 1:], PlaneSymmetry(grid, grid, 1))
    with pytest.raises(ValueError, match="act_out gave shape"):
        commutation_error(lambda x: x, PlaneSymmetry(grid, grid, 1, None, lambda a, y: y[:, :0]))
