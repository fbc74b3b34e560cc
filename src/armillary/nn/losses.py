"""Losses that are averages over the area of the sphere, not over pixels.

Shapes: B batch, C channels, K classes, H rings, W longitudes; an orientation axis may follow the channels where the
space has one. Points that are not scored (label ``ignore_index``, NaN in a regression target) drop out of the sum and
of the area it is divided by. Where nothing at all is scored the loss is 0, with gradient 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from armillary.nn.averages import Space, check_input, mean_weights, working_dtype
from armillary.ops.constants import ConstantModule
from armillary.spaces import SphereGrid


def _ratio(total: Tensor, area: Tensor) -> Tensor:
    """total/area, and 0 where the area is 0 (the total is 0 there too)."""
    return total / torch.where(area > 0, area, torch.ones_like(area))


def check_labels(prediction: Tensor, target: Tensor, grid: SphereGrid, who: str) -> None:
    """Raise unless the prediction is (B, K, H, W) and the target an integer (B, H, W)."""
    check_input(prediction, grid, who)
    wanted = (prediction.shape[0], *grid.shape)
    if tuple(target.shape) != wanted or target.is_floating_point() or target.is_complex():
        raise ValueError(
            f"the target has shape {tuple(target.shape)} and dtype {target.dtype}, {who} wants integer class labels of "
            f"shape {wanted} for a prediction of shape {tuple(prediction.shape)}: remove a channel dimension with "
            f"squeeze(1), convert with .long()."
        )


def check_pair(prediction: Tensor, target: Tensor, space: Space, who: str) -> None:
    """Raise unless prediction and target are fields of one shape on the space."""
    check_input(prediction, space, who)
    if prediction.shape != target.shape:
        raise ValueError(
            f"the prediction has shape {tuple(prediction.shape)} and the target {tuple(target.shape)}, {who} wants one "
            f"shape for both: nothing is broadcast; add a channel dimension with unsqueeze(1) or change out_channels."
        )


class CrossEntropyLoss(ConstantModule):
    """Cross-entropy per point, averaged over the scored area (and, with class weights, by the weight of the label).

    ``L = Σ_p a_p w_{t_p} CE(z_p, t_p) / Σ_p a_p w_{t_p}`` over the points whose label is not ``ignore_index``; a_p is
    the quadrature weight. With equal a_p it is ``nn.CrossEntropyLoss``, label smoothing included.

    Shapes: logits (B, K, H, W), labels (B, H, W) integer → scalar. ``weight``: (K,) or None.
    Raises: ValueError for another grid, other shapes, a label outside 0..K-1, or class weights of another length.
    Pinned by ``tests/nn/test_losses.py``.
    """

    def __init__(
        self,
        grid: SphereGrid,
        weight: Tensor | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CrossEntropyLoss: got label_smoothing = {label_smoothing}, wanted 0 to 1.")
        self.grid = grid
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index
        self.register_constant("ring_weights", mean_weights(grid) / grid.nlon)
        self.weighted = weight is not None
        if weight is not None:
            self.register_constant("class_weights", torch.as_tensor(weight, dtype=torch.float64).clone())

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        check_labels(prediction, target, self.grid, "CrossEntropyLoss")
        logits = prediction.to(working_dtype(prediction.dtype))
        weight = self.constant("class_weights", logits) if self.weighted else None
        if weight is not None and weight.shape != (logits.shape[1],):
            raise ValueError(
                f"CrossEntropyLoss: got {weight.numel()} class weights for a prediction of {logits.shape[1]} classes, "
                f"wanted one per class: pass weight of length {logits.shape[1]}."
            )
        labels = target.long()
        try:
            loss = functional.cross_entropy(
                logits,
                labels,
                weight=weight,
                ignore_index=self.ignore_index,
                reduction="none",
                label_smoothing=self.label_smoothing,
            )
        except IndexError as error:
            raise ValueError(
                f"CrossEntropyLoss: got labels {labels.min().item()}..{labels.max().item()}, wanted 0.."
                f"{logits.shape[1] - 1}, or {self.ignore_index} for points that are not scored: map the labels, or "
                f"build the model with more classes."
            ) from error
        scored = labels != self.ignore_index
        area = torch.where(scored, self.constant("ring_weights", logits), 0.0)
        if weight is not None:
            area = area * weight[torch.where(scored, labels, 0)]
        return _ratio((loss * self.constant("ring_weights", logits)).sum(), area.sum())

    def extra_repr(self) -> str:
        return f"{self.grid}, label_smoothing={self.label_smoothing}, ignore_index={self.ignore_index}"


class DiceLoss(ConstantModule):
    """Soft dice: one minus the overlap of areas, averaged over the classes that occur in the target.

    ``L = mean_k (1 - 2 Σ_p a_p s_pk y_pk / Σ_p a_p (s_pk + y_pk))``; s is the softmax of the logits, y the one-hot
    label, a the quadrature weight, p runs over the scored points of the whole batch. Classes without a scored point in
    the target are left out of the mean.

    Shapes: logits (B, K, H, W), labels (B, H, W) integer → scalar. ``exclude``: classes left out of the mean.
    Raises: ValueError for another grid, other shapes, or a label outside 0..K-1.
    Source: Milletari, Navab & Ahmadi 2016 (with areas in place of voxels); pinned by ``tests/nn/test_losses.py``.
    """

    def __init__(self, grid: SphereGrid, ignore_index: int = 255, exclude: Sequence[int] = ()) -> None:
        super().__init__()
        self.grid = grid
        self.ignore_index = ignore_index
        self.exclude = tuple(exclude)
        self.register_constant("ring_weights", mean_weights(grid) / grid.nlon)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        check_labels(prediction, target, self.grid, "DiceLoss")
        share = prediction.to(working_dtype(prediction.dtype)).softmax(1)
        scored = target != self.ignore_index
        labels = torch.where(scored, target, 0).long()
        area = torch.where(scored, self.constant("ring_weights", share), 0.0)
        # A point adds its area to the class of its label only; the labels are never written out as K channels.
        classes = share.shape[1]
        try:
            own = share.gather(1, labels[:, None])[:, 0] * area
        except (IndexError, RuntimeError) as error:
            raise ValueError(
                f"DiceLoss: got labels {labels.min().item()}..{labels.max().item()}, wanted 0..{classes - 1}, or "
                f"{self.ignore_index} for points that are not scored: map the labels, or build the model with more "
                f"classes."
            ) from error
        index = labels.flatten()
        overlap_K = share.new_zeros(classes).index_add(0, index, own.flatten())
        true_K = share.new_zeros(classes).index_add(0, index, area.flatten())
        predicted_K = (share * area[:, None]).sum((0, 2, 3))
        counted = true_K > 0
        for k in self.exclude:
            counted[k] = False
        dice_K = _ratio(2 * overlap_K, predicted_K + true_K)
        return _ratio(torch.where(counted, 1 - dice_K, 0.0).sum(), counted.sum().to(share))

    def extra_repr(self) -> str:
        return f"{self.grid}, ignore_index={self.ignore_index}, exclude={self.exclude}"


class _PointwiseLoss(ConstantModule, ABC):
    """``L = Σ a ρ(prediction - target) / Σ a`` over the scored values (those whose target is not NaN)."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.register_constant("ring_weights", mean_weights(space))

    @abstractmethod
    def penalty(self, difference: Tensor) -> Tensor:
        """ρ, value by value."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        check_pair(prediction, target, self.space, type(self).__name__)
        values = prediction.to(working_dtype(prediction.dtype))
        scored = ~target.isnan()
        area = self.constant("ring_weights", values).expand(values.shape)
        # The number of values is divided out first, so that sums stay of order one in float32.
        scale = values.shape[-2] / values.numel()
        penalty = self.penalty(torch.where(scored, values - target.to(values), 0.0))
        return _ratio((penalty * area).sum() * scale, torch.where(scored, area, 0.0).sum() * scale)

    def extra_repr(self) -> str:
        return f"{self.space}"


class L1Loss(_PointwiseLoss):
    """Mean absolute error over the scored area: ``Σ a |y - t| / Σ a``; NaN targets are not scored.

    Shapes: prediction and target (B, C, [G,] H, W) → scalar; channels count equally.
    Raises: ValueError for another grid or unequal shapes. Pinned by ``tests/nn/test_losses.py``.
    """

    def penalty(self, difference: Tensor) -> Tensor:
        return difference.abs()


class L2Loss(_PointwiseLoss):
    """Mean squared error over the scored area: ``Σ a (y - t)² / Σ a``, no root; NaN targets are not scored.

    Shapes: prediction and target (B, C, [G,] H, W) → scalar; channels count equally.
    Raises: ValueError for another grid or unequal shapes. Pinned by ``tests/nn/test_losses.py``.
    """

    def penalty(self, difference: Tensor) -> Tensor:
        return difference.square()


class GradientLoss(ConstantModule):
    """The mean squared gradient of the error in the metric of the sphere (geodesic lengths, not pixels).

    ``L = (1/4π) ∫ |∇(y - t)|² dω``, ``|∇e|² = (∂_θ e)² + ((1/sin θ) ∂_φ e)²``, in units of 1/radian².

    *Discretisation.* Differences between neighbours, each divided by its length on the unit sphere and counted with the
    area around it, of second order in the spacing:
    ``∂_θ``: (e_{j+1} - e_j)/(θ_{j+1} - θ_j), with the zone between the two rings; the first and the last zone reach
    to the pole. ``∂_φ``: (e_{k+1} - e_k)/(sin θ_j Δφ) around the whole ring, with the quadrature weight of the ring; a
    ring that is a pole has no longitude, its area goes to the ring beside it.
    Each part is an average over the area whose two neighbours are both scored (not NaN in the target).

    Shapes: prediction and target (B, C, H, W) → scalar. Raises: ValueError for another grid, unequal shapes, or a grid
    of fewer than 2 rings or 2 longitudes.
    Pinned by ``tests/nn/test_losses.py``: ∫|∇Y_lm|² = l(l + 1), approached at second order.
    """

    def __init__(self, grid: SphereGrid) -> None:
        super().__init__()
        if grid.nlat < 2 or grid.nlon < 2:
            raise ValueError(f"GradientLoss: got {grid}, wanted at least 2 rings and 2 longitudes to take differences.")
        self.grid = grid
        theta = grid.colatitudes
        z = torch.cos(theta)
        z[0], z[-1] = 1.0, -1.0
        sine = torch.sin(theta)
        area = grid.ring_weights
        polar = sine < 1e-9
        if polar.any():
            area[1] += area[0]
            area[-2] += area[-1]
            area[polar] = 0.0
        per_phi = torch.where(polar, 0.0, 1 / (torch.where(polar, 1.0, sine) * grid.longitude_step))
        self.register_constant("zone_areas", ((z[:-1] - z[1:]) / (2 * grid.nlon))[:, None])
        self.register_constant("ring_areas", (area / (2 * grid.nlon))[:, None])
        self.register_constant("per_theta", (1 / theta.diff())[:, None])
        self.register_constant("per_phi", per_phi[:, None])

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        check_pair(prediction, target, self.grid, "GradientLoss")
        values = prediction.to(working_dtype(prediction.dtype))
        scored = ~target.isnan()
        error = torch.where(scored, values - target.to(values), 0.0)
        along_theta = error.diff(dim=-2) * self.constant("per_theta", values)
        both_theta = scored[..., 1:, :] & scored[..., :-1, :]
        along_phi = (error.roll(-1, -1) - error) * self.constant("per_phi", values)
        both_phi = scored & scored.roll(-1, -1)
        loss = values.new_zeros(())
        for slope, both, name in ((along_theta, both_theta, "zone_areas"), (along_phi, both_phi, "ring_areas")):
            area = torch.where(both, self.constant(name, values), 0.0)
            loss = loss + _ratio((slope.square() * area).sum(), area.sum())
        return loss

    def extra_repr(self) -> str:
        return f"{self.grid}"


class SumLoss(nn.Module):
    """A weighted sum of losses of one prediction and target: ``L = Σ_i w_i L_i(prediction, target)``.

    ``weights`` defaults to ones. Raises: ValueError where there is no loss, or not one weight for each.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if not losses or len(weights) != len(losses):
            raise ValueError(
                f"SumLoss: got {len(losses)} losses and {len(weights)} weights, wanted at least one loss and one "
                f"weight for each."
            )
        self.losses = nn.ModuleList(losses)
        self.weights = tuple(weights)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        terms = [w * loss(prediction, target) for w, loss in zip(self.weights, self.losses, strict=True)]
        return torch.stack(terms).sum()

    def extra_repr(self) -> str:
        return f"weights={self.weights}"
