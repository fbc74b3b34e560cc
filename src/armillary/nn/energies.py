"""Energies and forces of structures of atoms: what networks give and data hold, their loss and their metrics.

A batch holds atoms of several structures one after the other, without padding. Shape legend: B structures, P atoms of
all of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from armillary.nn.metrics import Metrics


class EnergyForces(NamedTuple):
    """What a network says of a batch. Units: eV, Å.

    ``energies`` (B,); ``forces`` (P, 3), minus the derivative by positions; ``virials`` (B, 3, 3), the derivative by a
    symmetric strain ε, x → (1 + ε) x, cell and all (so that virial/volume is the stress), or None for networks whose
    forces are no derivative.
    """

    energies: Tensor
    forces: Tensor
    virials: Tensor | None = None


class EnergyTargets(NamedTuple):
    """What is known of a batch: ``energies`` (B,) in eV, ``forces`` (P, 3) in eV/Å, ``sizes`` (B,) atoms of each."""

    energies: Tensor
    forces: Tensor
    sizes: Tensor


class EnergyForcesLoss(nn.Module):
    """``energy_weight · <ΔE_b/n_b> + force_weight · <ΔF_i>`` over structures b of n_b atoms and over atoms i.

    kind "mae": absolute energies and Euclidean lengths of force differences, |ΔE_b|/n_b and ‖ΔF_i‖; kind "mse": the
    squares (ΔE_b/n_b)² and ‖ΔF_i‖²/3.
    Raises: ValueError for weights below 0 or both 0, another kind, or shapes that differ.
    Source: Zitnick et al. 2022 (arXiv 2206.14331) has the first, Batzner et al. 2022 (arXiv 2101.03164) the second;
    pinned by ``tests/nn/test_energies.py``.
    """

    def __init__(
        self, energy_weight: float = 1.0, force_weight: float = 1.0, kind: Literal["mae", "mse"] = "mae"
    ) -> None:
        super().__init__()
        if (
            not (0 <= energy_weight < float("inf") and 0 <= force_weight < float("inf"))
            or energy_weight + force_weight == 0
        ):
            raise ValueError(
                f"got energy_weight = {energy_weight} and force_weight = {force_weight}, wanted both >= 0, one > 0."
            )
        if kind not in ("mae", "mse"):
            raise ValueError(f"got kind = {kind!r}, wanted 'mae' or 'mse'.")
        self.energy_weight, self.force_weight, self.kind = float(energy_weight), float(force_weight), kind

    def forward(self, prediction: EnergyForces, target: EnergyTargets) -> Tensor:
        _check(prediction, target)
        energy = (prediction.energies - target.energies) / target.sizes.to(prediction.energies)
        square = (prediction.forces - target.forces).square().sum(1)
        if self.kind == "mse":
            return self.energy_weight * energy.square().mean() + self.force_weight * square.mean() / 3
        there = square > 0
        lengths = torch.where(there, torch.where(there, square, 1).sqrt(), 0)
        return self.energy_weight * energy.abs().mean() + self.force_weight * lengths.mean()

    def extra_repr(self) -> str:
        return f"energy_weight={self.energy_weight:g}, force_weight={self.force_weight:g}, kind={self.kind!r}"


class EnergyForcesMetrics(Metrics):
    """Errors of energies and forces in meV and meV/Å.

    ``energy_mae``: |ΔE_b| over structures; ``energy_per_atom_mae``: |ΔE_b|/n_b; ``force_mae`` and ``force_rmse`` over
    the components of all forces. Raises: ValueError for shapes that differ. Pinned by ``tests/nn/test_energies.py``.
    """

    def __init__(self) -> None:
        super().__init__((6,))

    def update(self, prediction: EnergyForces, target: EnergyTargets) -> None:  # type: ignore[override]
        _check(prediction, target)
        energy = (prediction.energies.detach().double() - target.energies.double()).abs().cpu()
        force = (prediction.forces.detach().double() - target.forces.double()).cpu()
        sums = (energy.sum(), (energy / target.sizes.cpu()).sum(), force.abs().sum(), force.square().sum())
        counts = torch.tensor([len(energy), force.numel()], dtype=torch.float64)
        self.state += torch.cat([torch.stack(sums), counts])

    def compute(self) -> dict[str, float]:
        energy, per_atom, force, square, structures, components = self.state
        return {
            "energy_mae": 1000 * (energy / structures).item(),
            "energy_per_atom_mae": 1000 * (per_atom / structures).item(),
            "force_mae": 1000 * (force / components).item(),
            "force_rmse": 1000 * (square / components).sqrt().item(),
        }


def _check(prediction: EnergyForces, target: EnergyTargets) -> None:
    for name in ("energies", "forces"):
        got, wanted = getattr(prediction, name).shape, getattr(target, name).shape
        if got != wanted:
            raise ValueError(f"the prediction has {name} of shape {tuple(got)}, the target of {tuple(wanted)}.")
    if target.sizes.shape != target.energies.shape:
        raise ValueError(
            f"the target has sizes of shape {tuple(target.sizes.shape)}, wanted {tuple(target.energies.shape)}."
        )
