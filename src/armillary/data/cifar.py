"""CIFAR-10 from the official binary files, or from an npz of arrays or JPEG strings; nothing is unpickled."""

from __future__ import annotations

import tarfile
import zlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.images import ArrayImages, channels_first, read_image
from armillary.data.spec import DataError

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
_FOLDERS = ("cifar-10-batches-bin", ".")


@lru_cache(maxsize=2)
def cifar10_images(path: Path, part: str, on_bad: str, max_gib: float) -> ArrayImages:
    """The training or the test images of CIFAR-10, held in memory.

    ``path``: the folder of the binary version (``data_batch_1.bin`` … ``test_batch.bin``) or its ``.tar.gz``, which is
    read where it lies; or an npz with ``x_train`` (n, 32, 32, 3) uint8, or with JPEG strings one after the other,
    image i = ``jpeg_train[offset_train[i]:offset_train[i + 1]]``; with ``y_train``, and the same for test.

    Raises: DataError for missing or damaged files, for the python version of the set, which is pickled, and for an
    image that cannot be decoded unless ``on_bad`` is "skip".
    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images (binary format).
    """
    if path.is_dir():
        return _decoded([_file_of(path, name) for name in _FILES[part]], part)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        return _decoded(_members(path, _FILES[part]), part)
    return _from_npz(path, part, on_bad, max_gib)


def _file_of(folder: Path, name: str) -> tuple[str, bytes]:
    for inner in _FOLDERS:
        path = folder / inner / name
        if path.is_file():
            if path.stat().st_size > 100_000 * _RECORD:
                raise DataError(
                    f"{path}: holds {path.stat().st_size} bytes, a batch of CIFAR-10 has {10_000 * _RECORD}."
                )
            return str(path), path.read_bytes()
    pickled = [
        p for inner in (".", "cifar-10-batches-py") if (p := folder / inner / name.removesuffix(".bin")).is_file()
    ]
    if pickled:
        raise DataError(
            f"{pickled[0]}: is the python version of CIFAR-10, which is pickled and never loaded: take the binary "
            "version, cifar-10-binary.tar.gz."
        )
    raise DataError(
        f"{folder}: {name} is missing: wanted the binary version of CIFAR-10 (data_batch_1.bin … test_batch.bin), or "
        "train/ and test/ with one folder of pictures for each class."
    )


def _members(path: Path, names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """The named files of an archive, read one by one; nothing is written to disk and no other member is looked at."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if not member.isfile() or name not in names or name in found:
                    continue
                if member.size > 100_000 * _RECORD:
                    raise DataError(f"{path}: {name} holds {member.size} bytes, wanted {10_000 * _RECORD}.")
                content = archive.extractfile(member)
                found[name] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: the archive cannot be read ({error}); is it complete?") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path}: holds no {missing[0]}: wanted the binary version, cifar-10-binary.tar.gz (the python version is "
            "pickled and never loaded)."
        )
    return [(f"{path}: {name}", found[name]) for name in names]


def _decoded(files: list[tuple[str, bytes]], part: str) -> ArrayImages:
    """Records of 3073 bytes: the class, then the red, green and blue planes of 32 × 32, row by row."""
    images, labels = [], []
    for name, content in files:
        if not content or len(content) % _RECORD:
            raise DataError(
                f"{name}: holds {len(content)} bytes, wanted a multiple of {_RECORD} (a class and 3 × 32 × 32); "
                "is it complete?"
            )
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)
        if records[:, 0].max() > 9:
            raise DataError(f"{name}: has the class {records[:, 0].max()}, wanted 0 to 9: not a batch of CIFAR-10.")
        labels.append(records[:, 0])
        images.append(records[:, 1:].reshape(-1, *SIZE))
    return ArrayImages(np.concatenate(images), np.concatenate(labels), CIFAR10_NAMES, part)


def _from_npz(path: Path, part: str, on_bad: str, max_gib: float) -> ArrayImages:
    with open_npz(path) as archive:
        there = array_names(archive)
        read = {n: read_array(archive, n, path, max_gib) for n in _wanted(there, part) if n in there}
        labels = read_array(archive, f"y_{part}", path, max_gib)
        names: tuple[str, ...] = CIFAR10_NAMES
        if "class_names" in there:
            names = tuple(str(n) for n in read_array(archive, "class_names", path, max_gib))
            if len(names) != 10:
                raise DataError(f"{path}: class_names holds {len(names)} names, CIFAR-10 has 10 classes.")
    if f"x_{part}" in read:
        images = channels_first(read[f"x_{part}"], f"{path}: x_{part}")
        if images.shape[1:] != SIZE:
            raise DataError(f"{path}: x_{part} has images of {images.shape[1:]}, CIFAR-10 has {SIZE}.")
        return ArrayImages(images, labels, names, part)
    if len(read) < 2:
        raise DataError(f"{path}: wanted x_{part}, or jpeg_{part} and offset_{part}; it holds {', '.join(there)}.")
    return _jpegs(path, read[f"jpeg_{part}"], read[f"offset_{part}"], labels, names, part, on_bad)


def _wanted(there: list[str], part: str) -> tuple[str, ...]:
    return (f"x_{part}",) if f"x_{part}" in there else (f"jpeg_{part}", f"offset_{part}")


def _jpegs(
    path: Path,
    content: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    part: str,
    on_bad: str,
) -> ArrayImages:
    if content.ndim != 1 or content.dtype != np.uint8 or offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise DataError(
            f"{path}: jpeg_{part} is {content.shape} {content.dtype}, offset_{part} {offsets.shape} {offsets.dtype}; "
            "wanted bytes (m,) uint8 and integers (n + 1,)."
        )
    starts = offsets.astype(np.int64)
    if len(starts) < 2 or starts[0] < 0 or (np.diff(starts) < 0).any() or starts[-1] > len(content):
        raise DataError(f"{path}: offset_{part} does not cut jpeg_{part} of {len(content)} bytes into ascending parts.")
    if labels.shape != (len(starts) - 1,):
        raise DataError(f"{path}: y_{part} has shape {labels.shape}, offset_{part} tells of {len(starts) - 1} images.")
    images, good, skipped = [], [], []
    for i, (start, end) in enumerate(pairwise(starts)):
        name = f"{part}[{i}]"
        try:
            image = read_image(content[start:end].tobytes(), 3, f"{path}: {name}")
            if image.shape != SIZE:
                raise DataError(f"{path}: {name} is {image.shape}, CIFAR-10 has {SIZE}.")
        except DataError as error:
            if on_bad != "skip":
                raise
            skipped.append((name, str(error)))
            continue
        images.append(image)
        good.append(i)
    if not good:
        raise DataError(f"{path}: none of the {len(labels)} images can be read; the first: {skipped[0][1]}")
    records = ArrayImages(np.stack(images), labels[good], names, part, np.array(good))
    records.skipped = tuple(skipped)
    return records
