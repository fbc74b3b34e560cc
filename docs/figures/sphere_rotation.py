"""The picture of the README: a field, a rotation, two networks.

python docs/figures/sphere_rotation.py --out docs/images/sphere_rotation.png

Two small U-Nets learn to find handwritten digits on upright spheres (32 rings, the built-in data, no augmentation): one
of DISCO layers, one of 3×3 image convolutions with about as many parameters. Then the first sphere of the test split is
turned. Drawn for each: the output for the upright sphere, turned (R Φ(f)); the output for the turned sphere (Φ(R f));
and where the two differ. About six minutes on one core; with --weights the trained networks are kept and used again.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from armillary.data import DataConfig, open_dataset
from armillary.groups import rotation_about
from armillary.harmonics import resample, rotate
from armillary.models import DiscoUNet, PlanarUNet
from armillary.nn import CrossEntropyLoss, DiceLoss, SegmentationMetrics, SumLoss
from armillary.spaces import Equiangular
from armillary.train.pictures import class_colours, orthographic

GRID = Equiangular(32)
FINE = Equiangular(512)  # drawn here: outputs are resampled spectrally, so that borders are smooth
DATA = DataConfig(source="digits", task="segmentation", digits_per_sphere=6)
CLASSES = 11
VIEW = (math.radians(-15), math.radians(20))  # longitude and latitude of the eye
INK, MUTED = "#1d2433", "#667085"
HEADINGS = (
    (r"$R\,\Phi(f)$", "output for the field, then turned"),
    (r"$\Phi(R f)$", "output for the turned field"),
    (r"$|\Phi(R f) - R\,\Phi(f)|$", "black: equal; yellow: wholly different"),
)


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "DISCO": DiscoUNet(1, CLASSES, GRID, widths=(16, 32, 48)),
        "planar CNN": PlanarUNet(1, CLASSES, GRID.shape, widths=(10, 20, 30)),
    }


def train(network: nn.Module, epochs: int, batch: int = 8) -> None:
    data = open_dataset(DATA, GRID, "train")
    x = torch.stack([data[i][0] for i in range(len(data))])
    y = torch.stack([data[i][1] for i in range(len(data))])
    loss = SumLoss([CrossEntropyLoss(GRID), DiceLoss(GRID)], weights=[1.0, 1.0])
    steps = epochs * (len(x) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    order = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x), generator=order)[: len(x) // batch * batch].split(batch):
            optimizer.zero_grad()
            value = loss(network(x[chosen]), y[chosen])
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * batch / len(x)
        print(f"  epoch {epoch + 1}/{epochs}: loss {total:.3f}", flush=True)


def trained(folder: Path | None, epochs: int) -> dict[str, nn.Module]:
    both = networks()
    for name, network in both.items():
        count = sum(p.numel() for p in network.parameters())
        print(f"{name}: {count} parameters")
        file = None if folder is None else folder / f"{name.replace(' ', '_')}.safetensors"
        if file is not None and file.exists():
            network.load_state_dict(load_file(file))
        else:
            train(network, epochs)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                save_file(network.state_dict(), file)
        network.eval()
    return both


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities on the fine grid."""
    return resample(logits.double(), GRID, FINE).softmax(-3)


def disc(values: np.ndarray, pixels: int = 300, over: int = 3) -> np.ndarray:
    """Colours (nlat, nlon, 3) as a shaded ball on a clear background, smoothed by oversampling."""
    image = orthographic(values, FINE, *VIEW, pixels=pixels * over)
    axis = (np.arange(pixels * over) + 0.5) * 2 / (pixels * over) - 1
    u, v = np.meshgrid(axis, -axis)
    r2 = u**2 + v**2
    w = np.sqrt(np.clip(1 - r2, 0, None))
    light = 0.58 + 0.42 * np.clip(-0.35 * u + 0.45 * v + 0.82 * w, 0, 1)
    ball = np.where((r2 <= 1)[..., None], np.clip(image * light[..., None], 0, 1), 1.0)
    return ball.reshape(pixels, over, pixels, over, 3).mean((1, 3))


def grey(field: Tensor) -> np.ndarray:
    fine = resample(field.double(), GRID, FINE)[0, 0].clamp(0, 1).numpy()
    return colormaps["bone"](0.14 + 0.86 * fine)[..., :3]


def classes(p: Tensor) -> np.ndarray:
    colours = class_colours(CLASSES, ["background"])
    colours[0] = (0.20, 0.22, 0.27)
    return colours[p[0].argmax(0).numpy()]


