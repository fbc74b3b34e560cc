"""The best constant answer: what any trained network has to beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.data import AtomGraphs, FieldDataset
from armillary.nn import EnergyForces
from armillary.spaces import SphereGrid

MOST = 32
"""Training samples it is measured on."""


class Constant(nn.Module):
    """The same values for every sample and point: (B, C, H, W) -> (B, K, H, W), or (B, K) for classification."""

    def __init__(self, values: Tensor, dense: bool) -> None:
        super().__init__()
        self.values, self.dense = values, dense

    def forward(self, x: Tensor) -> Tensor:
        values = self.values.to(x)
        if not self.dense:
            return values.expand(len(x), -1)
        return values[:, None, None].expand(len(x), -1, *x.shape[-2:])


def best_constant(data: FieldDataset) -> Constant:
    """The constant of least loss on the first samples of ``data``.

    Classes: log((a_k + 1e-6 a)/a), a_k the area (or number) of class k and a that of all that is scored; its argmax is
    the commonest class. Fields: the mean over the area where the target is not NaN, of each output.
    """
    spec = data.spec
    n = len(spec.output_names)
    grid = spec.grid
    areas = grid.quadrature if isinstance(grid, SphereGrid) else torch.ones(grid.shape, dtype=torch.float64)
    targets = [data[i][1] for i in range(min(MOST, len(data)))]
    sums, total = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for y in targets:
        if spec.task == "regression":
            there = torch.isfinite(y)
            total += (areas * there).sum((-2, -1))
            sums += (areas * torch.where(there, y, 0.0)).sum((-2, -1))
            continue
        area = areas.expand(y.shape) if y.ndim else torch.ones((), dtype=torch.float64)
        scored = y != spec.ignore_index
        sums += torch.bincount(y[scored], area[scored], minlength=n)
        total += area[scored].sum()
    mean = sums / total.clamp_min(1e-12)
    return Constant(mean if spec.task == "regression" else (mean + 1e-6).log(), spec.task != "classification")


class MeanByComposition(nn.Module):
    """Energies that depend on the numbers of atoms of each element alone, and no forces.

    For a composition that occurs in training the mean of its energies there, for another the sum of the atoms' own
    energies. Called as a network of atoms; energies are those above the atoms' own.
    """

    def __init__(self, data: AtomGraphs) -> None:
        super().__init__()
        found: dict[tuple[int, ...], list[float]] = {}
        for graph, target in data.samples:
            if target.energies is not None:
                found.setdefault(tuple(graph.charges.sort().values.tolist()), []).append(float(target.energies))
        self.means = {composition: sum(values) / len(values) for composition, values in found.items()}

    def forward(
        self,
        charges: Tensor,
        positions: Tensor,
        edge_index: Tensor,
        offsets: Tensor | None,
        batch: Tensor,
        structures: int,
    ) -> EnergyForces:
        parts = charges.split(batch.bincount(minlength=structures).tolist())
        energies = [self.means.get(tuple(z.sort().values.tolist()), 0.0) for z in parts]
        return EnergyForces(positions.new_tensor(energies), torch.zeros_like(positions))
