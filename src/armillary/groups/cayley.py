"""Finite groups as Cayley tables: products, inverses, conjugacy classes, subgroups.

An element is an index 0..n-1, the identity is 0, and ``table[g, h] = g h``. Everything handed out is read-only: a group
is a value, shared by all who ask for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np

from armillary.ops.integers import checked_indices, checked_integer

Integers = np.ndarray
T = TypeVar("T")

_CLOSE = 1e-4
"""How far matrices that come with a table may be from multiplying as it says."""
_BLOCK = 2**22  # entries of a table that are looked at at once


def frozen(values: np.ndarray) -> np.ndarray:
    """The same array, from now on read-only."""
    values.setflags(write=False)
    return values


def index_dtype(order: int) -> type[np.signedinteger]:
    """The smallest type that holds the elements of a group."""
    return np.int16 if order <= 2**15 else np.int32


class CayleyTable:
    """The multiplication table of a finite group, and what follows from it alone.

    ``table``: (n, n) integers, ``table[g, h] = g h``, row and column 0 those of the identity. ``matrices`` (n, d, d),
    if given, is a faithful representation that the group is known by, such as rotations of space; ``permutations``
    (n, k) an action on k points, ``permutations[g, i] = g(i)``. All three are copied.

    Two groups with the same table are equal.

    Raises: ValueError where the table is not that of a group, or matrices or permutations do not multiply as it says
    (matrices to 1e-4).
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
        if given.min() < 0 or given.max() >= len(given):
            raise ValueError(f"got a table with entries outside 0..{len(given) - 1}: that is not a group.")
        self.order = len(given)
        self.table: Integers = frozen(np.array(given, dtype=index_dtype(self.order), order="C"))
        self._name = name
        self._kept: dict[Hashable, Any] = {}
        self._check()
        self.matrices = None if matrices is None else self._representation(matrices)
        self.permutations = None if permutations is None else self._action(permutations)

    def _check(self) -> None:
        n, table = self.order, self.table
        everyone = np.arange(n)
        if (table[0] != everyone).any() or (table[:, 0] != everyone).any():
            raise ValueError("got a table whose first row or column is not 0..n-1: put the identity first.")
        rows = max(1, _BLOCK // n)
        blocks = [table[first : first + rows] for first in range(0, n, rows)]
        for block in blocks:
            counts = np.zeros(block.shape, dtype=bool)
            counts[np.arange(len(block))[:, None], block] = True
            if not counts.all():
                raise ValueError("got a table with a row that is no permutation of 0..n-1: that is not a group.")
        for s in self.generators:
            if any((table[block[:, s]] != block[:, table[s]]).any() for block in blocks):
                raise ValueError(f"got a table with (g·{s})·h ≠ g·({s}·h) for some g, h: products must be associative.")

    def _representation(self, matrices: Any) -> np.ndarray:
        given = np.array(matrices, dtype=np.float64)
        if given.ndim != 3 or not len(given) == self.order or not 0 < given.shape[1] == given.shape[2]:
            raise ValueError(f"got matrices of shape {given.shape}, wanted ({self.order}, d, d), one for each element.")
        alike = np.abs(given - np.eye(given.shape[1])).max(axis=(1, 2)) < _CLOSE
        products = [(given[self.table[s]], given[s] @ given) for s in self.generators]
        holds = np.isfinite(given).all() and all(np.abs(a - b).max() < _CLOSE for a, b in products)
        if not holds or not alike[0] or alike.sum() > 1:
            raise ValueError(
                "got matrices that do not represent the table faithfully: wanted M[table[g, h]] = M[g] M[h], and the "
                "unit matrix for the identity alone."
            )
        return frozen(given)

    def _action(self, permutations: Any) -> Integers:
        given = np.array(permutations)
        points = given.shape[-1] if given.ndim == 2 else 0
        if given.ndim != 2 or len(given) != self.order or given.dtype.kind not in "iu":
            raise ValueError(
                f"got permutations of shape {given.shape} and type {given.dtype}, wanted ({self.order}, k) integers, "
                f"one row for each element."
            )
        inside = given.size == 0 or (given.min() >= 0 and given.max() < points)
        if (
            not inside
            or (given[0] != np.arange(points)).any()
            or any((given[self.table[s]] != given[s][given]).any() for s in self.generators)
        ):
            raise ValueError(
                "got permutations that do not multiply as the table: wanted P[table[g, h]][i] = P[g][P[h][i]], and "
                "P[0] = 0..k-1."
            )
        return frozen(given.astype(np.int64))

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
        return hash((self.order, zlib.crc32(self.table[:: max(1, self.order // 64)].tobytes())))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        given = {key: self.__dict__[key] for key in ("order", "table", "_name", "matrices", "permutations")}
        return given | {"_kept": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for values in (self.table, self.matrices, self.permutations):
            if values is not None:
                frozen(values)

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, made when it is first asked for under this key and kept as long as the group."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @cached_property
    def inverses(self) -> Integers:
        """g⁻¹ for every g, (n,)."""
        return frozen(np.argmin(self.table, axis=1))

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
        """The indices of the subgroup that some elements generate, ascending.

        Raises: ValueError for what is no element.
        """
        steps = np.unique(checked_indices("elements", elements, self.order))
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
        return frozen(orders)

    def power(self, g: int, k: int) -> int:
        """g^k; k may be negative."""
        g = checked_integer("element", g, 0, self.order - 1)
        result = 0
        for _ in range(k % int(self.element_orders[g])):
            result = int(self.table[result, g])
        return result

    @cached_property
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
        return frozen(number)

    @cached_property
    def class_representatives(self) -> Integers:
        """The first element of each conjugacy class."""
        return frozen(np.unique(self.class_of, return_index=True)[1])

    @cached_property
    def class_sizes(self) -> Integers:
        return frozen(np.bincount(self.class_of))

    @property
    def n_classes(self) -> int:
        return len(self.class_sizes)

    def subtable(self, elements: Integers) -> Integers:
        """The Cayley table of the subgroup with these elements, ascending and closed: number i is ``elements[i]``."""
        place = np.zeros(self.order, dtype=self.table.dtype)
        place[elements] = np.arange(len(elements))
        return place[self.table[np.ix_(elements, elements)]]

    def subset(self, elements: Integers) -> Self:
        """The subgroup with these elements, ascending and closed, by itself: its element i is ``elements[i]``."""
        return type(self)(
            self.subtable(elements),
            matrices=None if self.matrices is None else self.matrices[elements],
            permutations=None if self.permutations is None else self.permutations[elements],
        )

    def centraliser_of(self, g: int) -> Integers:
        """The elements that commute with g, ascending."""
        g = checked_integer("element", g, 0, self.order - 1)
        return np.flatnonzero(self.table[:, g] == self.table[g])
