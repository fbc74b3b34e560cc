"""The picture and the tables of the page on homogeneous spaces: a turned wind field, errors against samples.

ARMILLARY_DATA=... python docs/figures/homogeneous_spaces.py --out docs/images/homogeneous_spaces.png

Left the wind at 500 hPa (ERA-Interim, the mean of a January, degrees up to 20), and the same turned exactly, values and
frames together. Right how far layers are from commuting with turns: activations of spin fields by the number of frame
angles, of features of SO(3) by the number of samples, and on the sphere by the rings of the grid. Half a minute on one
core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor, nn

from armillary.groups import Degrees, Orders, from_euler_zyz, random_rotations
from armillary.harmonics import rotate_spins, spin_to_wind
from armillary.nn import HarmonicSequential, RotationPointwise, SpinConv, SpinPointwise
from armillary.recipes.homogeneous_wind import read_winds
from armillary.spaces import GaussLegendre, SphereGrid
from armillary.testing import GroupAction, SpinSymmetry, commutation_error

ACTIVATIONS = {"ReLU": nn.ReLU(), "GELU": nn.GELU(), "tanh": nn.Tanh()}
COLOURS = {"ReLU": "#f04438", "GELU": "#2e90fa", "tanh": "#12b76a"}
SPINS = Orders.of({-1: 8, 0: 8, 1: 8})
VIEW = from_euler_zyz(math.radians(-60), math.radians(55), 0.0)


def frame_errors(activation: nn.Module, frames: int, spins: Orders = SPINS) -> float:
    """Under turns of the frame at each point."""
    angles = (2 * math.pi * torch.rand(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).tolist()
    grid = GaussLegendre(8, 16)
    turns = GroupAction((spins.size, *grid.shape), angles, spins.act, spins.act)
    return commutation_error(SpinPointwise(activation, spins, grid, frames), turns)


def sample_errors(activation: nn.Module, band: int) -> tuple[int, float]:
    """(samples, error) of features of degrees 0 and 1 under rotations."""
    degrees = Degrees.of({0: 8, 1: 8})
    layer = RotationPointwise(activation, degrees, band)
    rotations = list(random_rotations(8, torch.Generator().manual_seed(0)))
    turns = GroupAction((64, degrees.size), rotations, degrees.act, degrees.act)
    return layer.samples, commutation_error(layer, turns)


def ring_errors(activation: nn.Module, nlat: int) -> float:
    """Of a convolution, an activation with 24 frames and a convolution, degrees ≤ 15, under rotations of the sphere."""
    torch.manual_seed(0)
    ends, grid = GaussLegendre(16, 32), GaussLegendre(nlat, 2 * nlat)
    net = HarmonicSequential(
        SpinConv(SPINS, SPINS, ends, grid_out=grid, profiles=4),
        SpinPointwise(activation, SPINS, grid, 24),
        SpinConv(SPINS, SPINS, grid, grid_out=ends, profiles=4),
    )
    return commutation_error(net, SpinSymmetry(SPINS, ends, lmax=15), count=2)


def sphere(axes: Axes, wind: Tensor, grid: SphereGrid, pole: Tensor, title: str) -> None:
    """The visible half, seen from outside; arrows are tangent vectors as they look from there."""
    u, v = spin_to_wind(wind)
    theta, phi = torch.broadcast_tensors(grid.colatitudes[:, None], grid.longitudes)
    east = torch.stack([-phi.sin(), phi.cos(), torch.zeros_like(phi)], -1)
    north = torch.stack([-theta.cos() * phi.cos(), -theta.cos() * phi.sin(), theta.sin()], -1)
    arrows = (u[..., None] * east + v[..., None] * north) @ VIEW
    points, speed = grid.points @ VIEW, (u.square() + v.square()).sqrt()
    shown = points[..., 2] > 0.05
    axes.add_patch(Circle((0, 0), 1, facecolor="#f2f4f7", edgecolor="#98a2b3"))
    x, y = points[shown][:, 1], -points[shown][:, 0]
    axes.quiver(
        x,
        y,
        arrows[shown][:, 1],
        -arrows[shown][:, 0],
        speed[shown],
        cmap="viridis",
        scale=26,
        width=0.006,
        clim=(0, 2.2),
    )
    p = pole @ VIEW
    if float(p[2]) > 0:
        axes.plot([float(p[1])], [-float(p[0])], "o", color="#f04438", markersize=6)
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", title=title)
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description="A turned wind field, and errors of activations against samples.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/homogeneous_spaces.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figure = Figure(figsize=(12, 6.4), dpi=100, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    grid = GaussLegendre(24)
    wind, R = read_winds(grid, 20).inputs[:, [1, 4]], from_euler_zyz(0.4, 0.9, -1.2)
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    left, right = top.subplots(1, 2)
    sphere(left, wind[0], grid, pole, "wind at 500 hPa")
    sphere(right, rotate_spins(wind, Orders.of({1: 1}), grid, R)[0], grid, R @ pole, "the same, turned")
    frames, bands, rings = (3, 4, 6, 8, 12, 16, 24, 32), (1, 2, 3, 4, 6, 8, 12), (16, 20, 24, 32, 40, 48)
    panels = bottom.subplots(1, 3)
    for name, activation in ACTIVATIONS.items():
        by_frames = [frame_errors(activation, n) for n in frames]
        by_samples = [sample_errors(activation, band) for band in bands]
        by_rings = [ring_errors(activation, n) for n in rings]
        print(f"{name}, frames", *(f"{n}: {error:.1e}" for n, error in zip(frames, by_frames, strict=True)), sep=" | ")
        print(f"{name}, samples", *(f"{n}: {error:.1e}" for n, error in by_samples), sep=" | ")
        print(f"{name}, rings", *(f"{n}: {error:.1e}" for n, error in zip(rings, by_rings, strict=True)), sep=" | ")
        style = {"marker": "o", "markersize": 3.5, "color": COLOURS[name], "label": name}
        panels[0].plot(frames, by_frames, **style)
        panels[1].plot(*zip(*by_samples, strict=True), **style)
        panels[2].plot(rings, by_rings, **style)
    for axes, label, title in zip(
        panels,
        ("frame angles", "samples of a function", "rings of the grid"),
        ("spins -1, 0, 1: turns of the frame", "degrees 0, 1: rotations", "spins -1, 0, 1, degrees ≤ 15: rotations"),
        strict=True,
    ):
        axes.set(xlabel=label, ylabel="relative error", xscale="log", yscale="log")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    panels[0].set_xticks(frames, [str(n) for n in frames])
    panels[2].set_xticks(rings, [str(n) for n in rings])
    for axes in (panels[0], panels[2]):
        axes.minorticks_off()
    panels[0].legend(frameon=False)
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
