"""Images of known pose for the recipe of warped convolutions: real pictures, moved by one resampling each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from armillary.data import DataConfig, image_grid, open_dataset
from armillary.data.spec import Split
from armillary.nn import sample_image
from armillary.recipes.files import data_file
from armillary.recipes.planar_data import CIFAR10, MNIST, held
from armillary.spaces import ImageGrid, LogPolar, PerspectiveSphere, ScaleAspect, Warp

UPRIGHT = (3, 4, 6, 7)  # digits that a half turn changes, into no other digit among these


@dataclass(frozen=True)
class Task:
    """Poses to estimate: the warp that makes them shifts, their ranges, and how a picture is seen in a pose.

    ``low`` and ``high`` bound u, drawn uniformly; ``report`` names the error of each coordinate with its unit, by
    which the error in units of u is multiplied. ``pictures`` is "digits" or "photographs"; ``place(u, points)`` says
    which place of the picture, in halves of its sides from its middle, is seen at points of the image: (n, 1, 1, 2)
    and (H, W, 2) → (n, H, W, 2).
    """

    name: str
    grid: ImageGrid
    warp: Warp
    low: tuple[float, float]
    high: tuple[float, float]
    pictures: str
    report: tuple[tuple[str, float], tuple[str, float]]
    place: Callable[[Tensor, Tensor], Tensor]


def rotation_scale(size: int, cells: int) -> Task:
    """Digits turned by any angle and scaled by ½ to 1 about the middle of the image."""
    grid, half = ImageGrid(size, size), size / 2
    warp = LogPolar(cells, cells // 2, half / 16, half)
    reach = 0.8 * half  # half a side of the picture at scale 1

    def place(u: Tensor, points: Tensor) -> Tensor:
        return warp.transform(-u, grid)(points) / reach

    report = (("rotation error, degrees", 180 / math.pi), ("scale error, %", 100.0))
    return Task("rotation × scale", grid, warp, (0.0, -math.log(2)), (2 * math.pi, 0.0), "digits", report, place)


def scale_aspect(size: int, cells: int) -> Task:
    """Digits scaled by ½ to 1 along x and along y, from the lower left corner of the image."""
    grid = ImageGrid(size, size)
    warp = ScaleAspect(cells, cells, size / 12, 0.95 * size, (1, 1), "corner")
    centre, reach = 0.64 * size, 0.3 * size

    def place(u: Tensor, points: Tensor) -> Tensor:
        return (warp.transform(-u, grid)(points) - warp.origin(grid) - centre) / reach

    report = (("scale error along y, %", 100.0), ("scale error along x, %", 100.0))
    low = -math.log(2)
    return Task("scale × aspect", grid, warp, (low, low), (0.0, 0.0), "digits", report, place)


def pitch_yaw(size: int, cells: int) -> Task:
    """Photographs painted on a sphere that is turned rigidly, by up to 30° of pitch, then of yaw about the vertical.

    Rigid turns are what happens to a head; the warp makes only the yaw an exact shift (``PerspectiveSphere``). The
    camera is so far away that the warp can hold what a turned picture reaches, 65° from the middle.
    """
    grid, distance = ImageGrid(size, size), 8.0
    focal = 0.46 * size * math.sqrt(distance**2 - 1)  # the outline has a radius of 0.46 sides
    warp = PerspectiveSphere(cells, cells, 1.0, distance, focal, 1.15, 1.15)
    reach = math.radians(35)  # latitudes and longitudes that the picture covers, from its middle

    def place(u: Tensor, points: Tensor) -> Tensor:
        latitude, longitude = warp.locate(points, grid).unbind(-1)
        pitch, yaw = u.unbind(-1)
        longitude = longitude - yaw
        x, y = latitude.cos() * longitude.sin(), latitude.sin().expand_as(longitude)
        z = latitude.cos() * longitude.cos()
        y, z = pitch.cos() * y - pitch.sin() * z, pitch.sin() * y + pitch.cos() * z
        return torch.stack([torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))], dim=-1) / reach

    degrees, most = 180 / math.pi, math.radians(30)
    report = (("pitch error, degrees", degrees), ("yaw error, degrees", degrees))
    return Task("pitch × yaw", grid, warp, (-most, -most), (most, most), "photographs", report, place)


TASKS = (rotation_scale, scale_aspect, pitch_yaw)


def draw_samples(task: Task, count: int, split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` images with random poses, (count, C, *task.grid.shape) in [0, 1] about, and u (count, 2), float32.

    Each picture is taken once and resampled once, bicubically, at the points that the pose sends to the pixels. Test
    pictures are the same for each seed, and none is in the training split.
    Raises: ValueError where fewer pictures are there.
    """
    pictures = load_pictures(task.pictures, split)
    if len(pictures) < count:
        raise ValueError(f"got {count} {split} samples, wanted at most the {len(pictures)} pictures that are there.")
    generator = torch.Generator().manual_seed(2 * seed + (split == "test"))
    chosen = torch.arange(count) if split == "test" else torch.randperm(len(pictures), generator=generator)[:count]
    low, high = (torch.tensor(bound, dtype=torch.float64) for bound in (task.low, task.high))
    u = low + (high - low) * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return render(task, pictures[chosen].float() / 255, u), u.float()


def render(task: Task, pictures: Tensor, u: Tensor) -> Tensor:
    """Pictures (n, C, h, w) seen in the poses u (n, 2): (n, C, *task.grid.shape) float32."""
    own = ImageGrid(*pictures.shape[-2:])
    sides = torch.tensor([own.width / 2, own.height / 2], dtype=torch.float64)
    parts = [
        sample_image(some, task.place(v[:, None, None], task.grid.points) * sides, own, "bicubic")
        for some, v in zip(pictures.split(256), u.double().split(256), strict=True)
    ]
    return torch.cat(parts)


def load_pictures(kind: str, split: Split) -> Tensor:
    """All pictures of a split, "train" or "test": (n, C, h, w) uint8.

    "digits": the digits 3, 4, 6 and 7 of MNIST, "photographs": CIFAR-10, from ``mnist.npz`` and
    ``cifar10_jpeg_subset.npz`` in the folder ``$ARMILLARY_DATA``; where a file is not there, scikit-learn's digits.
    Raises: DataError for a file that is damaged.
    """
    return _pictures(_config(kind), split)


def source_of(kind: str) -> str:
    """What ``load_pictures`` reads, in words."""
    return {
        "digits": "scikit-learn's digits 3, 4, 6 and 7 of 8 × 8 pixels",
        "mnist": "MNIST digits 3, 4, 6 and 7",
        "cifar10": "CIFAR-10 photographs",
    }[_config(kind).source]


def _config(kind: str) -> DataConfig:
    path = data_file(MNIST if kind == "digits" else CIFAR10)
    if path is None:
        return DataConfig(source="digits", task="classification", fractions=(0.6, 0.0, 0.4), standardize=False)
    return DataConfig(
        source="mnist" if kind == "digits" else "cifar10",
        path=str(path),
        task="classification",
        fractions=(1.0, 0.0, 0.0),
        standardize=False,
    )


@lru_cache(maxsize=4)
def _pictures(config: DataConfig, split: Split) -> Tensor:
    data = open_dataset(config, image_grid(config), split)
    pictures, labels = held(data, len(data)).tensors
    if config.source != "cifar10":
        pictures = pictures[torch.isin(labels, torch.tensor(UPRIGHT))]
    return pictures.mul(255).round().to(torch.uint8)
