"""Images as files have them: decoded pixels, and the records of a planar data set."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np

from armillary.data.spec import DataError

#: The formats that are opened whatever a file is called; others have run programs to be decoded (EPS).
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
GREY, COLOURS = ("intensity",), ("red", "green", "blue")
#: Which splits choose from the same images.
Share = Literal["all", "train+valid", "none"]


class ImageRecords(ABC):
    """The images of one part of a source (train, or test) with their classes, before anything is moved."""

    output_names: tuple[str, ...]
    #: Channel names: ``GREY`` or ``COLOURS``.
    input_names: tuple[str, ...]
    #: (name, reason) of images left out because they could not be read and the user chose to skip such.
    skipped: tuple[tuple[str, str], ...] = ()
    #: Whether ``image`` costs nothing.
    in_memory = False

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What a person can find the image by."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """(C, h, w) uint8. Raises: DataError naming an image that cannot be read."""

    @abstractmethod
    def label(self, index: int) -> int:
        """The class, an index of ``output_names``."""

    def angle(self, index: int) -> float:
        """The angle in radians by which the source turns this image; ``image`` is the one not yet turned."""
        return 0.0


class ArrayImages(ImageRecords):
    """Images held in memory: (n, C, h, w) uint8 and labels (n,), named ``part[i]``; ``numbers`` are those i.

    Raises: DataError for shapes that do not belong together or labels that are no class.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        output_names: tuple[str, ...],
        part: str,
        numbers: np.ndarray | None = None,
        angles: np.ndarray | None = None,
    ) -> None:
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1] not in (1, 3):
            raise DataError(f"{part}: got images {images.shape} {images.dtype}, wanted (n, 1 or 3, h, w) uint8.")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise DataError(f"{part}: got labels {labels.shape} {labels.dtype} for {len(images)} images.")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(output_names):
            raise DataError(
                f"{part}: labels run from {labels.min()} to {labels.max()}, wanted 0 to {len(output_names) - 1}."
            )
        self.in_memory = True
        self.images, self.labels, self.output_names, self.part = images, labels, output_names, part
        self.numbers, self.angles = numbers, angles
        self.input_names = GREY if images.shape[1] == 1 else COLOURS

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"{self.part}[{index if self.numbers is None else int(self.numbers[index])}]"

    def image(self, index: int) -> np.ndarray:
        return self.images[index]

    def label(self, index: int) -> int:
        return int(self.labels[index])

    def angle(self, index: int) -> float:
        return 0.0 if self.angles is None else float(self.angles[index])


def read_image(source: Path | bytes, bands: int, name: str) -> np.ndarray:
    """A picture file, or its bytes, as (bands, h, w) uint8, upright as its EXIF tag says.

    One band is luminance, three are red, green and blue; grey pictures have equal ones. 16 bits are cut to 8.
    What is transparent is mixed with black, the value of everything outside an image.
    Raises: DataError naming a file that is no picture, is damaged, or is too large to be one.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as file:
            file.load()
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):
                wide = np.asarray(picture).astype(np.int64)
                picture = Image.fromarray((wide.clip(0, 65535) // 256).astype(np.uint8))
            elif picture.mode == "F":
                raise DataError(f"{name}: the picture holds floats of unknown range: save it with 8 or 16 bits.")
            if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
            pixels = np.asarray(picture.convert("L" if bands == 1 else "RGB"))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: {error} Scale the picture down.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{name}: the picture cannot be read ({error}); is the file complete?") from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def channels_first(images: np.ndarray, what: str) -> np.ndarray:
    """(n, h, w), (n, h, w, C) or (n, C, h, w) uint8, C 1 or 3, as (n, C, h, w). Raises: DataError for other arrays."""
    if images.dtype == np.uint8:
        if images.ndim == 3:
            return images[:, None]
        if images.ndim == 4 and images.shape[1] in (1, 3):
            return images
        if images.ndim == 4 and images.shape[3] in (1, 3):
            return np.moveaxis(images, -1, 1)
    raise DataError(
        f"{what} has shape {images.shape} ({images.dtype}), wanted images (n, h, w), (n, h, w, C) or (n, C, h, w) of "
        "uint8 with C = 1 or 3."
    )
