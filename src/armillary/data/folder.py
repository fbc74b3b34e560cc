"""Records from a folder of equirectangular pictures with labels, depth or classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.data.config import DataConfig
from armillary.data.labels import check_labels
from armillary.data.maps import GlobalMap, global_map
from armillary.data.pictures import SUFFIXES, read_index_picture, read_picture, read_value_picture
from armillary.data.records import Records
from armillary.data.spec import DataError

COLOURS = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


class FolderRecords(Records):
    """``images/`` and beside it ``labels/`` (index pictures) or ``depth/`` (16-bit pictures, .npy), matched
    by stem.

    Classification has one sub-folder of ``images/`` for each class. Class names of a segmentation come from
    ``data.class_names`` or from ``classes.txt``, one name a line.

    Raises: DataError for a missing target, an unreadable picture (unless ``on_bad = "skip"``), other bands.
    """

    def __init__(self, path: Path, config: DataConfig, with_targets: bool = True) -> None:
        self.config, self.root = config, path
        self.input_names = channel_names(config.bands)
        self.output_names = ()
        self.targets: list[Path | int] = []
        if not with_targets:
            self.images = self._plain_images(path)
        else:
            folder = path / config.image_dir
            if not folder.is_dir():
                raise DataError(f"{folder}: no such folder; pictures lie in {config.image_dir}/ (data.image_dir).")
            if config.task == "classification":
                self._find_classes(folder)
            else:
                self.images = _pictures(folder)
                self._find_targets()
        if not self.images:
            raise DataError(f"{path}: no pictures ({', '.join(SUFFIXES)}).")
        if config.on_bad == "skip":
            self._leave_out_bad()

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images[index].stem

    def inputs(self, index: int) -> GlobalMap:
        path = self.images[index]
        return global_map(read_picture(path, self.config.bands), str(path))

    def target(self, index: int) -> GlobalMap | int:
        target, c = self.targets[index], self.config
        if isinstance(target, int):
            return target
        if c.task == "segmentation":
            labels = read_index_picture(target).astype(np.int64)
            check_labels(labels, len(self.output_names), c.ignore, str(target))
            return global_map(labels, str(target))
        values = read_value_picture(target)
        if len(values) != len(self.output_names):
            raise DataError(f"{target}: has {len(values)} channels, the first target has {len(self.output_names)}.")
        values = np.where(np.isfinite(values), values, np.float32(np.nan))
        for value in c.missing:
            values[values == np.float32(value)] = np.nan
        return global_map(values * np.float32(c.target_scale), str(target))

    def _plain_images(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        inner = path / self.config.image_dir
        return _pictures(inner if inner.is_dir() else path)

    def _find_classes(self, folder: Path) -> None:
        folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        if len(folders) < 2:
            raise DataError(f"{folder}: wanted one sub-folder of pictures for each class, found {len(folders)}.")
        self.output_names = tuple(p.name for p in folders)
        self.images = []
        for k, p in enumerate(folders):
            found = _pictures(p)
            self.images += found
            self.targets += [k] * len(found)

    def _find_targets(self) -> None:
        c = self.config
        folder = self.root / (c.target_dir or {"segmentation": "labels"}.get(c.task, "depth"))
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; the targets lie there (data.target_dir).")
        by_stem = {p.stem: p for p in _pictures(folder, (*SUFFIXES, ".npy"))}
        lost = [p for p in self.images if p.stem not in by_stem]
        if lost:
            more = f" (and {len(lost) - 1} others)" if len(lost) > 1 else ""
            raise DataError(
                f"{lost[0]}: no target of that name in {folder}{more}: add {lost[0].stem}.png, or remove the picture."
            )
        self.targets = [by_stem[p.stem] for p in self.images]
        if c.task == "segmentation":
            self.output_names = c.class_names or _class_file(self.root)
        elif self.images:
            n = len(read_value_picture(by_stem[self.images[0].stem]))
            self.output_names = (folder.name,) if n == 1 else tuple(f"{folder.name}[{i}]" for i in range(n))

    def _leave_out_bad(self) -> None:
        """Decode every sample once; a run then never meets a bad one."""
        good, skipped = [], []
        for i in range(len(self.images)):
            try:
                self.inputs(i)
                if self.targets:
                    self.target(i)
                good.append(i)
            except DataError as error:
                skipped.append((self.name(i), str(error)))
        if not good:
            raise DataError(
                f"{self.root}: none of the {len(self.images)} samples can be read; the first: {skipped[0][1]}"
            )
        self.images = [self.images[i] for i in good]
        self.targets = [self.targets[i] for i in good] if self.targets else []
        self.skipped = tuple(skipped)


def channel_names(bands: int) -> tuple[str, ...]:
    """Names of a picture's bands."""
    return COLOURS.get(bands) or tuple(f"band[{i}]" for i in range(bands))


def _pictures(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    stems = [p.stem for p in found]
    twice = next((s for s in stems if stems.count(s) > 1), None) if len(set(stems)) < len(stems) else None
    if twice:
        raise DataError(f"{folder}: more than one file is called {twice}: samples are matched by that name.")
    return found


def _class_file(root: Path) -> tuple[str, ...]:
    path = root / "classes.txt"
    if not path.is_file():
        raise DataError(
            f"{path} is missing and data.class_names is not set: name the classes in either, in label order."
        )
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
