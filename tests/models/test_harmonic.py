"""The network of harmonic networks and the plain one: shapes, invariance, gradients, errors."""

from __future__ import annotations

import math

import pytest
import torch

from armillary.groups import Orders
from armillary.models import HarmonicClassifier, PlainClassifier
from armillary.nn import CircularHarmonics
from armillary.spaces import ImageGrid
from armillary.testing import PlaneSymmetry, check_layer, commutation_error

GRID = ImageGrid(12, 12)
QUARTERS = [math.pi / 2, math.pi, -math.pi / 2]


def networks() -> tuple[HarmonicClassifier, PlainClassifier]:
    torch.manual_seed(0)
    return HarmonicClassifier(2, 5, GRID, (3, 4)), PlainClassifier(2, 5, GRID, (3, 4))


def test_contract_and_quarter_turns() -> None:
    harmonic, plain = networks()
    quarters = PlaneSymmetry(GRID, None, 2, frequency=0.5, angles=QUARTERS)
    check_layer(harmonic, quarters, tolerance=1e-12)
    assert commutation_error(plain, quarters) > 0.01


def test_other_turns_of_a_small_thing_on_a_large_image() -> None:
    grid = ImageGrid(24, 24)
    torch.manual_seed(0)
    harmonic, plain = HarmonicClassifier(1, 5, grid, (4, 8)), PlainClassifier(1, 5, grid, (4, 8))
    turns = PlaneSymmetry(grid, None, 1, frequency=0.25, window=3.0)
    own, other = (commutation_error(net, turns, count=8) for net in (harmonic, plain))
    assert own < other / 3, (own, other)


def test_features_turn_at_the_middle() -> None:
    """On 28 × 28 pixels the features lie on 7 × 7, whose middle pixel is the middle of the image."""
    grid = ImageGrid(28, 28)
    torch.manual_seed(0)
    network = HarmonicClassifier(1, 4, grid)
    assert network.head.grid == ImageGrid(7, 7)
    assert network.features(torch.zeros(1, 1, 28, 28)).shape == (1, Orders.upto(1, 4).size, 7, 7)
    waves = PlaneSymmetry(grid, ImageGrid(7, 7), 1, None, network.head.orders_out.act, frequency=0.125, window=5.0)
    assert commutation_error(network.features, waves, count=8) < 0.1
    as_scalars = PlaneSymmetry(grid, ImageGrid(7, 7), 1, None, None, frequency=0.125, window=5.0)
    assert commutation_error(network.features, as_scalars, count=8) > 0.5


def test_every_parameter_gets_a_gradient() -> None:
    for network in networks():
        network(torch.randn(2, 2, 12, 12)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_scores_are_the_mean_of_the_summed_magnitudes() -> None:
    network, x = networks()[0].double().eval(), torch.randn(3, 2, 12, 12, dtype=torch.float64)
    torch.nn.init.normal_(network.bias)
    z = torch.complex(*network.features(x).chunk(2, dim=1))
    r = (z.abs().square() + 1e-6).sqrt()
    wanted = (r[:, :5] + r[:, 5:]).mean((-2, -1)) + network.bias
    torch.testing.assert_close(network(x), wanted, rtol=0, atol=1e-13)


def test_other_orders_and_filters() -> None:
    network = HarmonicClassifier(1, 3, GRID, (2, 2), highest=2, basis=CircularHarmonics(7, 3))
    assert network(torch.randn(2, 1, 12, 12)).shape == (2, 3)
    assert network.head.filter_orders == (-2, -1, 0, 1, 2)


@pytest.mark.parametrize("kind", [HarmonicClassifier, PlainClassifier])
def test_errors(kind) -> None:  # type: ignore[no-untyped-def]
    for widths in ((), (4, 0)):
        with pytest.raises(ValueError, match="widths"):
            kind(1, 3, GRID, widths)
    with pytest.raises(ValueError, match="factor = 2"):
        kind(1, 3, ImageGrid(6, 6), (2, 2, 2))
    with pytest.raises(ValueError, match="x has shape"):
        kind(1, 3, GRID)(torch.zeros(1, 1, 12, 13))
    with pytest.raises(ValueError, match="size = 4"):
        PlainClassifier(1, 3, GRID, size=4)
