"""The rotation error of a whole DISCO U-Net against resolution and oversampling: docs/images/network_error.png.

Run from the root of the repository: python docs/figures/network_error.py. Untrained networks, three levels of 4, 8 and
16 channels, cutoff of three rings, Gauss–Legendre grids, float64, random fields and random rotations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from armillary.models.sphere import DiscoLayers
from armillary.models.unet import ResidualUNet
from armillary.nn import Pointwise
from armillary.spaces import GaussLegendre, SphereGrid
from armillary.testing import equivariance_error
from armillary.train.pictures import save_figure

WIDTHS = (4, 8, 16)
OVERSAMPLING = (1.0, 2.0)
SIZES = (32, 64, 128)


class Layers(DiscoLayers):
    """DISCO layers with another nonlinearity than the library's GELU."""

    def __init__(self, grid: SphereGrid, oversample: float, function: nn.Module) -> None:
        super().__init__(grid, len(WIDTHS), oversample=oversample)
        self.function = function

    def activation(self, level: int) -> nn.Module:
        return Pointwise(self.function, self.grids[level], oversample=self.oversample)


def error(nlat: int, lmax: int, oversample: float, function: nn.Module) -> float:
    """One point of the picture."""
    grid = GaussLegendre(nlat)
    torch.manual_seed(0)
    network = ResidualUNet(Layers(grid, oversample, function), 1, 2, WIDTHS)
    return equivariance_error(network, grid, channels=1, lmax=lmax, n_rotations=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/network_error.png"))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, lmax in zip(panels, (4, 12), strict=True):
        for function, colour in ((nn.GELU(), "tab:blue"), (nn.ReLU(), "tab:orange")):
            for oversample, style in zip(OVERSAMPLING, ("-", "--"), strict=True):
                errors = [error(nlat, lmax, oversample, function) for nlat in arguments.sizes]
                name = f"{type(function).__name__}, oversampling {oversample:g}"
                panel.loglog(arguments.sizes, errors, style, marker="o", markersize=4, color=colour, label=name)
                print(f"| l ≤ {lmax} | {name} | " + " | ".join(f"{e:.1e}" for e in errors) + " |", flush=True)
        panel.set_xticks(arguments.sizes, [str(size) for size in arguments.sizes])
        panel.minorticks_off()
        panel.set(title=f"fields of degree ≤ {lmax}", xlabel="rings of the finest grid")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("relative rotation error")
    panels[0].legend(frameon=False, fontsize=8)
    print(save_figure(figure, arguments.out))


if __name__ == "__main__":
    main()
