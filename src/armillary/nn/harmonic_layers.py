"""What stands between convolutions in a harmonic network: nonlinearity, norm, pooling, magnitudes.

All act on magnitudes |z| or alike on every channel, so that e^{imα} passes through. Shape legend: B batch, C complex
channels, H and W pixels; fields are real tensors in the layout of ``groups.Orders``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.averages import working_dtype
from armillary.nn.norms import merge_over_processes
from armillary.ops.constants import ConstantModule
from armillary.spaces import ImageGrid


def check_orders(x: Tensor, orders: Orders, grid: ImageGrid, who: str) -> None:
    """Raise a ValueError that says what came, what was wanted and the fix, unless x is (B, orders.size, H, W)."""
    grid.check_field(x, who)
    if x.ndim != 4 or x.shape[1] != orders.size:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, {who} was built for (batch, {orders.size}, {grid.height}, {grid.width}), "
            f"the real channels of {orders}: pass other orders, or reshape x."
        )


class _FieldLayer(ConstantModule):
    """A layer on fields of one kind on one grid."""

    def __init__(self, orders: Orders, grid: ImageGrid) -> None:
        super().__init__()
        self.orders, self.grid, self.in_channels = orders, grid, orders.size

    def extra_repr(self) -> str:
        return f"{self.orders}, {self.grid}"


class Magnitudes(_FieldLayer):
    """The magnitude of each channel, ``√(|z|² + eps²)``: what does not turn.

    Shapes: (B, orders.size, H, W) → (B, orders.count, H, W). ``eps`` keeps the gradient finite at z = 0.
    Raises: ValueError for an input of another shape, or real channels, which have a sign and no phase.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: ImageGrid, eps: float = 1e-3) -> None:
        super().__init__(orders, grid)
        if orders.real:
            raise ValueError(f"{type(self).__name__}: got {orders}, wanted complex channels: real ones have no phase.")
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: got eps = {eps}, wanted a positive number.")
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, type(self).__name__)
        return self.magnitudes(x)

    def magnitudes(self, x: Tensor) -> Tensor:
        """``√(|z|² + eps²)``, (B, C, H, W), at least in float32."""
        re, im = x.to(working_dtype(x.dtype)).chunk(2, dim=1)
        return (re.square() + im.square() + self.eps**2).sqrt()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps:g}"


class MagnitudeReLU(Magnitudes):
    """C-ReLU: ``z ↦ ReLU(r + b_c) z / r`` with ``r = √(|z|² + eps²)`` and one learned b for each channel.

    The phase of z is kept. b starts at 0, where nothing is cut off yet. ``eps`` bounds the slope at z = 0 by b/eps: a
    phase made of rounding is not blown up to magnitude b.

    Shapes: (B, orders.size, H, W) in and out. State dict: ``bias`` (C,).
    Raises: ValueError for an input of another shape, or real channels.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: ImageGrid, eps: float = 1e-3) -> None:
        super().__init__(orders, grid, eps)
        self.bias = nn.Parameter(torch.zeros(orders.count))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, type(self).__name__)
        r = self.magnitudes(x)
        return _scaled(x, torch.relu(r + self.bias.to(r)[:, None, None]) / r)


class MagnitudeBatchNorm(Magnitudes):
    """Batch normalisation of magnitudes, with its ReLU: ``z ↦ ReLU(w_c (r - μ_c)/√(σ²_c + ε) + b_c) z / r``.

    r is ``√(|z|² + eps²)``; μ and σ² are its mean and (population) variance over the batch and the pixels while
    training, running averages in evaluation. The ReLU belongs to it: a negative magnitude would turn the phase by π.
    Under an initialised ``torch.distributed`` the statistics are those of all processes together. ``momentum`` None: a
    cumulative average.

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
        grid: ImageGrid,
        eps: float = 1e-3,
        variance_eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(orders, grid, eps)
        self.variance_eps, self.momentum = variance_eps, momentum
        self.weight = nn.Parameter(torch.ones(orders.count))
        self.bias = nn.Parameter(torch.zeros(orders.count))
        self.register_buffer("running_mean", torch.zeros(orders.count))
        self.register_buffer("running_var", torch.ones(orders.count))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, type(self).__name__)
        r = self.magnitudes(x)
        if self.training:
            var, mean = torch.var_mean(r, dim=(0, 2, 3), correction=0)
            mean, var = merge_over_processes(mean, var, len(r))
            self._track(mean.detach(), var.detach())
        else:
            mean, var = self.running_mean.to(r), self.running_var.to(r)
        gain = self.weight.to(r) * (var + self.variance_eps).rsqrt()
        shift = self.bias.to(r) - gain * mean
        return _scaled(x, torch.relu(gain[:, None, None] * r + shift[:, None, None]) / r)

    @torch.no_grad()
    def _track(self, mean_C: Tensor, var_C: Tensor) -> None:
        self.num_batches_tracked += 1
        rate = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += rate * (mean_C.to(self.running_mean) - self.running_mean)
        self.running_var += rate * (var_C.to(self.running_var) - self.running_var)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variance_eps={self.variance_eps:g}, momentum={self.momentum}"


