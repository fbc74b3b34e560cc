"""The Legendre stage without a table: the same numbers as with it, gradients, the operator's contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.ops import legendre as module
from armillary.ops.legendre import legendre
from armillary.ops.quadrature import gauss_legendre
from armillary.ops.wigner import legendre_table


def columns(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("synthesis", [False, True])
@pytest.mark.parametrize(
    ("count", "lmax", "nlat", "batch"), [(1, 0, 1, 1), (5, 4, 7, 3), (12, 11, 6, 1), (4, 9, 10, 2)]
)
@pytest.mark.parametrize("chunk", [2**27, 800])
def test_equals_the_product_with_the_table(
    synthesis: bool, count: int, lmax: int, nlat: int, batch: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", chunk)
    theta = gauss_legendre(nlat)[0]
    table = legendre_table(lmax, torch.arange(count), theta)
    x = columns(count, lmax + 1 if synthesis else nlat, batch)
    wanted = torch.bmm(table.mT if synthesis else table, x)
    torch.testing.assert_close(legendre(x, theta, lmax, synthesis), wanted, rtol=0, atol=1e-13)
    single = legendre(x.float(), theta, lmax, synthesis)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("synthesis", [False, True])
def test_operator_contract_and_gradients(synthesis: bool) -> None:
    theta = gauss_legendre(6)[0]
    x = columns(4, 5 if synthesis else 6, 3).requires_grad_()
    torch.library.opcheck(legendre, (x, theta, 4, synthesis))
    assert torch.autograd.gradcheck(lambda v: legendre(v, theta, 4, synthesis), x)
    assert torch.autograd.gradgradcheck(lambda v: legendre(v, theta, 4, synthesis), x)


def test_strided_input() -> None:
    theta = gauss_legendre(6)[0]
    x = columns(3, 6, 4).permute(2, 1, 0)[:3]
    assert not x.is_contiguous()
    torch.testing.assert_close(legendre(x, theta, 4, False), legendre(x.contiguous(), theta, 4, False))


def test_degree_2048_without_a_table() -> None:
    """Synthesis then analysis with Gauss–Legendre weights is the identity, for the lowest orders."""
    lmax, count = 2048, 3
    theta, weight = gauss_legendre(lmax + 1)
    coefficients = columns(count, lmax + 1, 1) * (torch.arange(lmax + 1) >= torch.arange(count)[:, None])[..., None]
    rings = legendre(coefficients, theta, lmax, True)
    back = legendre(rings * weight[:, None], theta, lmax, False) * (2 * torch.pi)
    torch.testing.assert_close(back, coefficients, rtol=0, atol=1e-10)
