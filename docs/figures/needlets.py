"""The pictures and the table of the needlets page: bands, localisation, and the error of shrinkage.

python docs/figures/needlets.py --out docs/images/needlets.png

Above: multipliers of the bands of both filter banks; a detail of the middle level against the angle, beside degrees cut
off sharply; below: details of three levels on the sphere; the error under exact rotations of shrinkage
against oversampling. About a minute on one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.polynomial.legendre import legval
from torch import nn

from armillary.harmonics import (
    SHT,
    BumpBank,
    FilterBank,
    InverseSHT,
    InverseSO3Transform,
    MeyerBank,
    Needlets,
    SO3Needlets,
    SO3Transform,
    SphereNeedlets,
)
from armillary.nn import NeedletShrinkage
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import equivariance_error
from armillary.train.pictures import orthographic

LMAX = 63
BANKS: tuple[tuple[FilterBank, str], ...] = ((MeyerBank(), "#2e90fa"), (BumpBank(), "#f79009"))
OVERSAMPLE = (1, 1.5, 2, 3, 4)


def profile(multipliers: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Σ_l g(l) (2l + 1)/4π P_l(cos ϑ)."""
    degrees = np.arange(len(multipliers))
    return legval(np.cos(angles), multipliers * (2 * degrees + 1) / (4 * math.pi))


def shrinkage_error(lmax: int, oversample: float, on_so3: bool, threshold: float) -> float:
    """Error under random rotations of shrinkage of a random field, whose variance is one, in all degrees ≤ lmax."""
    grid, needlets = GaussLegendre(lmax + 1), Needlets(lmax, MeyerBank())
    if on_so3:
        space = OrientedGrid(grid, 2 * lmax + 2)
        layer = NeedletShrinkage(1, SO3Needlets(needlets, oversample), threshold)
        whole = nn.Sequential(SO3Transform(space), layer, InverseSO3Transform(space))
        return equivariance_error(whole, space, channels=1, lmax=lmax)
    layer = NeedletShrinkage(1, SphereNeedlets(needlets, oversample), threshold)
    whole = nn.Sequential(SHT(grid), layer, InverseSHT(grid))
    return equivariance_error(whole, grid, channels=1, lmax=lmax)


def draw_bands(axis, profiles) -> None:
    degrees = torch.arange(LMAX + 1)
    angles = np.linspace(0, math.pi, 1200)
    for bank, colour in BANKS:
        needlets = Needlets(LMAX, bank, levels=3)
        name = type(bank).__name__
        for i, row in enumerate(needlets.multipliers):
            axis.plot(degrees, row, color=colour, linewidth=1.2, label=name if i == 0 else None)
        middle = next(band for band in needlets.bands if (band.level, band.detail) == (1, 0))
        values = np.abs(profile(np.array(middle.multipliers), angles))
        profiles.semilogy(np.degrees(angles), values / values.max(), color=colour, linewidth=1.2, label=name)
    kept = (np.arange(LMAX + 1) >= 12) & (np.arange(LMAX + 1) <= 24)  # where the multipliers exceed √½
    sharp = np.abs(profile(kept.astype(float), angles))
    profiles.semilogy(np.degrees(angles), sharp / sharp.max(), color="#98a2b3", linewidth=0.8, label="cut off sharply")
    axis.set_title(f"multipliers of the bands, lmax = {LMAX}", fontsize=10.5)
    axis.set_xlabel("degree l")
    profiles.set(xlabel="angle from the centre, degrees", ylim=(1e-7, 1.5))
    profiles.set_title("detail 1 of level 2, relative", fontsize=10.5)


def draw_spheres(axes) -> None:
    grid = Equiangular(180)
    needlets = Needlets(LMAX, MeyerBank(), levels=3)
    details = {band.level: band for band in needlets.bands if band.detail == 0}
    for axis, (level, band) in zip(axes, details.items(), strict=True):
        centre = torch.tensor([math.cos(0.4), 0.0, math.sin(0.4)], dtype=torch.float64)
        angles = torch.arccos((grid.points @ centre).clamp(-1, 1)).numpy()
        values = profile(np.array(band.multipliers), angles)
        seen = orthographic(values, grid, 0.3, 0.35)
        limit = 0.5 * np.abs(values).max()
        axis.imshow(seen, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(f"detail 1 of level {level + 1}", fontsize=9.5)
        axis.set_axis_off()


def main() -> None:
    parser = argparse.ArgumentParser(description="Needlets: bands, localisation, error of shrinkage.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/needlets.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figure = Figure(figsize=(10, 6.2), dpi=100, layout="constrained")
    above, below = figure.subfigures(2, 1)
    bands, profiles = above.subplots(1, 2)
    draw_bands(bands, profiles)
    spheres, curve = below.subfigures(1, 2, width_ratios=(1.25, 1))
    draw_spheres(spheres.subplots(1, 3))
    errors = curve.subplots()
    print("| oversampling | " + " | ".join(f"{s:g}" for s in OVERSAMPLE) + " |\n|---" + "|---" * len(OVERSAMPLE) + "|")
    for on_so3, lmax, style in ((False, 15, "o-"), (True, 7, "s--")):
        for threshold, colour in ((0.05, "#12b76a"), (0.5, "#f04438")):
            found = [shrinkage_error(lmax, s, on_so3, threshold) for s in OVERSAMPLE]
            label = f"{'SO(3)' if on_so3 else 'sphere'}, lmax = {lmax}, λ = {threshold}"
            print(f"| {label} | " + " | ".join(f"{e:.1e}" for e in found) + " |", flush=True)
            errors.loglog(OVERSAMPLE, found, style, color=colour, markersize=4, linewidth=1.2, label=label)
    errors.set_xticks(OVERSAMPLE, labels=[f"{s:g}" for s in OVERSAMPLE])
    errors.set_xticks([], minor=True)
    errors.set_title("shrinkage: error under rotations", fontsize=10.5)
    errors.set_xlabel("oversampling of the grids")
    for axis in (bands, profiles, errors):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(f"\n{arguments.out}")


if __name__ == "__main__":
    main()
