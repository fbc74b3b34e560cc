"""Group convolution: against the sum over the group, under every element, and the contract of every layer."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from armillary.groups import FiniteGroup, Subgroup, cyclic, dihedral, symmetric, trivial_subgroup, whole_group
from armillary.nn import (
    GroupBatchNorm,
    GroupConv,
    GroupPool,
    HarmonicFilters,
    LiftConv,
    PixelFilters,
    PlaneGlobalPool,
    PlanePool,
)
from armillary.spaces import act_on_feature_map, act_on_image, pixel_elements
from armillary.testing import GroupAction, check_layer, commutation_error

GROUPS = [cyclic(1), cyclic(2), cyclic(4), dihedral(1), dihedral(2), dihedral(4)]
by_name = pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_layer(layer: nn.Module) -> nn.Module:
    with torch.no_grad():
        for i, p in enumerate(layer.parameters()):
            p.copy_(randn(*p.shape, seed=10 + i))
    return layer.double().eval()


def filter_at(weight: torch.Tensor, offset: np.ndarray, k: int) -> torch.Tensor | None:
    """ψ at an offset (x, y), y upward, from a filter (..., k, k) whose row 0 is the top; None outside the window."""
    column, row = offset[0] + (k - 1) / 2, (k - 1) / 2 - offset[1]
    u, v = round(row), round(column)
    assert abs(u - row) + abs(v - column) < 1e-9
    return weight[..., u, v] if 0 <= u < k and 0 <= v < k else None


def sum_over_the_group(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, group: FiniteGroup, k: int
) -> torch.Tensor:
    """``Σ_i Σ_{h = (q, s')} f_i(h) ψ_i(g⁻¹h)`` at every g = (t, s) for which the window lies inside the image."""
    lift = x.ndim == 4
    weight = weight if lift else weight.unflatten(1, (-1, group.order))
    rows, columns = x.shape[-2:]
    y = torch.zeros(len(x), len(weight), group.order, rows - k + 1, columns - k + 1, dtype=x.dtype)
    matrices = group.matrices
    for s in range(group.order):
        inverse = int(group.inverses[s])
        for a in range(rows - k + 1):
            for b in range(columns - k + 1):
                t = np.array([b + (k - 1) / 2, -(a + (k - 1) / 2)])
                for c in range(rows):
                    for d in range(columns):
                        offset = matrices[inverse] @ (np.array([d, -c]) - t)
                        if (abs(offset) > k / 2).any():
                            continue
                        for s_in in range(1 if lift else group.order):
                            psi = weight if lift else weight[:, :, group.table[inverse, s_in]]
                            value = filter_at(psi, offset, k)
                            f = x[:, :, c, d] if lift else x[:, :, s_in, c, d]
                            y[:, :, s, a, b] += torch.einsum("bi,oi->bo", f, value)
    return y + bias[:, None, None, None]


@by_name
@pytest.mark.parametrize("k", [1, 2, 3])
def test_lifting_is_the_sum_over_the_plane(group, k) -> None:
    layer = random_layer(LiftConv(2, 3, group, k))
    x = randn(2, 2, 5, 4)
    torch.testing.assert_close(layer(x), sum_over_the_group(x, layer.weight, layer.bias, group, k), rtol=0, atol=1e-12)


@by_name
@pytest.mark.parametrize("k", [1, 2, 3])
def test_group_convolution_is_the_sum_over_the_group(group, k) -> None:
    layer = random_layer(GroupConv(2, 3, group, k))
    x = randn(1, 2, group.order, 4, 5)
    torch.testing.assert_close(layer(x), sum_over_the_group(x, layer.weight, layer.bias, group, k), rtol=0, atol=1e-12)


def test_zero_padding_stride_and_channel_groups_are_those_of_the_sum() -> None:
    group = dihedral(4)
    layer = random_layer(GroupConv(4, 6, group, 3, stride=2, padding=1, groups=2))
    x = randn(1, 4, 8, 5, 5)
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    halves = [
        sum_over_the_group(
            padded[:, 2 * h : 2 * h + 2], layer.weight[3 * h : 3 * h + 3], layer.bias[3 * h :][:3], group, 3
        )
        for h in (0, 1)
    ]
    torch.testing.assert_close(layer(x), torch.cat(halves, 1)[..., ::2, ::2], rtol=0, atol=1e-12)


def test_circular_padding_is_a_convolution_on_the_torus() -> None:
    group = cyclic(4)
    layer = random_layer(GroupConv(2, 3, group, 3, padding=1, padding_mode="circular"))
    x = randn(1, 2, 4, 6, 5)
    padded = torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2)
    padded = torch.cat([padded[..., -1:], padded, padded[..., :1]], -1)
    want = sum_over_the_group(padded, layer.weight, layer.bias, group, 3)
    torch.testing.assert_close(layer(x), want, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x.roll((2, -1), (-2, -1))), layer(x).roll((2, -1), (-2, -1)), rtol=0, atol=1e-12)


