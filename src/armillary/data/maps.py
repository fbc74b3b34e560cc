"""A global map as files have it (rows of latitude, columns of longitude) and its way onto a sphere grid.

The map's left border lies where the grid's first cell begins: grid column k is the file's longitude ``left
+ (k + ½)·360/nlon``. So maps of different sizes of one scene stay aligned, a map that already lies on the
grid passes unchanged, and reducing by whole factors is plain box averaging.

Missing values are NaN. An average leaves them out; it is NaN where less than half of its weight is there.

Shapes: C channels, h × w map, H × W grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from armillary.data.spec import DataError
from armillary.spaces import Equiangular, SphereGrid

#: A rotated cell is averaged over at most this many points each way.
MAX_SUBPOINTS = 3


@dataclass(frozen=True, eq=False)
class GlobalMap:
    """Values (C, h, w), row 0 north; colatitudes (h,) ascending, radians; west border of column 0, degrees.

    Values are float32 for fields and int64 for labels.
    """

    values: np.ndarray
    colatitudes: np.ndarray
    left: float = 0.0

    @property
    def longitudes(self) -> np.ndarray:
        """Longitude of each column in degrees, (w,)."""
        width = self.values.shape[-1]
        return self.left + (np.arange(width) + 0.5) * 360 / width

    def masked(self, bands: tuple[float, ...], keep_inside: bool, blank: float) -> GlobalMap:
        """Set to ``blank`` what lies inside the longitude bands (west, east, …; degrees), or what lies outside."""
        inside = np.zeros(self.values.shape[-1], dtype=bool)
        for west, east in zip(bands[::2], bands[1::2], strict=True):
            inside |= (self.longitudes - west) % 360 < ((east - west) % 360 or 360)
        values = self.values.copy()
        values[..., ~inside if keep_inside else inside] = blank
        return GlobalMap(values, self.colatitudes, self.left)

    def reduced(self, rows: int, columns: int) -> GlobalMap:
        """Area averages on at most that many rows and columns (pixel centres); unchanged if already that small."""
        height, width = self.values.shape[-2:]
        if height <= rows and width <= columns:
            return self
        grid = Equiangular(min(rows, height), min(columns, width))
        return GlobalMap(self.averaged(grid), grid.colatitudes.numpy(), self.left)

    def averaged(self, grid: SphereGrid) -> np.ndarray:
        """Mean over each grid cell by area, (C, nlat, nlon), float32."""
        rows = _row_overlaps(self.colatitudes.tobytes(), grid)
        columns = _column_overlaps(self.values.shape[-1], grid.nlon)
        values = self.values.astype(np.float32, copy=False)
        missing = np.isnan(values)
        if not missing.any():
            return _apply(rows, columns, values)
        weight = _apply(rows, columns, (~missing).astype(np.float32))
        total = _apply(rows, columns, np.where(missing, np.float32(0), values))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight >= 0.5, total / weight, np.float32(np.nan))

    def on_grid(self, grid: SphereGrid) -> Tensor:
        """The field on a grid: area averages where the map is the finer one, otherwise linear interpolation."""
        height, width = self.values.shape[-2:]
        if height >= grid.nlat and width >= grid.nlon:
            return torch.from_numpy(self.averaged(grid))
        return self.at(grid.points, grid)

    def on_turned_grid(self, grid: SphereGrid, rotation: Tensor) -> Tensor:
        """(R f)(x) = f(R⁻¹x) averaged over each cell: the map itself is read, nothing on the grid is interpolated."""
        source = self.reduced(MAX_SUBPOINTS * grid.nlat, MAX_SUBPOINTS * grid.nlon)
        height, width = source.values.shape[-2:]
        n = (_subpoints(height / grid.nlat), _subpoints(width / grid.nlon))
        fine = source.at(_cell_points(grid, *n) @ rotation.to(torch.float64), grid)
        return fine.unflatten(-1, (grid.nlon, n[1])).unflatten(-3, (grid.nlat, n[0])).nanmean(dim=(-3, -1))

    def at(self, points: Tensor, grid: SphereGrid) -> Tensor:
        """Linear interpolation in colatitude and longitude at unit vectors (…, 3); a pole has its ring's mean."""
        values, theta = self._with_poles()
        height, width = values.shape[-2:]
        row, column = _angles(points, grid, width)
        lower = torch.searchsorted(theta, row.contiguous(), right=True).clamp(1, height - 1)
        t = ((row - theta[lower - 1]) / (theta[lower] - theta[lower - 1])).clamp(0, 1)
        left = torch.floor(column)
        s = column - left
        left_index = left.long() % width
        right_index = (left_index + 1) % width
        flat = values.flatten(1).t().contiguous()  # the channels of a pixel side by side: one read for all of them
        holes = bool(torch.isnan(flat).any())
        total = torch.zeros(row.numel(), flat.shape[1])
        weight = torch.zeros_like(total)
        for i, wi in ((lower - 1, 1 - t), (lower, t)):
            for j, wj in ((left_index, 1 - s), (right_index, s)):
                v = flat.index_select(0, (i * width + j).flatten())
                w = (wi * wj).float().flatten()[:, None]
                if holes:
                    there = ~torch.isnan(v)
                    v = torch.where(there, v, 0.0)
                    weight += there * w
                total.addcmul_(v, w)
        if holes:
            total = torch.where(weight >= 0.5, total / weight, torch.nan)
        return total.t().unflatten(1, row.shape)

    def labels_on_grid(
        self, grid: SphereGrid, rotation: Tensor, how: Literal["nearest", "majority"] = "nearest"
    ) -> Tensor:
        """Labels (nlat, nlon), int64, at R⁻¹x: of the pixel a grid point falls into, or the commonest in its cell."""
        height, width = self.values.shape[-2:]
        n = (1, 1)
        if how == "majority":
            n = (_subpoints(height / grid.nlat), _subpoints(width / grid.nlon))
        row, column = _angles(_cell_points(grid, *n) @ rotation.to(torch.float64), grid, width)
        edges = torch.from_numpy(_edges(self.colatitudes)[1:-1])
        # A point on a border is sent west and north, whatever rounding says.
        i = torch.searchsorted(edges, (row - 1e-9).contiguous())
        j = torch.ceil(column - 0.5 - 1e-9).long() % width
        labels = torch.from_numpy(self.values[0].astype(np.int64)).flatten()[i * width + j]
        if n == (1, 1):
            return labels
        cells = labels.unflatten(1, (grid.nlon, n[1])).unflatten(0, (grid.nlat, n[0]))
        return cells.movedim(1, 2).flatten(2).mode(dim=-1).values

    def _with_poles(self) -> tuple[Tensor, Tensor]:
        theta, values = torch.from_numpy(self.colatitudes), torch.from_numpy(self.values.astype(np.float32))
        if theta[0] > 1e-6:
            theta = torch.cat([theta.new_zeros(1), theta])
            values = torch.cat([values[:, :1].nanmean(-1, keepdim=True).expand(-1, 1, values.shape[-1]), values], 1)
        if theta[-1] < math.pi - 1e-6:
            theta = torch.cat([theta, theta.new_full((1,), math.pi)])
            values = torch.cat([values, values[:, -1:].nanmean(-1, keepdim=True).expand(-1, 1, values.shape[-1])], 1)
        return values, theta


