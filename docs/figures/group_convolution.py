"""The picture of the page on group convolution.

python docs/figures/group_convolution.py --out docs/images/group_convolution.png

Top: a handwritten digit, the four maps of one p4 field after two layers with random weights (``torch.manual_seed(1)``),
and the same of the digit turned by 90°: the maps turn, and move on by one place. Below: the four expanded filters of
one lifting layer for C_4, the eight of C_8 of a smooth basis, and the error of C_8 under a turn by 45° against the
kernel size, at the centre of images made of plane waves, which turn exactly; the filters grow with the kernel, and the
image with them.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

from armillary.groups import cyclic
from armillary.nn import GroupConv, HarmonicFilters, LiftConv
from armillary.spaces import act_on_feature_map, act_on_image


def waves(size: int, shortest: float, turn: float) -> Tensor:
    """64 plane waves of at least ``shortest`` pixels, turned about the middle of the image: (64, 1, size, size)."""
    generator = torch.Generator().manual_seed(1)
    angle, length, phase = torch.rand(3, 64, 1, 1, generator=generator, dtype=torch.float64)
    angle, k = 2 * math.pi * angle + turn, 2 * math.pi / shortest * length.sqrt()
    along = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = torch.meshgrid(along, -along, indexing="xy")
    return torch.cos(k * (torch.cos(angle) * x + torch.sin(angle) * y) + 2 * math.pi * phase)[:, None]


def error(k: int, filters: HarmonicFilters, shortest: float) -> float:
    """Of two layers over C_8 under an eighth turn, at the centre."""
    group = cyclic(8)
    torch.manual_seed(0)
    net = nn.Sequential(LiftConv(1, 4, group, k, filters=filters), GroupConv(4, 4, group, k, filters=filters)).double()
    with torch.no_grad():
        upright, turned = (net(waves(2 * k - 1, shortest, turn)) for turn in (0.0, math.pi / 4))
    wanted = upright.roll(1, dims=2)
    return float((turned - wanted).norm() / wanted.norm())


def show(axis, image: Tensor, title: str, limit: float | None = None) -> None:
    limit = float(image.abs().max()) if limit is None else limit
    if title.startswith("image"):
        axis.imshow(image, cmap="gray_r")
    else:
        axis.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])


def main() -> None:
    parser = argparse.ArgumentParser(description="Feature maps, filters and errors of group convolutions.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/group_convolution.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    p4 = cyclic(4)
    digit = torch.as_tensor(load_digits().images[82])[None, None]
    image = nn.functional.interpolate(digit, size=(28, 28), mode="bicubic").clamp(min=0) / 16
    torch.manual_seed(1)
    lift = LiftConv(1, 6, p4, 5, padding=2).double()
    net = nn.Sequential(lift, nn.ReLU(), GroupConv(6, 1, p4, 5, padding=2).double())
    turned = act_on_image(p4, 1, image)
    with torch.no_grad():
        maps, after = net(image), net(turned)
    gap = float((after - act_on_feature_map(p4, 1, maps)).norm() / maps.norm())
    print(f"error of the quarter turn: {gap:.1e}")

    figure = Figure(figsize=(9.4, 6.6), dpi=110, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    rows = top.subplots(2, 5)
    limit = float(maps.abs().max())
    for row, (picture, name, values) in zip(
        rows, ((image, "image", maps), (turned, "image, turned", after)), strict=True
    ):
        show(row[0], picture[0, 0], name)
        for s in range(4):
            show(row[s + 1], values[0, 0, s], f"map of the turn {90 * s}°", limit)
    left, right = bottom.subfigures(1, 2, width_ratios=[1.15, 1])
    torch.manual_seed(6)
    grids = left.subplots(3, 4)
    kinds = (LiftConv(1, 1, p4, 5).double(), LiftConv(1, 1, cyclic(8), 9, filters=HarmonicFilters(3, 2)).double())
    for axis, weight in zip(grids.flat, [w for layer in kinds for w in layer.expanded_weight()], strict=True):
        show(axis, weight[0].detach(), "")
    for axis, title in (
        (grids[0, 0], "C_4, 5×5: pixels permuted"),
        (grids[1, 0], "C_8, 9×9: a filter at turned pixels"),
    ):
        axis.set_title(title, fontsize=9, loc="left").set_in_layout(False)
    axis = right.subplots()
    sizes = np.array([3, 5, 7, 9, 11, 13, 15])
    for label, colour, filters in (
        ("3 rings, m ≤ 2", "#12b76a", HarmonicFilters(3, 2)),
        ("2 rings, m ≤ 1", "#2e90fa", HarmonicFilters(2, 1)),
    ):
        errors = [error(int(k), filters, 8 * k / 3) for k in sizes]
        print(label, " ".join(f"{k}: {e:.1e}" for k, e in zip(sizes, errors, strict=True)))
        axis.semilogy(sizes, errors, "o-", color=colour, markersize=4, label=label)
    errors = [error(int(k), HarmonicFilters(), 8.0) for k in sizes]
    print("default", " ".join(f"{k}: {e:.1e}" for k, e in zip(sizes, errors, strict=True)))
    axis.semilogy(sizes, errors, "o--", color="#98a2b3", markersize=4, label="one ring for each pixel (default)")
    axis.set_xlabel("kernel size")
    axis.set_ylabel("relative error under a turn by 45°", fontsize=9)
    axis.set_xticks(sizes)
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
