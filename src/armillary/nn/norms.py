"""Normalisations whose statistics are averages over the area of the sphere.

Shapes: B batch, C channels, G orientations (only on an ``OrientedGrid``), H rings, W longitudes.

A plain ``nn.BatchNorm2d`` on an equirectangular field counts polar pixels as often as equatorial ones, so its
statistics change when the field turns. Here the mean and the variance are quadratures: for a field f of band limit l
they are exact integrals, the same for every rotation of f, as long as the grid integrates f² (degree 2l) exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from armillary.nn.averages import Space, check_input, mean_weights, moments, normalised, sphere_of, working_dtype
from armillary.ops.constants import ConstantModule


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; the gradient is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _sum_over_processes(grads[0])


_sum_over_processes: Callable[[Tensor], Tensor] = _SumOverProcesses.apply


def processes() -> int:
    """How many processes train together: 1 where torch.distributed is not initialised."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def merge_over_processes(mean_C: Tensor, var_C: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Moments of the union of the batches of all processes, from each one's own moments and number of samples.

    ``mean = Σ_r n_r mean_r / N``, ``var = Σ_r n_r (var_r + (mean_r - mean)²) / N``: no difference of large squares. One
    collective, differentiable. The identity where torch.distributed is not initialised or has one process.

    Raises: ValueError for no sample, which has no moments: running averages would be NaN from then on.
    """
    if samples < 1:
        raise ValueError("got an empty batch while training: its mean and variance are not defined. Leave it out.")
    world = processes()
    if world == 1:
        return mean_C, var_C
    count = torch.full_like(mean_C[:1], samples)
    own = torch.cat([mean_C, var_C, count])
    place = torch.zeros(world, 1, dtype=own.dtype, device=own.device)
    place[torch.distributed.get_rank()] = 1
    rows = _sum_over_processes(place * own)
    means, variances = rows[:, :-1].chunk(2, dim=1)
    share = (rows[:, -1:] / rows[:, -1:].sum()).detach()
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0)


@torch.no_grad()
def track_moments(norm: nn.Module, mean: Tensor, var: Tensor, momentum: float | None) -> None:
    """Count a batch in ``norm.num_batches_tracked``, and move ``running_mean`` and ``running_var`` by ``momentum``
    towards its moments; None: to the average over all batches so far."""
    running_mean, running_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    batches = norm.get_buffer("num_batches_tracked")
    batches += 1
    rate = 1 / batches if momentum is None else momentum
    running_mean += rate * (mean.to(running_mean) - running_mean)
    running_var += rate * (var.to(running_var) - running_var)


def total_over_processes(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradients; itself where there is one process."""
    return value if processes() == 1 else _sum_over_processes(value.detach())


