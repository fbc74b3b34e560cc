"""Layers on the channels of fields of spin, the same at every point: linear maps, activations, what does not turn.

Fields are real tensors (B, orders.size, ...) in the layout of ``groups.Orders``, an order being a spin.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.activation import Activation, activated, name_of
from armillary.nn.averages import working_dtype
from armillary.nn.dropout import FieldDropout
from armillary.nn.harmonic_fields import FieldLayer
from armillary.nn.harmonic_layers import MagnitudeReLU
from armillary.ops.constants import ConstantModule
from armillary.spaces.fields import FieldGrid, check_orders


def _check_complex(orders: Orders, who: str) -> None:
    if orders.real:
        raise ValueError(
            f"{who}: got {orders}, wanted complex channels: take PointwiseLinear or FieldDropout for real."
        )


class SpinLinear(nn.Module):
    """``z_o(p) = b_o + Σ_c w_oc z_c(p)`` over the channels c of the spin of o, w and z complex; b for spin 0 alone.

    Shapes: (B, orders_in.size, ...) → (B, orders_out.size, ...). Commutes with every rotation, exactly. State dict:
    ``weight.s`` (2, O, I) for each spin s, real and imaginary part, and ``bias`` (2, O) where there is spin 0.

    Raises: ValueError for real channels, spins that differ between input and output, or an input of another shape.
    Pinned by ``tests/nn/test_spin_layers.py``.
    """

    def __init__(self, orders_in: Orders, orders_out: Orders) -> None:
        super().__init__()
        for orders in (orders_in, orders_out):
            _check_complex(orders, "SpinLinear")
        if orders_in.orders != orders_out.orders:
            raise ValueError(
                f"SpinLinear: got the spins {orders_in.orders} and {orders_out.orders}, wanted the same: a map at a "
                f"point leads from no spin to another, a convolution does."
            )
        self.orders_in, self.orders_out, self.in_channels = orders_in, orders_out, orders_in.size
        self.weight = nn.ParameterDict(
            {
                str(spin): nn.Parameter(torch.randn(2, out, inner) * (2 * inner) ** -0.5)
                for (spin, inner), (_, out) in zip(orders_in.streams, orders_out.streams, strict=True)
            }
        )
        zero = dict(orders_out.streams).get(0)
        self.bias = None if zero is None else nn.Parameter(torch.zeros(2, zero))

    def forward(self, x: Tensor) -> Tensor:
        self.orders_in.check(x, "SpinLinear")
        re, im = (torch.block_diag(*(w[i] for w in self.weight.values())) for i in range(2))
        matrix = torch.cat([torch.cat([re, -im], 1), torch.cat([im, re], 1)])
        bias = x.new_zeros(1)
        if self.bias is not None:
            before = sum(n for spin, n in self.orders_out.streams if spin < 0)
            after = sum(n for spin, n in self.orders_out.streams if spin > 0)
            bias = F.pad(self.bias, (before, after)).flatten()[:, None]
        product = torch.baddbmm(bias, matrix.expand(len(x), -1, -1), x[..., None].flatten(2))
        return product.reshape(*product.shape[:2], *x.shape[2:])

    def extra_repr(self) -> str:
        return f"{self.orders_in} → {self.orders_out}"


class SpinActivation(FieldLayer):
    """Any activation σ on the real and on the imaginary part of spin 0, C-ReLU (``MagnitudeReLU``) on other spins.

    What does not turn with the frame may be acted upon as any number; of what turns only the magnitude is changed.
    Streams are not joined, as ``SpinPointwise`` joins them; convolutions do that.

    Shapes: (B, orders.size, *grid.shape) in and out. State dict: ``turning.bias`` (channels of other spins,).
    Symmetry: commutes with every turn of the frame at each point exactly, with rotations up to the aliasing in (θ, φ)
    of any pointwise function. Raises: ValueError for real channels, no channels of spin 0 or none of others, σ that
    changes the shape, or an input of another shape. Pinned by ``tests/nn/test_spin_layers.py``.
    """

    def __init__(self, activation: Activation, orders: Orders, grid: FieldGrid) -> None:
        super().__init__(orders, grid)
        _check_complex(orders, "SpinActivation")
        others = tuple((spin, channels) for spin, channels in orders.streams if spin)
        if 0 not in orders.orders or not others:
            raise ValueError(
                f"SpinActivation: got {orders}, wanted spin 0 and others: take MagnitudeReLU, or Pointwise for scalars."
            )
        self.activation = activation
        self.before, self.zeros = sum(n for spin, n in others if spin < 0), dict(orders.streams)[0]
        self.turning = MagnitudeReLU(Orders(others), grid)

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "SpinActivation")
        sizes = [self.before, self.zeros, self.orders.count - self.before - self.zeros]
        below, zero, above = x.unflatten(1, (2, -1)).split(sizes, 2)
        acted = activated(self.activation, zero, "SpinActivation")
        turned = self.turning(torch.cat([below, above], 2).flatten(1, 2)).unflatten(1, (2, -1))
        below, above = turned.split([sizes[0], sizes[2]], 2)
        return torch.cat([below, acted, above], 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"{name_of(self.activation)}{super().extra_repr()}"


class SpinInvariants(ConstantModule):
    """What does not turn with the frame: real and imaginary parts of spin 0, magnitudes ``√(|z|² + eps²)`` of others.

    Shapes: (B, orders.size, ...) → (B, channels_out, ...): real parts of spin 0, imaginary parts, then the magnitudes,
    which are computed at least in float32.
    Raises: ValueError for real channels, eps <= 0, or an input of another shape.
    Pinned by ``tests/nn/test_spin_layers.py``.
    """

    def __init__(self, orders: Orders, eps: float = 1e-3) -> None:
        super().__init__()
        _check_complex(orders, "SpinInvariants")
        if not eps > 0:
            raise ValueError(f"SpinInvariants: got eps = {eps}, wanted a positive number.")
        self.orders, self.in_channels, self.eps = orders, orders.size, eps
        spins = torch.tensor(orders.channel_orders, device="cpu")
        self.register_constant("turning", spins.nonzero().flatten())
        self.register_constant("fixed", (spins == 0).nonzero().flatten())
        self.channels_out = orders.count + dict(orders.streams).get(0, 0)

    def forward(self, x: Tensor) -> Tensor:
        self.orders.check(x, "SpinInvariants")
        parts = x.unflatten(1, (2, -1))
        turning = parts.index_select(2, self.constant("turning", x))
        magnitudes = (turning.to(working_dtype(x.dtype)).square().sum(1) + self.eps**2).sqrt()
        return torch.cat([parts.index_select(2, self.constant("fixed", x)).flatten(1, 2), magnitudes.to(x.dtype)], 1)

    def extra_repr(self) -> str:
        return f"{self.orders}, eps={self.eps:g}"


class SpinDropout(nn.Module):
    """``FieldDropout`` of complex channels: both parts of one are kept or dropped together.

    Shapes: (B, 2 channels, ...) in and out, all real parts before all imaginary ones. Raises: ValueError unless
    0 ≤ p < 1, or for an odd number of channels. Pinned by ``tests/nn/test_spin_layers.py``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.drop = FieldDropout(p)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] % 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, SpinDropout wants (batch, 2 channels, points...), real parts before "
                f"imaginary ones: take FieldDropout for real channels."
            )
        return self.drop(x.unflatten(1, (2, -1)).transpose(1, 2)).transpose(1, 2).flatten(1, 2)
