"""A sequence of harmonic layers compares the orders and grids of neighbours when it is built."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import Orders
from armillary.nn import (
    BlurPool,
    HarmonicConv,
    HarmonicSequential,
    ImageMeanPool,
    MagnitudeBatchNorm,
    MagnitudeReLU,
    Magnitudes,
)
from armillary.spaces import ImageGrid

GRID, HALF = ImageGrid(8, 8), ImageGrid(4, 4)
A, B = Orders.of({0: 2, 1: 1}), Orders.of({0: 1, 1: 2})  # as many real channels


def test_fields_that_fit() -> None:
    first = HarmonicSequential(HarmonicConv(Orders.image(3), A, GRID), MagnitudeReLU(A, GRID), ImageMeanPool(A, GRID))
    whole = HarmonicSequential(first, HarmonicConv(A, B, HALF), MagnitudeBatchNorm(B, HALF), Magnitudes(B, HALF))
    assert (whole.orders_in, whole.grid) == (Orders.image(3), GRID)
    assert (whole.orders_out, whole.grid_out) == (Orders.image(3), HALF)
    assert whole(torch.randn(2, 3, 8, 8)).shape == (2, 3, 4, 4)
    assert isinstance(whole[:2], HarmonicSequential)
    assert list(first.state_dict()) == list(nn.Sequential(*first).state_dict())
    assert BlurPool(A, GRID).orders_out == A


def test_orders_that_only_count_alike_are_refused() -> None:
    conv, relu = HarmonicConv(Orders.image(3), A, GRID), MagnitudeReLU(B, GRID)
    relu(conv(torch.randn(1, 3, 8, 8)))  # which the layers alone cannot see
    with pytest.raises(ValueError, match=r"layer 0, HarmonicConv, gives Orders.of\(\{0: 2, 1: 1\}\).*MagnitudeReLU"):
        HarmonicSequential(conv, relu)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: (), "got no layer"),
        (lambda: (ImageMeanPool(A, GRID), MagnitudeReLU(A, GRID)), r"on ImageGrid\(height=4.*built for"),
        (lambda: (MagnitudeReLU(A, GRID), nn.ReLU()), "layer 1, ReLU, does not tell its orders"),
        (lambda: (Magnitudes(A, GRID), HarmonicConv(A, A, GRID)), r"gives Orders.image\(3\)"),
    ],
)
def test_errors(layers, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        HarmonicSequential(*layers())
