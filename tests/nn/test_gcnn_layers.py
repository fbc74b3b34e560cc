"""Group convolution as a citizen of torch: memory formats, devices, precision, dilation, restriction, whole numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from armillary.groups import Subgroup, cyclic, dihedral, trivial_subgroup
from armillary.models import GroupCNN
from armillary.nn import (
    GroupBatchNorm,
    GroupConv,
    GroupPool,
    GroupRestrict,
    HarmonicFilters,
    LiftConv,
    PixelFilters,
    PlanePool,
    fold,
)
from armillary.spaces import act_on_feature_map, act_on_image
from armillary.testing import GroupAction, check_layer

P4, P4M = cyclic(4), dihedral(4)


def test_channels_last() -> None:
    torch.manual_seed(0)
    network, x = GroupCNN(P4, 3).eval(), torch.randn(2, 1, 28, 28)
    wanted = network(x)
    network = network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last)), wanted)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_have_four_axes_the_element_fastest() -> None:
    assert GroupConv(4, 6, P4M, 3, groups=2).weight.shape == (6, 2 * 8, 3, 3)
    assert LiftConv(4, 6, P4M, 5).weight.shape == (6, 4, 5, 5)
    conv = GroupConv(2, 1, P4, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(8.0).view(1, 8, 1, 1))
    assert conv.expanded_weight()[0].flatten().tolist() == list(range(8))  # of the identity: field by field


@pytest.mark.parametrize("group", [P4, P4M, dihedral(2)], ids=lambda g: g.name)
@pytest.mark.parametrize(
    ("k", "dilation", "stride", "padding"), [(3, 2, 1, 2), (2, 3, 1, 0), (3, 2, 2, 1), (3, 3, 2, 3)]
)
def test_dilation(group, k: int, dilation: int, stride: int, padding: int) -> None:
    """The kernel with zeros between its taps, and symmetric as that one is."""
    torch.manual_seed(0)
    options = {"stride": stride, "padding": padding}
    extent = dilation * (k - 1) + 1
    size = 9 if extent % 2 else 10
    act = lambda g, y: act_on_feature_map(group, g, y)  # noqa: E731
    for kind, shape in ((LiftConv, (2, size, size)), (GroupConv, (2, group.order, size, size))):
        layer = kind(2, 3, group, k, dilation=dilation, **options).double()
        weight = layer.expanded_weight()
        spread = weight.new_zeros(*weight.shape[:2], extent, extent)
        spread[..., ::dilation, ::dilation] = weight
        x = torch.randn(2, *shape, dtype=torch.float64)
        wanted = F.conv2d(x.flatten(1, -3), spread, stride=stride, padding=padding)
        torch.testing.assert_close(layer(x).flatten(1, 2), wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(fold(layer, x)(x.flatten(1, -3)), wanted, rtol=0, atol=1e-12)
        act_in = (lambda g, x: act_on_image(group, g, x)) if kind is LiftConv else act
        symmetry = GroupAction(shape, range(group.order), act_in, act, ("wrong channels",))
        check_layer(layer, symmetry, tolerance=1e-12, compile=False)
    assert f"dilation={dilation}" in repr(layer)


def test_dilated_windows_that_are_not_centred_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel 5 with stride 2 and padding 0 on 8 rows is not centred"):
        LiftConv(1, 1, P4, 3, dilation=2, stride=2)(torch.zeros(1, 1, 8, 8))


SUBGROUPS = [
    Subgroup(P4M, [1]),
    Subgroup(P4M, [4]),
    Subgroup(P4M, [5]),  # not normal
    Subgroup(P4M, [2, 4]),
    Subgroup(P4, [2]),
    trivial_subgroup(P4M),
]


@pytest.mark.parametrize("H", SUBGROUPS, ids=lambda H: f"{H.group.name}-{H.elements.tolist()}")
def test_restriction_to_a_subgroup(H: Subgroup) -> None:
    group, small = H.group, H.as_group
    layer = GroupRestrict(group, H)
    x = torch.randn(2, 3, group.order, 5, 5, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (2, 3 * H.index, H.order, 5, 5)
    assert torch.equal(y.flatten(1).sort().values, x.flatten(1).sort().values)  # nothing is lost
    assert torch.equal(y[:, :: H.index], x[:, :, H.elements.tolist()])  # r_0 = 1
    symmetry = GroupAction(
        (3, group.order, 5, 5),
        range(H.order),
        lambda h, x: act_on_feature_map(group, int(H.elements[h]), x),
        lambda h, y: act_on_feature_map(small, h, y),
        (),
    )
    check_layer(layer, symmetry, tolerance=1e-15, compile=False)
    folded = fold(layer, x)
    assert torch.equal(folded(x.flatten(1, 2)), y.flatten(1, 2))
    after = nn.Sequential(layer, GroupConv(3 * H.index, 2, small, padding=1)).double()
    check_layer(after, symmetry, tolerance=1e-12, compile=False)


def test_restriction_compiles_and_refuses() -> None:
    torch.compiler.reset()
    layer, x = GroupRestrict(P4M, SUBGROUPS[0]), torch.randn(1, 2, 8, 3, 3)
    assert torch.equal(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    assert "D_4 → Subgroup(order=4 of D_4)" in repr(layer)
    with pytest.raises(ValueError, match="wanted one of"):
        GroupRestrict(P4, SUBGROUPS[0])
    with pytest.raises(ValueError, match=r"wants \(batch, channels, 8"):
        layer(x[:, :, :4])


@pytest.mark.parametrize("rings", [None, 1, 2, 4])
def test_a_window_of_one_pixel_has_one_function(rings: int | None) -> None:
    filters = HarmonicFilters(rings=rings)
    assert filters.functions(1) == [(0.0, 0, False)]
    layer = GroupConv(2, 2, cyclic(8), 1, filters=filters)
    assert torch.isfinite(layer(torch.randn(1, 2, 8, 3, 3))).all()
    with pytest.raises(ValueError, match=r"rings=40.*a ring reaches none of 2 × 2 pixels, take fewer rings"):
        LiftConv(1, 1, cyclic(8), 2, filters=HarmonicFilters(rings=40))


def test_repr_tells_what_is_exact() -> None:
    assert "exact: HarmonicFilters" in repr(LiftConv(1, 1, P4, filters=HarmonicFilters()))
    assert "kernel_size=3, exact\n" in repr(LiftConv(1, 1, P4, filters=PixelFilters()))
    assert "approximate: HarmonicFilters" in repr(LiftConv(1, 1, cyclic(8)))


def test_with_circular_padding_shifts_commute_where_the_size_is_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 8)
    for k, padding, dilation, commutes in ((3, 1, 1, True), (3, 2, 2, True), (3, 2, 1, False), (2, 1, 1, False)):
        layer = LiftConv(1, 2, P4, k, padding=padding, padding_mode="circular", dilation=dilation)
        y, shifted = layer(x), layer(x.roll(3, -1))
        assert torch.allclose(shifted, y.roll(3, -1), atol=1e-5) == commutes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LiftConv(1, 1, P4, (3, 3)), r"LiftConv: got kernel_size = \(3, 3\), wanted an integer >= 1"),
        (lambda: GroupConv(1, 1, P4, 3, padding="same"), "GroupConv: got padding = 'same', wanted an integer >= 0"),
        (lambda: GroupConv(1, 1, P4, 3.0), "kernel_size = 3.0"),
        (lambda: GroupConv(1, 1, P4, stride=True), "stride = True"),
        (lambda: LiftConv(1.0, 1, P4), "in_channels = 1.0"),
        (lambda: LiftConv(1, 1, P4, dilation=0), "dilation = 0"),
        (lambda: HarmonicFilters(rings=2.5), "rings = 2.5, wanted an integer"),
        (lambda: HarmonicFilters(max_frequency=1.0), "max_frequency = 1.0"),
        (lambda: HarmonicFilters(width=float("nan")), "width = nan"),
        (lambda: GroupBatchNorm(0, P4), "GroupBatchNorm: got channels = 0"),
        (lambda: PlanePool(P4, (2, 2)), r"PlanePool: got kernel_size = \(2, 2\)"),
        (lambda: PlanePool(P4, 2, 1.0), "stride = 1.0"),
    ],
)
def test_what_is_no_whole_number_is_an_error(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()


def meta_network() -> nn.Module:
    """Every kind of constant: index tables, sampled bases, orders of cosets."""
    H = Subgroup(P4M, [5])
    return nn.Sequential(
        LiftConv(1, 2, P4M, 3),
        GroupConv(2, 2, P4M, 3, filters=HarmonicFilters()),
        GroupBatchNorm(2, P4M),
        GroupRestrict(P4M, H),
        GroupPool(H.as_group, "max", trivial_subgroup(H.as_group)),
        GroupPool(H.as_group),
    )


def test_built_on_meta_and_filled() -> None:
    with torch.device("meta"):
        empty = meta_network()
        assert empty(torch.randn(2, 1, 9, 9)).shape == (2, 8, 5, 5)
    for network in (empty.to_empty(device="cpu"), meta_network().to("meta").to_empty(device="cpu")):
        built = meta_network()
        network.load_state_dict(built.state_dict())
        x = torch.randn(2, 1, 9, 9)
        torch.testing.assert_close(network.eval()(x), built.eval()(x))


def test_compiled_training_has_the_gradients_of_eager() -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    layers = [LiftConv(1, 2, P4, 3), GroupBatchNorm(2, P4), nn.ReLU(), GroupConv(2, 2, P4, 3), GroupPool(P4)]
    network, x = nn.Sequential(*layers).double().train(), torch.randn(2, 1, 7, 7, dtype=torch.float64)
    gradients = []
    for call in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        network.zero_grad()
        call(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for eager, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-10)


def test_autocast_in_training() -> None:
    torch.manual_seed(0)
    network, x = GroupCNN(P4, 3, dropout=0.0).train(), torch.randn(4, 1, 28, 28)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    y.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    torch.testing.assert_close(y.float(), network(x), rtol=0.1, atol=0.1)
