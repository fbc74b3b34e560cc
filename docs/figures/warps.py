"""The picture of the page on warped convolutions: three warps of an image, and of the image transformed.

python docs/figures/warps.py    (writes docs/images/warps.png and prints what differs from a shift; seconds)

The image is a drawing, painted once into each pose by bicubic interpolation; the warps are bilinear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from armillary.nn import WarpImage, sample_image
from armillary.spaces import ImageGrid, LogPolar, PerspectiveSphere, ScaleAspect, Warp

SIDE = 160
GRID, OWN = ImageGrid(SIDE, SIDE), ImageGrid(256, 256)
FOCAL = 0.47 * SIDE * math.sqrt(15)


def drawing() -> Tensor:
    """A house, a tree and the sun, (1, 3, 256, 256) in [0, 1]; drawn four times as large and averaged."""
    image = Image.new("RGB", (1024, 1024), (150, 190, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 700, 1024, 1024), fill=(110, 160, 90))
    pen.rectangle((260, 450, 620, 800), fill=(225, 205, 165))
    pen.polygon(((220, 450), (440, 240), (660, 450)), fill=(175, 75, 60))
    pen.rectangle((470, 600, 570, 800), fill=(100, 65, 45))
    pen.rectangle((310, 530, 410, 630), fill=(70, 95, 140))
    pen.rectangle((760, 560, 800, 800), fill=(100, 65, 45))
    pen.ellipse((680, 360, 880, 620), fill=(50, 110, 60))
    pen.ellipse((110, 110, 240, 240), fill=(250, 215, 90))
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.avg_pool2d(pixels, 4)


def rows() -> list[tuple[str, Warp, tuple[int, int], Callable[[Tensor], Tensor]]]:
    """Title, warp, shift in its pixels, and which place of the drawing (in halves of its sides) is seen at points."""
    polar = LogPolar(96, 64, 4.0, 78.0)
    scale = ScaleAspect(80, 80, 10.0, 158.0, (1, 1), "corner")
    sphere = PerspectiveSphere(80, 80, 1.0, 4.0, FOCAL, 0.95, 0.95)
    corner, reach = scale.origin(GRID), math.radians(48)
    return [
        ("rotation × scale", polar, (12, -10), lambda p: p / 60),
        ("scale along y and x", scale, (-22, -8), lambda p: (p - corner - 80) / 60),
        ("pitch × yaw of a sphere", sphere, (10, 14), lambda p: sphere.locate(p, GRID).flip(-1) / reach),
    ]


def lines(warp: Warp) -> list[Tensor]:
    """Every eighth row and column of the sample points."""
    points = warp.points(GRID)
    parts = [*points[::8], *points[:, ::8].unbind(1)]
    return [
        torch.cat([part, part[:1]]) if k >= len(points[::8]) and warp.periodic[0] else part
        for k, part in enumerate(parts)
    ]


def main() -> None:
    matplotlib.rcParams["font.size"] = 9
    figure = Figure(figsize=(9.2, 7.2), layout="constrained")
    panels = figure.subplots(3, 4)
    picture = drawing()
    for axes, (title, warp, shift, place) in zip(panels, rows(), strict=True):
        v = torch.tensor(shift) * torch.tensor(warp.step, dtype=torch.float64)
        seen = [
            sample_image(picture, place(points) * 128, OWN, "bicubic").clamp(0, 1)
            for points in (GRID.points, warp.transform(-v, GRID)(GRID.points))
        ]
        warped = [WarpImage(warp, GRID)(image) for image in seen]
        for axis, image in zip(axes, (seen[0], warped[0], seen[1], warped[1]), strict=True):
            axis.imshow(image[0].permute(1, 2, 0).numpy(), aspect="equal")
            axis.set(xticks=(), yticks=())
        for line in lines(warp):
            column, row = line[:, 0] + (SIDE - 1) / 2, (SIDE - 1) / 2 - line[:, 1]
            axes[0].plot(column.numpy(), row.numpy(), color="white", linewidth=0.5, alpha=0.7)
        axes[0].set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5), ylabel=title)
        middle = [size / 2 - by / 2 for size, by in zip(warp.shape, shift, strict=True)]
        axes[3].annotate(
            "",
            xy=(middle[1] + shift[1], middle[0] + shift[0]),
            xytext=(middle[1], middle[0]),
            arrowprops={"arrowstyle": "->", "color": "black", "linewidth": 1.5},
        )
        wanted = torch.roll(warped[0], shift, (-2, -1))
        kept = torch.zeros(warp.shape, dtype=torch.bool)
        inner = [
            slice(None) if wraps else slice(max(by, 0), size + min(by, 0))
            for wraps, by, size in zip(warp.periodic, shift, warp.shape, strict=True)
        ]
        kept[tuple(inner)] = True
        difference = ((warped[1] - wanted)[..., kept].norm() / wanted[..., kept].norm()).item()
        print(f"{title}: shift {shift}, relative difference {difference:.3f} where the shifted warp is known")
    for axis, title in zip(panels[0], ("image", "its warp", "image transformed", "its warp: shifted"), strict=True):
        axis.set_title(title)
    path = Path(__file__).parent.parent / "images" / "warps.png"
    figure.savefig(path, dpi=90)
    print(path)


if __name__ == "__main__":
    main()
