"""The packed layout of coefficients on SO(3), and rotation of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz, random_rotation, wigner_D
from armillary.harmonics import InverseSO3Transform, SO3Blocks, SO3Transform, full_coefficients, rotate, rotate_blocks
from armillary.spaces import GaussLegendre, OrientedGrid


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def evaluate(full: Tensor, lmax: int, Q: Tensor) -> Tensor:
    """Σ c_lmn sqrt((2l + 1)/8π²) D^l_mn(Q)*, the direct sum, at rotations Q (P, 3, 3)."""
    total = torch.zeros(*full.shape[:-1], len(Q), dtype=torch.complex128)
    for l, block in enumerate(SO3Blocks(lmax, half=False).split(full)):
        functions = math.sqrt((2 * l + 1) / (8 * math.pi**2)) * wigner_D(l, Q).conj()
        total = total + torch.einsum("...mn,pmn->...p", block, functions)
    return total


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("lmax", [0, 1, 4, 5])
def test_split_and_join(lmax: int, half: bool) -> None:
    blocks = SO3Blocks(lmax, half)
    c = randn(2, 3, blocks.size)
    parts = blocks.split(c)
    assert [tuple(p.shape) for p in parts] == [(2, 3, *blocks.shape(l)) for l in range(lmax + 1)]
    assert all(part.data_ptr() >= c.data_ptr() and part._base is not None for part in parts)
    torch.testing.assert_close(blocks.join(parts), c, rtol=0, atol=0)
    assert blocks.size == sum((l + 1 if half else 2 * l + 1) * (2 * l + 1) for l in range(lmax + 1))


@pytest.mark.parametrize("half", [False, True])
def test_resize_is_a_cut_or_zeros(half: bool) -> None:
    blocks = SO3Blocks(5, half)
    c = randn(2, blocks.size)
    low = blocks.resize(c, 3)
    for a, b in zip(SO3Blocks(3, half).split(low), blocks.split(c), strict=False):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    again = SO3Blocks(3, half).resize(low, 5)
    assert [float(b.abs().max()) > 0 for b in blocks.split(again)] == [True] * 4 + [False] * 2
    torch.testing.assert_close(blocks.resize(c, 5), c, rtol=0, atol=0)


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("half", [False, True])
def test_rotation_by_the_direct_sum(side: str, half: bool) -> None:
    """(R f S)(Q) = f(R⁻¹ Q S)."""
    generator = torch.Generator().manual_seed(1)
    R, S = (random_rotation(generator) for _ in range(2))
    left, right = (R if side != "right" else None), (S if side != "left" else None)
    Q = torch.stack([random_rotation(generator) for _ in range(7)])
    blocks = SO3Blocks(4, half)
    space = OrientedGrid(GaussLegendre(5, 9), 9)
    real = torch.randn(2, *space.shape, generator=generator, dtype=torch.float64)
    c = SO3Transform(space)(real) if half else randn(2, blocks.size)
    turned = rotate_blocks(c, blocks, left=left, right=right)
    moved = Q if right is None else Q @ right
    moved = moved if left is None else left.T @ moved
    got, before = (full_coefficients(v, 4) if half else v for v in (turned, c))
    torch.testing.assert_close(evaluate(got, 4, Q), evaluate(before, 4, moved), rtol=0, atol=1e-12)
    single = rotate_blocks(c.to(torch.complex64), blocks, left=left, right=right)
    assert single.dtype == torch.complex64
    torch.testing.assert_close(single, turned.to(torch.complex64), rtol=0, atol=1e-4)


def test_left_rotation_is_that_of_fields() -> None:
    space = OrientedGrid(GaussLegendre(7, 13), 13)
    generator = torch.Generator().manual_seed(2)
    f = InverseSO3Transform(space)(SO3Transform(space)(torch.randn(space.shape, generator=generator).double()))
    R = random_rotation(generator)
    turned = InverseSO3Transform(space)(rotate_blocks(SO3Transform(space)(f), SO3Blocks(6), left=R))
    torch.testing.assert_close(turned, rotate(f, space, R), rtol=0, atol=1e-12)


def test_right_turn_about_z_shifts_orientations() -> None:
    space = OrientedGrid(GaussLegendre(4, 7), 7)
    f = InverseSO3Transform(space)(SO3Transform(space)(torch.randn(space.shape, dtype=torch.float64)))
    step = from_euler_zyz(0.0, 0.0, 2 * math.pi / 7)
    turned = InverseSO3Transform(space)(rotate_blocks(SO3Transform(space)(f), SO3Blocks(3), right=step))
    torch.testing.assert_close(turned, f.roll(-1, -3), rtol=0, atol=1e-12)


def test_wrong_input() -> None:
    blocks = SO3Blocks(2)
    with pytest.raises(ValueError, match="lmax = -1"):
        SO3Blocks(-1)
    with pytest.raises(ValueError, match="half = 'no'"):
        SO3Blocks(1, "no")  # type: ignore[arg-type]
    for wrong in (randn(35), torch.zeros(35), randn(22, 1), torch.zeros(())):
        with pytest.raises(ValueError, match=r"wants \(\.\.\., 22\)"):
            blocks.split(wrong)
        with pytest.raises(ValueError, match=r"wants \(\.\.\., 22\)"):
            blocks.resize(wrong, 1)
    with pytest.raises(ValueError, match=r"dtype torch.float32, rotate_blocks wants complex \(\.\.\., 22\)"):
        rotate_blocks(torch.zeros(22), blocks)
    with pytest.raises(ValueError, match="one for each degree"):
        blocks.join([randn(1, 1), randn(3, 3), randn(3, 5)])
    with pytest.raises(ValueError, match="not a rotation"):
        rotate_blocks(randn(22), blocks, left=2 * torch.eye(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"wants complex \(\.\.\., 22\)"):
        full_coefficients(randn(35), 2)
