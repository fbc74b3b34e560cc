"""Needlet convolution from the sphere to SO(3), on it and back: integrals by quadrature, equivariance, contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import from_euler_zyz, random_rotation, wigner_D
from armillary.harmonics import (
    SHT,
    BumpBank,
    InverseSHT,
    InverseSO3Transform,
    MeyerBank,
    Needlets,
    SO3Blocks,
    SO3Needlets,
    SO3Transform,
    evaluate,
    full_coefficients,
    random_field,
    rotate_blocks,
)
from armillary.nn import (
    NeedletInvariants,
    NeedletLift,
    NeedletProject,
    NeedletShrinkage,
    SO3NeedletConv,
    SphereNeedletConv,
)
from armillary.nn.needlet_so3 import _real_basis
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import SphereSymmetry, check_layer, equivariance_error


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> None:
    """Every module here is a Sequential: torch compiles the same code only so many times."""
    torch._dynamo.reset()


def space_of(lmax: int) -> OrientedGrid:
    return OrientedGrid(GaussLegendre(lmax + 1), 2 * lmax + 2)


def on_so3(lmax: int, channels: int, batch: int = 2, seed: int = 0) -> Tensor:
    space = space_of(lmax)
    x = torch.randn(batch, channels, *space.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return SO3Transform(space)(x)


def on_sphere(lmax: int, channels: int, batch: int = 2) -> Tensor:
    grid = GaussLegendre(lmax + 1)
    return SHT(grid)(random_field(grid, lmax, (batch, channels), torch.Generator().manual_seed(0)))


def values_at(full: Tensor, lmax: int, Q: Tensor) -> Tensor:
    """Σ c_lmn sqrt((2l + 1)/8π²) D^l_mn(Q)* at rotations Q (P, 3, 3)."""
    total = torch.zeros(*full.shape[:-1], len(Q), dtype=torch.complex128)
    for l, block in enumerate(SO3Blocks(lmax, half=False).split(full)):
        functions = math.sqrt((2 * l + 1) / (8 * math.pi**2)) * wigner_D(l, Q).conj()
        total = total + torch.einsum("...mn,pmn->...p", block, functions)
    return total


def test_the_real_basis() -> None:
    U = _real_basis(3)
    torch.testing.assert_close(U @ U.mH, torch.eye(7).to(U.dtype), rtol=0, atol=1e-14)
    signs = torch.tensor([(-1.0) ** n for n in range(-3, 4)], dtype=torch.complex128)
    torch.testing.assert_close(U.flip(1), signs * U.conj(), rtol=0, atol=0)


def test_the_lift_is_an_integral_with_a_turned_filter() -> None:
    """y(R) = ∫ x(ω) ψ(R⁻¹ω) dω by quadrature, ψ real with ψ_ln = sqrt((2l + 1)/4π) Ψ^l_n*."""
    lmax, nmax = 4, 3
    layer = NeedletLift(1, 1, Needlets(lmax, MeyerBank()), nmax, bias=False).double()
    x, fine = on_sphere(lmax, 1, 1), GaussLegendre(12)
    kernels = layer._kernels(x)[:, 0, 0, 0]  # (l, n)
    psi = torch.zeros(lmax + 1, lmax + 1, dtype=torch.complex128)
    for l in range(lmax + 1):
        for n in range(min(l, nmax) + 1):
            psi[l, n] = math.sqrt((2 * l + 1) / (4 * math.pi)) * kernels[l, nmax + n].conj()
    generator, points = torch.Generator().manual_seed(1), fine.points.reshape(-1, 3)
    Q = torch.stack([random_rotation(generator) for _ in range(5)])
    f = evaluate(x[0, 0], points)
    wanted = [(f * evaluate(psi, points @ R)) @ fine.quadrature.reshape(-1) for R in Q]
    got = values_at(full_coefficients(layer(x)[0, 0], lmax), lmax, Q).detach()
    torch.testing.assert_close(got.real, torch.stack(wanted), rtol=0, atol=1e-12)
    assert float(got.imag.abs().max()) < 1e-12


def test_the_convolution_is_an_integral_with_a_turned_filter() -> None:
    """y(R) = ∫ x(Q) ψ(R⁻¹Q) dQ by quadrature, ψ_lnk = sqrt((2l + 1)/8π²) Ψ^l_kn*."""
    lmax, nmax = 3, 2
    layer = SO3NeedletConv(1, 1, Needlets(lmax, MeyerBank()), nmax, bias=False).double()
    x, space = on_so3(lmax, 1, 1), space_of(7)
    kernels = layer._kernels(x)[:, 0, :, 0]  # (l, k, n)
    blocks = []
    for l in range(lmax + 1):
        block = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)
        reach = min(l, nmax)
        inner, outer = slice(nmax - reach, nmax + reach + 1), slice(l - reach, l + reach + 1)
        block[outer, outer] = math.sqrt((2 * l + 1) / (8 * math.pi**2)) * kernels[l][inner, inner].mH
        blocks.append(block)
    psi = SO3Blocks(lmax, half=False).join(blocks)
    gammas, thetas, phis = space.orientations, space.grid.colatitudes, space.grid.longitudes
    nodes = torch.stack([from_euler_zyz(p, t, g) for g in gammas for t in thetas for p in phis])
    weights = space.quadrature.reshape(-1)
    f = values_at(full_coefficients(x[0, 0], lmax), lmax, nodes).real
    generator = torch.Generator().manual_seed(1)
    Q = torch.stack([random_rotation(generator) for _ in range(3)])
    wanted = [(f * values_at(psi, lmax, R.mT @ nodes).real) @ weights for R in Q]
    got = values_at(full_coefficients(layer(x)[0, 0], lmax), lmax, Q).detach()
    torch.testing.assert_close(got.real, torch.stack(wanted), rtol=0, atol=1e-11)
    assert float(got.imag.abs().max()) < 1e-12


@pytest.mark.parametrize("lmax", [6, 7])
def test_convolution_is_multiplication_in_each_band(lmax: int) -> None:
    """The definition: decompose, multiply each band by its own matrix in channels and orders, reconstruct."""
    needlets, nmax = Needlets(lmax, MeyerBank()), 2
    layer = SO3NeedletConv(2, 3, needlets, nmax, bias=False).double()
    x, transform, U = on_so3(lmax, 2), SO3Needlets(needlets), _real_basis(2)
    mixed = []
    for w, part, band in zip(layer.weight, transform.decompose(x), transform.bands, strict=True):
        psi, out = U.mH @ w.to(U.dtype) @ U, []
        for l, block in enumerate(SO3Blocks(band.lmax).split(part)):
            y = torch.zeros(2, 3, l + 1, 2 * l + 1, dtype=torch.complex128)
            for k in range(-min(l, nmax), min(l, nmax) + 1):
                for n in range(-min(l, nmax), min(l, nmax) + 1):
                    y[..., l + n] += torch.einsum("oi,bim->bom", psi[..., nmax + k, nmax + n], block[..., l + k])
            out.append(y)
        mixed.append(SO3Blocks(band.lmax).join(out))
    torch.testing.assert_close(layer(x), transform.reconstruct(mixed), rtol=0, atol=1e-12)


def test_projection_is_the_column_that_does_not_turn() -> None:
    """NeedletProject is SO3NeedletConv of its weights in the middle column, read as a field: c_lm0 = √2π f_lm."""
    lmax, needlets = 6, Needlets(6, BumpBank())
    project, conv = NeedletProject(2, 3, needlets).double(), SO3NeedletConv(2, 3, needlets).double()
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., 2:3] = project.weight
        project.bias.normal_()
        conv.bias.copy_(project.bias)
    x, grid = on_so3(lmax, 2), GaussLegendre(7)
    there = InverseSO3Transform(OrientedGrid(grid, 14))(conv(x))
    torch.testing.assert_close(there, there[..., :1, :, :].expand_as(there), rtol=0, atol=1e-12)
    torch.testing.assert_close(InverseSHT(grid)(project(x)), there[..., 0, :, :], rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [GaussLegendre(7), Equiangular(6)], ids=str)
def test_contracts(grid) -> None:
    torch.manual_seed(0)
    lmax = grid.lmax
    needlets, space = Needlets(lmax, MeyerBank()), OrientedGrid(grid, 2 * lmax + 1)
    to, back = SO3Transform(space), InverseSO3Transform(space)
    lift = nn.Sequential(SHT(grid), NeedletLift(2, 3, needlets, nmax=3), back)
    check_layer(lift, grid, space, channels=2, tolerance=1e-11, lmax=lmax)
    conv = nn.Sequential(to, SO3NeedletConv(2, 3, needlets, profiles=2), back)
    check_layer(conv, space, channels=2, tolerance=1e-11, lmax=lmax)
    project = nn.Sequential(to, NeedletProject(2, 3, needlets, nmax=0), InverseSHT(grid))
    check_layer(project, space, grid, channels=2, tolerance=1e-11, lmax=lmax)


def test_contract_of_shrinkage_and_its_error_against_oversampling() -> None:
    space, needlets, errors = space_of(7), Needlets(7, MeyerBank()), []
    for oversample in (1, 2, 3):
        layer = NeedletShrinkage(1, SO3Needlets(needlets, oversample), initial=0.1)
        whole = nn.Sequential(SO3Transform(space), layer, InverseSO3Transform(space))
        errors.append(equivariance_error(whole, space, channels=1, lmax=7, n_rotations=2))
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    space = space_of(5)
    layer = NeedletShrinkage(2, SO3Needlets(Needlets(5, MeyerBank())), initial=0.3)
    check_layer(
        nn.Sequential(SO3Transform(space), layer, InverseSO3Transform(space)), space, channels=2, tolerance=None
    )


def test_invariants() -> None:
    """Means and mean squares of the bands by integration; no rotation from the left or right changes them."""
    lmax, needlets = 6, Needlets(6, MeyerBank())
    layer = NeedletInvariants(2, needlets, eps=1e-12).double()
    x = on_so3(lmax, 2)
    got = layer(x).unflatten(1, (2, -1))
    assert layer(x).shape == (2, layer.features)
    space = space_of(lmax)
    volume = 8 * math.pi**2
    torch.testing.assert_close(got[..., 0], space.integrate(InverseSO3Transform(space)(x)) / volume, rtol=0, atol=1e-12)
    transform = SO3Needlets(needlets)
    for i, (grid, values) in enumerate(zip(transform.spaces, transform(x), strict=True)):
        if i == 0:
            values = values - got[..., 0, None, None, None]
        wanted = (grid.integrate(values**2) / volume).sqrt()
        torch.testing.assert_close(got[..., 1 + i], wanted, rtol=1e-8, atol=0)
    generator = torch.Generator().manual_seed(4)
    R, S = random_rotation(generator), random_rotation(generator)
    torch.testing.assert_close(layer(rotate_blocks(x, SO3Blocks(lmax), R, S)), layer(x), rtol=0, atol=1e-12)
    assert torch.isfinite(layer.float()(torch.zeros(1, 2, SO3Blocks(6).size, dtype=torch.complex64))).all()


def test_contract_of_invariants() -> None:
    space = space_of(5)
    whole = nn.Sequential(SO3Transform(space), NeedletInvariants(2, Needlets(5, BumpBank())))
    check_layer(whole, SphereSymmetry(space, None, 2, lmax=5), tolerance=1e-12)


def test_bad_input() -> None:
    needlets = Needlets(5, MeyerBank())
    for kind in (NeedletLift, SO3NeedletConv, NeedletProject):
        with pytest.raises(ValueError, match="nmax"):
            kind(1, 1, needlets, nmax=6)
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            kind(0, 1, needlets)
        layer = kind(2, 1, needlets)
        good = on_sphere(5, 2) if kind is NeedletLift else on_so3(5, 2)
        wrong = on_sphere(6, 2) if kind is NeedletLift else on_so3(6, 2)
        for x in (good[:, :1], good.real, wrong):
            with pytest.raises(ValueError, match="wants complex coefficients"):
                layer(x)
    with pytest.raises(ValueError, match="these NeedletInvariants"):
        NeedletInvariants(1, needlets)(on_so3(5, 2))
    with pytest.raises(ValueError, match="eps"):
        NeedletInvariants(1, needlets, eps=0)


def test_built_on_meta_and_filled() -> None:
    """Constants are made on the CPU, and what is cached of them serves others; parameters come later."""
    lmax, kinds = 9, (SphereNeedletConv, NeedletLift, SO3NeedletConv, NeedletProject)  # lmax of no other test

    def build(kind):
        return kind(2, 1, Needlets(lmax, BumpBank()), profiles=2)

    with torch.device("meta"):
        layers = [build(kind) for kind in kinds]
        invariants = NeedletInvariants(2, Needlets(lmax, BumpBank()))
    for layer, kind in zip(layers, kinds, strict=True):
        assert layer.weight.is_meta
        built, filled = build(kind), layer.to_empty(device="cpu")
        filled.load_state_dict(built.state_dict())
        x = (on_sphere if kind in (SphereNeedletConv, NeedletLift) else on_so3)(lmax, 2)
        torch.testing.assert_close(filled(x), built(x), rtol=0, atol=0)
    assert torch.equal(invariants(x), NeedletInvariants(2, Needlets(lmax, BumpBank()))(x))
