"""Records: what a reader of files offers, before anything is put on a grid; and which of them a split has."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from armillary.data.config import DataConfig
from armillary.data.maps import GlobalMap
from armillary.data.spec import DataError, Split
from armillary.data.splits import split_ends

LATITUDE_NAME = "sin2_latitude"


class Records(ABC):
    """Samples as the source holds them.

    A reader checks names, shapes and files; resampling, splits, rotations and normalisation belong to
    ``MapDataset``.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]  # empty where the targets are not read
    #: (name, reason) of samples left out because they could not be read and the user chose to skip such.
    skipped: tuple[tuple[str, str], ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What a person can find the sample by."""

    @abstractmethod
    def inputs(self, index: int) -> GlobalMap:
        """Channels as float32, (C, h, w); uint8 values and pictures scaled to [0, 1]."""

    @abstractmethod
    def target(self, index: int) -> GlobalMap | int:
        """Labels (1, h, w) as int64, regression channels as float32, or a class."""


class WithLatitude(Records):
    """Records with one more input: sin²(latitude) = cos²θ of the map's own rows, 0 on the equator, 1 at the poles.

    A field like any other: where the map is turned it turns along, so an equivariant network stays so and yet knows
    how far from the equator of the globe it is, which the shape of things around does not tell.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self.input_names = (*records.input_names, LATITUDE_NAME)
        self.output_names, self.skipped = records.output_names, records.skipped

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        return self.records.name(index)

    def inputs(self, index: int) -> GlobalMap:
        found = self.records.inputs(index)
        height, width = found.values.shape[-2:]
        channel = np.broadcast_to(np.cos(found.colatitudes).astype(np.float32)[:, None] ** 2, (1, height, width))
        return GlobalMap(np.concatenate([found.values, channel]), found.colatitudes, found.left)

    def target(self, index: int) -> GlobalMap | int:
        return self.records.target(index)


def split_indices(n: int, config: DataConfig, split: Split, own_test: bool = False) -> np.ndarray:
    """The records of a split, ascending: index lists if given, otherwise ``fractions`` of a shuffle (or in
    order).

    ``own_test``: the source has its own test set, so that all n records are shared between train and valid
    in the ratio of their fractions. Raises: DataError for a wrong index or an empty split.
    """
    if n == 0:
        raise DataError("the data set holds no samples: its files have an axis of samples of length 0.")
    listed = {"train": config.train_indices, "valid": config.valid_indices, "test": config.test_indices}
    if any(listed.values()):
        chosen = np.array(listed[split], dtype=np.int64)
        wrong = chosen[(chosen < 0) | (chosen >= n)]
        if len(wrong):
            raise DataError(f"data.{split}_indices: {wrong.tolist()} are not among the {n} records (0 to {n - 1}).")
        for other, indices in listed.items():
            if other != split and (split == "train" or other == "train") and set(indices) & set(listed[split]):
                raise DataError(
                    f"data.{split}_indices and data.{other}_indices share records: no test would be honest."
                )
    else:
        train, valid, test = config.fractions
        if own_test:
            train, valid, test = train / (train + valid), valid / (train + valid), 0.0
        ends = split_ends(n, (train, valid, test))
        in_order = config.split_by == "order" or (config.split_by == "auto" and config.source == "climate")
        order = np.arange(n) if in_order else np.random.default_rng(config.split_seed).permutation(n)
        k = {"train": 0, "valid": 1, "test": 2}[split]
        chosen = np.sort(order[ends[k] : ends[k + 1]])
    if len(chosen) == 0:
        fix = "set data.holdout_lon to keep a band of longitudes for validation" if n < 3 else "raise its part"
        raise DataError(f"the {split} split of {n} records is empty (data.fractions = {config.fractions}): {fix}.")
    return chosen
