"""Grids as the command line writes them; nothing else in the library parses names."""

from __future__ import annotations

import re

from armillary.data import DataConfig, image_grid
from armillary.data.config import PLANAR_SOURCES
from armillary.spaces import Equiangular, GaussLegendre, ImageGrid, SphereGrid

_PATTERN = re.compile(r"(?P<kind>[a-z]+):(?P<rows>\d+)(?:x(?P<columns>\d+))?(?P<poles>\+poles)?")
AUTO, IMAGE = "auto", "image"
DEFAULT_SPHERE = "equiangular:64"
EXAMPLES = "equiangular:64, equiangular:181x360+poles, gauss:64, image:28, image:48x64"


def parse_grid(text: str) -> SphereGrid | ImageGrid:
    """``KIND:ROWS[xCOLUMNS][+poles]``, KIND equiangular, gauss or image. Raises: ValueError with examples.

    Columns default to twice the rings on the sphere, and to the rows for images.
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"got grid {text!r}, wanted KIND:NLAT[xNLON][+poles], such as {EXAMPLES}.")
    kind, rows = match["kind"], int(match["rows"])
    columns = int(match["columns"]) if match["columns"] else None
    if kind == "equiangular":
        return Equiangular(rows, columns, poles=bool(match["poles"]))  # type: ignore[arg-type]
    if match["poles"] and kind in ("gauss", IMAGE):
        why = "an image has none" if kind == IMAGE else "the poles are never rings of a Gauss-Legendre grid"
        raise ValueError(f"got grid {text!r}: {why}, drop +poles.")
    if kind == "gauss":
        return GaussLegendre(rows, columns)  # type: ignore[arg-type]
    if kind == IMAGE:
        return ImageGrid(rows, rows if columns is None else columns)
    raise ValueError(f"got grid kind {kind!r}, wanted equiangular, gauss or image, such as {EXAMPLES}.")


def settled_grid(text: str, data: DataConfig) -> str:
    """A grid that says its size: "image" takes that of the images of ``data``, "auto" what suits the source.

    Raises: DataError where the images cannot be read or have no size of their own.
    """
    wanted = text.strip().lower()
    if wanted == AUTO:
        wanted = IMAGE if data.source in PLANAR_SOURCES else DEFAULT_SPHERE
    if wanted != IMAGE:
        return text if text.strip().lower() != AUTO else wanted
    grid = image_grid(data)
    return f"{IMAGE}:{grid.height}" + (f"x{grid.width}" if grid.width != grid.height else "")
