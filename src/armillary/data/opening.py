"""From a config to a data set, and from a new file to inputs for prediction."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.climate import ClimateRecords
from armillary.data.config import PLANAR_SOURCES, SPHERE_ROTATIONS, DataConfig, existing_path
from armillary.data.digits import open_digits
from armillary.data.folder import FolderRecords
from armillary.data.image_dataset import ImageDataset
from armillary.data.image_inputs import read_images
from armillary.data.map_dataset import MapDataset, checked_inputs, finished_inputs, norm_missing
from armillary.data.maps import GlobalMap, global_map
from armillary.data.mnist import open_mnist
from armillary.data.normalization import with_normalization
from armillary.data.npz import NpzRecords
from armillary.data.pictures import SUFFIXES, read_picture
from armillary.data.records import Records, WithLatitude
from armillary.data.spec import SPLITS, DataError, FieldDataset, Grid, Split, known
from armillary.spaces import ImageGrid, SphereGrid


def open_dataset(config: DataConfig, grid: Grid, split: Split) -> FieldDataset:
    """The samples of one split on ``grid``: fields on the sphere, or for an ``ImageGrid`` images in the plane.

    Where ``config`` asks for standardisation and has no saved values, they are measured on the train split
    (whatever ``split`` is opened) and offered as ``dataset.normalization``; ``with_normalization(config,
    dataset.normalization)`` is the config to save with a run.

    Raises: DataError for anything wrong with the description or the data.
    """
    if split not in SPLITS:
        raise DataError(known("split", split, SPLITS))
    if isinstance(grid, ImageGrid):
        _check_source_in_plane(config)
        return ImageDataset(config, grid, split)
    _check_on_sphere(config)
    if config.source == "digits":
        return open_digits(config, grid, split)
    if config.source == "mnist":
        return open_mnist(config, grid, split)
    return MapDataset(_records(config.resolved_path(), config), config, grid, split)


def read_inputs(path: str | os.PathLike[str], config: DataConfig, grid: Grid) -> tuple[Tensor, list[str]]:
    """The inputs of one file as a network trained with ``config`` wants them: (N, C, *grid.shape) float32, N
    names.

    ``config`` should carry the saved normalisation; without it the values are measured again on the train
    split of ``config.path``. A picture is also read for a source of other kind if it has as many bands as
    there are inputs. For digits and mnist the file is a grey equirectangular picture, or an npz with ``x``
    of shape (N, h, w) or (N, 1, h, w), values in [0, 1] or uint8. For an ``ImageGrid`` it is a picture, a folder of
    pictures, or an npz with ``x``: images of any size.

    Raises: DataError naming the file and what is wrong with it.
    """
    where = existing_path(path)
    if isinstance(grid, ImageGrid):
        _check_source_in_plane(config)
        return read_images(where, config, grid)
    if config.source in ("digits", "mnist"):
        return _read_digit_spheres(where, config, grid)
    if norm_missing(config):
        config = _measured(config, grid)
    records: Records
    if where.is_file() and where.suffix.lower() in SUFFIXES and config.source != "folder":
        records = _picture_records(where, config)
    else:
        records = _records(where, config, with_targets=False)
        wanted = len(config.input_mean)
        if wanted and len(records.input_names) != wanted:
            raise DataError(
                f"{where}: has {len(records.input_names)} input channels {records.input_names}, "
                f"the network was trained with {wanted}."
            )
    if not len(records):
        raise DataError(f"{where}: holds no samples.")
    fields = [
        finished_inputs(checked_inputs(records, i, config), records.input_names, config, grid, None, records.name(i))
        for i in range(len(records))
    ]
    return torch.stack(fields), [records.name(i) for i in range(len(records))]


def _check_source_in_plane(config: DataConfig) -> None:
    planar = ("digits", "mnist", *PLANAR_SOURCES)
    if config.source not in planar:
        raise DataError(
            f'source "{config.source}" lies on a sphere; images in the plane come from {", ".join(planar)}.'
        )


def _check_on_sphere(config: DataConfig) -> None:
    if config.source in PLANAR_SOURCES:
        raise DataError(f'source "{config.source}" holds images in the plane: give it an ImageGrid (--grid image).')
    for name in ("rotated_train", "rotated_valid", "rotated_test", "augment"):
        kind = getattr(config, name)
        if kind not in SPHERE_ROTATIONS:
            raise DataError(f'data.{name} = "{kind}" turns images; spheres turn by {", ".join(SPHERE_ROTATIONS[1:])}.')
    if config.augment_flip or config.augment_shift:
        raise DataError("data.augment_flip and data.augment_shift are for images in the plane: leave them out.")


def _records(path: Path, config: DataConfig, with_targets: bool = True) -> Records:
    readers: dict[str, Callable[[Path, DataConfig, bool], Records]] = {
        "npz": NpzRecords,
        "folder": FolderRecords,
        "climate": ClimateRecords,
    }
    if config.source not in readers:
        raise DataError(f'source "{config.source}" is not read from maps.')
    records = readers[config.source](path, config, with_targets)
    return WithLatitude(records) if config.latitude_input else records


def _measured(config: DataConfig, grid: SphereGrid) -> DataConfig:
    if not config.path:
        raise DataError("the config has no saved normalisation (data.input_mean): use the config saved with the run.")
    train = MapDataset(_records(config.resolved_path(), config), config, grid, "train")
    return with_normalization(config, train.normalization)


class _OnePicture(Records):
    """One equirectangular picture given to a network that was trained on arrays."""

    output_names = ()

    def __init__(self, path: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
        self.path, self.values, self.input_names = path, values, names

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return self.path.stem

    def inputs(self, index: int) -> GlobalMap:
        return global_map(self.values, str(self.path))

    def target(self, index: int) -> GlobalMap | int:
        raise DataError(f"{self.path}: a picture given for prediction has no target.")


def _picture_records(path: Path, config: DataConfig) -> Records:
    if len(config.inputs) != 1:
        raise DataError(f"{path}: a picture cannot fill the inputs {config.inputs}; give a file with these names.")
    bands = len(config.input_mean) - config.latitude_input if config.input_mean else config.bands
    name = config.inputs[0]
    names = (name,) if bands == 1 else tuple(f"{name}[{i}]" for i in range(bands))
    picture = _OnePicture(path, read_picture(path, bands), names)
    return WithLatitude(picture) if config.latitude_input else picture


def _read_digit_spheres(path: Path, config: DataConfig, grid: SphereGrid) -> tuple[Tensor, list[str]]:
    if path.suffix.lower() == ".npz":
        with open_npz(path) as archive:
            if "x" not in array_names(archive):
                raise DataError(f"{path}: {known('array', 'x', array_names(archive))} x is (N, h, w), on the sphere.")
            x = read_array(archive, "x", path, config.max_gib)
        if x.ndim == 4 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 3 or abs(x.shape[2] - 2 * x.shape[1]) > 2 or x.dtype.kind not in "fiu":
            raise DataError(f"{path}: x has shape {x.shape} ({x.dtype}), wanted spheres (N, h, 2h), not flat digits.")
        values = x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
        names = [f"{path.stem}[{i}]" for i in range(len(x))]
    else:
        values, names = read_picture(path, 1), [path.stem]
    if not len(values):
        raise DataError(f"{path}: holds no samples.")
    bad = ~np.isfinite(values)
    if bad.any():
        k = int(bad.any(axis=(1, 2)).argmax())
        raise DataError(f"{names[k]}: intensity has {int(bad[k].sum())} NaN or infinite values: fill them.")
    colatitudes = grid.colatitudes.numpy() if values.shape[-2:] == grid.shape else None
    maps = (global_map(v[None], str(path)) if colatitudes is None else GlobalMap(v[None], colatitudes) for v in values)
    return torch.stack([m.on_grid(grid) for m in maps]), names
