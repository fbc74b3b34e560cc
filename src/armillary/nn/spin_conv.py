"""Convolution of fields of spin on the sphere S² = SO(3)/SO(2): all linear maps that commute with rotations.

Shape legend: B batch, I channels in (with their conjugates), O channels out, L degrees, M orders, K profiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.harmonics.sht import check_lmax
from armillary.harmonics.spin import InverseSpinSHT, SpinSHT
from armillary.harmonics.spin_fields import complex_channels, real_channels
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.ops.precision import without_autocast
from armillary.spaces import SphereGrid
from armillary.spaces.fields import check_orders


class SpinConv(ConstantModule):
    """Convolution of fields of spin: one complex number for each degree and each pair of channels of any spins.

    Equation: ``y^l_om = Σ_i w^l_oi x^l_im + w'^l_oi (x̄_i)^l_m + b_o δ_l0 √4π``, x and y coefficients of ``SpinSHT`` in
    the spins of the channels, l from max(|s|, |s'|) on. The stabiliser SO(2) constrains the kernel from s to s'; that
    leaves one number for each irrep l of SO(3) that contains both: w. The conjugate x̄ of a field of spin s is one of
    spin -s, so that w and w' together are all maps of real tensors, linear over the real numbers, that commute with
    SO(3). Where the output is real, w' says nothing new and is left out, as it is for real inputs.

    ``profiles`` None: every degree has its own w. Else w is piecewise linear in l with so many knots from 0 to
    ``lmax``: few parameters, kernels smooth in frequency, so local in space; with 1 all degrees have the same w. The
    bias b is there for spin 0 alone, the only one with a constant field.

    Shapes: (B, spins_in.size, *grid.shape) → (B, spins_out.size, *grid_out.shape), real, in the layout of ``Orders``.
    ``grid_out`` defaults to ``grid``; a finer or coarser one resamples exactly. Degrees beyond ``lmax`` (default: what
    both grids hold) are removed. State dict: ``weight`` (K, O, I, 2), the last axis real and imaginary part (1 between
    real fields), I the channels of the input and then, where they enter, their conjugates; ``bias`` (2 or 1, channels
    of spin 0).

    Symmetry: commutes with SO(3) to rounding, for inputs within ``lmax`` of the grid.
    Raises: ValueError for lmax that a grid cannot hold or below a spin, profiles outside 1..lmax + 1, or x of another
    shape.
    Source: Xu et al. 2022, arXiv 2206.08362, pinned by ``tests/nn/test_spin_conv.py``.
    """

    def __init__(
        self,
        spins_in: Orders,
        spins_out: Orders,
        grid: SphereGrid,
        *,
        grid_out: SphereGrid | None = None,
        lmax: int | None = None,
        profiles: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.orders_in, self.orders_out, self.grid = spins_in, spins_out, grid
        self.grid_out = grid if grid_out is None else grid_out
        self.in_channels = spins_in.size
        self.lmax = check_lmax(
            self.grid_out, check_lmax(grid, min(grid.lmax, self.grid_out.lmax) if lmax is None else lmax)
        )
        highest = max(abs(s) for s in (*spins_in.orders, *spins_out.orders))
        if highest > self.lmax:
            raise ValueError(f"got lmax = {self.lmax}, wanted at least the highest spin, {highest}.")
        most = self.lmax + 1
        self.profiles = most if profiles is None else checked_integer("profiles", profiles, 1, most, " = lmax + 1")
        self.analysis = nn.ModuleList(SpinSHT(grid, s, self.lmax) for s in spins_in.orders)
        self.synthesis = nn.ModuleList(InverseSpinSHT(self.grid_out, s, self.lmax) for s in spins_out.orders)
        with torch.device("cpu"):
            self.register_constant("knots", _hats(self.lmax + 1, self.profiles))  # (L, K)
        self.conjugates = not (spins_in.real or spins_out.real)
        if self.conjugates:
            with torch.device("cpu"):
                spin, m = torch.tensor(spins_in.channel_orders), torch.arange(-self.lmax, self.lmax + 1)
                self.register_constant("signs", 1.0 - 2.0 * ((spin[:, None, None] + m) % 2).double())  # (C, 1, M)
        inputs = spins_in.count * (2 if self.conjugates else 1)
        parts = 1 if spins_in.real and spins_out.real else 2
        shape = (self.profiles, spins_out.count, inputs, parts)
        self.weight = nn.Parameter(torch.randn(shape) * (parts * inputs) ** -0.5)
        channels = dict(spins_out.streams).get(0, 0)
        self.bias = nn.Parameter(torch.zeros(1 if spins_out.real else 2, channels)) if bias and channels else None

    def multipliers(self, like: Tensor) -> Tensor:
        """w for each degree, (L, O, I) complex, in the precision of ``like``, which is real."""
        weight = self.weight.to(like.dtype)
        w = (self.constant("knots", weight) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        return torch.complex(w[..., 0], torch.zeros_like(w[..., 0]) if w.shape[-1] == 1 else w[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders_in, self.grid, "SpinConv")
        sizes_in, sizes_out = ([n for _, n in spins.streams] for spins in (self.orders_in, self.orders_out))
        with without_autocast(x):
            parts = complex_channels(x, self.orders_in).split(sizes_in, 1)
            c = torch.cat([sht(part) for sht, part in zip(self.analysis, parts, strict=True)], 1)  # (B, I, L, M)
            if self.conjugates:
                c = torch.cat([c, c.flip(-1).conj().resolve_conj() * self.constant("signs", c.real)], 1)
            B, _, L, M = c.shape
            w = self.multipliers(c.real)
            mixed = torch.bmm(w, c.permute(2, 1, 0, 3).reshape(L, -1, B * M))  # (L, O, B·M)
            parts = mixed.view(L, -1, B, M).permute(2, 1, 0, 3).split(sizes_out, 1)
            z = torch.cat([sht(part) for sht, part in zip(self.synthesis, parts, strict=True)], 1)
            y = real_channels(z, self.orders_out)
            if self.bias is not None:
                y = y + self._bias(y)
        return y.to(x.dtype)

    def _bias(self, like: Tensor) -> Tensor:
        """The bias of every real channel, (size, 1, 1); only those of spin 0 have one."""
        assert self.bias is not None
        before = sum(n for s, n in self.orders_out.streams if s < 0)
        after = sum(n for s, n in self.orders_out.streams if s > 0)
        return F.pad(self.bias.to(like.dtype), (before, after)).flatten()[:, None, None]

    def extra_repr(self) -> str:
        grids = f"{self.grid}" if self.grid_out == self.grid else f"{self.grid} → {self.grid_out}"
        return f"{self.orders_in} → {self.orders_out}, {grids}, lmax={self.lmax}, profiles={self.profiles}"


def _hats(degrees: int, knots: int) -> Tensor:
    """Piecewise linear interpolation to degrees 0..degrees - 1 from equidistant knots, (degrees, knots)."""
    if knots == 1:
        return torch.ones(degrees, 1, dtype=torch.float64)
    place = torch.arange(degrees, dtype=torch.float64) * ((knots - 1) / (degrees - 1))
    return (1 - (place[:, None] - torch.arange(knots)).abs()).clamp(min=0)
