"""The groups that are tested by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from armillary.groups import (
    FiniteGroup,
    alternating,
    cyclic,
    dihedral,
    direct_product,
    icosahedral,
    octahedral,
    quaternion,
    semidirect_product,
    symmetric,
    tetrahedral,
    with_inversion,
)

GROUPS: dict[str, Callable[[], FiniteGroup]] = {
    "C_1": lambda: cyclic(1),
    "C_7": lambda: cyclic(7),
    "C_8": lambda: cyclic(8),
    "D_1": lambda: dihedral(1),
    "D_4": lambda: dihedral(4),
    "D_5": lambda: dihedral(5),
    "S_1": lambda: symmetric(1),
    "S_3": lambda: symmetric(3),
    "S_4": lambda: symmetric(4),
    "S_5": lambda: symmetric(5),
    "A_4": lambda: alternating(4),
    "A_5": lambda: alternating(5),
    "T": tetrahedral,
    "O": octahedral,
    "I": icosahedral,
    "T_h": lambda: with_inversion(tetrahedral()),
    "O_h": lambda: with_inversion(octahedral()),
    "I_h": lambda: with_inversion(icosahedral()),
    "Q_8": quaternion,
    "Q_8 × C_3": lambda: direct_product(quaternion(), cyclic(3)),
    "C_7 ⋊ C_3": lambda: semidirect_product(
        cyclic(7), cyclic(3), [[pow(2, h, 7) * n % 7 for n in range(7)] for h in range(3)]
    ),
}


@pytest.fixture(params=GROUPS, scope="module")
def group(request: pytest.FixtureRequest) -> FiniteGroup:
    return GROUPS[request.param]()


@pytest.fixture(scope="session")
def groups() -> dict[str, Callable[[], FiniteGroup]]:
    """All of them by name."""
    return GROUPS
