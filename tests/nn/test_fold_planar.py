"""Harmonic and warped networks as stock modules: the same outputs, nothing of this library left, export."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from armillary.groups import Orders
from armillary.models import FullyConnectedPose, HarmonicClassifier, PlainClassifier, PlanarPose, WarpedPose
from armillary.nn import (
    BlurPool,
    HarmonicConv,
    MagnitudeBatchNorm,
    MagnitudeReLU,
    SoftArgmax,
    WarpConv2d,
    WarpImage,
    WarpPad,
    fold,
    with_warp_padding,
)
from armillary.spaces import Axis, ImageGrid, LogPolar, ScaleAspect

GRID = ImageGrid(12, 12)
POLAR, SCALE = LogPolar(8, 8, 1.0, 5.5), ScaleAspect(8, 8, 1.0, 11.0, (1, 1), "corner")


def blurred() -> nn.Module:
    orders, grid = Orders.of({0: 2, 1: 1}), ImageGrid(13, 13)
    blur = BlurPool(orders, grid, sigma=0.6)
    return nn.Sequential(
        HarmonicConv(Orders.image(2), orders, grid),
        MagnitudeReLU(orders, grid),
        blur,
        HarmonicConv(orders, orders, blur.grid_out),
        MagnitudeBatchNorm(orders, blur.grid_out),
    )


NETWORKS = {
    "harmonic": (lambda: HarmonicClassifier(2, 5, GRID, (3, 4)), GRID),
    "plain": (lambda: PlainClassifier(2, 5, GRID, (3, 4)), GRID),
    "blurred": (blurred, ImageGrid(13, 13)),
    "warped": (lambda: WarpedPose(2, GRID, POLAR, (3, 4)), GRID),
    "bicubic": (lambda: WarpedPose(2, GRID, POLAR, (3, 4), interpolation="bicubic"), GRID),
    "scale": (lambda: WarpedPose(2, GRID, SCALE, (3, 4)), GRID),
    "planar": (lambda: PlanarPose(2, GRID, POLAR.axes, (3, 4)), GRID),
    "connected": (lambda: FullyConnectedPose(2, GRID, POLAR.axes, (3, 4)), GRID),
}


def trained(make) -> nn.Module:  # type: ignore[no-untyped-def]
    """With parameters and statistics that no layer starts from."""
    torch.manual_seed(0)
    network = make()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn_like(p))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | MagnitudeBatchNorm):
                module.running_mean.uniform_(0.2, 0.5)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def foreign(folded: nn.Module) -> list[str]:
    own = [m for m in folded.modules() if not isinstance(m, torch.fx.GraphModule)]
    return [type(m).__name__ for m in own if not type(m).__module__.startswith("torch.")]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_folded_network_gives_the_same_and_exports(name: str) -> None:
    make, grid = NETWORKS[name]
    network, x = trained(make), torch.randn(3, 2, *grid.shape)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    single = fold(network, x)
    assert foreign(single) == []
    graphs = "".join(m.code for m in single.modules() if isinstance(m, torch.fx.GraphModule))
    assert "armillary" not in graphs
    with torch.no_grad():
        torch.testing.assert_close(single(x), network(x), rtol=1e-5, atol=1e-5)
        dynamic = {0: torch.export.Dim("batch", min=2, max=64)}
        program = torch.export.export(single, (x,), dynamic_shapes=(dynamic,))
        for batch in (2, 7):
            other = torch.randn(batch, 2, *grid.shape)
            torch.testing.assert_close(program.module()(other), single(other), rtol=1e-5, atol=1e-5)
        assert not any("armillary" in str(node.target) for node in program.graph.nodes)
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
        network, x = network.double(), x.double()
        torch.testing.assert_close(fold(network, x)(x), network(x), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("warp", [POLAR, SCALE], ids=["polar", "scale"])
def test_convolutions_with_padding_by_axis_become_padding_and_convolution(warp) -> None:  # type: ignore[no-untyped-def]
    conv = nn.Conv2d(2, 4, (3, 4), padding="same", dilation=(2, 1), groups=2).double()  # columns: one zero, then two
    x = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    for periodic in ((False, False), (True, False), (False, True), (True, True)):
        layer = WarpConv2d(conv, periodic)
        folded = fold(layer, x)
        torch.testing.assert_close(folded(x), layer(x), rtol=0, atol=1e-13)
        kinds = [type(m).__name__ for m in folded]
        assert kinds == ["CircularPad2d"] * any(periodic) + ["ZeroPad2d"] * (not periodic[1]) + ["Conv2d"]
    network = with_warp_padding(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU()), warp).double()
    torch.testing.assert_close(fold(network, x)(x), network(x), rtol=0, atol=1e-13)
    pad = WarpPad((1, 2, 3, 0), (True, False))
    assert torch.equal(fold(pad, x)(x), pad(x))


def test_constants_take_the_dtype_of_the_input() -> None:
    x = torch.randn(2, 1, 12, 12)
    layers = (WarpImage(POLAR, GRID), BlurPool(Orders.image(1), GRID))
    for layer in layers:
        folded = fold(layer, x)
        assert {b.dtype for b in (*folded.parameters(), *folded.buffers())} == {torch.float32}
        assert fold(layer, x.double())(x.double()).dtype == torch.float64


def test_a_flat_response_is_folded_with_its_threshold() -> None:
    axes = (Axis(6, -1.0, 0.5, periodic=True), Axis(5))
    head, x = SoftArgmax(axes, maps=2), torch.zeros(1, 2, 6, 5)
    assert torch.equal(fold(head, x)(x), head(x))
    assert fold(head, x)(x)[0, 0, 0].item() == pytest.approx(-1.0)
    assert math.isfinite(float(fold(head, x)(x).sum()))
