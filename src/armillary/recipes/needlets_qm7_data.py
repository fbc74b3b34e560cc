"""Molecules for the needlet recipe: signals of equal strength in all degrees, energies without what atom counts tell,
and the kernel baseline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from armillary.data.qm7 import ELEMENTS, Molecules, atom_signals, coulomb_matrices
from armillary.harmonics import SHT, InverseSHT
from armillary.spaces import GaussLegendre

CENTRES = (6, 7, 8, 16)
"""Spheres lie about heavy atoms only: each hydrogen atom is bound to one, whose sphere sees it."""
RADIUS = 0.45


@dataclass(frozen=True)
class Signals:
    """Coefficients (n, atoms, elements, lmax + 1, lmax + 1) complex64 of the potentials about each heavy atom, and
    which element it is of, (n, atoms, kinds) float32, all 0 for no atom."""

    coefficients: Tensor
    kinds: Tensor

    def samples(self, train: Tensor, grid: GaussLegendre) -> Tensor:
        """Input of ``models.AtomSum``: each degree of each channel divided by its root mean square over the atoms of
        the molecules ``train``, the mean of degree 0 taken off before; on ``grid``, with the kinds as channels.

        Potentials fall with the degree as (radius/distance)^l; dividing them is a zonal filter, so it commutes with
        rotations.
        """
        there = self.kinds.sum(-1) > 0
        seen = self.coefficients[train][there[train]]  # (atoms, elements, l, m)
        mean = torch.zeros_like(seen[0])
        mean[:, 0, 0] = seen[:, :, 0, 0].mean(0)
        squares = (seen - mean).abs().square()
        power = (2 * squares.sum(-1) - squares[..., 0]).mean(0)
        unit = (4 * torch.pi / power.shape[-1] / power.clamp(min=1e-12)).sqrt()
        scaled = (self.coefficients - mean) * unit[..., None] * there[..., None, None, None]
        values = InverseSHT(grid, power.shape[-1] - 1)(scaled)
        kinds = self.kinds[..., None, None].expand(*self.kinds.shape, *grid.shape)
        return torch.cat([values, kinds], dim=2)


def signals_of(molecules: Molecules, bandlimit: int) -> Signals:
    """The potentials of ``data.qm7.atom_signals`` of degree < bandlimit, from twice as many rings."""
    fine = GaussLegendre(2 * bandlimit)
    transform, parts, kinds = SHT(fine, bandlimit - 1), [], []
    most = max(int(torch.isin(molecules.charges, torch.tensor(CENTRES)).sum(1).max()), 1)
    for rows in torch.arange(len(molecules)).split(500):
        x = atom_signals(molecules.select(rows), fine, RADIUS, CENTRES)
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 0, 0, most - x.shape[1]))
        parts.append(transform(x[:, :, : len(ELEMENTS)]))
        kinds.append(x[:, :, len(ELEMENTS) :, 0, 0])
    return Signals(torch.cat(parts), torch.cat(kinds))


def counted(molecules: Molecules, train: Tensor) -> Tensor:
    """Energies by least squares on the numbers of atoms of each element and a constant, fitted on ``train``: (n,)."""
    table = torch.cat([molecules.counts(), torch.ones(len(molecules), 1).double()], dim=1)
    weights = torch.linalg.lstsq(table[train], molecules.energies[train, None], driver="gelsd").solution
    return (table @ weights)[:, 0]


def coulomb_distances(molecules: Molecules) -> Tensor:
    """Sums of absolute differences of sorted Coulomb matrices, (n, n) float64."""
    matrices = coulomb_matrices(molecules).numpy()
    return torch.from_numpy(cdist(matrices, matrices, "cityblock"))


def kernel_ridge(distances: Tensor, targets: Tensor, train: Tensor, test: Tensor) -> Tensor:
    """Ridge regression with the Laplace kernel exp(-d/σ), predictions for ``test``.

    σ and the ridge are those with the least mean absolute error on the last fifth of ``train`` for a fit on the rest.
    """
    fit, held = train[: -(len(train) // 5)], train[-(len(train) // 5) :]
    choices = [(sigma, ridge) for sigma in (300.0, 1000.0, 3000.0) for ridge in (1e-7, 1e-4)]
    errors = [
        float((_ridge(distances, targets, fit, held, *choice) - targets[held]).abs().mean()) for choice in choices
    ]
    return _ridge(distances, targets, train, test, *choices[errors.index(min(errors))])


def _ridge(distances: Tensor, targets: Tensor, fit: Tensor, to: Tensor, sigma: float, ridge: float) -> Tensor:
    kernel = torch.exp(-distances[fit][:, fit] / sigma)
    kernel.diagonal().add_(ridge)
    weights = torch.cholesky_solve(targets[fit, None], torch.linalg.cholesky(kernel))
    return (torch.exp(-distances[to][:, fit] / sigma) @ weights)[:, 0]
