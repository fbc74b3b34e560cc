"""Harmonics of vectors: against scipy, e3nn and closed identities; gradients everywhere, at the poles and at zero."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import roots_legendre, sph_harm_y
from torch import Tensor

from armillary.groups import random_rotation, wigner_D_real
from armillary.ops.real_harmonics import solid_harmonics, spherical_harmonics

POLES = torch.tensor([[0, 0, 1], [0, 0, -1], [0, 0, 7.5], [1, 0, 0], [0, -1, 0], [1e-9, 0, 1]], dtype=torch.float64)


def vectors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_scipy(lmax: int, r: Tensor) -> Tensor:
    theta, phi = torch.hypot(r[:, 0], r[:, 1]).atan2(r[:, 2]).numpy(), torch.atan2(r[:, 1], r[:, 0]).numpy()
    columns = []
    for l in range(lmax + 1):
        for m in range(-l, l + 1):
            value = (-1) ** m * (2**0.5 if m else 1) * sph_harm_y(l, abs(m), theta, phi)
            columns.append(torch.from_numpy(value.real if m >= 0 else value.imag))
    return torch.stack(columns, 1)


def jacobian(function, r: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """(count, values, 3) of a function of each vector by itself."""
    return torch.func.vmap(torch.func.jacrev(function))(r)


@pytest.mark.parametrize("lmax", [0, 1, 11, 32])
def test_are_those_of_scipy(lmax: int) -> None:
    r = torch.cat([vectors(40), POLES])
    torch.testing.assert_close(spherical_harmonics(lmax, r), by_scipy(lmax, r), rtol=0, atol=5e-14)


def test_are_those_of_e3nn() -> None:
    """e3nn takes y for the polar axis: its (x, y, z) are our (y, z, x)."""
    o3 = pytest.importorskip("e3nn.o3")
    r = torch.cat([vectors(40, 1), POLES])
    other = o3.spherical_harmonics(list(range(12)), r[:, [1, 2, 0]], normalize=True, normalization="integral")
    torch.testing.assert_close(spherical_harmonics(11, r), other, rtol=0, atol=1e-13)


def test_degree_one_is_y_z_x() -> None:
    r = vectors(5, 2)
    wanted = (3 / (4 * math.pi)) ** 0.5 * r[:, [1, 2, 0]]
    torch.testing.assert_close(solid_harmonics(1, r)[:, 1:], wanted)


def test_addition_theorem() -> None:
    """Σ_m Y_lm(a) Y_lm(b) = (2l + 1)/4π P_l(a·b)."""
    a, b = (torch.nn.functional.normalize(vectors(30, seed), dim=1) for seed in (3, 4))
    products = spherical_harmonics(32, a) * spherical_harmonics(32, b)
    x = (a * b).sum(1)
    before, legendre = torch.zeros_like(x), torch.ones_like(x)
    for l in range(33):
        wanted = (2 * l + 1) / (4 * math.pi) * legendre
        torch.testing.assert_close(products[:, l * l : (l + 1) ** 2].sum(1), wanted, rtol=0, atol=1e-13)
        before, legendre = legendre, ((2 * l + 1) * x * legendre - l * before) / (l + 1)


def test_orthonormal() -> None:
    """By a quadrature that is exact to degree 65."""
    nodes, weights = (torch.from_numpy(v) for v in roots_legendre(33))
    phi = 2 * math.pi / 65 * torch.arange(65, dtype=torch.float64)
    sin = (1 - nodes**2).sqrt()[:, None]
    points = torch.stack([sin * phi.cos(), sin * phi.sin(), nodes[:, None].expand(-1, 65)], -1).flatten(0, 1)
    Y = spherical_harmonics(32, points)
    w = (weights[:, None] * (2 * math.pi / 65)).expand(-1, 65).flatten()
    torch.testing.assert_close(Y.T @ (w[:, None] * Y), torch.eye(33**2).double(), rtol=0, atol=1e-12)


def test_turn_by_the_wigner_matrices() -> None:
    r, R = vectors(20, 5), random_rotation(torch.Generator().manual_seed(6))
    Y, turned = spherical_harmonics(20, r), spherical_harmonics(20, r @ R.T)
    for l in range(21):
        part = slice(l * l, (l + 1) ** 2)
        torch.testing.assert_close(turned[:, part], Y[:, part] @ wigner_D_real(l, R).T, rtol=0, atol=1e-12)
    signs = torch.cat([torch.full((2 * l + 1,), (-1.0) ** l) for l in range(21)])
    torch.testing.assert_close(spherical_harmonics(20, -r), signs * Y)


def test_are_homogeneous_polynomials() -> None:
    r = vectors(20, 7)
    length = torch.linalg.vector_norm(r, dim=1, keepdim=True)
    degree = torch.cat([torch.full((2 * l + 1,), l) for l in range(33)])
    scaled = solid_harmonics(32, r) / length**degree
    torch.testing.assert_close(scaled, spherical_harmonics(32, r), rtol=0, atol=2e-14)
    along = (jacobian(lambda p: solid_harmonics(32, p), r) @ r[..., None])[..., 0]
    torch.testing.assert_close(along / length**degree, degree * scaled, rtol=0, atol=1e-12)


def test_solid_harmonics_are_harmonic() -> None:
    """ΔR_lm = 0, and |∇R_lm|² summed over m is l (2l + 1)²/4π |r|^(2l - 2)."""
    lmax = 12
    r = torch.cat([torch.nn.functional.normalize(vectors(4, 8), dim=1), POLES[:2]])
    hessian = torch.func.vmap(torch.func.jacfwd(torch.func.jacrev(lambda p: solid_harmonics(lmax, p))))(r)
    laplacian = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(laplacian, torch.zeros_like(laplacian), rtol=0, atol=1e-10)
    assert float(hessian.abs().max()) > 50
    squares = jacobian(lambda p: solid_harmonics(lmax, p), 2 * r).square().sum(-1)
    lengths = 2 * torch.linalg.vector_norm(r, dim=1)
    for l in range(1, lmax + 1):
        wanted = l * (2 * l + 1) ** 2 / (4 * math.pi) * lengths ** (2 * l - 2)
        torch.testing.assert_close(squares[:, l * l : (l + 1) ** 2].sum(1), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("lmax", [32])
def test_gradients_to_high_degree(lmax: int) -> None:
    """Σ_m |∇Y_lm|² = l(l + 1)(2l + 1)/4π/|r|², everywhere on the sphere; perpendicular to r."""
    r = torch.cat([vectors(10, 9), POLES])
    J = jacobian(lambda p: spherical_harmonics(lmax, p), r)
    squares = J.square().sum(-1) * r.square().sum(-1)[:, None]
    for l in range(lmax + 1):
        wanted = torch.full((len(r),), l * (l + 1) * (2 * l + 1) / (4 * math.pi), dtype=torch.float64)
        torch.testing.assert_close(squares[:, l * l : (l + 1) ** 2].sum(1), wanted, rtol=1e-12, atol=0)
    radial = (J @ r[..., None])[..., 0]
    torch.testing.assert_close(radial, torch.zeros_like(radial), rtol=0, atol=1e-11)
    solid = jacobian(lambda p: solid_harmonics(lmax, p), torch.nn.functional.normalize(r, dim=1)).square().sum(-1)
    for l in range(lmax + 1):
        wanted = torch.full((len(r),), l * (2 * l + 1) ** 2 / (4 * math.pi), dtype=torch.float64)
        torch.testing.assert_close(solid[:, l * l : (l + 1) ** 2].sum(1), wanted, rtol=1e-11, atol=0)


def test_twice_differentiable() -> None:
    r = torch.cat([vectors(2, 10), POLES[:2]]).requires_grad_()
    for function in (spherical_harmonics, solid_harmonics):
        assert torch.autograd.gradcheck(lambda p, f=function: f(4, p), r)
        assert torch.autograd.gradgradcheck(lambda p, f=function: f(4, p), r)
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda p: solid_harmonics(4, p), zero)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_vectors_have_no_direction(dtype: torch.dtype) -> None:
    r = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    Y = spherical_harmonics(8, r)
    wanted = torch.zeros(2, 81, dtype=dtype)
    wanted[:, 0] = (4 * math.pi) ** -0.5
    torch.testing.assert_close(Y, wanted)
    (gradient,) = torch.autograd.grad((Y * torch.arange(81)).sum(), r, create_graph=True)
    assert torch.equal(gradient, torch.zeros_like(r))
    (again,) = torch.autograd.grad(gradient.sum(), r)
    assert torch.equal(again, torch.zeros_like(r))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 2e-14)])
@pytest.mark.parametrize("length", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_no_length_overflows(dtype: torch.dtype, limit: float, length: float) -> None:
    r = torch.nn.functional.normalize(vectors(50, 11), dim=1)
    got = spherical_harmonics(10, (r * length).to(dtype))
    torch.testing.assert_close(got.double(), spherical_harmonics(10, r), rtol=0, atol=limit)
    assert got.dtype == dtype
    p = (r * length).to(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(spherical_harmonics(10, p).sum(), p)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("lmax", [0, 3])
def test_shapes_and_layouts(lmax: int) -> None:
    r = vectors(12, 12).reshape(2, 6, 3)
    Y = spherical_harmonics(lmax, r)
    assert Y.shape == (2, 6, (lmax + 1) ** 2)
    assert Y.is_contiguous()
    strided = torch.stack([r, r], -1)[..., 0]
    torch.testing.assert_close(spherical_harmonics(lmax, strided), Y, rtol=0, atol=0)
    torch.testing.assert_close(spherical_harmonics(lmax, r[1, 2]), Y[1, 2], rtol=0, atol=0)
    assert spherical_harmonics(lmax, r[:, :0]).shape == (2, 0, (lmax + 1) ** 2)
    p = r.clone().requires_grad_()
    assert torch.autograd.grad(spherical_harmonics(0, p).sum(), p)[0].abs().sum() == 0


def test_compiles() -> None:
    r = vectors(5, 13).requires_grad_()
    compiled = torch.compile(spherical_harmonics, fullgraph=True, backend="aot_eager")
    got, wanted = compiled(4, r), spherical_harmonics(4, r)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-15)
    gradients = [torch.autograd.grad(Y.square().sum(), r)[0] for Y in (got * got, wanted * wanted)]
    torch.testing.assert_close(*gradients)


def test_bad_input_is_refused() -> None:
    for function in (spherical_harmonics, solid_harmonics):
        with pytest.raises(ValueError, match=r"wanted real vectors of shape \(..., 3\)"):
            function(2, torch.zeros(4, 2))
        with pytest.raises(ValueError, match=r"dtype torch\.int64"):
            function(2, torch.zeros(4, 3, dtype=torch.int64))
        with pytest.raises(ValueError, match="lmax = -1"):
            function(-1, torch.zeros(4, 3))
    assert bool(spherical_harmonics(2, torch.full((1, 3), float("nan"))).isnan().all())
