"""Where a response map peaks, differentiably, in the units of its axes; and the distance between such positions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from armillary.nn.averages import working_dtype
from armillary.nn.fold import Foldable, stock_graph
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import without_autocast
from armillary.spaces import Axis


class SoftArgmax(ConstantModule, Foldable):
    """The mean position under the softmax of each map, with a learned scale and bias: coordinates u.

    Equation: with p = softmax of a map over all its pixels and m_a the middle of an axis,
    ``y_a = m_a + scale_a (Σ_u p(u) u_a - m_a) + bias_a``. On a periodic axis the mean is circular,
    ``y_a = start + (period/2π) arg Σ_u p(u) e^{2πi (u_a - start)/period} + bias_a``, wrapped into [start, start +
    period); there is no scale, since a circle has none to choose. Where p is balanced about the circle to rounding, so
    that no direction is marked, the argument is 0 with zero gradient.

    Shapes: (B, maps, rows, columns) → (B, maps, 2), in the units of ``axes`` (``warp.axes``, or their ``coarser``).
    Computed and given in float32 under autocast and for half precision: positions have more digits than responses.
    State dict: ``bias`` (maps, 2) and ``scale`` (maps, number of axes that are not periodic), starting at 0 and 1.

    Symmetry: shifts of the map along a periodic axis shift u by as many steps, exactly; along others as long as nothing
    of the peak crosses the edge.

    Raises: ValueError for maps < 1, axes that are not two, or an input of another shape.
    Source: Henriques & Vedaldi 2017 (arXiv 1609.04382), section 6.1, eq. 10; the circular mean is ours. Pinned by
    ``tests/nn/test_soft_argmax.py``.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, axes: Sequence[Axis], maps: int = 1) -> None:
        super().__init__()
        if isinstance(maps, bool) or not isinstance(maps, int) or maps < 1:
            raise ValueError(f"SoftArgmax: got maps = {maps!r}, wanted an integer >= 1.")
        self.axes, self.maps = _two(axes, "SoftArgmax"), maps
        self.middles = [float(axis.values.mean()) for axis in self.axes]
        for name, axis, middle in zip(("rows", "columns"), self.axes, self.middles, strict=True):
            self.register_constant(name, axis.waves if axis.periodic else axis.values[:, None] - middle)
        self.bias = nn.Parameter(torch.zeros(maps, 2))
        self.scale = nn.Parameter(torch.ones(maps, sum(not axis.periodic for axis in self.axes)))

    def forward(self, x: Tensor) -> Tensor:
        shape = (self.maps, self.axes[0].size, self.axes[1].size)
        if x.ndim != 4 or tuple(x.shape[1:]) != shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, SoftArgmax was built for (batch, {', '.join(map(str, shape))}): build "
                f"it with the axes of the response map (axis.coarser(2) after a pooling by 2)."
            )
        x = x.to(working_dtype(x.dtype))
        with without_autocast(x):
            rows, columns = self.constant("rows", x), self.constant("columns", x)
            return self._positions(x, rows, columns, self.scale.to(x), self.bias.to(x), torch.finfo(x.dtype).eps)

    def _positions(
        self, x: Tensor, rows: Tensor, columns: Tensor, scale: Tensor, bias: Tensor, rounding: float
    ) -> Tensor:
        p = x.flatten(2).softmax(-1).unflatten(2, (self.axes[0].size, self.axes[1].size))
        means = (p.sum(-1) @ rows, p.sum(-2) @ columns)
        found: list[Tensor] = []
        straight = 0
        for k, axis in enumerate(self.axes):
            if axis.periodic:
                found.append(axis.wrap(axis.pointed_at(means[k], rounding) + bias[:, k]))
            else:
                found.append(self.middles[k] + scale[:, straight] * means[k][..., 0] + bias[:, k])
                straight += 1
        return torch.stack(found, dim=-1)

    def folded(self) -> nn.Module:
        dtype = working_dtype(self.bias.dtype)
        parts = {"rows": self.rows, "columns": self.columns, "scale": self.scale, "bias": self.bias}
        function = partial(self._positions, rounding=torch.finfo(dtype).eps)
        return stock_graph(function, **{name: value.to(dtype) for name, value in parts.items()})

    def extra_repr(self) -> str:
        return f"{self.axes[0]}, {self.axes[1]}, maps={self.maps}"


class AxisL1Loss(nn.Module):
    """``mean |y_a - t_a|`` over samples and both coordinates, on periodic axes the short way round.

    Shapes: prediction and target (..., 2) in the units of ``axes``.
    Raises: ValueError for axes that are not two, or shapes that differ or do not end in 2. Pinned by
    ``tests/nn/test_soft_argmax.py``.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        super().__init__()
        self.axes = _two(axes, "AxisL1Loss")

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.shape != target.shape or prediction.shape[-1:] != (2,):
            raise ValueError(
                f"got a prediction of shape {tuple(prediction.shape)} and a target of {tuple(target.shape)}, "
                f"AxisL1Loss wants the same shape (..., 2)."
            )
        parts = zip(self.axes, prediction.unbind(-1), target.unbind(-1), strict=True)
        return torch.stack([axis.difference(y, t) for axis, y, t in parts]).abs().mean()

    def extra_repr(self) -> str:
        return f"{self.axes[0]}, {self.axes[1]}"


def _two(axes: Sequence[Axis], who: str) -> tuple[Axis, Axis]:
    axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    if len(axes) != 2 or not all(isinstance(axis, Axis) for axis in axes):
        raise ValueError(f"{who}: got axes = {axes!r}, wanted two of spaces.Axis: rows and columns.")
    return axes[0], axes[1]
