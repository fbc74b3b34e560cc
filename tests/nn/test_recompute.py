"""Activations computed again: the same outputs, gradients, dropout and running statistics, and less that is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.models import DiscoUNet, ModelConfig, PlanarUNet, build_model
from armillary.nn import SphereBatchNorm
from armillary.nn.recompute import recomputed
from armillary.spaces import Equiangular

GRID = Equiangular(16)


def step(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    torch.manual_seed(7)  # of dropout
    y = net(x)
    gradients = torch.autograd.grad(y.square().sum(), list(net.parameters()))
    return y.detach(), list(gradients), {name: buffer.clone() for name, buffer in net.named_buffers()}


@pytest.mark.parametrize("kind", ["disco", "planar"])
def test_the_same_step(kind: str) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        options = {"widths": (4, 8), "dropout": 0.3, "recompute": recompute}
        net = DiscoUNet(2, 3, GRID, **options) if kind == "disco" else PlanarUNet(2, 3, GRID.shape, **options)
        x = torch.randn(2, 2, *GRID.shape)
        step(net, x)
        results.append(step(net, x))
    (y, gradients, buffers), (again, gradients_again, buffers_again) = results
    torch.testing.assert_close(again, y)
    torch.testing.assert_close(gradients_again, gradients)
    for name in buffers:
        torch.testing.assert_close(buffers_again[name], buffers[name], msg=name)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_batch_counts_once_in_running_statistics(compiled: bool) -> None:
    for momentum in (0.1, None):
        norm = SphereBatchNorm(2, GRID, momentum=momentum)
        x = torch.randn(3, 2, *GRID.shape, requires_grad=True)

        def run(x: Tensor, norm: SphereBatchNorm = norm) -> Tensor:
            return recomputed(norm, x)

        (torch.compile(run, backend="aot_eager") if compiled else run)(x).sum().backward()
        assert int(norm.num_batches_tracked) == 1
        assert norm.momentum == momentum
        once = SphereBatchNorm(2, GRID, momentum=momentum)
        once(x)
        torch.testing.assert_close(norm.running_mean, once.running_mean)
        torch.testing.assert_close(norm.running_var, once.running_var)


def test_less_is_kept() -> None:
    kept = []
    for recompute in (False, True):
        net = DiscoUNet(1, 1, GRID, widths=(4, 8), recompute=recompute)
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            net(torch.randn(2, 1, *GRID.shape))
        constants = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}
        kept.append(sum(size for place, size in sizes.items() if place not in constants))
    assert kept[1] < 0.6 * kept[0]


def test_without_gradient_it_is_a_plain_call() -> None:
    calls = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(torch.is_grad_enabled())
            return x

    with torch.no_grad():
        recomputed(Spy(), torch.zeros(1))
    assert calls == [False]


def test_the_configuration_asks_for_it() -> None:
    net = build_model(ModelConfig(widths=(4, 8), recompute=True), 1, 1, GRID, "dense")
    assert net.encoder.stages[0][0].recompute
