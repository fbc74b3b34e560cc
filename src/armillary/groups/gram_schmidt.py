"""Pivoted Gram–Schmidt whose pivots do not depend on rounding: bases of irreps, of their copies and of invariants.

By symmetry many vectors are equally long up to rounding. The pivot is the first of those that are as long as the
longest but for a millionth, so that the last bits of a machine's arithmetic decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

_ALIKE = 1e-6  # relative difference of squared lengths
_NOTHING = 1e-6  # squared length of what is zero


def first_longest(squares: np.ndarray) -> int:
    """The first vector that is as long as the longest up to a millionth, by squared lengths (n,)."""
    return int(np.argmax(squares >= (1 - _ALIKE) * squares.max()))


def orthonormal(columns: Tensor, whole: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """An orthonormal basis of the span of columns (dim, n) of length about 1 or 0, longest first, each (dim, 1).

    With ``whole`` it maps a unit vector (dim,) to orthonormal columns (dim, d) that come with it: these are what is
    returned, and taken away before the next one is looked for.
    """
    found: list[Tensor] = []
    left = columns
    while left.numel():
        squares = (left.abs() ** 2).sum(0).cpu().numpy()
        pivot = first_longest(squares)
        if not squares[pivot] > _NOTHING:
            break
        vector = left[:, pivot] / squares[pivot] ** 0.5
        found.append(vector[:, None] if whole is None else whole(vector))
        taken = found[-1].to(left.dtype)
        for _ in range(2):
            left = left - taken @ (taken.mH @ left)
    return found
