"""What is a field of orders on a grid, and what every layer of such fields refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import Orders
from armillary.harmonics import rotate_spins
from armillary.nn import (
    HarmonicConv,
    MagnitudeReLU,
    SpinActivation,
    SpinBatchNorm,
    SpinConv,
    SpinInvariants,
    SpinLinear,
    SpinPointwise,
    SteerableDiscoConv,
)
from armillary.spaces import Equiangular, ImageGrid
from armillary.spaces.fields import FieldGrid, check_orders

ORDERS, SPHERE, IMAGE = Orders.of({0: 1, 1: 3}), Equiangular(6), ImageGrid(6, 12)
BAD = [
    torch.zeros(1, 8, 6, 12, dtype=torch.complex64),
    torch.zeros(1, 8, 6, 12, dtype=torch.int64),
    torch.zeros(1, 7, 6, 12),
    torch.zeros(8, 6, 12),
]


@pytest.mark.parametrize("grid", [SPHERE, IMAGE], ids=str)
def test_what_is_a_field(grid: FieldGrid) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        check_orders(torch.zeros(0, 8, 6, 12, dtype=dtype), ORDERS, grid, "this")
    for x in (*BAD, torch.zeros(1, 8, 1, 6, 12)):
        with pytest.raises(ValueError, match=r"this was built for real \(batch, 8, 6, 12\), the real channels of Ord"):
            check_orders(x, ORDERS, grid, "this")
    with pytest.raises(ValueError, match=r"this wants \(\.\.\., 6, 12\)"):
        check_orders(torch.zeros(1, 8, 12, 6), ORDERS, grid, "this")


@pytest.mark.parametrize(
    "layer",
    [
        HarmonicConv(ORDERS, ORDERS, IMAGE),
        MagnitudeReLU(ORDERS, IMAGE),
        SpinActivation(torch.tanh, ORDERS, SPHERE),
        SpinBatchNorm(ORDERS, SPHERE),
        SpinConv(ORDERS, ORDERS, SPHERE),
        SpinInvariants(ORDERS),
        SpinLinear(ORDERS, ORDERS),
        SpinPointwise(torch.tanh, ORDERS, SPHERE, 3),
        SteerableDiscoConv(ORDERS, ORDERS, SPHERE),
        lambda x: rotate_spins(x, ORDERS, SPHERE, torch.eye(3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("x", BAD, ids=lambda x: f"{x.dtype}, {x.ndim} dimensions")
def test_layers_refuse_what_is_none(layer, x: Tensor) -> None:  # type: ignore[no-untyped-def]
    """Integers above all: parameters would be rounded to them."""
    with pytest.raises(ValueError, match="the real channels of Ord"):
        layer(x)
