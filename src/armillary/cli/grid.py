"""Grids as the command line writes them; nothing else in the library parses names."""

from __future__ import annotations

import re

from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

_PATTERN = re.compile(r"(?P<kind>[a-z]+):(?P<nlat>\d+)(?:x(?P<nlon>\d+))?(?P<poles>\+poles)?")
EXAMPLES = "equiangular:64, equiangular:181x360+poles, gauss:64"


def parse_grid(text: str) -> SphereGrid:
    """``KIND:NLAT[xNLON][+poles]`` with KIND equiangular or gauss. Raises: ValueError with examples."""
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"got grid {text!r}, wanted KIND:NLAT[xNLON][+poles], such as {EXAMPLES}.")
    kind, nlat = match["kind"], int(match["nlat"])
    nlon = int(match["nlon"]) if match["nlon"] else None
    if kind == "equiangular":
        return Equiangular(nlat, nlon, poles=bool(match["poles"]))  # type: ignore[arg-type]
    if kind == "gauss":
        if match["poles"]:
            raise ValueError(f"got grid {text!r}: the poles are never rings of a Gauss-Legendre grid, drop +poles.")
        return GaussLegendre(nlat, nlon)  # type: ignore[arg-type]
    raise ValueError(f"got grid kind {kind!r}, wanted equiangular or gauss, such as {EXAMPLES}.")
