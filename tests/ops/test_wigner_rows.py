"""Wigner functions of orders 0 ≤ n ≤ m by their recurrence, against ``ops.wigner`` and against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from armillary.ops.wigner import wigner_d
from armillary.ops.wigner_rows import row_offsets, table_rows, tabulates_so3, wigner_rows, wigner_table


def normalised(lmax: int, beta: Tensor) -> Tensor:
    """p^l_mn(β) of ``ops.wigner``, (L, M, N, J)."""
    orders = torch.arange(lmax + 1)
    d = torch.stack(list(wigner_d(lmax, orders[:, None, None], orders[:, None], beta)))
    degrees = torch.arange(lmax + 1, dtype=torch.float64)
    return d * ((2 * degrees + 1) / (8 * math.pi**2)).sqrt()[:, None, None, None]


@pytest.mark.parametrize("lmax", [0, 1, 2, 7, 40])
def test_same_as_the_functions_one_by_one(lmax: int) -> None:
    beta = torch.linspace(0, math.pi, 9, dtype=torch.float64)
    wanted = normalised(lmax, beta)
    count = 0
    for m, rows in enumerate(wigner_rows(beta, lmax, torch.float64)):
        torch.testing.assert_close(rows, wanted[m:, m, : m + 1].transpose(0, 1), rtol=0, atol=1e-13)
        count += 1
    assert count == lmax + 1


def test_high_orders_near_a_pole_by_exact_arithmetic() -> None:
    """The Jacobi polynomial ``Σ_k C(l - n, l - m - k) C(l + n, k) (-s²)^k (c²)^(l-m-k)`` summed in fractions, l = 250,
    with c, s those of β/2."""
    lmax = 250
    beta = torch.tensor([0.05, 0.4, 1.3, math.pi - 0.05], dtype=torch.float64)
    pairs = [(250, 0), (200, 170), (120, 3), (20, 20), (7, 0)]
    for m, rows in enumerate(wigner_rows(beta, lmax, torch.float64)):
        for n in (n for (k, n) in pairs if k == m):
            for j, angle in enumerate(beta.tolist()):
                sine = Fraction(math.sin(angle / 2)) ** 2
                total = Fraction(0)
                for k in range(lmax - m + 1):
                    count = math.comb(lmax - n, lmax - m - k) * math.comb(lmax + n, k)
                    total += (-1) ** k * count * sine**k * (1 - sine) ** (lmax - m - k)
                log = (math.lgamma(lmax + m + 1) + math.lgamma(lmax - m + 1)) / 2
                log -= (math.lgamma(lmax + n + 1) + math.lgamma(lmax - n + 1)) / 2
                log += (m + n) * math.log(math.cos(angle / 2)) + (m - n) * math.log(math.sin(angle / 2))
                size = math.log(abs(total.numerator)) - math.log(total.denominator) if total else -math.inf
                value = math.copysign(math.exp(log + size), total) * (-1) ** (m - n)
                value *= math.sqrt((2 * lmax + 1) / (8 * math.pi**2))
                assert float(rows[n, -1, j]) == pytest.approx(value, rel=1e-9, abs=1e-13), (m, n, angle)


@pytest.mark.parametrize("rings", [6, 7])
def test_table(rings: int) -> None:
    beta = (torch.arange(rings, dtype=torch.float64) + 0.5) * (math.pi / rings)
    table = wigner_table(beta, 5)
    assert len(table) == row_offsets(5, rings)[-1] == rings * sum((m + 1) * (6 - m) for m in range(6))
    for kept, made in zip(table_rows(table, 5, rings), wigner_rows(beta, 5, torch.float64), strict=True):
        torch.testing.assert_close(kept, made, rtol=0, atol=0)


def test_float32_rows_are_rounded_float64_rows() -> None:
    beta = torch.linspace(0, math.pi, 33, dtype=torch.float64)
    exact = [rows.clone() for rows in wigner_rows(beta, 60, torch.float64)]
    for single, double in zip(wigner_rows(beta, 60, torch.float32), exact, strict=True):
        torch.testing.assert_close(single, double.float(), rtol=0, atol=0)


def test_large_ones_are_not_kept() -> None:
    assert tabulates_so3(63, 128)
    assert not tabulates_so3(127, 256)
