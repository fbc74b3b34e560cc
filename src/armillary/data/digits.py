"""scikit-learn's handwritten digits: 1797 pictures of 8 × 8, part of the package, no download; on the sphere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from armillary.data.config import DataConfig
from armillary.data.glyphs import DigitsOnSphere
from armillary.data.records import split_indices
from armillary.data.spec import Split
from armillary.spaces import SphereGrid


def open_digits(config: DataConfig, grid: SphereGrid, split: Split) -> DigitsOnSphere:
    """The built-in digits on the sphere; splits are by picture, so that no digit of the test was seen in
    training.

    Source: Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, as shipped by scikit-learn.
    """
    images, labels = load_digits()
    keep = split_indices(len(images), config, split)
    return DigitsOnSphere(images[keep], labels[keep], config, grid, split)


@lru_cache(maxsize=1)
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The pictures (1797, 8, 8), float32 in [0, 1], and their digits (1797,), int64; shared, not to be written to."""
    from sklearn import datasets

    digits = datasets.load_digits()
    return (digits.images / 16.0).astype(np.float32), digits.target.astype(np.int64)