def global_map(
    values: np.ndarray, what: str, lat: np.ndarray | None = None, lon: np.ndarray | None = None
) -> GlobalMap:
    """Check and put in order: rows from the north, the repeated column of a closed circle dropped.

    Without ``lat`` the rows are pixel centres from the north. Raises: DataError naming ``what`` for
    latitudes or longitudes that do not match, do not rise or fall evenly, or do not go round the globe.
    """
    height, width = values.shape[-2:]
    left = 0.0
    if lat is None:
        colatitudes = (np.arange(height) + 0.5) * math.pi / height
    else:
        lat = np.asarray(lat, dtype=np.float64)
        if lat.shape != (height,) or np.abs(lat).max(initial=0) > 90 + 1e-3 or not np.isfinite(lat).all():
            raise DataError(f"{what}: got latitudes of shape {lat.shape}, wanted {height} in degrees from -90 to 90.")
        if height > 1 and lat[0] < lat[-1]:
            lat, values = lat[::-1], values[..., ::-1, :]
        if height > 1 and not (np.diff(lat) < 0).all():
            raise DataError(f"{what}: the latitudes neither rise nor fall throughout.")
        colatitudes = np.deg2rad(np.clip(90 - lat, 0, 180))
    if lon is not None:
        lon = np.asarray(lon, dtype=np.float64)
        if lon.shape != (width,):
            raise DataError(f"{what}: got longitudes of shape {lon.shape}, wanted {width}.")
        if width > 2:
            if abs(lon[-1] - lon[0] - 360) < 1e-3:
                lon, values = lon[:-1], values[..., :-1]
            step = 360 / len(lon)
            unrolled = lon[0] + np.concatenate([[0], np.cumsum(np.diff(lon) % 360)])
            if np.abs(unrolled - (lon[0] + np.arange(len(lon)) * step)).max() > 0.05 * step:
                raise DataError(
                    f"{what}: longitudes {lon[0]:g} to {lon[-1]:g} are not even steps eastward round the whole globe."
                )
            left = float(lon[0] - step / 2)
    return GlobalMap(np.ascontiguousarray(values), np.ascontiguousarray(colatitudes), left)


