"""The disc mask: its equation pixel by pixel, its symmetry, and what it does for networks over C_8."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from armillary.groups import cyclic, dihedral
from armillary.nn import DiscMask, GroupConv, HarmonicFilters, LiftConv, PlaneGlobalPool, fold
from armillary.spaces import ImageGrid, act_on_feature_map, act_on_image
from armillary.testing import GroupAction, PlaneSymmetry, check_layer, commutation_error


@pytest.mark.parametrize(("height", "width", "edge"), [(7, 7, 2.0), (8, 8, 0.5), (6, 9, 3.0)])
def test_pixel_by_pixel(height: int, width: int, edge: float) -> None:
    mask = DiscMask(ImageGrid(height, width), edge)(torch.ones(1, height, width, dtype=torch.float64))[0]
    radius = min(height, width) / 2
    for i in range(height):
        for j in range(width):
            r = math.hypot(i - (height - 1) / 2, j - (width - 1) / 2)
            if r <= radius - edge:
                wanted = 1.0
            else:
                wanted = math.cos(math.pi / 2 * (r - radius + edge) / edge) ** 2 if r < radius else 0.0
            assert mask[i, j].item() == pytest.approx(wanted, abs=1e-14)
    assert mask[0, 0] == 0


def test_contract() -> None:
    group, layer = dihedral(4), DiscMask(ImageGrid(7, 7))
    act = lambda g, x: act_on_image(group, g, x)  # noqa: E731
    check_layer(layer, GroupAction((2, 7, 7), range(8), act, act, ("wrong grid",)), tolerance=1e-15)
    maps = lambda g, x: act_on_feature_map(group, g, x)  # noqa: E731
    check_layer(layer, GroupAction((2, 8, 7, 7), range(8), maps, maps, ("wrong grid",)), tolerance=1e-15, compile=False)
    x = torch.randn(2, 3, 8, 7, 7)
    torch.testing.assert_close(fold(layer, x)(x.flatten(1, 2)), layer(x).flatten(1, 2))


def test_networks_over_the_eighth_turns_are_less_disturbed_by_corners() -> None:
    """The invariance of two layers and a mean under turns by 45°, on images that do not end."""
    torch.manual_seed(0)
    group, grid, filters = cyclic(8), ImageGrid(25, 25), HarmonicFilters(rings=3, max_frequency=2)
    body = [
        LiftConv(1, 3, group, 5, padding=2, filters=filters),
        nn.ReLU(),
        GroupConv(3, 3, group, 5, padding=2, filters=filters),
        nn.ReLU(),
        PlaneGlobalPool(group, "mean"),
    ]
    turns = PlaneSymmetry(grid, None, 1, angles=[math.pi / 4, 3 * math.pi / 4], frequency=0.2)
    masked, plain = (
        commutation_error(nn.Sequential(*steps, *body), turns, batch=4) for steps in ([DiscMask(grid)], [])
    )
    assert masked < plain / 4, (masked, plain)


@pytest.mark.parametrize("edge", [0.0, -1.0, 4.0, math.nan])
def test_errors(edge: float) -> None:
    with pytest.raises(ValueError, match="DiscMask: got edge"):
        DiscMask(ImageGrid(7, 9), edge)
    with pytest.raises(ValueError, match=r"DiscMask wants \(..., 7, 9\)"):
        DiscMask(ImageGrid(7, 9))(torch.zeros(1, 1, 9, 7))
