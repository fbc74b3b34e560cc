"""The networks of the G-CNN paper: sizes, weights, symmetry under every element, folding, a step of training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import FiniteGroup, cyclic, dihedral
from armillary.models import AllCNNC, GroupCNN, GroupResNet, RotationPoolingCNN, equal_width
from armillary.nn import GroupConv, LiftConv, PlaneGlobalPool, fold
from armillary.spaces import act_on_feature_map, act_on_image

Z2, P4, P4M = cyclic(1), cyclic(4), dihedral(4)


def filters(network: nn.Module) -> int:
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, LiftConv | GroupConv))


def everything(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def trained(network: nn.Module) -> nn.Module:
    """In float64, with statistics of data, in evaluation."""
    network = network.double().train()
    for m in network.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 1.0  # the statistics of the one batch below
    first = next(m for m in network.modules() if isinstance(m, LiftConv))
    size = 28 if first.in_channels == 1 else 16
    with torch.no_grad():
        network(torch.randn(8, first.in_channels, size, size, dtype=torch.float64))
    return network.eval()


def test_weights_are_those_of_the_paper() -> None:
    assert filters(GroupCNN(P4, 10)) == 24_490
    assert filters(GroupCNN(Z2, 20)) == 21_380
    assert filters(RotationPoolingCNN(P4, 20)) == 21_380
    counts = [everything(AllCNNC(group, equal_width(96, group))) for group in (Z2, P4, P4M)]
    assert [round(n / 1e6, 2) for n in counts] == [1.37, 1.37, 1.38]
    assert round(everything(AllCNNC(P4M, 32)) / 1e6, 2) == 1.22  # the width that the paper's count tells
    widths = {group.name: [equal_width(w, group) for w in (32, 64, 128)] for group in (Z2, P4M)}
    assert widths["D_4"] == [11, 23, 45]
    resnets = [GroupResNet(group, widths[group.name]) for group in (Z2, P4M)]
    assert [round(everything(net) / 1e6, 2) for net in resnets] == [2.64, 2.62]
    for net in resnets:
        branches = sum(
            isinstance(m, LiftConv) or (isinstance(m, GroupConv) and m.kernel_size > 1) for m in net.modules()
        )
        assert branches + 1 == 44  # and the linear map


torch.manual_seed(0)
NETWORKS = [
    GroupCNN(P4, 3),
    GroupCNN(P4M, 2),
    RotationPoolingCNN(P4, 4),
    RotationPoolingCNN(P4M, 3),
    AllCNNC(P4, 4),
    AllCNNC(P4M, 3),
    GroupResNet(P4, (2, 3, 4), 14),
    GroupResNet(P4M, (2, 3, 4), 44),
]


def group_of(network: nn.Module) -> FiniteGroup:
    return next(m.group for m in network.modules() if isinstance(m, LiftConv))


def label(network: nn.Module) -> str:
    return f"{type(network).__name__}-{group_of(network).name}"


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_networks_are_invariant_under_every_element(network) -> None:
    torch.manual_seed(0)
    network, group = trained(network), group_of(network)
    small = isinstance(network, GroupCNN | RotationPoolingCNN)
    for size in (28, 30) if small else (16, 20):
        x = torch.randn(2, 1 if small else 3, size, size, dtype=torch.float64)
        with torch.no_grad():
            y = network(x)
            assert y.shape == (2, 10)
            assert y.std(1).min() > 1e-3
            for g in range(group.order):
                turned = network(act_on_image(group, g, x))
                assert (turned - y).abs().max() <= 1e-11 * y.abs().max()
            assert (network(x.roll(3, -1)) - y).abs().max() > 1e-6 * y.abs().max()


@pytest.mark.parametrize("network", [m for m in NETWORKS if not isinstance(m, RotationPoolingCNN)], ids=label)
def test_maps_inside_turn_with_the_image(network) -> None:
    """Before the pooling over the group everything is a feature map that is turned."""
    torch.manual_seed(0)
    network, group = trained(network), group_of(network)
    body = nn.Sequential(*[m for m in network if not isinstance(m, PlaneGlobalPool | nn.Linear)])
    small = isinstance(network, GroupCNN)
    x = torch.randn(1, 1 if small else 3, 30 if small else 16, 30 if small else 16, dtype=torch.float64)
    with torch.no_grad():
        y = body(x)
        assert y.shape[-1] > 1
        for g in range(group.order):
            want = act_on_feature_map(group, g, y)
            assert (body(act_on_image(group, g, x)) - want).abs().max() <= 1e-11 * y.abs().max()


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_networks_fold_and_export(network) -> None:
    network = trained(network)
    small = isinstance(network, GroupCNN | RotationPoolingCNN)
    x = torch.randn(2, 1, 28, 28) if small else torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        double = fold(network, x.double())
        torch.testing.assert_close(double(x.double()), network(x.double()), rtol=1e-12, atol=1e-12)
        single = fold(network.float(), x)
        torch.testing.assert_close(single(x), network(x), rtol=1e-5, atol=1e-5)
        assert not any(type(m).__module__.startswith("armillary") for m in single.modules())
        program = torch.export.export(single, (x,))
        torch.testing.assert_close(program.module()(x), single(x), rtol=1e-5, atol=1e-5)


def test_a_network_trains_and_compiles() -> None:
    torch.manual_seed(0)
    torch.compiler.reset()
    network = GroupCNN(P4, 3, dropout=0.0)
    x, labels = torch.randn(8, 1, 28, 28), torch.arange(8)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    network.eval()
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(x)
        torch.testing.assert_close(compiled, network(x))
        exported = torch.export.export(network, (x,)).module()
        torch.testing.assert_close(exported(x), network(x))


def test_errors() -> None:
    with pytest.raises(ValueError, match="wanted depth = 6n"):
        GroupResNet(P4, (2, 3, 4), 43)
    with pytest.raises(ValueError, match="3 widths"):
        GroupResNet(P4, (2, 3), 44)
    with pytest.raises(ValueError, match="is not centred"):
        GroupCNN(P4, 2)(torch.zeros(1, 1, 29, 29))
    with pytest.raises(ValueError, match="is not centred"):
        GroupResNet(P4, (2, 3, 4), 8)(torch.zeros(1, 3, 30, 30))
    with pytest.raises(ValueError, match="fewer than the kernel"):
        GroupCNN(P4, 2)(torch.zeros(1, 1, 20, 20))
