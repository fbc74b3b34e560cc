"""Random draws that are pure functions of a key, so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from armillary.data.config import Rotated
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
    return random_rotation(torch.Generator().manual_seed(int(generator.integers(1 << 63))))


def sample_rotation(augment: Rotated, fixed: Rotated, seed: int, split: str, epoch: int, index: int) -> Tensor:
    """The rotation of one sample: fresh in every epoch if ``augment`` turns, otherwise one fixed for the sample."""
    if split == "train" and augment != "none":
        return draw_rotation(augment, keyed_generator("augment", seed, epoch, index))
    return draw_rotation(fixed, keyed_generator(f"rotation-{split}", seed, index))
