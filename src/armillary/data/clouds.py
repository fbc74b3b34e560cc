"""Clouds of points with classes, turned as the protocols for rotated clouds do: not, about one axis, or on SO(3)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from armillary.data.arrays import open_npz, read_array
from armillary.data.config import existing_path
from armillary.data.draws import keyed_generator
from armillary.data.spec import DataError
from armillary.groups import random_rotations, rotation_about
from armillary.ops.integers import checked_integer

Turns = Literal["none", "x", "y", "z", "so3"]
"""Rotations: none, by a uniform angle about one axis, or uniform on SO(3)."""


@dataclass(frozen=True)
class Clouds:
    """``points`` (n, points, 3) float32, ``labels`` (n,) int64, the ``names`` of the classes, and ``normals`` as
    ``points``, or None.

    Raises: DataError where shapes do not fit, points are not finite, or a label is no class.
    """

    points: Tensor
    labels: Tensor
    names: tuple[str, ...]
    normals: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.points.shape)
        if len(shape) != 3 or shape[2] != 3 or self.labels.shape != shape[:1]:
            raise DataError(
                f"clouds: got points {shape}, labels {tuple(self.labels.shape)}, wanted (n, points, 3), (n,)."
            )
        if self.normals is not None and tuple(self.normals.shape) != shape:
            raise DataError(f"clouds: got normals {tuple(self.normals.shape)}, wanted {shape}.")
        if not bool(self.points.isfinite().all()):
            raise DataError("clouds: points are not finite.")
        if len(self.labels) and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.names)):
            raise DataError(
                f"clouds: labels {self.labels.unique().tolist()} are not all among {len(self.names)} classes."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor | slice) -> Clouds:
        """Those clouds, in that order."""
        normals = None if self.normals is None else self.normals[indices]
        return Clouds(self.points[indices], self.labels[indices], self.names, normals)


def rotations(turns: Turns, count: int, generator: torch.Generator | None = None) -> Tensor:
    """``count`` independent rotations of a protocol, (count, 3, 3) float64. Raises: ValueError for another protocol."""
    if turns not in get_args(Turns):
        raise ValueError(f"got turns = {turns!r}, wanted one of {', '.join(get_args(Turns))}.")
    if turns == "none":
        return torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    if turns == "so3":
        return random_rotations(count, generator)
    return rotation_about(turns, 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64))


def turned(clouds: Clouds, turns: Turns, seed: int = 0) -> Clouds:
    """Each cloud, and its normals, turned by a rotation of its own that ``seed`` determines: a test set of a protocol.

    Source: the protocols none, z and SO(3) of Esteves et al. 2018 (arXiv 1711.06721); pinned by
    ``tests/data/test_clouds.py``.
    """
    R = rotations(turns, len(clouds), torch.Generator().manual_seed(seed)).to(clouds.points)
    normals = None if clouds.normals is None else clouds.normals @ R.mT
    return Clouds(clouds.points @ R.mT, clouds.labels, clouds.names, normals)


class DrawnClouds(Dataset[tuple[Tensor, Tensor]]):
    """Training clouds ``(points (size, 3), label)``: consecutive parts of ``size`` of the points that are stored, each
    cloud as often as it has such parts, turned by another rotation in every epoch.

    The rotation is a function of (seed, epoch, index): ``set_epoch`` chooses the epoch, as ``train.fit`` does.
    Raises: ValueError for another protocol, or a size larger than the clouds.
    Source: pinned by ``tests/data/test_clouds.py``.
    """

    def __init__(self, clouds: Clouds, size: int, turns: Turns = "none", seed: int = 0) -> None:
        checked_integer("size", size, 1, clouds.points.shape[1])
        rotations(turns, 0)
        self.clouds, self.size, self.turns, self.seed = clouds, size, turns, seed
        self.parts = clouds.points.shape[1] // size
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.clouds) * self.parts

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that rotations are drawn for."""
        self.epoch = int(epoch)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number, part = divmod(range(len(self))[index], self.parts)
        cloud = self.clouds.points[number, part * self.size : (part + 1) * self.size]
        if self.turns != "none":
            key = int(keyed_generator("cloud", self.seed, self.epoch, range(len(self))[index]).integers(1 << 63))
            cloud = cloud @ rotations(self.turns, 1, torch.Generator().manual_seed(key))[0].to(cloud).T
        return cloud, self.clouds.labels[number]


def load_psb(path: str | os.PathLike[str], classes: int, points: int, *, max_gib: float = 4.0) -> tuple[Clouds, Clouds]:
    """Training and test clouds of the ``classes`` most frequent coarse classes of the Princeton Shape Benchmark, of the
    first ``points`` points that are stored, in the unit ball.

    An npz with, for s in train and test, ``points_i16_s`` (n, points, 3), 32767 being 1, and ``coarse_s`` (n,), numbers
    of ``coarse_names``. Classes are numbered by their frequency in the training set.
    Raises: DataError where the file is damaged, lacks an array, they do not fit, or there are fewer classes or points.
    Source: Shilane et al. 2004; pinned by ``tests/data/test_clouds.py``.
    """
    found = existing_path(path)
    names = [f"{what}_{split}" for what in ("coarse", "points_i16") for split in ("train", "test")]
    with open_npz(found) as archive:
        arrays = {name: read_array(archive, name, found, max_gib) for name in [*names, "coarse_names"]}
    for name, array in arrays.items():
        sound = (
            array.dtype == np.int16 and array.ndim == 3 and array.shape[2] == 3 if "points" in name else array.ndim == 1
        )
        if not sound or ("coarse_t" in name and array.dtype.kind not in "iu"):
            raise DataError(
                f"{found}: {name} is {array.dtype} {array.shape}, wanted points (n, points, 3), labels (n,)."
            )
    for split in ("train", "test"):
        coarse = arrays[f"coarse_{split}"]
        if len(coarse) != len(arrays[f"points_i16_{split}"]) or not 0 <= coarse.min(initial=0) <= coarse.max(
            initial=0
        ) < len(arrays["coarse_names"]):
            raise DataError(f"{found}: coarse_{split} does not have a class of coarse_names for each cloud.")
        stored = arrays[f"points_i16_{split}"].shape[1]
        if not 1 <= checked_integer("points", points) <= stored:
            raise DataError(f"{found}: got points = {points}, the clouds of {split} have {stored}.")
    counts = np.bincount(arrays["coarse_train"].astype(np.int64))
    if not 1 <= checked_integer("classes", classes) <= np.count_nonzero(counts):
        raise DataError(f"{found}: got classes = {classes}, the training clouds have {np.count_nonzero(counts)}.")
    kept = np.argsort(-counts, kind="stable")[:classes]
    named = tuple(str(name) for name in arrays["coarse_names"][kept])
    splits = []
    for split in ("train", "test"):
        coarse = arrays[f"coarse_{split}"]
        rows = np.flatnonzero(np.isin(coarse, kept))
        x = arrays[f"points_i16_{split}"][rows, :points].astype(np.float32) / 32767
        number = np.array([int(np.flatnonzero(kept == c)[0]) for c in coarse[rows]], dtype=np.int64)
        splits.append(Clouds(torch.from_numpy(x), torch.from_numpy(number), named))
    return splits[0], splits[1]
