"""Subgroups of finite groups, their cosets and double cosets, and the action on them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from armillary.groups.cayley import frozen
from armillary.groups.finite import FiniteGroup
from armillary.ops.integers import checked_indices, checked_integer


class Subgroup:
    """H ≤ G: the elements of ``group`` that are in H, ascending.

    ``generators``: elements of G; H is what they generate. A subgroup is a value: what it hands out is read-only, and
    its copy is itself. Raises: ValueError for what is no element.
    """

    def __init__(self, group: FiniteGroup, generators: Iterable[int] = ()) -> None:
        self.group = group
        self.elements: np.ndarray = frozen(group.generated(checked_indices("generators", generators, group.order)))

    @classmethod
    def of_elements(cls, group: FiniteGroup, elements: Iterable[int]) -> Subgroup:
        """The subgroup with exactly these elements. Raises: ValueError where they are not closed under products."""
        wanted = np.unique(checked_indices("elements", elements, group.order))
        H = cls(group, wanted)
        if not np.array_equal(H.elements, wanted):
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

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"group": self.group, "elements": self.elements}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        frozen(self.elements)

    @cached_property
    def as_group(self) -> FiniteGroup:
        """H by itself: its element i is ``elements[i]`` of G."""
        return self.group.subset(self.elements)

    @cached_property
    def left_coset_of(self) -> np.ndarray:
        """The number of the coset gH of each g, (|G|,); cosets are numbered by their first elements."""
        return frozen(numbered(self.group.table[:, self.elements].min(axis=1)))

    @cached_property
    def right_coset_of(self) -> np.ndarray:
        """The number of the coset Hg of each g."""
        return frozen(numbered(self.group.table[self.elements].min(axis=0)))

    @cached_property
    def representatives(self) -> np.ndarray:
        """The first element of each left coset, (|G|/|H|,)."""
        return frozen(_first_of_each(self.left_coset_of))

    @cached_property
    def action(self) -> np.ndarray:
        """How G permutes the cosets G/H, (|G|, |G|/|H|): ``action[g, c]`` is the number of g·c."""
        return frozen(self.left_coset_of[self.group.table[:, self.representatives]])

    def act(self, g: int, f: Tensor, dim: int = -1) -> Tensor:
        """``(g f)(x) = f(g⁻¹ x)`` for functions on G/H, whose points are axis ``dim`` of f, numbered as the cosets are.

        Raises: ValueError for another number of points, or what is no element.
        """
        g = checked_integer("element", g, 0, self.group.order - 1)
        if f.shape[dim] != self.index:
            raise ValueError(f"f has shape {tuple(f.shape)}, wanted {self.index} points on axis {dim} for {self}.")
        points = torch.tensor(self.action[self.group.inverses[g]], device=f.device)
        return f.index_select(dim, points)

    @property
    def is_normal(self) -> bool:
        generators = np.array(self.group.generators, dtype=np.int64)[:, None]
        return bool(self._inside[self.group.conjugate(generators, self.elements)].all())

    @cached_property
    def _inside(self) -> np.ndarray:
        inside = np.zeros(self.group.order, dtype=bool)
        inside[self.elements] = True
        return inside

    def conjugate(self, x: int) -> Subgroup:
        """x H x⁻¹."""
        x = checked_integer("element", x, 0, self.group.order - 1)
        return Subgroup.of_elements(self.group, self.group.conjugate(x, self.elements))

    def normaliser(self) -> Subgroup:
        """The elements x with x H x⁻¹ = H, the largest subgroup that H is normal in."""
        generators = self.elements[np.array(self.as_group.generators, dtype=np.int64)]
        everyone = np.arange(self.group.order)[:, None]
        kept = self._inside[self.group.conjugate(everyone, generators)].all(axis=1)
        return Subgroup.of_elements(self.group, np.flatnonzero(kept))

    def intersection(self, other: Subgroup) -> Subgroup:
        """The elements of both. Raises: ValueError where the other is a subgroup of another group."""
        self._check(other)
        return Subgroup.of_elements(self.group, np.intersect1d(self.elements, other.elements))

    def quotient_group(self) -> FiniteGroup:
        """G/H as a group; ``groups.quotient`` are the functions on it. Raises: ValueError where H is not normal."""
        if not self.is_normal:
            raise ValueError(
                f"{self} is not normal: its cosets form no group; they are a space that G acts on (action)."
            )
        return FiniteGroup(self.action[self.representatives])

    def _check(self, other: Subgroup) -> None:
        if other.group != self.group:
            raise ValueError(f"got subgroups of {self.group} and of {other.group}, wanted two of one group.")

    def double_coset_of(self, other: Subgroup) -> np.ndarray:
        """The number of the double coset HgK of each g, where K is ``other``; numbered by their first elements.

        Raises: ValueError where K is a subgroup of another group.
        """
        self._check(other)
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
    wanted = np.unique(checked_indices("points", points, group.permutations.shape[1]))
    kept = (np.sort(group.permutations[:, wanted], axis=1) == wanted).all(axis=1)
    return Subgroup.of_elements(group, np.flatnonzero(kept))


def centraliser(group: FiniteGroup, g: int) -> Subgroup:
    """The elements that commute with g."""
    return Subgroup.of_elements(group, group.centraliser_of(g))


def centre(group: FiniteGroup) -> Subgroup:
    """The elements that commute with all."""
    generators = list(group.generators)
    kept = (group.table[:, generators] == group.table[generators].T).all(axis=1)
    return Subgroup.of_elements(group, np.flatnonzero(kept))
