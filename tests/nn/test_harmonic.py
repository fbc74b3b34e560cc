"""Circular-harmonic convolution against the explicit complex sum, its symmetry, its books of orders, its cache."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from armillary.groups import Orders
from armillary.nn import CircularHarmonics, HarmonicConv
from armillary.spaces import ImageGrid
from armillary.testing import PlaneSymmetry, check_layer, commutation_error

QUARTERS = [math.pi / 2, math.pi, -math.pi / 2]
PAIRS = [
    (Orders.image(2), Orders.upto(1, 3)),
    (Orders.upto(1, 2), Orders.of({0: 3, 1: 1})),
    (Orders.of({-1: 1, 0: 2, 2: 1}), Orders.of({1: 2, 3: 1})),
]


def direct(layer: HarmonicConv, x: Tensor) -> Tensor:
    """Σ_i Σ_q e^{iβ} Σ_j ρ_j B_mj(q) z_i(p + q), pixel by pixel, complex, with loops over channels and filters."""
    n_in, size, half = layer.orders_in, layer.basis.size, layer.basis.size // 2
    z = x.to(torch.complex128) if n_in.real else torch.complex(x[:, : n_in.count], x[:, n_in.count :])
    height, width = layer.grid.shape
    padded = torch.zeros(len(x), n_in.count, height + 2 * half, width + 2 * half, dtype=torch.complex128)
    padded[:, :, half : half + height, half : half + width] = z
    out = torch.zeros(len(x), layer.orders_out.count, height, width, dtype=torch.complex128)
    used: dict[int, int] = {}
    for o, m_out in enumerate(layer.orders_out.channel_orders):
        for i, m_in in enumerate(n_in.channel_orders):
            m = m_out - m_in
            if layer.max_filter_order is not None and abs(m) > layer.max_filter_order:
                continue
            f = used[m] = used.get(m, -1) + 1
            rings = layer.basis.filters(m)
            filter_ = sum(layer.radial[str(m)][f, j] * rings[j] for j in range(len(rings)))
            filter_ = filter_ * torch.exp(1j * layer.phase[str(m)][f])
            for row in range(size):
                for column in range(size):
                    out[:, o] += filter_[row, column] * padded[:, i, row : row + height, column : column + width]
    return torch.cat([out.real, out.imag], dim=1)


@pytest.mark.parametrize(("orders_in", "orders_out"), PAIRS, ids=str)
@pytest.mark.parametrize("shape", [(7, 7), (6, 9)])
def test_against_the_complex_sum(orders_in: Orders, orders_out: Orders, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = HarmonicConv(orders_in, orders_out, ImageGrid(*shape), basis=CircularHarmonics(5, 4)).double()
    for batch in (1, 3):
        x = torch.randn(batch, orders_in.size, *shape, dtype=torch.float64)
        torch.testing.assert_close(layer(x), direct(layer, x), rtol=0, atol=1e-12)


def test_left_out_filters_against_the_complex_sum() -> None:
    orders = Orders.of({0: 2, 1: 1, 2: 2})
    layer = HarmonicConv(orders, orders, ImageGrid(6, 6), max_filter_order=1).double()
    assert layer.filter_orders == (-1, 0, 1)
    x = torch.randn(2, orders.size, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), direct(layer, x), rtol=0, atol=1e-12)
    assert "max_filter_order=1" in repr(layer)
    # order 0: 4 + 1 + 4 filters of 4 rings and a phase; orders ±1: 2 + 2 each, of 3 rings and a phase
    assert sum(p.numel() for p in layer.parameters()) == 9 * 5 + 8 * 4


@pytest.mark.parametrize(("orders_in", "orders_out"), PAIRS, ids=str)
def test_contract(orders_in: Orders, orders_out: Orders) -> None:
    torch.manual_seed(0)
    grid = ImageGrid(9, 9)
    layer = HarmonicConv(orders_in, orders_out, grid)
    symmetry = PlaneSymmetry(grid, grid, orders_in.size, orders_in.act, orders_out.act, frequency=0.1)
    # with filters of order 3 on 5×5 pixels a relative error of a few 1e-3 is left (tests/ops/test_circular.py)
    tolerance = 2e-5 if max(map(abs, layer.filter_orders)) < 3 else 5e-3
    check_layer(layer, symmetry, tolerance=tolerance)


@pytest.mark.parametrize(("orders_in", "orders_out"), PAIRS, ids=str)
@pytest.mark.parametrize("size", [8, 9])
def test_quarter_turns_are_exact_all_over_the_image(orders_in: Orders, orders_out: Orders, size: int) -> None:
    grid = ImageGrid(size, size)
    layer = HarmonicConv(orders_in, orders_out, grid)
    symmetry = PlaneSymmetry(grid, grid, orders_in.size, orders_in.act, orders_out.act, frequency=1.0, angles=QUARTERS)
    assert commutation_error(layer, symmetry, batch=2) < 1e-12
    as_scalars = PlaneSymmetry(grid, grid, orders_in.size, orders_in.act, None, angles=QUARTERS)
    assert commutation_error(layer, as_scalars) > 0.1


def error(orders_in: Orders, orders_out: Orders, basis: CircularHarmonics, frequency: float) -> float:
    grid = ImageGrid(basis.size, basis.size)
    torch.manual_seed(0)
    layer = HarmonicConv(orders_in, orders_out, grid, basis=basis)
    symmetry = PlaneSymmetry(grid, grid, orders_in.size, orders_in.act, orders_out.act, frequency=frequency)
    return commutation_error(layer, symmetry, count=8, batch=8)


def test_the_error_falls_with_the_wavenumber_and_with_the_size() -> None:
    """One layer of orders 0 and 1: at least as κ^(size - 1), the rate of its filters of order ±1."""
    orders = Orders.upto(1, 3)
    last = math.inf
    for basis in (CircularHarmonics(3, 2), CircularHarmonics(5, 4), CircularHarmonics(7, 4)):
        coarse, fine = (error(orders, orders, basis, f) for f in (0.2, 0.1))
        assert math.log2(coarse / fine) > basis.size - 1 - 0.3
        assert fine < last / 5
        last = fine
    sampled = CircularHarmonics(7, 4, match_moments=False)
    assert error(orders, orders, sampled, 0.1) > 100 * last


def test_a_shifted_image_gives_a_shifted_response() -> None:
    grid, orders = ImageGrid(12, 11), Orders.upto(1, 2)
    layer = HarmonicConv(Orders.image(1), orders, grid).double()
    x = torch.zeros(1, 1, 12, 11, dtype=torch.float64)
    x[..., 4:7, 3:6] = torch.randn(3, 3, dtype=torch.float64)
    shifted = layer(x.roll((1, 2), (-2, -1)))
    torch.testing.assert_close(shifted, layer(x).roll((1, 2), (-2, -1)), rtol=0, atol=1e-14)


def test_autocast_rounds_the_kernel_once() -> None:
    torch.manual_seed(0)
    layer, x = HarmonicConv(Orders.image(2), Orders.upto(1, 3), ImageGrid(8, 8)), torch.randn(2, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert torch.equal(layer.expand(x.bfloat16()), layer.expand(x).bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), rtol=0.02, atol=0.02)
    layer(x).sum().backward()
    single = {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - single[name]).norm() < 0.03 * single[name].norm()


def test_keeps_the_variance_at_the_start() -> None:
    torch.manual_seed(0)
    orders, grid = Orders.upto(1, 16), ImageGrid(15, 15)
    for before in (Orders.image(16), orders):
        x = torch.randn(4, before.size, 15, 15) * (1 if before.real else 0.5**0.5)
        z = HarmonicConv(before, orders, grid)(x)[..., 2:-2, 2:-2]
        assert (z[:, :32].square() + z[:, 32:].square()).mean().item() == pytest.approx(1, rel=0.25)


class TestKeptKernel:
    """The expanded kernel is kept in evaluation without gradients, and never where it would be stale."""

    def setup_method(self) -> None:
        torch.manual_seed(0)
        self.orders, self.grid = Orders.upto(1, 2), ImageGrid(6, 6)
        self.layer = HarmonicConv(self.orders, self.orders, self.grid).double().eval()
        self.x = torch.randn(1, self.orders.size, 6, 6, dtype=torch.float64)

    def is_fresh(self) -> bool:
        with torch.no_grad():
            got, kernel = self.layer(self.x), self.layer.expand(self.x)
        return torch.equal(got, torch.nn.functional.conv2d(self.x, kernel, padding=2))

    @torch.no_grad()
    def test_is_kept(self) -> None:
        assert self.layer.kernel(self.x) is self.layer.kernel(self.x)
        assert self.layer.kernel(self.x.float()).dtype == torch.float32
        self.layer.train()
        assert self.layer.kernel(self.x) is not self.layer.kernel(self.x)

    def test_is_not_kept_where_gradients_are_asked_for(self) -> None:
        assert self.layer.kernel(self.x) is not self.layer.kernel(self.x)
        with torch.no_grad():
            self.layer(self.x)
        self.layer(self.x).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in self.layer.parameters())

    def test_follows_the_parameters(self) -> None:
        assert self.is_fresh()
        with torch.no_grad():
            self.layer.radial["1"].mul_(2)
        assert self.is_fresh()
        self.layer.load_state_dict({name: value + 1 for name, value in self.layer.state_dict().items()})
        assert self.is_fresh()
        optimizer = torch.optim.SGD(self.layer.parameters(), lr=0.1)
        self.layer(self.x).square().sum().backward()
        optimizer.step()
        assert self.is_fresh()
        for _ in range(2):  # of equal version, since neither was written to
            self.layer.phase["0"] = torch.nn.Parameter(torch.rand_like(self.layer.phase["0"]))
            assert self.is_fresh()
        state = {name: torch.ones_like(value) for name, value in self.layer.named_parameters()}
        with torch.no_grad():
            other = torch.func.functional_call(self.layer, state, (self.x,))
            assert not torch.allclose(other, self.layer(self.x))
        assert self.is_fresh()
        self.layer.float().double()
        assert self.is_fresh()

    def test_survives_inference_mode_and_copies(self) -> None:
        with torch.inference_mode():
            first = self.layer(self.x)
        assert self.is_fresh()
        twin = copy.deepcopy(self.layer)
        with torch.no_grad():
            twin.radial["0"].zero_()
            assert not torch.equal(twin(self.x), first)
            assert torch.equal(self.layer(self.x), first)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: HarmonicConv(Orders.image(1), Orders.image(2), g), "wanted complex channels"),
        (lambda g: HarmonicConv(Orders.image(1), Orders.of({9: 1}), g), "got order 9"),
        (
            lambda g: HarmonicConv(Orders.image(1), Orders.of({0: 1, 2: 1}), g, max_filter_order=1),
            r"\|m\| <= 1 leads from the orders \(0,\) to order 2",
        ),
        (lambda g: HarmonicConv(Orders.image(1), Orders.upto(1, 2), g)(torch.zeros(2, 3, 5, 5)), r"\(batch, 1, 5, 5\)"),
        (lambda g: HarmonicConv(Orders.image(1), Orders.upto(1, 2), g)(torch.zeros(1, 5, 5)), r"\(batch, 1, 5, 5\)"),
        (lambda g: HarmonicConv(Orders.image(1), Orders.upto(1, 2), g)(torch.zeros(2, 1, 5, 6)), r"\(..., 5, 5\)"),
    ],
)
def test_errors(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make(ImageGrid(5, 5))
