"""What stands between convolutions in a harmonic network, or of fields of spin: nonlinearity, norm, magnitudes.

All act on magnitudes |z|, so that e^{imα} passes through, on images as on the sphere. Shape legend: B batch, C complex
channels, H and W pixels; fields are real tensors in the layout of ``groups.Orders``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn.averages import mean_weights, moments, working_dtype
from armillary.nn.fold import Foldable, stock_graph
from armillary.nn.harmonic_fields import FieldLayer
from armillary.nn.norms import merge_over_processes, track_moments
from armillary.spaces.fields import FieldGrid, check_orders


class _MagnitudeLayer(FieldLayer, Foldable, ABC):
    """A function of the magnitudes ``r = √(|z|² + eps²)``; ``eps`` keeps gradients finite at z = 0."""

    def __init__(self, orders: Orders, grid: FieldGrid, eps: float = 1e-3) -> None:
        super().__init__(orders, grid)
        if orders.real:
            raise ValueError(f"{type(self).__name__}: got {orders}, wanted complex channels: real ones have no phase.")
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: got eps = {eps}, wanted a positive number.")
        self.eps = eps

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, orders.size, H, W) → (B, orders_out.size, H, W)."""

    def magnitudes(self, x: Tensor) -> Tensor:
        """``√(|z|² + eps²)``, (B, C, H, W), at least in float32."""
        check_orders(x, self.orders, self.grid, type(self).__name__)
        return _magnitudes(x.to(working_dtype(x.dtype)), self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps:g}"


class Magnitudes(_MagnitudeLayer):
    """The magnitude of each channel, ``√(|z|² + eps²)``: what does not turn.

    Shapes: (B, orders.size, H, W) → (B, orders.count, H, W). ``eps`` keeps the gradient finite at z = 0.
    Raises: ValueError for an input of another shape, or real channels, which have a sign and no phase.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.magnitudes(x)

    @property
    def orders_out(self) -> Orders:
        return Orders.image(self.orders.count)

    def folded(self) -> nn.Module:
        return stock_graph(partial(_magnitudes, eps=self.eps))


class MagnitudeReLU(_MagnitudeLayer):
    """C-ReLU: ``z ↦ ReLU(r + b_c) z / r`` with ``r = √(|z|² + eps²)`` and one learned b for each channel.

    The phase of z is kept. b starts at 0, where nothing is cut off yet. ``eps`` bounds the slope at z = 0 by b/eps: a
    phase made of rounding is not blown up to magnitude b.

    Shapes: (B, orders.size, H, W) in and out. State dict: ``bias`` (C,).
    Raises: ValueError for an input of another shape, or real channels.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: FieldGrid, eps: float = 1e-3) -> None:
        super().__init__(orders, grid, eps)
        self.bias = nn.Parameter(torch.zeros(orders.count))

    def forward(self, x: Tensor) -> Tensor:
        r = self.magnitudes(x)
        return _scaled(x, torch.relu(r + self.bias.to(r)[:, None, None]) / r).to(x.dtype)

    def folded(self) -> nn.Module:
        def relu(x: Tensor, bias: Tensor) -> Tensor:
            r = _magnitudes(x, self.eps)
            return _scaled(x, torch.relu(r + bias) / r)

        return stock_graph(relu, bias=self.bias[:, None, None])


class MagnitudeBatchNorm(_MagnitudeLayer):
    """Batch normalisation of magnitudes, with its ReLU: ``z ↦ ReLU(w_c (r - μ_c)/√(σ²_c + ε) + b_c) z / r``.

    r is ``√(|z|² + eps²)``; μ and σ² are its mean and (population) variance over the batch and the pixels, on the
    sphere by quadrature, while training, running averages in evaluation. The ReLU belongs to it: a negative magnitude
    would turn the phase by π. Under an initialised ``torch.distributed`` the statistics are those of all processes
    together. ``momentum`` None: a cumulative average.

    Shapes: (B, orders.size, H, W) in and out. State dict: ``weight``, ``bias``, ``running_mean``, ``running_var`` (C,),
    ``num_batches_tracked``. Raises: ValueError for an input of another shape, or real channels.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        orders: Orders,
        grid: FieldGrid,
        eps: float = 1e-3,
        variance_eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(orders, grid, eps)
        self.variance_eps, self.momentum = variance_eps, momentum
        self.register_constant("row_weights", mean_weights(grid))
        self.weight = nn.Parameter(torch.ones(orders.count))
        self.bias = nn.Parameter(torch.zeros(orders.count))
        self.register_buffer("running_mean", torch.zeros(orders.count))
        self.register_buffer("running_var", torch.ones(orders.count))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        r = self.magnitudes(x)
        if self.training:
            mean, var = (m.flatten() for m in moments(r, self.constant("row_weights", r), (0, 2, 3)))
            mean, var = merge_over_processes(mean, var, len(r))
            track_moments(self, mean, var, self.momentum)
        else:
            mean, var = self.running_mean.to(r), self.running_var.to(r)
        gain, shift = self._affine(mean, var)
        return _scaled(x, torch.relu(gain * r + shift) / r).to(x.dtype)

    def _affine(self, mean_C: Tensor, var_C: Tensor) -> tuple[Tensor, Tensor]:
        """What magnitudes are multiplied by and what is added, (C, 1, 1)."""
        gain = self.weight.to(mean_C) * (var_C + self.variance_eps).rsqrt()
        return gain[:, None, None], (self.bias.to(mean_C) - gain * mean_C)[:, None, None]

    def folded(self) -> nn.Module:
        def norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
            r = _magnitudes(x, self.eps)
            return _scaled(x, torch.relu(gain * r + shift) / r)

        gain, shift = self._affine(self.running_mean, self.running_var)
        return stock_graph(norm, gain=gain, shift=shift)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variance_eps={self.variance_eps:g}, momentum={self.momentum}"


def _magnitudes(x: Tensor, eps: float) -> Tensor:
    re, im = x.chunk(2, dim=1)
    return (re.square() + im.square() + eps**2).sqrt()


def _scaled(x: Tensor, factor: Tensor) -> Tensor:
    """Both parts of each channel times a real factor (B, C, H, W)."""
    return (x.unflatten(1, (2, -1)) * factor.unsqueeze(1)).flatten(1, 2)
