"""Fourier transforms along rings: the sums by definition, adjoints, derivatives, the operators' contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.ops.ring_fft import ring_analysis, ring_synthesis

SIZES = [(1, 1), (5, 3), (8, 4), (8, 2), (13, 7)]


def problem(n: int, orders: int, lead: tuple[int, ...] = (2, 3)) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(*lead, n, generator=g, dtype=torch.float64),
        torch.randn(*lead, orders, generator=g, dtype=torch.complex128),
    )


def waves(n: int, orders: int) -> Tensor:
    """e^{-imφ_q}, (orders, n)."""
    phase = 2 * torch.pi * torch.arange(orders).double()[:, None] * torch.arange(n) / n
    return torch.polar(torch.ones_like(phase), -phase)


@pytest.mark.parametrize("factors", [None, torch.tensor([0.5, 2.0, 0.0]).double()], ids=["plain", "factors"])
@pytest.mark.parametrize(("n", "orders"), SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sums(n: int, orders: int, weighted: bool, factors: Tensor | None) -> None:
    x, y = problem(n, orders)
    twice = torch.where(torch.arange(orders) == 0, 1.0, 2.0).double()
    rings = torch.ones(3, 1).double() if factors is None else factors[:, None]
    wanted = (
        torch.einsum("mq,...q->...m", waves(n, orders), x.to(torch.complex128)) * (twice if weighted else 1) * rings
    )
    torch.testing.assert_close(ring_analysis(x, factors, orders, weighted), wanted, rtol=0, atol=1e-13)
    wanted = torch.einsum("mq,...m->...q", waves(n, orders).conj(), y * (1 if weighted else twice)).real * rings
    torch.testing.assert_close(ring_synthesis(y, factors, n, weighted), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("factors", [None, torch.tensor([0.5, 2.0]).double()], ids=["plain", "factors"])
@pytest.mark.parametrize(("n", "orders"), SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives(n: int, orders: int, weighted: bool, factors: Tensor | None) -> None:
    x, y = problem(n, orders, (2,))
    x.requires_grad_()
    y.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: ring_analysis(v, factors, orders, weighted), x)
    assert torch.autograd.gradgradcheck(lambda v: ring_analysis(v, factors, orders, weighted), x)
    assert torch.autograd.gradcheck(lambda v: ring_synthesis(v, factors, n, weighted), y)
    assert torch.autograd.gradgradcheck(lambda v: ring_synthesis(v, factors, n, weighted), y)


@pytest.mark.parametrize("weighted", [False, True])
def test_operator_contract(weighted: bool) -> None:
    x, y = problem(8, 3)
    factors = torch.rand(3).double()
    torch.library.opcheck(ring_analysis, (x.requires_grad_(), factors, 3, weighted))
    torch.library.opcheck(ring_synthesis, (y.requires_grad_(), factors, 8, weighted))


def test_arguments_are_left_alone() -> None:
    x, y = problem(8, 4)
    before = x.clone(), y.clone()
    for weighted in (False, True):
        for factors in (None, torch.rand(3).double()):
            ring_analysis(x, factors, 4, weighted)
            ring_synthesis(y, factors, 8, weighted)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@pytest.mark.parametrize("weighted", [False, True])
def test_an_empty_batch(weighted: bool) -> None:
    """Nothing in, nothing out, of the right shape and dtype; with a backward pass."""
    x, y = (part.requires_grad_() for part in problem(8, 3, (0, 2)))
    factors = torch.rand(2).double()
    for given, operator, size in ((x, ring_analysis, 3), (y, ring_synthesis, 8)):
        out = operator(given, factors, size, weighted)
        assert out.shape == (0, 2, size)
        assert out.is_complex() == (operator is ring_analysis)
        out.abs().sum().backward()
        assert given.grad is not None
        assert given.grad.shape == given.shape
        torch.library.opcheck(operator, (given.detach().requires_grad_(), factors, size, weighted))
