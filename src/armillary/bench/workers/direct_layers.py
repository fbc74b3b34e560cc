"""Builders of convolutions on SO(3) evaluated directly, as the published code does it, for the worker ``timer.py``.

Every number that does not depend on the input is a table: the Wigner functions of all (l, m, n, β), Σ(2l + 1)² · 2b of
them, and the Wigner matrices of all points of the filter. Both transforms are a complex Fourier transform over two
angles and one ``einsum`` with the table for each degree, and autograd keeps what it wants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from armillary.nn import LocalKernel
from armillary.ops.wigner import wigner_d
from armillary.spaces import Equiangular


def wigner_functions(lmax: int, beta: Tensor) -> Iterator[Tensor]:
    """d^l_mn(β) for each degree, (2l + 1, 2l + 1, len(beta)) float64; what is yielded is overwritten by the next."""

    def active(l: int) -> tuple[slice, slice]:
        return slice(lmax - l, lmax + l + 1), slice(lmax - l, lmax + l + 1)

    orders = torch.arange(-lmax, lmax + 1)
    return wigner_d(lmax, orders[:, None, None], orders[None, :, None], beta[None, None, :], active)


def point_matrices(kernel: LocalKernel, lmax: int) -> Tensor:
    """D^l_kn(R_p) of all points of the filter, (points, Σ(2l + 1)²) complex64; R_p = Z(α) Y(β) Z(γ - α)."""
    beta = kernel.reach * torch.arange(1, kernel.rings + 1, dtype=torch.float64) / kernel.rings
    alpha, gamma = (2 * math.pi * torch.arange(n, dtype=torch.float64) / n for n in (kernel.azimuths, kernel.turns))
    parts = []
    for l, d in enumerate(wigner_functions(lmax, beta)):
        orders = torch.arange(-l, l + 1, dtype=torch.float64)
        k, n = orders[:, None], orders[None, :]
        angles = alpha[:, None, None, None] * k + (gamma[:, None, None] - alpha[:, None, None, None]) * n
        values = d.permute(2, 0, 1)[:, None, None] * torch.exp(-1j * angles)  # (rings, azimuths, turns, k, n)
        parts.append(values.flatten(3).flatten(0, 2).to(torch.complex64))
    return torch.cat(parts, -1)


class DirectSO3Conv(nn.Module):
    """``nn.SO3Conv`` of one bandlimit b with a local filter on ``Equiangular(2b, 2b)``: the same map, by tables.

    (B, in_channels, γ 2b, β 2b, α 2b) → (B, out_channels, 2b, 2b, 2b).
    """

    table: Tensor
    weights: Tensor
    points: Tensor

    def __init__(self, in_channels: int, out_channels: int, bandlimit: int, kernel: LocalKernel) -> None:
        super().__init__()
        self.bandlimit, grid = bandlimit, Equiangular(2 * bandlimit, 2 * bandlimit)
        functions = enumerate(wigner_functions(bandlimit - 1, grid.colatitudes))
        scaled = [(math.sqrt((2 * l + 1) / (8 * math.pi**2)) * d).float() for l, d in functions]
        step = 2 * math.pi / (2 * bandlimit)
        self.register_buffer("table", torch.cat([d.flatten(0, 1) for d in scaled]), persistent=False)
        self.register_buffer("weights", (grid.ring_weights * step**2).float(), persistent=False)
        self.register_buffer("points", point_matrices(kernel, bandlimit - 1), persistent=False)
        scale = 1 / math.sqrt(len(self.points) * in_channels)
        self.weight = nn.Parameter(scale * torch.randn(out_channels, in_channels, len(self.points)))

    def forward(self, x: Tensor) -> Tensor:
        size = 2 * self.bandlimit
        waves = torch.fft.fft2(x, dim=(2, 4)).permute(3, 4, 2, 0, 1)  # (β, m, n, B, C)
        filters = torch.einsum("ocp,pk->ock", self.weight.to(self.points.dtype), self.points)
        products, start = [], 0
        for l in range(self.bandlimit):
            stop, orders = start + (2 * l + 1) ** 2, torch.arange(-l, l + 1) % size
            table = self.table[start:stop].view(2 * l + 1, 2 * l + 1, size)
            own = waves[:, orders[:, None], orders]
            c = torch.einsum("mnj,jmnbc->mnbc", (table * self.weights).to(own.dtype), own)
            matrices = filters[..., start:stop].unflatten(-1, (2 * l + 1, 2 * l + 1)).conj()
            products.append((orders, table, torch.einsum("mnbc,ockn->mkbo", c, matrices)))
            start = stop
        out = waves.new_zeros(size, size, size, len(x), len(self.weight))
        for orders, table, z in products:
            out[:, orders[:, None], orders] += torch.einsum("mnj,mnbo->jmnbo", table.to(z.dtype), z)
        return torch.fft.ifft2(out.permute(3, 4, 2, 0, 1), dim=(2, 4), norm="forward").real


def build_so3(layer: dict[str, Any]) -> nn.Module:
    """The direct evaluation of a convolution on SO(3)."""
    channels = layer["channels"]
    return DirectSO3Conv(channels, channels, layer["bandlimit"], LocalKernel())


BUILDERS = {"so3": build_so3}
