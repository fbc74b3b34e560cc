"""All products of generators, and their Cayley table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_MOST = 20160  # elements; the Cayley table then has 400 million entries


def closure(
    identity: np.ndarray,
    generators: Sequence[np.ndarray],
    product: Callable[[np.ndarray, np.ndarray], np.ndarray],
    key: Callable[[np.ndarray], bytes],
) -> tuple[list[np.ndarray], list[int], list[int], np.ndarray]:
    """Breadth first: every element, the generator and the earlier element that it is the product of, and where each
    generator takes each element.

    Returns elements; parents and steps with ``elements[i] = generators[steps[i]] · elements[parents[i]]`` for i > 0;
    images (generators, n) with ``generators[s] · elements[i] = elements[images[s, i]]``.
    Raises: ValueError where there are too many.
    """
    elements, parents, steps = [identity], [0], [0]
    place = {key(identity): 0}
    images: list[list[int]] = [[] for _ in generators]
    for i, element in enumerate(elements):  # grows while it is walked
        for s, generator in enumerate(generators):
            new = product(generator, element)
            name = key(new)
            if name not in place:
                if len(elements) == _MOST:
                    raise ValueError(
                        f"the generators give more than {_MOST} elements: they generate a larger or an infinite group."
                    )
                place[name] = len(elements)
                elements.append(new)
                parents.append(i)
                steps.append(s)
            images[s].append(place[name])
    return elements, parents, steps, np.array(images)


def table_of_words(images: np.ndarray, parents: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """The Cayley table (n, n): the row of s·g is that of s after that of g."""
    n = len(parents)
    table = np.empty((n, n), dtype=np.int32)
    table[0] = np.arange(n)
    for i in range(1, n):
        table[i] = images[steps[i]][table[parents[i]]]
    return table
