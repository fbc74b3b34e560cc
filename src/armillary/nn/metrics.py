"""Metrics that accumulate sums over batches, by area of the sphere.

A metric owns one float64 tensor of sums, ``state``, on the CPU. Sums of several processes add: reduce ``state`` over
them (or ``load`` a reduced one) and ``compute`` gives the value over all. ``compute`` returns plain floats; a value
that nothing was scored for is NaN.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from armillary.nn.losses import check_labels, check_pair
from armillary.spaces import SphereGrid


class Metrics(ABC):
    """Sums that are updated batch by batch and reduced over processes by addition."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.state = torch.zeros(shape, dtype=torch.float64)

    def reset(self) -> None:
        """Forget every batch."""
        self.state = torch.zeros_like(self.state)

    def state_tensor(self) -> Tensor:
        """A copy of the sums: add those of all processes, then ``load`` the result."""
        return self.state.clone()

    def load(self, state: Tensor) -> None:
        """Take over reduced sums. Raises: ValueError for another shape."""
        if state.shape != self.state.shape:
            raise ValueError(
                f"{type(self).__name__}: got a state of shape {tuple(state.shape)}, wanted {tuple(self.state.shape)}: "
                f"load only what state_tensor of a metric built alike gave."
            )
        self.state = state.detach().to("cpu", torch.float64, copy=True)

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add one batch."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values over everything added since the last reset."""


def _mean(values: Tensor) -> float:
    return values.mean().item() if values.numel() else math.nan


class SegmentationMetrics(Metrics):
    """Intersection over union and accuracies from the confusion matrix, by area and by pixel.

    ``IoU_k = M_kk / (Σ_j M_kj + Σ_j M_jk - M_kk)``, ``recall_k = M_kk / Σ_j M_kj``; M_tp sums the area (quadrature
    weight, so 4π for a whole sphere) of the points of label t predicted as p. Points of label ``ignore_index`` do not
    count.

    ``compute`` gives ``miou``, ``mean_accuracy`` (mean recall) and ``accuracy`` (share of the area that is right), and
    the same with ``_pixels`` where every pixel counts once, as most papers report. A class absent from both
    prediction and target has no IoU and is left out of the mean; a class absent from the target has no recall. With
    ``exclude`` (background, unknown) there are also ``miou_foreground`` and ``mean_accuracy_foreground`` (and
    ``_pixels``), whose means leave these classes out; their pixels still count as errors of the other classes.

    Shapes: prediction (B, K, H, W) scores or (B, H, W) integer labels; target (B, H, W) integer.
    Raises: ValueError for other shapes, or labels outside 0..K-1. Pinned by ``tests/nn/test_metrics.py``.
    """

    def __init__(self, n_classes: int, grid: SphereGrid, ignore_index: int = 255, exclude: Sequence[int] = ()) -> None:
        outside = [k for k in exclude if not 0 <= k < n_classes]
        if n_classes < 1 or outside:
            raise ValueError(
                f"SegmentationMetrics: got n_classes = {n_classes} and exclude = {tuple(exclude)}, wanted at least one "
                f"class and classes 0..{n_classes - 1} to exclude."
            )
        super().__init__((2, n_classes, n_classes))
        self.n_classes = n_classes
        self.grid = grid
        self.ignore_index = ignore_index
        self.exclude = tuple(exclude)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim == 4:
            check_labels(prediction, target, self.grid, "SegmentationMetrics")
            if prediction.shape[1] != self.n_classes:
                raise ValueError(
                    f"the prediction has {prediction.shape[1]} classes in dim 1, SegmentationMetrics was built for "
                    f"{self.n_classes}: pass n_classes={prediction.shape[1]}."
                )
            prediction = prediction.detach().argmax(1)
        else:
            check_labels(prediction[:, None], target, self.grid, "SegmentationMetrics")
        p, t = prediction.cpu().long(), target.cpu().long()
        scored = t != self.ignore_index
        area = self.grid.quadrature.expand(t.shape)[scored]
        p, t = p[scored], t[scored]
        for name, labels in (("predictions", p), ("labels", t)):
            if labels.numel() and not (labels.min() >= 0 and labels.max() < self.n_classes):
                raise ValueError(
                    f"SegmentationMetrics: got {name} {labels.min().item()}..{labels.max().item()}, wanted 0.."
                    f"{self.n_classes - 1}, or {self.ignore_index} in the target for points that are not scored."
                )
        index, bins = t * self.n_classes + p, self.n_classes**2
        self.state[0] += torch.bincount(index, area, bins).view(self.n_classes, -1)
        self.state[1] += torch.bincount(index, minlength=bins).view(self.n_classes, -1)

    def iou(self, pixels: bool = False) -> Tensor:
        """IoU of each class, (K,); NaN for classes absent from both prediction and target."""
        matrix = self.state[int(pixels)]
        right = matrix.diagonal()
        return right / (matrix.sum(0) + matrix.sum(1) - right)

    def recall(self, pixels: bool = False) -> Tensor:
        """The share of each class that is found, (K,); NaN for classes absent from the target."""
        matrix = self.state[int(pixels)]
        return matrix.diagonal() / matrix.sum(1)

    def compute(self) -> dict[str, float]:
        out = {}
        foreground = [k for k in range(self.n_classes) if k not in self.exclude]
        for pixels, suffix in ((False, ""), (True, "_pixels")):
            matrix = self.state[int(pixels)]
            values = {"miou": self.iou(pixels), "mean_accuracy": self.recall(pixels)}
            for name, per_class in values.items():
                out[name + suffix] = _mean(per_class[~per_class.isnan()])
                if self.exclude:
                    kept = per_class[foreground]
                    out[f"{name}_foreground{suffix}"] = _mean(kept[~kept.isnan()])
            out["accuracy" + suffix] = (matrix.trace() / matrix.sum()).item()
        return out


