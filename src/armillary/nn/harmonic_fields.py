"""Fields of circular orders on a grid of pixels, or of spins on the sphere: what their layers share, and their order in
a row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import nn

from armillary.groups import Orders
from armillary.ops.constants import ConstantModule
from armillary.spaces.fields import FieldGrid


class FieldLayer(ConstantModule):
    """A layer on fields of one kind on one grid: ``orders`` on ``grid`` in, ``orders_out`` on ``grid_out`` out.

    Both are those of the input where a layer does not say otherwise. On the sphere an order is a spin.
    """

    def __init__(self, orders: Orders, grid: FieldGrid) -> None:
        super().__init__()
        self.orders, self.grid, self.in_channels = orders, grid, orders.size

    @property
    def orders_in(self) -> Orders:
        return self.orders

    @property
    def orders_out(self) -> Orders:
        return self.orders

    @property
    def grid_out(self) -> FieldGrid:
        return self.grid

    def extra_repr(self) -> str:
        return f"{self.orders}, {self.grid}"


class HarmonicSequential(nn.Sequential):
    """Layers of fields of orders, or of spins, one after another, each built for what the one before it gives.

    At the call only the number of channels shows: one order for another would be multiplied by the wrong phase, and no
    error would be seen but in the symmetry. So neighbours are compared when the sequence is built. Everything else is
    as in ``nn.Sequential``; sequences may be nested.

    Shapes: (B, orders_in.size, *grid.shape) → (B, orders_out.size, *grid_out.shape).
    Raises: ValueError for neighbours that do not fit, a layer that does not tell its ``orders_in``, ``orders_out``,
    ``grid`` and ``grid_out`` (put it behind the sequence), or no layer.
    Pinned by ``tests/nn/test_harmonic_fields.py``.
    """

    def __init__(self, *layers: Any) -> None:
        super().__init__(*layers)
        neighbours: list[tuple[str, Any]] = list(self._modules.items())
        if not neighbours:
            raise ValueError("HarmonicSequential: got no layer, wanted one at least.")
        for name, layer in neighbours:
            if not all(hasattr(layer, kind) for kind in ("orders_in", "orders_out", "grid", "grid_out")):
                raise ValueError(
                    f"HarmonicSequential: layer {name}, {type(layer).__name__}, does not tell its orders and grids: "
                    f"wanted layers of fields on a grid; put others behind the sequence."
                )
        for (name, before), (_, after) in pairwise(neighbours):
            if (before.orders_out, before.grid_out) != (after.orders_in, after.grid):
                raise ValueError(
                    f"HarmonicSequential: layer {name}, {type(before).__name__}, gives {before.orders_out} on "
                    f"{before.grid_out}, and {type(after).__name__} after it was built for {after.orders_in} on "
                    f"{after.grid}: build both with the same."
                )

    @property
    def orders_in(self) -> Orders:
        """What the first layer takes."""
        layer: Any = self[0]
        return layer.orders_in

    @property
    def orders_out(self) -> Orders:
        """What the last layer gives."""
        layer: Any = self[-1]
        return layer.orders_out

    @property
    def grid(self) -> FieldGrid:
        """The grid of the first layer."""
        layer: Any = self[0]
        return layer.grid

    @property
    def grid_out(self) -> FieldGrid:
        """The grid that the last layer gives."""
        layer: Any = self[-1]
        return layer.grid_out
