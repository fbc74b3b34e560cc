"""Rotations, reflections and translations of points in space and of their features, acting exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, random_rotations
from armillary.testing.symmetry import Symmetry


def rotations_and_reflections(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Elements of O(3), (count, 3, 3) float64: Haar rotations, every second one times the inversion."""
    elements = random_rotations(count, generator)
    elements[1::2] *= -1
    return elements


@dataclass(frozen=True)
class FeatureSymmetry(Symmetry):
    """O(3) on features of points: of a layer that looks at each point by itself.

    Inputs are standard normal (batch, irreps_in.dim), outputs (batch, irreps_out.dim), both in the layout of
    ``groups.Irreps``. Group elements are rotations and reflections in turn; ``elements`` replaces them, as by
    rotations for layers that commute with these alone.

    Raises: ValueError where the output has another size. Pinned by ``tests/testing/test_points.py``.
    """

    irreps_in: Irreps
    irreps_out: Irreps
    elements: Sequence[Tensor] | None = None
    refuses: tuple[str, ...] = ("wrong channels",)

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, self.irreps_in.dim, generator=generator, dtype=torch.float64)

    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for g in rotations_and_reflections(count, generator) if self.elements is None else self.elements:
            x = self.inputs(batch, generator)
            yield x, self.irreps_in.act(g, x), g

    def compare(self, output: Tensor, after: Tensor, g: Tensor) -> tuple[float, float]:
        difference = after - self.irreps_out.act(g, output)
        return float(difference.square().sum()), float(output.square().sum())


@dataclass(frozen=True)
class PointSymmetry(Symmetry):
    """O(3) and translations on positions and features together: of a map of clouds of a fixed number of points.

    Inputs are (batch, points, 3 + irreps_in.dim), the position before the features, both standard normal (``spread``
    scales positions); outputs (batch, any, irreps_out.dim), or (batch, irreps_out.dim) of whole clouds. ``PointMap``
    makes such a map of a layer that takes features, positions, and a graph. An element is a pair (g, t): positions go
    to g x + t, with |t| about ``shift``, and features by ``Irreps.act``. ``elements`` replaces the g, which are
    rotations and reflections in turn.

    Raises: ValueError where the output has another size. Pinned by ``tests/testing/test_points.py``.
    """

    irreps_in: Irreps
    irreps_out: Irreps
    points: int
    spread: float = 1.0
    shift: float = 3.0
    elements: Sequence[Tensor] | None = None
    refuses: tuple[str, ...] = ()

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        shape = (batch, self.points, 3 + self.irreps_in.dim)
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        return torch.cat([self.spread * x[..., :3], x[..., 3:]], -1)

    def pairs(
        self, count: int, batch: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]:
        for g in rotations_and_reflections(count, generator) if self.elements is None else self.elements:
            x = self.inputs(batch, generator)
            t = self.shift * torch.randn(3, generator=generator, dtype=torch.float64)
            positions, features = x[..., :3] @ g.T + t, self.irreps_in.act(g, x[..., 3:])
            yield x, torch.cat([positions, features], -1), (g, t)

    def compare(self, output: Tensor, after: Tensor, g: tuple[Tensor, Tensor]) -> tuple[float, float]:
        difference = after - self.irreps_out.act(g[0], output)
        return float(difference.square().sum()), float(output.square().sum())


class PointMap(nn.Module):
    """A map of features and positions as one of one tensor, for ``check_layer`` and ``commutation_error``.

        y_b = call(layer, features_b, positions_b)     for each cloud b

    Shapes: (batch, points, 3 + dim), the position before the features → the outputs of ``call`` stacked, which gets
    features (points, dim) and positions (points, 3), and knows the graph. Pinned by ``tests/testing/test_points.py``.
    """

    def __init__(self, layer: nn.Module, call: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.call(self.layer, cloud[:, 3:], cloud[:, :3]) for cloud in x])
