"""Point clouds of the Princeton Shape Benchmark, as they are stored and turned at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from armillary.groups import random_rotations
from armillary.recipes.files import read_arrays

FILE = "psb_pointclouds.npz"


@dataclass(frozen=True)
class Clouds:
    """Points (shapes, all points, 3) within the unit ball and classes (shapes,), and the classes' names."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    names: tuple[str, ...]


def read_clouds(classes: int, points: int) -> Clouds:
    """The ``classes`` most frequent coarse classes of the training set, ``points`` of the points that are stored.

    Raises: ValueError where the file is not there; DataError where it is damaged or lacks an array.
    """
    splits = ("train", "test")
    names = [f"{what}_{split}" for what in ("coarse", "points_i16") for split in splits]
    arrays = read_arrays(FILE, [*names, "coarse_names"])
    kept = np.argsort(-np.bincount(arrays["coarse_train"]), kind="stable")[:classes]
    found = {}
    for split in splits:
        coarse = arrays[f"coarse_{split}"]
        rows = np.flatnonzero(np.isin(coarse, kept))
        clouds = arrays[f"points_i16_{split}"][rows, :points].astype(np.float32) / 32767
        number = np.array([int(np.flatnonzero(kept == c)[0]) for c in coarse[rows]])
        found[split] = torch.from_numpy(clouds), torch.from_numpy(number)
    return Clouds(*found["train"], *found["test"], tuple(str(name) for name in arrays["coarse_names"][kept]))


class DrawnClouds(Dataset[tuple[Tensor, Tensor]]):
    """Training clouds of ``points`` consecutive points of those stored, each shape as often as it has such parts; with
    ``turned`` by a random rotation, another at each access."""

    def __init__(self, clouds: Clouds, points: int, turned: bool) -> None:
        self.clouds, self.points, self.turned = clouds, points, turned
        self.parts = clouds.train.shape[1] // points

    def __len__(self) -> int:
        return len(self.clouds.train) * self.parts

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        shape, part = divmod(index, self.parts)
        cloud = self.clouds.train[shape, part * self.points : (part + 1) * self.points]
        if self.turned:
            cloud = cloud @ random_rotations(1)[0].float().T
        return cloud, self.clouds.train_labels[shape]


def judged_clouds(clouds: Clouds, points: int, turned: bool) -> TensorDataset:
    """The first ``points`` points of the test clouds, or the same, each turned by a random rotation of its own."""
    x = clouds.test[:, :points]
    if turned:
        x = x @ random_rotations(len(x), torch.Generator().manual_seed(0)).float().mT
    return TensorDataset(x, clouds.test_labels)


@torch.no_grad()
def changed_classes(network: nn.Module, before: TensorDataset, after: TensorDataset) -> float:
    """The share of clouds whose predicted class is another after the turn, in percent."""
    network.eval()
    first, second = (torch.cat([network(x).argmax(1) for x in data.tensors[0].split(50)]) for data in (before, after))
    return 100 * float((first != second).double().mean())
