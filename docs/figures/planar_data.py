"""Images as networks of the plane get them, turned, shifted and mirrored: docs/images/planar_data.png.

Run from the root of the repository: python docs/figures/planar_data.py. The digits are built in; the photographs are
cut from panoramas_hdri.npz in $ARMILLARY_DATA, or the file that --panoramas names, and read as a folder of pictures.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from armillary.data import DataConfig, ImageDataset
from armillary.spaces import ImageGrid
from armillary.train.pictures import save_figure

COLUMNS = 8
PLACES = {"street": 12, "garden": 7}
"""Classes of the folder of pictures, and the panorama each is cut from."""


def first_samples(config: DataConfig, grid: ImageGrid) -> list[Tensor]:
    """The first training images."""
    data = ImageDataset(config, grid, "train")
    return [data[i][0] for i in range(COLUMNS)]


def turned(config: DataConfig, grid: ImageGrid, index: int) -> list[Tensor]:
    """One test image turned in equal steps."""
    data = ImageDataset(config, grid, "test")
    return [data.turned(index, 2 * np.pi * k / COLUMNS) for k in range(COLUMNS)]


def epochs(config: DataConfig, grid: ImageGrid) -> list[Tensor]:
    """The first training image in one epoch after another."""
    data = ImageDataset(config, grid, "train")
    images = []
    for epoch in range(COLUMNS):
        data.set_epoch(epoch)
        images.append(data[0][0])
    return images


def write_folder(panoramas: Path, folder: Path) -> None:
    """A window of each panorama, as a folder of pictures with one folder for each class."""
    with np.load(panoramas, allow_pickle=False) as file:
        for name, k in PLACES.items():
            (folder / name).mkdir()
            Image.fromarray(file["rgb_u8"][k][64:192, 192:320]).save(folder / name / "0.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/planar_data.png"))
    parser.add_argument("--panoramas", type=Path, default=Path("$ARMILLARY_DATA/panoramas_hdri.npz"))
    arguments = parser.parse_args()
    digits = DataConfig(source="digits", task="classification", rotated_train="so2", standardize=False)
    grid = ImageGrid(28, 28)
    rows = [
        ('digits, rotated_train\n= "so2"', first_samples(digits, grid)),
        ("a test digit turned by\n0°, 45°, 90°, …", turned(digits, grid, 2)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(os.path.expandvars(arguments.panoramas)), Path(folder))
        own = {"source": "image_folder", "path": folder, "standardize": False, "train_indices": (1,)}
        grid = ImageGrid(48, 48)
        shifted = DataConfig(**own, augment_shift=6, augment_flip=True)
        rows += [
            ("image_folder, shifts of\nup to 6 pixels, mirrored;\n8 epochs", epochs(shifted, grid)),
            ('augment = "so2";\n8 epochs', epochs(DataConfig(**own, augment="so2"), grid)),
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
