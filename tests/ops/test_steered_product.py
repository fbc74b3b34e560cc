"""The table of products: kernel against loops and reference, gradients of gradients, other types, no rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.ops.steered_product import (
    steered_dot,
    steered_dot_reference,
    steered_product,
    steered_product_reference,
)

H, Y, Z = 40, 5, 37
TERMS = torch.tensor([[0, 0, 17, 0], [17, 3, 17, 2], [3, 20, 16, 4], [39, 36, 1, 4], [0, 0, 3, 2]])
VALUES = torch.tensor([1.5, -0.25, 2.0, 1 / 3, 1.0], dtype=torch.float64)


def inputs(n: int = 300, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(n, size, generator=generator, dtype=torch.float64).to(dtype) for size in (H, Y, Z))  # type: ignore[return-value]


def by_loops(h: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros(len(h), Z, dtype=h.dtype)
    for (a, o, w, b), c in zip(TERMS.tolist(), VALUES.tolist(), strict=True):
        for i in range(w):
            z[:, o + i] += c * y[:, b] * h[:, a + i]
    return z


@pytest.mark.parametrize("n", [1, 7, 300])
def test_it_is_the_sum_over_terms(n: int) -> None:
    h, y, g = inputs(n)
    torch.testing.assert_close(steered_product(h, y, TERMS, VALUES, Z), by_loops(h, y), rtol=0, atol=1e-13)
    torch.testing.assert_close(steered_product_reference(h, y, TERMS, VALUES, Z), by_loops(h, y), rtol=0, atol=1e-13)
    wanted = steered_dot_reference(h, g, TERMS, VALUES, Y)
    torch.testing.assert_close(steered_dot(h, g, TERMS, VALUES, Y), wanted, rtol=0, atol=1e-12)
    y.requires_grad_()
    (by_loops(h, y) * g).sum().backward()
    torch.testing.assert_close(wanted, y.grad, rtol=0, atol=1e-12)


def test_single_precision_and_strided_input() -> None:
    h, y, g = inputs(dtype=torch.float32)
    strided = torch.stack([h, h], -1)[..., 0]
    exact = by_loops(h.double(), y.double())
    torch.testing.assert_close(steered_product(strided, y, TERMS, VALUES, Z).double(), exact, rtol=0, atol=1e-5)
    wanted = steered_dot_reference(h.double(), g.double(), TERMS, VALUES, Y)
    torch.testing.assert_close(steered_dot(strided, g, TERMS, VALUES, Y).double(), wanted, rtol=0, atol=1e-4)


def test_half_precision_takes_the_reference() -> None:
    h, y, _ = inputs(5, torch.bfloat16)
    assert steered_product(h, y, TERMS, VALUES, Z).dtype == torch.bfloat16


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float64, torch.float32)])
def test_of_two_dtypes_the_more_precise(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    for first, second in (dtypes, dtypes[::-1]):
        h, y = (x.to(d).requires_grad_() for x, d in zip(inputs(5), (first, second), strict=False))
        z = steered_product(h, y, TERMS, VALUES, Z)
        assert z.dtype == torch.promote_types(first, second)
        torch.testing.assert_close(z.double(), by_loops(h.double(), y.double()), rtol=1e-5, atol=1e-5)
        gradients = torch.autograd.grad(z.sum(), (h, y))
        assert [g.dtype for g in gradients] == [first, second]


def test_gradients_of_all_orders() -> None:
    h, y, g = (x.requires_grad_() for x in inputs(2))
    assert torch.autograd.gradcheck(lambda h, y: steered_product(h, y, TERMS, VALUES, Z), (h, y))
    assert torch.autograd.gradgradcheck(lambda h, y: steered_product(h, y, TERMS, VALUES, Z), (h, y))
    assert torch.autograd.gradgradcheck(lambda h, g: steered_dot(h, g, TERMS, VALUES, Y), (h, g))


def test_no_rows_and_several_threads() -> None:
    h, y, _ = inputs(0)
    assert steered_product(h, y, TERMS, VALUES, Z).shape == (0, Z)
    h, y, _ = inputs(5000)
    one = steered_product(h, y, TERMS, VALUES, Z)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(steered_product(h, y, TERMS, VALUES, Z), one)
    finally:
        torch.set_num_threads(before)


def test_the_operator_keeps_the_rules_of_torch() -> None:
    h, y, g = (x.requires_grad_() for x in inputs(2))
    torch.library.opcheck(torch.ops.armillary.steered_product.default, (h, y, TERMS, VALUES, Z))
    torch.library.opcheck(torch.ops.armillary.steered_dot.default, (h, g, TERMS, VALUES, Y))
