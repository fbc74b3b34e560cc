"""The Legendre stage, by every path, against the table by Wigner's recurrence; gradients, the operator's contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.ops import legendre_cpu
from armillary.ops.legendre import legendre, legendre_reference
from armillary.ops.legendre_blocks import Recurrence, blocks_of, legendre_tables, tabulates
from armillary.ops.legendre_kernels import LINE
from armillary.ops.quadrature import clenshaw_curtis, gauss_legendre
from armillary.ops.wigner import legendre_table


def randn(*shape: int, dtype: torch.dtype = torch.complex128, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def half(nlat: int, poles: bool = False) -> Tensor:
    theta = clenshaw_curtis(nlat)[0] if poles else gauss_legendre(nlat)[0]
    return theta[: (nlat + 1) // 2]


def by_the_table(x: Tensor, theta: Tensor, lmax: int, synthesis: bool) -> Tensor:
    table = legendre_table(lmax, torch.arange(x.shape[2]), theta).to(x.dtype)
    return torch.einsum("mlj,blm->bjm" if synthesis else "mlj,bjm->blm", table, x)


@pytest.mark.parametrize("apply", [legendre, legendre_reference], ids=["compiled", "plain torch"])
@pytest.mark.parametrize("synthesis", [False, True])
@pytest.mark.parametrize(
    ("nlat", "lmax", "orders", "batch"),
    [
        (1, 0, 1, 1),
        (2, 1, 2, 2),
        (7, 4, 5, 3),
        (6, 11, 12, 1),
        (10, 9, 4, 2),
        (33, 32, 33, 2),
        (64, 70, 71, 1),
        (91, 60, 61, 2),
        (5, 4, 5, 0),
    ],
)
def test_equals_the_product_with_the_table(
    apply, synthesis: bool, nlat: int, lmax: int, orders: int, batch: int
) -> None:  # type: ignore[no-untyped-def]
    theta = gauss_legendre(nlat)[0]
    near = half(nlat)
    x = randn(batch, lmax + 1 if synthesis else nlat, orders)
    wanted = by_the_table(x, theta, lmax, synthesis)
    got = apply(x, near, nlat, lmax, synthesis, [])
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-12)
    if orders == lmax + 1:
        tables = legendre_tables(near, lmax)
        torch.testing.assert_close(apply(x, near, nlat, lmax, synthesis, tables), wanted, rtol=0, atol=2e-12)
        single = apply(x.to(torch.complex64), near, nlat, lmax, synthesis, [table.float() for table in tables])
        assert single.dtype == torch.complex64
        torch.testing.assert_close(single.to(torch.complex128), wanted, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("nlat", [8, 9])
def test_rings_at_the_poles(nlat: int) -> None:
    theta = clenshaw_curtis(nlat)[0]
    x = randn(2, nlat, nlat)
    got = legendre(x, half(nlat, poles=True), nlat, nlat - 1, False, [])
    torch.testing.assert_close(got, by_the_table(x, theta, nlat - 1, False), rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 3])
def test_rings_where_high_orders_vanish_are_left_out(batch: int) -> None:
    """At 128 rings the highest orders live near the equator only; what is left out is below 1e-70."""
    nlat, lmax = 128, 127
    blocks = blocks_of(half(nlat), lmax, lmax + 1, True)
    assert blocks[0].live == 64
    assert blocks[-1].live < 64
    for synthesis in (False, True):
        x = randn(batch, nlat, nlat)
        wanted = by_the_table(x, gauss_legendre(nlat)[0], lmax, synthesis)
        for tables in ([], legendre_tables(half(nlat), lmax)):
            got = legendre(x, half(nlat), nlat, lmax, synthesis, tables)
            assert float((got - wanted).abs().max()) < 1e-12 * float(wanted.abs().max())


def test_degrees_below_the_order_do_not_enter() -> None:
    x = randn(2, 12, 12)
    spoilt = torch.where(torch.ones(12, 12).tril().bool(), x, torch.nan)
    for apply in (legendre, legendre_reference):
        got = apply(spoilt, half(12), 12, 11, True, [])
        torch.testing.assert_close(got, by_the_table(x, gauss_legendre(12)[0], 11, True), rtol=0, atol=1e-13)
        analysed = apply(x, half(12), 12, 11, False, [])
        assert not analysed.triu(diagonal=1).any()


@pytest.mark.parametrize("synthesis", [False, True])
@pytest.mark.parametrize("tabulated", [False, True])
def test_operator_contract_and_gradients(synthesis: bool, tabulated: bool) -> None:
    tables = legendre_tables(half(6), 4) if tabulated else []
    x = randn(2, 5 if synthesis else 6, 5).requires_grad_()
    torch.library.opcheck(legendre, (x, half(6), 6, 4, synthesis, tables))
    assert torch.autograd.gradcheck(lambda v: legendre(v, half(6), 6, 4, synthesis, tables), x)
    assert torch.autograd.gradgradcheck(lambda v: legendre(v, half(6), 6, 4, synthesis, tables), x)


def test_strided_input() -> None:
    x = randn(5, 6, 3).permute(2, 1, 0)
    assert not x.is_contiguous()
    got = legendre(x, half(6), 6, 4, False, [])
    torch.testing.assert_close(got, legendre(x.contiguous(), half(6), 6, 4, False, []), rtol=0, atol=0)


@pytest.mark.parametrize("synthesis", [False, True])
def test_rows_cut_from_longer_ones(synthesis: bool) -> None:
    """Orders 0..4 of rows that hold more, and the same without what follows the last row in memory."""
    long = randn(3, 6, 9)
    long[..., 5:] = torch.nan
    whole = torch.empty(3 * 6 * 9 - 4, dtype=torch.complex128).copy_(long.flatten()[:-4])
    for x in (long[..., :5], whole.as_strided((3, 6, 5), (54, 9, 1)), long[1:, :, :5], long[:, ::2, :5]):
        nlat, lmax = (x.shape[1], 4) if not synthesis else (7, x.shape[1] - 1)
        got = legendre(x, half(nlat), nlat, lmax, synthesis, [])
        torch.testing.assert_close(got, legendre(x.clone(), half(nlat), nlat, lmax, synthesis, []), rtol=0, atol=0)
        assert not got.isnan().any()


def test_results_do_not_depend_on_threads() -> None:
    x, before = randn(3, 40, 40), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(legendre(x, half(40), 40, 39, False, []))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=0, atol=1e-14)


def test_degree_2048_without_a_table() -> None:
    """Synthesis then analysis with Gauss–Legendre weights is the identity, for the lowest orders."""
    lmax, count = 2048, 3
    _, weight = gauss_legendre(lmax + 1)
    coefficients = randn(1, lmax + 1, count) * (torch.arange(lmax + 1)[:, None] >= torch.arange(count))
    rings = legendre(coefficients, half(lmax + 1), lmax + 1, lmax, True, [])
    back = legendre(rings * weight[:, None], half(lmax + 1), lmax + 1, lmax, False, []) * (2 * torch.pi)
    torch.testing.assert_close(back, coefficients, rtol=0, atol=1e-10)


def test_high_orders_near_a_pole() -> None:
    """Starts of 10^-thousands grow to what the table has: a ring where order 1500 only lives at high degrees."""
    lmax, m0 = 2000, 1500
    theta = torch.tensor([1e-3, 0.3, 0.8, 0.85, 0.9, 1.5], dtype=torch.float64)
    functions = Recurrence(theta.numpy(), lmax, m0 + 2).functions(m0, 1, torch.float64)
    table = legendre_table(lmax, torch.tensor([m0]), theta)[0]
    for s in (0, 1):
        torch.testing.assert_close(functions[s][0], table[m0 + s :: 2], rtol=0, atol=1e-9)
    assert functions[2] == 4
    assert math.isclose(float(functions[0][0].abs().max()), float(table[m0::2].abs().max()), rel_tol=1e-9)


def test_the_table_is_kept_where_it_is_small() -> None:
    assert tabulates(255, 256)
    assert not tabulates(511, 512)


def test_blocks_hold_every_order_once() -> None:
    for orders in (1, 2, 17, 100):
        for tabulated in (False, True):
            blocks = blocks_of(half(8), 120, orders, tabulated)
            held = [m for block in blocks for m in range(orders)[block.orders]]
            assert sorted(held) == list(range(orders))
            assert all(block.degrees == ((120 - block.m0) // 2 + 1, (119 - block.m0) // 2 + 1) for block in blocks)
    assert blocks_of(half(8), 120, 17, True) is blocks_of(half(8), 120, 17, True)


@pytest.mark.parametrize(("nlat", "orders"), [(33, 33), (64, 50), (9, 1)])
def test_groups_of_orders(nlat: int, orders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders moved and multiplied a few at a time, as large batches are."""
    blocks = blocks_of(half(nlat), nlat - 1, orders, False)
    monkeypatch.setattr(legendre_cpu, "_GROUP_NUMBERS", 1)
    legendre_cpu._groups.cache_clear()
    try:
        groups, _, _ = legendre_cpu._groups(blocks, orders, 4)
        assert [m for group in groups for m in range(group.m0, group.m1)] == list(range(orders))
        assert all(group.m1 - group.m0 == LINE for group in groups[:-1])
        for synthesis in (False, True):
            x = randn(2, nlat, orders)
            wanted = by_the_table(x, gauss_legendre(nlat)[0], nlat - 1, synthesis)
            got = legendre(x, half(nlat), nlat, nlat - 1, synthesis, [])
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
    finally:
        legendre_cpu._groups.cache_clear()
