"""All products of generators, and their Cayley table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from armillary.groups.cayley import index_dtype

_MOST = 20160  # elements; the Cayley table then has 400 million entries


class Register(ABC):
    """Elements under numbers 0, 1, …; it tells whether an element is a new one."""

    @abstractmethod
    def number(self, element: np.ndarray) -> int | None:
        """The number of an element that is in, else None."""

    @abstractmethod
    def add(self, element: np.ndarray, number: int) -> None:
        """Put a new element in."""


class ExactRegister(Register):
    """Arrays of integers, the same where all numbers are equal."""

    def __init__(self) -> None:
        self._place: dict[bytes, int] = {}

    def number(self, element: np.ndarray) -> int | None:
        return self._place.get(element.tobytes())

    def add(self, element: np.ndarray, number: int) -> None:
        self._place[element.tobytes()] = number


class CloseRegister(Register):
    """Arrays of real numbers, the same where none differs by ``tolerance`` or more.

    They lie in cells by a weighted mean of their entries, which differs by less than the tolerance where they do: what
    is close lies in the same cell or the next one.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance, self._cells = tolerance, dict[int, list[tuple[int, np.ndarray]]]()

    def _cell(self, element: np.ndarray) -> int:
        weights = 1 + np.sin(1 + 2**0.5 * np.arange(element.size)) / 2
        return int(np.floor(element.reshape(-1) @ (weights / weights.sum()) / self._tolerance))

    def number(self, element: np.ndarray) -> int | None:
        cell = self._cell(element)
        near = [pair for k in (cell - 1, cell, cell + 1) for pair in self._cells.get(k, ())]
        distances = [float(np.abs(other - element).max()) for _, other in near]
        if not near or min(distances) >= self._tolerance:
            return None
        return near[int(np.argmin(distances))][0]

    def add(self, element: np.ndarray, number: int) -> None:
        self._cells.setdefault(self._cell(element), []).append((number, element))


@dataclass(frozen=True)
class Words:
    """Every product of generators: ``elements[i] = generators[steps[i]] · elements[parents[i]]`` for i > 0, and
    ``generators[s] · elements[i] = elements[images[s, i]]``, images (generators, n)."""

    elements: np.ndarray
    parents: Sequence[int]
    steps: Sequence[int]
    images: np.ndarray

    def table(self, rank: np.ndarray | None = None) -> np.ndarray:
        """The Cayley table (n, n), element i as number ``rank[i]``: the row of s·g is that of s after that of g."""
        n = len(self.parents)
        rank = np.arange(n) if rank is None else rank
        images = np.empty(self.images.shape, dtype=index_dtype(n))
        images[:, rank] = rank[self.images]
        table = np.empty((n, n), dtype=images.dtype)
        table[rank[0]] = np.arange(n)
        for i in range(1, n):
            table[rank[i]] = images[self.steps[i]][table[rank[self.parents[i]]]]
        return table


def closure(
    identity: np.ndarray,
    generators: Sequence[np.ndarray],
    product: Callable[[np.ndarray, np.ndarray], np.ndarray],
    register: Register,
) -> Words:
    """All products of generators, breadth first. Raises: ValueError where there are too many."""
    elements, parents, steps = [identity], [0], [0]
    register.add(identity, 0)
    images: list[list[int]] = [[] for _ in generators]
    for i, element in enumerate(elements):  # grows while it is walked
        for s, generator in enumerate(generators):
            new = product(generator, element)
            number = register.number(new)
            if number is None:
                if len(elements) == _MOST:
                    raise ValueError(
                        f"the generators give more than {_MOST} elements: they generate a larger or an infinite group."
                    )
                number = len(elements)
                register.add(new, number)
                elements.append(new)
                parents.append(i)
                steps.append(s)
            images[s].append(number)
    return Words(np.stack(elements), parents, steps, np.array(images))
