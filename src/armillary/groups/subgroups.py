"""Subgroups of finite groups, their cosets and double cosets, and the action on them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from armillary.groups.finite import FiniteGroup


class Subgroup:
    """H ≤ G: the elements of ``group`` that are in H, ascending.

    ``generators``: elements of G; H is what they generate. Raises: ValueError for what is no element.
    """

    def __init__(self, group: FiniteGroup, generators: Iterable[int] = ()) -> None:
        given = [int(g) for g in generators]
        if any(not 0 <= g < group.order for g in given):
            raise ValueError(f"got generators {given}, the elements of {group} are 0..{group.order - 1}.")
        self.group = group
        self.elements: np.ndarray = group.generated(given)
        self.elements.setflags(write=False)

    @classmethod
    def of_elements(cls, group: FiniteGroup, elements: Iterable[int]) -> Subgroup:
        """The subgroup with exactly these elements. Raises: ValueError where they are not closed under products."""
        wanted = sorted({int(g) for g in elements})
        H = cls(group, wanted)
        if H.elements.tolist() != wanted:
            raise ValueError(
                f"got {len(wanted)} elements that generate {H.order}, wanted a whole subgroup: pass them as generators."
            )
        return H

    @property
    def order(self) -> int:
        return len(self.elements)

    @property
    def index(self) -> int:
        """|G| / |H|, the number of cosets."""
        return self.group.order // self.order

    def __repr__(self) -> str:
        return f"Subgroup(order={self.order} of {self.group.name})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Subgroup):
            return NotImplemented
        return self.group == other.group and np.array_equal(self.elements, other.elements)

    def __hash__(self) -> int:
        return hash((self.group, self.elements.tobytes()))

    def __contains__(self, g: int) -> bool:
        return bool(np.isin(g, self.elements))

    @cached_property
    def as_group(self) -> FiniteGroup:
        """H by itself: its element i is ``elements[i]`` of G."""
        return self.group.subset(self.elements)

    @cached_property
    def left_coset_of(self) -> np.ndarray:
        """The number of the coset gH of each g, (|G|,); cosets are numbered by their first elements."""
        return numbered(self.group.table[:, self.elements].min(axis=1))

    @cached_property
    def right_coset_of(self) -> np.ndarray:
        """The number of the coset Hg of each g."""
        return numbered(self.group.table[self.elements].min(axis=0))

    @cached_property
    def representatives(self) -> np.ndarray:
        """The first element of each left coset, (|G|/|H|,)."""
        return _first_of_each(self.left_coset_of)

    @cached_property
    def action(self) -> np.ndarray:
        """How G permutes the cosets G/H, (|G|, |G|/|H|): ``action[g, c]`` is the number of g·c."""
        return self.left_coset_of[self.group.table[:, self.representatives]]

    @property
    def is_normal(self) -> bool:
        H, inside = self.elements, np.zeros(self.group.order, dtype=bool)
        inside[H] = True
        return all(inside[self.group.conjugate(s, H)].all() for s in self.group.generators)

    def quotient(self) -> FiniteGroup:
        """G/H as a group. Raises: ValueError where H is not normal."""
        if not self.is_normal:
            raise ValueError(
                f"{self} is not normal: its cosets form no group; they are a space that G acts on (action)."
            )
        return FiniteGroup(self.action[self.representatives])

    def double_coset_of(self, other: Subgroup) -> np.ndarray:
        """The number of the double coset HgK of each g, where K is ``other``; numbered by their first elements.

        Raises: ValueError where K is a subgroup of another group.
        """
        if other.group != self.group:
            raise ValueError(f"got subgroups of {self.group} and of {other.group}, wanted two of one group.")
        cosets = other.action[self.elements].min(axis=0)  # the first coset of its orbit under H
        return numbered(cosets[other.left_coset_of])

    def double_coset_representatives(self, other: Subgroup) -> np.ndarray:
        """The first element of each double coset HgK, in order."""
        return _first_of_each(self.double_coset_of(other))


def _first_of_each(numbers: np.ndarray) -> np.ndarray:
    """Where each of 0, 1, … first occurs."""
    return np.unique(numbers, return_index=True)[1]


def numbered(labels: np.ndarray) -> np.ndarray:
    """Labels replaced by 0, 1, … in the order in which they first occur."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number.reshape(labels.shape)]


def trivial_subgroup(group: FiniteGroup) -> Subgroup:
    """{1}."""
    return Subgroup(group)


def whole_group(group: FiniteGroup) -> Subgroup:
    """G as a subgroup of itself."""
    return Subgroup(group, group.generators)


def stabiliser(group: FiniteGroup, points: Iterable[int]) -> Subgroup:
    """The elements of a permutation group that map a set of points onto itself.

    Raises: ValueError where the group has no permutations or a point does not exist.
    """
    if group.permutations is None:
        raise ValueError(f"{group} was not made from permutations: it acts on no points.")
    wanted = np.unique(np.asarray(list(points), dtype=np.int64))
    if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < group.permutations.shape[1]:
        raise ValueError(f"got points {wanted.tolist()}, the group acts on 0..{group.permutations.shape[1] - 1}.")
    kept = (np.sort(group.permutations[:, wanted], axis=1) == wanted).all(axis=1)
    return Subgroup.of_elements(group, np.flatnonzero(kept))


def centraliser(group: FiniteGroup, g: int) -> Subgroup:
    """The elements that commute with g."""
    return Subgroup.of_elements(group, group.centraliser_of(g))