class RegressionMetrics(Metrics):
    """RMSE, MAE, bias and anomaly correlation of named variables, weighted by latitude.

    With L = a/mean(a) (quadrature weights of mean 1; cos of latitude on equiangular grids, up to the quadrature):
    ``rmse = √⟨L (y - t)²⟩``, ``mae = ⟨L |y - t|⟩``, ``bias = ⟨L (y - t)⟩``, where ⟨⟩ runs over the points and samples
    whose target is not NaN (and is divided by the mean of L over them). The root is taken once, after the mean over all
    samples. With a climatology c (per variable and point): the uncentred anomaly correlation
    ``acc = Σ a (y - c)(t - c) / √(Σ a (y - c)² Σ a (t - c)²)`` of each sample, averaged over samples.

    ``compute`` gives ``rmse/NAME``, ``mae/NAME``, ``bias/NAME``, ``acc/NAME`` for every variable, and ``rmse``,
    ``mae``, ``bias`` over all variables together (meaningful where they share a unit or are standardised).

    Shapes: prediction and target (B, C, H, W), one channel per name; climatology (C, H, W).
    Raises: ValueError for other shapes.
    Source: Rasp et al. 2024 (WeatherBench 2; there too the root follows the mean over time);
    pinned by ``tests/nn/test_metrics.py``.
    """

    def __init__(self, names: Sequence[str], grid: SphereGrid, climatology: Tensor | None = None) -> None:
        super().__init__((6, len(names)))  # area, squared, absolute, signed error; correlation, samples
        self.names = tuple(names)
        self.grid = grid
        wanted = (len(self.names), *grid.shape)
        if climatology is not None and tuple(climatology.shape) != wanted:
            raise ValueError(
                f"RegressionMetrics: got a climatology of shape {tuple(climatology.shape)}, wanted {wanted} for "
                f"the variables {self.names} on {grid}."
            )
        self.climatology = None if climatology is None else climatology.detach().cpu().double()

    def update(self, prediction: Tensor, target: Tensor) -> None:
        check_pair(prediction, target, self.grid, "RegressionMetrics")
        if prediction.shape[1] != len(self.names):
            raise ValueError(
                f"the prediction has {prediction.shape[1]} channels in dim 1, RegressionMetrics was built for the "
                f"{len(self.names)} variables {self.names}: name every channel."
            )
        y, t = prediction.detach().cpu().double(), target.detach().cpu().double()
        scored = ~t.isnan()
        area = torch.where(scored, self.grid.quadrature, 0.0)
        error = torch.where(scored, y - t, 0.0)
        dims = (0, 2, 3)
        parts = [area, area * error.square(), area * error.abs(), area * error]
        self.state[:4] += torch.stack([part.sum(dims) for part in parts])
        if self.climatology is None:
            return
        y = torch.where(scored, y - self.climatology, 0.0)
        t = torch.where(scored, t - self.climatology, 0.0)
        norms = ((area * y.square()).sum((2, 3)) * (area * t.square()).sum((2, 3))).sqrt()
        defined = norms > 0
        correlation = (area * y * t).sum((2, 3)) / torch.where(defined, norms, 1.0)
        self.state[4] += torch.where(defined, correlation, 0.0).sum(0)
        self.state[5] += defined.sum(0)

    def compute(self) -> dict[str, float]:
        area, squared, absolute, signed, correlation, samples = self.state
        total = area.sum()
        out = {
            "rmse": (squared.sum() / total).sqrt().item(),
            "mae": (absolute.sum() / total).item(),
            "bias": (signed.sum() / total).item(),
        }
        for c, name in enumerate(self.names):
            out[f"rmse/{name}"] = (squared[c] / area[c]).sqrt().item()
            out[f"mae/{name}"] = (absolute[c] / area[c]).item()
            out[f"bias/{name}"] = (signed[c] / area[c]).item()
            if self.climatology is not None:
                out[f"acc/{name}"] = (correlation[c] / samples[c]).item()
        return out


