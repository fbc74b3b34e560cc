"""MNIST, from the four idx files (gzipped or not) or from an npz; and on the sphere."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np

from armillary.data.arrays import open_npz, read_array
from armillary.data.config import DataConfig
from armillary.data.glyphs import DigitsOnSphere
from armillary.data.records import split_indices
from armillary.data.spec import DataError, Split
from armillary.spaces import SphereGrid

_IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def open_mnist(config: DataConfig, grid: SphereGrid, split: Split) -> DigitsOnSphere:
    """MNIST on the sphere: test is MNIST's own test set; valid is cut from its train set by
    ``data.fractions``.

    ``path``: a folder with the idx files, or an npz with x_train, y_train, x_test, y_test.
    Raises: DataError naming a missing or malformed file.
    Source: LeCun, Cortes & Burges, the MNIST database (idx format).
    """
    path = config.resolved_path()
    if split == "test":
        images, labels = load_mnist(path, "test", config.max_gib)
    else:
        images, labels = load_mnist(path, "train", config.max_gib)
        keep = split_indices(len(images), config, split, own_test=True)
        images, labels = images[keep], labels[keep]
    return DigitsOnSphere(images.astype(np.float32) / 255, labels.astype(np.int64), config, grid, split)


@lru_cache(maxsize=2)
def load_mnist(path: Path, part: str, max_gib: float) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, h, w) and labels (n,), uint8, of ``part`` "train" or "test"; shared, not to be written to.

    Raises: DataError as ``open_mnist``.
    """
    names = (f"x_{part}", f"y_{part}")
    if path.is_dir():
        images, labels = (read_idx(_find(path, _IDX_NAMES[n])) for n in names)
    else:
        with open_npz(path) as file:
            images, labels = (read_array(file, n, path, max_gib) for n in names)
    if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: got images {images.shape} {images.dtype} and labels {labels.shape}, "
            "wanted (n, h, w) uint8 and (n,)."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        raise DataError(f"{path}: labels run from {labels.min()} to {labels.max()}, wanted 0 to 9.")
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder}: {name} (or {name}.gz) is missing; it is one of MNIST's four files.")


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of unsigned bytes. Raises: DataError if it is not one, or shorter or longer than it says."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            magic = file.read(4)
            if len(magic) != 4 or magic[:3] != b"\0\0\x08":
                raise DataError(f"{path}: not an idx file of unsigned bytes (starts with {magic!r}).")
            shape = tuple(int(n) for n in np.frombuffer(file.read(4 * magic[3]), dtype=">u4"))
            size = int(np.prod(shape, dtype=np.int64))
            if len(shape) != magic[3] or size > 1 << 31:
                raise DataError(f"{path}: the idx header gives the shape {shape}, which is not MNIST's.")
            data = file.read(size + 1)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({error}); is the file complete?") from error
    if len(data) != size:
        raise DataError(f"{path}: holds {len(data)} bytes or more, its header {shape} wants {size}; is it complete?")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
