"""Numbers from outside: sizes, indices and lengths are checked before they are used, and nothing is rounded to fit."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np


def checked_integer(
    what: str, value: Any, least: int | None = None, most: int | None = None, why: str = "", who: str = ""
) -> int:
    """``value`` as an int: a Python or numpy integer, or a tensor that is one; no bool.

    Raises: ValueError, with ``what`` and ``why`` and in the name of ``who``, for anything else, or one outside
    ``least``..``most``.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        bounds = [f">= {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
        wanted = " ".join(["an integer", " and ".join(bounds)]).strip()
        raise ValueError(f"{who}{': ' * bool(who)}got {what} = {value!r}, wanted {wanted}{why}.")
    return number


def checked_positive(what: str, value: Any) -> float:
    """``value`` as a float: a finite real number > 0; no bool. Raises: ValueError, with ``what``, for all else."""
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"got {what} = {value!r}, wanted a number > 0.")
    return number


def checked_indices(what: str, values: Iterable[int], count: int) -> np.ndarray:
    """Indices of ``count`` things as int64 (m,). Raises: ValueError for what is no integer in 0..count - 1."""
    given = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if given.size == 0:
        return np.zeros(0, dtype=np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= count:
        raise ValueError(f"got {what} {given.tolist()}, wanted integers in 0..{count - 1}.")
    return given.astype(np.int64)
