"""Circular-harmonic convolution of images: harmonic networks, in real arithmetic.

Shape legend: B batch, I complex channels in, O out, F filters of one order, J rings that hold it, k kernel size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.averages import working_dtype
from armillary.nn.harmonic_layers import check_orders
from armillary.ops.circular import CircularHarmonics
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import as_autocast, without_autocast
from armillary.spaces import ImageGrid


class HarmonicConv(ConstantModule):
    """Convolution with circular harmonics: a stream of order n becomes one of order n + m by a filter of order m.

    Equation: ``z_o(p) = Σ_i Σ_q W_oi(q) z_i(p + q)``, ``W_oi = e^{iβ_oi} Σ_j ρ_oij B_mj``, m = (order of o) - (order of
    i), with the ring filters B of ``ops.circular``, learned radial profiles ρ and phases β. Paths that meet in an
    output then have the same order, whatever way they came.

    Shapes: (B, orders_in.size, *grid.shape) → (B, orders_out.size, *grid.shape), real, in the layout of ``Orders``. The
    image goes on with zeros beyond its edge. ``basis`` defaults to ``CircularHarmonics(5, 4)``. Filters of
    |m| > ``max_filter_order`` are left out (default: none is).

    All filters are expanded by one small matrix product for each m, and the complex convolution is one real ``conv2d``
    with the kernel ((Re W, -Im W), (Im W, Re W)). In evaluation mode without gradients the expanded kernel is kept
    until a parameter changes (in place, by ``load_state_dict`` or an optimizer; not through ``.data``), the module
    moves, or ``train()`` is called. State dict: ``radial.m`` (F, J) and ``phase.m`` (F,) for each m, filters ordered by
    output channel, then input channel.

    Symmetry: commutes with quarter turns of square images exactly; with other turns approximately, about a pixel whose
    receptive field lies within the image, the better the smoother the image is and the larger the kernel.

    Raises: ValueError for an order of the output that no filter reaches, an order that the kernel cannot hold, or an
    input of another shape.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/nn/test_harmonic.py``.
    """

    row: Tensor

    def __init__(
        self,
        orders_in: Orders,
        orders_out: Orders,
        grid: ImageGrid,
        *,
        basis: CircularHarmonics | None = None,
        max_filter_order: int | None = None,
    ) -> None:
        super().__init__()
        if orders_out.real:
            raise ValueError(f"got orders_out = {orders_out}, wanted complex channels, e.g. Orders.upto(1, 8).")
        self.orders_in, self.orders_out, self.grid = orders_in, orders_out, grid
        self.in_channels = orders_in.size
        self.basis = CircularHarmonics(5, 4) if basis is None else basis
        self.max_filter_order = max_filter_order
        difference = torch.tensor(orders_out.channel_orders)[:, None] - torch.tensor(orders_in.channel_orders)
        used = torch.ones_like(difference, dtype=torch.bool)
        if max_filter_order is not None:
            used = difference.abs() <= max_filter_order
        for order, reached in zip(orders_out.channel_orders, used.any(1).tolist(), strict=True):
            if not reached:
                raise ValueError(
                    f"no filter of order |m| <= {max_filter_order} leads from the orders {orders_in.orders} to order "
                    f"{order}: raise max_filter_order, or leave this order out."
                )
        self.filter_orders: tuple[int, ...] = tuple(sorted(set(difference[used].tolist())))
        self.radial, self.phase = nn.ParameterDict(), nn.ParameterDict()
        fan_in = torch.zeros(orders_out.count)
        places = []
        for m in self.filter_orders:
            filters = self.basis.filters(m)
            mine = used & (difference == m)
            self.register_constant(f"filters_{m}", torch.cat([filters.real, filters.imag], dim=1).flatten(1))
            self.radial[str(m)] = nn.Parameter(torch.randn(int(mine.sum()), len(filters)))
            self.phase[str(m)] = nn.Parameter(2 * torch.pi * torch.rand(int(mine.sum())))
            fan_in += len(filters) * mine.sum(1)
            places.append(mine.flatten().nonzero().flatten())
        place = torch.cat(places)
        # row of the expanded filters for each (o, i); pairs without a filter find a row of zeros after the last
        row = torch.full((used.numel(),), len(place))
        row[place] = torch.arange(len(place))
        self.register_buffer("row", row, persistent=False)
        with torch.no_grad():
            for m, where in zip(self.filter_orders, places, strict=True):
                self.radial[str(m)] *= fan_in[where // orders_in.count, None] ** -0.5
        self._kept: tuple[list[nn.Parameter], list[int], torch.dtype, Tensor] | None = None

    def filters(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts of W, each (O, I, k, k), in the dtype of ``like``."""
        rows = []
        for m in self.filter_orders:
            radial, phase = self.radial[str(m)].to(like.dtype), self.phase[str(m)].to(like.dtype)
            re, im = (radial @ self.constant(f"filters_{m}", like)).chunk(2, dim=1)
            cos, sin = torch.cos(phase)[:, None], torch.sin(phase)[:, None]
            rows.append(torch.cat([cos * re - sin * im, sin * re + cos * im], dim=1))
        if len(self.row) > sum(len(row) for row in rows):
            rows.append(like.new_zeros(1, rows[0].shape[1]))
        size = self.basis.size
        pairs = torch.cat(rows)[self.row].view(self.orders_out.count, self.orders_in.count, 2, size, size)
        return pairs[:, :, 0], pairs[:, :, 1]

    def expand(self, like: Tensor) -> Tensor:
        """The kernel of ``conv2d``, (orders_out.size, orders_in.size, k, k), in the dtype of ``like``.

        It is computed at least in float32, under autocast too, and rounded once.
        """
        with without_autocast(like):
            re, im = self.filters(like.new_empty(0, dtype=working_dtype(like.dtype)))
            if self.orders_in.real:
                return torch.cat([re, im]).to(like.dtype)
            return torch.cat([torch.cat([re, -im], dim=1), torch.cat([im, re], dim=1)]).to(like.dtype)

    def kernel(self, like: Tensor) -> Tensor:
        """``expand``, or what it gave before where nothing has changed since."""
        parameters = list(self.parameters())
        keep = not (self.training or torch.compiler.is_compiling() or torch.is_grad_enabled())
        if not keep or any(type(p) is not nn.Parameter or p.is_inference() for p in parameters):
            return self.expand(like)
        versions = [p._version for p in parameters]
        if self._kept is not None:
            owners, seen, dtype, kernel = self._kept
            if (
                dtype == like.dtype
                and seen == versions
                and all(a is b for a, b in zip(owners, parameters, strict=True))
            ):
                return kernel
        kernel = self.expand(like)
        self._kept = (parameters, versions, like.dtype, kernel)
        return kernel

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders_in, self.grid, "HarmonicConv")
        x = as_autocast(x)
        return F.conv2d(x, self.kernel(x), padding=self.basis.size // 2)

    def train(self, mode: bool = True) -> HarmonicConv:
        self._kept = None
        super().train(mode)
        return self

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        self._kept = None
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        parts = [f"{self.orders_in} → {self.orders_out}, {self.grid}, {self.basis}"]
        parts.append(f"filters of orders {', '.join(map(str, self.filter_orders))}")
        if self.max_filter_order is not None:
            parts.append(f"max_filter_order={self.max_filter_order}")
        return ", ".join(parts)
