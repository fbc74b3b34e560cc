"""Planar data sets as recipes want them: read by ``armillary.data``, a part of each split, held in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from torch.utils.data import TensorDataset

from armillary.data import DataConfig, FieldDataset, open_dataset, with_normalization
from armillary.recipes.files import data_file, required_file
from armillary.spaces import ImageGrid

#: A sixth of the training images validates, as in the set "rot": 10 000 and 2 000.
FRACTIONS = (5 / 6, 1 / 6, 0.0)
MNIST, CIFAR10 = "mnist.npz", "cifar10_jpeg_subset.npz"


@dataclass(frozen=True)
class Counts:
    """How many images of each split a recipe asks for; it gets as many as there are."""

    train: int
    valid: int
    test: int


@dataclass(frozen=True)
class Splits:
    """Images (n, C, H, W) float32 with their labels (n,) int64; ``source`` says which in words."""

    train: TensorDataset
    valid: TensorDataset
    test: TensorDataset
    source: str

    def __str__(self) -> str:
        counts = f"{len(self.train)} for training, {len(self.valid)} for validation, {len(self.test)} for the test"
        return f"{self.source}: {counts}"


def rotated_digits(counts: Counts, console: Console | None = None, standardize: bool = True) -> Splits:
    """Rotated MNIST, 28×28 (``source = "rotated_mnist"``), from ``mnist.npz`` in ``$ARMILLARY_DATA``.

    Where there is no such file: scikit-learn's 1797 digits of 8×8 pixels, scaled up and each turned once.
    Without ``standardize`` values lie in [0, 1], and the background is 0.
    """
    grid, path = ImageGrid(28, 28), data_file(MNIST)
    if path is None:
        config = DataConfig(
            source="digits",
            task="classification",
            rotated_train="so2",
            rotated_valid="so2",
            rotated_test="so2",
            standardize=standardize,
        )
        return _splits(config, grid, counts, "scikit-learn's digits, turned", console)
    config = DataConfig(source="rotated_mnist", path=str(path), fractions=FRACTIONS, standardize=standardize)
    return _splits(config, grid, counts, "MNIST digits, each turned once", console)


def photographs(counts: Counts, console: Console | None = None) -> Splits:
    """CIFAR-10, 32×32, from ``cifar10_jpeg_subset.npz`` in ``$ARMILLARY_DATA``. Raises: ValueError where it is not."""
    config = DataConfig(source="cifar10", path=str(required_file(CIFAR10)), fractions=FRACTIONS)
    return _splits(config, ImageGrid(32, 32), counts, "photographs of CIFAR-10, stored as JPEG", console)


def _splits(config: DataConfig, grid: ImageGrid, counts: Counts, source: str, console: Console | None) -> Splits:
    train = open_dataset(config, grid, "train")
    config = with_normalization(config, train.normalization)
    valid, test = open_dataset(config, grid, "valid"), open_dataset(config, grid, "test")
    return Splits(
        held(train, counts.train, console), held(valid, counts.valid, console), held(test, counts.test, console), source
    )


def held(data: FieldDataset, count: int, console: Console | None = None) -> TensorDataset:
    """The first ``count`` samples, or all if there are fewer, as tensors; a bar on ``console`` shows the reading."""
    indices = range(min(count, len(data)))
    shown = track(indices, "reading images", console=console, transient=True, disable=console is None)
    inputs, labels = zip(*(data[i] for i in shown), strict=True)
    return TensorDataset(torch.stack(inputs), torch.stack(labels))
