"""Radial functions: against their formulas, smooth at both ends, finite at zero distance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from armillary.nn.radial import BesselBasis, CosineCutoff, GaussianSmearing, PolynomialCutoff, lengths

CUTOFF = 4.5
LAYERS = [GaussianSmearing(7, CUTOFF), BesselBasis(5, CUTOFF), PolynomialCutoff(CUTOFF), CosineCutoff(CUTOFF)]


def distances(*shape: int) -> Tensor:
    return 0.1 + 4 * torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_gaussians_are_their_formula() -> None:
    d = distances(4, 3)
    step = CUTOFF / 6
    expected = torch.stack([torch.exp(-0.5 * ((d - k * step) / (0.7 * step)) ** 2) for k in range(7)], -1)
    torch.testing.assert_close(GaussianSmearing(7, CUTOFF, width=0.7)(d), expected, rtol=0, atol=1e-15)


def test_bessel_functions_are_their_formula_and_orthonormal() -> None:
    d = (torch.arange(20000, dtype=torch.float64) + 0.5) * (CUTOFF / 20000)
    values = BesselBasis(6, CUTOFF)(d)
    expected = torch.stack([(2 / CUTOFF) ** 0.5 * torch.sin(k * math.pi * d / CUTOFF) / d for k in range(1, 7)], -1)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)
    gram = (values * d[:, None] ** 2).T @ values * (CUTOFF / 20000)
    torch.testing.assert_close(gram, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bessel_functions_at_zero(dtype: torch.dtype) -> None:
    d = torch.tensor([0.0, 1e-7, 1e-5, 1e-4], dtype=dtype, requires_grad=True)
    values = BesselBasis(4, CUTOFF)(d)
    limit = (2 / CUTOFF) ** 0.5 * math.pi / CUTOFF * torch.arange(1, 5, dtype=dtype)
    torch.testing.assert_close(values, limit.expand(4, -1), rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(values.sum(), d, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), d)
    assert slope.isfinite().all()
    assert curve.isfinite().all()
    assert float(slope.detach().abs().max()) < 1e-2


@pytest.mark.parametrize(
    ("dtype", "limits"), [(torch.float64, (1e-14, 1e-12, 1e-9)), (torch.float32, (1e-6, 1e-3, 0.1))]
)
def test_derivatives_of_bessel_functions_near_zero(dtype: torch.dtype, limits: tuple[float, ...]) -> None:
    """Values and two derivatives against the series, relative to their largest near zero."""
    f = math.pi / CUTOFF
    d = torch.logspace(-7, 0, 60, dtype=torch.float64).to(dtype).requires_grad_()
    found = BesselBasis(1, CUTOFF)(d)[:, 0] * (CUTOFF / 2) ** 0.5
    exact = d.detach().double()
    for order, limit in enumerate(limits):
        numbers = range(-(-order // 2), 12)
        shares = [(-1) ** n * math.perm(2 * n, order) / math.factorial(2 * n + 1) for n in numbers]
        terms = [c * f ** (2 * n + 1) * exact ** (2 * n - order) for n, c in zip(numbers, shares, strict=True)]
        wanted = sum(terms) / (exact if order == 1 else 1)
        relative = found.detach().double() / (exact if order == 1 else 1) - wanted
        assert float((relative / wanted).abs().max()) < limit, order
        (found,) = torch.autograd.grad(found.sum(), d, create_graph=True)


@pytest.mark.parametrize("p", [2, 3, 6])
def test_polynomial_cutoff_is_its_formula(p: int) -> None:
    d = distances(50)
    x = d / CUTOFF
    expected = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    torch.testing.assert_close(PolynomialCutoff(CUTOFF, p)(d), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("layer", "smooth"), [(PolynomialCutoff(CUTOFF), 2), (CosineCutoff(CUTOFF), 1)])
def test_cutoffs_end_smoothly(layer: nn.Module, smooth: int) -> None:
    assert float(layer(torch.zeros(()))) == 1
    beyond = torch.tensor([CUTOFF, 5.0, 1e30], dtype=torch.float64, requires_grad=True)
    assert float(layer(beyond).detach().abs().max()) < 1e-16
    d = torch.tensor([CUTOFF - 1e-6], dtype=torch.float64, requires_grad=True)
    value = layer(d)
    for order in range(3):
        assert (float(value.detach().abs()) < 1e-4) == (order <= smooth), order
        (value,) = torch.autograd.grad(value.sum(), d, create_graph=True)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_derivatives_dtypes_layout_and_repr(layer: nn.Module) -> None:
    d = distances(6).requires_grad_()
    assert torch.autograd.gradcheck(layer, d)
    assert torch.autograd.gradgradcheck(layer, d)
    torch.testing.assert_close(layer(d.float()), layer(d).float(), rtol=0, atol=3e-6)
    assert layer(d.float()).dtype == torch.float32
    torch.testing.assert_close(layer(torch.stack([d, d], -1)[:, 0]), layer(d), rtol=0, atol=0)
    assert layer(d[:0]).shape[0] == 0
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(d.detach()), layer(d.detach()), rtol=0, atol=1e-15)
    assert "4.5" in repr(layer)
    assert not layer.state_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lengths(dtype: torch.dtype) -> None:
    r = torch.randn(9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    torch.testing.assert_close(lengths(r), torch.linalg.vector_norm(r, dim=1))
    extremes = torch.tensor([[0.0, 0, 0], [1e-30, 0, 0], [3e30, 0, 4e30]], dtype=dtype, requires_grad=True)
    d = lengths(extremes)
    torch.testing.assert_close(d.detach(), torch.tensor([0, 1e-30, 5e30], dtype=dtype), rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(d.sum(), extremes, create_graph=True)
    torch.testing.assert_close(slope.detach(), torch.tensor([[0, 0, 0], [1, 0, 0], [0.6, 0, 0.8]], dtype=dtype))
    (curve,) = torch.autograd.grad(slope[0].sum(), extremes)
    assert float(curve.abs().max()) == 0
    tiny = torch.full((1, 3), torch.finfo(dtype).tiny / 8, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(lengths(tiny).sum(), tiny, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), tiny)
    assert float(curve.abs().max()) == 0


def test_lengths_have_second_derivatives() -> None:
    r = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(lengths, r)
    assert torch.autograd.gradgradcheck(lengths, r)


def test_errors() -> None:
    for cutoff in (0, -1.0, math.inf, math.nan, True, "4"):
        with pytest.raises(ValueError, match=r"got cutoff = .*, wanted a number > 0"):
            PolynomialCutoff(cutoff)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="functions"):
        GaussianSmearing(1, 2.0)
    with pytest.raises(ValueError, match="got width"):
        GaussianSmearing(4, 2.0, width=0.0)
    with pytest.raises(ValueError, match="wanted an integer >= 2"):
        PolynomialCutoff(2.0, p=1)
    with pytest.raises(ValueError, match=r"vectors have shape \(4, 2\)"):
        lengths(torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"torch\.int64, wanted real ones"):
        lengths(torch.ones(4, 3, dtype=torch.int64))
