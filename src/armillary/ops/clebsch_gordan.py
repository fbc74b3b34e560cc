"""One Clebsch–Gordan coefficient of SO(3), exact to rounding: ``groups.clebsch_gordan`` makes the arrays of them."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=2**16)
def coefficient(l1: int, m1: int, l2: int, m2: int, l3: int, m3: int) -> float:
    """``<l1 m1 l2 m2 | l3 m3>`` with m3 = m1 + m2 and a triangle of degrees, by Racah's formula in whole numbers."""
    f = math.factorial
    low, high = max(0, l2 - l3 - m1, l1 - l3 + m2), min(l1 + l2 - l3, l1 - m1, l2 + m2)
    total = Fraction(0)
    for k in range(low, high + 1):
        below = f(k) * f(l1 + l2 - l3 - k) * f(l1 - m1 - k) * f(l2 + m2 - k)
        total += Fraction((-1) ** k, below * f(l3 - l2 + m1 + k) * f(l3 - l1 - m2 + k))
    if total == 0:
        return 0.0
    triangle = Fraction(
        (2 * l3 + 1) * f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3),
        f(l1 + l2 + l3 + 1),
    )
    orders = f(l3 + m3) * f(l3 - m3) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    square = triangle * orders * total * total
    return math.copysign(_root(square), total)


def _root(square: Fraction) -> float:
    """√ of a fraction whose parts may be too large for a float."""
    shift = max(0, square.denominator.bit_length() - square.numerator.bit_length() + 128) // 2 * 2
    return math.ldexp(math.isqrt((square.numerator << shift) // square.denominator), -shift // 2)
