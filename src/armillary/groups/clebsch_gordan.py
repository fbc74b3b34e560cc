"""Clebsch–Gordan coefficients of SO(3), exact to rounding.

``<l1 m1 l2 m2 | l3 m3>`` by Racah's formula, its alternating sum in integers of any size: the only roundings are a
square root and a product. In the real basis they are real or imaginary as l1 + l2 + l3 is even or odd; the imaginary
unit is left out, which is a choice of phase.
Source: Varshalovich et al. 1988, 8.2.1; pinned by ``tests/groups/test_clebsch_gordan.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.groups.so3 import real_to_complex
from armillary.ops.clebsch_gordan import coefficient
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
            result[l1 + m1, l2 + m2, l3 + m1 + m2] = coefficient(l1, m1, l2, m2, l3, m1 + m2)
    return result


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
