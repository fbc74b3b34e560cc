"""Finite groups as Cayley tables: products, inverses, conjugacy classes, subgroups.

An element is an index 0..n-1, the identity is 0, and ``table[g, h] = g h``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self

import numpy as np

Integers = np.ndarray


class CayleyTable:
    """The multiplication table of a finite group, and what follows from it alone.

    ``table``: (n, n) integers, ``table[g, h] = g h``, row and column 0 those of the identity. ``matrices`` (n, d, d),
    if given, is a faithful representation that the group is known by, such as rotations of space; ``permutations``
    (n, k) an action on k points, ``permutations[g, i] = g(i)``.

    Two groups with the same table are equal.

    Raises: ValueError where the table is not that of a group.
    """

    def __init__(
        self,
        table: Any,
        name: str | None = None,
        *,
        matrices: Any = None,
        permutations: Any = None,
    ) -> None:
        given = np.asarray(table)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or given.size == 0 or given.dtype.kind not in "iu":
            raise ValueError(f"got a table of shape {given.shape} and type {given.dtype}, wanted (n, n) integers.")
        self.order = len(given)
        self.table: Integers = np.ascontiguousarray(given, dtype=np.int16 if self.order <= 2**15 else np.int32)
        self.table.setflags(write=False)
        self._name = name
        self._check()
        self.matrices = None if matrices is None else np.asarray(matrices, dtype=np.float64)
        self.permutations = None if permutations is None else np.asarray(permutations, dtype=np.int64)

    def _check(self) -> None:
        n, table = self.order, self.table
        everyone = np.arange(n)
        if (table[0] != everyone).any() or (table[:, 0] != everyone).any():
            raise ValueError("got a table whose first row or column is not 0..n-1: put the identity first.")
        counts = np.zeros((n, n), dtype=bool)
        inside = bool(((table >= 0) & (table < n)).all())
        if inside:
            counts[everyone[:, None], table] = True
        if not inside or not counts.all():
            raise ValueError("got a table with a row that is no permutation of 0..n-1: that is not a group.")
        for s in self.generators:
            if (table[table[:, s]] != table[:, table[s]]).any():
                raise ValueError(f"got a table with (g·{s})·h ≠ g·({s}·h) for some g, h: products must be associative.")

    @property
    def name(self) -> str:
        return self._name or f"group of order {self.order}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, order={self.order})"

    def __len__(self) -> int:
        return self.order

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CayleyTable) and (self is other or np.array_equal(self.table, other.table))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.order, self.table[:: max(1, self.order // 64)].tobytes()))

    @cached_property
    def inverses(self) -> Integers:
        """g⁻¹ for every g, (n,)."""
        return np.argmin(self.table, axis=1)

    def conjugate(self, x: Any, g: Any) -> Integers:
        """x g x⁻¹."""
        return self.table[self.table[x, g], self.inverses[x]]

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """Few elements that generate the group: each the first that those before do not reach."""
        chosen: list[int] = []
        reached = np.zeros(self.order, dtype=bool)
        reached[0] = True
        while not reached.all():
            chosen.append(int(np.argmin(reached)))
            reached[self.generated(chosen)] = True
        return tuple(chosen)

    def generated(self, elements: Iterable[int]) -> Integers:
        """The indices of the subgroup that some elements generate, ascending."""
        steps = np.unique(np.asarray(list(elements), dtype=np.int64))
        inside = np.zeros(self.order, dtype=bool)
        inside[0] = True
        front = np.array([0])
        while len(front):
            reached = np.unique(self.table[front[:, None], steps])
            front = reached[~inside[reached]]
            inside[front] = True
        return np.flatnonzero(inside)

    @cached_property
    def element_orders(self) -> Integers:
        """The least k > 0 with g^k = 1, (n,)."""
        orders, power = np.zeros(self.order, np.int64), np.arange(self.order)
        k = 1
        while (orders == 0).any():
            orders[(orders == 0) & (power == 0)] = k
            power = self.table[power, np.arange(self.order)].astype(np.int64)
            k += 1
        return orders

    def power(self, g: int, k: int) -> int:
        """g^k; k may be negative."""
        result = 0
        for _ in range(k % int(self.element_orders[g])):
            result = int(self.table[result, g])
        return result

    @property
    def is_abelian(self) -> bool:
        return bool((self.table == self.table.T).all())

    @cached_property
    def class_of(self) -> Integers:
        """The number of the conjugacy class of each element, (n,); classes are numbered by their first elements."""
        number = np.full(self.order, -1)
        everyone, k = np.arange(self.order), 0
        for g in range(self.order):
            if number[g] < 0:
                number[self.conjugate(everyone, g)] = k
                k += 1
        return number

    @cached_property
    def class_representatives(self) -> Integers:
        """The first element of each conjugacy class."""
        return np.unique(self.class_of, return_index=True)[1]

    @cached_property
    def class_sizes(self) -> Integers:
        return np.bincount(self.class_of)

    @property
    def n_classes(self) -> int:
        return len(self.class_sizes)

    def subset(self, elements: Integers) -> Self:
        """The subgroup with these elements, ascending and closed, by itself: its element i is ``elements[i]``."""
        place = np.full(self.order, -1)
        place[elements] = np.arange(len(elements))
        return type(self)(
            place[self.table[np.ix_(elements, elements)]],
            matrices=None if self.matrices is None else self.matrices[elements],
            permutations=None if self.permutations is None else self.permutations[elements],
        )

    def centraliser_of(self, g: int) -> Integers:
        """The elements that commute with g, ascending."""
        return np.flatnonzero(self.table[:, g] == self.table[g])
