"""Wind at 200 hPa from wind and geopotential below it: vector fields of the sphere, exactly rotated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from armillary.groups import Orders
from armillary.harmonics import SHT, InverseSHT, InverseSpinSHT, SpinSHT, rotate_spins, spin_to_wind, wind_to_spin
from armillary.recipes.files import read_arrays
from armillary.spaces import Equiangular, SphereGrid

SPINS_IN, SPINS_OUT = Orders.of({0: 1, 1: 2}), Orders.of({1: 1})
SCALARS_IN, SCALARS_OUT = Orders.image(6), Orders.image(2)
SECTORS, GAP = 6, math.radians(5)
FILE = "reanalysis_uvz.npz"


@dataclass(frozen=True)
class Winds:
    """Fields of degree ≤ ``lmax`` on ``grid``, in units of their spread over the sphere.

    ``inputs`` (1, 6, nlat, nlon) are fields of ``SPINS_IN``: geopotential at 500 hPa + i geopotential at 850 hPa,
    without their means, and the winds at 500 and 850 hPa; ``target`` (1, 2, nlat, nlon) of ``SPINS_OUT``, the wind at
    200 hPa. ``unit`` is the spread of that in m/s.
    """

    grid: SphereGrid
    lmax: int
    inputs: Tensor
    target: Tensor
    unit: float

    def rotated(self, R: Tensor) -> Winds:
        """All fields turned by R, values and frames."""
        inputs = rotate_spins(self.inputs, SPINS_IN, self.grid, R, self.lmax)
        target = rotate_spins(self.target, SPINS_OUT, self.grid, R, self.lmax)
        return Winds(self.grid, self.lmax, inputs, target, self.unit)


def read_winds(grid: SphereGrid, lmax: int) -> Winds:
    """ERA-Interim, the mean of a January, from ``reanalysis_uvz.npz``, cut off at degree ``lmax``.

    Raises: ValueError where the file is not there; DataError where it is damaged or lacks an array.
    """
    arrays = read_arrays(FILE, ("u", "v", "z", "level_hPa", "lon"))
    levels = arrays["level_hPa"].tolist()
    east = int(np.abs(arrays["lon"]).argmin())
    fields = {
        (name, level): torch.from_numpy(np.roll(arrays[name][i], -east, axis=-1).copy()).double()
        for name in "uvz"
        for i, level in enumerate(levels)
    }
    nlat, nlon = fields["u", 200].shape
    source = Equiangular(nlat, nlon, poles=True)
    analysis, synthesis = SHT(source, lmax), InverseSHT(grid, lmax)
    heights = [synthesis(analysis(fields["z", level])) for level in (500, 850)]
    heights = [z - grid.integrate(z) / (4 * math.pi) for z in heights]
    spin, back = SpinSHT(source, 1, lmax), InverseSpinSHT(grid, 1, lmax)
    winds = []
    for level in (500, 850, 200):
        z = torch.complex(*wind_to_spin(fields["u", level], fields["v", level]).unbind(0))
        winds.append(torch.view_as_real(back(spin(z))).movedim(-1, 0))
    units = [spread(wind, grid) for wind in winds]
    real, imaginary = ([wind[part] / unit for wind, unit in zip(winds, units, strict=True)] for part in (0, 1))
    z500, z850 = (z / spread(z[None], grid) for z in heights)
    inputs = torch.stack([z500, real[0], real[1], z850, imaginary[0], imaginary[1]])[None]
    return Winds(grid, lmax, inputs, torch.stack([real[2], imaginary[2]])[None], units[2])


def spread(x: Tensor, grid: SphereGrid, where: Tensor | None = None) -> float:
    """√ of the mean square of the components x (C, nlat, nlon), summed over C, over the sphere or ``where`` is 1."""
    where = torch.ones(grid.shape, dtype=x.dtype) if where is None else where
    return float((grid.integrate(x.square().sum(0) * where) / grid.integrate(where)).sqrt())


def sectors(points: Tensor, test: bool) -> Tensor:
    """1 in every other of ``SECTORS`` sectors of longitude, 0 elsewhere and within ``GAP`` of their borders, at unit
    vectors (..., 3)."""
    width = 2 * math.pi / SECTORS
    longitude = torch.atan2(points[..., 1], points[..., 0]).remainder(2 * math.pi)
    place = longitude.remainder(width)
    inside = (place > GAP) & (place < width - GAP)
    return (inside & (torch.div(longitude, width, rounding_mode="floor") % 2 == int(test))).double()


def as_scalars(x: Tensor, spins: Orders) -> Tensor:
    """Winds and geopotentials as real scalars (B, 6 or 2, ...): u and v of every wind, then both heights."""
    winds = [spin_to_wind(torch.stack(pair.unbind(1), 1)) for pair in _channels(x, spins, 1)]
    parts = [part for wind in winds for part in wind]
    heights = [part for pair in _channels(x, spins, 0) for part in pair.unbind(1)]
    return torch.stack([*parts, *heights], 1)


def _channels(x: Tensor, spins: Orders, spin: int) -> list[Tensor]:
    """The channels of one spin, (B, 2, nlat, nlon) each."""
    places = [c for c, s in enumerate(spins.channel_orders) if s == spin]
    return [x[:, [c, c + spins.count]] for c in places]


def dataset(winds: Winds, rotations: list[Tensor], scalars: bool) -> TensorDataset:
    """Inputs, and targets with the weight of the loss as a last channel, of the fields turned by each rotation."""
    inputs, targets = [], []
    for R in rotations:
        turned = winds.rotated(R)
        weight = sectors(winds.grid.points @ R, test=False) * winds.grid.quadrature  # at R⁻¹ p
        x, y = turned.inputs, turned.target
        if scalars:
            x, y = as_scalars(x, SPINS_IN), as_scalars(y, SPINS_OUT)
        inputs.append(x[0])
        targets.append(torch.cat([y[0], (weight / weight.sum())[None]]))
    return TensorDataset(torch.stack(inputs).float(), torch.stack(targets).float())


class WeightedSquares(nn.Module):
    """The mean of |prediction - target|² by the weights in the target's last channel."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return ((prediction - target[:, :-1]).square().sum(1) * target[:, -1]).sum((1, 2)).mean()


@torch.no_grad()
def prediction_error(network: nn.Module, winds: Winds, R: Tensor, scalars: bool) -> tuple[float, Tensor]:
    """Root mean square error in m/s in the test sectors, and the prediction, for fields turned by R.

    The prediction is turned back exactly and compared with the target where it was.
    """
    inputs = winds.rotated(R).inputs
    x = as_scalars(inputs, SPINS_IN) if scalars else inputs
    y = network.eval()(x.float()).double()
    if scalars:
        y = wind_to_spin(y[:, 0], y[:, 1])
    y = rotate_spins(y, SPINS_OUT, winds.grid, R.T, winds.lmax)
    test = sectors(winds.grid.points, test=True)
    return winds.unit * spread((y - winds.target)[0], winds.grid, test), y


def scaled_wind_error(winds: Winds) -> float:
    """The error in m/s of the wind at 500 hPa times the number that is best in the training sectors."""
    wind = _channels(winds.inputs, SPINS_IN, 1)[0][0]
    train, test = (sectors(winds.grid.points, flag) for flag in (False, True))
    products = [winds.grid.integrate((wind * other).sum(0) * train) for other in (winds.target[0], wind)]
    return winds.unit * spread(products[0] / products[1] * wind - winds.target[0], winds.grid, test)
