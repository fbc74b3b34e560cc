"""Planar networks run in ONNX Runtime, with batches of any size, and give there what they give here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from armillary.groups import Subgroup, cyclic, dihedral
from armillary.models import GroupCNN, GroupResNet, HarmonicClassifier, WarpedPose
from armillary.nn import GroupPool, LiftConv, fold
from armillary.spaces import ImageGrid, LogPolar

pytest.importorskip("onnx", reason="needs the extra [onnx]")
pytest.importorskip("onnxscript", reason="needs the extra [onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")


def compare(network: nn.Module, network_out: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write ``network_out`` to a file that takes batches of any size, and run it beside ``network``."""
    x = torch.randn(2, *shape)
    program = torch.onnx.export(
        network_out, (x,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False
    )
    program.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert not isinstance(entry.shape[0], int)
    for batch in (1, 2, 5):
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            wanted = network(x)
        (got,) = session.run(None, {entry.name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), wanted.reshape(got.shape), rtol=1e-5, atol=1e-5)


def disturbed(network: nn.Module) -> nn.Module:
    """With parameters and statistics that no layer starts from."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
    return network.eval()


D4 = dihedral(4)
FOLDED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "P4CNN": (lambda: GroupCNN(cyclic(4), 10), (1, 28, 28)),
    "p4m ResNet": (lambda: GroupResNet(D4, (2, 3, 4), depth=8), (3, 32, 32)),
    "pooling over reordered cosets": (
        lambda: nn.Sequential(LiftConv(1, 3, D4), GroupPool(D4, "mean", Subgroup(D4, [4]))),
        (1, 9, 9),
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded_networks(name: str, tmp_path: Path) -> None:
    make, shape = FOLDED[name]
    torch.manual_seed(0)
    network = disturbed(make())
    compare(network, fold(network, torch.randn(2, *shape)), shape, tmp_path / "network.onnx")


OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "harmonic": (lambda: HarmonicClassifier(1, 4, ImageGrid(12, 12), (3,)), (1, 12, 12)),
    "warped": (lambda: WarpedPose(1, ImageGrid(20, 20), LogPolar(16, 8, 1.0, 9.0), (4, 6)), (1, 20, 20)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_networks_that_need_no_folding(name: str, tmp_path: Path) -> None:
    """Their maps have no group axis: they are written as they are."""
    make, shape = OTHERS[name]
    torch.manual_seed(0)
    network = disturbed(make())
    compare(network, network, shape, tmp_path / "network.onnx")
