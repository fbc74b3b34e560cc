"""Records from netCDF or zarr variables through xarray (extra ``climate``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from armillary.data.arrays import parse_selector
from armillary.data.config import DataConfig
from armillary.data.maps import GlobalMap, global_map
from armillary.data.records import Records
from armillary.data.spec import DataError, known

_LAT = ("lat", "latitude")
_LON = ("lon", "longitude")


class ClimateRecords(Records):
    """Variables as channels, time steps as samples; the target may be ``lead`` steps later.

    A variable with one more axis (levels, say) gives a channel for each of its values; ``z[500]`` takes
    one. A variable without time belongs to every sample. Task: regression; missing values are NaN.

    Raises: DataError for a missing extra, an unknown variable or coordinate, or too few time steps.
    """

    def __init__(self, path: Path, config: DataConfig, with_targets: bool = True) -> None:
        if config.task != "regression":
            raise DataError(f'source "climate" has regression targets: got task "{config.task}".')
        if not config.inputs or (with_targets and not config.targets):
            raise DataError("data.inputs and data.targets name the variables to read; one of them is empty.")
        self.config, self.path = config, path
        self._data = _open(path)
        self._inputs = [self._variable(t) for t in config.inputs]
        self._targets = [self._variable(t) for t in config.targets] if with_targets else []
        self.input_names = tuple(n for v in self._inputs for n in v.names)
        self.output_names = tuple(n for v in self._targets for n in v.names)
        steps = self._data.sizes.get(config.time, 1)
        lead = config.lead if with_targets else 0
        if steps <= lead:
            raise DataError(f"{path}: has {steps} steps of {config.time}, data.lead = {config.lead} wants more.")
        self._count = steps - lead

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        time = self.config.time
        if time in self._data.coords and self._data[time].ndim == 1:
            return f"{time}={str(self._data[time].values[index])[:19]}"
        return f"{time}={index}" if time in self._data.sizes else self.path.stem

    def inputs(self, index: int) -> GlobalMap:
        return self._stack(self._inputs, index)

    def target(self, index: int) -> GlobalMap | int:
        found = self._stack(self._targets, index + self.config.lead)
        values = np.where(np.isfinite(found.values), found.values, np.float32(np.nan))
        for value in self.config.missing:
            values[values == np.float32(value)] = np.nan
        return GlobalMap(values * np.float32(self.config.target_scale), found.colatitudes, found.left)

    def _variable(self, text: str) -> _Variable:
        name, selector = parse_selector(text)
        if name not in self._data.data_vars:
            raise DataError(f"{self.path}: {known('variable', name, self._data.data_vars)}")
        array = self._data[name]
        lat = _dimension(array, (self.config.lat, *_LAT), "latitude", self.path)
        lon = _dimension(array, (self.config.lon, *_LON), "longitude", self.path)
        extra = [d for d in array.dims if d not in (lat, lon, self.config.time)]
        if len(extra) > 1:
            raise DataError(f"{self.path}: {name} has the axes {array.dims}; one besides time and place is understood.")
        if not extra:
            if selector:
                raise DataError(
                    f"{self.path}: {name} has no axis to choose {selector!r} from; its axes are {array.dims}."
                )
            return _Variable(name, lat, lon, None, (0,), (name,))
        values = [_plain(v) for v in array[extra[0]].values]
        if selector and selector not in values:
            raise DataError(f"{self.path}: {name}: {known(str(extra[0]), selector, values)}")
        chosen = (values.index(selector),) if selector else tuple(range(len(values)))
        return _Variable(name, lat, lon, extra[0], chosen, tuple(f"{name}[{values[i]}]" for i in chosen))

    def _stack(self, variables: list[_Variable], step: int) -> GlobalMap:
        maps = []
        for v in variables:
            array = self._data[v.name]
            if self.config.time in array.dims:
                array = array.isel({self.config.time: step})
            order = ([v.extra] if v.extra else []) + [v.lat, v.lon]
            values = np.asarray(array.transpose(*order).values, dtype=np.float32)
            values = values[list(v.chosen)] if v.extra else values[None]
            maps.append(
                global_map(values, f"{self.path}: {v.name}", self._data[v.lat].values, self._data[v.lon].values)
            )
        if len({m.values.shape[-2:] for m in maps}) > 1:
            sizes = {v.name: m.values.shape[-2:] for v, m in zip(variables, maps, strict=True)}
            raise DataError(f"{self.path}: the variables lie on grids of different sizes: {sizes}.")
        return GlobalMap(np.concatenate([m.values for m in maps]), maps[0].colatitudes, maps[0].left)


class _Variable:
    """A variable and the part of it that is read."""

    def __init__(
        self, name: str, lat: str, lon: str, extra: Any, chosen: tuple[int, ...], names: tuple[str, ...]
    ) -> None:
        self.name, self.lat, self.lon = name, lat, lon
        self.extra, self.chosen, self.names = extra, chosen, names


def _open(path: Path) -> Any:
    try:
        import xarray
    except ImportError as error:
        raise DataError(
            'source "climate" reads files through xarray, which is not installed: pip install "armillary[climate]"'
        ) from error
    try:
        if path.is_dir():
            return xarray.open_zarr(path)
        return xarray.open_dataset(path)
    except ImportError as error:
        raise DataError(f'{path}: {error}: pip install "armillary[climate]"') from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"{path}: neither netCDF nor zarr that can be read ({error}).") from error


def _dimension(array: Any, names: tuple[str, ...], what: str, path: Path) -> str:
    for name in names:
        if name in array.dims:
            if name not in array.coords:
                raise DataError(f"{path}: the axis {name!r} of {array.name} has no coordinate values in degrees.")
            return name
    raise DataError(
        f"{path}: {array.name} has the axes {array.dims}, none is the {what} ({', '.join(dict.fromkeys(names))})."
    )


def _plain(value: Any) -> str:
    number = np.asarray(value)
    return f"{float(number):g}" if number.dtype.kind in "fiu" else str(value)
