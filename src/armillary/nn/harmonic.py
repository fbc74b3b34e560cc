"""Circular-harmonic convolution of images: harmonic networks, in real arithmetic.

Shape legend: B batch, I complex channels in, O out, F filters of one order, J rings that hold it, k kernel size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.averages import working_dtype
from armillary.nn.fold import Foldable
from armillary.nn.kept import KeptKernel
from armillary.ops.circular import CircularHarmonics
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import as_autocast, without_autocast
from armillary.spaces import ImageGrid
from armillary.spaces.fields import check_orders


class HarmonicConv(ConstantModule, Foldable):
    """Convolution with circular harmonics: a stream of order n becomes one of order n + m by a filter of order m.

    Equation: ``z_o(p) = Σ_i Σ_q W_oi(q) z_i(p + q)``, ``W_oi = e^{iβ_oi} Σ_j ρ_oij B_mj``, m = (order of o) - (order of
    i), with the ring filters B of ``ops.circular``, learned radial profiles ρ and phases β. Paths that meet in an
    output then have the same order, whatever way they came.

    Shapes: (B, orders_in.size, *grid.shape) → (B, orders_out.size, *grid.shape), real, in the layout of ``Orders``. The
    image goes on with zeros beyond its edge. ``basis`` defaults to ``CircularHarmonics(5, 4)``. Filters of
    |m| > ``max_filter_order`` are left out (default: none is).

    All filters are expanded by one small matrix product for each m, and the complex convolution is one real ``conv2d``
    with the kernel ((Re W, -Im W), (Im W, Re W)). In evaluation mode without gradients the expanded kernel is kept
    until a parameter changes, the module moves, or ``train()`` is called (``nn.kept``). State dict: ``radial.m`` (F, J)
    and ``phase.m`` (F,) for each m, filters ordered by output channel, then input channel.

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
        places = _places(orders_in, orders_out, max_filter_order)
        self.filter_orders: tuple[int, ...] = tuple(places)
        self.radial, self.phase = nn.ParameterDict(), nn.ParameterDict()
        fan_in = torch.zeros(orders_out.count, device="cpu")
        for m, place in places.items():
            filters = self.basis.filters(m)
            self.register_constant(f"filters_{m}", torch.cat([filters.real, filters.imag], dim=1).flatten(1))
            self.radial[str(m)] = nn.Parameter(torch.randn(len(place), len(filters)))
            self.phase[str(m)] = nn.Parameter(2 * torch.pi * torch.rand(len(place)))
            fan_in += len(filters) * (place // orders_in.count).bincount(minlength=orders_out.count)
        with torch.no_grad():
            for m, place in places.items():
                radial = self.radial[str(m)]
                radial *= (fan_in[place // orders_in.count, None] ** -0.5).to(radial.device)
        # row of the expanded filters for each (o, i); pairs without a filter find a row of zeros after the last
        place = torch.cat(list(places.values()))
        row = torch.full((orders_out.count * orders_in.count,), len(place), device="cpu")
        row[place] = torch.arange(len(place), device="cpu")
        self.register_constant("row", row)
        self._kept = KeptKernel()

    @property
    def grid_out(self) -> ImageGrid:
        return self.grid

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
        size, counts = self.basis.size, (self.orders_out.count, self.orders_in.count)
        pairs = torch.cat(rows).index_select(0, self.constant("row", like)).view(*counts, 2, size, size)
        return pairs[:, :, 0], pairs[:, :, 1]

    def expand(self, like: Tensor) -> Tensor:
        """The kernel of ``conv2d``, (orders_out.size, orders_in.size, k, k), in the dtype of ``like``.

        It is computed at least in float32, under autocast too, and rounded once.
        """
        with without_autocast(like):
            owner = self.phase[str(self.filter_orders[0])]
            re, im = self.filters(owner.new_empty(0, dtype=working_dtype(like.dtype)))
            if self.orders_in.real:
                return torch.cat([re, im]).to(like.dtype)
            return torch.cat([torch.cat([re, -im], dim=1), torch.cat([im, re], dim=1)]).to(like.dtype)

    def kernel(self, like: Tensor) -> Tensor:
        """``expand``, or in evaluation what it gave before where nothing has changed since."""
        if self.training:
            return self.expand(like)
        owners = [*self.radial.values(), *self.phase.values()]
        return self._kept.get(owners, like.dtype, lambda: self.expand(like))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders_in, self.grid, "HarmonicConv")
        x = as_autocast(x)
        return F.conv2d(x, self.kernel(x), padding=self.basis.size // 2)

    def train(self, mode: bool = True) -> HarmonicConv:
        self._kept.clear()
        super().train(mode)
        return self

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        self._kept.clear()
        return super()._apply(fn, recurse)

    def folded(self) -> nn.Module:
        like = self.phase[str(self.filter_orders[0])]
        size = self.basis.size
        conv = nn.Conv2d(self.orders_in.size, self.orders_out.size, size, padding=size // 2, bias=False).to(like)
        with torch.no_grad():
            conv.weight.copy_(self.expand(like))
        return conv

    def extra_repr(self) -> str:
        parts = [f"{self.orders_in} → {self.orders_out}, {self.grid}, {self.basis}"]
        parts.append(f"filters of orders {', '.join(map(str, self.filter_orders))}")
        if self.max_filter_order is not None:
            parts.append(f"max_filter_order={self.max_filter_order}")
        return ", ".join(parts)


def _places(orders_in: Orders, orders_out: Orders, highest: int | None) -> dict[int, Tensor]:
    """The pairs of channels o·I + i that a filter of each order m connects, ascending in m, on the CPU."""
    with torch.device("cpu"):
        out = torch.tensor(orders_out.channel_orders)
        difference = out[:, None] - torch.tensor(orders_in.channel_orders)
        used = torch.ones_like(difference, dtype=torch.bool) if highest is None else difference.abs() <= highest
        for order, reached in zip(out.tolist(), used.any(1).tolist(), strict=True):
            if not reached:
                raise ValueError(
                    f"no filter of order |m| <= {highest} leads from the orders {orders_in.orders} to order {order}: "
                    f"raise max_filter_order, or leave this order out."
                )
        orders = sorted(set(difference[used].tolist()))
        return {m: (used & (difference == m)).flatten().nonzero().flatten() for m in orders}
