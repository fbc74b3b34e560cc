"""Lift, act pointwise, project: any function of one value on fields whose values turn with their frame.

A field of spin s on S² is a function on SO(3) with a fixed dependence on the angle γ of the frame. On functions a
pointwise activation commutes with every rotation, so fields are sampled at some angles, acted upon, and projected back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.groups import Orders
from armillary.nn.activation import Activation, activated, name_of
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.ops.precision import without_autocast
from armillary.spaces import SphereGrid
from armillary.spaces.fields import check_orders


class LiftProject(ConstantModule):
    """``y = P σ(L x)``: values of a function at some group elements, made of the components of a field by L (N, D),
    acted upon one by one, and projected by P (D', N).

    L and P are Fourier transforms: under autocast they keep the precision of x, as all transforms do.

    Shapes: (B, D, ...) → (B, D', ...), real. Raises: ValueError where σ changes the shape.
    """

    def __init__(self, activation: Activation, lift: Tensor, project: Tensor) -> None:
        super().__init__()
        self.activation = activation
        self.register_constant("lift", lift)
        self.register_constant("project", project)

    def forward(self, x: Tensor) -> Tensor:
        with without_autocast(x):
            values = self.constant("lift", x) @ x.flatten(2)
        acted = activated(self.activation, values, "LiftProject").to(x.dtype)
        with without_autocast(x):
            return (self.constant("project", x) @ acted).unflatten(2, x.shape[2:])

    def extra_repr(self) -> str:
        N, D = self.get_buffer("lift").shape
        return f"{name_of(self.activation)}{D} → {self.get_buffer('project').shape[0]} components, {N} samples"


class SpinPointwise(ConstantModule):
    """Any activation σ on fields of spin, through their values in ``frames`` turned frames at each point.

        F_c(p, γ) = Σ_s f_sc(p) e^{-isγ},     G_c = σ(Re F_c) + i σ(Im F_c),     g_sc(p) = 1/N Σ_γ G_c(p, γ) e^{isγ}

    over the N angles γ = 2πj/N. *Which streams are joined*: channel c of every spin that has so many makes function c;
    a spin with fewer channels is missing from the last functions. So ``Orders.of({-1: 4, 0: 8, 1: 4})`` makes eight
    functions on SO(3), four of three spins and four of spin 0 alone. σ acts on the real and on the imaginary part, each
    a real function on SO(3); a field of real scalars has no imaginary part. The spins of the output are free: σ makes
    all of them. ``Orders.image(n)`` keeps the mean of σ(Re F) over the frames, which no turn of the frame changes.

    With σ the identity, spins of both input and output come back as they were. A power x^k is exact from
    N = k S + S' + 1 on, S and S' the highest |spin| of input and output; what N frames do not hold folds back, and
    docs/homogeneous.md has that error against N for ReLU and GELU.

    Symmetry: at each point by itself, commutes with turns of the frame by multiples of 2π/N exactly, with others up to
    aliasing in γ. Under rotations of the sphere the aliasing in (θ, φ) of every pointwise function (``Pointwise``) adds
    to that: let the ``SpinConv`` before it end on a finer grid and the one behind it come back. Cost: linear in pixels,
    2N values of σ for each function and pixel.

    Shapes: (B, spins.size, *grid.shape) → (B, spins_out.size, *grid.shape), real, in the layout of ``Orders``.
    ``spins_out`` defaults to ``spins``.
    Raises: ValueError for more channels of a spin than there are functions, fewer than S + S' + 1 frames, σ that
    changes the shape, or x of another shape.
    Source: Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/nn/test_lift.py``.
    """

    def __init__(
        self,
        activation: Activation,
        spins: Orders,
        grid: SphereGrid,
        frames: int,
        spins_out: Orders | None = None,
    ) -> None:
        super().__init__()
        self.orders, self.grid, self.in_channels = spins, grid, spins.size
        self.orders_out = spins if spins_out is None else spins_out
        self.functions = max(channels for _, channels in spins.streams)
        if max(channels for _, channels in self.orders_out.streams) > self.functions:
            raise ValueError(
                f"got {self.orders_out} from {spins}, which makes {self.functions} functions: wanted at most as many "
                f"channels of each spin."
            )
        least = 1 + sum(max(abs(s) for s in orders.orders) for orders in (spins, self.orders_out))
        self.frames = checked_integer("frames", frames, least)
        whole = not (spins.real or self.orders_out.real)  # else the real part is all there is, or all that is kept
        rows, parts_in, parts_out = (2 if whole else 1), (1 if spins.real else 2), (1 if self.orders_out.real else 2)
        with torch.device("cpu"):
            angles = torch.arange(self.frames, dtype=torch.float64) * (2 * math.pi / self.frames)
            lift = _turns(spins, angles)[:rows, :, :parts_in].flatten(2).flatten(0, 1)
            project = _turns(self.orders_out, angles)[:rows, :, :parts_out].flatten(2).flatten(0, 1)
            self.register_constant("gather", _places(spins, self.functions, gather=True))
            self.register_constant("scatter", _places(self.orders_out, self.functions, gather=False))
        self.through = LiftProject(activation, lift, project.T / self.frames)

    @property
    def orders_in(self) -> Orders:
        return self.orders

    @property
    def grid_out(self) -> SphereGrid:
        return self.grid

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "SpinPointwise")
        gather, scatter = self.constant("gather", x), self.constant("scatter", x)
        if len(gather):
            x = torch.cat([x, torch.zeros_like(x[:, :1])], 1).index_select(1, gather)
        y = self.through(x.unflatten(1, (-1, self.functions))).flatten(1, 2)
        return y.index_select(1, scatter) if len(scatter) else y

    def extra_repr(self) -> str:
        return f"{self.orders} → {self.orders_out}, {self.grid}, frames={self.frames}, {self.functions} functions"


def _turns(spins: Orders, angles: Tensor) -> Tensor:
    """Real and imaginary part (dim 0) of f e^{-isγ} from those of f (dim 2), (2, angles, 2, spins)."""
    phase = angles[:, None] * torch.tensor(spins.orders, dtype=torch.float64)
    cos, sin = phase.cos(), phase.sin()
    return torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)])


def _places(spins: Orders, functions: int, gather: bool) -> Tensor:
    """Where components (part, spin, function) lie among the real channels, the place after the last for those that are
    missing, or the other way round; empty where the two are in the same order."""
    counts = [channels for _, channels in spins.streams]
    if all(count == functions for count in counts):
        return torch.zeros(0, dtype=torch.long)
    numbers = torch.full((spins.size // spins.count, len(counts), functions), spins.size)
    present = torch.arange(functions) < torch.tensor(counts)[:, None]
    numbers[present.expand_as(numbers)] = torch.arange(spins.size)
    return numbers.flatten() if gather else present.expand_as(numbers).flatten().nonzero().flatten()
