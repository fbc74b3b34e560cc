"""Folded networks: the same outputs, stock modules alone, and export."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Subgroup, cyclic, dihedral
from armillary.nn import GroupBatchNorm, GroupConv, GroupPool, LiftConv, PlaneGlobalPool, PlanePool, fold
from armillary.spaces import act_on_image


def trained(network: nn.Module) -> nn.Module:
    """With parameters and statistics that no layer starts from."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


class Block(nn.Module):
    """A residual block: a forward of its own."""

    def __init__(self, group, channels: int) -> None:
        super().__init__()
        self.conv = GroupConv(channels, channels, group, 3, padding=1, bias=False)
        self.norm = GroupBatchNorm(channels, group)
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.scale * self.norm(self.conv(x)))


def network(group) -> nn.Module:
    return nn.Sequential(
        LiftConv(2, 4, group, 3, padding=1),
        GroupBatchNorm(4, group),
        nn.ReLU(),
        PlanePool(group, 2, reduction="mean"),
        nn.Sequential(Block(group, 4), nn.Dropout(0.3)),
        GroupConv(4, 6, group, 3, padding=1, padding_mode="circular", groups=2),
        PlanePool(group, 2),
        PlaneGlobalPool(group, "mean"),
        nn.Linear(6, 3),
    )


def foreign(folded: nn.Module) -> list[str]:
    """Modules whose code is not torch's."""
    return [
        name
        for name, module in folded.named_modules()
        if not type(module).__module__.startswith("torch.") and not isinstance(module, torch.fx.GraphModule)
    ]


GROUPS = [cyclic(1), cyclic(4), dihedral(4), cyclic(8)]


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_the_folded_network_gives_the_same_and_is_stock(group) -> None:
    net = trained(network(group))
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    folded = fold(net, x)
    assert foreign(folded) == []
    assert "armillary" not in "".join(type(m).__module__ for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)
        double = fold(net.double(), x.double())
        torch.testing.assert_close(double(x.double()), net(x.double()), rtol=1e-12, atol=1e-12)
    assert not any(m.training for m in folded.modules())
    assert type(net[0]) is LiftConv  # the original is left alone


@pytest.mark.parametrize("reduction", ["max", "mean"])
@pytest.mark.parametrize("generators", [None, [2], [1], [4], [5], [2, 4], []], ids=str)
def test_group_and_coset_pooling_fold(reduction, generators) -> None:
    group = dihedral(4)
    H = None if generators is None else Subgroup(group, generators)
    pool = GroupPool(group, reduction, H)
    x = torch.randn(2, 3, 8, 4, 5, dtype=torch.float64)
    folded = fold(pool, x)
    want = pool(x).flatten(1, -3)
    torch.testing.assert_close(folded(x.flatten(1, 2)), want, rtol=0, atol=1e-15)
    assert foreign(folded) == []


@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_global_pooling_folds(reduction) -> None:
    x = torch.randn(2, 3, 4, 4, 5, dtype=torch.float64)
    pool = PlaneGlobalPool(cyclic(4), reduction)
    torch.testing.assert_close(fold(pool, x)(x.flatten(1, 2)), pool(x), rtol=0, atol=1e-15)


def test_the_folded_network_exports_and_keeps_the_symmetry() -> None:
    group = dihedral(4)
    x = torch.randn(2, 2, 8, 8)
    folded = fold(trained(network(group)), x)
    program = torch.export.export(folded, (x,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), folded(x), rtol=1e-6, atol=1e-6)
        for g in range(8):
            torch.testing.assert_close(folded(act_on_image(group, g, x)), folded(x), rtol=1e-4, atol=1e-4)
    assert not any("armillary" in str(node.target) for node in program.graph.nodes)


def test_maps_that_leave_have_the_group_axis_in_the_channels() -> None:
    x = torch.randn(2, 1, 5, 5)
    lift = LiftConv(1, 3, cyclic(4))
    torch.testing.assert_close(fold(lift, x)(x), lift(x).flatten(1, 2), rtol=1e-6, atol=1e-6)


