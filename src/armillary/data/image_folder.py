"""A user's own images: one folder of pictures for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.data.images import COLOURS, GREY, ImageRecords, Share, read_image
from armillary.data.pictures import SUFFIXES
from armillary.data.spec import DataError, Split, known

_PARTS = ("train", "valid", "test")


class FolderImages(ImageRecords):
    """``path/CLASS/*.png`` (or .jpg, .tif, .webp, .bmp) of any sizes, or ``path/train/CLASS/…`` and beside it ``test/``
    and, if there is one, ``valid/``.

    Classes are the sub-folders by name (of ``train/``, where there is one). Names of images are CLASS/FILE.

    Raises: DataError for fewer than two classes, a class without pictures or one that ``train/`` has not, other bands
    than 1 or 3; and for a picture that cannot be read, when it is read; ``on_bad = "skip"`` reads all of them at once
    and leaves such out.
    """

    def __init__(self, path: Path, split: Split, bands: int, on_bad: str) -> None:
        if bands not in (1, 3):
            raise DataError(f"data.bands = {bands}: images in the plane are grey (1) or coloured (3).")
        if not path.is_dir():
            raise DataError(f"{path}: is a file, wanted a folder with one folder of pictures for each class.")
        self.bands, self.input_names = bands, GREY if bands == 1 else COLOURS
        folders = _folders(path)
        has_parts = "train" in folders and set(folders) <= set(_PARTS)
        part = split if split in folders else "train"
        if has_parts and split == "test" and "test" not in folders:
            raise DataError(f"{path}: has train/ and no test/: put test images there.")
        own = split == "test" or "valid" in folders
        self.share: Share = "all" if not has_parts else "none" if own else "train+valid"
        classes = _folders(path / "train") if has_parts else folders
        if len(classes) < 2:
            raise DataError(f"{path}: wanted one folder of pictures for each class, found {len(classes)}.")
        self.output_names = tuple(classes)
        root = path / part if has_parts else path
        self.files: list[Path] = []
        self.labels: list[int] = []
        for name, folder in _folders(root).items():
            if name not in classes:
                raise DataError(f"{folder}: {known('class', name, classes)} Classes are those of {path / 'train'}.")
            found = _pictures(folder)
            if not found:
                raise DataError(f"{folder}: no pictures ({', '.join(SUFFIXES)}).")
            self.files += found
            self.labels += [self.output_names.index(name)] * len(found)
        if on_bad == "skip":
            self._leave_out_bad(root)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return f"{self.files[index].parent.name}/{self.files[index].name}"

    def image(self, index: int) -> np.ndarray:
        return read_image(self.files[index], self.bands, str(self.files[index]))

    def label(self, index: int) -> int:
        return self.labels[index]

    def _leave_out_bad(self, root: Path) -> None:
        good, skipped = [], []
        for i in range(len(self)):
            try:
                self.image(i)
                good.append(i)
            except DataError as error:
                skipped.append((self.name(i), str(error)))
        if not good:
            raise DataError(f"{root}: none of the {len(self)} pictures can be read; the first: {skipped[0][1]}")
        self.files, self.labels = [self.files[i] for i in good], [self.labels[i] for i in good]
        self.skipped = tuple(skipped)


def _folders(path: Path) -> dict[str, Path]:
    return {p.name: p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith((".", "__"))}


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
    )


def listed_images(path: Path) -> list[Path]:
    """A picture, or the pictures of a folder in order. Raises: DataError for a folder without any."""
    found = [path] if path.is_file() else _pictures(path)
    if not found:
        raise DataError(f"{path}: no pictures ({', '.join(SUFFIXES)}).")
    return found
