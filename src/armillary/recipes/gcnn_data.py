"""The two data sets of the G-CNN recipe, from ``.npz`` files in the folder that ``ARMILLARY_DATA`` names."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

ROTATED_MNIST = "mnist_rotated_derived.npz"
CIFAR10 = "cifar10_jpeg_subset.npz"


@dataclass(frozen=True)
class Splits:
    """Images (n, C, H, W), channels of mean 0 and variance 1 over the training images, and labels."""

    train: TensorDataset
    valid: TensorDataset
    test: TensorDataset


def data_path(name: str) -> Path:
    """Where a data set lies. Raises: ValueError where ``ARMILLARY_DATA`` is not set or has no such file."""
    folder = os.environ.get("ARMILLARY_DATA", "")
    path = Path(folder) / name
    if not folder or not path.is_file():
        raise ValueError(
            f"the recipe gcnn reads {name}, and there is none in ARMILLARY_DATA ({folder or 'not set'}): set it to the "
            f"folder that holds the file."
        )
    return path


def rotated_mnist(samples: int, tests: int) -> Splits:
    """Digits turned by any angle, 28×28: ``samples`` for training, of which a sixth validates, and ``tests``."""
    with np.load(data_path(ROTATED_MNIST), allow_pickle=False) as arrays:
        images = [torch.as_tensor(arrays[f"x_{split}"])[:, None].float() for split in ("train", "test")]
        labels = [torch.as_tensor(arrays[f"y_{split}"]).long() for split in ("train", "test")]
    return _splits(images, labels, samples, tests)


def cifar10(samples: int, tests: int) -> Splits:
    """Photographs of ten classes, 32×32: ``samples`` for training, of which a sixth validates, and ``tests``."""
    images, labels = [], []
    with np.load(data_path(CIFAR10), allow_pickle=False) as arrays:
        for split, count in (("train", samples), ("test", tests)):
            bytes_, offsets = arrays[f"jpeg_{split}"], arrays[f"offset_{split}"]
            count = min(count, len(offsets) - 1)
            pictures = [
                np.asarray(Image.open(io.BytesIO(bytes_[offsets[i] : offsets[i + 1]].tobytes()))) for i in range(count)
            ]
            images.append(torch.as_tensor(np.stack(pictures)).permute(0, 3, 1, 2).float())
            labels.append(torch.as_tensor(arrays[f"y_{split}"][:count]).long())
    return _splits(images, labels, samples, tests)


def _splits(images: list[Tensor], labels: list[Tensor], samples: int, tests: int) -> Splits:
    samples, tests = min(samples, len(labels[0])), min(tests, len(labels[1]))
    cut = samples - samples // 6
    mean, std = images[0][:cut].mean((0, 2, 3), keepdim=True), images[0][:cut].std((0, 2, 3), keepdim=True)
    x_train, x_test = ((x - mean) / std for x in images)
    return Splits(
        TensorDataset(x_train[:cut], labels[0][:cut]),
        TensorDataset(x_train[cut:samples], labels[0][cut:samples]),
        TensorDataset(x_test[:tests], labels[1][:tests]),
    )
