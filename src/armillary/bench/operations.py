"""Operations counted, and exponents fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from armillary.bench.cases import DiscoCase


def contraction_and_mixing(case: DiscoCase, entries: int) -> tuple[float, float]:
    """Floating point operations of a forward pass; ``entries`` are those that the stencil of the layer stores.

    The contraction is 2 operations for each entry, channel and function, at each of the longitudes that share the
    entry; mixing is 2 for each point, pair of channels and function.
    """
    nlon, nlon_out = 2 * case.nlat, 2 * case.nlat_out
    functions = case.hats.basis.size
    contraction = 2.0 * entries * math.gcd(nlon, nlon_out) * case.channels * functions
    mixing = 2.0 * case.nlat_out * nlon_out * case.channels**2 * functions
    return case.batch * contraction, case.batch * mixing


def bytes_moved(case: DiscoCase) -> float:
    """Bytes that a forward pass must move at least, in float32: the input read and the output written.

    The backward pass moves twice as many: the gradient is read for both of its halves, the input once, and the
    gradient of the input written.
    """
    return 4.0 * case.batch * case.channels * 2 * (case.nlat**2 + case.nlat_out**2)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """The p of the least-squares fit ``value ∝ size^p``; None with fewer than two sizes or a value that is not > 0."""
    if len(set(sizes)) < 2 or min(values) <= 0:
        return None
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def geometric_mean(values: Sequence[float]) -> float:
    """The exponential of the mean logarithm."""
    return math.exp(sum(math.log(value) for value in values) / len(values))
