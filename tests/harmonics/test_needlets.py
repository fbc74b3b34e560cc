"""Needlet frames: reconstruction and Parseval on the sphere and on SO(3), their samples, and exact rotation."""

from __future__ import annotations

import math

import pytest
import torch
from numpy.polynomial.legendre import legval
from torch import Tensor

from armillary.harmonics import (
    SHT,
    BumpBank,
    FilterBank,
    MeyerBank,
    Needlets,
    NeedletTransform,
    SO3Blocks,
    SO3Needlets,
    SO3Transform,
    SphereNeedlets,
    evaluate,
    full_coefficients,
    random_field,
    random_rotation,
    rotate_blocks,
    rotate_coefficients,
)
from armillary.spaces import GaussLegendre, OrientedGrid

BANKS = [MeyerBank(), BumpBank()]
LMAX = [0, 1, 2, 6, 7, 8, 15]  # odd and even band limits


def sphere_coefficients(lmax: int, batch: tuple[int, ...] = (2,), seed: int = 0) -> Tensor:
    grid = GaussLegendre(lmax + 1)
    return SHT(grid)(random_field(grid, lmax, batch, torch.Generator().manual_seed(seed)))


def so3_coefficients(lmax: int, batch: tuple[int, ...] = (2,), seed: int = 0) -> Tensor:
    space = OrientedGrid(GaussLegendre(lmax + 1), 2 * lmax + 2)
    x = torch.randn(*batch, *space.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return SO3Transform(space)(x)


def sphere_norm(c: Tensor) -> Tensor:
    return (c.abs() ** 2).sum((-1, -2)) * 2 - (c[..., 0].abs() ** 2).sum(-1)


def so3_norm(c: Tensor, lmax: int) -> Tensor:
    return (full_coefficients(c, lmax).abs() ** 2).sum(-1)


def test_the_multipliers_by_their_definition() -> None:
    """Without the finest scaling function set to 1 they are α̂(l/2^j) and β̂_r(l/2^j) of the refinement."""
    bank, b = MeyerBank(), 16
    needlets = Needlets(b - 1, bank, levels=3)
    l = torch.arange(b).double()
    names = [(band.level, band.detail) for band in needlets.bands]
    assert names == [(0, None), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    inner = l <= b / 4  # there the finest scaling function is 1 anyway
    for band, row in zip(needlets.bands, needlets.multipliers, strict=True):
        unit = b / 2 ** (2 - band.level)
        wanted = bank.scaling(l / unit) if band.detail is None else bank.framelets(l / unit)[band.detail]
        torch.testing.assert_close(row[inner], wanted[inner], rtol=0, atol=1e-14)
        assert band.lmax == int(row.nonzero().max())
    assert [band.lmax for band in needlets.bands] == [1, 3, 3, 7, 7, 15, 15]


@pytest.mark.parametrize("bank", BANKS, ids=repr)
@pytest.mark.parametrize("lmax", LMAX)
def test_the_multipliers_are_tight(lmax: int, bank: FilterBank) -> None:
    for levels in range(int(math.log2(lmax + 1)) + 1):
        needlets = Needlets(lmax, bank, levels)
        torch.testing.assert_close(
            needlets.multipliers.square().sum(0), torch.ones(lmax + 1).double(), rtol=0, atol=1e-14
        )
        assert needlets.bands[0].detail is None
        assert len(Needlets(lmax, bank, 0).bands) == 1


@pytest.mark.parametrize("bank", BANKS, ids=repr)
@pytest.mark.parametrize("lmax", LMAX)
def test_reconstruction_and_parseval_on_the_sphere(lmax: int, bank: FilterBank) -> None:
    c = sphere_coefficients(lmax)
    transform = SphereNeedlets(Needlets(lmax, bank))
    parts = transform.decompose(c)
    assert [part.shape[-1] - 1 for part in parts] == [band.lmax for band in transform.bands]
    assert (transform.reconstruct(parts) - c).norm() <= 1e-10 * c.norm()
    torch.testing.assert_close(sum(map(sphere_norm, parts)), sphere_norm(c), rtol=1e-12, atol=0)
    samples = transform(c)
    assert (transform.synthesize(samples) - c).norm() <= 1e-10 * c.norm()
    energy = sum(space.integrate(x**2) for space, x in zip(transform.spaces, samples, strict=True))
    torch.testing.assert_close(energy, sphere_norm(c), rtol=1e-10, atol=0)


@pytest.mark.parametrize("bank", BANKS, ids=repr)
@pytest.mark.parametrize("lmax", LMAX)
def test_reconstruction_and_parseval_on_so3(lmax: int, bank: FilterBank) -> None:
    c = so3_coefficients(lmax)
    transform = SO3Needlets(Needlets(lmax, bank))
    parts = transform.decompose(c)
    assert [part.shape[-1] for part in parts] == [SO3Blocks(band.lmax).size for band in transform.bands]
    assert (transform.reconstruct(parts) - c).norm() <= 1e-10 * c.norm()
    total = sum(so3_norm(part, band.lmax) for part, band in zip(parts, transform.bands, strict=True))
    torch.testing.assert_close(total, so3_norm(c, lmax), rtol=1e-12, atol=0)
    samples = transform(c)
    assert (transform.synthesize(samples) - c).norm() <= 1e-10 * c.norm()
    energy = sum(space.integrate(x**2) for space, x in zip(transform.spaces, samples, strict=True))
    torch.testing.assert_close(energy, so3_norm(c, lmax), rtol=1e-10, atol=0)


def test_samples_are_products_with_needlets() -> None:
    """√w_k times a sample is ⟨f, ψ_k⟩ with ψ_k(ω) = √w_k Σ_l g(l) (2l + 1)/4π P_l(ω · x_k): by quadrature."""
    lmax, fine = 6, GaussLegendre(16)
    c = sphere_coefficients(lmax, ())
    transform = SphereNeedlets(Needlets(lmax, MeyerBank()))
    f = evaluate(c, fine.points.reshape(-1, 3)).reshape(fine.shape)
    for band, space, values in zip(transform.bands, transform.spaces, transform(c), strict=True):
        i, j = space.nlat // 2, space.nlon // 3
        cosines = (fine.points @ space.points[i, j]).numpy()
        series = [g * (2 * l + 1) / (4 * math.pi) for l, g in enumerate(band.multipliers)]
        needlet = torch.from_numpy(legval(cosines, series))
        torch.testing.assert_close(fine.integrate(f * needlet), values[i, j], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("lmax", [6, 7])
def test_decomposition_commutes_with_rotation(lmax: int) -> None:
    R = random_rotation(torch.Generator().manual_seed(3))
    c, d = sphere_coefficients(lmax), so3_coefficients(lmax)
    sphere, so3 = SphereNeedlets(Needlets(lmax, BumpBank())), SO3Needlets(Needlets(lmax, MeyerBank()))
    for after, before in zip(sphere.decompose(rotate_coefficients(c, R)), sphere.decompose(c), strict=True):
        torch.testing.assert_close(after, rotate_coefficients(before, R), rtol=0, atol=1e-12)
    turned = so3.decompose(rotate_blocks(d, SO3Blocks(lmax), left=R, right=R.mT))
    for after, before, band in zip(turned, so3.decompose(d), so3.bands, strict=True):
        wanted = rotate_blocks(before, SO3Blocks(band.lmax), left=R, right=R.mT)
        torch.testing.assert_close(after, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [SphereNeedlets, SO3Needlets])
def test_float32_gradients_and_layouts(kind: type[NeedletTransform]) -> None:
    transform = kind(Needlets(7, MeyerBank()), oversample=1.5)
    c = sphere_coefficients(7) if kind is SphereNeedlets else so3_coefficients(7)
    single = transform.synthesize(transform(c.to(torch.complex64)))
    assert single.dtype == torch.complex64
    assert (single - c).norm() <= 1e-5 * c.norm()
    strided = torch.stack([c, c], -1)[..., 0]
    torch.testing.assert_close(transform(strided)[-1], transform(c)[-1], rtol=0, atol=1e-13)
    c.requires_grad_()
    torch.autograd.backward([x.square().sum() for x in transform(c)])
    assert c.grad is not None
    assert bool(torch.isfinite(c.grad.abs()).all())
    assert not transform.state_dict()
    compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(c)[0], transform(c)[0], rtol=0, atol=1e-13)


def test_memory_falls_with_the_level() -> None:
    """Samples of band limit b/2^j: an eighth with each level on SO(3), a quarter on the sphere."""
    so3 = SO3Needlets(Needlets(31, BumpBank(), levels=3))
    assert [math.prod(space.shape) for space in so3.spaces] == [4 * 4**3, 4 * 8**3, 4 * 16**3, 4 * 32**3]
    sphere = SphereNeedlets(Needlets(31, BumpBank(), levels=3))
    assert [math.prod(space.shape) for space in sphere.spaces] == [2 * n**2 for n in (4, 8, 16, 32)]


@pytest.mark.parametrize("bank", BANKS, ids=repr)
def test_levels_by_default_leave_the_lowest_degrees(bank: FilterBank) -> None:
    assert {Needlets(lmax, bank).bands[0].lmax for lmax in range(2, 40)} == {1, 2, 3}
    assert Needlets(1, bank).bands[0].lmax == 0
    assert Needlets(0, bank).levels == 0


def test_bad_input() -> None:
    bank = MeyerBank()
    for lmax in (-1, 2.0, True):
        with pytest.raises(ValueError, match="lmax"):
            Needlets(lmax, bank)  # type: ignore[arg-type]
    for levels in (-1, 4, 1.0):
        with pytest.raises(ValueError, match="0 <= levels <= 3"):
            Needlets(7, bank, levels)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wanted a FilterBank"):
        Needlets(7, "meyer")  # type: ignore[arg-type]
    for oversample in (0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="factor >= 1"):
            SphereNeedlets(Needlets(7, bank), oversample)
    transform = SphereNeedlets(Needlets(7, bank))
    with pytest.raises(ValueError, match=r"complex \(..., 8, 8\)"):
        transform.decompose(sphere_coefficients(6))
    with pytest.raises(ValueError, match=r"complex \(..., 8, 8\)"):
        transform.decompose(sphere_coefficients(7).real)
    with pytest.raises(ValueError, match="SO3Needlets wants"):
        SO3Needlets(Needlets(7, bank)).decompose(so3_coefficients(6))
    with pytest.raises(ValueError, match="got 1 parts"):
        transform.reconstruct([sphere_coefficients(7)])
    with pytest.raises(ValueError, match="samples of 0 bands"):
        transform.synthesize([])
