"""Fields of the plane by orders: what they are, their layout, and how they turn."""

from __future__ import annotations

import math

import pytest
import torch

from armillary.groups import Orders


def test_equal_values_are_equal() -> None:
    assert Orders.of({1: 8, 0: 8}) == Orders.upto(1, 8) == Orders(((0, 8), (1, 8)))
    assert hash(Orders.of({1: 8, 0: 8})) == hash(Orders.upto(1, 8))
    assert Orders.image(3) != Orders.of({0: 3})
    assert (Orders.image(3).size, Orders.of({0: 3}).size) == (3, 6)
    assert repr(Orders.of({1: 2, -1: 3})) == "Orders.of({-1: 3, 1: 2})"


def test_real_parts_come_before_imaginary_parts_by_ascending_order() -> None:
    orders = Orders.of({2: 1, 0: 2})
    assert orders.channel_orders == (0, 0, 2)
    z = torch.randn(4, 3, 5, 6, dtype=torch.complex128)
    x = torch.cat([z.real, z.imag], dim=1)
    turned = orders.act(0.7, x)
    wanted = z * torch.exp(1j * 0.7 * torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64))[:, None, None]
    torch.testing.assert_close(torch.complex(turned[:, :3], turned[:, 3:]), wanted, rtol=0, atol=1e-14)


def test_acts_as_a_group_on_tensors_of_any_shape() -> None:
    orders = Orders.of({-1: 1, 3: 2})
    for shape in ((2, 6), (1, 6, 3), (3, 6, 2, 5)):
        x = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(orders.act(0.3, orders.act(1.1, x)), orders.act(1.4, x), rtol=0, atol=1e-14)
        torch.testing.assert_close(orders.act(2 * math.pi, x), x, rtol=0, atol=1e-13)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(Orders.image(3).act(0.3, x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Orders(()), "at least one"),
        (lambda: Orders(((0, 1), (0, 2))), "each order once"),
        (lambda: Orders.of({0: 0}), "channels of order 0 = 0"),
        (lambda: Orders.of({0.5: 1}), "order = 0.5"),  # type: ignore[dict-item]
        (lambda: Orders.of({True: 1}), "order = True"),
        (lambda: Orders(((1, 2),), real=True), "order 0 alone"),
        (lambda: Orders.upto(-1, 2), "highest = -1"),
        (lambda: Orders.upto(1, 2).act(0.1, torch.zeros(1, 3, 2, 2)), r"real \(batch, 8, \.\.\.\)"),
    ],
)
def test_errors(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