def test_with_the_trivial_group_it_is_conv2d() -> None:
    layer = random_layer(LiftConv(2, 3, cyclic(1), 3, padding=1, stride=2))
    x = randn(2, 2, 8, 7)  # 8 rows with stride 2: no symmetry to break
    want = nn.functional.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x).squeeze(2), want, rtol=0, atol=1e-12)


def error_over_all(layer: nn.Module, group: FiniteGroup, x: torch.Tensor, H: Subgroup | None = None) -> float:
    """The largest error over every element of the group, relative to the largest output."""

    def act(g: int, x: torch.Tensor, H: Subgroup | None = None) -> torch.Tensor:
        if x.ndim == 2:
            return x
        return act_on_image(group, g, x) if x.ndim == 4 else act_on_feature_map(group, g, x, H)

    with torch.no_grad():
        y = layer(x)
        errors = [(layer(act(g, x)) - act(g, y, H)).abs().max() for g in range(group.order)]
    return float(max(errors) / y.abs().max())


SAMPLING = [  # kernel, stride, padding, height, width
    (3, 1, 1, 7, 7),
    (3, 1, 0, 8, 6),
    (3, 2, 1, 9, 7),
    (4, 1, 1, 7, 8),
    (4, 2, 1, 8, 6),
    (2, 2, 0, 8, 8),
    (2, 1, 0, 5, 6),
    (5, 3, 2, 7, 10),
    (1, 2, 0, 5, 9),
]


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4), dihedral(2)], ids=lambda g: g.name)
@pytest.mark.parametrize(("k", "stride", "padding", "height", "width"), SAMPLING)
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_every_element_commutes(group, k, stride, padding, height, width, mode) -> None:
    options = {"stride": stride, "padding": padding, "padding_mode": mode}
    lift = random_layer(LiftConv(2, 3, group, k, **options))
    assert error_over_all(lift, group, randn(2, 2, height, width)) < 1e-12
    conv = random_layer(GroupConv(2, 3, group, k, **options))
    assert error_over_all(conv, group, randn(2, 2, group.order, height, width)) < 1e-12


@by_name
def test_the_other_layers_commute(group) -> None:
    x = randn(3, 2, group.order, 6, 8)
    norm = random_layer(GroupBatchNorm(2, group))
    for layer in (norm, *(PlanePool(group, 2, reduction=r) for r in ("max", "mean")), PlanePool(group, 3, 1)):
        assert error_over_all(layer, group, x) < 1e-12
    norm.train()
    assert error_over_all(norm, group, x) < 1e-12
    for reduction in ("max", "mean"):
        assert error_over_all(PlaneGlobalPool(group, reduction), group, x) < 1e-12
        pool = GroupPool(group, reduction)
        for g in range(group.order):
            want = act_on_image(group, g, pool(x))
            torch.testing.assert_close(pool(act_on_feature_map(group, g, x)), want, rtol=0, atol=1e-12)


SUBGROUPS = [
    Subgroup(cyclic(4), [2]),
    Subgroup(dihedral(4), [1]),
    Subgroup(dihedral(4), [2]),
    Subgroup(dihedral(4), [4]),
    Subgroup(dihedral(4), [5]),  # not normal
    Subgroup(dihedral(4), [2, 4]),
    whole_group(cyclic(4)),
    trivial_subgroup(dihedral(2)),
]


