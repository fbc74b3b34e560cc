"""Random draws that are pure functions of a key, so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from armillary.data.config import DataConfig, Rotated
from armillary.data.motion import Motion
from armillary.data.spec import Split
from armillary.groups import random_rotation, rotation_about


def keyed_generator(stream: str, *key: int) -> np.random.Generator:
    """A generator determined by a stream's name and non-negative integers such as (seed, epoch, index)."""
    return np.random.default_rng([zlib.crc32(stream.encode()), *key])


def draw_rotation(kind: Rotated, generator: np.random.Generator) -> Tensor:
    """A rotation matrix (3, 3), float64: identity, uniform about the z-axis, or uniform on SO(3) (Haar)."""
    if kind == "none":
        return torch.eye(3, dtype=torch.float64)
    if kind == "z":
        return rotation_about("z", torch.tensor(generator.uniform(0, 2 * math.pi), dtype=torch.float64))
    if kind != "so3":
        raise ValueError(f"got rotation {kind!r}, wanted one of a sphere: none, z, so3.")
    return random_rotation(torch.Generator().manual_seed(int(generator.integers(1 << 63))))


def sample_rotation(augment: Rotated, fixed: Rotated, seed: int, split: str, epoch: int, index: int) -> Tensor:
    """The rotation of one sample: fresh in every epoch if ``augment`` turns, otherwise one fixed for the sample."""
    if split == "train" and augment != "none":
        return draw_rotation(augment, keyed_generator("augment", seed, epoch, index))
    return draw_rotation(fixed, keyed_generator(f"rotation-{split}", seed, index))


def draw_angle(kind: Rotated, generator: np.random.Generator) -> float:
    """An angle of the plane in radians: 0, uniform in [0, 2π) ("so2"), or a multiple of π/2 ("c4")."""
    turn = generator.random()
    if kind in ("none", "so2"):
        return 2 * math.pi * turn if kind == "so2" else 0.0
    if kind != "c4":
        raise ValueError(f"got rotation {kind!r}, wanted one of the plane: none, so2, c4.")
    return math.floor(4 * turn) * (math.pi / 2)


def sample_motion(config: DataConfig, split: Split, epoch: int, index: int, augmented: bool = True) -> Motion:
    """How one image is moved: an angle as ``sample_rotation`` has rotations; in training mirror and shift as well.

    All of a sample's draws are made whatever is asked for, so that one kind of augmentation does not change another.
    """
    fixed = config.rotated(split)
    if split != "train" or not augmented or config.augment == "none":
        angle = draw_angle(fixed, keyed_generator(f"angle-{split}", config.seed, index)) if fixed != "none" else 0.0
        if split != "train" or not augmented or not (config.augment_flip or config.augment_shift):
            return Motion(angle)
    fresh = keyed_generator("augment-image", config.seed, epoch, index)
    new_angle = draw_angle(config.augment, fresh)
    flip, right, up = fresh.random() < 0.5, fresh.random(), fresh.random()
    steps, reach = 2 * config.augment_shift + 1, config.augment_shift
    shift = (int(right * steps) - reach, int(up * steps) - reach)
    return Motion(angle if config.augment == "none" else new_angle, flip and config.augment_flip, *shift)
