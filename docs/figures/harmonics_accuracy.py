"""The table of the harmonics page: round trips of the transform and of rotation at the full band, in float64.

python docs/figures/harmonics_accuracy.py
"""

from __future__ import annotations

import argparse

import torch

from armillary.harmonics import SHT, InverseSHT, random_field, random_rotation, rotate
from armillary.spaces import Equiangular, GaussLegendre


def main() -> None:
    parser = argparse.ArgumentParser(description="Round trips of the transform and of rotation.")
    parser.add_argument("--nlat", type=int, nargs="+", default=[64, 256])
    torch.set_num_threads(1)
    print("| grid | `lmax` | round trip, relative error | rotation and back, relative error |\n|---|---|---|---|")
    for nlat in parser.parse_args().nlat:
        for kind in (Equiangular, GaussLegendre):
            grid = kind(nlat)
            generator = torch.Generator().manual_seed(0)
            analysis, synthesis = SHT(grid), InverseSHT(grid)
            x = random_field(grid, grid.lmax, generator=generator)
            c = analysis(x)
            trip = (analysis(synthesis(c)) - c).norm() / c.norm()
            R = random_rotation(generator)
            turn = (rotate(rotate(x, grid, R), grid, R.T) - x).norm() / x.norm()
            print(f"| `{kind.__name__}({nlat})` | {grid.lmax} | {trip:.0e} | {turn:.0e} |", flush=True)


if __name__ == "__main__":
    main()
