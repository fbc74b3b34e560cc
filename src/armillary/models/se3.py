"""Networks of signals on R³ × SO(3) for point clouds: a class for each cloud, or one for each point.

Shape legend: B clouds, N points, M centres, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from armillary.groups import SO3, Degrees, SO3Signals, solid_rule
from armillary.models.points import centred_clouds, invariants, nearest
from armillary.nn import NormReLU, PointConv, RotationMLP, SignalBatchNorm
from armillary.ops.integers import checked_integer

Nonlinearity = Callable[[SO3Signals], nn.Module]
Convolution = Callable[[SO3Signals, SO3Signals, float], nn.Module]
INPUTS = Degrees.of({0: 1, 1: 1})


class Residual(nn.Module):
    """``x + layer(x)``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


def sampled_mlp(signals: SO3Signals) -> nn.Module:
    """``RotationMLP`` beside the identity: at the 60 rotations of an icosahedron where these hold the band (≤ 2), else
    by a product rule of that band."""
    return Residual(RotationMLP(signals, rule=solid_rule(60) if signals.band <= 2 else SO3().quadrature(signals.band)))


def norm_relu(signals: SO3Signals) -> NormReLU:
    """``NormReLU`` of all columns of the signals, as a tensor field network has it."""
    return NormReLU(signals.degrees)


def full_convolution(signals: SO3Signals, signals_out: SO3Signals, cutoff: float) -> PointConv:
    """``PointConv`` with filters up to degree 2: all of the convolutions of SE(3), in the tensor field form."""
    return PointConv(signals.degrees, signals_out.degrees, cutoff, max_degree=2)


def first_points(positions: Tensor, count: int) -> Tensor:
    """The numbers 0..count - 1 for each cloud (B, N, 3), (B, count): a random choice where the order is random."""
    return torch.arange(count, device=positions.device).expand(len(positions), -1)


@torch.no_grad()
def farthest_points(positions: Tensor, count: int) -> Tensor:
    """``count`` points of each cloud (B, N, 3), each the farthest from those before it: their numbers, (B, count).

    The first is the farthest from the mean, so that the choice moves with the cloud and does not depend on the order of
    its points. Raises: ValueError for a count outside 1..N.
    """
    checked_integer("count", count, 1, positions.shape[1])
    clouds = torch.arange(len(positions), device=positions.device)
    distance = (positions - positions.mean(1, keepdim=True)).square().sum(-1)
    chosen = [distance.argmax(1)]
    distance = torch.full_like(distance, torch.inf)
    for _ in range(count - 1):
        last = positions[clouds, chosen[-1]][:, None]
        distance = torch.minimum(distance, (positions - last).square().sum(-1))
        chosen.append(distance.argmax(1))
    return torch.stack(chosen, 1)