def _scaled(x: Tensor, factor: Tensor) -> Tensor:
    """Both parts of each channel times a real factor (B, C, H, W), in the dtype of x."""
    return (x * torch.cat([factor, factor], dim=1)).to(x.dtype)


class ImageMeanPool(_FieldLayer):
    """The mean over blocks of ``factor`` × ``factor`` pixels.

    Shapes: (B, orders.size, H, W) → (B, orders.size, H/factor, W/factor), on ``grid_out``. Blocks fill the image, so
    that the middle of the output is that of the input and quarter turns commute exactly. A block is square and its ends
    are sharp: with other turns it commutes for smooth images only, to the second order in the wavenumber.
    Raises: ValueError where factor does not divide the height and the width, or for an input of another shape.
    Pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: ImageGrid, factor: int = 2) -> None:
        super().__init__(orders, grid)
        if factor < 1 or grid.height % factor or grid.width % factor:
            raise ValueError(
                f"ImageMeanPool: got factor = {factor} on {grid}, wanted a divisor of its height and width: the blocks "
                f"would not lie about the middle. Pad the image, or take BlurPool for odd sizes."
            )
        self.factor = factor
        self.grid_out = ImageGrid(grid.height // factor, grid.width // factor)

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "ImageMeanPool")
        return F.avg_pool2d(x, self.factor)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()} → {self.grid_out}, factor={self.factor}"


class BlurPool(_FieldLayer):
    """A Gaussian blur, then every ``factor``-th pixel: a stride that keeps the symmetry.

    Equation: ``y(p) = Σ_q g(q) x(p + q) / Σ_q g(q)``, ``g = exp(-|q|² / 2σ²)``, σ = ``sigma · factor`` pixels, cut off
    beyond 3σ; the image goes on with zeros. The Gaussian removes what the coarse grid would fold back; a stride without
    it does not commute with turns, however exact the convolution before it.

    Shapes: (B, orders.size, H, W) → (B, orders.size, *grid_out.shape), with the middle where it was: an odd size keeps
    pixels 0, factor, … up to the last (size - 1 has to be a multiple of factor), an even one, for even factors, the
    points midway between pixels, size/factor of them.
    Raises: ValueError for a size whose middle would move, or an input of another shape.
    Source: anti-aliased strides (Zhang 2019, arXiv 1904.11486) with a round filter; pinned by
    ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: ImageGrid, factor: int = 2, sigma: float = 0.5) -> None:
        super().__init__(orders, grid)
        if factor < 2 or not sigma > 0:
            raise ValueError(f"BlurPool: got factor = {factor}, sigma = {sigma}, wanted factor >= 2 and sigma > 0.")
        self.factor, self.sigma = factor, sigma
        sizes, self.padding = [], []
        for axis, size in enumerate(grid.shape):
            taps, count = self._axis(size)
            sizes.append(count)
            # zeros so that the first window is centred on the first point of the output
            first = ((size - 1) - (count - 1) * factor) / 2
            self.padding.append(round((len(taps) - 1) / 2 - first))
            self.register_constant(f"taps_{axis}", taps / taps.sum())
        self.grid_out = ImageGrid(*sizes)

    def _axis(self, size: int) -> tuple[Tensor, int]:
        """The taps along one axis and the number of points of the output."""
        width = self.sigma * self.factor
        odd = size % 2 == 1
        if (odd and (size - 1) % self.factor) or (not odd and (self.factor % 2 or size % self.factor)):
            raise ValueError(
                f"BlurPool: got {self.grid} and factor = {self.factor}; the middle of the image would move. Wanted odd "
                f"sizes with size - 1 a multiple of factor, or even sizes that an even factor divides: pad the image."
            )
        reach = round(3 * width)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64) if odd else torch.arange(-reach, reach) + 0.5
        taps = torch.exp(-(steps.double() ** 2) / (2 * width**2))
        return taps, (size - 1) // self.factor + 1 if odd else size // self.factor

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "BlurPool")
        channels = x.shape[1]
        rows = self.constant("taps_0", x).view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = self.constant("taps_1", x).view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        step = self.factor
        x = F.conv2d(x, rows, stride=(step, 1), padding=(self.padding[0], 0), groups=channels)
        return F.conv2d(x, columns, stride=(1, step), padding=(0, self.padding[1]), groups=channels)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()} → {self.grid_out}, factor={self.factor}, sigma={self.sigma:g}"
