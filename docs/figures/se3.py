"""Convolution of SE(3): one kernel seen from three views, and the error of nonlinearities against samples of SO(3).

A quarter of a minute on one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from armillary.groups import SO3Signals, rotation_about
from armillary.nn import SE3GroupConv
from armillary.recipes.se3_equivalence import errors_by_samples

COLOURS = {"GELU": "#2e90fa", "ReLU": "#f04438"}


def main() -> None:
    parser = argparse.ArgumentParser(description="A kernel of SE(3) from three views, and errors against samples.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/se3.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figure = Figure(figsize=(12, 3.4), dpi=100, layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.5))
    torch.manual_seed(5)
    group = SE3GroupConv(SO3Signals(1, 1), 1, 1.0, radial=3, max_degree=2).double()
    place = torch.linspace(-1, 1, 81, dtype=torch.float64)
    x, y = torch.meshgrid(place, place, indexing="xy")
    r = torch.stack([x, y, torch.zeros_like(x)], -1)
    one = torch.eye(3, dtype=torch.float64)
    apart = rotation_about("x", 0.8)  # the second view as the first one sees it
    for panel, degrees in zip(axes[:3], (0, 60, 120), strict=True):
        V = rotation_about("z", math.radians(degrees)) @ one
        with torch.no_grad():
            kernel = group.view(r, V, V @ apart)[..., 0, 0]
        most = float(kernel.abs().max())
        panel.imshow(kernel, origin="lower", extent=(-1, 1, -1, 1), cmap="RdBu_r", vmin=-most, vmax=most)
        panel.set_title(f"kernel of a view turned by {degrees}°", fontsize=10)
        panel.set(xticks=[], yticks=[])
    for name, activation in (("GELU", nn.GELU()), ("ReLU", nn.ReLU())):
        for band, style in ((1, "o-"), (2, "s--")):
            points = errors_by_samples(band, 6, activation)
            print(f"{name}, degree {band}", *(f"{n}: {error:.1e}" for n, error in points), sep=" | ")
            label = f"{name}, degree ≤ {band}"
            axes[3].loglog(*zip(*points, strict=True), style, color=COLOURS[name], markersize=3.5, label=label)
    axes[3].set(xlabel="samples of SO(3)", ylabel="relative error")
    axes[3].set_title("MLP on samples: error under rotations", fontsize=10)
    axes[3].grid(alpha=0.3)
    axes[3].legend(frameon=False, fontsize=8)
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
