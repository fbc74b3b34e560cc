"""Global maps from any reader as a data set on a sphere grid: resampling, rotations, normalisation, splits."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import torch
from torch import Tensor

from armillary.data import normalization as norm
from armillary.data.config import DataConfig
from armillary.data.draws import sample_rotation
from armillary.data.maps import MAX_SUBPOINTS, GlobalMap
from armillary.data.records import Records, split_indices
from armillary.data.spec import DataError, FieldDataset, FieldSpec, Split, known
from armillary.spaces import SphereGrid

MASK_NAME = "valid"


class MapDataset(FieldDataset):
    """Records of a reader on ``grid``.

    Inputs and regression targets are averaged over the cells of the grid by area; labels are read at its
    points. A rotated sample reads the source map at R⁻¹x. Each component is taken for a scalar field: wind
    vectors do not turn with the map.

    Raises: DataError for NaN in inputs (unless ``nan_inputs = "mean"``), labels without a class, an empty
    split.
    """

    def __init__(self, records: Records, config: DataConfig, grid: SphereGrid, split: Split) -> None:
        names = (*records.input_names, MASK_NAME) if config.nan_inputs == "mean" else records.input_names
        super().__init__(FieldSpec(config.task, grid, names, records.output_names, config.ignore))
        self.records, self.grid, self.split = records, grid, split
        self.skipped = records.skipped
        if self.skipped:
            first = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            warnings.warn(f"{len(self.skipped)} samples skipped ({first})", stacklevel=2)
        if config.holdout_lon:
            if config.task == "classification":
                raise DataError(
                    "data.holdout_lon keeps a band of a map unseen; classification has one class for a map."
                )
            self.indices = np.arange(len(records))
        else:
            self.indices = split_indices(len(records), config, split)
        self._items: dict[int, tuple[Tensor, Tensor]] = {}
        self._sources: dict[int, tuple[GlobalMap, GlobalMap | int]] = {}
        self._held_bytes = 0
        self.config = config
        missing = norm_missing(config)
        if missing:
            self.config = norm.with_normalization(config, self._measure(missing))
        self.normalization = {k: getattr(self.config, k) for k in norm_fields(config)}

    def __len__(self) -> int:
        return self.config.samples(self.split) or len(self.indices)

    def name(self, index: int) -> str:
        index = self._check_index(index)
        name = self.records.name(self._record(index))
        return name if index < len(self.indices) else f"{name}#{index // len(self.indices)}"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = self._check_index(index)
        c = self.config
        fresh = self.split == "train" and c.augment != "none"
        record = self._record(index)
        if not fresh and c.rotated(self.split) == "none":
            x, y = self._upright(record)
            return x.clone(), y.clone()
        R = sample_rotation(c.augment, c.rotated(self.split), c.seed, self.split, self.epoch, index)
        return self._finish(*self._source(record), record, R)

    def check(self) -> None:
        for record in (int(i) for i in self.indices):
            if self.config.rotated(self.split) == "none" and (self.split != "train" or self.config.augment == "none"):
                self._upright(record)  # kept for later, where memory allows
            else:
                self._source(record)

    @property
    def longitudes(self) -> Tensor:
        nlon = self.grid.nlon
        left = self.records.inputs(int(self.indices[0])).left
        return left + (torch.arange(nlon, dtype=torch.float64) + 0.5) * (360 / nlon)

    def denormalize(self, prediction: Tensor) -> Tensor:
        return norm.denormalize(prediction, self.config)

    def _record(self, index: int) -> int:
        return int(self.indices[index % len(self.indices)])

    def _upright(self, record: int) -> tuple[Tensor, Tensor]:
        """The finished sample, kept as far as the user allows memory."""
        if record in self._items:
            return self._items[record]
        item = self._finish(*self._load(record), record, None)
        if self._may_keep(item[0].nbytes + item[1].nbytes):
            self._items[record] = item
        return item

    def _source(self, record: int) -> tuple[GlobalMap, GlobalMap | int]:
        """The maps a sample is read from at each new rotation, kept likewise."""
        if record in self._sources:
            return self._sources[record]
        source = self._load(record)
        if self._may_keep(sum(m.values.nbytes for m in source if isinstance(m, GlobalMap))):
            self._sources[record] = source
        return source

    def _may_keep(self, size: int) -> bool:
        fits = self._held_bytes + size <= self.config.cache_mb * 1e6
        self._held_bytes += size if fits else 0
        return fits

    def _load(self, record: int) -> tuple[GlobalMap, GlobalMap | int]:
        grid = self.grid
        most = (MAX_SUBPOINTS * grid.nlat, MAX_SUBPOINTS * grid.nlon)
        target = self.records.target(record)
        if isinstance(target, GlobalMap):
            target = self._scored(target)
            if self.config.task == "regression":
                target = target.reduced(*most)
        return checked_inputs(self.records, record, self.config).reduced(*most), target

    def _scored(self, target: GlobalMap) -> GlobalMap:
        """Blank what this split must not see (train) or not score (valid, test)."""
        c = self.config
        if not c.holdout_lon:
            return target
        blank = np.nan if c.task == "regression" else c.ignore
        if self.split == "train":
            return target.masked(c.holdout_lon + c.test_lon, keep_inside=False, blank=blank)
        return target.masked(
            c.test_lon if self.split == "test" and c.test_lon else c.holdout_lon,
            keep_inside=True,
            blank=blank,
        )

    def _finish(
        self, inputs: GlobalMap, target: GlobalMap | int, record: int, R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        name = self.records.name(record)
        x = finished_inputs(inputs, self.records.input_names, self.config, self.grid, R, name)
        if isinstance(target, int):
            return x, torch.tensor(target)
        grid = self.grid
        if self.config.task == "segmentation":
            identity = torch.eye(3, dtype=torch.float64) if R is None else R
            return x, target.labels_on_grid(grid, identity, self.config.label_resampling)
        return x, finished_target(target, self.records.output_names, self.config, grid, R, name)

    def _measure(self, missing: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
        """Means and deviations over the upright train split."""
        raw = dataclasses.replace(self.config, standardize=False, standardize_target=False, nan_inputs="error")
        grid, records = self.grid, self.records
        moments = {"input": norm.ChannelMoments(grid), "target": norm.ChannelMoments(grid)}
        split_before, self.split = self.split, "train"
        indices = self.indices if self.config.holdout_lon else split_indices(len(records), self.config, "train")
        for i in (int(i) for i in indices):
            if "input_mean" in missing:
                inputs = checked_inputs(records, i, self.config)
                moments["input"].add(
                    norm.log1p_checked(
                        inputs.on_grid(grid),
                        log_channels(records.input_names, raw),
                        records.input_names,
                        records.name(i),
                    )
                )
            target = records.target(i) if "target_mean" in missing else None
            if isinstance(target, GlobalMap):
                target = self._scored(target)
                moments["target"].add(finished_target(target, records.output_names, raw, grid, None, records.name(i)))
        self.split = split_before
        found: dict[str, tuple[float, ...]] = {}
        for kind, names in (("input", records.input_names), ("target", records.output_names)):
            if f"{kind}_mean" in missing:
                found[f"{kind}_mean"], found[f"{kind}_std"] = moments[kind].mean_std(names)
        return found


def norm_fields(config: DataConfig) -> tuple[str, ...]:
    """The normalisation fields that this config uses."""
    fields: tuple[str, ...] = ()
    if config.standardize or config.nan_inputs == "mean":
        fields += ("input_mean", "input_std")
    if config.standardize_target and config.task == "regression":
        fields += ("target_mean", "target_std")
    return fields


def norm_missing(config: DataConfig) -> tuple[str, ...]:
    """Those of them that have no values yet."""
    return tuple(f for f in norm_fields(config) if not getattr(config, f))


def log_channels(input_names: tuple[str, ...], config: DataConfig) -> list[int]:
    """Channels that data.log_inputs names: an input as written, its array, or one channel of it."""
    for wanted in config.log_inputs:
        if not any(_is_channel(wanted, n) for n in input_names):
            raise DataError(f"data.log_inputs: {known('input', wanted, input_names)}")
    return [c for c, n in enumerate(input_names) if any(_is_channel(w, n) for w in config.log_inputs)]


def _is_channel(wanted: str, name: str) -> bool:
    return wanted == name or name.startswith(f"{wanted}[")


def checked_inputs(records: Records, record: int, config: DataConfig) -> GlobalMap:
    """The inputs of a record with infinities as NaN. Raises: DataError naming sample, channel and count for NaN."""
    inputs = records.inputs(record)
    bad = ~np.isfinite(inputs.values)
    if bad.any():
        counts = bad.sum(axis=(1, 2))
        if config.nan_inputs == "error":
            c = int(counts.argmax())
            others = f" (and {int((counts > 0).sum()) - 1} other channels)" if (counts > 0).sum() > 1 else ""
            raise DataError(
                f"{records.name(record)}: {records.input_names[c]} has {int(counts[c])} NaN or infinite values of "
                f'{bad[c].size}{others}: fill them, or set data.nan_inputs = "mean" to fill with the channel\'s mean '
                "and add a mask channel."
            )
        inputs = GlobalMap(np.where(bad, np.float32(np.nan), inputs.values), inputs.colatitudes, inputs.left)
    return inputs


def finished_inputs(
    inputs: GlobalMap,
    names: tuple[str, ...],
    config: DataConfig,
    grid: SphereGrid,
    R: Tensor | None,
    sample: str,
) -> Tensor:
    """On the grid, log, filled, standardised; with the mask channel if asked for: (C, nlat, nlon) float32."""
    x = inputs.on_grid(grid) if R is None else inputs.on_turned_grid(grid, R)
    x = norm.log1p_checked(x, log_channels(names, config), names, sample)
    if config.nan_inputs == "mean":
        there = torch.isfinite(x)
        mean = torch.tensor(config.input_mean, dtype=x.dtype)[:, None, None]
        x = torch.where(there, x, mean)
    if config.standardize:
        x = norm.standardized(x, config.input_mean, config.input_std)
    if config.nan_inputs == "mean":
        x = torch.cat([x, there.all(dim=0, keepdim=True).to(x)])
    return x.float()


def finished_target(
    target: GlobalMap,
    names: tuple[str, ...],
    config: DataConfig,
    grid: SphereGrid,
    R: Tensor | None,
    sample: str,
) -> Tensor:
    """A regression target on the grid, log and standardised: (C_out, nlat, nlon) float32, NaN where not scored."""
    y = target.on_grid(grid) if R is None else target.on_turned_grid(grid, R)
    y = norm.log1p_checked(y, list(range(len(y))) if config.log_target else [], names, sample)
    if config.standardize_target:
        y = norm.standardized(y, config.target_mean, config.target_std)
    return y.float()
