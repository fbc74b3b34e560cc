"""Pooling and batch normalisation of feature maps over a point group: (B, C, |S|, H, W).

Nonlinearities that act on each number by itself need nothing: take those of ``torch.nn``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from armillary.groups import FiniteGroup, Subgroup
from armillary.nn.fold import Foldable
from armillary.spaces.plane_group import Windows, check_point_group

Reduction = Literal["max", "mean"]


def _check_reduction(reduction: str, who: str) -> None:
    if reduction not in ("max", "mean"):
        raise ValueError(f"{who}: got reduction = {reduction!r}, wanted 'max' or 'mean'.")


def _check_map(x: Tensor, group: FiniteGroup, who: str) -> None:
    if x.ndim != 5 or x.shape[2] != group.order:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, {who} over {group.name} wants (batch, channels, {group.order}, height, "
            f"width)."
        )


class GroupPool(nn.Module, Foldable):
    """The maximum or mean over the group axis, or over the cosets of a subgroup H: ``y(p, sH) = max_{h∈H} f(p, s h)``.

    Shapes: (B, C, |S|, H, W) → (B, C, H, W), or (B, C, |S/H|, H, W) with a subgroup, cosets numbered as in
    ``subgroup.left_coset_of``. Exactly equivariant: S acts on the cosets from the left (``act_on_feature_map``).

    Raises: ValueError for another axis, or a subgroup of another group.
    Source: Cohen & Welling 2016, arXiv 1602.07576, section 6.3 (coset pooling); pinned by ``tests/nn/test_gcnn.py``.
    """

    order: Tensor

    def __init__(self, group: FiniteGroup, reduction: Reduction = "max", subgroup: Subgroup | None = None) -> None:
        super().__init__()
        check_point_group(group, "GroupPool")
        _check_reduction(reduction, "GroupPool")
        if subgroup is not None and subgroup.group != group:
            raise ValueError(f"GroupPool: got a subgroup of {subgroup.group}, wanted one of {group}.")
        self.group, self.reduction, self.subgroup = group, reduction, subgroup
        self.size = group.order if subgroup is None else subgroup.order
        cosets = np.zeros(group.order, dtype=np.int64) if subgroup is None else subgroup.left_coset_of
        order = np.argsort(cosets, kind="stable")
        self.in_order = bool((order == np.arange(group.order)).all())
        self.register_buffer("order", torch.as_tensor(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "GroupPool")
        if not self.in_order:
            x = x.index_select(2, self.order)
        x = x.unflatten(2, (-1, self.size))
        y = x.max(3).values if self.reduction == "max" else x.mean(3)  # amax: twice as slow backward
        return y.squeeze(2) if self.subgroup is None else y

    def folded(self) -> nn.Module:
        window = (self.size, 1, 1)
        reduce = nn.MaxPool3d(window) if self.reduction == "max" else nn.AvgPool3d(window)
        steps: list[nn.Module] = [nn.Unflatten(1, (-1, self.group.order)), reduce, nn.Flatten(1, 2)]
        if not self.in_order:
            steps.insert(1, _reordering(self.order.clone()))
        return nn.Sequential(*steps)

    def extra_repr(self) -> str:
        over = "" if self.subgroup is None else f", cosets of {self.subgroup}"
        return f"{self.group.name}, {self.reduction}{over}"


def _reordering(order: Tensor) -> nn.Module:
    """``x.index_select(2, order)`` as a graph of torch functions: torch.nn has no module that permutes."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_function(torch.index_select, (x, 2, graph.get_attr("order"))))
    root = nn.Module()
    root.register_buffer("order", order)
    return fx.GraphModule(root, graph)