class ClassificationMetrics(Metrics):
    """Accuracy, mean accuracy over classes, and top-k accuracy.

    ``compute`` gives ``accuracy`` (share of samples whose highest score is the label), ``mean_accuracy`` (mean of that
    share over the classes that occur) and ``top_k`` for each k of ``top_k``. A tie goes to the lower class.

    Shapes: scores (B, K), labels (B,) integer. Raises: ValueError for other shapes, labels outside 0..K-1, or k > K.
    Pinned by ``tests/nn/test_metrics.py``.
    """

    def __init__(self, n_classes: int, top_k: Sequence[int] = ()) -> None:
        if n_classes < 1 or any(not 1 <= k <= n_classes for k in top_k):
            raise ValueError(
                f"ClassificationMetrics: got n_classes = {n_classes}, top_k = {tuple(top_k)}, wanted at least one "
                f"class and each k between 1 and their number."
            )
        super().__init__((2 + len(top_k), n_classes))  # samples, hits, hits within k; per class of the label
        self.n_classes = n_classes
        self.top_k = tuple(top_k)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        wanted = (target.shape[0] if target.ndim else 0, self.n_classes)
        if tuple(prediction.shape) != wanted or target.ndim != 1 or target.is_floating_point():
            raise ValueError(
                f"got scores of shape {tuple(prediction.shape)} and labels of shape {tuple(target.shape)} and dtype "
                f"{target.dtype}, ClassificationMetrics wants (batch, {self.n_classes}) and integer (batch,)."
            )
        scores, labels = prediction.detach().cpu().double(), target.cpu().long()
        if labels.numel() and not (labels.min() >= 0 and labels.max() < self.n_classes):
            raise ValueError(
                f"ClassificationMetrics: got labels {labels.min().item()}..{labels.max().item()}, wanted 0.."
                f"{self.n_classes - 1}."
            )
        # The rank of the label: how many classes score higher, or as high and come before it.
        own = scores.gather(1, labels[:, None])
        before = torch.arange(self.n_classes) < labels[:, None]
        rank = ((scores > own) | ((scores == own) & before)).sum(1)
        rank = torch.where(own[:, 0].isnan(), self.n_classes, rank)
        for row, k in enumerate((self.n_classes + 1, 1, *self.top_k)):
            self.state[row] += torch.bincount(labels[rank < k], minlength=self.n_classes)

    def compute(self) -> dict[str, float]:
        samples, hits = self.state[0], self.state[1]
        occurs = samples > 0
        out = {
            "accuracy": (hits.sum() / samples.sum()).item(),
            "mean_accuracy": _mean(hits[occurs] / samples[occurs]),
        }
        return out | {f"top_{k}": (self.state[2 + i].sum() / samples.sum()).item() for i, k in enumerate(self.top_k)}