class _SphereNorm(ConstantModule, ABC):
    """What all norms share: the space, an affine map per channel, ``y = (x - mean)/√(var + eps)·weight + bias``."""

    def __init__(self, channels: int, space: Space, eps: float, affine: bool) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: got channels = {channels}, wanted an integer >= 1.")
        sphere_of(space)
        self.channels = channels
        self.space = space
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_constant("ring_weights", mean_weights(space))

    @abstractmethod
    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance by which x is normalised, shaped to broadcast against x."""

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space, type(self).__name__, self.channels)
        work = x.to(working_dtype(x.dtype))
        mean, var = self.statistics(work)
        shape = (1, self.channels) + (1,) * (x.ndim - 2)
        weight = work.new_ones(shape) if self.weight is None else self.weight.to(work).view(shape)
        bias = work.new_zeros(shape) if self.bias is None else self.bias.to(work).view(shape)
        return normalised(work, mean, var, weight, bias, self.eps).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.space}, eps={self.eps:g}, affine={self.weight is not None}"


class SphereBatchNorm(_SphereNorm):
    """Batch normalisation with area-weighted statistics.

    ``y = (x - μ_c)/√(σ²_c + eps)·weight_c + bias_c``; μ_c and σ²_c are averages over the batch, the sphere (by
    quadrature) and the orientations. Shapes: ``(B, C, [G,] H, W)`` in and out. With equal weights (two rings) it equals
    ``nn.BatchNorm2d``, except that ``running_var`` holds the population variance: torch multiplies it by n/(n - 1).

    While training under an initialised ``torch.distributed`` the statistics are those of all processes together, and
    gradients flow through them: two processes give the gradients of one with both batches. Unequal batches may meet.

    Args: ``momentum`` as in torch, None for a cumulative average; ``track_running_stats=False`` uses batch statistics
    in evaluation too. State: weight, bias, running_mean, running_var, num_batches_tracked.
    Raises: ValueError for another number of channels or another grid.
    Source: Ioffe & Szegedy 2015, with the sum over pixels read as a quadrature; pinned by ``tests/nn/test_norms.py``.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        channels: int,
        space: Space,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(channels, space, eps, affine)
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        self.register_buffer("running_mean", torch.zeros(channels) if track_running_stats else None)
        self.register_buffer("running_var", torch.ones(channels) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, self.channels) + (1,) * (x.ndim - 2)
        if not self.training and self.running_mean is not None and self.running_var is not None:
            return self.running_mean.to(x).view(shape), self.running_var.to(x).view(shape)
        mean, var = moments(x, self.constant("ring_weights", x), [0, *range(2, x.ndim)])
        if self.training:
            mean_C, var_C = merge_over_processes(mean.flatten(), var.flatten(), x.shape[0])
            if self.track_running_stats:
                track_moments(self, mean_C, var_C, self.momentum)
            mean, var = mean_C.view(shape), var_C.view(shape)
        return mean, var

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"


class SphereInstanceNorm(_SphereNorm):
    """Each channel of each sample normalised by its own area-weighted moments (over the sphere and orientations).

    Shapes: ``(B, C, [G,] H, W)`` in and out. Raises: ValueError for another number of channels or another grid.
    Source: Ulyanov, Vedaldi & Lempitsky 2016, by quadrature; pinned by ``tests/nn/test_norms.py``.
    """

    def __init__(self, channels: int, space: Space, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(channels, space, eps, affine)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return moments(x, self.constant("ring_weights", x), range(2, x.ndim))


class SphereLayerNorm(_SphereNorm):
    """Each sample normalised by the area-weighted moments over its channels, points and orientations.

    The affine map is per channel, so that the layer commutes with rotations and moves between grids (unlike
    ``nn.LayerNorm`` with one weight per pixel). Shapes: ``(B, C, [G,] H, W)`` in and out.
    Raises: ValueError for another number of channels or another grid.
    Source: Ba, Kiros & Hinton 2016, by quadrature; pinned by ``tests/nn/test_norms.py``.
    """

    def __init__(self, channels: int, space: Space, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(channels, space, eps, affine)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return moments(x, self.constant("ring_weights", x), range(1, x.ndim))


class SphereGroupNorm(_SphereNorm):
    """Each group of channels of each sample normalised by its area-weighted moments.

    ``groups=1`` is ``SphereLayerNorm``, ``groups=channels`` is ``SphereInstanceNorm``. Affine per channel.
    Shapes: ``(B, C, [G,] H, W)`` in and out.
    Raises: ValueError where ``groups`` does not divide ``channels``, for another number of channels or another grid.
    Source: Wu & He 2018, by quadrature; pinned by ``tests/nn/test_norms.py``.
    """

    def __init__(self, groups: int, channels: int, space: Space, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(channels, space, eps, affine)
        if groups < 1 or channels % groups:
            raise ValueError(
                f"SphereGroupNorm: got groups = {groups} for {channels} channels, wanted a divisor of {channels}: "
                f"choose another number of groups or of channels."
            )
        self.groups = groups

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grouped = x.unflatten(1, (self.groups, -1))
        mean, var = moments(grouped, self.constant("ring_weights", x), range(2, grouped.ndim))
        per_group = self.channels // self.groups
        return mean.squeeze(2).repeat_interleave(per_group, 1), var.squeeze(2).repeat_interleave(per_group, 1)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, {super().extra_repr()}"