def _subpoints(ratio: float) -> int:
    return int(min(MAX_SUBPOINTS, max(1, math.ceil(ratio - 0.25))))


def _angles(points: Tensor, grid: SphereGrid, width: int) -> tuple[Tensor, Tensor]:
    """Colatitude, and column coordinate (0 at the centre of column 0) on a map of ``width`` columns."""
    theta = torch.atan2(torch.linalg.vector_norm(points[..., :2], dim=-1), points[..., 2])
    phi = torch.atan2(points[..., 1], points[..., 0])
    column = (phi + grid.longitude_step / 2) * (width / (2 * math.pi)) - 0.5
    # Points of the grid that fall on column centres do so exactly.
    return theta, torch.where((column - column.round()).abs() < 1e-9, column.round(), column)


def _edges(colatitudes: np.ndarray) -> np.ndarray:
    """Borders of the rows in colatitude, (h + 1,): half way between neighbours, the poles at the ends."""
    return np.concatenate([[0.0], (colatitudes[1:] + colatitudes[:-1]) / 2, [math.pi]])


@lru_cache(maxsize=8)
def _cell_points(grid: SphereGrid, rows: int, columns: int) -> Tensor:
    """Points at the centres of equal parts of each cell, (nlat·rows, nlon·columns, 3); the nodes for one part."""
    if rows == columns == 1:
        return grid.points
    edges = np.cos(_edges(grid.colatitudes.numpy()))
    part = (np.arange(rows) + 0.5) / rows
    z = torch.from_numpy((edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * part).reshape(-1, 1))
    step = grid.longitude_step / columns
    phi = (torch.arange(grid.nlon * columns, dtype=torch.float64) + 0.5) * step - grid.longitude_step / 2
    sin = torch.sqrt((1 - z * z).clamp_min(0))
    return torch.stack([sin * torch.cos(phi), sin * torch.sin(phi), z.expand(-1, len(phi))], dim=-1)


@lru_cache(maxsize=16)
def _row_overlaps(colatitudes: bytes, grid: SphereGrid) -> scipy.sparse.csr_array:
    """(H, h): the share of each source row in the area of a grid row; rows sum to 1."""
    source = -np.cos(_edges(np.frombuffer(colatitudes)))
    return _overlaps(source, -np.cos(_edges(grid.colatitudes.numpy())))


@lru_cache(maxsize=16)
def _column_overlaps(width: int, nlon: int) -> scipy.sparse.csr_array:
    """(W, w), the same for columns; both circles begin at the left border."""
    return _overlaps(np.arange(width + 1) / width, np.arange(nlon + 1) / nlon)


def _overlaps(source: np.ndarray, target: np.ndarray) -> scipy.sparse.csr_array:
    first = np.searchsorted(source, target[:-1] + 1e-12, side="right") - 1
    last = np.searchsorted(source, target[1:] - 1e-12, side="left")
    rows, columns, shares = [], [], []
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        low = np.maximum(source[a:b], target[k])
        high = np.minimum(source[a + 1 : b + 1], target[k + 1])
        rows.append(np.full(b - a, k))
        columns.append(np.arange(a, b))
        shares.append((high - low) / (high - low).sum())
    entries = (np.concatenate(shares), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_array(entries, shape=(len(target) - 1, len(source) - 1), dtype=np.float32)


def _apply(rows: scipy.sparse.csr_array, columns: scipy.sparse.csr_array, values_Chw: np.ndarray) -> np.ndarray:
    channels, height, width = values_Chw.shape
    across = (columns @ values_Chw.reshape(-1, width).T).T.reshape(channels, height, -1)
    return np.stack([rows @ across[c] for c in range(channels)]).astype(np.float32, copy=False)
