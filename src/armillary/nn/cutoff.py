"""How far the filters of DISCO layers reach, and how their moments are matched: the settings that all of them take."""

from __future__ import annotations

import math

from armillary.ops.integers import checked_integer
from armillary.spaces import SphereGrid

DEFAULT_RINGS = 3.0
MOST_MOMENTS = 8


def rings(count: float, grid: SphereGrid) -> float:
    """A cutoff of ``count`` rings of the input grid, in radians: ``count · π/nlat``; where points of a ring lie further
    apart on the equator than rings do, of so many steps between them, ``count · 2π/nlon``."""
    return count * max(grid.ring_spacing, 2 * math.pi / grid.nlon)


def checked_cutoff(cutoff: float | None, grid: SphereGrid) -> float:
    """The cutoff to use, in radians; None: three rings of the input grid. Raises: ValueError unless 0 < cutoff < π."""
    found = rings(DEFAULT_RINGS, grid) if cutoff is None else float(cutoff)
    if not 0 < found < math.pi:
        raise ValueError(f"got cutoff = {found:.4g} rad, wanted 0 < cutoff < π.")
    return found


def check_moments(moments: int | None) -> None:
    """Raise a ValueError unless the highest degree to match is an integer in 0..8, or None: none is."""
    if moments is not None:
        checked_integer("moments", moments, 0, MOST_MOMENTS, ", or None to sample the filters only")
