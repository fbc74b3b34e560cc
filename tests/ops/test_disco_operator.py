"""The contraction and its adjoints: the index formula, dot products, gradients of every order, the contract."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from armillary.ops.disco import (
    disco,
    disco_grad_weight,
    disco_grad_weight_reference,
    disco_reference,
)
from armillary.ops.stencils import make_stencil, swapped

# batch, channels in, out, groups, functions, nlat_in, nlon_in, nlat_out, nlon_out
SHAPES = [
    (1, 1, 1, 1, 1, 2, 4, 1, 4),
    (2, 2, 4, 2, 3, 4, 6, 3, 6),
    (2, 4, 2, 1, 2, 3, 8, 2, 4),
    (1, 2, 2, 2, 2, 3, 4, 2, 6),
    (3, 1, 2, 1, 2, 2, 5, 1, 7),
    (1, 3, 3, 3, 1, 1, 1, 2, 3),
    (1, 9, 13, 1, 3, 3, 20, 5, 40),  # mixed first
    (2, 5, 2, 1, 13, 4, 12, 4, 12),  # more functions than fit the registers
    (1, 4, 4, 4, 2, 5, 144, 3, 72),  # several tiles, the last one partly filled
]


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(
    shape: tuple, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], int, int, bool]:
    """Random fields and weights, and a stencil with random entries: several at one point, some rows empty."""
    batch, c_in, c_out, groups, functions, nlat, nlon, nlat_out, nlon_out = shape
    phases = nlon_out // math.gcd(nlon, nlon_out)
    g = torch.Generator().manual_seed(7)
    starts = torch.cat([torch.zeros(1), torch.randint(0, 7, (nlat_out * phases,), generator=g).cumsum(0)]).long()
    count = int(starts[-1])
    ring = torch.randint(0, nlat, (count,), generator=g)
    column = torch.randint(-nlon, nlon, (count,), generator=g)
    values = randn(count, functions, seed=2).to(dtype)
    stencil = make_stencil(values, torch.stack([ring, column], dim=1), starts, nlat, nlon, nlon_out)
    x, weight = randn(batch, c_in, nlat, nlon, seed=0), randn(c_out, c_in // groups, functions, seed=1)
    return x.to(dtype), weight.to(dtype), randn(c_out, seed=8).to(dtype), stencil, nlon_out, groups, False


def by_the_formula(
    x: Tensor, weight: Tensor, bias: Tensor, stencil: list[Tensor], nlon_out: int, groups: int, _: bool
) -> Tensor:
    """y[b, o, j, q] = a[o] + Σ w[o, c, k] ψ[e, k] x[b, c, e + t·stride] with q = t·phases + r, in plain loops."""
    values, entries, starts = stencil[:3]
    nlon = x.shape[3]
    repeats = math.gcd(nlon, nlon_out)
    phases, stride = nlon_out // repeats, nlon // repeats
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    y = torch.zeros(x.shape[0], weight.shape[0], (len(starts) - 1) // phases, nlon_out, dtype=x.dtype)
    for j in range(y.shape[2]):
        for q in range(nlon_out):
            t, r = divmod(q, phases)
            z = x.new_zeros(*x.shape[:2], weight.shape[2])
            for e in range(int(starts[j * phases + r]), int(starts[j * phases + r + 1])):
                ring, column = entries[e].tolist()
                z += x[:, :, ring, (column + t * stride) % nlon, None] * values[e]
            for o in range(weight.shape[0]):
                first = o // per_out * per_in
                y[:, o, j, q] = bias[o] + torch.einsum("ck,bck->b", weight[o], z[:, first : first + per_in])
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_the_index_formula(shape: tuple) -> None:
    arguments = problem(shape)
    wanted = by_the_formula(*arguments)
    torch.testing.assert_close(disco(*arguments), wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(disco_reference(*arguments), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoints(shape: tuple) -> None:
    """⟨g, D(x, w)⟩ = ⟨D*_x(g, w), x⟩ = ⟨D*_w(x, g), w⟩."""
    x, weight, _, stencil, nlon_out, groups, _ = problem(shape)
    x.requires_grad_()
    weight.requires_grad_()
    y = disco(x, weight, None, stencil, nlon_out, groups, False)
    g = randn(*y.shape, seed=3)
    gx, gw = torch.autograd.grad(y, (x, weight), g)
    product = float((g * y.detach()).sum())
    assert float((gx * x.detach()).sum()) == pytest.approx(product, abs=1e-10)
    assert float((gw * weight.detach()).sum()) == pytest.approx(product, abs=1e-10)
    plain = disco_grad_weight_reference(x.detach(), g, stencil, weight.shape[2], groups)
    torch.testing.assert_close(gw, plain, rtol=0, atol=1e-11)
    turned = weight.detach().unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    plain = disco_reference(g, turned, None, swapped(stencil), x.shape[3], groups, False)
    torch.testing.assert_close(gx, plain, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stencil_swapped_twice_is_itself(shape: tuple) -> None:
    stencil = problem(shape)[3]
    for once, twice in zip(stencil, swapped(swapped(stencil)), strict=True):
        assert torch.equal(once, twice)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 5), st.data())
def test_any_shape(batch: int, inner: int, outs: int, groups: int, functions: int, data: st.DataObject) -> None:
    nlat, nlon, nlat_out, nlon_out = (data.draw(st.integers(1, most)) for most in (4, 40, 4, 40))
    shape = (batch, inner * groups, outs * groups, groups, functions, nlat, nlon, nlat_out, nlon_out)
    arguments = problem(shape)
    wanted = disco_reference(*arguments)
    torch.testing.assert_close(disco(*arguments), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_gradients_of_first_and_second_order(shape: tuple) -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = problem(shape)
    arguments = (x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_())

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return disco(x, weight, bias, stencil, nlon_out, groups, False)

    assert torch.autograd.gradcheck(run, arguments)
    assert torch.autograd.gradgradcheck(run, arguments)


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[3]])
def test_operator_contract(shape: tuple) -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = problem(shape)
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    y = disco(x, weight, bias, stencil, nlon_out, groups, False)
    g = randn(*y.shape, seed=4).requires_grad_()
    torch.library.opcheck(disco, (x, weight, bias, stencil, nlon_out, groups, False))
    torch.library.opcheck(disco_grad_weight, (x, g, stencil, weight.shape[2], groups))


def test_strided_arguments() -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = problem(SHAPES[1])
    y = disco(x, weight, bias, stencil, nlon_out, groups, False)
    odd = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    w = weight.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not odd.is_contiguous()
    torch.testing.assert_close(disco(odd, w, bias, stencil, nlon_out, groups, False), y, rtol=0, atol=1e-14)
    g = randn(*y.shape, seed=5)
    spread = g.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    wanted = disco_grad_weight(x, g, stencil, 3, groups)
    torch.testing.assert_close(disco_grad_weight(odd, spread, stencil, 3, groups), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(dtype: torch.dtype) -> None:
    """Half precision is computed in float32 and rounded once."""
    exact, low = problem(SHAPES[7]), problem(SHAPES[7], dtype)
    y = disco(*low)
    assert y.dtype == dtype
    bound = 40 * torch.finfo(dtype).eps
    wanted = disco(*(a.to(dtype).double() if isinstance(a, Tensor) else a for a in exact[:3]), *exact[3:])
    assert float((y.double() - wanted).abs().max() / wanted.abs().max()) < bound


def test_results_do_not_depend_on_threads_or_the_run() -> None:
    arguments = problem((2, 8, 8, 1, 3, 40, 64, 40, 64), torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = disco(*arguments)
        torch.set_num_threads(2)
        assert torch.equal(disco(*arguments), one)
        g = torch.ones_like(one)
        weights = [disco_grad_weight(arguments[0], g, arguments[3], 3, 1) for _ in range(3)]
        assert torch.equal(weights[0], weights[1])
        assert torch.equal(weights[0], weights[2])
    finally:
        torch.set_num_threads(before)
