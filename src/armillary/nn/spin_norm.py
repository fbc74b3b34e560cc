"""Batch normalisation of fields of spin on the sphere.

Fields are real tensors (B, orders.size, H, W) in the layout of ``groups.Orders``, an order being a spin; C complex
channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.averages import mean_weights, moments, working_dtype
from armillary.nn.harmonic_fields import FieldLayer
from armillary.nn.norms import merge_over_processes, track_moments
from armillary.spaces import SphereGrid
from armillary.spaces.fields import check_orders


class SpinBatchNorm(FieldLayer):
    """Batch normalisation without a nonlinearity: ``z ↦ w_c (z - μ_c)/√(σ²_c + ε) + b_c``, phases kept.

    σ² is half the mean of |z - μ|², the variance of either part, over the batch and, by quadrature, the sphere; μ, the
    mean, and the learned complex b are there for spin 0 alone: no other spin has a constant field. Running averages
    (``momentum``; None: cumulative) in evaluation. Under an initialised ``torch.distributed`` the statistics are those
    of all processes together.

    Shapes: (B, orders.size, *grid.shape) in and out. State dict: ``weight``, ``running_var`` (C,), ``bias``,
    ``running_mean`` (2, channels of spin 0), ``num_batches_tracked``.
    Symmetry: exact where the grid integrates |z|². Raises: ValueError for real channels or an input of another shape.
    Source: Ioffe & Szegedy 2015, with the sum over pixels read as a quadrature; pinned by
    ``tests/nn/test_spin_layers.py``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, orders: Orders, grid: SphereGrid, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(orders, grid)
        if orders.real:
            raise ValueError(f"SpinBatchNorm: got {orders}, wanted complex channels: take SphereBatchNorm for real.")
        self.eps, self.momentum = eps, momentum
        self.before = sum(n for spin, n in orders.streams if spin < 0)
        self.zeros = dict(orders.streams).get(0, 0)
        self.register_constant("row_weights", mean_weights(grid))
        self.weight = nn.Parameter(torch.ones(orders.count))
        self.bias = nn.Parameter(torch.zeros(2, self.zeros))
        self.register_buffer("running_mean", torch.zeros(2, self.zeros))
        self.register_buffer("running_var", torch.ones(orders.count))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "SpinBatchNorm")
        parts = x.to(working_dtype(x.dtype)).unflatten(1, (2, -1))
        if self.training:
            mean, var = self._statistics(parts)
            track_moments(self, mean, var, self.momentum)
        else:
            mean, var = self.running_mean.to(parts), self.running_var.to(parts)
        gain = self.weight.to(var) * (var + self.eps).rsqrt()
        shift = self._padded(self.bias.to(var)) - gain * self._padded(mean)
        return (parts * gain[:, None, None] + shift[..., None, None]).flatten(1, 2).to(x.dtype)

    def _statistics(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of spin 0, (2, channels of spin 0), and the variance of every channel, (C,)."""
        mean, var = (m.view(2, -1) for m in moments(parts, self.constant("row_weights", parts), (0, 3, 4)))
        kept = self._padded(self._of_spin_zero(mean))
        own = var + (mean - kept).square()  # the mean of a component that turns is no mean of the field
        kept, own = (m.view(2, -1) for m in merge_over_processes(kept.flatten(), own.flatten(), len(parts)))
        return self._of_spin_zero(kept), own.mean(0)

    def _of_spin_zero(self, values_C: Tensor) -> Tensor:
        return values_C[..., self.before : self.before + self.zeros]

    def _padded(self, values: Tensor) -> Tensor:
        """(2, channels of spin 0) → (2, C), zero for other spins."""
        return F.pad(values, (self.before, self.orders.count - self.before - self.zeros))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps:g}, momentum={self.momentum}"
