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
    """What is known of a batch: ``energies`` (B,) in eV and ``forces`` (P, 3) in eV/Å, or None for those that are not
    known; ``sizes`` (B,) atoms of each."""

    energies: Tensor | None
    forces: Tensor | None
    sizes: Tensor


class EnergyForcesLoss(nn.Module):
    """``energy_weight · <ΔE_b/n_b> + force_weight · <ΔF_i>`` over structures b of n_b atoms and over atoms i.

    kind "mae": absolute energies and Euclidean lengths of force differences, |ΔE_b|/n_b and ‖ΔF_i‖; kind "mse": the
    squares (ΔE_b/n_b)² and ‖ΔF_i‖²/3. What has weight 0 need not be among the targets.
    Raises: ValueError for weights below 0 or both 0, another kind, shapes that differ, or targets that are not there.
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
        terms = []
        if self.energy_weight > 0:
            energy = (prediction.energies - _there("energies", target)) / target.sizes.to(prediction.energies)
            terms.append(self.energy_weight * (energy.square() if self.kind == "mse" else energy.abs()).mean())
        if self.force_weight > 0:
            square = (prediction.forces - _there("forces", target)).square().sum(1)
            terms.append(self.force_weight * (square.mean() / 3 if self.kind == "mse" else _lengths(square).mean()))
        return torch.stack(terms).sum()

    def extra_repr(self) -> str:
        return f"energy_weight={self.energy_weight:g}, force_weight={self.force_weight:g}, kind={self.kind!r}"


class EnergyForcesMetrics(Metrics):
    """Errors of energies and forces in meV and meV/Å.

    ``energy_mae``: |ΔE_b| over structures; ``energy_per_atom_mae``: |ΔE_b|/n_b; ``force_mae`` and ``force_rmse`` over
    the components of all forces. Where the targets have no energies, or no forces, theirs are left out.
    Raises: ValueError for shapes that differ. Pinned by ``tests/nn/test_energies.py``.
    """

    def __init__(self) -> None:
        super().__init__((6,))

    def update(self, prediction: EnergyForces, target: EnergyTargets) -> None:  # type: ignore[override]
        _check(prediction, target)
        sums = torch.zeros(6, dtype=torch.float64)
        if target.energies is not None:
            energy = (prediction.energies.detach().double() - target.energies.double()).abs().cpu()
            sums[:3] = torch.stack([energy.sum(), (energy / target.sizes.cpu()).sum(), sums.new_tensor(len(energy))])
        if target.forces is not None:
            force = (prediction.forces.detach().double() - target.forces.double()).cpu()
            sums[3:] = torch.stack([force.abs().sum(), force.square().sum(), sums.new_tensor(force.numel())])
        self.state += sums

    def compute(self) -> dict[str, float]:
        energy, per_atom, structures, force, square, components = self.state
        found = {
            "energy_mae": 1000 * (energy / structures).item(),
            "energy_per_atom_mae": 1000 * (per_atom / structures).item(),
            "force_mae": 1000 * (force / components).item(),
            "force_rmse": 1000 * (square / components).sqrt().item(),
        }
        counts = {"energy": structures, "force": components}
        there = {kind for kind, count in counts.items() if count > 0} or set(counts)
        return {name: value for name, value in found.items() if name.partition("_")[0] in there}


def _there(name: str, target: EnergyTargets) -> Tensor:
    value: Tensor | None = getattr(target, name)
    if value is None:
        raise ValueError(f"the target has no {name}, which have a weight in the loss: give it the weight 0.")
    return value


def _lengths(square: Tensor) -> Tensor:
    """Roots whose gradient at 0 is 0."""
    there = square > 0
    return torch.where(there, torch.where(there, square, 1).sqrt(), 0)


def _check(prediction: EnergyForces, target: EnergyTargets) -> None:
    for name in ("energies", "forces"):
        got, wanted = getattr(prediction, name).shape, getattr(target, name)
        if wanted is not None and got != wanted.shape:
            raise ValueError(f"the prediction has {name} of shape {tuple(got)}, the target of {tuple(wanted.shape)}.")
    if target.sizes.shape != prediction.energies.shape:
        raise ValueError(
            f"the target has sizes of shape {tuple(target.sizes.shape)}, wanted {tuple(prediction.energies.shape)}."
        )
