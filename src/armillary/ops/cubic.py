"""Cubic convolution, the interpolation of images between their pixels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Numbers = TypeVar("Numbers", np.ndarray, Tensor)


def keys_weights(t: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Weights of the pixels at -1, 0, 1 and 2 for a point at t in [0, 1): Keys' kernel with a = -½.

    ``w(s) = 3/2 |s|³ - 5/2 |s|² + 1`` for |s| ≤ 1, ``-1/2 |s|³ + 5/2 |s|² - 4|s| + 2`` for |s| ≤ 2, written in t.
    The weights sum to 1; polynomials of degree 2 are met exactly, smooth functions to third order. Any shape, numpy or
    torch. Source: Keys 1981, Cubic convolution interpolation; pinned by ``tests/ops/test_cubic.py``.
    """
    return (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
