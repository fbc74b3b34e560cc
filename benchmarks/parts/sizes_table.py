"""The table of RESULTS.md from the record of ``speed.py --sizes``, with operations counted and shares of the roofline.

python benchmarks/parts/sizes_table.py benchmarks/results/speed_sizes.json [--roofline GOPS]

Without ``--roofline`` it is measured: the fastest of some matrix products of 1536³ on the threads of the record.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import record
from speed import OURS, THEIRS, Case

from armillary.nn import DiscoConv
from armillary.spaces import GaussLegendre

COLUMNS = [
    "grids",
    "channels",
    "K",
    "Gop: contraction + mixing",
    "ms: forward + backward",
    "of the roofline",
    "ns per point, channel and function",
    "theirs / ours",
    "fused / ours",
    "peak, MB",
    "theirs, MB",
]


def roofline(threads: int, size: int = 1536) -> float:
    """Operations per second of a float32 matrix product."""
    torch.set_num_threads(threads)
    a, best = torch.randn(size, size), math.inf
    for _ in range(12):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def operations(case: Case) -> tuple[float, float]:
    """(contraction, mixing) of a forward pass; the entries of the stencil are those that a layer has."""
    grid, grid_out = GaussLegendre(case.nlat), GaussLegendre(case.nlat_out)
    layer = DiscoConv(1, 1, grid, grid_out, basis=case.hats.basis, cutoff=case.cutoff, bias=False)
    repeats, functions = math.gcd(grid.nlon, grid_out.nlon), case.hats.basis.size
    points = grid_out.nlat * grid_out.nlon
    contraction = 2 * len(layer.stencil) * repeats * case.channels * functions
    return contraction, 2 * points * case.channels**2 * functions


def row(entry: dict, peak: float) -> list[str]:
    case = Case(**{key: value for key, value in entry["case"].items() if key != "name"})
    ours, contraction_mixing = entry["results"][OURS], operations(case)
    seconds, functions = ours["both"]["median_s"], case.hats.basis.size
    theirs = [entry["results"][name] for name in THEIRS]
    return [
        f"{case.nlat}×{2 * case.nlat} → {case.nlat_out}×{2 * case.nlat_out}",
        str(case.channels),
        str(functions),
        " + ".join(f"{count / 1e9:.2f}" for count in contraction_mixing),
        " + ".join(f"{1e3 * ours[part]['median_s']:.0f}" for part in ("forward", "backward")),
        f"{100 * 3 * sum(contraction_mixing) / seconds / peak:.0f} %",
        f"{1e9 * seconds / (2 * case.nlat**2 * case.channels * functions):.2f}",
        *[f"{1 / result['both']['ours_over_this']:.2f}" for result in theirs],
        f"{ours['peak'] / 1e6:.0f}",
        f"{min(result['peak'] for result in theirs) / 1e6:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--roofline", type=float, help="Gop/s, where it was measured before")
    arguments = parser.parse_args()
    measured = json.loads(arguments.record.read_text())
    peak = 1e9 * arguments.roofline if arguments.roofline else roofline(measured["threads"])
    print(f"roofline: {peak / 1e9:.0f} Gop/s\n")
    print(record.table(COLUMNS, [row(entry, peak) for entry in measured["cases"]]))


if __name__ == "__main__":
    main()
