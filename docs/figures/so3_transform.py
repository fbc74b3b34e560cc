"""The picture and the tables of the SO(3) page: one Wigner matrix, and round trips by band limit.

python docs/figures/so3_transform.py --out docs/images/so3_transform.png

Coefficients of a random real function, to samples and back, on the equiangular grid of 2b rings, longitudes and
orientations, in float64 and float32; then the processor time of one channel. About half a minute on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from armillary.groups import from_euler_zyz, wigner_D
from armillary.harmonics import InverseSO3Transform, SO3Transform
from armillary.spaces import Equiangular, OrientedGrid

DEGREE, ANGLE = 24, 1.1
COLOURS = {torch.float64: "#2e90fa", torch.float32: "#f79009"}


def measure(b: int, dtype: torch.dtype) -> tuple[float, float, float]:
    """Relative error of the round trip, relative difference of both sides of Parseval, seconds of both transforms."""
    space = OrientedGrid(Equiangular(2 * b, 2 * b), 2 * b)
    analysis, synthesis = SO3Transform(space), InverseSO3Transform(space)
    noise = torch.randn(space.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c = analysis(noise)
    f = synthesis(c)
    blocks = analysis.blocks.split(c.abs() ** 2)
    energy = sum(float(block[0].sum() + 2 * block[1:].sum()) for block in blocks)
    f = f.to(dtype)
    analysis(f)  # numba compiles, casts are made
    began = time.process_time()
    back = analysis(synthesis(analysis(f)))
    seconds = (time.process_time() - began) * 2 / 3
    parseval = abs(float(space.integrate(f.double() ** 2)) / energy - 1)
    return float((back - c).norm() / c.norm()), parseval, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="A Wigner matrix and round trips of the transform on SO(3).")
    parser.add_argument("--out", type=Path, default=Path("docs/images/so3_transform.png"))
    parser.add_argument("--bandlimits", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figure = Figure(figsize=(9, 3.7), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    d = wigner_D(DEGREE, from_euler_zyz(0.0, ANGLE, 0.0)).real
    half = DEGREE + 0.5
    left.imshow(d, cmap="RdBu_r", vmin=-0.5, vmax=0.5, extent=(-half, half, half, -half), interpolation="nearest")
    left.add_patch(Polygon([(-0.5, -0.5), (-0.5, half), (half, half)], fill=False, edgecolor="#1d2433", linewidth=1.6))
    left.set_title(f"$d^{{{DEGREE}}}_{{mn}}(\\beta)$, β = {ANGLE}: what is made", fontsize=10.5)
    left.set_xlabel("n")
    left.set_ylabel("m")
    print("| bandlimit | precision | round trip | Parseval | both transforms |\n|---|---|---|---|---|")
    for dtype, colour in COLOURS.items():
        results = [measure(b, dtype) for b in arguments.bandlimits]
        name = str(dtype).removeprefix("torch.")
        for b, (trip, parseval, seconds) in zip(arguments.bandlimits, results, strict=True):
            print(f"| {b} | {name} | {trip:.0e} | {parseval:.0e} | {1e3 * seconds:.0f} ms |", flush=True)
        right.loglog(arguments.bandlimits, [r[0] for r in results], "o-", color=colour, label=name, markersize=4)
    right.axhline(1e-10, color=COLOURS[torch.float64], linestyle=":", linewidth=1)
    right.axhline(1e-4, color=COLOURS[torch.float32], linestyle=":", linewidth=1)
    right.set_ylim(1e-17, 1e-2)
    right.set_xticks(arguments.bandlimits, labels=[str(b) for b in arguments.bandlimits])
    right.set_xticks([], minor=True)
    right.set_title("to samples and back, relative error", fontsize=10.5)
    right.set_xlabel("bandlimit b = lmax + 1")
    right.grid(alpha=0.25)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(fontsize=8.5, frameon=False, loc="center left", bbox_to_anchor=(0, 0.6))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(f"\n{arguments.out}")


if __name__ == "__main__":
    main()
