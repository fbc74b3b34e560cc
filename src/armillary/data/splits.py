"""Fractions of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_ends(n: int, fractions: Sequence[float]) -> np.ndarray:
    """Where the parts of n things in a row end, from 0 on: part k is ``ends[k]`` to ``ends[k + 1]``.

    Ends are rounded sums of the fractions; a part that was asked for and would be empty takes one from the largest
    that has more, where there is any.
    """
    sizes = np.diff(np.round(np.cumsum([0.0, *fractions]) * n).astype(int))
    for k, fraction in enumerate(fractions):
        if fraction > 0 and sizes[k] == 0 and sizes.max() > 1:
            sizes[sizes.argmax()] -= 1
            sizes[k] = 1
    return np.concatenate([[0], np.cumsum(sizes)])
