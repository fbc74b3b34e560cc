"""The real data of recipes: files in the folder that ``$ARMILLARY_DATA`` names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from armillary.data.arrays import open_npz, read_array

_MAX_GIB = 4.0


def data_file(name: str) -> Path | None:
    """A file in the folder that ``$ARMILLARY_DATA`` names, or None where there is none."""
    folder = os.environ.get("ARMILLARY_DATA", "")
    path = Path(folder) / name
    return path if folder and path.is_file() else None


def required_file(name: str) -> Path:
    """The same where a recipe cannot do without. Raises: ValueError where the file is not there."""
    path = data_file(name)
    if path is None:
        raise ValueError(
            f"this recipe reads {name}, and there is none in ARMILLARY_DATA "
            f"({os.environ.get('ARMILLARY_DATA') or 'not set'}): set it to the folder that holds the file."
        )
    return path


def read_arrays(name: str, arrays: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of a ``required_file``, an .npz archive, by name.

    Raises: ValueError where the file is not there; DataError where it is damaged or lacks one of them.
    """
    path = required_file(name)
    with open_npz(path) as archive:
        return {array: read_array(archive, array, path, _MAX_GIB) for array in arrays}
