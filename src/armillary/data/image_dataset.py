"""Images as a planar data set: fitted to a grid, turned, mirrored, shifted, standardised."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from armillary.data import normalization as norm
from armillary.data.config import PLANAR_ROTATIONS, DataConfig
from armillary.data.draws import sample_motion
from armillary.data.image_sources import image_records
from armillary.data.images import ImageRecords, Share
from armillary.data.motion import Motion, fitted, moved
from armillary.data.records import split_indices
from armillary.data.spec import DataError, FieldDataset, FieldSpec, Split
from armillary.spaces import ImageGrid


class ImageDataset(FieldDataset):
    """Classified images on ``grid``, (C, height, width) float32 and int64 ().

    An image of another size is scaled by one factor and its centre cropped (``motion.fitted``). Then it is moved once,
    by all that is asked for together (``motion.moved``): the angle of the source (rotated MNIST), ``rotated_<split>``
    or ``augment``, ``augment_flip`` and ``augment_shift``. Outside an image there is 0. At the end channels in [0, 1]
    are standardised over the train split.

    Raises: DataError for wishes that only maps of a sphere can fulfil, an empty split, and images as the source says.
    """

    def __init__(self, config: DataConfig, grid: ImageGrid, split: Split) -> None:
        check_planar(config, grid)
        self.records, share = image_records(config, split)
        super().__init__(FieldSpec("classification", grid, self.records.input_names, self.records.output_names))
        self.split, self.grid = split, grid
        self.skipped = self.records.skipped
        if self.skipped:
            first = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            warnings.warn(f"{len(self.skipped)} samples skipped ({first})", stacklevel=2)
        self.indices = _indices(self.records, share, config, split)
        self._held: dict[int, np.ndarray] = {}
        self._held_bytes = 0
        self.config = config
        if config.standardize and not config.input_mean:
            train = self if split == "train" else ImageDataset(_plain(config), grid, "train")
            self.config = norm.with_normalization(config, train._measure())
        if config.standardize:
            self.normalization = {k: getattr(self.config, k) for k in ("input_mean", "input_std")}

    def __len__(self) -> int:
        return self.config.samples(self.split) or len(self.indices)

    def name(self, index: int) -> str:
        index = self._check_index(index)
        name = self.records.name(self.record(index))
        return name if index < len(self.indices) else f"{name}#{index // len(self.indices)}"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = self._check_index(index)
        c = self.config
        motion = sample_motion(c, self.split, self.epoch, index)
        return self._moved(self.record(index), motion), torch.tensor(self.records.label(self.record(index)))

    def turned(self, index: int, angle: float) -> Tensor:
        """Sample ``index`` as it is without augmentation, turned by a further ``angle`` (radians, counter-clockwise).

        Like every sample it is interpolated once at most; a quarter turn of a square image moves the sample's pixels.
        """
        record = self.record(index)
        fixed = sample_motion(self.config, self.split, self.epoch, self._check_index(index), augmented=False)
        if (turn := Motion(angle)).is_exact(self.grid.shape):
            return self._moved(record, fixed, after=turn)
        return self._moved(record, Motion(fixed.angle + angle))

    def check(self) -> None:
        for record in self.indices:
            self._fitted(int(record))

    @property
    def longitudes(self) -> Tensor:
        return torch.empty(0, dtype=torch.float64)

    def denormalize(self, prediction: Tensor) -> Tensor:
        return prediction

    def record(self, index: int) -> int:
        """Which of ``records`` a sample is made of."""
        return int(self.indices[self._check_index(index) % len(self.indices)])

    def _moved(self, record: int, motion: Motion, after: Motion | None = None) -> Tensor:
        angle = motion.angle + self.records.angle(record)
        image = moved(self._fitted(record), Motion(angle, motion.flip, motion.right, motion.up))
        return finished_image(image if after is None else moved(image, after), self.config)

    def _fitted(self, record: int) -> np.ndarray:
        """The image on the grid as uint8, kept as far as the user allows memory."""
        if record in self._held:
            return self._held[record]
        image = self.records.image(record)
        on_grid = fitted(image, self.grid)
        costly = on_grid is not image or not self.records.in_memory
        if costly and self._held_bytes + on_grid.nbytes <= self.config.cache_mb * 1e6:
            self._held[record] = on_grid
            self._held_bytes += on_grid.nbytes
        return on_grid

    def _measure(self) -> dict[str, tuple[float, ...]]:
        """Means and deviations of each channel in [0, 1] over this split before it is moved; 1 for a constant."""
        counts = np.zeros((len(self.spec.input_names), 256))
        for index in self.indices:
            for channel, values in enumerate(self._fitted(int(index))):
                counts[channel] += np.bincount(values.reshape(-1), minlength=256)
        value, share = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
        mean = share @ value
        std = np.sqrt(np.einsum("cv,cv->c", share, (value - mean[:, None]) ** 2))
        return {"input_mean": tuple(mean.tolist()), "input_std": tuple(np.where(std > 0, std, 1.0).tolist())}


def finished_image(image_CHW: np.ndarray, config: DataConfig) -> Tensor:
    """uint8 to [0, 1], standardised if the config says so: (C, H, W) float32."""
    x = torch.from_numpy(image_CHW.astype(np.float32, order="C")) / 255
    return norm.standardized(x, config.input_mean, config.input_std) if config.standardize else x


def check_planar(config: DataConfig, grid: ImageGrid) -> None:
    """Raise a DataError for settings that have no meaning for images in the plane."""
    if config.task != "classification":
        raise DataError(f'images of "{config.source}" have a class: got task = "{config.task}", set classification.')
    for name in ("rotated_train", "rotated_valid", "rotated_test", "augment"):
        kind = getattr(config, name)
        if kind not in PLANAR_ROTATIONS:
            raise DataError(
                f'data.{name} = "{kind}" turns the sphere; images turn by {", ".join(PLANAR_ROTATIONS[1:])}.'
            )
        if kind == "c4" and grid.height != grid.width:
            raise DataError(f'data.{name} = "c4": quarter turns want square images, these are {grid.shape}.')
    for name in ("holdout_lon", "test_lon", "latitude_input", "log_inputs"):
        if getattr(config, name):
            raise DataError(f"data.{name} is for maps of a sphere: leave it out for images in the plane.")
    if config.augment_shift >= min(grid.shape):
        raise DataError(f"data.augment_shift = {config.augment_shift}: shifts images {grid.shape} out of sight.")


def _plain(config: DataConfig) -> DataConfig:
    return DataConfig.from_dict({**config.to_dict(), "standardize": False})


def _indices(records: ImageRecords, share: Share, config: DataConfig, split: Split) -> np.ndarray:
    if share != "none":
        return split_indices(len(records), config, split, own_test=share == "train+valid")
    if not len(records):
        raise DataError(f"the {split} split holds no images.")
    return np.arange(len(records))
