"""Everything needed to open a data set, in one flat table of plain values (``[data]`` in a TOML file)."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from armillary.data.spec import DataError, Split, Task, known

Source = Literal["digits", "mnist", "npz", "folder", "climate", "rotated_mnist", "cifar10", "image_folder"]
#: Rotations of a sphere: about its axis, or any. Of an image: by any angle, or by multiples of a quarter turn.
Rotated = Literal["none", "z", "so3", "so2", "c4"]
SPHERE_ROTATIONS: tuple[Rotated, ...] = ("none", "z", "so3")
PLANAR_ROTATIONS: tuple[Rotated, ...] = ("none", "so2", "c4")
#: Sources that are images in the plane and nothing else; digits and mnist are so where the grid is an ImageGrid.
PLANAR_SOURCES: tuple[Source, ...] = ("rotated_mnist", "cifar10", "image_folder")
_NOT_SET = cast(Task, "")


@dataclass(frozen=True)
class DataConfig:
    """How to open a data set. All values are str, int, float, bool or tuples of them; empty means "not set".

    Angles of digits are radians; longitudes are degrees, as files have them. docs/data.md describes each
    field.

    Raises: DataError for a value outside the known ones, and (``from_dict``) for an unknown field.
    """

    source: Source = "digits"
    path: str = ""  # file or folder; ~ and $VARIABLES are expanded
    task: Task = _NOT_SET  # segmentation, or classification for sources that have nothing else

    # What is read (npz: arrays, climate: variables, folder: sub-folders).
    inputs: tuple[str, ...] = ()  # "name", "name[2]", "name[1:3]" or "name[label]"
    targets: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()  # axes of each input: HW HWC CHW NHW NHWC NCHW; one entry serves all
    target_layout: str = ""
    lat: str = "lat"  # arrays of latitude and longitude in degrees, used where they exist
    lon: str = "lon"
    channel_names_from: str = ""  # array that names the channels of a multi-channel array
    sample_names_from: str = "names"  # array that names the samples, used where it exists
    class_names: tuple[str, ...] = ()
    class_names_from: str = ""  # array that names the classes
    target_map: str = ""  # array that maps raw labels to classes
    ignore: int = 255  # label that is not scored
    label_resampling: Literal["nearest", "majority"] = "nearest"
    missing: tuple[float, ...] = ()  # values of a regression target that mean "no data"
    target_scale: float = 1.0  # regression targets are multiplied by this (16-bit depth to metres)
    image_dir: str = "images"
    target_dir: str = ""  # default: labels (segmentation) or depth (regression)
    bands: int = 3
    latitude_input: bool = False  # one more input, sin² of the latitude of the map: it turns with the globe
    lead: int = 0  # climate: the target is this many time steps later
    time: str = "time"

    # Values.
    log_inputs: tuple[str, ...] = ()  # inputs replaced by log(1 + x)
    log_target: bool = False
    standardize: bool = True  # inputs to mean 0, deviation 1 over the train split (not for digits on the sphere)
    standardize_target: bool = False
    input_mean: tuple[float, ...] = ()  # filled from the train split; saved with a run
    input_std: tuple[float, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    nan_inputs: Literal["error", "mean"] = "error"
    on_bad: Literal["stop", "skip"] = "stop"

    # Splits.
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    split_by: Literal["auto", "random", "order"] = "auto"  # auto: order for climate, random for the others
    split_seed: int = 0
    train_indices: tuple[int, ...] = ()
    valid_indices: tuple[int, ...] = ()
    test_indices: tuple[int, ...] = ()
    holdout_lon: tuple[float, ...] = ()  # west, east[, west, east …]: scored in valid (and test), unseen in train
    test_lon: tuple[float, ...] = ()  # bands for test where they differ from those of valid

    # Rotations and draws.
    rotated_train: Rotated = "none"  # one fixed rotation for each sample
    rotated_valid: Rotated = "none"
    rotated_test: Rotated = "none"
    augment: Rotated = "none"  # a fresh rotation of each train sample in every epoch
    augment_flip: bool = False  # images: each train sample is mirrored, left to right, in half of the epochs
    augment_shift: int = 0  # images: shifted by up to so many pixels each way (a crop of the padded image)
    samples_train: int = 0  # samples in an epoch; 0: every record once
    samples_valid: int = 0
    samples_test: int = 0
    seed: int = 0

    # Digits.
    digits_per_sphere: int = 4  # segmentation; classification has one
    digit_size: float = 1.0  # radians spanned by the side of a digit's image
    stroke_threshold: float = 0.4  # intensity from which a point belongs to the stroke

    # Limits.
    cache_mb: int = 512  # decoded samples kept in memory
    max_gib: float = 16.0  # largest array that is read from a file

    def __post_init__(self) -> None:
        if not self.task:
            only_images = self.source in PLANAR_SOURCES
            object.__setattr__(self, "task", "classification" if only_images else "segmentation")
        for name, hint in _hints().items():
            value = getattr(self, name)
            if get_origin(hint) is tuple:
                value = _as_tuple(name, value, get_args(hint)[0])
                object.__setattr__(self, name, value)
            elif get_origin(hint) is Literal:
                if value not in get_args(hint):
                    raise DataError(f"data.{name}: {known('value', value, get_args(hint))}")
            else:
                object.__setattr__(self, name, _as_scalar(name, value, hint))
        self._check_ranges()

    def _check_ranges(self) -> None:
        if len(self.fractions) != 3 or min(self.fractions) < 0 or not 0 < sum(self.fractions) <= 1 + 1e-9:
            raise DataError(
                f"data.fractions: got {self.fractions}, wanted three parts (train, valid, test) >= 0 of sum at most 1."
            )
        for name in ("holdout_lon", "test_lon"):
            if len(getattr(self, name)) % 2:
                raise DataError(f"data.{name}: got {getattr(self, name)}, wanted pairs of west, east in degrees.")
        if self.test_lon and not self.holdout_lon:
            raise DataError("data.test_lon is set without data.holdout_lon: name the bands of the valid split too.")
        if not 0 < self.digit_size < 2 * math.pi:
            raise DataError(f"data.digit_size: got {self.digit_size}, wanted radians in (0, 2π).")
        for name, least in (
            ("digits_per_sphere", 1),
            ("bands", 1),
            ("lead", 0),
            ("cache_mb", 0),
            ("augment_shift", 0),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise DataError(f"data.{name}: got {getattr(self, name)}, wanted an integer >= {least}.")
        for name in ("samples_train", "samples_valid", "samples_test", "split_seed"):
            if getattr(self, name) < 0:
                raise DataError(f"data.{name}: got {getattr(self, name)}, wanted an integer >= 0.")

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> DataConfig:
        """From a parsed TOML or JSON table; lists become tuples. Raises: DataError naming an unknown field."""
        for key in table:
            if key not in _hints():
                raise DataError(known("data field", key, _hints()))
        return cls(**table)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML or JSON; ``from_dict`` is the inverse."""
        return dataclasses.asdict(self)

    def rotated(self, split: Split) -> Rotated:
        """How the samples of a split are turned."""
        return {"train": self.rotated_train, "valid": self.rotated_valid, "test": self.rotated_test}[split]

    def samples(self, split: Split) -> int:
        """Samples asked for in an epoch of a split; 0 means every record once."""
        return {"train": self.samples_train, "valid": self.samples_valid, "test": self.samples_test}[split]

    def resolved_path(self) -> Path:
        """``path`` with ~ and environment variables filled in. Raises: DataError if unset or not there."""
        if not self.path:
            raise DataError(f'data.path is not set: source = "{self.source}" reads a file or folder.')
        return existing_path(self.path)


def existing_path(path: str | os.PathLike[str]) -> Path:
    """A path with ~ and $VARIABLES expanded. Raises: DataError for an unset variable or a path that is not there."""
    text = os.path.expanduser(os.path.expandvars(os.fspath(path)))
    unset = re.search(r"\$\{?(\w+)\}?", text)
    if unset and not os.path.exists(text):
        raise DataError(f"{path}: the environment variable {unset.group(1)} is not set: export it or write the path.")
    if not os.path.exists(text):
        raise DataError(f"{path}: no such file or folder" + (f" (read as {text})." if text != str(path) else "."))
    return Path(text)


def _hints() -> dict[str, Any]:
    return {k: v for k, v in get_type_hints(DataConfig).items() if not k.startswith("_")}


def _as_tuple(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise DataError(f"data.{name}: got {value!r}, wanted a list, such as [{value!r}].")
    return tuple(_as_scalar(name, v, kind) for v in value)


def _as_scalar(name: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"data.{name}: got {value!r}, wanted a {kind.__name__}.")
    return value
