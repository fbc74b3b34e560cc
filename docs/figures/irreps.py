"""The picture and the table of the page on irreps: harmonics of degree 3, their errors by degree, those of the layers.

python docs/figures/irreps.py --out docs/images/irreps.png

Errors of harmonics: the largest relative deviation, over random directions and both poles, from Σ_m Y_lm² = (2l + 1)/4π
and Σ_m |∇Y_lm|² = l(l + 1)(2l + 1)/4π. Errors of layers: under rotations and reflections, features of all irreps up to
degree 10. A few seconds on one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep, rotation_about
from armillary.nn import Gate, IrrepsBatchNorm, IrrepsLayerNorm, IrrepsLinear, IrrepsNorm
from armillary.ops.real_harmonics import spherical_harmonics
from armillary.testing import FeatureSymmetry, commutation_error

COLOURS = {torch.float64: "#2e90fa", torch.float32: "#f79009"}
NAMES = {torch.float64: "float64", torch.float32: "float32"}
LMAX = 48


def identity_errors(dtype: torch.dtype) -> tuple[list[float], list[float]]:
    """Of values and of gradients, for each degree from 1."""
    r = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    r = nn.functional.normalize(torch.cat([r, torch.tensor([[0.0, 0, 1], [0, 0, -1]])]), dim=1).to(dtype)
    Y = spherical_harmonics(LMAX, r)
    J = torch.func.vmap(torch.func.jacrev(lambda p: spherical_harmonics(LMAX, p)))(r)
    values, gradients = [], []
    for l in range(1, LMAX + 1):
        part, area = slice(l * l, (l + 1) ** 2), (2 * l + 1) / (4 * math.pi)
        values.append(float((Y[:, part].double().square().sum(1) / area - 1).abs().max()))
        squares = J[:, part].double().square().sum((1, 2)) / (l * (l + 1) * area)
        gradients.append(float((squares - 1).abs().max()))
    return values, gradients


def layer_errors() -> dict[str, dict[torch.dtype, float]]:
    """Under O(3), of layers on four channels of every irrep up to degree 10."""
    torch.manual_seed(0)
    irreps = Irreps([(4, O3Irrep(l, p)) for l in range(11) for p in (1, -1)])
    gate, norm = Gate(irreps), IrrepsNorm(irreps)
    layers = [
        (IrrepsLinear(irreps, irreps), irreps, irreps),
        (gate, gate.irreps_in, irreps),
        (norm, irreps, norm.irreps_out),
        (IrrepsBatchNorm(irreps), irreps, irreps),
        (IrrepsLayerNorm(irreps), irreps, irreps),
    ]
    return {
        type(layer).__name__: {d: commutation_error(layer, FeatureSymmetry(a, b), batch=8, dtype=d) for d in COLOURS}
        for layer, a, b in layers
    }


def globe(l: int, m: int, size: int = 160) -> Tensor:
    """Y_lm on the visible half of a sphere seen from above the equator, NaN beside it."""
    steps = torch.linspace(-1, 1, size, dtype=torch.float64)
    across, up = torch.meshgrid(steps, steps, indexing="xy")
    depth = (1 - across**2 - up**2).clamp(min=0).sqrt()
    tilt = rotation_about("y", math.radians(25)).to(depth)
    points = torch.stack([depth, across, up], -1) @ tilt  # seen from +x, the pole towards us
    values = spherical_harmonics(l, points)[..., l * l + l + m]
    return torch.where(across**2 + up**2 <= 1, values, torch.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/irreps.png"))
    out = parser.parse_args().out
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.9])
    for m, axes in zip(range(-3, 4), top.subplots(1, 7), strict=True):
        axes.imshow(globe(3, m), origin="lower", cmap="RdBu_r", vmin=-0.75, vmax=0.75)
        axes.set_title(f"m = {m}", fontsize=9)
        axes.axis("off")
    top.suptitle("degree 3, odd (3o): the seven components", fontsize=10)
    left, right = bottom.subplots(1, 2)
    for dtype, colour in COLOURS.items():
        for errors, style, what in zip(identity_errors(dtype), ("-", ":"), ("values", "gradients"), strict=True):
            left.semilogy(range(1, LMAX + 1), errors, style, color=colour, label=f"{what}, {NAMES[dtype]}")
    left.set(xlabel="degree l", title="harmonics: deviation from closed sums, poles included")
    left.legend(fontsize=8, loc="center right")
    found = layer_errors()
    for name, errors in found.items():
        print(name, {NAMES[d]: f"{e:.1e}" for d, e in errors.items()})
    for dtype, colour in COLOURS.items():
        right.semilogx([e[dtype] for e in found.values()], list(found), "o", color=colour, label=NAMES[dtype])
    right.axvline(1e-12, color=COLOURS[torch.float64], linewidth=0.8, linestyle="--")
    right.axvline(1e-5, color=COLOURS[torch.float32], linewidth=0.8, linestyle="--")
    right.invert_yaxis()
    right.set_title("layers: error under rotations and reflections, l ≤ 10")
    right.legend(fontsize=8, loc="center")
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()
