"""The pictures and tables of the page on steerable DISCO: filters, equivariance error against resolution, cost.

python docs/figures/steerable_disco.py --out docs/images/steerable_disco.png
python docs/figures/steerable_disco.py --cost

Errors: one layer of two complex channels each of the spins 0 and 1 (eight real channels), and axisymmetric and
directional DiscoConv with eight real channels, random weights, float64, Gauss–Legendre grids, cutoffs of three rings,
random fields of degree ≤ 16, two random rotations; then the same at degrees up to a quarter of the rings. About a
minute and a half on one core. ``--cost``: processor time of forward and backward pass of the two layers in turns,
medians of 15, float32, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import DiscoConv, FourierAzimuth, SteerableDiscoConv
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SpinSymmetry, commutation_error

LMAX, COUNT = 16, 2
SPINS, SCALARS = Orders.upto(1, 2), Orders.image(8)
KINDS = {
    "directional filters on scalars": "#b42318",
    "steerable, sampled only": "#98a2b3",
    "steerable, moments=4 (default)": "#1570ef",
    "axisymmetric, moments=4": "#101828",
}


def error(kind: str, nlat: int, lmax: int) -> float:
    """The commutation error of a layer of one kind."""
    grid = GaussLegendre(nlat)
    torch.manual_seed(0)
    layers: dict[str, tuple[nn.Module, Orders]] = {
        "directional filters on scalars": (DiscoConv(8, 8, grid, basis=FourierAzimuth(3, 1)), SCALARS),
        "steerable, sampled only": (SteerableDiscoConv(SPINS, SPINS, grid, moments=None), SPINS),
        "steerable, moments=4 (default)": (SteerableDiscoConv(SPINS, SPINS, grid), SPINS),
        "axisymmetric, moments=4": (DiscoConv(8, 8, grid), SCALARS),
    }
    layer, orders = layers[kind]
    return commutation_error(layer, SpinSymmetry(orders, grid, lmax=lmax), count=COUNT)


def table(sizes: tuple[int, ...], degree: str) -> dict[str, list[float]]:
    """Errors of every kind, printed as a table of the page; ``degree``: "fixed", or "growing" with resolution."""
    print(f"\n| {'fields of degree ≤ 16' if degree == 'fixed' else 'fields of degree ≤ rings/4'} | ", end="")
    print(" | ".join(map(str, sizes)) + " |\n|---|" + "---|" * len(sizes))
    found = {}
    for kind in KINDS:
        found[kind] = [error(kind, nlat, LMAX if degree == "fixed" else nlat // 4) for nlat in sizes]
        print(f"| {kind} | " + " | ".join(f"{e:.1e}" for e in found[kind]) + " |", flush=True)
    return found


def filters(nlat: int = 48) -> Tensor:
    """What three points of a scalar field, at different latitudes, give in spin 1: real part, (nlat, 2·nlat)."""
    grid = Equiangular(nlat)
    layer = SteerableDiscoConv(Orders.image(1), Orders.of({1: 1}), grid, cutoff=0.45, moments=None)
    with torch.no_grad():
        layer.weight["0_1"].zero_()
        layer.weight["0_1"][0] = 1
        x = torch.zeros(1, 1, *grid.shape)
        for row, column in ((4, 16), (14, 50), (24, 80)):
            x[0, 0, row, column] = 1 / float(grid.quadrature[row, 0])
        return layer(x)[0, 0]


def draw(out: Path, sizes: tuple[int, ...], fixed: dict[str, list[float]], growing: dict[str, list[float]]) -> None:
    """Three panels: filters, and the two tables."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    picture, *axes = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    values = filters()
    limit = float(values.abs().quantile(0.995))
    picture.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(0, 360, 180, 0), aspect="auto")
    picture.set(xlabel="longitude φ", ylabel="colatitude θ", title="one filter, scalar → spin 1: component along e_θ")
    titles = ("fields of degree ≤ 16", "fields of degree ≤ rings/4")
    for axis, found, title in zip(axes, (fixed, growing), titles, strict=True):
        for kind, errors in found.items():
            axis.loglog(sizes, errors, marker="o", markersize=4, color=KINDS[kind], label=kind)
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set(xlabel="rings", ylabel="equivariance error", title=title, ylim=(1e-10, 2))
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(out, dpi=90)


def step(layer: nn.Module, x: Tensor) -> float:
    """Processor seconds of a forward and a backward pass."""
    start = time.process_time()
    y = layer(x)
    y.backward(torch.ones_like(y))
    return time.process_time() - start


def cost(turns: int = 15) -> None:
    """The cost table: both layers with as many real channels, in turns."""
    torch.set_num_threads(1)
    print("| rings | highest spin | real channels | DiscoConv, ms | SteerableDiscoConv, ms | ratio |")
    print("|---|---|---|---|---|---|")
    for nlat, spin, channels in ((32, 1, 4), (32, 1, 8), (64, 1, 8), (64, 1, 16), (128, 1, 8), (64, 2, 6), (64, 2, 12)):
        grid, orders = Equiangular(nlat), Orders.upto(spin, channels)
        layers = [DiscoConv(orders.size, orders.size, grid), SteerableDiscoConv(orders, orders, grid)]
        x = torch.randn(4, orders.size, *grid.shape, requires_grad=True)
        for layer in layers:
            step(layer, x)
        times = [[step(layer, x) for layer in layers] for _ in range(turns)]
        plain, steerable = (1e3 * statistics.median(t) for t in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(f"| {nlat} | {spin} | {orders.size} | {plain:.1f} | {steerable:.1f} | {ratio:.2f} |", flush=True)


def main() -> None:
    """Draw the picture and print its tables, or measure costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/steerable_disco.png"))
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 48, 64, 96, 128, 192])
    arguments = parser.parse_args()
    if arguments.cost:
        cost()
        return
    sizes = tuple(arguments.sizes)
    draw(arguments.out, sizes, table(sizes, "fixed"), table(sizes, "growing"))


if __name__ == "__main__":
    main()
