"""Warps: grids of group parameters laid over an image, on which two-parameter transformations are shifts.

Shape legend: u = (u_1, u_2), along the rows and columns of the warped image; points are (x, y) of ``ImageGrid``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from armillary.spaces.axis import Axis
from armillary.spaces.plane import ImageGrid


class Warp(ABC):
    """A commuting two-parameter group t_u of the plane, and a grid of parameters u.

    Equation: ``t_u ∘ t_v = t_{u+v}``, and ``u ↦ t_u(x_0)`` is one to one on its image. The warped image is
    ``Î(u) = I(t_u(x_0))``; that of the transformed image ``(t_v I)(p) = I(t_{-v} p)`` is ``Î(u - v)``: the shifted one.

    u is in the natural unit of the group (radians; logarithms of scales) and grows with the row and the column.
    Source: Henriques & Vedaldi 2017 (arXiv 1609.04382), theorem 1. Pinned by ``tests/spaces/test_warps.py``.
    """

    @property
    @abstractmethod
    def axes(self) -> tuple[Axis, Axis]:
        """The values of u_1 along the rows and of u_2 along the columns."""

    @abstractmethod
    def origin(self, grid: ImageGrid) -> Tensor:
        """The point about which t_u acts, (2,) float64."""

    @property
    @abstractmethod
    def _start(self) -> Tensor:
        """x_0 about the origin, (2,) float64."""

    @abstractmethod
    def _move(self, points: Tensor, u: Tensor) -> Tensor:
        """t_u of points about the origin."""

    @abstractmethod
    def _locate(self, points: Tensor) -> Tensor:
        """The u of points about the origin."""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.axes[0].size, self.axes[1].size)

    @property
    def periodic(self) -> tuple[bool, bool]:
        """Whether the warped image wraps, along its rows and its columns."""
        return (self.axes[0].periodic, self.axes[1].periodic)

    @property
    def step(self) -> tuple[float, float]:
        """The step of u from one row to the next and from one column to the next."""
        return (self.axes[0].step, self.axes[1].step)

    @property
    def coordinates(self) -> Tensor:
        """u of each pixel of the warped image, (rows, columns, 2) float64."""
        u_1, u_2 = (axis.values for axis in self.axes)
        return torch.stack(torch.meshgrid(u_1, u_2, indexing="ij"), dim=-1)

    def base_point(self, grid: ImageGrid) -> Tensor:
        """x_0, (2,) float64."""
        return self.origin(grid) + self._start

    def points(self, grid: ImageGrid) -> Tensor:
        """Where to sample: t_u(x_0) of each pixel of the warped image, (rows, columns, 2) float64."""
        return self.transform(self.coordinates, grid)(self.base_point(grid))

    def transform(self, u: Tensor | Sequence[float], grid: ImageGrid) -> Callable[[Tensor], Tensor]:
        """t_u as a function of points (..., 2), where u (..., 2) is broadcast against them.

        An image moves by its inverse: sample it at ``transform(-u, grid)(grid.points)``. Points that t_u is not defined
        on, or takes out of sight, become NaN.
        Raises: ValueError if u or points do not end in an axis of 2, or u is not finite.
        """
        u = torch.as_tensor(u, dtype=torch.float64)
        _check_pair(u, f"u of {type(self).__name__}.transform")
        if not torch.isfinite(u).all():
            raise ValueError(f"got u with numbers that are not finite, {type(self).__name__}.transform wants finite u.")

        def moved(points: Tensor) -> Tensor:
            _check_pair(points, f"points for a transform of {type(self).__name__}")
            origin = self.origin(grid).to(points)
            return origin + self._move(points - origin, u.to(points))

        return moved

    def locate(self, points: Tensor, grid: ImageGrid) -> Tensor:
        """The inverse of ``u ↦ t_u(x_0)``: u of points, both (..., 2); NaN off its image.

        Raises: ValueError if points do not end in an axis of 2.
        """
        _check_pair(points, f"points for {type(self).__name__}.locate")
        return self._locate(points - self.origin(grid).to(points))

    def to_dict(self) -> dict[str, Any]:
        """A plain description, safe for JSON; ``warp_from_dict`` reads it."""
        fields = asdict(self)  # type: ignore[call-overload]
        return {"type": type(self).__name__, **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}}


@dataclass(frozen=True)
class LogPolar(Warp):
    """Rotation × scale about the middle of the image: ``t_u(p) = e^{u_2} R(u_1) p``, R counter-clockwise.

    Rows are angles ``2πk/rows`` (they wrap), columns logarithms of the radius, evenly from ``smallest`` to ``largest``
    pixels, both included: x_0 is one pixel to the right, ``u = (angle, ln radius)``. The disc inside ``smallest`` is
    left out: the origin has no angle.

    Raises: ValueError unless rows ≥ 3, columns ≥ 2, 0 < smallest < largest.
    """

    rows: int
    columns: int
    smallest: float
    largest: float

    def __post_init__(self) -> None:
        _check_size(self, "rows", 3)
        _check_size(self, "columns", 2)
        _check_range(self)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return (
            Axis(self.rows, 0.0, 2 * math.pi / self.rows, periodic=True),
            _logarithms(self.columns, self.smallest, self.largest),
        )

    def origin(self, grid: ImageGrid) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    @property
    def _start(self) -> Tensor:
        return torch.tensor([1.0, 0.0], dtype=torch.float64)

    def _move(self, points: Tensor, u: Tensor) -> Tensor:
        angle, scale = u[..., 0], u[..., 1].exp()
        x, y = points[..., 0], points[..., 1]
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([scale * (cos * x - sin * y), scale * (sin * x + cos * y)], dim=-1)

    def _locate(self, points: Tensor) -> Tensor:
        x, y = points[..., 0], points[..., 1]
        radius = torch.hypot(x, y)
        u = torch.stack([self.axes[0].wrap(torch.atan2(y, x)), radius.log()], dim=-1)
        return u.masked_fill((radius == 0)[..., None], math.nan)


@dataclass(frozen=True)
class ScaleAspect(Warp):
    """Scaling along x and y: ``t_u(x, y) = (e^{u_2} x, e^{u_1} y)`` about the origin, in one quadrant of the plane.

    Rows are logarithms of |y|, columns of |x|, evenly from ``smallest`` to ``largest`` pixels, both included:
    ``u = (ln |y|, ln |x|)``, x_0 is one pixel from both axes. Equal shifts change the scale, opposite ones the aspect.

    ``quadrant`` are the signs of x and y; ``origin_at`` "middle" is the middle of the image, one quadrant of which is
    seen; "corner" is the outer corner that puts the whole image into the quadrant, the lower left one for (1, 1).

    Raises: ValueError unless rows, columns ≥ 2, 0 < smallest < largest, quadrant two signs, origin_at one of the two.
    """

    rows: int
    columns: int
    smallest: float
    largest: float
    quadrant: tuple[int, int] = (1, 1)
    origin_at: Literal["middle", "corner"] = "middle"

    def __post_init__(self) -> None:
        _check_size(self, "rows", 2)
        _check_size(self, "columns", 2)
        _check_range(self)
        signs = tuple(self.quadrant)
        if len(signs) != 2 or not all(sign in (1, -1) for sign in signs):
            raise ValueError(f"ScaleAspect: got quadrant = {self.quadrant!r}, wanted the signs of x and y, as (1, -1).")
        object.__setattr__(self, "quadrant", signs)
        if self.origin_at not in ("middle", "corner"):
            raise ValueError(f"ScaleAspect: got origin_at = {self.origin_at!r}, wanted 'middle' or 'corner'.")

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return (
            _logarithms(self.rows, self.smallest, self.largest),
            _logarithms(self.columns, self.smallest, self.largest),
        )

    def origin(self, grid: ImageGrid) -> Tensor:
        if self.origin_at == "middle":
            return torch.zeros(2, dtype=torch.float64)
        return -self._start * torch.tensor([grid.width, grid.height], dtype=torch.float64) / 2

    @property
    def _start(self) -> Tensor:
        return torch.tensor(self.quadrant, dtype=torch.float64)

    def _move(self, points: Tensor, u: Tensor) -> Tensor:
        return points * u.flip(-1).exp()

    def _locate(self, points: Tensor) -> Tensor:
        distances = points * self._start.to(points)
        inside = (distances > 0).all(dim=-1, keepdim=True)
        return torch.where(inside, distances, math.nan).log().flip(-1)


@dataclass(frozen=True)
class PerspectiveSphere(Warp):
    """Pitch × yaw of a sphere seen in perspective: t_u adds u = (pitch, yaw) to the two angles of a point on it.

    A camera at ``distance`` looks at the centre of a sphere of ``radius`` (same unit), which it sees in the middle of
    the image; ``focal`` is in pixels. The point at latitude φ and longitude λ is ``(X, Y, Z) = radius · (cos φ sin λ,
    sin φ, cos φ cos λ)`` with Z towards the camera, seen at ``focal · (X, Y)/(distance - Z)``. Rows are pitch, the
    latitude (positive upward), evenly from ``-largest_pitch`` to ``largest_pitch`` radians, columns yaw, the longitude
    (positive to the right) likewise; x_0 is the nearest point, in the middle of the image.

    Yaw is the rotation about the vertical axis, exactly. Rigid rotations by yaw and pitch do not commute, and no warp
    can turn them both into shifts; the pitch here moves each point along its meridian, which agrees with the rigid
    one on the middle meridian. Points off the sphere, and such as t_u takes out of sight or over a pole, are NaN.

    Raises: ValueError unless rows, columns ≥ 2, 0 < radius < distance, focal > 0, and the corners of the grid are in
    sight: ``cos(largest_pitch) cos(largest_yaw) > radius/distance``.
    """

    rows: int
    columns: int
    radius: float
    distance: float
    focal: float
    largest_pitch: float
    largest_yaw: float

    def __post_init__(self) -> None:
        _check_size(self, "rows", 2)
        _check_size(self, "columns", 2)
        for name in ("radius", "distance", "focal", "largest_pitch", "largest_yaw"):
            _check_positive(self, name)
        if self.radius >= self.distance:
            raise ValueError(
                f"PerspectiveSphere: got radius = {self.radius:g}, distance = {self.distance:g}, wanted radius < "
                f"distance: the camera is outside of the sphere."
            )
        pitch, yaw = self.largest_pitch, self.largest_yaw
        if max(pitch, yaw) >= math.pi / 2 or math.cos(pitch) * math.cos(yaw) <= self.radius / self.distance:
            raise ValueError(
                f"PerspectiveSphere: got largest_pitch = {pitch:.4g}, largest_yaw = {yaw:.4g}, whose corner is out of "
                f"sight at distance/radius = {self.distance / self.radius:.4g}: wanted cos(pitch) cos(yaw) > "
                f"{self.radius / self.distance:.4g}; take smaller angles or a camera further away."
            )

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return _symmetric(self.rows, self.largest_pitch), _symmetric(self.columns, self.largest_yaw)

    def origin(self, grid: ImageGrid) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    @property
    def _start(self) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    def _move(self, points: Tensor, u: Tensor) -> Tensor:
        angles = self._locate(points) + u
        latitude, longitude = angles[..., 0], angles[..., 1]
        x = self.radius * latitude.cos() * longitude.sin()
        y = self.radius * latitude.sin()
        z = self.radius * latitude.cos() * longitude.cos()
        seen = (z > self.radius**2 / self.distance) & (latitude.abs() <= math.pi / 2)
        factor = torch.where(seen, self.focal / (self.distance - z), math.nan)
        return torch.stack([factor * x, factor * y], dim=-1)

    def _locate(self, points: Tensor) -> Tensor:
        """The near intersection of the ray ``(0, 0, d) + t (x/f, y/f, -1)`` with the sphere, NaN where it misses."""
        ray = points / self.focal
        square = 1 + ray.square().sum(-1)
        root = self.distance**2 - square * (self.distance**2 - self.radius**2)
        t = (self.distance - root.sqrt()) / square
        x, y, z = t * ray[..., 0], t * ray[..., 1], self.distance - t
        return torch.stack([torch.atan2(y, torch.hypot(x, z)), torch.atan2(x, z)], dim=-1)


def warp_from_dict(description: dict[str, Any]) -> Warp:
    """The inverse of ``Warp.to_dict``. Raises: ValueError for an unknown type or field."""
    fields, kinds = dict(description), {kind.__name__: kind for kind in (LogPolar, PerspectiveSphere, ScaleAspect)}
    kind = fields.pop("type", None)
    if kind not in kinds:
        raise ValueError(f"got warp type {kind!r}, wanted one of {sorted(kinds)}.")
    try:
        return kinds[kind](**fields)
    except TypeError as error:
        raise ValueError(f"got fields {sorted(fields)} for {kind}: {error}") from error


def _logarithms(size: int, smallest: float, largest: float) -> Axis:
    return Axis(size, math.log(smallest), math.log(largest / smallest) / (size - 1))


def _symmetric(size: int, largest: float) -> Axis:
    return Axis(size, -largest, 2 * largest / (size - 1))


def _check_pair(value: Tensor, what: str) -> None:
    if value.ndim < 1 or value.shape[-1] != 2:
        raise ValueError(f"got {what} of shape {tuple(value.shape)}, wanted (..., 2): a pair in the last axis.")


def _check_size(warp: Warp, name: str, least: int) -> None:
    size = getattr(warp, name)
    if isinstance(size, bool) or not isinstance(size, int) or size < least:
        raise ValueError(f"{type(warp).__name__}: got {name} = {size!r}, wanted an integer >= {least}.")


def _check_positive(warp: Warp, name: str) -> None:
    value = getattr(warp, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{type(warp).__name__}: got {name} = {value!r}, wanted a finite number > 0.")


def _check_range(warp: LogPolar | ScaleAspect) -> None:
    _check_positive(warp, "smallest")
    _check_positive(warp, "largest")
    if warp.smallest >= warp.largest:
        raise ValueError(
            f"{type(warp).__name__}: got smallest = {warp.smallest:g}, largest = {warp.largest:g} pixels, wanted "
            f"smallest < largest: the origin is left out, and half the side of the image is a usual largest."
        )
