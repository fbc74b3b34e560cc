"""The layer studies of the DISCO recipe: rotation error against resolution, and cost against harmonic convolutions.

Costs are for one layer from one channel to one channel with K = 3 basis functions, in multiply–adds and bytes of
float32, on a grid of H = L latitudes and 2L longitudes, n̄ the mean number of neighbours of a point:

- DISCO: contraction and mixing, ``2L² (n̄ K + K)``; memory: the field in and out and the stencil, ``4 (2·2L² + K n̄ L)``.
- Steerable DISCO between fields of spins 0 and 1, for each real channel: the pairs of spins have 3, 4, 4 and 6 real
functions, so that
  a channel meets 17/2, a pair of channels 17/4: ``2L² (17/2 n̄ + 17/4)``; memory ``4 (2·2L² + 17 n̄ L)``.
- Harmonic convolution on S² by an axisymmetric filter: Legendre stages there and back ``2 L³`` and the FFTs
  ``2·2L²·(5/2) log2 2L``; memory: the fields, coefficients, and the Legendre table ``4 (2·2L² + 2L² + L³/2)``.
- Harmonic convolution on SO(3): Wigner stages there and back on 2L angles β, ``2·2·2L·(4/3)L³``, products of (2l+1)²
blocks
  ``4·2L⁴``, FFTs ``2·(2L)³·(5/2) log2 (2L)²``; memory: signals in and out, ``4·2·(2L)³``.
- Tensor products of generalised Fourier layers (strictly equivariant nonlinearity): ``(2/5 … 1) L⁵``, counted here
by its leading
  term ``L⁵/2``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.harmonics import Resample
from armillary.nn import DiscoConv, DiscoConvTranspose, DiscoLift, FourierAzimuth, PiecewiseLinear, SteerableDiscoConv
from armillary.recipes.report import Check, Row
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SpinSymmetry, commutation_error, equivariance_error

FUNCTIONS = 3
STEERABLE_FUNCTIONS = 3 + 4 + 4 + 6  # of spins 0 → 0, 0 → 1, 1 → 0, 1 → 1
LARGEST_HARMONIC = 512  # latitudes; beyond it the Legendre functions are no longer kept


@dataclass(frozen=True)
class LayerScale:
    """Latitudes of the equivariance study and of the timing study, and the degree of the test fields."""

    equivariance: tuple[int, ...]
    timing: tuple[int, ...]
    lmax: int


def measure_equivariance(scale: LayerScale) -> tuple[list[Row], Check]:
    """The rotation error (float64) of each kind of layer; the order of convergence of the plain one."""
    rows: list[Row] = []
    plain: list[float] = []
    lmax = min(scale.lmax, min(scale.equivariance) // 2 - 1)
    for nlat in scale.equivariance:
        grid, gauss = Equiangular(nlat), GaussLegendre(nlat)
        layers: list[tuple[str, nn.Module, object, object]] = []
        for label, g in (("equiangular", grid), ("Gauss–Legendre", gauss)):
            torch.manual_seed(0)
            layers += [
                (f"DiscoConv, {label}", DiscoConv(4, 4, g), g, g),
                (f"DiscoConv strided, {label}", DiscoConv(4, 4, g, g.coarser()), g, g.coarser()),
                (
                    f"DiscoConvTranspose, {label}",
                    DiscoConvTranspose(4, 4, g, g.resized(2 * nlat)),
                    g,
                    g.resized(2 * nlat),
                ),
            ]
        layers.append(("DiscoConv, filter sampled only", DiscoConv(4, 4, grid, moments=None), grid, grid))
        layers.append(("DiscoConv, degree 0 matched", DiscoConv(4, 4, grid, moments=0), grid, grid))
        directional = DiscoConv(4, 4, grid, basis=PiecewiseLinear(3, 4))
        layers.append(("DiscoConv, directional filter on S²", directional, grid, grid))
        if nlat <= 64:
            lift = DiscoLift(4, 4, grid, 5, basis=FourierAzimuth(3, 1))
            layers.append(("DiscoLift, directional filter on SO(3)", lift, grid, lift.space_out))
        for name, layer, space_in, space_out in layers:
            start = time.monotonic()
            error = equivariance_error(layer, space_in, space_out, lmax=lmax, n_rotations=2)  # type: ignore[arg-type]
            rows.append(
                Row(name, f"rotation error, {nlat} latitudes, l ≤ {lmax}", error, seconds=time.monotonic() - start)
            )
            if name == "DiscoConv, equiangular":
                plain.append(error)
        spins = Orders.upto(1, 1)
        start = time.monotonic()
        error = commutation_error(SteerableDiscoConv(spins, spins, grid), SpinSymmetry(spins, grid, lmax=lmax), count=2)
        name = "SteerableDiscoConv, spins 0 and 1, directional filter"
        metric = f"rotation error, {nlat} latitudes, l ≤ {lmax}"
        rows.append(Row(name, metric, error, seconds=time.monotonic() - start))
    order = math.log2(plain[-2] / plain[-1]) if len(plain) > 1 else float("nan")
    check = Check(
        f"rotation error of the axisymmetric layer falls with resolution ({scale.equivariance[0]} to "
        f"{scale.equivariance[-1]} latitudes)",
        "equivariant up to quadrature",
        f"{plain[0]:.1e} to {plain[-1]:.1e}, last order {order:.1f}",
        order >= 4,
    )
    return rows, check


def disco_neighbours(nlat: int, rings: float = 3.0) -> float:
    """The mean number of grid points in the cap of an equiangular grid, by area of the cap in each ring, to leading
    order.

    A ring at distance d (in rings) from the output latitude meets the cap in a chord; near a pole it is cut at the
    whole ring.
    """
    theta = (np.arange(nlat) + 0.5) * math.pi / nlat
    reach = rings * math.pi / nlat
    total = 0.0
    for t in theta:
        near = theta[np.abs(theta - t) <= reach]
        product = np.sin(t) * np.sin(near)
        cosine = (math.cos(reach) - np.cos(t) * np.cos(near)) / product
        half = np.arccos(np.clip(cosine, -1, 1))
        total += float((half / math.pi * 2 * nlat).sum())
    return total / nlat


def costs(bandlimit: int) -> dict[str, tuple[float, float]]:
    """(multiply–adds, bytes) of each kind of layer at band limit L, by the formulas at the top of this file."""
    L = float(bandlimit)
    pixels, neighbours = 2 * L * L, disco_neighbours(bandlimit)
    return {
        "DISCO on S²": (
            pixels * FUNCTIONS * (neighbours + 1),
            4 * (2 * pixels + FUNCTIONS * neighbours * L),
        ),
        "steerable DISCO, spins 0 and 1": (
            pixels * (STEERABLE_FUNCTIONS / 2 * neighbours + STEERABLE_FUNCTIONS / 4),
            4 * (2 * pixels + STEERABLE_FUNCTIONS * neighbours * L),
        ),
        "harmonic, axisymmetric on S²": (
            2 * L**3 + 2 * pixels * 2.5 * math.log2(2 * L),
            4 * (2 * pixels + 2 * L * L + L**3 / 2),
        ),
        "harmonic on SO(3)": (
            2 * 2 * 2 * L * 4 / 3 * L**3 + 8 * L**4 + 2 * (2 * L) ** 3 * 2.5 * math.log2(4 * L * L),
            4 * 2 * (2 * L) ** 3,
        ),
        "tensor products, O(L⁵)": (L**5 / 2, 4 * 2 * (2 * L) ** 3),
    }


def _median_seconds(layer: nn.Module, x: Tensor) -> float:
    """The median wall time of three calls after one that is not counted."""
    seconds = []
    with torch.no_grad():
        layer(x)
        for _ in range(3):
            start = time.perf_counter()
            layer(x)
            seconds.append(time.perf_counter() - start)
    return sorted(seconds)[1]


def measure_cost(scale: LayerScale) -> tuple[list[Row], list[Check], list[str]]:
    """The cost table at 4096×2048, the time of our layer against pixels, and the fitted exponent."""
    rows, times, pixels = [], [], []
    for nlat in scale.timing:
        grid = Equiangular(nlat)
        times.append(_median_seconds(DiscoConv(1, 1, grid), torch.randn(1, 1, *grid.shape)))
        pixels.append(nlat * grid.nlon)
        rows.append(Row(f"DiscoConv 1 → 1, {nlat}×{grid.nlon}", "forward, ms", 1e3 * times[-1], seconds=times[-1]))
        if nlat <= LARGEST_HARMONIC:  # transform and back; its per-degree gains cost nothing beside that
            seconds = _median_seconds(Resample(grid, grid), torch.randn(1, 1, *grid.shape))
            name = f"harmonic S² convolution 1 → 1, {nlat}×{grid.nlon}"
            rows.append(Row(name, "forward, ms", 1e3 * seconds, seconds=seconds))
    tail = slice(-3, None)
    exponent = float(np.polyfit(np.log(pixels[tail]), np.log(times[tail]), 1)[0])
    table = costs(2048)
    for name, (operations, size) in table.items():
        rows.append(Row(f"{name}, 2048×4096", "multiply–adds (counted)", operations))
        rows.append(Row(f"{name}, 2048×4096", "bytes (counted)", size))
    own = table["DISCO on S²"]
    others = {name: value for name, value in table.items() if name != "DISCO on S²"}
    group, strict = others["harmonic on SO(3)"], others["tensor products, O(L⁵)"]
    checks = [
        Check(
            "time is linear in the number of pixels: exponent fitted at the three largest sizes",
            "1",
            f"{exponent:.2f}",
            exponent < 1.2,
        ),
        Check(
            "saving in memory at 4k, counted, against signals on SO(3)",
            "10⁴",
            f"{group[1] / own[1]:.1e}",
            group[1] / own[1] >= 10**3.5,
        ),
        Check(
            "saving in computation at 4k, counted, against the costliest alternative here",
            "10⁹",
            f"{strict[0] / own[0]:.1e} (tensor products), {group[0] / own[0]:.1e} (SO(3) convolution)",
            strict[0] / own[0] >= 10**8.5,
        ),
    ]
    notes = [
        "Costs are counted for one channel in and one out by the formulas in armillary.recipes.disco_layers; the "
        "abstract states 10⁹ against the most efficient alternative without a formula. Counted here, a convolution on "
        f"SO(3) by Wigner transforms costs {group[0]:.1e} multiply–adds against {own[0]:.1e} for DISCO."
    ]
    return rows, checks, notes