class PlanePool(nn.Module, Foldable):
    """The maximum or mean over k×k windows of the plane, each group element by itself.

    Shapes: (B, C, |S|, H, W) → (B, C, |S|, H', W'), H' = ⌊(H - kernel_size)/stride⌋ + 1; images (B, C, H, W) likewise.
    ``stride`` defaults to ``kernel_size``. Exactly equivariant where it is allowed.

    Raises: ValueError at the call unless the windows lie symmetrically on the image (``spaces.Windows``): 2×2
    windows with stride 2 want even sizes.
    Source: Cohen & Welling 2016, arXiv 1602.07576, section 6.3; pinned by ``tests/nn/test_gcnn.py``.
    """

    def __init__(
        self, group: FiniteGroup, kernel_size: int = 2, stride: int | None = None, reduction: Reduction = "max"
    ) -> None:
        super().__init__()
        check_point_group(group, "PlanePool")
        _check_reduction(reduction, "PlanePool")
        stride = kernel_size if stride is None else stride
        if kernel_size < 1 or stride < 1:
            raise ValueError(f"PlanePool: got kernel_size = {kernel_size}, stride = {stride}, wanted both >= 1.")
        self.group, self.kernel_size, self.stride, self.reduction = group, kernel_size, stride, reduction
        self.windows = Windows.over(group, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            _check_map(x, self.group, "PlanePool")
        self.windows.check(x.shape[-2], x.shape[-1], "PlanePool")
        pool = F.max_pool2d if self.reduction == "max" else F.avg_pool2d
        y = pool(x.flatten(1, -3), self.kernel_size, self.stride)
        return y.unflatten(1, x.shape[1:-2])

    def folded(self) -> nn.Module:
        pool = nn.MaxPool2d if self.reduction == "max" else nn.AvgPool2d
        return pool(self.kernel_size, self.stride)

    def extra_repr(self) -> str:
        return f"{self.group.name}, {self.reduction}, kernel_size={self.kernel_size}, stride={self.stride}"


class PlaneGlobalPool(nn.Module, Foldable):
    """The maximum or mean over the group and the plane, invariant: (B, C, |S|, H, W) → (B, C).

    Raises: ValueError for another axis. Source: pinned by ``tests/nn/test_gcnn.py``.
    """

    def __init__(self, group: FiniteGroup, reduction: Reduction = "max") -> None:
        super().__init__()
        check_point_group(group, "PlaneGlobalPool")
        _check_reduction(reduction, "PlaneGlobalPool")
        self.group, self.reduction = group, reduction

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "PlaneGlobalPool")
        return x.amax((2, 3, 4)) if self.reduction == "max" else x.mean((2, 3, 4))

    def folded(self) -> nn.Module:
        reduce = nn.AdaptiveMaxPool3d(1) if self.reduction == "max" else nn.AdaptiveAvgPool3d(1)
        return nn.Sequential(nn.Unflatten(1, (-1, self.group.order)), reduce, nn.Flatten(1))

    def extra_repr(self) -> str:
        return f"{self.group.name}, {self.reduction}"


class GroupBatchNorm(nn.Module, Foldable):
    """Batch normalisation with one mean, variance, scale and shift for each field, shared by the group and the plane.

    Shapes: (B, channels, |S|, H, W) in and out. Statistics are over batch, group and plane, so it commutes with S
    exactly, in training too. ``eps`` and ``momentum`` as in ``torch.nn.BatchNorm2d``.
    Raises: ValueError for a wrong shape. Source: pinned by ``tests/nn/test_gcnn.py``.
    """

    def __init__(self, channels: int, group: FiniteGroup, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_point_group(group, "GroupBatchNorm")
        self.in_channels, self.group = channels, group
        self.norm = nn.BatchNorm2d(channels, eps, momentum)

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "GroupBatchNorm")
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has {x.shape[1]} channels in dim 1, GroupBatchNorm was built for {self.in_channels}: pass "
                f"channels={x.shape[1]} or other features."
            )
        return self.norm(x.flatten(2, 3)).view_as(x)

    def folded(self) -> nn.Module:
        order, norm = self.group.order, self.norm
        folded = nn.BatchNorm2d(self.in_channels * order, norm.eps, norm.momentum).to(norm.weight)
        state = {name: v.repeat_interleave(order) if v.ndim else v for name, v in norm.state_dict().items()}
        folded.load_state_dict(state)
        return folded

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.group.name}"
