"""Arrays in .npz and .npy files that are not trusted: nothing is unpickled, sizes are looked at before reading."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from armillary.data.spec import DataError, known

_BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive of arrays. Raises: DataError if it is none, or is damaged."""
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise DataError(f"{path}: not a readable .npz file ({error}); is it complete?") from error
    with archive:
        yield archive


def array_names(archive: zipfile.ZipFile) -> list[str]:
    """Names of the arrays in an archive."""
    return [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]


def array_shape(
    archive: zipfile.ZipFile, name: str, path: Path, max_gib: float
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type from the header. Raises: DataError for an unknown name, objects, or a size over the limit."""
    names = array_names(archive)
    if name not in names:
        raise DataError(f"{path}: {known('array', name, names)}")
    try:
        with archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    except _BROKEN as error:
        raise DataError(f"{path}: array {name!r} cannot be read ({error}).") from error
    if dtype.hasobject:
        raise DataError(f"{path}: array {name!r} holds pickled objects, which are never loaded: save plain numbers.")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
    if size > max_gib * 2**30:
        raise DataError(
            f"{path}: array {name!r} of shape {shape} takes {size / 2**30:.1f} GiB, over data.max_gib = {max_gib:g}."
        )
    return shape, dtype


def read_array(archive: zipfile.ZipFile, name: str, path: Path, max_gib: float) -> np.ndarray:
    """Read one array. Raises: DataError as ``array_shape``, and for damaged data."""
    array_shape(archive, name, path, max_gib)
    try:
        with archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _BROKEN as error:
        raise DataError(f"{path}: array {name!r} is damaged ({error}); is the file complete?") from error


def parse_selector(text: str) -> tuple[str, str]:
    """'x[1:3]' -> ('x', '1:3'); 'x' -> ('x', '')."""
    match = re.fullmatch(r"\s*([^\[\]]+?)\s*(?:\[\s*([^\[\]]+?)\s*\])?\s*", text)
    if not match:
        raise DataError(f"{text!r}: wanted a name, or a name and channels such as x[2], x[1:3] or x[label].")
    return match.group(1), match.group(2) or ""


def select_channels(selector: str, labels: Sequence[str], what: str) -> list[int]:
    """Channels named by '', a label, an index or a slice. Raises: DataError listing the labels."""
    n = len(labels)
    if not selector:
        return list(range(n))
    if selector in labels:
        return [labels.index(selector)]
    parts = selector.split(":")
    try:
        numbers = [int(p) if p.strip() else None for p in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None and -n <= numbers[0] < n:
        return [numbers[0] % n]
    chosen = list(range(n))[slice(*numbers)] if 2 <= len(numbers) <= 3 and 0 not in numbers[2:] else []
    if not chosen:
        raise DataError(f"{what}: {known('channel', selector, labels)}")
    return chosen


LAYOUTS = ("HW", "HWC", "CHW", "NHW", "NHWC", "NCHW")


def resolve_layout(
    shape: tuple[int, ...], what: str, stated: str, size: tuple[int, int] | None, batched: bool | None
) -> str:
    """The axes of an array, by explicit rules.

    ``stated`` wins. Otherwise two neighbouring axes are the map if they equal ``size`` (latitudes, longitudes), or
    else if the second is twice the first (less 2 to plus 1, for poles and closed circles) of at least 4. What is left
    is C after the map; in a 4-D array N before it; in a 3-D array the axis before the map is N if ``batched``, C if
    not, and must be stated where that is not known (None).
    Raises: DataError naming the array, its shape and the layouts.
    """
    fix = f"set data.layout (or target_layout) to one of {', '.join(LAYOUTS)}"
    if stated:
        if stated not in LAYOUTS:
            raise DataError(f"data.layout: {known('layout', stated, LAYOUTS)}")
        if len(stated) != len(shape):
            raise DataError(f"{what} has shape {shape}, the layout {stated} wants {len(stated)} axes.")
        return stated

    def is_map(h: int, w: int) -> bool:
        return h >= 4 and -2 <= w - 2 * h <= 1

    if len(shape) == 2:
        return "HW"
    options = {3: ("HWC", "?HW"), 4: ("NHWC", "NCHW")}.get(len(shape), ())
    fits = [o for o in options if (shape[o.index("H")], shape[o.index("W")]) == size]
    fits = fits or [o for o in options if is_map(shape[o.index("H")], shape[o.index("W")])]
    if len(fits) != 1:
        why = "more than one pair of axes" if fits else "no pair of axes"
        like = f"{size[0]} × {size[1]}, or " if size else ""
        raise DataError(f"{what} has shape {shape}: {why} looks like a map ({like}twice as wide as high); {fix}.")
    if fits[0] == "?HW":
        if batched is None:
            raise DataError(f"{what} has shape {shape}: its first axis may be samples or channels; {fix}.")
        return "NHW" if batched else "CHW"
    return fits[0]


def to_channels_first(array: np.ndarray, layout: str) -> np.ndarray:
    """Any layout to (C, h, w), or (N, C, h, w) where it has an N."""
    order = [layout.index(axis) for axis in "NCHW" if axis in layout]
    array = array.transpose(order)
    return array if "C" in layout else np.expand_dims(array, -3)
