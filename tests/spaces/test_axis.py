import math

import pytest
import torch

from armillary.spaces import Axis


def test_values_and_period() -> None:
    axis = Axis(4, -1.0, 0.5, periodic=True)
    assert axis.values.tolist() == [-1.0, -0.5, 0.0, 0.5]
    assert axis.values.dtype == torch.float64
    assert axis.period == 2.0


def test_differences_go_the_short_way_round() -> None:
    axis = Axis(12, 0.0, 30.0, periodic=True)
    a, b = torch.tensor([350.0, 10.0, 180.0, 725.0]), torch.tensor([10.0, 350.0, 0.0, 0.0])
    assert axis.difference(a, b).tolist() == [-20.0, 20.0, -180.0, 5.0]
    assert Axis(12, 0.0, 30.0).difference(a, b).tolist() == [340.0, -340.0, 180.0, 725.0]


def test_wrapping_ends_within_one_period() -> None:
    axis = Axis(8, -1.0, 0.25, periodic=True)
    value = torch.linspace(-9, 9, 50, dtype=torch.float64)
    wrapped = axis.wrap(value)
    assert (wrapped >= -1).all()
    assert (wrapped < 1).all()
    torch.testing.assert_close((2 * math.pi * wrapped / 2).cos(), (2 * math.pi * value / 2).cos())
    assert torch.equal(Axis(8, -1.0, 0.25).wrap(value), value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("start", "step"), [(0.0, 0.5), (-1.0, 0.25), (1000.0, 0.125), (-math.pi, math.pi / 4)])
def test_just_below_the_start_is_not_the_end(start: float, step: float, dtype: torch.dtype) -> None:
    axis = Axis(8, start, step, periodic=True)
    tiny = torch.tensor([0.0, -1e-20, -1e-10, -1e-7, 1e-10], dtype=dtype)
    value = (start + tiny).requires_grad_()
    wrapped = axis.wrap(value)
    assert (wrapped >= start - torch.finfo(dtype).eps * abs(start)).all()
    assert (wrapped < torch.tensor(start + axis.period, dtype=dtype)).all()
    wrapped.sum().backward()
    assert value.grad.tolist() == [1] * 5
    half = axis.period / 2
    difference = axis.difference(tiny - half, torch.zeros(5, dtype=dtype))
    assert (difference < half).all()
    assert (difference >= -half).all()


def test_values_are_there_whatever_the_default_device() -> None:
    axis = Axis(8, 1.0, 0.5, periodic=True)
    with torch.device("meta"):
        assert not axis.values.is_meta
        assert not axis.waves.is_meta


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
def test_coarser_cells_are_means_of_their_parts(factor: int) -> None:
    axis = Axis(12, 3.0, 0.2, periodic=True)
    coarse = axis.coarser(factor)
    torch.testing.assert_close(coarse.values, axis.values.reshape(-1, factor).mean(1))
    assert coarse.period == pytest.approx(axis.period)
    assert coarse.periodic


def test_a_direction_points_at_a_value() -> None:
    axis = Axis(10, -3.0, 0.4, periodic=True)
    lengths = torch.linspace(0.01, 50, 10, dtype=torch.float64)
    pointed = axis.pointed_at(lengths[:, None] * axis.waves)
    assert axis.difference(pointed, axis.values).abs().max() < 1e-12
    nowhere = torch.zeros(2, requires_grad=True)
    value = axis.pointed_at(nowhere)
    assert value.item() == -3.0
    value.backward()
    assert nowhere.grad.tolist() == [0.0, 0.0]


def test_wrong_arguments() -> None:
    for size in (0, 2.0, True):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            Axis(size)  # type: ignore[arg-type]
    for start, step in ((math.nan, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="step > 0"):
            Axis(3, start, step)
    for factor in (0, 5, 2.0):
        with pytest.raises(ValueError, match="wanted a divisor of the size, 12"):
            Axis(12).coarser(factor)  # type: ignore[arg-type]
