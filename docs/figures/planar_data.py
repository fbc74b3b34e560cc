"""Digits of the rotated set, and augmented photographs or digits: docs/images/planar_data.png.

Run from the root of the repository: python docs/figures/planar_data.py. Reads mnist.npz and cifar10_jpeg_subset.npz in
$ARMILLARY_DATA, or what --mnist and --cifar name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

from armillary.data import DataConfig, ImageDataset, image_grid
from armillary.train.pictures import save_figure

COLUMNS = 8


def samples(config: DataConfig, count: int = COLUMNS) -> list[torch.Tensor]:
    """The first training images as a network gets them, but for the standardisation."""
    data = ImageDataset(config, image_grid(config), "train")
    return [data[i][0] for i in range(count)]


def epochs(config: DataConfig, index: int, count: int = COLUMNS) -> list[torch.Tensor]:
    """One training image in one epoch after another."""
    data = ImageDataset(config, image_grid(config), "train")
    images = []
    for epoch in range(count):
        data.set_epoch(epoch)
        images.append(data[index][0])
    return images


def turned(config: DataConfig, index: int, count: int = COLUMNS) -> list[torch.Tensor]:
    """One test image turned in equal steps."""
    data = ImageDataset(config, image_grid(config), "test")
    return [data.turned(index, 2 * torch.pi * k / count) for k in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/planar_data.png"))
    parser.add_argument("--mnist", default="$ARMILLARY_DATA/mnist.npz")
    parser.add_argument("--cifar", default="$ARMILLARY_DATA/cifar10_jpeg_subset.npz")
    arguments = parser.parse_args()
    digits = DataConfig(source="rotated_mnist", path=arguments.mnist, standardize=False)
    shifted = DataConfig(source="cifar10", path=arguments.cifar, standardize=False, augment_shift=4, augment_flip=True)
    spun = DataConfig(source="cifar10", path=arguments.cifar, standardize=False, augment="so2")
    rows = [
        ("rotated_mnist:\nthe first digits", samples(digits)),
        ("one of them turned\nby 0°, 45°, 90°, …", turned(digits, 3)),
        ("cifar10: augment_shift\n= 4, augment_flip;\none image, 8 epochs", epochs(shifted, 4)),
        ('augment = "so2";\none image, 8 epochs', epochs(spun, 4)),
    ]
    figure = Figure(figsize=(9.4, 4.2), layout="constrained")
    axes = figure.subplots(len(rows), COLUMNS + 1, width_ratios=[1.9] + [1.0] * COLUMNS)
    for line, (title, images) in zip(axes, rows, strict=True):
        line[0].text(0, 0.5, title, va="center", fontsize=9)
        for axis, image in zip(line[1:], images, strict=True):
            axis.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        for axis in line:
            axis.set_axis_off()
    print(f"wrote {save_figure(figure, arguments.out)}")


if __name__ == "__main__":
    main()
