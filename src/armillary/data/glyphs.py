"""Digits on the sphere: the data set shared by the built-in digits and MNIST."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from armillary.data.config import DataConfig
from armillary.data.draws import keyed_generator, sample_rotation
from armillary.data.projection import project_image
from armillary.data.spec import DataError, FieldDataset, FieldSpec, Split
from armillary.spaces import SphereGrid

DIGIT_NAMES = tuple(str(d) for d in range(10))
#: How far a digit is moved from its regular place, radians.
JITTER = 0.2


class DigitsOnSphere(FieldDataset):
    """Handwritten digits pasted on the sphere.

    Segmentation: ``digits_per_sphere`` digits along the equator, upright, with a jitter of their places; a
    point whose intensity exceeds ``stroke_threshold`` has the label 1 + digit, all else is background (0).
    Classification: one digit facing longitude π. Then the whole sphere is turned as ``rotated_<split>`` or
    ``augment`` says; both the picture and its labels are functions on the sphere read at R⁻¹x, so a turned
    sample is exact.

    Args: images (n, h, w) in [0, 1], labels (n,) in 0..9; all of them belong to this split.
    Yields: x float32 (1, nlat, nlon) in [0, 1]; y int64 (nlat, nlon) or ().
    Raises: DataError for a task without targets in this data, or digits that do not fit beside each other.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, config: DataConfig, grid: SphereGrid, split: Split
    ) -> None:
        if config.task == "regression":
            raise DataError(
                f'source "{config.source}" has no regression target: task is segmentation or classification.'
            )
        if len(images) == 0:
            raise DataError(f"the {split} split has no digits: raise its part of data.fractions {config.fractions}.")
        self.per_sphere = config.digits_per_sphere if config.task == "segmentation" else 1
        if self.per_sphere * config.digit_size > 2 * math.pi:
            raise DataError(
                f"{self.per_sphere} digits of {config.digit_size} rad overlap on the equator: "
                f"lower data.digit_size below {2 * math.pi / self.per_sphere:.2f} or data.digits_per_sphere."
            )
        names = ("background", *DIGIT_NAMES) if config.task == "segmentation" else DIGIT_NAMES
        super().__init__(FieldSpec(config.task, grid, ("intensity",), names, config.ignore))
        self.config, self.grid, self.split = config, grid, split
        pixel = config.digit_size / images.shape[-1]
        self.images = shrink(torch.from_numpy(images).float(), max(1, int(grid.ring_spacing / pixel)))
        self.labels = torch.from_numpy(labels).long()

    def __len__(self) -> int:
        return self.config.samples(self.split) or max(1, len(self.images) // self.per_sphere)

    def name(self, index: int) -> str:
        chosen = self._chosen(self._check_index(index))
        return f"{self.split}-{self._check_index(index)}-digits-{''.join(str(int(self.labels[i])) for i in chosen)}"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = self._check_index(index)
        config, grid = self.config, self.grid
        R = sample_rotation(config.augment, config.rotated(self.split), config.seed, self.split, self.epoch, index)
        chosen = self._chosen(index)
        layers = torch.cat(
            [
                project_image(self.images[i][None], grid, R, config.digit_size, center)
                for i, center in zip(chosen, self._centers(index), strict=True)
            ]
        )
        intensity, owner = layers.max(dim=0)
        x = intensity[None].clamp(0, 1)
        if config.task == "classification":
            return x, self.labels[chosen[0]].clone()
        digit = self.labels[torch.as_tensor(chosen)][owner]
        return x, torch.where(intensity > config.stroke_threshold, digit + 1, 0)

    @property
    def longitudes(self) -> Tensor:
        return torch.rad2deg(self.grid.longitudes)

    def denormalize(self, prediction: Tensor) -> Tensor:
        return prediction

    def _chosen(self, index: int) -> list[int]:
        if self.config.task == "classification":
            return [index % len(self.images)]
        draw = keyed_generator(f"choice-{self.split}", self.config.seed, index)
        return [int(i) for i in draw.integers(len(self.images), size=self.per_sphere)]

    def _centers(self, index: int) -> list[tuple[float, float]]:
        draw = keyed_generator(f"place-{self.split}", self.config.seed, index)
        pitch = 2 * math.pi / self.per_sphere
        reach = min(JITTER, (pitch - self.config.digit_size) / 2)
        return [
            (math.pi / 2 + draw.uniform(-JITTER, JITTER), (k + 0.5) * pitch + draw.uniform(-reach, reach))
            for k in range(self.per_sphere)
        ]


def shrink(images_nhw: Tensor, factor: int) -> Tensor:
    """Average blocks of pixels, so that a fine picture does not alias on a coarse grid: (n, h, w) -> (n, h/f, w/f)."""
    factor = min(factor, *images_nhw.shape[-2:])
    if factor <= 1:
        return images_nhw
    height, width = (-(-s // factor) for s in images_nhw.shape[-2:])
    return torch.nn.functional.adaptive_avg_pool2d(images_nhw[:, None], (height, width))[:, 0]
