"""Turning, mirroring and shifting images: exact where pixels fall on pixels, one stated interpolation elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from armillary.ops.cubic import keys_weights
from armillary.spaces import ImageGrid

#: Angles this close to a multiple of π/2 (radians) count as one.
_NEAR = 1e-9


@dataclass(frozen=True)
class Motion:
    """A motion of the plane: p ↦ R(angle) F p + (right, up), F the mirror x ↦ −x where ``flip``, the origin mid-image.

    ``angle``: radians, counter-clockwise. ``right``, ``up``: whole pixels.
    """

    angle: float = 0.0
    flip: bool = False
    right: int = 0
    up: int = 0

    def quarters(self) -> int | None:
        """The number of quarter turns, 0 to 3, or None where the angle is no multiple of π/2."""
        k = round(self.angle / (math.pi / 2))
        return k % 4 if abs(self.angle - k * math.pi / 2) < _NEAR else None

    def is_exact(self, shape: tuple[int, int]) -> bool:
        """Whether every pixel of an image of this shape comes from one pixel."""
        quarters = self.quarters()
        return quarters is not None and (quarters % 2 == 0 or shape[0] == shape[1])


def moved(image_CHW: np.ndarray, motion: Motion) -> np.ndarray:
    """The image f moved by ``motion`` g: ``(g f)(p) = f(g⁻¹ p)``, (C, H, W) uint8 to the same.

    Quarter turns of square images, half turns, mirrors and shifts move pixels and are exact. Any other angle reads
    f by Keys' cubic convolution (a = −½, 4 × 4 pixels, third order), once, whatever the motion is made of; the result
    is clipped and rounded to whole numbers, as a file of turned images would hold it, so that it is the same on
    every machine. Outside the image f is 0.

    Source: Keys 1981, Cubic convolution interpolation; tests/data/test_motion.py compares with the sum over all pixels.
    """
    if motion.is_exact(image_CHW.shape[-2:]):
        mirrored = image_CHW[..., ::-1] if motion.flip else image_CHW
        return _shifted(np.rot90(mirrored, motion.quarters() or 0, axes=(-2, -1)), motion.right, motion.up)
    height, width = image_CHW.shape[-2:]
    points = _points(height, width) - np.array([motion.right, motion.up], dtype=np.float64)
    cos, sin = math.cos(motion.angle), math.sin(motion.angle)
    x = cos * points[..., 0] + sin * points[..., 1]
    y = cos * points[..., 1] - sin * points[..., 0]
    if motion.flip:
        x = -x
    return _cubic(image_CHW, (height - 1) / 2 - y, x + (width - 1) / 2)


def _cubic(image_CHW: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The image between its pixels, at (rows, columns) of any one shape S: (C, *S) uint8."""
    channels, height, width = image_CHW.shape
    framed = np.zeros((channels, height + 2, width + 2))
    framed[:, 1:-1, 1:-1] = image_CHW
    flat = framed.reshape(channels, -1)
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    row_weights, column_weights = keys_weights(rows - top), keys_weights(columns - left)
    starts = [np.clip(top + i, 0, height + 1) * (width + 2) for i in range(4)]
    offsets = [np.clip(left + j, 0, width + 1) for j in range(4)]
    total = np.zeros((channels, *rows.shape))
    for start, row_weight in zip(starts, row_weights, strict=True):
        for offset, column_weight in zip(offsets, column_weights, strict=True):
            total += np.take(flat, start + offset, axis=1) * (row_weight * column_weight)
    return np.rint(np.clip(total, 0, 255)).astype(np.uint8)


def _shifted(image: np.ndarray, right: int, up: int) -> np.ndarray:
    """Moved by whole pixels, 0 where nothing comes from."""
    height, width = image.shape[-2:]
    moved = np.zeros_like(image)
    if abs(right) < width and abs(up) < height:
        rows, columns = _overlap(-up, height), _overlap(right, width)
        moved[..., rows[0], columns[0]] = image[..., rows[1], columns[1]]
    return moved


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where to write and where to read along one axis."""
    return slice(max(0, shift), size + min(0, shift)), slice(max(0, -shift), size + min(0, -shift))


@lru_cache(maxsize=8)
def _points(height: int, width: int) -> np.ndarray:
    return ImageGrid(height, width).points.numpy()


def fitted(image_CHW: np.ndarray, grid: ImageGrid) -> np.ndarray:
    """An image of any size on ``grid``: scaled by one factor along both axes until it covers the grid, centre cropped.

    Scaling is linear interpolation, widened by the factor where the image shrinks (so that it does not alias); the
    result is rounded to whole numbers. An image of the grid's own size passes unchanged. (C, h, w) uint8 to (C, *grid).
    """
    height, width = image_CHW.shape[-2:]
    if (height, width) == grid.shape:
        return image_CHW
    factor = max(grid.height / height, grid.width / width)
    rows, columns = _scaling(height, grid.height, factor), _scaling(width, grid.width, factor)
    return np.rint(rows @ image_CHW.astype(np.float64) @ columns.T).astype(np.uint8)


@lru_cache(maxsize=64)
def _scaling(size: int, wanted: int, factor: float) -> np.ndarray:
    """Weights (wanted, size) of the pixels of a row for each pixel of the row scaled about its middle."""
    centres = (np.arange(wanted) - (wanted - 1) / 2) / factor + (size - 1) / 2
    distance = np.abs(np.arange(size) - centres[:, None].clip(0, size - 1)) * min(factor, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)
