"""A nonlinearity for fields of spin that lets scalars steer what turns, and what turns feed the scalars."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn.activation import Activation, activated, name_of
from armillary.nn.averages import working_dtype
from armillary.nn.harmonic_fields import FieldLayer
from armillary.spaces.fields import FieldGrid, check_orders


class SpinGate(FieldLayer):
    """Each channel acts through what of it does not turn: ``u = A v + b``, one small matrix for each channel.

        v = (Re z_0, Im z_0, |z_s|, ...),     z_0' = σ(u_1) + i σ(u_2),     z_s' = sigmoid(u_s) z_s

    Channel c of all spins s is taken together; the magnitudes are √(|z|² + eps²). ``SpinActivation`` keeps spins apart
    and leaves it to convolutions to join them; here magnitudes reach the scalars at each nonlinearity, and scalars
    open and close what turns.

    Shapes: (B, orders.size, *grid.shape) in and out. State dict: ``weight`` (channels, k, k), at first the identity,
    and ``bias`` (channels, k), k = 2 + the number of other spins. Magnitudes are computed at least in float32.
    Symmetry: commutes with every turn of the frame at each point exactly, with rotations up to the aliasing in (θ, φ)
    of any pointwise function.
    Raises: ValueError for real channels, no spin 0 or none other, spins with different numbers of channels, eps ≤ 0, σ
    that changes the shape, or an input of another shape.
    Source: gates are those of Weiler et al. 2018 (arXiv 1807.02547), with one matrix per channel. Pinned by
    ``tests/nn/test_spin_gate.py``.
    """

    def __init__(self, activation: Activation, orders: Orders, grid: FieldGrid, eps: float = 1e-2) -> None:
        super().__init__(orders, grid)
        counts = {channels for _, channels in orders.streams}
        if orders.real or 0 not in orders.orders or len(orders.orders) < 2 or len(counts) > 1:
            raise ValueError(
                f"SpinGate: got {orders}, wanted complex channels of spin 0 and others, as many of each spin: "
                f"Orders.upto(1, 8), or take SpinActivation."
            )
        if not eps > 0:
            raise ValueError(f"SpinGate: got eps = {eps}, wanted a positive number.")
        self.activation, self.channels, self.eps = activation, counts.pop(), eps
        self.zero = orders.orders.index(0)
        size = 1 + len(orders.orders)
        self.weight = nn.Parameter(torch.eye(size).repeat(self.channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(self.channels, size))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "SpinGate")
        parts = x.unflatten(1, (2, -1, self.channels))  # (B, 2, spins, channels, ...)
        below, zero, above = parts.tensor_split([self.zero, self.zero + 1], 2)
        turning = torch.cat([below, above], 2)
        magnitudes = (turning.to(working_dtype(x.dtype)).square().sum(1) + self.eps**2).sqrt().to(x.dtype)
        fixed = torch.cat([zero[:, :, 0], magnitudes], 1).flatten(3)  # (B, k, channels, points)
        u = torch.einsum("cij,bjcp->bicp", self.weight.to(x.dtype), fixed) + self.bias.to(x.dtype).T[..., None]
        u = u.unflatten(3, x.shape[2:])
        acted = activated(self.activation, u[:, :2], "SpinGate")[:, :, None]
        below, above = (turning * torch.sigmoid(u[:, None, 2:])).tensor_split([self.zero], 2)
        return torch.cat([below, acted, above], 2).flatten(1, 3)

    def extra_repr(self) -> str:
        return f"{name_of(self.activation)}{super().extra_repr()}, eps={self.eps:g}"
