"""Records from .npz files: one file, or a folder of them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armillary.data import arrays
from armillary.data.config import DataConfig
from armillary.data.labels import check_labels, mapped_labels, numbered_classes
from armillary.data.maps import GlobalMap, global_map
from armillary.data.records import Records
from armillary.data.spec import DataError


@dataclass(frozen=True)
class _File:
    """What the headers of one file say."""

    path: Path
    layouts: tuple[str, ...]
    target_layouts: tuple[str, ...]
    count: int
    batched: bool


class NpzRecords(Records):
    """Arrays of ``.npz`` files as inputs and targets; see docs/data.md for the layouts.

    An input without a sample axis in a file whose other inputs have one belongs to every sample (a land
    mask, say). ``with_targets=False`` reads inputs only, as prediction does.

    Raises: DataError naming the file and array that is missing, damaged or of another shape.
    """

    def __init__(self, path: Path, config: DataConfig, with_targets: bool = True) -> None:
        self.config, self.with_targets = config, with_targets
        if not config.inputs:
            raise DataError('data.inputs is empty: name the arrays to read, such as inputs = ["rgb"].')
        if with_targets and not config.targets:
            raise DataError('data.targets is empty: name the array to learn, such as targets = ["labels"].')
        if with_targets and config.task != "regression" and len(config.targets) != 1:
            raise DataError(f"data.targets: got {config.targets}, {config.task} wants exactly one array.")
        if len(config.layout) not in (0, 1, len(config.inputs)):
            raise DataError(
                f"data.layout has {len(config.layout)} entries for {len(config.inputs)} inputs: give one or all."
            )
        paths = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if not paths:
            raise DataError(f"{path}: the folder has no .npz files.")
        self._files: list[_File] = []
        skipped = []
        for p in paths:
            try:
                self._files.append(self._scan(p))
            except DataError as error:
                if config.on_bad == "stop" or len(paths) == 1:
                    raise
                skipped.append((str(p), str(error)))
        if not self._files:
            raise DataError(f"{path}: none of the {len(paths)} files can be read; the first: {skipped[0][1]}")
        self.skipped = tuple(skipped)
        self._starts = np.cumsum([0, *(f.count for f in self._files)])
        self._held: tuple[Path, dict[str, np.ndarray]] | None = None
        first = self._arrays(self._files[0])
        self.input_names = self._channel_names(self._files[0], first, config.inputs, self._files[0].layouts)
        self.output_names = self._output_names(first) if with_targets else ()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        file, i = self._locate(index)
        names = self._arrays(file).get(self.config.sample_names_from)
        if names is not None and names.shape == (file.count,):
            return str(names[i])
        return f"{file.path.stem}[{i}]" if file.count > 1 else file.path.stem

    def inputs(self, index: int) -> GlobalMap:
        return self._stack(index, self.config.inputs, inputs=True)

    def target(self, index: int) -> GlobalMap | int:
        file, i = self._locate(index)
        config = self.config
        if config.task == "regression":
            found = self._stack(index, config.targets, inputs=False)
            values = np.where(np.isfinite(found.values), found.values, np.float32(np.nan))
            for value in config.missing:
                values[values == np.float32(value)] = np.nan
            return GlobalMap(values * np.float32(config.target_scale), found.colatitudes, found.left)
        held = self._arrays(file)
        what = f"{file.path}: {config.targets[0]}"
        if config.task == "classification":
            label = mapped_labels(held[config.targets[0]][i : i + 1], held.get(config.target_map), config.ignore, what)
            check_labels(label, len(self.output_names), None, what)
            return int(label[0])
        raw = self._channels(file, held, config.targets[0], file.target_layouts[0], i)
        if len(raw) != 1:
            raise DataError(
                f"{what} has {len(raw)} channels, labels want one: choose it, such as {config.targets[0]}[0]."
            )
        labels = mapped_labels(raw, held.get(config.target_map), config.ignore, what)
        check_labels(labels, len(self.output_names), config.ignore, what)
        return self._as_map(file, held, labels, config.targets[0])

    def _scan(self, path: Path) -> _File:
        c = self.config
        with arrays.open_npz(path) as archive:
            names = arrays.array_names(archive)
            for field in ("lat", "lon", "sample_names_from"):
                name, default = getattr(c, field), getattr(DataConfig, field)
                if name and name != default:
                    arrays.array_shape(archive, name, path, c.max_gib)
            size: tuple[int, int] | None = None
            if c.lat in names and c.lon in names:
                lat, lon = (arrays.array_shape(archive, n, path, c.max_gib)[0] for n in (c.lat, c.lon))
                if len(lat) != 1 or len(lon) != 1:
                    raise DataError(f"{path}: {c.lat} and {c.lon} have shapes {lat} and {lon}, wanted one axis each.")
                size = (lat[0], lon[0])
            shapes = [arrays.array_shape(archive, arrays.parse_selector(t)[0], path, c.max_gib)[0] for t in c.inputs]
            stated = c.layout * len(c.inputs) if len(c.layout) == 1 else c.layout or ("",) * len(c.inputs)
            known_batch = True if any(len(s) == 4 for s in shapes) or any("N" in s for s in stated) else None
            layouts = tuple(
                arrays.resolve_layout(s, f"{path}: {t}", st, size, known_batch)
                for s, t, st in zip(shapes, c.inputs, stated, strict=True)
            )
            counts = {t: s[0] for t, s, la in zip(c.inputs, shapes, layouts, strict=True) if "N" in la}
            target_layouts: tuple[str, ...] = ()
            batched = bool(counts)
            if self.with_targets:
                target_layouts = self._scan_targets(archive, path, size, batched, counts)
        if len(set(counts.values())) > 1:
            raise DataError(f"{path}: the arrays have different numbers of samples: {counts}.")
        return _File(path, layouts, target_layouts, next(iter(counts.values()), 1), batched)

    def _scan_targets(
        self,
        archive: zipfile.ZipFile,
        path: Path,
        size: tuple[int, int] | None,
        batched: bool,
        counts: dict[str, int],
    ) -> tuple[str, ...]:
        c = self.config
        for name in (c.target_map, c.class_names_from):
            if name:
                arrays.array_shape(archive, name, path, c.max_gib)
        layouts = []
        for t in c.targets:
            shape = arrays.array_shape(archive, arrays.parse_selector(t)[0], path, c.max_gib)[0]
            if c.task == "classification":
                if len(shape) != 1:
                    raise DataError(
                        f"{path}: {t} has shape {shape}, classification wants one label for each sample: (N,)."
                    )
                layout = "N"
            else:
                layout = arrays.resolve_layout(shape, f"{path}: {t}", c.target_layout, size, batched)
            if ("N" in layout) != batched and not (layout == "N" and shape[0] == 1):
                raise DataError(
                    f"{path}: {t} of shape {shape} is read as {layout}, the inputs have "
                    f"{'a' if batched else 'no'} sample axis: set data.layout and data.target_layout."
                )
            if "N" in layout and batched:
                counts[t] = shape[0]
            layouts.append(layout)
        return tuple(layouts)

    def _locate(self, index: int) -> tuple[_File, int]:
        k = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._files[k], index - int(self._starts[k])

    def _arrays(self, file: _File) -> dict[str, np.ndarray]:
        """All arrays that are wanted from a file; the last file used is held."""
        if self._held is None or self._held[0] != file.path:
            c = self.config
            wanted = [arrays.parse_selector(t)[0] for t in c.inputs + (c.targets if self.with_targets else ())]
            extra = [
                c.lat,
                c.lon,
                c.sample_names_from,
                c.channel_names_from,
                c.target_map,
                c.class_names_from,
            ]
            with arrays.open_npz(file.path) as archive:
                there = arrays.array_names(archive)
                wanted += [n for n in extra if n in there]
                held = {n: arrays.read_array(archive, n, file.path, c.max_gib) for n in dict.fromkeys(wanted)}
            self._held = (file.path, held)
        return self._held[1]

    def _stack(self, index: int, texts: tuple[str, ...], inputs: bool) -> GlobalMap:
        file, i = self._locate(index)
        held = self._arrays(file)
        layouts = file.layouts if inputs else file.target_layouts
        maps = []
        for text, layout in zip(texts, layouts, strict=True):
            values = self._channels(file, held, text, layout, i)
            if values.dtype.kind not in "fiub":
                raise DataError(f"{file.path}: {text} holds {values.dtype}, wanted real numbers.")
            scale = 255 if inputs and values.dtype == np.uint8 else 1
            maps.append(self._as_map(file, held, values.astype(np.float32) / np.float32(scale), text))
        shapes = {t: m.values.shape[-2:] for t, m in zip(texts, maps, strict=True)}
        if len(set(shapes.values())) > 1:
            raise DataError(f"{file.path}: the maps have different sizes: {shapes}; give them one size.")
        values = np.concatenate([m.values for m in maps])
        wanted = len(self.input_names if inputs else self.output_names)
        if len(values) != wanted:
            raise DataError(f"{file.path}: {texts} have {len(values)} channels, the first file has {wanted}.")
        return GlobalMap(values, maps[0].colatitudes, maps[0].left)

    def _channels(self, file: _File, held: dict[str, np.ndarray], text: str, layout: str, i: int) -> np.ndarray:
        name, selector = arrays.parse_selector(text)
        values = held[name]
        if "N" in layout:
            values, layout = np.take(values, i, axis=layout.index("N")), layout.replace("N", "")
        values = arrays.to_channels_first(values, layout)
        labels = self._labels(held, len(values))
        return values[arrays.select_channels(selector, labels, f"{file.path}: {name}")]

    def _labels(self, held: dict[str, np.ndarray], channels: int) -> list[str]:
        given = held.get(self.config.channel_names_from)
        if given is not None and given.shape == (channels,):
            return [str(v) for v in given]
        return [str(i) for i in range(channels)]

    def _channel_names(
        self, file: _File, held: dict[str, np.ndarray], texts: tuple[str, ...], layouts: tuple[str, ...]
    ) -> tuple[str, ...]:
        names: list[str] = []
        for text, layout in zip(texts, layouts, strict=True):
            name, selector = arrays.parse_selector(text)
            channels = held[name].shape[layout.index("C")] if "C" in layout else 1
            labels = self._labels(held, channels)
            chosen = arrays.select_channels(selector, labels, f"{file.path}: {name}")
            names += [name] if channels == 1 else [f"{name}[{labels[i]}]" for i in chosen]
        return tuple(names)

    def _as_map(self, file: _File, held: dict[str, np.ndarray], values: np.ndarray, text: str) -> GlobalMap:
        return global_map(values, f"{file.path}: {text}", held.get(self.config.lat), held.get(self.config.lon))

    def _output_names(self, held: dict[str, np.ndarray]) -> tuple[str, ...]:
        c, file = self.config, self._files[0]
        if c.task == "regression":
            return self._channel_names(file, held, c.targets, file.target_layouts)
        if c.class_names:
            return c.class_names
        if c.class_names_from:
            return tuple(str(v) for v in held[c.class_names_from])
        if c.target_map:
            return numbered_classes(held[c.target_map], c.ignore)
        if len(self._files) > 1:
            raise DataError("the number of classes of a folder of files is not known: set data.class_names.")
        name = arrays.parse_selector(c.targets[0])[0]
        return numbered_classes(held[name], c.ignore if c.task == "segmentation" else None)
