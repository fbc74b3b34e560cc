"""Representations of SO(2), the turns of the plane: how many complex channels of each order a field has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.ops.integers import checked_integer


@dataclass(frozen=True, repr=False)
class Orders:
    """A field of the plane whose channels z turn by e^{imα}: ``(R z)(p) = e^{imα} z(R⁻¹ p)``, m the order of a stream.
    On the sphere an order s is a spin: ``z e^{-isγ}`` in the frame turned by γ (``harmonics.spin_fields``).

    ``streams`` are pairs (order, number of complex channels), kept by ascending order; ``Orders.of({0: 8, 1: 8})`` and
    ``Orders.upto(1, 8)`` are the same value, and ``Orders.image(3)`` is what images with three channels are.

    Layout of tensors: (batch, size, height, width), all real parts before all imaginary parts, each by stream and
    channel: ``z = x[:, :count] + i x[:, count:]``. A field of ``real`` values, possible in order 0 alone, has no
    imaginary half.

    Raises: ValueError for no stream, an order twice, channels < 1, or real values of another order.
    Source: the irreducible representations of SO(2); Worrall et al. 2017 (arXiv 1612.04642). Pinned by
    ``tests/groups/test_orders.py``.
    """

    streams: tuple[tuple[int, int], ...]
    real: bool = False

    def __post_init__(self) -> None:
        streams = [
            (checked_integer("order", order), checked_integer(f"channels of order {order}", channels, 1))
            for order, channels in self.streams
        ]
        object.__setattr__(self, "streams", tuple(sorted(streams)))
        if not self.streams or len(set(self.orders)) < len(self.streams):
            raise ValueError(f"Orders: got the streams {self.streams}, wanted at least one, and each order once.")
        if self.real and self.orders != (0,):
            raise ValueError(f"Orders: got real values of the orders {self.orders}, wanted order 0 alone: others turn.")

    @classmethod
    def of(cls, channels: Mapping[int, int]) -> Orders:
        """Complex channels by order: ``Orders.of({0: 8, 1: 4})``."""
        return cls(tuple(channels.items()))

    @classmethod
    def upto(cls, highest: int, channels: int) -> Orders:
        """The orders 0 to ``highest``, with as many channels each."""
        highest = checked_integer("highest", highest, 0)
        return cls(tuple((order, channels) for order in range(highest + 1)))

    @classmethod
    def image(cls, channels: int) -> Orders:
        """Images: real scalars."""
        return cls(((0, channels),), real=True)

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders that occur, ascending."""
        return tuple(order for order, _ in self.streams)

    @property
    def channel_orders(self) -> tuple[int, ...]:
        """The order of each channel."""
        return tuple(order for order, channels in self.streams for _ in range(channels))

    @property
    def count(self) -> int:
        """The number of channels, over all orders."""
        return sum(channels for _, channels in self.streams)

    @property
    def size(self) -> int:
        """The number of real channels of a tensor."""
        return self.count if self.real else 2 * self.count

    def check(self, x: Tensor, who: str, points: tuple[int, ...] | None = None) -> None:
        """Raise a ValueError that says what came, what was wanted and the fix, unless x is a field of these orders:
        (batch, size, *points), real and of floating point; ``points`` None: of any shape, or none."""
        shape = tuple(x.shape)
        fits = len(shape) > 1 and shape[1] == self.size and (points is None or shape[2:] == points)
        if not fits or not x.is_floating_point():
            wanted = ", ".join(map(str, ("batch", self.size, *(("...",) if points is None else points))))
            raise ValueError(
                f"x has shape {shape} and dtype {x.dtype}, {who} was built for real ({wanted}), the real channels of "
                f"{self}: pass other orders, or reshape x."
            )

    def act(self, angle: float, x: Tensor) -> Tensor:
        """e^{imα} on the values of each channel, (batch, size, ...); points are left where they are.

        Raises: ValueError for another number of channels, or what is not real.
        """
        self.check(x, "Orders.act")
        if self.real:
            return x
        turns = x.new_tensor([[math.cos(m * angle), math.sin(m * angle)] for m in self.channel_orders])
        cos, sin = turns.view(-1, 2, *[1] * (x.ndim - 2)).unbind(1)
        re, im = x.chunk(2, dim=1)
        return torch.cat([cos * re - sin * im, sin * re + cos * im], dim=1)

    def __repr__(self) -> str:
        if self.real:
            return f"Orders.image({self.count})"
        return f"Orders.of({dict(self.streams)})"
