"""The planar networks as torch modules: export with any batch, compiled training, autocast."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import Orders, cyclic
from armillary.models import GroupCNN, HarmonicClassifier, PlanarPose, WarpedPose
from armillary.nn import BlurPool, HarmonicConv, MagnitudeReLU
from armillary.spaces import ImageGrid, LogPolar

GRID, POLAR = ImageGrid(12, 12), LogPolar(8, 8, 1.0, 5.5)


def blurred() -> nn.Module:
    orders, grid = Orders.upto(1, 2), ImageGrid(13, 13)
    conv = HarmonicConv(Orders.image(2), orders, grid)
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv, MagnitudeReLU(orders, grid), BlurPool(orders, grid))


NETWORKS = {
    "harmonic": lambda: HarmonicClassifier(2, 5, GRID, (3, 4)),
    "blurred": blurred,
    "warped": lambda: WarpedPose(2, GRID, POLAR, (3, 4)),
    "bicubic": lambda: WarpedPose(2, GRID, POLAR, (3, 4), interpolation="bicubic"),
    "planar": lambda: PlanarPose(2, GRID, POLAR.axes, (3, 4)),
    "group": lambda: nn.Sequential(nn.ZeroPad2d(8), GroupCNN(cyclic(4), 3, in_channels=2, dropout=0.0)),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]()


@pytest.mark.parametrize("name", NETWORKS)
def test_export_with_any_batch(name: str) -> None:
    network = built(name).eval()
    dynamic = ({0: torch.export.Dim("batch", min=2, max=64)},)
    program = torch.export.export(network, (torch.randn(3, 2, 12, 12),), dynamic_shapes=dynamic)
    with torch.no_grad():
        for batch in (2, 5):
            x = torch.randn(batch, 2, 12, 12)
            torch.testing.assert_close(program.module()(x), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_training_has_the_gradients_of_eager(name: str) -> None:
    torch.compiler.reset()
    network, x = built(name).double().train(), torch.randn(3, 2, 12, 12, dtype=torch.float64)
    gradients = []
    for call in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        network.zero_grad()
        call(x).square().sum().backward()
        gradients.append({key: p.grad.clone() for key, p in network.named_parameters()})
    for key, eager in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], eager, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast_in_training_and_evaluation(name: str) -> None:
    network, x = built(name), torch.randn(3, 2, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.dtype == torch.float32 or name in ("blurred", "group")
    y.float().square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        plain = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            low = network(x).float()
        assert torch.equal(network(x), plain)  # nothing of lower precision was kept
    assert (low - plain).abs().max() < 0.1 * plain.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_built_on_meta_and_filled(name: str) -> None:
    with torch.device("meta"):
        network = built(name)
        assert network(torch.randn(2, 2, 12, 12)).is_meta
    full, x = built(name).eval(), torch.randn(2, 2, 12, 12)
    network.to_empty(device="cpu").load_state_dict(full.state_dict())
    assert torch.equal(network.eval()(x), full(x))
