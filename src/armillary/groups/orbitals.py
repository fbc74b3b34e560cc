"""Orbitals: the orbits of a group on pairs of points, from generators alone.

The linear maps between functions on two sets that commute with a group are those whose matrix is constant on each.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from armillary.groups.actions import Action, merged
from armillary.groups.subgroups import Subgroup

_MOST_PAIRS = 2**27


class Orbitals:
    """The orbits of a group on the pairs (x, z) of X × Z; where X = Z they form a coherent configuration.

    ``numbers`` (|X|, |Z|): the number of the orbital of each pair. For X = G/K and Z = G/H there is one for each double
    coset HgK: S_n on k- and l-subsets has one for each size of the intersection (the Johnson scheme).

    ``Orbitals.between(X, Z)`` numbers them by their first pairs, row by row; ``Orbitals.of_cosets(K, H)`` as
    ``H.double_coset_of(K)``. Source: Cameron 1999, Permutation Groups, chapter 3; pinned by
    ``tests/groups/test_orbitals.py``.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = np.ascontiguousarray(numbers, dtype=np.int64)
        self.numbers.setflags(write=False)

    @classmethod
    def between(cls, X: Action, Z: Action) -> Orbitals:
        """From what generators do. The orbits of the stabiliser of a point x₀ on Z, carried to every x by a product of
        generators t with t·x₀ = x: those orbits merge what two ways to the same x disagree on (Schreier). It takes
        |X| |Z| steps for each generator, whatever the order of the group.

        Raises: ValueError for actions of different groups, or more than 2²⁷ pairs.
        """
        check_one_group(X, Z)
        if X.size * Z.size > _MOST_PAIRS:
            raise ValueError(f"got {X.size} × {Z.size} points, wanted at most {_MOST_PAIRS} pairs.")
        numbers = np.full((X.size, Z.size), -1)
        found = 0
        for x in np.unique(X.orbit_of, return_index=True)[1]:
            found += _fill_orbit(numbers, int(x), found, X.images, Z.images)
        return cls(numbers)

    @classmethod
    def of_cosets(cls, K: Subgroup, H: Subgroup) -> Orbitals:
        """X = G/K and Z = G/H, by the double coset H z⁻¹ x K of each pair.

        Raises: ValueError for subgroups of different groups.
        """
        group = H.group
        back = group.inverses[H.representatives]
        return cls(H.double_coset_of(K)[group.table[back[None, :], K.representatives[:, None]]])

    @property
    def shape(self) -> tuple[int, int]:
        """(|X|, |Z|)."""
        return self.numbers.shape[0], self.numbers.shape[1]

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many pairs each has, (D,)."""
        return np.bincount(self.numbers.reshape(-1))

    @cached_property
    def subdegrees(self) -> np.ndarray:
        """n_D, how many z stand to a point x in each orbital D, the same for every x where X is transitive, (D,).

        Where it is not: for the x in the orbit of X that D belongs to.
        """
        counts = np.zeros(len(self), dtype=np.int64)
        for row in self.numbers:
            if counts.all():
                break
            counts = np.where(counts == 0, np.bincount(row, minlength=len(self)), counts)
        return counts

    def __len__(self) -> int:
        """D, the number of orbitals."""
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"Orbitals({len(self)} on {self.shape[0]} × {self.shape[1]} pairs)"


def check_one_group(X: Action, Z: Action) -> None:
    """Raises: ValueError for actions of different groups."""
    if not np.array_equal(X.generators, Z.generators):
        raise ValueError(
            f"got actions of different groups, {X} and {Z}: take both from one action (subsets, tuples, on), so that "
            "their generators are the same."
        )


def _fill_orbit(numbers: np.ndarray, start: int, found: int, left: np.ndarray, right: np.ndarray) -> int:
    """Number the pairs of the orbit of x₀ = ``start``, from ``found`` on; returns how many orbitals it has.

    Rows hold first, for each pair (x, z), the z₀ with t·(x₀, z₀) = (x, z), then its orbit under the stabiliser of x₀.
    """
    labels = np.arange(numbers.shape[1])  # of z₀: its orbit under the stabiliser, as far as known
    backwards = np.argsort(right, axis=1)
    numbers[start] = labels
    reached = [start]
    for x in reached:  # grows while it is walked
        for s, back in enumerate(backwards):
            y, row = left[s, x], numbers[x][back]
            if numbers[y, 0] < 0:
                numbers[y] = row
                reached.append(int(y))
                continue
            first, second = labels[row], labels[numbers[y]]
            if (first != second).any():
                labels = merged(labels, first, second)
    numbers[reached] = found + labels[numbers[reached]]
    return int(labels.max()) + 1
