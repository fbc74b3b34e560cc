"""The table of the DISCO page: rotation error of the layers with an orientation axis against resolution.

python docs/figures/orientation_convergence.py [--rings 64 128 256 512]

Gauss–Legendre and equiangular grids, three orientations, ``FourierAzimuth(3, 1)``, a cutoff of three rings, one channel
in and two out, random weights, float64, one random rotation. Up to 256 rings under two minutes on two cores.
"""

from __future__ import annotations

import argparse
import math

import torch

from armillary.nn import DiscoLift, DiscoSO3Conv
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import equivariance_error

ORIENTATIONS = 3


def error(kind: type, grid: Equiangular | GaussLegendre, lmax: int) -> float:
    torch.manual_seed(0)
    layer = kind(1, 2, grid, ORIENTATIONS).double()
    oriented = OrientedGrid(grid, ORIENTATIONS)
    space_in = grid if kind is DiscoLift else oriented
    return equivariance_error(layer, space_in, oriented, lmax=lmax, n_rotations=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rings", type=int, nargs="+", default=[64, 128, 256])
    rings = parser.parse_args().rings
    print("| layer | grid | l ≤ | " + " | ".join(map(str, rings)) + " | last order |")
    print("|" + "---|" * (len(rings) + 4))
    for kind in (DiscoLift, DiscoSO3Conv):
        for make in (GaussLegendre, Equiangular):
            for lmax in (16, 32):
                errors = [error(kind, make(nlat), lmax) for nlat in rings]
                order = math.log(errors[-2] / errors[-1]) / math.log(rings[-1] / rings[-2])
                cells = " | ".join(f"{value:.1e}" for value in errors)
                print(f"| {kind.__name__} | {make.__name__} | {lmax} | {cells} | {order:.1f} |", flush=True)


if __name__ == "__main__":
    main()
