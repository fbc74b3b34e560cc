"""Norms of O(3) features and normalisation: the contract, the equations, training, zero features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn import IrrepsBatchNorm, IrrepsLayerNorm, IrrepsNorm
from armillary.testing import FeatureSymmetry, check_layer, rotations_and_reflections

IRREPS = Irreps("3x0e+2x1o+1x0o+4x2e+2x0e+1x1e")
KINDS = [IRREPS, Irreps("4x0e"), Irreps("2x1o+1x3e")]


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ready(layer: nn.Module) -> nn.Module:
    """With parameters and running statistics that are not those of the start."""
    with torch.no_grad():
        for value in [*layer.parameters(), *(b for name, b in layer.named_buffers() if "running" in name)]:
            value.uniform_(0.5, 1.5)
    return layer


@pytest.mark.parametrize("irreps", KINDS)
@pytest.mark.parametrize("kind", [IrrepsBatchNorm, IrrepsLayerNorm])
def test_contract(kind: type[nn.Module], irreps: Irreps) -> None:
    check_layer(ready(kind(irreps)), FeatureSymmetry(irreps, irreps), tolerance=1e-12)


@pytest.mark.parametrize("irreps", KINDS)
def test_contract_of_norms(irreps: Irreps) -> None:
    layer = IrrepsNorm(irreps)
    check_layer(layer, FeatureSymmetry(irreps, layer.irreps_out), tolerance=1e-12)


def test_norms() -> None:
    irreps = Irreps("2x1o+1x0e")
    x = torch.tensor([3.0, 0, 4, 0, 0, 0, -2])  # (m, channel), then the scalar
    torch.testing.assert_close(IrrepsNorm(irreps)(x), torch.tensor([5.0, 0, 2]))
    assert IrrepsNorm(irreps).irreps_out == Irreps("3x0e")
    half = IrrepsNorm(irreps)(100 * x.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), torch.tensor([500.0, 0, 200]))
    zero = torch.zeros(2, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(IrrepsNorm(irreps)(zero).sum(), zero)
    assert torch.equal(gradient, torch.zeros(2, 7))


def test_batch_norm_while_training() -> None:
    """Each channel comes out with mean 0 (0e) and mean square 1; running values are those of the batch."""
    layer = IrrepsBatchNorm(IRREPS, eps=0.0, momentum=None).double()
    x = 3 * features(2, 200, IRREPS.dim) + 0.7
    parts = IRREPS.split(layer(x))
    for part, (_, irrep) in zip(parts, IRREPS, strict=True):
        torch.testing.assert_close(part.square().mean((0, 1, 2)), torch.ones(part.shape[-1]).double())
        if irrep == O3Irrep(0, 1):
            torch.testing.assert_close(part.mean((0, 1, 2)), torch.zeros(part.shape[-1]).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.eval()(x), torch.cat([part.flatten(-2) for part in parts], -1))
    for g in rotations_and_reflections(2):
        first = layer.train()(x)
        torch.testing.assert_close(layer(IRREPS.act(g, x)), IRREPS.act(g, first), rtol=0, atol=1e-12)
    assert int(layer.num_batches_tracked) == 5
    with pytest.raises(ValueError, match="empty batch"):
        layer(x[:0])


def test_batch_norm_of_scalars_is_torchs() -> None:
    layer, other = IrrepsBatchNorm(Irreps("5x0e")).double(), nn.BatchNorm1d(5).double()
    x = features(30, 5, seed=1)
    torch.testing.assert_close(layer(x), other(x))
    torch.testing.assert_close(layer.running_mean, other.running_mean)


def test_layer_norm_of_scalars_is_torchs() -> None:
    layer, other = IrrepsLayerNorm(Irreps("5x0e")).double(), nn.LayerNorm(5).double()
    x = features(30, 5, seed=2)
    torch.testing.assert_close(layer(x), other(x))


def test_layer_norm_keeps_how_large_degrees_are_beside_one_another() -> None:
    irreps = Irreps("4x0e+3x1o+2x2e")
    x = features(6, irreps.dim, seed=3)
    y = IrrepsLayerNorm(irreps, eps=0.0).double()(x)
    _, a, b = irreps.split(x)
    scale = ((a.square().mean((1, 2)) + b.square().mean((1, 2))) / 2).rsqrt()[:, None, None]
    _, c, d = irreps.split(y)
    torch.testing.assert_close(c, a * scale)
    torch.testing.assert_close(d, b * scale)


@pytest.mark.parametrize("kind", [IrrepsBatchNorm, IrrepsLayerNorm])
def test_zero_features_stay_finite(kind: type[nn.Module]) -> None:
    x = torch.zeros(3, IRREPS.dim, requires_grad=True)
    y = kind(IRREPS)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, torch.zeros_like(y))
    assert bool(gradient.isfinite().all())


def test_half_precision_and_no_affine_map() -> None:
    for kind in (IrrepsBatchNorm, IrrepsLayerNorm):
        layer = kind(IRREPS, affine=False)
        assert not list(layer.parameters())
        x = features(9, IRREPS.dim, seed=4).bfloat16()
        assert layer(x).dtype == torch.bfloat16
        torch.testing.assert_close(layer(x).float(), layer(x.float()), rtol=0.02, atol=0.02)


def test_errors() -> None:
    for layer in (IrrepsBatchNorm(IRREPS), IrrepsLayerNorm(IRREPS), IrrepsNorm(IRREPS)):
        with pytest.raises(ValueError, match=f"{type(layer).__name__} wants"):
            layer(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no channels"):
        IrrepsBatchNorm(Irreps())
