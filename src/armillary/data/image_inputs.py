"""New images for a trained planar network, and the size that a source's own images have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.config import DataConfig
from armillary.data.image_dataset import ImageDataset, finished_image
from armillary.data.image_folder import listed_images
from armillary.data.image_sources import image_records
from armillary.data.images import channels_first, read_image
from armillary.data.motion import fitted
from armillary.data.spec import DataError, known
from armillary.spaces import ImageGrid


def image_grid(config: DataConfig) -> ImageGrid:
    """The size of the images of a source. Raises: DataError for a folder of pictures, which may have any sizes."""
    if config.source == "image_folder":
        raise DataError("pictures in a folder may have any sizes: state the one to train on, such as --grid image:64.")
    records, _ = image_records(config, "train")
    if not len(records):
        raise DataError(f"{config.path or config.source}: holds no images.")
    return ImageGrid(*records.image(0).shape[-2:])


def read_images(path: Path, config: DataConfig, grid: ImageGrid) -> tuple[Tensor, list[str]]:
    """The images of a file as a network trained with ``config`` wants them: (N, C, height, width) float32, N names.

    A picture of any size, a folder of pictures, or an npz with ``x``: (n, h, w), (n, h, w, C) or (n, C, h, w), uint8
    or floats in [0, 1]. Pictures are brought to the channels the network was trained on; arrays must have them.
    Raises: DataError naming what cannot be used.
    """
    if config.standardize and not config.input_mean:
        config = ImageDataset(config, grid, "train").config
    bands = 1 if config.source in ("digits", "mnist", "rotated_mnist") else 3
    bands = config.bands if config.source == "image_folder" else bands
    if path.suffix.lower() == ".npz":
        images = _array(path, config.max_gib)
        if len(images) and images.shape[1] != bands:
            raise DataError(f"{path}: x has {images.shape[1]} channels, the network was trained with {bands}.")
        found = [(f"{path.stem}[{i}]", image) for i, image in enumerate(images)]
    else:
        found = [(p.stem, read_image(p, bands, str(p))) for p in listed_images(path)]
    if not found:
        raise DataError(f"{path}: holds no samples.")
    x = torch.stack([finished_image(fitted(image, grid), config) for _, image in found])
    return x, [name for name, _ in found]


def _array(path: Path, max_gib: float) -> np.ndarray:
    with open_npz(path) as archive:
        if "x" not in array_names(archive):
            raise DataError(f"{path}: {known('array', 'x', array_names(archive))} x holds images, (n, h, w[, C]).")
        x = read_array(archive, "x", path, max_gib)
    if x.dtype.kind == "f":
        bad = ~((x >= 0) & (x <= 1))
        if bad.any():
            raise DataError(
                f"{path}: x has {int(bad.sum())} values that are NaN or outside [0, 1]: scale or fill them."
            )
        x = np.rint(x * 255).astype(np.uint8)
    return channels_first(x, f"{path}: x")
