"""The contraction and its two adjoints: the index formula, dot products, gradients of every order, the contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.ops.disco import (
    disco,
    disco_grad_input,
    disco_grad_input_reference,
    disco_grad_weight,
    disco_grad_weight_reference,
    disco_reference,
)

# batch, channels in, out, groups, functions, nlat_in, nlon_in, nlon_out, blocks of (ring, rings, column, width)
SHAPES = [
    (1, 1, 1, 1, 1, 2, 4, 4, [(0, 2, 0, 2)]),
    (2, 2, 4, 2, 3, 4, 6, 6, [(0, 2, -1, 3), (2, 2, -3, 6), (1, 3, 5, 2)]),
    (2, 4, 2, 1, 2, 3, 8, 4, [(0, 3, -7, 8), (1, 1, 0, 1)]),
    (1, 2, 2, 2, 2, 3, 4, 6, [(0, 1, -2, 3), (1, 2, 1, 4)]),
    (3, 1, 2, 1, 2, 2, 5, 7, [(0, 2, -9, 5)]),
    (1, 3, 3, 3, 1, 1, 1, 3, [(0, 1, 0, 1)] * 2),
]


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(shape: tuple) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
    batch, c_in, c_out, groups, functions, nlat, nlon, nlon_out, rectangles = shape
    phases = nlon_out // math.gcd(nlon, nlon_out)
    rows, offset = [], 0
    for ring, rings, column, width in rectangles:
        rows.append([ring, rings, column, width, offset])
        offset += phases * functions * rings * width
    x = randn(batch, c_in, nlat, nlon, seed=0)
    weight = randn(c_out, c_in // groups, functions, seed=1)
    return x, weight, randn(offset, seed=2), torch.tensor(rows), nlon_out, groups


def by_the_formula(x: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlon_out: int, groups: int) -> Tensor:
    """y[b, o, j, q] = Σ w[o, c, k] Ψ_j[r, k, i, p] x[b, c, i, p + t·stride] with q = t·phases + r, in plain loops."""
    nlon, functions = x.shape[3], weight.shape[2]
    repeats = math.gcd(nlon, nlon_out)
    phases, stride = nlon_out // repeats, nlon // repeats
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    y = torch.zeros(x.shape[0], weight.shape[0], len(blocks), nlon_out, dtype=x.dtype)
    for j, (ring, rings, column, width, offset) in enumerate(blocks.tolist()):
        kernel = values[offset : offset + phases * functions * rings * width].view(phases, functions, rings, width)
        for q in range(nlon_out):
            t, r = divmod(q, phases)
            columns = [(column + p + t * stride) % nlon for p in range(width)]
            patch = x[:, :, ring : ring + rings][..., columns]
            z = torch.einsum("kip,bcip->bck", kernel[r], patch)
            for o in range(weight.shape[0]):
                first = o // per_out * per_in
                y[:, o, j, q] = torch.einsum("ck,bck->b", weight[o], z[:, first : first + per_in])
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_the_index_formula(shape: tuple) -> None:
    arguments = problem(shape)
    wanted = by_the_formula(*arguments)
    torch.testing.assert_close(disco(*arguments), wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(disco_reference(*arguments), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoints(shape: tuple) -> None:
    """⟨g, D(x, w)⟩ = ⟨D*_x(g, w), x⟩ = ⟨D*_w(x, g), w⟩."""
    x, weight, values, blocks, nlon_out, groups = problem(shape)
    y = disco(x, weight, values, blocks, nlon_out, groups)
    g = randn(*y.shape, seed=3)
    gx = disco_grad_input(g, weight, values, blocks, x.shape[2], x.shape[3], groups)
    gw = disco_grad_weight(x, g, values, blocks, weight.shape[2], groups)
    assert (gx.shape, gw.shape) == (x.shape, weight.shape)
    product = float((g * y).sum())
    assert float((gx * x).sum()) == pytest.approx(product, abs=1e-11)
    assert float((gw * weight).sum()) == pytest.approx(product, abs=1e-11)
    plain = disco_grad_input_reference(g, weight, values, blocks, x.shape[2], x.shape[3], groups)
    torch.testing.assert_close(gx, plain, rtol=0, atol=1e-13)
    plain = disco_grad_weight_reference(x, g, values, blocks, weight.shape[2], groups)
    torch.testing.assert_close(gw, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_gradients_of_first_and_second_order(shape: tuple) -> None:
    x, weight, values, blocks, nlon_out, groups = problem(shape)
    arguments = (x.requires_grad_(), weight.requires_grad_())

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return disco(x, weight, values, blocks, nlon_out, groups)

    assert torch.autograd.gradcheck(run, arguments)
    assert torch.autograd.gradgradcheck(run, arguments)


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[3]])
def test_operator_contract(shape: tuple) -> None:
    x, weight, values, blocks, nlon_out, groups = problem(shape)
    g = randn(x.shape[0], weight.shape[0], len(blocks), nlon_out, seed=4).requires_grad_()
    x.requires_grad_()
    weight.requires_grad_()
    torch.library.opcheck(disco, (x, weight, values, blocks, nlon_out, groups))
    torch.library.opcheck(disco_grad_input, (g, weight, values, blocks, x.shape[2], x.shape[3], groups))
    torch.library.opcheck(disco_grad_weight, (x, g, values, blocks, weight.shape[2], groups))


def test_strided_arguments() -> None:
    x, weight, values, blocks, nlon_out, groups = problem(SHAPES[1])
    y = disco(x, weight, values, blocks, nlon_out, groups)
    odd = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    w = weight.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not odd.is_contiguous()
    torch.testing.assert_close(disco(odd, w, values, blocks, nlon_out, groups), y, rtol=0, atol=1e-14)
    g = randn(*y.shape, seed=5)
    spread = g.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    for op, arguments, other in (
        (disco_grad_input, (g, weight, values, blocks, 4, 6, groups), (spread, w, values, blocks, 4, 6, groups)),
        (disco_grad_weight, (x, g, values, blocks, 3, groups), (odd, spread, values, blocks, 3, groups)),
    ):
        torch.testing.assert_close(op(*other), op(*arguments), rtol=0, atol=1e-13)
