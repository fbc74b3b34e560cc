"""Write spheres of handwritten digits, turned at random, to an .npz: new input for `armillary predict`.

python examples/write_digits.py demo/new_digits.npz --nlat 32 --count 4
"""

import argparse
import os
from pathlib import Path

import numpy as np

from armillary.data import DataConfig, open_dataset
from armillary.spaces import Equiangular

parser = argparse.ArgumentParser(description="Spheres of handwritten digits for `armillary predict`.")
parser.add_argument("path", type=Path, help="the .npz to write")
parser.add_argument("--nlat", type=int, default=32, help="rings of the equiangular grid")
parser.add_argument("--count", type=int, default=4, help="number of spheres")
parser.add_argument("--digit-size", type=float, default=1.5, help="radians, as the network was trained with")
arguments = parser.parse_args()

config = DataConfig(source="digits", task="segmentation", rotated_test="so3", digit_size=arguments.digit_size)
spheres = open_dataset(config, Equiangular(arguments.nlat), "test")
x = np.stack([spheres[i][0].numpy() for i in range(min(arguments.count, len(spheres)))])

arguments.path.parent.mkdir(parents=True, exist_ok=True)
partial = arguments.path.with_suffix(".partial.npz")
np.savez_compressed(partial, x=x)
os.replace(partial, arguments.path)
print(f"{arguments.path}: x {x.shape}, {spheres.spec.input_names}")
