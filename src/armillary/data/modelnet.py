"""ModelNet40: clouds of points from HDF5, meshes from OFF files and points drawn on them."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from armillary.data.clouds import Clouds
from armillary.data.config import existing_path
from armillary.data.spec import DataError
from armillary.ops.extras import extra_module
from armillary.ops.integers import checked_integer


def load_modelnet40(
    path: str | os.PathLike[str], split: Literal["train", "test"] = "train", *, points: int = 1024, max_gib: float = 4.0
) -> Clouds:
    """Clouds of a folder with ``*SPLIT*.h5``, in order of their names, or of one HDF5 file: the first ``points`` points
    of each.

    A file has ``data`` (n, at least ``points``, 3) floats, ``label`` (n,) or (n, 1) integers, and perhaps ``normal`` as
    ``data``. Class names are the lines of ``shape_names.txt`` in the folder, else numbers. The published clouds lie in
    the unit ball, and their upward axis is y: rotations "about z" of the papers are ``turns = "y"`` here. Needs the
    extra ``points`` (h5py).
    Raises: ImportError without h5py; DataError for files that are not there, damaged, of another form, or that point to
    other files.
    Source: Wu et al. 2015 (arXiv 1406.5670), in the form of Qi et al. 2017 (arXiv 1612.00593); pinned by
    ``tests/data/test_modelnet.py``.
    """
    h5py = extra_module("h5py", "points", "reading ModelNet40")
    found = existing_path(path)
    files = sorted(found.glob(f"*{split}*.h5")) if found.is_dir() else [found]
    if not files:
        raise DataError(f"{path}: no files *{split}*.h5.")
    tables = [_read_h5(h5py, file, points, max_gib) for file in files]
    with_normals = all(t[2] is not None for t in tables)
    labels = np.concatenate([t[1] for t in tables])
    names_file = (found if found.is_dir() else found.parent) / "shape_names.txt"
    if names_file.is_file():
        lines = names_file.read_text(encoding="utf-8", errors="replace").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    else:
        names = tuple(str(k) for k in range(int(labels.max(initial=0)) + 1))
    try:
        return Clouds(
            torch.from_numpy(np.concatenate([t[0] for t in tables])),
            torch.from_numpy(labels),
            names,
            torch.from_numpy(np.concatenate([t[2] for t in tables if t[2] is not None])) if with_normals else None,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_h5(h5py: Any, path: Path, points: int, max_gib: float) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    try:
        with h5py.File(path, "r") as file:
            x = _read_table(h5py, file, path, "data", max_gib)
            labels = _read_table(h5py, file, path, "label", max_gib)
            normals = _read_table(h5py, file, path, "normal", max_gib) if "normal" in file else None
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not an HDF5 file that can be read ({error}); is it complete?") from error
    shapes = x.ndim == 3 and x.shape[2] == 3 and labels.size == len(x) and labels.shape[:1] == x.shape[:1]
    if not shapes or x.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: got data {x.dtype} {x.shape} and label {labels.dtype} {labels.shape}, wanted floats "
            f"(n, points, 3) and integers (n,) or (n, 1)."
        )
    if normals is not None and (normals.shape != x.shape or normals.dtype.kind != "f"):
        raise DataError(f"{path}: got normal {normals.dtype} {normals.shape}, wanted floats {x.shape}.")
    if not 1 <= checked_integer("points", points) <= x.shape[1]:
        raise DataError(f"{path}: got points = {points}, the clouds have {x.shape[1]}.")
    short = None if normals is None else normals[:, :points].astype(np.float32)
    return x[:, :points].astype(np.float32), labels.reshape(len(x)).astype(np.int64), short


def _read_table(h5py: Any, file: Any, path: Path, name: str, max_gib: float) -> np.ndarray:
    link = file.get(name, getlink=True)
    table = file.get(name) if isinstance(link, h5py.HardLink) else None
    own = isinstance(table, h5py.Dataset) and table.shape is not None and not (table.external or table.is_virtual)
    if table is None or not own or table.dtype.kind not in "iuf":
        raise DataError(f"{path}: no table of numbers {name!r} of its own in this file; it has {sorted(file)[:9]}.")
    if table.size * table.dtype.itemsize > max_gib * 2**30:
        raise DataError(f"{path}: {name!r} of shape {table.shape} is over max_gib = {max_gib:g}.")
    return np.asarray(table[()])


def read_off(path: str | os.PathLike[str], max_gib: float = 1.0) -> tuple[Tensor, Tensor]:
    """Vertices (V, 3) float64 and triangles (F, 3) int64 of a mesh in the OFF format; faces of more corners become
    fans.

    Comments, colours behind faces, and the counts on the first line ("OFF490 518 0", as in ModelNet) are understood.
    Raises: DataError for what is no such file, is cut short, or has faces of vertices that are not there.
    Source: pinned by ``tests/data/test_modelnet.py``.
    """
    found = existing_path(path)
    if found.is_file() and found.stat().st_size > max_gib * 2**30:
        raise DataError(f"{path}: larger than max_gib = {max_gib:g}.")
    try:
        text = found.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    lines = [line for line in (raw.partition("#")[0].strip() for raw in text.splitlines()) if line]
    if not lines or not lines[0].startswith("OFF"):
        raise DataError(f"{path}: begins with {lines[0][:20]!r}, wanted OFF." if lines else f"{path}: empty.")
    lines[0] = lines[0][3:].strip()
    lines = lines if lines[0] else lines[1:]
    counts = lines[0].split() if lines else []
    if len(counts) < 2 or not all(c.isascii() and c.isdigit() and len(c) < 10 for c in counts[:2]):
        raise DataError(f"{path}: wanted the numbers of vertices and faces, got {' '.join(counts)[:40]!r}.")
    V, F = int(counts[0]), int(counts[1])
    if len(lines) < 1 + V + F:
        raise DataError(f"{path}: {len(lines) - 1} lines for {V} vertices and {F} faces; is the file complete?")
    try:
        vertices = np.array([line.split()[:3] for line in lines[1 : 1 + V]], dtype=np.float64).reshape(V, 3)
        triangles: list[tuple[int, int, int]] = []
        for line in lines[1 + V : 1 + V + F]:
            parts = line.split()
            corners = [int(p) for p in parts[1 : 1 + int(parts[0])]]
            if len(corners) != int(parts[0]) or len(corners) < 1:
                raise ValueError(f"a face of {parts[0]} corners has {len(corners)}")
            triangles += [(corners[0], a, b) for a, b in pairwise(corners[1:])]
    except ValueError as error:
        raise DataError(f"{path}: {error}; wanted three numbers a vertex, and corners in faces.") from error
    faces = np.array(triangles, dtype=object).reshape(-1, 3)
    if len(faces) and not (faces.min() >= 0 and faces.max() < V):
        raise DataError(f"{path}: a face has a corner {faces.max()} or {faces.min()}, wanted 0 to {V - 1}.")
    if not np.isfinite(vertices).all():
        raise DataError(f"{path}: vertices are not finite.")
    return torch.from_numpy(vertices), torch.from_numpy(faces.astype(np.int64))


def sample_surface(vertices: Tensor, triangles: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Points drawn uniformly, by area, on the triangles of a mesh: (count, 3) in the type of ``vertices``.

    Raises: ValueError where the triangles have no area.
    Source: pinned by ``tests/data/test_modelnet.py``.
    """
    a, b, c = vertices[triangles].unbind(1)
    areas = torch.linalg.vector_norm(torch.linalg.cross(b - a, c - a), dim=1).double()
    if not float(areas.sum()) > 0:
        raise ValueError(f"the {len(triangles)} triangles have no area: no point can be drawn on them.")
    ends = areas.cumsum(0)
    drawn = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    face = torch.searchsorted(ends, drawn[:, 0] * ends[-1], right=True).clamp(max=len(areas) - 1)
    u, v = drawn[:, 1:].to(vertices).unbind(1)
    root = u.sqrt()[:, None]
    v = v[:, None]
    return (1 - root) * a[face] + root * (1 - v) * b[face] + root * v * c[face]


def normalized(points: Tensor) -> Tensor:
    """Clouds (..., points, 3) with their mean moved to the origin and the farthest point to distance 1.

    A cloud whose points all lie in one place becomes zeros.
    """
    points = points - points.mean(-2, keepdim=True)
    radius = torch.linalg.vector_norm(points, dim=-1).amax(-1)[..., None, None]
    return torch.where(radius > 0, points / torch.where(radius > 0, radius, 1), torch.zeros_like(points))
