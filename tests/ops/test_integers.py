"""Integers from outside are taken as they are or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from armillary.ops.integers import checked_indices, checked_integer, checked_positive


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_integers_of_any_kind(value: object) -> None:
    number = checked_integer("n", value, 3, 3)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, np.float64(3), "3", None, 2, 5])
def test_what_is_no_such_integer(value: object) -> None:
    with pytest.raises(ValueError, match=r"got n = .*, wanted an integer >= 3 and at most 4: why\."):
        checked_integer("n", value, 3, 4, ": why")


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_positive_numbers(value: object) -> None:
    number = checked_positive("r", value)
    assert (number, type(number)) == (2.0, float)


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, True, np.bool_(True), "2", None, 2j, np.ones(2)])
def test_what_is_no_positive_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"got r = .*, wanted a number > 0\."):
        checked_positive("r", value)


def test_indices() -> None:
    for values in ([2, 0], (np.int64(2), 0), np.array([2, 0], np.uint8), iter([2, 0])):
        found = checked_indices("points", values, 3)
        assert (found.tolist(), found.dtype) == ([2, 0], np.int64)
    assert checked_indices("points", [], 3).dtype == np.int64
    for values in ([3], [-1], [0.5], [True], np.zeros((2, 2), int)):
        with pytest.raises(ValueError, match=r"wanted integers in 0\.\.2"):
            checked_indices("points", values, 3)
