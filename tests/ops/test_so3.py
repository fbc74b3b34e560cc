"""The operator of the Fourier transform on SO(3): its contract, its adjoint, samples a few at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.ops import so3
from armillary.ops.so3 import packed_size, so3_fourier
from armillary.ops.wigner_rows import wigner_table
from armillary.spaces import Equiangular

THETA = Equiangular(5).colatitudes
SIZES = (2, 6, 7)  # lmax, orientations, longitudes


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def table(kept: bool) -> Tensor:
    return wigner_table(THETA, 2) if kept else torch.zeros(0, dtype=torch.float64)


def forms(count: int) -> list[Tensor]:
    if count < 2:
        return [THETA.sin()] * count
    return [Equiangular(5).ring_inner_product(odd) for odd in (False, True)]


def samples(synthesis: bool, batch: int = 2) -> Tensor:
    return randn(batch, packed_size(2), dtype=torch.complex128) if synthesis else randn(batch, 6, 5, 7)


def test_packed_size() -> None:
    assert [packed_size(l) for l in range(5)] == [1, 7, 22, 50, 95]


@pytest.mark.parametrize("synthesis", [False, True])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_contract_and_gradients(synthesis: bool, kept: bool, count: int) -> None:
    arguments = (THETA, table(kept), forms(count), *SIZES, synthesis)
    x = samples(synthesis).requires_grad_()
    torch.library.opcheck(so3_fourier, (x, *arguments, True))
    for doubled in (False, True):
        assert torch.autograd.gradcheck(lambda v, d=doubled: so3_fourier(v, *arguments, d), x)
    assert torch.autograd.gradgradcheck(lambda v: so3_fourier(v, *arguments, False), x)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("doubled", [False, True])
def test_each_is_the_adjoint_of_the_other(count: int, doubled: bool) -> None:
    f, c = samples(False), samples(True)
    arguments = (THETA, table(True), forms(count), *SIZES)
    there = so3_fourier(f, *arguments, False, doubled)
    back = so3_fourier(c, *arguments, True, doubled)
    torch.testing.assert_close((there.conj() * c).sum().real, (f * back).sum())


@pytest.mark.parametrize("synthesis", [False, True])
def test_samples_a_few_at_a_time(synthesis: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = samples(synthesis, 5)
    arguments = (THETA, table(False), forms(2), *SIZES, synthesis, synthesis)
    whole = so3_fourier(x, *arguments)
    monkeypatch.setattr(so3, "_CHUNK_BYTES", 2 * 4 * 9 * 5 * 8)  # two of them
    torch.testing.assert_close(so3_fourier(x, *arguments), whole, rtol=0, atol=1e-13)
    torch.testing.assert_close(so3_fourier(x[:0], *arguments), whole[:0])


@pytest.mark.parametrize("synthesis", [False, True])
def test_strided_input(synthesis: bool) -> None:
    x = samples(synthesis, 3)
    strided = x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    assert not strided.is_contiguous()
    arguments = (THETA, table(True), forms(2), *SIZES, synthesis, True)
    torch.testing.assert_close(so3_fourier(strided, *arguments), so3_fourier(x, *arguments), rtol=0, atol=1e-14)
