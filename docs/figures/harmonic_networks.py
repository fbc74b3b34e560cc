"""Filters of harmonic networks, and the error under turns against filter size, depth and stride.

Writes docs/images/harmonic_networks.png and prints the tables. Run from the root of the repository: python
docs/figures/harmonic_networks.py. Random weights, orders 0 and 1 with four channels each, float64, random turns of
band-limited images, compared at the middle. Statistics of norms are those of images like the ones measured on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import BlurPool, CircularHarmonics, HarmonicConv, MagnitudeBatchNorm
from armillary.spaces import ImageGrid
from armillary.testing import PlaneSymmetry, commutation_error
from armillary.train.pictures import save_figure

ORDERS = Orders.upto(1, 4)
SIZES = {3: 2, 5: 4, 7: 4, 9: 5}  # pixels: rings
DEPTHS = (1, 2, 5, 10)
FREQUENCY = 0.25


class Stride(nn.Module):
    """Every second pixel, without a blur."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


def error(network: nn.Module, grid: ImageGrid, grid_out: ImageGrid, frequency: float) -> float:
    """The error under eight random turns of four images each, with statistics of norms from 16 images before."""
    waves = PlaneSymmetry(grid, grid_out, 1, None, ORDERS.act, frequency=frequency)
    for module in network.modules():
        if isinstance(module, MagnitudeBatchNorm):
            module.momentum = None
    network.double().train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(4):
            network(waves.inputs(4, generator))
    return commutation_error(network, waves, count=8, batch=4)


def chain(depth: int, grid: ImageGrid, basis: CircularHarmonics, norm: bool) -> nn.Sequential:
    """``depth`` convolutions of an image, each followed by a norm with its ReLU, or by nothing."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for k in range(depth):
        layers.append(HarmonicConv(ORDERS if k else Orders.image(1), ORDERS, grid, basis=basis))
        if norm:
            layers.append(MagnitudeBatchNorm(ORDERS, grid))
    return nn.Sequential(*layers)


def by_size(matched: bool) -> list[float]:
    """One convolution, against the size of its filters."""
    found = []
    for size, rings in SIZES.items():
        grid = ImageGrid(2 * size + 1, 2 * size + 1)
        basis = CircularHarmonics(size, rings, match_moments=matched)
        found.append(error(chain(1, grid, basis, norm=False), grid, grid, FREQUENCY))
    return found


def by_depth(basis: CircularHarmonics, norm: bool) -> list[float]:
    """Layers with the same filters, against depth; images are larger than the receptive field."""
    found = []
    for depth in DEPTHS:
        side = (basis.size - 1) * depth + 9
        grid = ImageGrid(side, side)
        found.append(error(chain(depth, grid, basis, norm), grid, grid, FREQUENCY))
    return found


def by_stride() -> dict[str, list[float]]:
    """Convolution and norm, the stride, convolution and norm; images up to a quarter and to half of Nyquist."""
    fine, coarse = ImageGrid(33, 33), ImageGrid(17, 17)
    strides: dict[str, tuple[ImageGrid, Callable[[], nn.Module]]] = {
        "no stride": (fine, nn.Identity),
        "stride 2": (coarse, Stride),
        "blur σ = 1, stride 2": (coarse, lambda: BlurPool(ORDERS, fine)),
        "blur σ = 1.5, stride 2": (coarse, lambda: BlurPool(ORDERS, fine, sigma=0.75)),
    }
    found = {}
    for name, (grid, make) in strides.items():
        first = chain(1, fine, CircularHarmonics(5, 4), norm=True)
        torch.manual_seed(3)
        second = [HarmonicConv(ORDERS, ORDERS, grid), MagnitudeBatchNorm(ORDERS, grid)]
        network = nn.Sequential(first, make(), *second)
        found[name] = [error(network, fine, grid, frequency) for frequency in (0.25, 0.5)]
    return found


def draw_filters(figure: Any) -> None:
    """Real parts of the 7 × 7 filters of orders 0 to 2, ring by ring."""
    basis = CircularHarmonics(7, 4)
    panels = figure.subplots(3, 4)
    for m, row in enumerate(panels):
        held = basis.radii_of(m)
        for radius, panel in zip(basis.radii, row, strict=True):
            panel.set(xticks=[], yticks=[], box_aspect=1)
            if radius in held:
                image = basis.filters(m)[held.index(radius)].real
                limit = float(image.abs().max())
                panel.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
            else:
                panel.text(0.5, 0.5, "not held", ha="center", va="center", transform=panel.transAxes, fontsize=8)
            if m == 0:
                panel.set_title(f"r = {radius:.2g}", fontsize=9)
        row[0].set_ylabel(f"m = {m}")
    figure.suptitle("filters, 7 × 7 pixels (real parts)", fontsize=11)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/harmonic_networks.png"))
    arguments = parser.parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 3.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.7))
    draw_filters(left)
    sizes, depths, strides = right.subplots(1, 3)

    def curve(panel: Any, name: str, where: list[int], errors: list[float], style: str, colour: str) -> None:
        panel.plot(where, errors, style, marker="o", markersize=4, color=colour, label=name)
        print(f"| {name} | " + " | ".join(f"{e:.1e}" for e in errors) + " |", flush=True)

    for matched, style in ((False, "--"), (True, "-")):
        kind = "moments matched" if matched else "sampled"
        curve(sizes, kind, list(SIZES), by_size(matched), style, "tab:blue")
    five, sampled = CircularHarmonics(5, 4), CircularHarmonics(5, 4, match_moments=False)
    wide = CircularHarmonics(7, 3, sigma=1.0)
    for name, basis, norm, style, colour in (
        ("convolutions alone, 5 × 5, sampled", sampled, False, "--", "tab:blue"),
        ("convolutions alone, 5 × 5, matched", five, False, "-", "tab:blue"),
        ("norm and ReLU, 5 × 5, sampled", sampled, True, "--", "tab:orange"),
        ("norm and ReLU, 5 × 5, matched", five, True, "-", "tab:orange"),
        ("norm and ReLU, 7 × 7, σ = 1, matched", wide, True, "-", "tab:green"),
    ):
        curve(depths, name, list(DEPTHS), by_depth(basis, norm), style, colour)
    for k, (name, errors) in enumerate(by_stride().items()):
        for offset, (value, colour) in enumerate(zip(errors, ("tab:blue", "tab:orange"), strict=True)):
            label = ("|k| ≤ π/4", "|k| ≤ π/2")[offset] if k == 0 else None
            strides.bar(k + 0.4 * offset - 0.2, value, 0.38, color=colour, label=label)
        print(f"| {name} | " + " | ".join(f"{e:.1e}" for e in errors) + " |", flush=True)
    sizes.set_xticks(list(SIZES))
    sizes.set(xlabel="pixels across the filter", ylabel="relative error under turns", title="one convolution")
    depths.set_xticks(list(DEPTHS))
    depths.set(xlabel="layers", title="depth")
    strides.set_xticks(range(4), ["none", "plain", "blur\nσ = 1", "blur\nσ = 1.5"])
    strides.set(xlabel="stride 2", title="two layers with a stride between")
    for panel in (sizes, depths, strides):
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
    depths.set_ylim(1e-5, 20)
    sizes.legend(frameon=False, fontsize=8)
    depths.legend(frameon=False, fontsize=7, loc="upper center")
    strides.legend(frameon=False, fontsize=8)
    print(save_figure(figure, arguments.out))


if __name__ == "__main__":
    main()