class OverGroup(nn.Module):
    """A step of its own on the group axis, which means another axis once that is folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = LiftConv(1, 2, cyclic(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean(2)


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_what_is_shared_stays_and_stays_shared() -> None:
    group, relu = cyclic(4), nn.ReLU()
    conv = GroupConv(2, 2, group, 3, padding=1)
    net = trained(nn.Sequential(LiftConv(1, 2, group), relu, conv, relu, conv, relu, PlaneGlobalPool(group)))
    x = torch.randn(2, 1, 6, 6)
    folded = fold(net, x)
    assert len(folded) == 7
    assert folded[1] is folded[3] is folded[5]
    assert folded[2] is folded[4]
    torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)


class Dotted(nn.Module):
    """A parameter and a buffer of a child, read in the forward of the parent."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.inner = LiftConv(1, 2, cyclic(4)), nn.Module()
        self.inner.gain = nn.Parameter(torch.tensor(0.3))
        self.inner.register_buffer("shift", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.gain * self.conv(x) + self.inner.shift


def test_parameters_of_children_are_found() -> None:
    net, x = Dotted(), torch.randn(2, 1, 5, 5)
    torch.testing.assert_close(fold(net, x)(x), net(x).flatten(1, 2), rtol=1e-5, atol=1e-5)


def test_wrappers_of_torch() -> None:
    """What is traced is folded through; what cannot be looked through is an error, not a layer of ours inside."""
    x, inner = torch.randn(2, 1, 5, 5), nn.Sequential(LiftConv(1, 2, cyclic(4)), nn.ReLU())
    tracer = type("Leaves", (torch.fx.Tracer,), {"is_leaf_module": lambda *_: True})
    graph = torch.fx.GraphModule(inner, tracer().trace(inner))
    folded = fold(graph, x)
    assert foreign(folded) == []
    torch.testing.assert_close(folded(x), inner(x).flatten(1, 2), rtol=1e-5, atol=1e-5)
    for wrapper in (torch.optim.swa_utils.AveragedModel(inner), nn.DataParallel(inner)):
        with pytest.raises(ValueError, match=f"{type(wrapper).__name__}. wraps layers that have to be folded"):
            fold(wrapper, x)
        with pytest.raises(ValueError, match=r"Sequential\.0 .* wraps layers"):
            fold(nn.Sequential(wrapper), x)


def test_half_precision_is_judged_by_its_own_rounding() -> None:
    net, x = trained(network(cyclic(4))), torch.randn(3, 2, 8, 8)
    for dtype in (torch.bfloat16, torch.float16):
        low = fold(net.to(dtype), x.to(dtype))
        assert low(x.to(dtype)).dtype == dtype


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Branch(nn.Module):
    """Decides by a shape, which cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = LiftConv(1, 2, cyclic(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.shape[0] > 1 else x


def test_what_cannot_be_folded_is_an_error() -> None:
    x = torch.randn(1, 1, 5, 5)
    with pytest.raises(ValueError, match="acts on the group axis by itself"):
        fold(OverGroup(), x)
    with pytest.raises(ValueError, match=r"Sequential\.0 \(Own\) has no stock counterpart"):
        fold(nn.Sequential(Own()), x)
    with pytest.raises(ValueError, match="gives a tuple, fold wants a network whose output is one tensor"):
        fold(Pair(), x)
    with pytest.raises(ValueError, match=r"forward of Sequential\.0 \(Branch\) cannot be traced.*ImageInput"):
        fold(nn.Sequential(Branch()), torch.randn(2, 1, 5, 5))
    with pytest.raises(ValueError, match="does not run on x"):
        fold(nn.Sequential(LiftConv(1, 2, cyclic(4)), nn.Flatten(3), nn.Linear(9, 2)), x)
