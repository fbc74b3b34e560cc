"""Classifiers of point clouds: one of features of SO(3), one that takes coordinates as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armillary.groups import Degrees
from armillary.nn import PointConv, RotationPointwise
from armillary.ops.integers import checked_integer


def nearest(centres: Tensor, positions: Tensor, neighbours: int, cutoff: float = math.inf) -> Tensor:
    """The numbers of the points of clouds (B, N, 3), numbered one after the other, that are nearest to centres
    (B, M, 3) of the same cloud: (B·M, neighbours); -1 for those that are not within the ``cutoff``.

    Raises: ValueError for more neighbours than points.
    """
    B, N = positions.shape[:2]
    if not 1 <= neighbours <= N:
        raise ValueError(f"got neighbours = {neighbours} of {N} points, wanted 1 to {N}.")
    # by differences: as |x|² - 2xy + |y|² a point of a wide cloud would lie some way off itself
    distances = torch.cdist(centres.detach(), positions.detach(), compute_mode="donot_use_mm_for_euclid_dist")
    distances, found = distances.topk(neighbours, largest=False)
    table = found + N * torch.arange(B, device=positions.device)[:, None, None]
    return torch.where(distances < cutoff, table, -1).flatten(0, 1)


class SteerablePointClassifier(nn.Module):
    """Class scores of a point cloud that do not change when it is moved or turned.

    Features of degrees 0 and 1, at first 1 and the vector from the middle of the cloud. Each convolution goes from the
    points to the first half of them, taken for a random half, over the ``neighbours`` nearest; activations act through
    functions on the sphere. The scalars and the lengths of the vectors, their mean and maximum over the points left,
    and two dense layers make the scores. ``cutoffs``: the radius of the kernel of each convolution.

    Shapes: (B, N, 3) → (B, classes), the points of a cloud in random order. Invariant under motions of space up to the
    aliasing of the activation, which ``band`` lowers.
    Raises: ValueError for no cutoff, more neighbours than points, or positions of another shape.
    Source: the layers are those of Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/models/test_points.py``.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 12,
        cutoffs: Sequence[float] = (0.5, 0.8, 1.2),
        *,
        neighbours: int = 16,
        band: int = 3,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        checked_integer("neighbours", neighbours, 1)
        if not cutoffs:
            raise ValueError("got no cutoffs, wanted the radius of one or more convolutions.")
        self.neighbours = neighbours
        inputs, degrees = Degrees.of({0: 1, 1: 1}), Degrees.of({0: channels, 1: channels})
        before = [inputs, *[degrees] * (len(cutoffs) - 1)]
        self.convs = nn.ModuleList(PointConv(b, degrees, c) for b, c in zip(before, cutoffs, strict=True))
        self.activations = nn.ModuleList(RotationPointwise(nn.GELU(), degrees, band) for _ in cutoffs)
        self.degrees = degrees
        self.head = nn.Sequential(nn.Linear(4 * channels, hidden), nn.GELU(), nn.Linear(hidden, classes))

    def forward(self, positions: Tensor) -> Tensor:
        positions = centred_clouds(positions)
        flat = positions.flatten(0, 1)
        x = torch.cat([torch.ones_like(flat[:, :1]), 3**0.5 * flat[:, [1, 2, 0]]], 1)
        for conv, activation in zip(self.convs, self.activations, strict=True):
            centres = positions[:, : (positions.shape[1] + 1) // 2]
            neighbours = nearest(centres, positions, self.neighbours)
            x = activation(conv(x, positions.flatten(0, 1), neighbours, centres.flatten(0, 1)))
            positions = centres
        features = invariants(self.degrees, x).unflatten(0, positions.shape[:2])
        return self.head(torch.cat([features.mean(1), features.amax(1)], 1))


class PlainPointClassifier(nn.Module):
    """Class scores by a network of each point's coordinates, mean and maximum over the cloud, and dense layers
    (PointNet).

    It does not see the order of the points, but their directions. Shapes: (B, N, 3) → (B, classes).
    Raises: ValueError for no widths, or positions of another shape.
    Source: Qi et al. 2017, arXiv 1612.00593, without its transforming networks, and with the mean over the cloud beside
    the maximum; pinned by ``tests/models/test_points.py``.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (32, 64, 96), hidden: int = 64) -> None:
        super().__init__()
        if not widths:
            raise ValueError("got no widths, wanted the channels of one layer or more.")
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths), widths, strict=False):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.points = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.GELU(), nn.Linear(hidden, classes))

    def forward(self, positions: Tensor) -> Tensor:
        features = self.points(centred_clouds(positions))
        return self.head(torch.cat([features.mean(1), features.amax(1)], 1))


def invariants(degrees: Degrees, x: Tensor) -> Tensor:
    """The scalars and the lengths of all other channels of features (..., degrees.size): (..., degrees.count)."""
    parts = zip(degrees.split(x), degrees.degrees, strict=True)
    return torch.cat([p[..., 0, :] if l == 0 else (p.square().sum(-2) + 1e-6).sqrt() for p, l in parts], -1)


def centred_clouds(positions: Tensor) -> Tensor:
    """Clouds (B, N, 3) from their means. Raises: ValueError for another shape, or clouds without points."""
    if positions.ndim != 3 or positions.shape[2] != 3 or positions.shape[1] == 0:
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}, wanted (clouds, points, 3) of one point or more."
        )
    return positions - positions.mean(1, keepdim=True)
