"""Layers at a point on fields of spin: against their equations, and under rotations of the sphere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import (
    MagnitudeBatchNorm,
    MagnitudeReLU,
    Magnitudes,
    SphereBatchNorm,
    SpinActivation,
    SpinBatchNorm,
    SpinConv,
    SpinDropout,
    SpinInvariants,
    SpinLinear,
    SpinPointwise,
    SteerableDiscoConv,
    fold,
)
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SpinSymmetry, check_layer, commutation_error

ORDERS = Orders.of({-1: 1, 0: 2, 2: 3})
GRID = GaussLegendre(12)
SYMMETRY = SpinSymmetry(ORDERS, GRID, lmax=4)
COUNT = ORDERS.count


def drawn(layer: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return layer


def fields(*shape: int) -> Tensor:
    return torch.randn(2, ORDERS.size, *(shape or GRID.shape), generator=torch.Generator().manual_seed(0)).double()


def to_complex(x: Tensor) -> Tensor:
    return torch.complex(*x.chunk(2, dim=1))


def test_linear_maps_mix_channels_of_one_spin() -> None:
    wide = Orders.of({-1: 2, 0: 1, 2: 2})
    layer = drawn(SpinLinear(ORDERS, wide)).double()
    assert commutation_error(layer, SpinSymmetry(ORDERS, GRID, wide, lmax=4)) < 1e-12
    x = fields()
    z, y = to_complex(x), to_complex(layer(x))
    first = 0
    for part, (spin, channels) in zip(z.split([1, 2, 3], 1), wide.streams, strict=True):
        wanted = torch.einsum("oi,bihw->bohw", torch.complex(*layer.weight[str(spin)]), part)
        if spin == 0:
            wanted = wanted + torch.complex(*layer.bias)[:, None, None]
        torch.testing.assert_close(y[:, first : first + channels], wanted, rtol=0, atol=1e-13)
        first += channels
    with pytest.raises(ValueError, match="wanted the same"):
        SpinLinear(ORDERS, Orders.upto(1, 2))
    with pytest.raises(ValueError, match="complex channels"):
        SpinLinear(Orders.image(2), Orders.image(2))
    assert SpinLinear(Orders.of({1: 2}), Orders.of({1: 1})).bias is None


def test_linear_maps_and_invariants_of_single_points() -> None:
    layer, invariants, x = drawn(SpinLinear(ORDERS, ORDERS)).double(), SpinInvariants(ORDERS), fields()
    torch.testing.assert_close(layer(x[..., 2, 3]), layer(x)[..., 2, 3], rtol=0, atol=1e-14)
    torch.testing.assert_close(invariants(x[..., 2, 3]), invariants(x)[..., 2, 3], rtol=0, atol=0)


def test_magnitudes_of_half_precision_do_not_overflow() -> None:
    """300² is beyond float16, eps² = 1e-6 below its normal numbers."""
    x = torch.full((1, ORDERS.size, 2, 2), 300.0)
    got = SpinInvariants(ORDERS).half()(x.half())
    assert got.dtype == torch.float16
    torch.testing.assert_close(got.float(), SpinInvariants(ORDERS)(x), rtol=1e-3, atol=0)
    torch.testing.assert_close(SpinInvariants(ORDERS)(0 * x.half())[:, 4:].float(), torch.full((1, 4, 2, 2), 1e-3))


def test_invariants_are_scalars() -> None:
    layer = SpinInvariants(ORDERS)
    assert layer.channels_out == 8
    x = fields()
    z = to_complex(x)
    turning = (z[:, [0, 3, 4, 5]].abs().square() + 1e-6).sqrt()
    torch.testing.assert_close(layer(x), torch.cat([z[:, 1:3].real, z[:, 1:3].imag, turning], 1), rtol=0, atol=1e-14)
    turned = SpinInvariants(ORDERS)(ORDERS.act(0.7, x))
    torch.testing.assert_close(turned, layer(x), rtol=0, atol=1e-13)
    fine = GaussLegendre(40)
    symmetry = SpinSymmetry(ORDERS, fine, Orders.image(8), lmax=4)
    assert commutation_error(SpinInvariants(ORDERS, eps=1.0), symmetry) < 1e-3
    with pytest.raises(ValueError, match="eps = 0"):
        SpinInvariants(ORDERS, eps=0)


def test_dropout_keeps_the_two_parts_together() -> None:
    layer = SpinDropout(0.5)
    x = torch.ones(64, ORDERS.size, 2, 3)
    y = layer(x)
    kept = y[:, :, 0, 0] != 0
    assert torch.equal(kept[:, :COUNT], kept[:, COUNT:])
    assert 0.3 < kept.float().mean() < 0.7
    assert torch.equal(y, 2.0 * kept[:, :, None, None].expand_as(y))
    assert torch.equal(layer.eval()(x), x)
    with pytest.raises(ValueError, match="wants \\(batch, 2 channels"):
        layer(x[:, 1:])


def test_activation_of_parts_and_of_magnitudes() -> None:
    layer, x = SpinActivation(torch.sin, ORDERS, GRID).double(), fields()
    nn.init.constant_(layer.turning.bias, -0.4)
    z, y = to_complex(x), to_complex(layer(x))
    torch.testing.assert_close(y[:, 1:3], torch.complex(z.real.sin(), z.imag.sin())[:, 1:3], rtol=0, atol=1e-14)
    others = [0, 3, 4, 5]
    r = (z[:, others].abs().square() + 1e-6).sqrt()
    torch.testing.assert_close(y[:, others], torch.relu(r - 0.4) / r * z[:, others], rtol=0, atol=1e-14)
    torch.testing.assert_close(layer(ORDERS.act(0.7, x)), ORDERS.act(0.7, layer(x)), rtol=0, atol=1e-13)
    check_layer(SpinActivation(nn.GELU(), ORDERS, GRID), SYMMETRY, tolerance=None)
    with pytest.raises(ValueError, match="spin 0 and others"):
        SpinActivation(torch.sin, Orders.of({1: 2}), GRID)


@pytest.mark.parametrize("grid", [GRID, Equiangular(9, poles=True)], ids=str)
def test_batch_norm_is_its_equation_in_training_and_evaluation(grid) -> None:  # type: ignore[no-untyped-def]
    layer, x = drawn(SpinBatchNorm(ORDERS, grid)).double(), fields(*grid.shape)
    z = to_complex(x)
    area = grid.quadrature / (4 * torch.pi)

    def wanted(mean: Tensor, var: Tensor) -> Tensor:
        bias = torch.zeros(COUNT, dtype=torch.complex128)
        bias[1:3] = torch.complex(*layer.bias.detach())
        mean, var, w, b = (v[:, None, None] for v in (mean, var, layer.weight, bias))
        y = w * (z - mean) / (var + 1e-5).sqrt() + b
        return torch.cat([y.real, y.imag], dim=1)

    mean = torch.zeros(COUNT, dtype=torch.complex128)
    mean[1:3] = (area * z[:, 1:3]).sum((-2, -1)).mean(0)
    var = (area * (z - mean[:, None, None]).abs().square()).sum((-2, -1)).mean(0) / 2
    torch.testing.assert_close(layer(x), wanted(mean, var), rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.complex(*layer.running_mean), 0.1 * mean[1:3], rtol=0, atol=1e-14)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * var, rtol=0, atol=1e-14)
    layer.eval()
    running = torch.zeros_like(mean)
    running[1:3] = 0.1 * mean[1:3]
    torch.testing.assert_close(layer(x), wanted(running, layer.running_var), rtol=0, atol=1e-13)


def test_the_statistics_of_a_batch_do_not_turn() -> None:
    """The meter puts modules in evaluation mode; a function is left alone."""
    layer = drawn(SpinBatchNorm(ORDERS, GRID)).double()
    assert commutation_error(lambda x: layer(x), SYMMETRY, batch=2) < 1e-12


def test_batch_norm_keeps_the_contract() -> None:
    check_layer(drawn(SpinBatchNorm(ORDERS, GRID)), SYMMETRY, tolerance=1e-12)
    with pytest.raises(ValueError, match="complex channels"):
        SpinBatchNorm(Orders.image(2), GRID)
    alone = SpinBatchNorm(Orders.of({1: 2}), GRID)
    assert alone.bias.numel() == 0
    assert alone(torch.randn(1, 4, *GRID.shape)).shape == (1, 4, *GRID.shape)


@pytest.mark.parametrize("kind", [SpinBatchNorm, MagnitudeBatchNorm, lambda orders, grid: SphereBatchNorm(12, grid)])
def test_an_empty_batch_leaves_running_averages_alone(kind) -> None:  # type: ignore[no-untyped-def]
    layer = kind(ORDERS, GRID)
    with pytest.raises(ValueError, match="empty batch"):
        layer(torch.zeros(0, ORDERS.size, *GRID.shape))
    assert all(bool(value.isfinite().all()) for value in layer.state_dict().values())
    assert layer.eval()(torch.zeros(0, ORDERS.size, *GRID.shape)).shape == (0, ORDERS.size, *GRID.shape)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("kind", [SpinBatchNorm, MagnitudeBatchNorm])
def test_training_compiles(kind, momentum: float | None) -> None:  # type: ignore[no-untyped-def]
    plain, layer = kind(ORDERS, GRID, momentum=momentum), kind(ORDERS, GRID, momentum=momentum)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for x in (fields().float(), 2 * fields().float()):
        torch.testing.assert_close(compiled(x), plain(x))
    torch.testing.assert_close(layer.state_dict(), plain.state_dict())
    assert plain.num_batches_tracked == 2


# Layers of harmonic networks, on the sphere


@pytest.mark.parametrize("kind", [MagnitudeReLU, MagnitudeBatchNorm])
def test_functions_of_magnitudes_commute_up_to_aliasing(kind) -> None:  # type: ignore[no-untyped-def]
    """eps = 1 makes the magnitude smooth; what is left falls with resolution."""
    errors = []
    for nlat in (16, 32):
        grid = GaussLegendre(nlat)
        layer = kind(ORDERS, grid, eps=1.0)
        nn.init.constant_(layer.bias, 1.0)
        errors.append(commutation_error(layer, SpinSymmetry(ORDERS, grid, lmax=4)))
    assert errors[1] < 0.1 * errors[0]
    check_layer(kind(ORDERS, GRID), SYMMETRY, tolerance=None)


def test_magnitudes_on_the_sphere() -> None:
    x = fields()
    wanted = (to_complex(x).abs().square() + 1e-6).sqrt()
    torch.testing.assert_close(Magnitudes(ORDERS, GRID)(x), wanted, rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match="the real channels of"):
        Magnitudes(ORDERS, GRID)(x[:, 1:])


def test_batch_norm_of_magnitudes_averages_by_area() -> None:
    layer, x = MagnitudeBatchNorm(ORDERS, GRID).double(), fields()
    layer(x)
    norm = SphereBatchNorm(COUNT, GRID).double()
    norm(Magnitudes(ORDERS, GRID)(x))
    torch.testing.assert_close(layer.running_mean, norm.running_mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(layer.running_var, norm.running_var, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [Magnitudes, MagnitudeReLU, MagnitudeBatchNorm])
def test_layers_of_magnitudes_fold_on_the_sphere(kind) -> None:  # type: ignore[no-untyped-def]
    """In evaluation they know no area: the averages are in the state."""
    layer, x = drawn(kind(ORDERS, GRID)).double(), fields()
    layer(x)
    folded = fold(layer, x)
    torch.testing.assert_close(folded(x), layer.eval()(x), rtol=0, atol=1e-14)
    assert not any(type(part).__module__.startswith("armillary") for part in folded.modules())


@pytest.mark.parametrize(
    "layer",
    [
        SpinActivation(torch.tanh, ORDERS, GRID),
        SpinBatchNorm(ORDERS, GRID),
        SpinConv(ORDERS, ORDERS, GRID),
        SpinInvariants(ORDERS),
        SpinPointwise(torch.tanh, ORDERS, GRID, 5),
        SteerableDiscoConv(ORDERS, ORDERS, GRID),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_spins_do_not_fold_and_say_so(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=rf"\({type(layer).__name__}\) has no stock counterpart"):
        fold(nn.Sequential(layer), fields().float())
