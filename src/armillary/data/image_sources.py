"""Where planar images come from: the records of each source."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from armillary.data.arrays import array_names, open_npz
from armillary.data.cifar import cifar10_images
from armillary.data.config import DataConfig
from armillary.data.digits import load_digits
from armillary.data.draws import keyed_generator
from armillary.data.glyphs import DIGIT_NAMES
from armillary.data.image_folder import FolderImages
from armillary.data.images import ArrayImages, ImageRecords, Share
from armillary.data.mnist import load_mnist
from armillary.data.spec import DataError, Split

ROTATED_TRAIN, ROTATED_TEST = 12000, 50000


def image_records(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    """The images a split is chosen from, and which splits share them: "none" has them to itself.

    Raises: DataError for files that are missing or damaged.
    """
    readers: dict[str, Callable[[DataConfig, Split], tuple[ImageRecords, Share]]] = {
        "digits": _digits,
        "mnist": _mnist,
        "rotated_mnist": _rotated_mnist,
        "cifar10": _cifar10,
        "image_folder": _folder,
    }
    return readers[config.source](config, split)


def _digits(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    images, labels = load_digits()
    return ArrayImages(np.rint(images * 255).astype(np.uint8)[:, None], labels, DIGIT_NAMES, "digits"), "all"


def _part(split: Split) -> str:
    return "test" if split == "test" else "train"


def _share(split: Split) -> Share:
    """Of a source with a test set of its own."""
    return "none" if split == "test" else "train+valid"


def _mnist(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    part = _part(split)
    images, labels = load_mnist(config.resolved_path(), part, config.max_gib)
    return ArrayImages(images[:, None], labels, DIGIT_NAMES, part), _share(split)


def _rotated_mnist(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    """Digits each turned by an angle uniform in [0, 2π), or those of an npz that has turned them already.

    Of MNIST's n training and m test digits, ``ROTATED_TRAIN`` chosen from the training digits are for training and
    validation; ``ROTATED_TEST`` (or as many as there are) chosen from all others are for testing. Choice and angles
    are functions of (``data.split_seed``, part, index) alone, by the bits of a generator whose stream is fixed.

    Source: Larochelle et al. 2007, An empirical evaluation of deep architectures, the set "rot": 12 000 and 50 000.
    """
    path, part = config.resolved_path(), _part(split)
    if path.is_file():
        with open_npz(path) as archive:
            turned = f"angle_deg_{part}" in array_names(archive)
        if turned:
            images, labels = load_mnist(path, part, config.max_gib)
            return ArrayImages(images[:, None], labels, DIGIT_NAMES, part), _share(split)
    (images, labels), (more, more_labels) = (load_mnist(path, p, config.max_gib) for p in ("train", "test"))
    if images.shape[1:] != more.shape[1:]:
        raise DataError(f"{path}: training images are {images.shape[1:]}, test images {more.shape[1:]}.")
    chosen = _shuffled("rotated-mnist-choice", config.split_seed, len(images))
    if part == "train":
        chosen = chosen[:ROTATED_TRAIN]
    else:
        rest = np.concatenate([chosen[ROTATED_TRAIN:], len(images) + np.arange(len(more))])
        chosen = rest[_shuffled("rotated-mnist-test", config.split_seed, len(rest))[:ROTATED_TEST]]
        images, labels = np.concatenate([images, more]), np.concatenate([labels, more_labels])
    angles = _bits(f"rotated-mnist-{part}", config.split_seed, len(chosen)) * (2 * math.pi / 2**64)
    return ArrayImages(images[chosen][:, None], labels[chosen], DIGIT_NAMES, "mnist", chosen, angles), _share(split)


def _bits(stream: str, seed: int, n: int) -> np.ndarray:
    """n numbers uniform on 0 .. 2⁶⁴ − 1: the raw output of the generator, which no version of numpy changes."""
    return keyed_generator(stream, seed).bit_generator.random_raw(n)


def _shuffled(stream: str, seed: int, n: int) -> np.ndarray:
    return np.argsort(_bits(stream, seed, n), kind="stable")


def _cifar10(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    path = config.resolved_path()
    if path.is_dir() and (path / "train").is_dir():
        return _folder(config, split)
    return cifar10_images(path, _part(split), config.on_bad, config.max_gib), _share(split)


def _folder(config: DataConfig, split: Split) -> tuple[ImageRecords, Share]:
    records = FolderImages(config.resolved_path(), split, config.bands, config.on_bad)
    return records, records.share
