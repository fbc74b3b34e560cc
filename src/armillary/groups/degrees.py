"""Representations of SO(3), the rotations of space: how many channels of each degree a feature has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.so3 import wigner_D_real
from armillary.ops.integers import checked_integer


@dataclass(frozen=True, repr=False)
class Degrees:
    """A feature whose channels turn by ``wigner_D_real(l, R)``: degree 0 are scalars, degree 1 vectors (y, z, x).

    ``streams`` are pairs (degree, number of channels), kept by ascending degree; ``Degrees.of({0: 8, 1: 4})``.

    Layout of tensors: (..., size), real, by degree, then m = -l..l, then channel, as that of ``Irreps``.

    Raises: ValueError for no stream, a degree twice or below 0, or channels < 1.
    Pinned by ``tests/groups/test_degrees.py``.
    """

    streams: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        streams = [
            (checked_integer("degree", l, 0), checked_integer(f"channels of degree {l}", channels, 1))
            for l, channels in self.streams
        ]
        object.__setattr__(self, "streams", tuple(sorted(streams)))
        if not self.streams or len(set(self.degrees)) < len(self.streams):
            raise ValueError(f"Degrees: got the streams {self.streams}, wanted at least one, and each degree once.")

    @classmethod
    def of(cls, channels: Mapping[int, int]) -> Degrees:
        """Channels by degree: ``Degrees.of({0: 8, 1: 4})``."""
        return cls(tuple(channels.items()))

    @property
    def degrees(self) -> tuple[int, ...]:
        """The degrees that occur, ascending."""
        return tuple(l for l, _ in self.streams)

    @property
    def count(self) -> int:
        """The number of channels, over all degrees."""
        return sum(channels for _, channels in self.streams)

    @property
    def size(self) -> int:
        """The number of components of a feature."""
        return sum(channels * (2 * l + 1) for l, channels in self.streams)

    def split(self, x: Tensor) -> list[Tensor]:
        """The components by degree, (..., 2l + 1, channels) each: views of x (..., size).

        Raises: ValueError for another number of components.
        """
        if x.shape[-1:] != (self.size,):
            raise ValueError(f"x has shape {tuple(x.shape)}, {self} wants (..., {self.size}).")
        parts = x.split([channels * (2 * l + 1) for l, channels in self.streams], dim=-1)
        return [part.unflatten(-1, (2 * l + 1, n)) for part, (l, n) in zip(parts, self.streams, strict=True)]

    def act(self, R: Tensor, x: Tensor) -> Tensor:
        """D(R) on features (..., size), R (3, 3). Raises: ValueError for another size, or what is no rotation."""
        parts = self.split(x)
        turned = [wigner_D_real(l, R).to(x) @ part for part, l in zip(parts, self.degrees, strict=True)]
        return torch.cat([part.flatten(-2) for part in turned], dim=-1)

    def __repr__(self) -> str:
        return f"Degrees.of({dict(self.streams)})"
