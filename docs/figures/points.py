"""The picture of the page on points: a system of charges, and a radius graph in a periodic cell.

python docs/figures/points.py --out docs/images/points.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from armillary.data import charged_systems
from armillary.spaces import edge_vectors, radius_graph

CUTOFF = 0.62


def charges(axes: Axes) -> None:
    """The paths of five charges, from above, and the two frames of the task."""
    system = charged_systems(8, frames=None, progress=False)
    paths, signs = system.positions[4], system.charges[4]
    for body in range(5):
        colour = "#f04438" if signs[body] > 0 else "#2e90fa"
        x, y = paths[:, body, 0], paths[:, body, 1]
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(x[30], y[30], "o", color=colour, markersize=7)
        axes.plot(x[40], y[40], "o", markerfacecolor="white", markeredgecolor=colour, markersize=7)
    axes.set(aspect="equal", title="five charges: given at frame 30 (full), asked at 40 (open)", xlabel="x", ylabel="y")


def lattice(axes: Axes) -> None:
    """Points of a skew cell, and for one of them all neighbours, those in other cells at their images."""
    cell = torch.tensor([[1.0, 0.0, 0.0], [0.35, 0.9, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    fractions = torch.rand(12, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = torch.cat([fractions[:, :2], torch.zeros(12, 1)], 1) @ cell
    periodic = torch.tensor([True, True, False])
    found = radius_graph(x, CUTOFF, cell=cell, periodic=periodic)
    r = edge_vectors(x, found, cell)
    for a in range(-1, 2):
        for b in range(-1, 2):
            corner = a * cell[0] + b * cell[1]
            corners = torch.stack([corner, corner + cell[0], corner + cell[0] + cell[1], corner + cell[1]])
            own = a == b == 0
            axes.add_patch(Polygon(corners[:, :2].numpy(), fill=own, facecolor="#eff4ff", edgecolor="#98a2b3"))
            axes.plot(*(x + corner)[:, :2].T, "o", color="#344054" if own else "#d0d5dd", markersize=4)
    target = int(x[:, 0].argmax())
    for number in (found.edge_index[1] == target).nonzero().flatten():
        end = x[target] + r[number]
        moved = bool(found.shifts[number].any())
        colour = "#f79009" if moved else "#12b76a"
        axes.plot(*torch.stack([x[target], end])[:, :2].T, color=colour, linewidth=1.4)
        axes.plot(end[0], end[1], "o", color=colour, markersize=5)
    axes.plot(x[target, 0], x[target, 1], "o", color="#f04438", markersize=7)
    axes.set(aspect="equal", xlim=(-0.3, 2.2), ylim=(-0.9, 1.6), title="neighbours in a periodic cell")
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description="Charges on their way, and neighbours in a periodic cell.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/points.png"))
    arguments = parser.parse_args()
    figure = Figure(figsize=(12, 5.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    charges(left)
    lattice(right)
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
