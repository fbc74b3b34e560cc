"""Pooling, restriction and batch normalisation of feature maps over a point group: (B, C, |S|, H, W).

Nonlinearities that act on each number by itself need nothing: take those of ``torch.nn``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import FiniteGroup, Subgroup
from armillary.nn.averages import normalised, working_dtype
from armillary.nn.fold import Foldable, stock_graph
from armillary.nn.norms import merge_over_processes, processes, total_over_processes
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
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


class GroupPool(ConstantModule, Foldable):
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
        self.register_constant("order", torch.as_tensor(order, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "GroupPool")
        if not self.in_order:
            x = x.index_select(2, self.constant("order", x))
        x = x.unflatten(2, (-1, self.size))
        y = x.max(3).values if self.reduction == "max" else x.mean(3)  # amax: twice as slow backward
        return y.squeeze(2) if self.subgroup is None else y

    def folded(self) -> nn.Module:
        window = (self.size, 1, 1)
        reduce = nn.MaxPool3d(window) if self.reduction == "max" else nn.AvgPool3d(window)
        steps: list[nn.Module] = [nn.Unflatten(1, (-1, self.group.order)), reduce, nn.Flatten(1, 2)]
        if not self.in_order:
            steps.insert(1, _reordering(self.order))
        return nn.Sequential(*steps)

    def extra_repr(self) -> str:
        over = "" if self.subgroup is None else f", cosets of {self.subgroup}"
        return f"{self.group.name}, {self.reduction}{over}"


def _reordering(order: Tensor) -> nn.Module:
    """``x[:, :, order]`` as a graph of torch functions: torch.nn has no module that permutes."""
    return stock_graph(lambda x, order: x[:, :, order], order=order)


class GroupRestrict(ConstantModule, Foldable):
    """Feature maps over S seen as maps over a subgroup H: ``y_{c, i}(p, h) = f_c(p, h r_i)``.

    S is the union of the cosets H r_i, i = 0..|S/H| - 1, numbered by their first elements r_i, so that each field
    becomes |S/H| fields and no number is lost. From here on layers over ``subgroup.as_group`` may tell apart what only
    the rest of S had made alike, as for digits, which turn but are not mirrored.

    Shapes: (B, C, |S|, H, W) → (B, C·|S/H|, |H|, H, W), i running faster than c. Commutes with H exactly.
    Raises: ValueError for another axis, or a subgroup of another group. Pinned by ``tests/nn/test_gcnn_layers.py``.
    """

    order: Tensor

    def __init__(self, group: FiniteGroup, subgroup: Subgroup) -> None:
        super().__init__()
        check_point_group(group, "GroupRestrict")
        if subgroup.group != group:
            raise ValueError(f"GroupRestrict: got a subgroup of {subgroup.group}, wanted one of {group}.")
        self.group, self.subgroup = group, subgroup
        first = np.unique(subgroup.right_coset_of, return_index=True)[1]
        order = group.table[subgroup.elements][:, first].T  # (|S/H|, |H|): h r_i
        self.register_constant("order", torch.as_tensor(order.astype(np.int64).reshape(-1), device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "GroupRestrict")
        y = x.index_select(2, self.constant("order", x))
        return y.unflatten(2, (-1, self.subgroup.order)).flatten(1, 2)

    def folded(self) -> nn.Module:
        return nn.Sequential(nn.Unflatten(1, (-1, self.group.order)), _reordering(self.order), nn.Flatten(1, 2))

    def extra_repr(self) -> str:
        return f"{self.group.name} → {self.subgroup}"


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
        checked_integer("kernel_size", kernel_size, 1, who="PlanePool")
        checked_integer("stride", stride, 1, who="PlanePool")
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
    exactly, in training too. ``eps`` and ``momentum`` as in ``torch.nn.BatchNorm2d``; while training under an
    initialised ``torch.distributed`` the statistics are those of all processes together, with gradients through them.
    Raises: ValueError for a wrong shape. Source: pinned by ``tests/nn/test_gcnn.py``.
    """

    def __init__(self, channels: int, group: FiniteGroup, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_point_group(group, "GroupBatchNorm")
        checked_integer("channels", channels, 1, who="GroupBatchNorm")
        self.in_channels, self.group = channels, group
        self.norm = nn.BatchNorm2d(channels, eps, momentum)

    def forward(self, x: Tensor) -> Tensor:
        _check_map(x, self.group, "GroupBatchNorm")
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has {x.shape[1]} channels in dim 1, GroupBatchNorm was built for {self.in_channels}: pass "
                f"channels={x.shape[1]} or other features."
            )
        y = x.flatten(2, 3)
        together = self.norm.training and processes() > 1
        return (self._over_processes(y) if together else self.norm(y)).view_as(x)

    def _over_processes(self, x: Tensor) -> Tensor:
        """What ``nn.BatchNorm2d`` does while training, with the batches of all processes as one."""
        norm, work = self.norm, x.to(working_dtype(x.dtype))
        var, mean = torch.var_mean(work, dim=(0, 2, 3), correction=0)
        count = work.numel() // work.shape[1]
        mean, var = merge_over_processes(mean, var, count)
        total = total_over_processes(mean.new_full((), count, dtype=torch.float64))
        assert norm.num_batches_tracked is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            norm.num_batches_tracked += 1
            rate = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.detach().to(norm.running_mean), rate)
            unbiased = var.detach() * (total / (total - 1)).to(var)
            norm.running_var.lerp_(unbiased.to(norm.running_var), rate)
        shape = (1, -1, 1, 1)
        weight, bias = (v.to(work).view(shape) for v in (norm.weight, norm.bias))
        return normalised(work, mean.view(shape), var.view(shape), weight, bias, norm.eps).to(x.dtype)

    def folded(self) -> nn.Module:
        order, norm = self.group.order, self.norm
        folded = nn.BatchNorm2d(self.in_channels * order, norm.eps, norm.momentum).to(norm.weight)
        state = {name: v.repeat_interleave(order) if v.ndim else v for name, v in norm.state_dict().items()}
        folded.load_state_dict(state)
        return folded

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.group.name}"
