"""Systems of charged or of heavy bodies, simulated as the published benchmarks do, for networks that tell where they
go.

The usual task: from positions, velocities and charges at one frame, tell the positions ten frames later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from armillary.data.arrays import open_npz, read_array
from armillary.data.draws import keyed_generator
from armillary.data.nbody_kernels import kick_drift, kick_drift_kick
from armillary.data.replacing import replacing
from armillary.data.spec import DataError
from armillary.ops.integers import checked_indices, checked_integer

FRAMES = (30, 40)
"""The frames of the usual task: what is given, what is asked for."""
SPLITS = (3000, 2000, 2000)
"""Systems for training, validation and test, as published."""

_DT = 0.001
_CHUNK = 100  # systems between two steps of the progress bar
_MAX_GIB = 16.0


@dataclass(frozen=True)
class Bodies:
    """``charges`` (systems, bodies), or masses; ``positions``, ``velocities`` and ``forces`` (systems, frames, bodies,
    3), all float64, in the units of the simulation, in which dt = 0.001."""

    charges: Tensor
    positions: Tensor
    velocities: Tensor
    forces: Tensor

    def __len__(self) -> int:
        return len(self.charges)

    def select(self, indices: Tensor | slice) -> Bodies:
        """Those systems, in that order."""
        return Bodies(*(getattr(self, field.name)[indices] for field in fields(self)))

    def split(self, sizes: Sequence[int] = SPLITS) -> tuple[Bodies, ...]:
        """Consecutive parts of the given sizes. Raises: ValueError where they are more systems than there are."""
        if sum(sizes) > len(self) or min(sizes, default=0) < 0:
            raise ValueError(f"got parts of {tuple(sizes)} of {len(self)} systems: make {sum(sizes)} or more.")
        ends = np.cumsum([0, *sizes]).tolist()
        return tuple(self.select(slice(a, b)) for a, b in pairwise(ends))


def charged_systems(
    count: int = sum(SPLITS),
    seed: int = 0,
    *,
    bodies: int = 5,
    steps: int = 5000,
    every: int = 100,
    frames: Sequence[int] | None = FRAMES,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Bodies:
    """Systems of bodies of unit mass with charges ±1, each as likely: like charges repel each other.

        F_i = Σ_j q_i q_j (x_i - x_j) / |x_i - x_j|³, each component clipped to ±100,
        v += dt F, x += dt v, dt = 0.001

    Positions at the start are normal, of deviation (bodies / 5)^{1/3} in each coordinate, velocities have length 0.5
    and random directions. No box, no noise. Frame k is after step ``every`` (k + 1), as published, the velocity that of
    the step that led there; there are ``steps / every - 1`` of them, ``frames`` chooses some, None takes all. Clipping
    components is not equivariant; it matters within a distance of 0.1 only.

    System i is a function of ``seed`` and i, whatever ``count``, up to rounding that close encounters magnify: another
    processor may send a few bodies elsewhere. ``cache``: an npz that is read where it holds these systems, and else
    written, whole or not at all. 7000 systems take some 15 seconds; ``progress`` shows a bar on a terminal.
    Raises: ValueError for other numbers; DataError for a cache of other systems, one that is damaged, or in no folder.
    Source: Kipf et al. 2018 (arXiv 1802.04687) in the 3-D form of Fuchs et al. 2020 and Satorras et al. 2021 (arXiv
    2102.09844); pinned against a direct simulation by ``tests/data/test_nbody.py``.
    """

    def start(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = generator.standard_normal((bodies, 3)) * (bodies / 5) ** (1 / 3)
        v = generator.standard_normal((bodies, 3))
        charges = 2.0 * generator.integers(0, 2, bodies) - 1
        return x, 0.5 * v / np.linalg.norm(v, axis=1, keepdims=True), charges

    law = _Law("charged", kick_drift, coupling=1.0, softening=0.0, most=0.1 / _DT, first=every)
    return _simulated(law, start, count, seed, bodies, steps, every, frames, cache, progress)


def gravity_systems(
    count: int = sum(SPLITS),
    seed: int = 0,
    *,
    bodies: int = 100,
    steps: int = 5000,
    every: int = 100,
    frames: Sequence[int] | None = FRAMES,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Bodies:
    """Systems of bodies of unit mass that attract each other, ``charges`` being the masses.

        F_i = -Σ_j m_i m_j (x_i - x_j) / (|x_i - x_j|² + 0.1²)^{3/2},   kick, drift, kick with dt = 0.001

    Positions and velocities at the start are normal, the mean velocity zero. Frame k is after step ``every`` k, as
    published; there are ``steps / every``. 7000 systems of 100 bodies are 3.5e11 pairs of bodies, about ten minutes:
    ``cache`` them. All else as for ``charged_systems``.
    Source: Brandstetter et al. 2022 (arXiv 2110.02905), section 4; pinned against a direct simulation by
    ``tests/data/test_nbody.py``.
    """

    def start(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, v = generator.standard_normal((2, bodies, 3))
        return x, v - v.mean(0), np.ones(bodies)

    law = _Law("gravity", kick_drift_kick, coupling=-1.0, softening=0.1, most=np.inf, first=0)
    return _simulated(law, start, count, seed, bodies, steps, every, frames, cache, progress)


@dataclass(frozen=True)
class _Law:
    name: str
    integrate: Callable[..., None]
    coupling: float
    softening: float
    most: float
    first: int  # step of frame 0


def _simulated(
    law: _Law,
    start: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]],
    count: int,
    seed: int,
    bodies: int,
    steps: int,
    every: int,
    frames: Sequence[int] | None,
    cache: str | os.PathLike[str] | None,
    progress: bool,
) -> Bodies:
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("bodies", bodies, 1), ("every", every, 1)):
        checked_integer(name, value, least)
    if checked_integer("steps", steps, every) % every:
        raise ValueError(f"got steps = {steps}, wanted a multiple of every = {every}.")
    there = (steps - law.first) // every
    chosen = checked_indices("frames", range(there) if frames is None else frames, there)
    if len(chosen) == 0 or (np.diff(chosen) <= 0).any():
        raise ValueError(f"got frames {chosen.tolist()}, wanted one or more of 0..{there - 1}, ascending.")
    at = law.first + every * chosen
    key = np.array([seed, bodies, steps, every, *chosen], dtype=np.int64)
    path = Path(cache) if cache is not None else None
    if path is not None and path.exists():
        return _read(path, law, key, count)
    if path is not None and not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent} to keep the systems in: make it.")
    x, v, charges = (np.empty((count, *shape)) for shape in ((3, bodies), (3, bodies), (bodies,)))
    for i in range(count):
        position, velocity, charges[i] = start(keyed_generator(f"nbody-{law.name}", seed, i))
        x[i], v[i] = position.T, velocity.T
    out = np.empty((3, count, len(at), bodies, 3))
    for first in _bar(range(0, count, _CHUNK), f"{law.name} systems, {_CHUNK} at a time", progress):
        part = slice(first, first + _CHUNK)
        law.integrate(
            *(x[part], v[part], charges[part], _DT, int(at[-1])),
            *(law.coupling, law.softening, law.most, at, out[:, part]),
        )
    if path is not None:
        _write(path, law, key, charges, out)
    return _as_bodies(charges, *out)


def _as_bodies(*arrays: np.ndarray) -> Bodies:
    return Bodies(*(torch.from_numpy(array) for array in arrays))


def _bar(chunks: Iterable[int], description: str, progress: bool) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(chunks, description, console=console, transient=True, disable=not progress or not console.is_terminal)


def _write(path: Path, law: _Law, key: np.ndarray, charges: np.ndarray, out: np.ndarray) -> None:
    """Whole or not at all."""
    arrays: dict[str, Any] = dict(zip(("positions", "velocities", "forces"), out, strict=True))
    with replacing(path) as file:
        np.savez_compressed(file, key=key, law=np.array(law.name), charges=charges, **arrays)


def _read(path: Path, law: _Law, key: np.ndarray, count: int) -> Bodies:
    names = ("law", "key", "charges", "positions", "velocities", "forces")
    with open_npz(path) as archive:
        held = {name: read_array(archive, name, path, _MAX_GIB) for name in names}
    found = held["charges"].shape[:1]
    if str(held["law"]) != law.name or not np.array_equal(held["key"], key) or not found or found[0] < count:
        raise DataError(
            f"{path} holds {found[0] if found else 'no'} {held['law']} systems of (seed, bodies, steps, every, "
            f"*frames) {held['key'].tolist()}, wanted {count} {law.name} systems of {key.tolist()}: delete it, or name "
            f"another cache."
        )
    shape = (found[0], len(key) - 4, int(key[1]), 3)
    sound = held["charges"].shape == (found[0], int(key[1])) and all(held[n].shape == shape for n in names[3:])
    if not sound or any(held[n].dtype != np.float64 or not np.isfinite(held[n]).all() for n in names[2:]):
        raise DataError(f"{path}: the arrays are not those of {found[0]} systems: delete it.")
    return _as_bodies(*(held[name] for name in names[2:])).select(slice(count))
