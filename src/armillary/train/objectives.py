"""The loss and the metrics of a task, from settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from armillary.nn import (
    ClassificationMetrics,
    CrossEntropyLoss,
    DiceLoss,
    EnergyForcesLoss,
    GradientLoss,
    L1Loss,
    L2Loss,
    RegressionMetrics,
    SegmentationMetrics,
    SumLoss,
)
from armillary.nn.metrics import Metrics as FieldMetrics
from armillary.spaces import ImageGrid, SphereGrid

Task = Literal["segmentation", "classification", "regression"]


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: cross-entropy for classes, ``regression`` for fields, plus weighted extra terms.

    Raises: ValueError for a negative weight.
    """

    regression: Literal["l1", "l2"] = "l2"
    """Regression: mean absolute or mean squared difference over the area."""
    dice: float = 0.0
    """Segmentation: weight of the dice loss beside cross-entropy."""
    gradient: float = 0.0
    """Regression: weight of the loss on gradients along the sphere."""
    label_smoothing: float = 0.0
    """Classes: part of the target spread evenly over all classes."""

    def __post_init__(self) -> None:
        for name in ("dice", "gradient", "label_smoothing"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"loss: got {name} = {getattr(self, name)!r}, wanted a number >= 0.")


@dataclass(frozen=True)
class AtomsLossConfig:
    """What is minimised for structures of atoms: errors of energies per atom and of forces (``EnergyForcesLoss``).

    Raises: ValueError for weights below 0 or both 0.
    """

    energy: float = 1.0
    """Weight of the energy of an atom, eV; 0 for structures without energies."""
    forces: float = 10.0
    """Weight of forces, eV/Å; 0 for structures without forces."""
    kind: Literal["mae", "mse"] = "mae"
    """Absolute differences and lengths, or squares."""

    def __post_init__(self) -> None:
        self.build()

    def build(self) -> EnergyForcesLoss:
        """The loss it describes."""
        return EnergyForcesLoss(self.energy, self.forces, self.kind)


def build_loss(task: Task, grid: SphereGrid | ImageGrid, config: LossConfig, ignore_index: int = 255) -> nn.Module:
    """A module ``(prediction, target) -> scalar`` for ``task``; averages over the sphere are by area.

    Raises: ValueError where a weight belongs to another task, or for a task that images in the plane have not.
    """
    if config.dice > 0 and task != "segmentation":
        raise ValueError(f"loss: got dice = {config.dice} for {task}, it is for segmentation: leave it at 0.")
    if config.gradient > 0 and task != "regression":
        raise ValueError(f"loss: got gradient = {config.gradient} for {task}, it is for regression: leave it at 0.")
    if task == "classification":
        return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    grid = _sphere(task, grid)
    if task == "segmentation":
        entropy = CrossEntropyLoss(grid, label_smoothing=config.label_smoothing, ignore_index=ignore_index)
        if config.dice == 0:
            return entropy
        return SumLoss([entropy, DiceLoss(grid, ignore_index=ignore_index)], [1.0, config.dice])
    pointwise = L1Loss(grid) if config.regression == "l1" else L2Loss(grid)
    return SumLoss([pointwise, GradientLoss(grid)], [1.0, config.gradient]) if config.gradient > 0 else pointwise


def build_metrics(
    task: Task, grid: SphereGrid | ImageGrid, output_names: Sequence[str], ignore_index: int = 255
) -> FieldMetrics:
    """The metrics of ``task``; a class named "background" is left out of the ``_foreground`` means."""
    if task == "classification":
        return ClassificationMetrics(len(output_names))
    grid = _sphere(task, grid)
    if task == "regression":
        return RegressionMetrics(output_names, grid)
    background = [k for k, name in enumerate(output_names) if name == "background"]
    exclude = background if len(output_names) > len(background) else []
    return SegmentationMetrics(len(output_names), grid, ignore_index=ignore_index, exclude=exclude)


def _sphere(task: Task, grid: SphereGrid | ImageGrid) -> SphereGrid:
    if not isinstance(grid, SphereGrid):
        raise ValueError(f"got {task} on images {grid.shape}: in the plane there is classification, so far.")
    return grid
