"""Clebsch–Gordan coefficients of SO(3), exact to rounding.

``<l1 m1 l2 m2 | l3 m3>`` by Racah's formula, its alternating sum in integers of any size: the only roundings are a
square root and a product. In the real basis they are real or imaginary as l1 + l2 + l3 is even or odd; the imaginary
unit is left out, which is a choice of phase.
Source: Varshalovich et al. 1988, 8.2.1; pinned by ``tests/groups/test_clebsch_gordan.py``.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from armillary.groups.so3 import real_to_complex
from armillary.ops.constants import cached_constant

PHASE_VERSION = 1
"""Counts the changes of phase of the real coefficients; what was trained with them belongs to one version."""


def check_triangle(l1: int, l2: int, l3: int) -> None:
    """Raise a ValueError unless l3 occurs in the product of l1 and l2."""
    if min(l1, l2, l3) < 0 or not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"got degrees {l1}, {l2}, {l3}, wanted |l1 - l2| <= l3 <= l1 + l2.")


@cached_constant(512)
def clebsch_gordan_complex(l1: int, l2: int, l3: int) -> Tensor:
    """``C[m1, m2, m3] = <l1 m1 l2 m2 | l3 m3>`` for the complex basis, (2l1 + 1, 2l2 + 1, 2l3 + 1) float64.

    ``D^l1 ⊗ D^l2 C = C D^l3``; real, positive for m1 = l1, m3 = l3 (Condon–Shortley). Treat as read-only.
    Raises: ValueError where the degrees make no triangle.
    """
    check_triangle(l1, l2, l3)
    result = torch.zeros(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1, dtype=torch.float64)
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            result[l1 + m1, l2 + m2, l3 + m1 + m2] = _coefficient(l1, m1, l2, m2, l3, m1 + m2)
    return result


def _coefficient(l1: int, m1: int, l2: int, m2: int, l3: int, m3: int) -> float:
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


@cached_constant(512)
def clebsch_gordan_real(l1: int, l2: int, l3: int) -> Tensor:
    """Coefficients for the real basis ordered m = -l..l, (2l1 + 1, 2l2 + 1, 2l3 + 1) float64; treat as read-only.

    ``D^l1(R) ⊗ D^l2(R) C = C D^l3(R)`` with ``wigner_D_real``; C of all l3 together is orthogonal.
    Raises: ValueError where the degrees make no triangle.
    """
    C = clebsch_gordan_complex(l1, l2, l3).to(torch.complex128)
    U1, U2, U3 = (real_to_complex(l) for l in (l1, l2, l3))
    turned = torch.einsum("ia,jb,ijk,kc->abc", U1.conj(), U2.conj(), C, U3)
    return turned.imag if (l1 + l2 + l3) % 2 else turned.real
