"""The paths of a product of features with the harmonics of an edge, in the frame where the edge is the z-axis.

There only m = 0 of the harmonics is left, and a path (l1, l2, l3) multiplies components by numbers:

    y_{l3, m}  = c_m x_{l1, m}                                     l1 + l2 + l3 even,
    y_{l3, m}  = c_m x_{l1, -m},   y_{l3, -m} = -c_m x_{l1, m}     odd, m > 0,
    c_m = √(2 l2 + 1) <l1 m l2 0 | l3 m>.

The Clebsch–Gordan tensor of a path, (2l1 + 1)(2l2 + 1)(2l3 + 1) numbers, has become min(l1, l3) + 1.
Source: Passaro & Zitnick 2023 (arXiv 2302.03655), section 3; pinned by ``tests/nn/test_edge_product.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from armillary.ops.clebsch_gordan import coefficient


@dataclass(frozen=True)
class Pair:
    """All paths from one stream of the input to one of the output: they differ in l2, whose parity they share."""

    source: int
    target: int
    odd: bool
    paths: tuple[int, ...]
    coefficients: tuple[tuple[float, ...], ...]
    """c_m of each path, m = 0..min(l1, l3)."""


@dataclass(frozen=True)
class EdgePaths:
    """Degrees of the streams in and out, and the paths (stream in, l2, stream out) between them."""

    degrees_in: tuple[int, ...]
    degrees_out: tuple[int, ...]
    paths: tuple[tuple[int, int, int], ...]

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, degrees_in: tuple[int, ...], degrees_out: tuple[int, ...], flat: tuple[int, ...]) -> EdgePaths:
        """From the numbers of ``flat``, as operators take them; kept, with what is computed of it."""
        return cls(degrees_in, degrees_out, tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True)))

    @property
    def flat(self) -> list[int]:
        """The paths in one list of numbers."""
        return [number for path in self.paths for number in path]

    @cached_property
    def rows_in(self) -> tuple[int, ...]:
        """Where each stream of the input begins, and the number of components."""
        return tuple(accumulate((2 * l + 1 for l in self.degrees_in), initial=0))

    @cached_property
    def rows_out(self) -> tuple[int, ...]:
        """The same of the output."""
        return tuple(accumulate((2 * l + 1 for l in self.degrees_out), initial=0))

    @cached_property
    def lmax(self) -> int:
        """The highest degree that is turned."""
        return max((*self.degrees_in, *self.degrees_out), default=0)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The paths by their streams."""
        found: dict[tuple[int, int], list[int]] = {}
        for number, (i, _, o) in enumerate(self.paths):
            found.setdefault((i, o), []).append(number)
        return tuple(self._pair(i, o, numbers) for (i, o), numbers in found.items())

    def _pair(self, i: int, o: int, numbers: Sequence[int]) -> Pair:
        l1, l3 = self.degrees_in[i], self.degrees_out[o]
        degrees = [self.paths[number][1] for number in numbers]
        parities = {(l1 + l2 + l3) % 2 for l2 in degrees}
        assert len(parities) == 1, "paths between two streams have edges of one parity"
        odd = parities == {1}
        values = []
        for l2 in degrees:
            scale = (2 * l2 + 1) ** 0.5
            row = [scale * coefficient(l1, m, l2, 0, l3, m) for m in range(min(l1, l3) + 1)]
            values.append(tuple([0.0, *row[1:]] if odd else row))
        return Pair(i, o, odd, tuple(numbers), tuple(values))
