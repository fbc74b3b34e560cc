"""What a map is asked to commute with: inputs, group elements, and how these act before and after the map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from armillary.groups import random_rotation
from armillary.harmonics import random_field, rotate
from armillary.spaces import OrientedGrid, SphereGrid

Space = SphereGrid | OrientedGrid


class Symmetry(ABC):
    """A group that acts on the inputs and outputs of a map.

    Actions are to be exact: what is interpolated would be charged to the map, or hide its error. Tensors are float64
    on the CPU, samples in dim 0.
    """

    refuses: tuple[str, ...] = ("wrong channels", "wrong grid")
    """The kinds of bad input that the map has to answer by a ValueError: twice the channels, one row less."""

    @property
    def count(self) -> int:
        """How many group elements are tried where nothing else is asked for."""
        return 4

    @abstractmethod
    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random inputs of the map, (batch, ...)."""

    @abstractmethod
    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Any]]:
        """``count`` times random inputs x, the same acted upon, g x, and the group element g."""

    @abstractmethod
    def compare(self, output: Tensor, after: Tensor, g: Any) -> tuple[float, float]:
        """(‖L(g x) - g L(x)‖², ‖L(x)‖²) from ``output`` L(x) and ``after`` L(g x).

        Raises: ValueError where the output has not the shape that g acts on.
        """


@dataclass(frozen=True)
class SphereSymmetry(Symmetry):
    """Rotations of the sphere, acting spectrally on random fields of degree ≤ ``lmax``; nothing is interpolated.

    Inputs are (batch, channels, *space_in.shape), outputs (batch, any, *space_out.shape) in the quadrature norm; with
    ``space_out`` None outputs should not change, and may have any shape. ``lmax`` defaults to a quarter of the band
    limit of ``space_in``, ``rotations`` to random ones (Haar).
    """

    space_in: Space
    space_out: Space | None
    channels: int
    lmax: int | None = None
    rotations: Sequence[Tensor] | None = None

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        lmax = max(1, self.space_in.lmax // 4) if self.lmax is None else self.lmax
        return random_field(self.space_in, lmax, (batch, self.channels), generator)

    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        chosen = [random_rotation(generator) for _ in range(count)] if self.rotations is None else self.rotations
        for R in chosen:
            x = self.inputs(batch, generator)
            yield x, rotate(x, self.space_in, R), R

    def compare(self, output: Tensor, after: Tensor, g: Tensor) -> tuple[float, float]:
        if self.space_out is None:
            return _squares(after - output), _squares(output)
        self.space_out.check_field(output, "space_out")
        difference = after - rotate(output, self.space_out, g)
        return float(self.space_out.integrate(difference**2).sum()), float(self.space_out.integrate(output**2).sum())


@dataclass(frozen=True)
class GroupAction(Symmetry):
    """A group whose elements act on tensors by functions: ``act_in(g, x)`` and ``act_out(g, y)``.

    ``shape`` is that of one input without the batch, channels first; inputs are standard normal. ``act_out`` None:
    outputs should not change. ``refuses``: which bad inputs are errors; a map of images of any size refuses ("wrong
    channels",) only.
    """

    shape: tuple[int, ...]
    elements: Sequence[Any]
    act_in: Callable[[Any, Tensor], Tensor]
    act_out: Callable[[Any, Tensor], Tensor] | None = None
    refuses: tuple[str, ...] = ("wrong channels", "wrong grid")

    @property
    def count(self) -> int:
        """All elements."""
        return len(self.elements)

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, *self.shape, generator=generator, dtype=torch.float64)

    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Any]]:
        """All elements where there are at most ``count``, else random ones."""
        order = torch.randperm(len(self.elements), generator=generator)[:count].tolist()
        for k in order:
            x = self.inputs(batch, generator)
            yield x, self.act_in(self.elements[k], x), self.elements[k]

    def compare(self, output: Tensor, after: Tensor, g: Any) -> tuple[float, float]:
        wanted = output if self.act_out is None else self.act_out(g, output)
        if wanted.shape != after.shape:
            raise ValueError(f"act_out gave shape {tuple(wanted.shape)}, the map gives {tuple(after.shape)}.")
        return _squares(after - wanted), _squares(output)


def _squares(x: Tensor) -> float:
    return float((x.abs() ** 2).sum())