@pytest.mark.parametrize("H", SUBGROUPS, ids=lambda H: f"{H.group.name}-{H.elements.tolist()}")
@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_coset_pooling(H, reduction) -> None:
    x = randn(2, 3, H.group.order, 5, 4)
    y = GroupPool(H.group, reduction, H)(x)
    assert y.shape == (2, 3, H.index, 5, 4)
    for s in range(H.group.order):
        coset = x[:, :, H.group.table[s, H.elements].tolist()]
        want = coset.amax(2) if reduction == "max" else coset.mean(2)
        torch.testing.assert_close(y[:, :, H.left_coset_of[s]], want, rtol=0, atol=1e-15)
    assert error_over_all(GroupPool(H.group, reduction, H), H.group, x, H) < 1e-12


def test_batch_norm_has_one_set_of_statistics_for_each_field() -> None:
    norm = GroupBatchNorm(3, dihedral(2)).double()
    x = 2 * randn(4, 3, 4, 5, 6) + 1
    y = norm(x)
    want = (x - x.mean((0, 2, 3, 4), keepdim=True)) / (x.var((0, 2, 3, 4), unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(y, want, rtol=0, atol=1e-12)
    assert norm.norm.running_mean.shape == (3,)


def image_symmetry(group: FiniteGroup, *shape: int, **options) -> GroupAction:
    return GroupAction(
        shape,
        range(group.order),
        lambda g, x: act_on_image(group, g, x),
        lambda g, y: act_on_feature_map(group, g, y),
        **options,
    )


def map_symmetry(group: FiniteGroup, *shape: int, invariant: bool = False, **options) -> GroupAction:
    act = lambda g, x: act_on_feature_map(group, g, x)  # noqa: E731
    return GroupAction(shape, range(group.order), act, None if invariant else act, **options)


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=lambda g: g.name)
def test_the_contract_of_the_layers(group) -> None:
    torch.compiler.reset()  # compiled code of one forward is kept for 8 layers
    n, fields = group.order, ("wrong channels",)
    check_layer(LiftConv(2, 3, group, 3, padding=1), image_symmetry(group, 2, 6, 5, refuses=fields), tolerance=1e-12)
    check_layer(LiftConv(2, 3, group, 3, padding=1, stride=2), image_symmetry(group, 2, 7, 5), tolerance=1e-12)
    check_layer(GroupConv(2, 4, group, 3, groups=2), map_symmetry(group, 2, n, 6, 5, refuses=fields), tolerance=1e-12)
    check_layer(GroupConv(2, 3, group, 4, padding=1, stride=2), map_symmetry(group, 2, n, 6, 4), tolerance=1e-12)
    check_layer(GroupBatchNorm(2, group), map_symmetry(group, 2, n, 5, 4, refuses=fields), tolerance=1e-12)
    grid = ("wrong grid",)
    check_layer(PlanePool(group, 2), map_symmetry(group, 2, n, 6, 4, refuses=grid), tolerance=1e-12)
    coset = GroupPool(group, "max", trivial_subgroup(group))
    check_layer(coset, map_symmetry(group, 2, n, 5, 5, refuses=()), tolerance=1e-12)
    invariant = map_symmetry(group, 2, n, 5, 5, invariant=True, refuses=())
    check_layer(PlaneGlobalPool(group, "mean"), invariant, tolerance=1e-12)


def test_the_expanded_weight_is_kept_in_evaluation_until_the_weight_changes() -> None:
    layer = GroupConv(2, 2, cyclic(4), 3)
    x = randn(1, 2, 4, 5, 5).float()
    assert layer.expanded_weight() is not layer.expanded_weight()  # training
    layer.eval()
    assert layer.expanded_weight().requires_grad  # evaluation with gradients
    with torch.no_grad():
        first = layer.expanded_weight()
        assert layer.expanded_weight() is first
        layer.weight.mul_(2)
        torch.testing.assert_close(layer.expanded_weight(), 2 * first)
        layer.weight = nn.Parameter(torch.zeros_like(layer.weight))
        assert layer.expanded_weight().abs().sum() == 0
        layer.load_state_dict({name: torch.ones_like(value) for name, value in layer.state_dict().items()})
        assert (layer.expanded_weight() == 1).all()
        kept = layer.expanded_weight()
        twin = copy.deepcopy(layer)
        twin.weight.mul_(3)
        assert (twin.expanded_weight() == 3).all()
        assert layer.expanded_weight() is kept
        layer.train().eval()
        assert layer.expanded_weight() is not kept
        assert layer.double()(x.double()).dtype == torch.float64
    with torch.inference_mode():
        assert layer(x.double()).shape == (1, 2, 4, 3, 3)
    assert "_kept" not in "".join(layer.state_dict())


def test_a_frozen_layer_lets_gradients_through_after_inference_mode() -> None:
    layer = LiftConv(1, 2, cyclic(4)).eval().requires_grad_(False)
    x = randn(1, 1, 5, 5).float().requires_grad_()
    with torch.inference_mode():
        layer(x)
    layer(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_kept_weight_is_what_gradients_see() -> None:
    """Evaluation before and after one step of training, with and without gradients, agree."""
    layer = LiftConv(1, 2, dihedral(4), 3).eval()
    x = randn(1, 1, 5, 5).float()
    with torch.no_grad():
        layer(x)
    layer(x).square().sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    with torch.no_grad():
        kept = layer(x)
    assert torch.equal(kept, layer(x).detach())


# Other orders: filters that are sampled at turned pixels.


def test_harmonic_filters_turn_exactly_with_the_pixels() -> None:
    for group in (cyclic(8), dihedral(6), dihedral(4)):
        for k in (2, 3, 5):
            filters = HarmonicFilters()
            lift = random_layer(LiftConv(2, 2, group, k, padding=1, filters=filters))
            conv = random_layer(GroupConv(2, 2, group, k, filters=filters))
            x, f = randn(1, 2, 6, 7), randn(1, 2, group.order, 6, 7)
            for g in pixel_elements(group):
                want = act_on_feature_map(group, g, lift(x))
                torch.testing.assert_close(lift(act_on_image(group, g, x)), want, rtol=0, atol=1e-11)
                want = act_on_feature_map(group, g, conv(f))
                torch.testing.assert_close(conv(act_on_feature_map(group, g, f)), want, rtol=0, atol=1e-11)


def test_harmonic_filters_are_the_turned_function() -> None:
    """The expanded weight of element s is ψ(s⁻¹ d), each function evaluated by itself as Gaussians on a ring."""
    group, k = cyclic(8), 5
    filters = HarmonicFilters(rings=3, max_frequency=2)
    layer = random_layer(LiftConv(1, 1, group, k, filters=filters))
    alpha = 2 * np.pi * np.arange(256) / 256

    def psi(points: np.ndarray, radius: float, m: int, odd: bool) -> np.ndarray:
        taps = radius * np.stack([np.cos(alpha), np.sin(alpha)], -1)
        amplitude = np.sin(m * alpha) if odd else np.cos(m * alpha)
        gauss = np.exp(-((points[..., None, :] - taps) ** 2).sum(-1) / (2 * filters.width**2))
        window = np.clip(1 - (points**2).sum(-1) / 9, 0, None) ** 3
        return window * (gauss * amplitude).mean(-1)

    along = np.arange(k) - 2.0
    offsets = np.stack(np.meshgrid(along, -along), -1)
    for s in range(8):
        want = np.zeros((k, k))
        for w, function in zip(layer.weight[0, 0].tolist(), filters.functions(k), strict=True):
            norm = np.sqrt((psi(offsets, *function) ** 2).sum())
            want += w * psi(offsets @ group.matrices[s], *function) / norm
        np.testing.assert_allclose(layer.expanded_weight()[s, 0].detach().numpy(), want, atol=1e-10)


def eighth_turn_error(k: int, filters: HarmonicFilters) -> float:
    """The error of C_8 under an eighth turn: a lifting and a group convolution on sums of waves, which turn exactly.

    Waves of length at least 8·(k/3) pixels, so that the same picture is sampled more finely as k grows; the outputs
    are compared at the centre of the image, where no interpolation is needed.
    """
    group, size = cyclic(8), 2 * k - 1
    net = nn.Sequential(
        random_layer(LiftConv(1, 2, group, k, filters=filters)),
        random_layer(GroupConv(2, 2, group, k, filters=filters)),
    )
    along = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = torch.meshgrid(along, -along, indexing="xy")
    generator = torch.Generator().manual_seed(1)
    angle = 2 * np.pi * torch.rand(64, generator=generator, dtype=torch.float64)
    wave = 2 * np.pi / 8 * (3 / k) * torch.rand(64, generator=generator, dtype=torch.float64).sqrt()
    phase = 2 * np.pi * torch.rand(64, generator=generator, dtype=torch.float64)

    def image(turn: float) -> torch.Tensor:
        a = (angle + turn)[:, None, None]
        return torch.cos(wave[:, None, None] * (torch.cos(a) * x + torch.sin(a) * y) + phase[:, None, None])[:, None]

    with torch.no_grad():
        y0, y1 = net(image(0)), net(image(np.pi / 4))
    assert y0.shape[-2:] == (1, 1)
    want = y0[:, :, group.table[group.inverses[1]].tolist()]
    return float((y1 - want).norm() / want.norm())


def test_the_error_of_eighth_turns_falls_with_the_kernel_size() -> None:
    """The same filter of three rings, sampled on more and more pixels."""
    errors = [eighth_turn_error(k, HarmonicFilters(rings=3, max_frequency=2)) for k in (3, 5, 7, 9, 13)]
    assert all(later < earlier / 2 for earlier, later in pairwise(errors))
    assert errors[-1] < 1e-3


def test_the_contract_of_approximate_layers() -> None:
    torch.compiler.reset()
    group = cyclic(8)
    symmetry = GroupAction(
        (2, 6, 5),
        pixel_elements(group),
        lambda g, x: act_on_image(group, g, x),
        lambda g, y: act_on_feature_map(group, g, y),
        refuses=("wrong channels",),
    )
    layer = LiftConv(2, 3, group, 3, padding=1)
    check_layer(layer, symmetry, tolerance=1e-12)
    assert "approximate" in repr(layer)
    assert "approximate" not in repr(LiftConv(2, 3, cyclic(4)))
    assert commutation_error(layer, symmetry) < 1e-12


def test_errors() -> None:
    G = cyclic(4)
    with pytest.raises(ValueError, match="point group of the plane"):
        LiftConv(1, 1, symmetric(3))
    with pytest.raises(ValueError, match="take filters=HarmonicFilters"):
        LiftConv(1, 1, cyclic(8), filters=PixelFilters())
    with pytest.raises(ValueError, match="groups to divide both"):
        GroupConv(3, 4, G, groups=2)
    with pytest.raises(ValueError, match="kernel_size"):
        GroupConv(3, 4, G, 0)
    with pytest.raises(ValueError, match="padding_mode"):
        GroupConv(3, 4, G, padding_mode="reflect")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images go into a LiftConv"):
        GroupConv(2, 2, G)(torch.zeros(1, 2, 5, 5))
    with pytest.raises(ValueError, match=r"wants \(batch, 2, 4, height, width\)"):
        GroupConv(2, 2, G)(torch.zeros(1, 2, 8, 5, 5))
    with pytest.raises(ValueError, match=r"no multiple of 2.*take a kernel of size 4, or images of 7 or 9 rows"):
        LiftConv(2, 2, G, 3, stride=2, padding=1)(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match="circular padding"):
        LiftConv(1, 1, G, 3, padding=4, padding_mode="circular")(torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="is not centred"):
        PlanePool(G, 2)(torch.zeros(1, 2, 4, 7, 7))
    with pytest.raises(ValueError, match="kernel_size"):
        PlanePool(G, 0)
    with pytest.raises(ValueError, match="wanted 'max' or 'mean'"):
        GroupPool(G, "sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wanted one of"):
        GroupPool(G, "max", trivial_subgroup(dihedral(4)))
    for layer in (GroupPool(G), PlaneGlobalPool(G), PlanePool(G), GroupBatchNorm(2, G)):
        with pytest.raises(ValueError, match=r"wants \(batch, channels, 4"):
            layer(torch.zeros(1, 2, 3, 4, 4))
    with pytest.raises(ValueError, match="was built for 2"):
        GroupBatchNorm(2, G)(torch.zeros(1, 3, 4, 4, 4))
    with pytest.raises(ValueError, match="rings = 0, wanted an integer >= 1"):
        HarmonicFilters(rings=0)
