"""Point clouds of the Princeton Shape Benchmark under the three protocols: as stored, turned about z, turned at will."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from armillary.groups import random_rotations, rotation_about
from armillary.recipes.homogeneous_points import Clouds

PROTOCOLS = ("none", "z", "SO(3)")


def drawn_rotations(protocol: str, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Rotations (count, 3, 3), float32: the identity, about z by any angle, or from the Haar measure.

    Raises: ValueError for an unknown protocol.
    """
    if protocol == "none":
        return torch.eye(3).expand(count, 3, 3)
    if protocol == "z":
        return rotation_about("z", 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)).float()
    if protocol == "SO(3)":
        return random_rotations(count, generator).float()
    raise ValueError(f"got protocol {protocol!r}, wanted one of {', '.join(PROTOCOLS)}.")


class TurnedClouds(Dataset[tuple[Tensor, Tensor]]):
    """Training clouds of ``points`` consecutive points of those stored, each shape as often as it has such parts, turned
    by the protocol: by another rotation at each access."""

    def __init__(self, clouds: Clouds, points: int, protocol: str) -> None:
        self.clouds, self.points, self.protocol = clouds, points, protocol
        self.parts = clouds.train.shape[1] // points

    def __len__(self) -> int:
        return len(self.clouds.train) * self.parts

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        shape, part = divmod(index, self.parts)
        cloud = self.clouds.train[shape, part * self.points : (part + 1) * self.points]
        return cloud @ drawn_rotations(self.protocol, 1)[0].T, self.clouds.train_labels[shape]


def turned_test(clouds: Clouds, points: int, protocol: str) -> TensorDataset:
    """The first ``points`` points of the test clouds, each turned by a rotation of its own, the same for all networks."""
    x = clouds.test[:, :points]
    rotations = drawn_rotations(protocol, len(x), torch.Generator().manual_seed(0))
    return TensorDataset(x @ rotations.mT, clouds.test_labels)