class SE3Classifier(nn.Module):
    """Class scores of a point cloud that do not change when it is moved or turned.

    Features are ``channels`` functions on SO(3) of degree ≤ ``band`` at each point, at first 1 and the vector from the
    middle of the cloud. Each convolution goes to 1/``reduction`` of the points, over the ``neighbours`` nearest within
    its cutoff; a nonlinearity acts behind it. The scalars and the lengths of all other columns of the points left, by
    mean and maximum, and two dense layers make the scores.

    ``nonlinearity``: of signals, ``sampled_mlp`` or ``norm_relu``; ``convolution``: ``full_convolution`` or
    ``SE3SeparableConv``, after the first; ``subsample``: ``farthest_points`` or ``first_points``.
    Shapes: (B, N, 3) → (B, classes). Invariant under motions of space up to the quadrature of ``sampled_mlp``; exact
    with ``norm_relu``.
    Raises: ValueError for too few cutoffs, sizes < 1, no points, or positions of another shape.
    Source: after Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/models/test_se3.py``.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 12,
        cutoffs: Sequence[float] = (0.4, 0.7, 1.2),
        *,
        band: int = 1,
        neighbours: int = 16,
        reduction: int = 3,
        hidden: int = 64,
        nonlinearity: Nonlinearity = sampled_mlp,
        convolution: Convolution = full_convolution,
        subsample: Callable[[Tensor, int], Tensor] = farthest_points,
    ) -> None:
        super().__init__()
        self.signals = SO3Signals(channels, band)
        steps = [reduction] * len(cutoffs)
        self.body = _Encoder(self.signals, cutoffs, neighbours, steps, nonlinearity, convolution, subsample)
        sizes = 2 * self.signals.degrees.count
        self.head = nn.Sequential(nn.Linear(sizes, hidden), nn.GELU(), nn.Linear(hidden, classes))

    def forward(self, positions: Tensor) -> Tensor:
        _, x = self.body(centred_clouds(positions))[-1]
        features = invariants(self.signals.degrees, x)
        return self.head(torch.cat([features.mean(1), features.amax(1)], 1))


class SE3Segmenter(nn.Module):
    """Class scores of each point of a cloud, the same when the cloud is moved or turned: part segmentation.

    Down as ``SE3Classifier``, whose arguments these are, after a first convolution at all points; then up, by
    convolutions from coarse points to fine ones, over the eight nearest at most, with cutoffs half as wide again, whose
    output is added to what was there on the way down. Each point's scalars and lengths, and the mean over the cloud of
    the coarsest ones, go through two dense layers.

    Shapes: (B, N, 3) → (B, N, classes). Commutes with permutations of the points where ``subsample`` does.
    Raises: ValueError for too few cutoffs, sizes < 1, no points, or positions of another shape.
    Source: after Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903; pinned by ``tests/models/test_se3.py``.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 8,
        cutoffs: Sequence[float] = (0.3, 0.5, 0.9),
        *,
        band: int = 1,
        neighbours: int = 16,
        reduction: int = 3,
        hidden: int = 64,
        nonlinearity: Nonlinearity = sampled_mlp,
        convolution: Convolution = full_convolution,
        subsample: Callable[[Tensor, int], Tensor] = farthest_points,
    ) -> None:
        super().__init__()
        self.signals, self.neighbours = SO3Signals(channels, band), neighbours
        signals = self.signals
        if len(cutoffs) < 2:
            raise ValueError(
                f"got cutoffs = {tuple(cutoffs)}, wanted those of the finest points and of one level more."
            )
        steps = [1] + [reduction] * (len(cutoffs) - 1)
        self.body = _Encoder(signals, cutoffs, neighbours, steps, nonlinearity, convolution, subsample)
        self.up = nn.ModuleList(convolution(signals, signals, 1.5 * c) for c in cutoffs[1:])
        self.activations = nn.ModuleList(
            nn.Sequential(SignalBatchNorm(signals), nonlinearity(signals)) for _ in self.up
        )
        sizes = 2 * signals.degrees.count
        self.head = nn.Sequential(nn.Linear(sizes, hidden), nn.GELU(), nn.Linear(hidden, classes))

    def forward(self, positions: Tensor) -> Tensor:
        levels = self.body(centred_clouds(positions))
        coarse, x = levels.pop()
        whole = invariants(self.signals.degrees, x).mean(1, keepdim=True)
        for conv, activation in zip(reversed(self.up), reversed(self.activations), strict=True):
            fine, before = levels.pop()
            x = activation(before + _convolved(conv, x, coarse, fine, min(8, self.neighbours)))
            coarse = fine
        features = invariants(self.signals.degrees, x)
        return self.head(torch.cat([features, whole.expand_as(features)], -1))


class _Encoder(nn.Module):
    """Convolutions from level to level, each with a nonlinearity behind it: positions and features of all levels."""

    def __init__(
        self,
        signals: SO3Signals,
        cutoffs: Sequence[float],
        neighbours: int,
        reductions: Sequence[int],
        nonlinearity: Nonlinearity,
        convolution: Convolution,
        subsample: Callable[[Tensor, int], Tensor],
    ) -> None:
        super().__init__()
        if not cutoffs:
            raise ValueError("got no cutoffs, wanted the radius of one or more convolutions.")
        self.cutoffs, self.neighbours = tuple(cutoffs), checked_integer("neighbours", neighbours, 1)
        self.reductions = [checked_integer("reduction", n, 1) for n in reductions]
        self.subsample = subsample
        first = PointConv(INPUTS, signals.degrees, cutoffs[0], max_degree=2)
        self.convs = nn.ModuleList([first, *(convolution(signals, signals, c) for c in cutoffs[1:])])
        self.activations = nn.ModuleList(
            nn.Sequential(SignalBatchNorm(signals), nonlinearity(signals)) for _ in cutoffs
        )

    def forward(self, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        flat = positions.flatten(0, 1)
        x = torch.cat([torch.ones_like(flat[:, :1]), 3**0.5 * flat[:, [1, 2, 0]]], 1).unflatten(0, positions.shape[:2])
        levels = []
        for conv, activation, n, cutoff in zip(
            self.convs, self.activations, self.reductions, self.cutoffs, strict=True
        ):
            count = -(-positions.shape[1] // n)
            chosen = self.subsample(positions, count)
            centres = positions if n == 1 else positions.gather(1, chosen[..., None].expand(-1, -1, 3))
            x = activation(_convolved(conv, x, positions, centres, self.neighbours, cutoff))
            positions = centres
            levels.append((positions, x))
        return levels


def _convolved(
    conv: nn.Module, x: Tensor, positions: Tensor, centres: Tensor, neighbours: int, cutoff: float = torch.inf
) -> Tensor:
    """From x (B, N, ·) at positions (B, N, 3) to centres (B, M, 3), over the ``neighbours`` nearest within a cutoff."""
    table = nearest(centres, positions, min(neighbours, positions.shape[1]), cutoff)
    y = conv(x.flatten(0, 1), positions.flatten(0, 1), table, centres.flatten(0, 1))
    return y.unflatten(0, centres.shape[:2])