def draw(path: Path, both: dict[str, nn.Module], sample: int, R: Tensor) -> None:
    f = open_dataset(DATA, GRID, "test")[sample][0][None]
    turned = rotate(f, GRID, R)
    size, gap, left, top, foot = 2.1, 0.14, 0.1, 0.62, 0.32  # inches
    row_height, apart = size + foot, 0.5  # apart: between the input and the outputs
    width, height = left + 4 * size + 2 * gap + apart + 0.1, top + 2 * row_height
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white")

    def place(row: int, column: int, values: np.ndarray) -> tuple[float, float]:
        """Draw a ball; the middle of its lower edge in inches."""
        x = left + column * (size + gap) + (apart - gap if column else 0)
        y = height - top - row * row_height - size
        axis = figure.add_axes((x / width, y / height, size / width, size / height))
        axis.imshow(disc(values), interpolation="antialiased")
        axis.set_axis_off()
        return x + size / 2, y

    def write(x: float, y: float, text: str, **how: Any) -> None:
        figure.text(x / width, y / height, text, ha="center", va="center", **{"fontsize": 10, "color": INK, **how})

    for row, (text, field) in enumerate((("a field  $f$", f), ("the field turned,  $R f$", turned))):
        x, y = place(row, 0, grey(field))
        write(x, y - 0.14, text)
    write(left + size / 2, height - top + 0.42, "a field, a rotation,")
    write(left + size / 2, height - top + 0.2, "two networks")
    for row, (name, network) in enumerate(both.items()):
        with torch.no_grad():
            after, before = rotate(network(f), GRID, R), network(turned)
        error = float((GRID.integrate((before - after) ** 2).sum() / GRID.integrate(after**2).sum()).sqrt())
        p, q = probabilities(after), probabilities(before)
        changed = float(FINE.integrate((p.argmax(1) != q.argmax(1)).double()) / (4 * math.pi))
        print(f"{name}: relative equivariance error {error:.3f}, labels change on {changed:.2%} of the sphere")
        distance = ((p - q).abs().sum(1) / 2)[0].numpy()  # total variation, in [0, 1]
        panels = (classes(p), classes(q), colormaps["inferno"](0.06 + 0.94 * distance)[..., :3])
        spots = [place(row, column, values) for column, values in enumerate(panels, 1)]
        middle = (spots[0][0] + spots[1][0]) / 2
        write(middle, spots[0][1] - 0.14, f"{name} U-Net", weight="bold")
        write(spots[2][0], spots[2][1] - 0.14, f"labels differ on {changed:.1%} of the area", fontsize=9)
        if row == 0:
            for (x, y), lines in zip(spots, HEADINGS, strict=True):
                write(x, y + size + 0.42, lines[0])
                write(x, y + size + 0.2, lines[1], color=MUTED, fontsize=8.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.png")
    figure.savefig(partial)
    with Image.open(partial) as picture:  # 256 colours: a third of the size
        picture.convert("RGB").quantize(256, kmeans=4).save(partial, optimize=True)
    partial.replace(path)
    print(path, f"{path.stat().st_size / 1024:.0f} KiB")


def score(both: dict[str, nn.Module], R: Tensor) -> None:
    """Print the mean IoU of the ten digits over the test spheres, upright and turned."""
    data = open_dataset(DATA, GRID, "test")
    x = torch.stack([data[i][0] for i in range(len(data))])
    y = torch.stack([data[i][1] for i in range(len(data))])
    for name, network in both.items():
        with torch.no_grad():
            outputs = {"upright": network(x), "turned": rotate(network(rotate(x, GRID, R)), GRID, R.T)}
        for kind, output in outputs.items():
            metrics = SegmentationMetrics(CLASSES, GRID, exclude=(0,))
            metrics.update(output, y)
            print(f"{name}, {len(x)} test spheres {kind}: mIoU of digits {metrics.compute()['miou_foreground']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="A field, a rotation, two networks.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/sphere_rotation.png"))
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--sample", type=int, default=0, help="sphere of the test split")
    parser.add_argument("--weights", type=Path, default=None, help="folder that keeps the trained networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    R = rotation_about("y", math.radians(-35)) @ rotation_about("x", math.radians(70))
    both = trained(arguments.weights, arguments.epochs)
    score(both, R)
    draw(arguments.out, both, arguments.sample, R)


if __name__ == "__main__":
    main()
