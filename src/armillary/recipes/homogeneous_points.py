"""Point clouds of the Princeton Shape Benchmark, as they are stored and turned at random."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from armillary.data.clouds import Clouds, load_psb, turned
from armillary.recipes.files import required_file

FILE = "psb_pointclouds.npz"


def read_clouds(classes: int, points: int) -> tuple[Clouds, Clouds]:
    """Training and test clouds of the ``classes`` most frequent coarse classes, ``points`` of the points that are
    stored.

    Raises: ValueError where the file is not there; DataError where it is damaged or lacks an array.
    """
    return load_psb(required_file(FILE), classes, points)


def judged_clouds(clouds: Clouds, points: int, turn: bool) -> TensorDataset:
    """The first ``points`` points of the clouds, or the same, each turned by a random rotation of its own."""
    judged = turned(clouds, "so3") if turn else clouds
    return TensorDataset(judged.points[:, :points], judged.labels)


@torch.no_grad()
def changed_classes(network: nn.Module, before: TensorDataset, after: TensorDataset) -> float:
    """The share of clouds whose predicted class is another after the turn, in percent."""
    network.eval()
    first, second = (torch.cat([network(x).argmax(1) for x in data.tensors[0].split(50)]) for data in (before, after))
    return 100 * float((first != second).double().mean())
