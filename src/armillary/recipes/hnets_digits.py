"""Turned handwritten digits, and images turned by any angle without leaving the band of their pixels."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from armillary.data.arrays import open_npz, read_array
from armillary.spaces import ImageGrid

FILE = "mnist_rotated_derived.npz"
SIZE = 28
_MAX_GIB = 1.0


def rotated_digits(split: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """Turned digits as images (n, 28, 28) uint8 and labels (n,) int64.

    From ``mnist_rotated_derived.npz`` in the folder that ``ARMILLARY_DATA`` names; where it is absent, the 1797 digits
    of scikit-learn, a quarter of them for the test, each turned once by a random angle. Raises: DataError for a damaged
    file.
    """
    path = Path(os.environ.get("ARMILLARY_DATA", "")) / FILE
    if not path.is_file():
        return _small_digits(split)
    with open_npz(path) as file:
        images, labels = (read_array(file, f"{name}_{split}", path, _MAX_GIB) for name in ("x", "y"))
    return images, labels.astype(np.int64)


def source() -> str:
    """Which of the two ``rotated_digits`` reads, in words."""
    found = (Path(os.environ.get("ARMILLARY_DATA", "")) / FILE).is_file()
    return f"{FILE} (MNIST digits, each turned once)" if found else "scikit-learn's digits, turned"


@lru_cache(maxsize=2)
def _small_digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(0)
    order, angles = rng.permutation(len(digits.images)), rng.uniform(0, 2 * math.pi, len(digits.images))
    cut = len(order) // 4
    keep = order[:cut] if split == "test" else order[cut:]
    images = turned(torch.from_numpy(digits.images[keep] * (255 / 16)), torch.from_numpy(angles[keep]), SIZE)
    return images.round().clamp(0, 255).to(torch.uint8).numpy(), digits.target[keep].astype(np.int64)


def turned(images: Tensor, angles: Tensor, size: int) -> Tensor:
    """Images turned counter-clockwise about their middle, on ``size`` × ``size`` pixels.

    An image stands for the one function that has its values at the pixels, is zero at the pixels of the rest of the
    plane and has no frequency above Nyquist, ``f(p) = Σ_q f_q sinc(p_x - q_x) sinc(p_y - q_y)``; it is evaluated at the
    turned points, so that nothing but sampling happens. Where ``size`` is the side of the image the scale is kept;
    otherwise the picture is stretched so that √2 times its side, the room its corners need, fills the output.

    Shapes: images (n, s, s), angles (n,) in radians → (n, size, size) float64. Raises: ValueError for other shapes.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2] or angles.shape != images.shape[:1]:
        raise ValueError(
            f"got images {tuple(images.shape)} and angles {tuple(angles.shape)}, wanted (n, s, s) and (n,)."
        )
    side = images.shape[1]
    scale = 1.0 if size == side else side * 2**0.5 / size
    points = scale * ImageGrid(size, size).points
    x, y = points.unbind(-1)
    cos, sin = torch.cos(angles.double())[:, None, None], torch.sin(angles.double())[:, None, None]
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    columns = torch.sinc((cos * x + sin * y)[..., None] - places)
    rows = torch.sinc((cos * y - sin * x)[..., None] + places)
    return torch.einsum("nhvi,nij,nhvj->nhv", rows, images.double(), columns)
