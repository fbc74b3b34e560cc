"""What every data set yields: fields on a grid with a target, and the error a user can act on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import Dataset

from armillary.spaces import ImageGrid, SphereGrid

Task = Literal["segmentation", "classification", "regression"]
Split = Literal["train", "valid", "test"]
Grid = SphereGrid | ImageGrid
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class DataError(ValueError):
    """The data or its description is not usable; the message says what came, what was wanted and how to fix it."""


@dataclass(frozen=True)
class FieldSpec:
    """What a data set yields.

    ``input_names`` has one name for each input channel. ``output_names`` has one for each class
    (segmentation, classification) or for each output channel (regression). Segmentation labels equal to
    ``ignore_index`` are not scored; a NaN in a regression target is not scored.
    """

    task: Task
    grid: Grid
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    ignore_index: int = 255


class FieldDataset(Dataset[tuple[Tensor, Tensor]], ABC):
    """Pairs (x, y) of fields on ``spec.grid``.

    x: float32 (C, *grid.shape). y: int64 grid.shape for segmentation, int64 () for classification, float32
    (C_out, *grid.shape) for regression. Images in the plane are classified only.

    Every random draw is a pure function of (seed, epoch, index): after a resume, ``set_epoch(e)`` gives the
    samples that an uninterrupted run would have seen.
    """

    def __init__(self, spec: FieldSpec, normalization: dict[str, tuple[float, ...]] | None = None) -> None:
        self.spec = spec
        #: Means and standard deviations, JSON-able: what ``with_normalization(config, …)`` puts into a config.
        self.normalization: dict[str, tuple[float, ...]] = dict(normalization or {})
        #: (name, reason) of samples that were left out because the user asked to skip bad ones.
        self.skipped: tuple[tuple[str, str], ...] = ()
        self.epoch = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """A name a person can find the sample by: file, array index, or time."""

    @property
    @abstractmethod
    def longitudes(self) -> Tensor:
        """Longitude of each grid column in degrees as the source counts them, (nlon,): for axes of pictures.

        Empty for images in the plane.
        """

    @abstractmethod
    def denormalize(self, prediction: Tensor) -> Tensor:
        """Bring a regression prediction (..., C_out, nlat, nlon) back to the units of the source."""

    def check(self) -> None:
        """Read what the source holds for this split once, so that bad samples show before hours of training.

        Raises: DataError as ``__getitem__`` would. Nothing to do for sources that are checked when opened.
        """
        return

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random augmentation is drawn for."""
        self.epoch = int(epoch)

    def _check_index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"got sample {index}, this data set has {len(self)}.")
        return index % len(self)


def known(kind: str, got: Any, names: Any) -> str:
    """'unknown KIND got; known: a, b, c', with the nearest name first suggested."""
    import difflib

    names = [str(n) for n in names]
    close = difflib.get_close_matches(str(got), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {got!r}; known: {', '.join(names) if names else '(none)'}.{hint}"
