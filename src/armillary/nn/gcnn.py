"""Group convolution on the plane: functions on Z² ⋊ S, with S a point group of turns and reflections.

Shape legend: B batch, O fields out, I fields in, S group elements, k kernel size, H and W rows and columns.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import FiniteGroup
from armillary.nn.averages import working_dtype
from armillary.nn.fold import Foldable
from armillary.nn.gcnn_filters import HarmonicFilters, PixelFilters, PlanarFilters
from armillary.nn.kept import KeptKernel
from armillary.ops.integers import checked_integer
from armillary.ops.precision import without_autocast
from armillary.spaces.plane_group import Windows, check_point_group, is_pixel_group

PaddingMode = Literal["zeros", "circular"]


class PlanarGroupConv(nn.Module, Foldable):
    """What both layers share: one ``conv2d`` with the weights of all group elements written out.

    ``weight``: (O, I/groups, *filter), or (O, I·|S|/groups, *filter) where the input has a group axis, the element
    running fastest; normal with variance 2/fan-in. ``bias``: one number for each field, the same for all group
    elements. The expanded weight (O·|S|, I·|S|/groups, k, k) is made at each call in training, at least in float32; in
    evaluation without gradients it is kept until the weight changes, is replaced, or ``train()`` is called
    (``nn.kept``).
    """

    lift: ClassVar[bool]
    """Whether the input is an image, without a group axis."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: FiniteGroup,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int = 0,
        padding_mode: PaddingMode = "zeros",
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        filters: PlanarFilters | None = None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        check_point_group(group, who)
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "groups": groups}
        for name, value in {**sizes, "kernel_size": kernel_size, "stride": stride, "dilation": dilation}.items():
            checked_integer(name, value, 1, who=who)
        checked_integer("padding", padding, 0, who=who)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{who}: got in_channels = {in_channels}, out_channels = {out_channels}, groups = {groups}: wanted "
                f"groups to divide both."
            )
        if padding_mode not in ("zeros", "circular"):
            raise ValueError(f"{who}: got padding_mode = {padding_mode!r}, wanted 'zeros' or 'circular'.")
        self.in_channels, self.out_channels, self.group, self.groups = in_channels, out_channels, group, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.padding_mode: PaddingMode = padding_mode
        self.windows = Windows.over(group, kernel_size, stride, padding, dilation)
        if filters is None:
            filters = PixelFilters() if is_pixel_group(group) else HarmonicFilters()
        self.filters = filters
        self.expansion = filters.expansion(group, kernel_size, self.lift)
        shape = (in_channels // groups * max(1, self.elements_in), *filters.shape(kernel_size))
        self.weight = nn.Parameter(torch.randn(out_channels, *shape) * math.sqrt(2 / math.prod(shape)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self._kept = KeptKernel()

    @property
    def elements_in(self) -> int:
        """The length of the group axis of the input, 0 where there is none."""
        return 0 if self.lift else self.group.order

    def expanded_weight(self) -> Tensor:
        """(O·|S|, I·|S|/groups, k, k): the filter of every output element, as ``conv2d`` takes it."""
        weight = self.weight
        if self.training:
            return self._expand(weight)
        return self._kept.get([weight], weight.dtype, lambda: self._expand(weight))

    def _expand(self, weight: Tensor) -> Tensor:
        k = self.kernel_size
        if not self.lift:
            weight = weight.unflatten(1, (-1, self.group.order))
        with without_autocast(weight):
            expanded = self.expansion(weight.to(working_dtype(weight.dtype))).to(weight.dtype)
        return expanded.reshape(self.out_channels * self.group.order, -1, k, k)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        if self.elements_in:
            x = x.flatten(1, 2)
        padding = self.padding
        if self.padding_mode == "circular" and padding:
            x, padding = F.pad(x, (padding,) * 4, mode="circular"), 0
        bias = None if self.bias is None else self.bias.repeat_interleave(self.group.order)
        y = F.conv2d(x, self.expanded_weight(), bias, self.stride, padding, self.dilation, self.groups)
        return y.unflatten(1, (self.out_channels, self.group.order))

    def _check(self, x: Tensor) -> None:
        axis = (self.elements_in,) if self.elements_in else ()
        if x.ndim != 4 + len(axis) or x.shape[1] != self.in_channels or tuple(x.shape[2:-2]) != axis:
            wanted = ", ".join(str(n) for n in ("batch", self.in_channels, *axis, "height", "width"))
            raise ValueError(
                f"x has shape {tuple(x.shape)}, {type(self).__name__} over {self.group.name} wants ({wanted}): images "
                f"go into a LiftConv, feature maps over a group into a GroupConv."
            )
        shape = (x.shape[-2], x.shape[-1])
        if self.padding_mode == "circular" and self.padding > min(shape):
            raise ValueError(f"x has {shape} pixels, circular padding by {self.padding} wants at least so many.")
        self.windows.check(*shape, type(self).__name__)

    def train(self, mode: bool = True) -> Any:
        self._kept.clear()
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._kept.clear()
        return super()._apply(fn, recurse)

    def folded(self) -> nn.Module:
        order = self.group.order
        conv = nn.Conv2d(
            self.in_channels * max(1, self.elements_in),
            self.out_channels * order,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            groups=self.groups,
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
        ).to(self.weight)
        with torch.no_grad():
            conv.weight.copy_(self._expand(self.weight))
            if self.bias is not None and conv.bias is not None:
                conv.bias.copy_(self.bias.repeat_interleave(order))
        return conv

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, {self.group.name}, kernel_size={self.kernel_size}"]
        parts += [f"stride={self.stride}"] if self.stride > 1 else []
        parts += [f"padding={self.padding} ({self.padding_mode})"] if self.padding else []
        parts += [f"dilation={self.dilation}"] if self.dilation > 1 else []
        parts += [f"groups={self.groups}"] if self.groups > 1 else []
        parts += ["bias=False"] if self.bias is None else []
        exact = "exact" if is_pixel_group(self.group) else "approximate"
        return ", ".join([*parts, exact if self.filters == PixelFilters() else f"{exact}: {self.filters}"])


class LiftConv(PlanarGroupConv):
    """The first layer: from images to functions on the group, ``[f ⋆ ψ](t, s) = b + Σ_i Σ_q f_i(q) ψ_i(s⁻¹(q - t))``.

    Shapes: (B, in_channels, H, W) → (B, out_channels, |S|, H', W'), H' = ⌊(H + 2 padding - extent)/stride⌋ + 1 with the
    extent of a kernel, ``dilation · (kernel_size - 1) + 1`` pixels.
    S: C_n or D_n with its elements in the order of ``groups.cyclic`` and ``groups.dihedral``. It commutes with all of S
    acting about the centre of the image (``spaces.act_on_image``, ``act_on_feature_map``): exactly for C_1, C_2, C_4,
    D_1, D_2, D_4, and approximately for other orders, whose filters are a smooth basis sampled at turned pixels
    (``HarmonicFilters``); quarter turns stay exact there as far as S has them. With circular padding it commutes with
    shifts, too, if the stride is 1 and the size is kept: 2 padding = extent - 1.

    Raises: ValueError for a wrong shape, and, at the call, where the windows do not lie symmetrically on the image: the
    stride must divide H + 2 padding - extent (``spaces.Windows``). An odd kernel with stride 2 wants odd sizes, an even
    kernel even ones.
    Source: Cohen & Welling 2016, arXiv 1602.07576, eq. 10; pinned by ``tests/nn/test_gcnn.py`` (direct sum).
    """

    lift = True


class GroupConv(PlanarGroupConv):
    """From functions on the group to functions on the group, with g = (t, s) and h = (q, s'):

    ``[f ⋆ ψ](g) = b + Σ_i Σ_h f_i(h) ψ_i(g⁻¹h) = b + Σ_i Σ_{q, s'} f_i(q, s') ψ_i(s⁻¹(q - t), s⁻¹s')``.

    Shapes: (B, in_channels, |S|, H, W) → (B, out_channels, |S|, H', W'). Everything else as for ``LiftConv``.
    Source: Cohen & Welling 2016, arXiv 1602.07576, eq. 11; pinned by ``tests/nn/test_gcnn.py`` (direct sum).
    """

    lift = False
