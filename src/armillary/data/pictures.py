"""Equirectangular pictures and depth images as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.data.spec import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
_BANDS = {"L": 1, "I;16": 1, "I": 1, "F": 1, "RGB": 3, "RGBA": 4}


def read_picture(path: Path, bands: int) -> np.ndarray:
    """A picture as float32 (bands, h, w) in [0, 1]; 8 and 16 bits are scaled by their range.

    Raises: DataError for an unreadable or truncated file, another number of bands, or one that is not 2 : 1.
    """
    pixels, mode = _decode(path)
    got = _BANDS.get(mode)
    if got != bands:
        raise DataError(
            f"{path}: the picture has {got or 'no plain'} bands (mode {mode}), wanted {bands}: "
            f"convert it, or set data.bands = {got or 3}."
        )
    scale = {"uint8": 255.0, "uint16": 65535.0, "int32": 65535.0}.get(str(pixels.dtype), 1.0)
    return channels_first(pixels, path).astype(np.float32) / np.float32(scale)


def read_index_picture(path: Path) -> np.ndarray:
    """Labels (1, h, w) as integers: a palette or grey picture, or .npy. Raises: DataError, also for colour pictures."""
    pixels, mode = _decode(path, palette=True)
    if pixels.ndim != 2 or pixels.dtype.kind not in "iub":
        raise DataError(
            f"{path}: got mode {mode}, shape {pixels.shape}; labels want an index or grey picture of integers."
        )
    return channels_first(pixels, path)


def read_value_picture(path: Path) -> np.ndarray:
    """Regression values (C, h, w) in the file's own numbers: a 16-bit or float picture, or .npy (h, w[, C])."""
    pixels, _ = _decode(path)
    if pixels.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds {pixels.dtype}, wanted real numbers.")
    return channels_first(pixels, path).astype(np.float32)


def channels_first(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(h, w) or (h, w, C) to (C, h, w). Raises: DataError if it is not twice as wide as high."""
    if pixels.ndim not in (2, 3) or pixels.shape[1] != 2 * pixels.shape[0]:
        raise DataError(f"{path}: has shape {pixels.shape}; an equirectangular picture is twice as wide as high.")
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _decode(path: Path, palette: bool = False) -> tuple[np.ndarray, str]:
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False), "npy"
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); is the file complete?") from error
    from PIL import Image

    try:
        with Image.open(path) as file:
            file.load()
            picture = file.convert("L") if file.mode == "1" else file
            if picture.mode == "P" and not palette:
                return np.empty((0, 0)), "P"
            return np.asarray(picture), "I;16" if picture.mode.startswith("I;16") else picture.mode
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error} Scale the picture down.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{path}: the picture cannot be read ({error}); is the file complete?") from error
