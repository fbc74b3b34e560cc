"""Kept kernels of both kinds of convolution: kept where nothing has changed, and never where they would be stale."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Orders, cyclic
from armillary.nn import GroupConv, HarmonicConv, HarmonicFilters, LiftConv
from armillary.spaces import ImageGrid

ORDERS = Orders.upto(1, 2)
LAYERS = {
    "harmonic": lambda: HarmonicConv(ORDERS, ORDERS, ImageGrid(6, 6)),
    "pixels": lambda: GroupConv(2, 3, cyclic(4)),
    "lift": lambda: LiftConv(2, 3, cyclic(4)),
    "rings": lambda: GroupConv(1, 2, cyclic(8), filters=HarmonicFilters(rings=2)),
}
pytestmark = pytest.mark.parametrize("kind", LAYERS)


def built(kind: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    shape = {"harmonic": (8, 6, 6), "pixels": (2, 4, 6, 6), "lift": (2, 6, 6), "rings": (1, 8, 6, 6)}[kind]
    return LAYERS[kind]().eval(), torch.randn(2, *shape)


def kernel(layer: nn.Module, x: Tensor) -> Tensor:
    return layer.kernel(x) if isinstance(layer, HarmonicConv) else layer.expanded_weight()


@torch.no_grad()
def is_fresh(layer: nn.Module, x: Tensor) -> bool:
    """As a copy gives it that has nothing kept."""
    return torch.equal(layer(x), copy.deepcopy(layer)(x))


def test_assigned_and_replaced_data_are_seen(kind: str) -> None:
    layer, x = built(kind)
    with torch.no_grad():
        layer(x)
        assert kernel(layer, x) is kernel(layer, x)
        for parameter in layer.parameters():
            parameter.data = torch.randn_like(parameter)
            assert is_fresh(layer, x)
        for parameter in layer.parameters():
            parameter.mul_(2)
            assert is_fresh(layer, x)


def test_frozen_parameters_are_expanded_once_where_gradients_are_on(kind: str) -> None:
    layer, x = built(kind)
    assert kernel(layer, x) is not kernel(layer, x)
    layer.requires_grad_(False)
    assert kernel(layer, x) is kernel(layer, x)
    x.requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad is not None
    layer.requires_grad_()
    assert kernel(layer, x).requires_grad


def test_what_inference_mode_made_serves_autograd(kind: str) -> None:
    layer, x = built(kind)
    layer.requires_grad_(False)
    with torch.inference_mode():
        layer(x)
        made = kernel(layer, x)
    assert kernel(layer, x) is made
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None


def test_autocast_before_and_after(kind: str) -> None:
    """The kernel is computed in float32 and rounded once; what was kept under autocast does no harm outside of it."""
    layer, x = built(kind)
    with torch.no_grad():
        plain = layer(x)
        fresh = copy.deepcopy(layer)
        with torch.autocast("cpu", torch.bfloat16):
            low = fresh(x)
            assert low.dtype == torch.bfloat16
            if not isinstance(fresh, HarmonicConv):
                assert torch.equal(fresh.expanded_weight(), layer.expanded_weight())
        assert torch.equal(fresh(x), plain)
        torch.testing.assert_close(low.float(), plain, rtol=0.03, atol=0.03)
    layer.train()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_half_precision_is_rounded_once(kind: str) -> None:
    layer, x = built(kind)
    low = copy.deepcopy(layer).bfloat16()
    with torch.no_grad():
        exact = kernel(low.float(), x)
        assert torch.equal(kernel(low.bfloat16(), x.bfloat16()), exact.bfloat16())


def test_copies_and_pickles_keep_nothing(kind: str) -> None:
    layer, x = built(kind)
    with torch.no_grad():
        made = kernel(layer, x)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert kernel(twin, x) is not made
            assert torch.equal(kernel(twin, x), made)
            next(twin.parameters()).zero_()
            assert is_fresh(twin, x)
        assert kernel(layer, x) is made


def test_two_losses_have_a_backward_pass_each_and_second_derivatives(kind: str) -> None:
    """Why a kernel with its graph is not shared between calls."""
    layer, x = built(kind)
    layer.train()
    one, two = layer(x).square().sum(), layer(2 * x).sum()
    one.backward()
    two.backward()
    parameters = list(layer.parameters())
    gradients = torch.autograd.grad(layer(x).square().sum(), parameters, create_graph=True)
    sum(g.square().sum() for g in gradients).backward()
    checkpointed = torch.utils.checkpoint.checkpoint(lambda x: layer(x) + layer(x.tanh()), x, use_reentrant=False)
    checkpointed.sum().backward()
