"""The tables of the DISCO page: equivariance error of each kind of layer, and of cutoffs and bases.

python docs/figures/disco_layers.py

Equiangular grids, random weights, float64, random fields of degree ≤ 8, four random rotations; three orientations where
there are any. A few minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn

from armillary.nn import (
    DiscoConv,
    DiscoConvTranspose,
    DiscoLift,
    DiscoSO3Conv,
    FourierAzimuth,
    OrientationMean,
    PiecewiseLinear,
    rings,
)
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid
from armillary.testing import equivariance_error

LMAX = 8
Case = tuple[nn.Module, SphereGrid | OrientedGrid, SphereGrid | OrientedGrid]


def _chain(grid: SphereGrid) -> Case:
    space = OrientedGrid(grid, 3)
    layers = nn.Sequential(DiscoLift(2, 2, grid, 3), DiscoSO3Conv(2, 2, grid, 3), OrientationMean(space))
    return layers, grid, grid


LAYERS: dict[str, Callable[[SphereGrid], Case]] = {
    "`DiscoConv`, axisymmetric": lambda g: (DiscoConv(2, 2, g), g, g),
    "— to half the rings": lambda g: (DiscoConv(2, 2, g, g.coarser()), g, g.coarser()),
    "— to a Gauss–Legendre grid of ¾ of the rings (general path)": lambda g: (
        DiscoConv(2, 2, g, GaussLegendre(g.nlat * 3 // 4)),
        g,
        GaussLegendre(g.nlat * 3 // 4),
    ),
    "`DiscoConvTranspose` from half the rings": lambda g: (DiscoConvTranspose(2, 2, g.coarser(), g), g.coarser(), g),
    "`DiscoLift`": lambda g: (DiscoLift(2, 2, g, 3), g, OrientedGrid(g, 3)),
    "`DiscoSO3Conv`": lambda g: (DiscoSO3Conv(2, 2, g, 3), OrientedGrid(g, 3), OrientedGrid(g, 3)),
    "lift, convolve on SO(3), mean over orientations": _chain,
    "`DiscoConv`, directional: `FourierAzimuth(3, 1)`": lambda g: (
        DiscoConv(2, 2, g, basis=FourierAzimuth(3, 1)),
        g,
        g,
    ),
    "`DiscoConv`, directional: `PiecewiseLinear(3, 4)`": lambda g: (
        DiscoConv(2, 2, g, basis=PiecewiseLinear(3, 4)),
        g,
        g,
    ),
}


def cutoffs(k: int) -> Callable[[SphereGrid], Case]:
    return lambda g: (DiscoConv(2, 2, g, basis=PiecewiseLinear(k), cutoff=rings(k, g)), g, g)


def row(name: str, make: Callable[[SphereGrid], Case], sizes: list[int]) -> None:
    cells, degree = [], None
    for nlat in sizes:
        torch.manual_seed(0)
        layer, space_in, space_out = make(Equiangular(nlat))
        degree = getattr(layer, "degree", None)
        cells.append(f"{equivariance_error(layer, space_in, space_out, channels=2, lmax=LMAX):.1e}")
    print(f"| {name} | {'' if degree is None else degree} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Equivariance errors of the DISCO layers.")
    parser.add_argument("--nlat", type=int, nargs="+", default=[32, 64, 128])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for title, cases in (
        ("layer", LAYERS),
        ("cutoff and basis", {f"{k} ring{'s' * (k > 1)}, `PiecewiseLinear({k})`": cutoffs(k) for k in (1, 2, 3, 4)}),
    ):
        print(f"\n| {title} | degree matched | " + " | ".join(f"{n} rings" for n in arguments.nlat) + " |")
        print("|---|---|" + "---|" * len(arguments.nlat))
        for name, make in cases.items():
            row(name, make, arguments.nlat)


if __name__ == "__main__":
    main()
