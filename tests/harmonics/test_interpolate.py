"""Values between grid points against the direct sum, and gradients against differences and Green's identity."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from armillary.harmonics import SHT, Gradient, Interpolate, evaluate, random_field, tangent_vectors
from armillary.spaces import Equiangular, GaussLegendre

POLES = torch.tensor([[0, 0, 1.0], [0, 0, -1.0], [1e-9, 0, 1], [-1, -1e-12, 0], [-1, 1e-12, 0]], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(count: int, *batch: int) -> Tensor:
    free = torch.randn(*batch, count, 3, generator=seeded(5), dtype=torch.float64)
    fixed = POLES.expand(*batch, -1, -1) if batch else POLES
    return torch.nn.functional.normalize(torch.cat([free, fixed], -2), dim=-1)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("grid", [Equiangular(17), Equiangular(16), Equiangular(12, 40)], ids=repr)
def test_values_are_those_of_the_direct_sum(grid):
    f = random_field(grid, grid.lmax, (2, 3), seeded())
    p = points(40)
    wanted = evaluate(SHT(grid)(f), p)
    errors = [relative(Interpolate(grid, taps)(f, p), wanted) for taps in (4, 6, 8, 10, 12, 14)]
    assert all(later < 0.05 * earlier for earlier, later in itertools.pairwise(errors)), errors
    assert errors[2] < 1e-6
    assert errors[-1] < 1e-12
    single = Interpolate(grid, 10)(f.float(), p)
    assert single.dtype == torch.float32
    assert relative(single.double(), wanted) < 1e-5


def test_points_for_each_field_and_non_contiguous_input():
    grid = Equiangular(9)
    f = random_field(grid, 8, (3, 2), seeded())
    p = points(7, 3)
    layer = Interpolate(grid, 8)
    each = torch.stack([layer(f[i : i + 1], p[i])[0] for i in range(3)])
    torch.testing.assert_close(layer(f, p), each)
    strided = f.repeat_interleave(2, dim=1)[:, ::2]
    torch.testing.assert_close(layer(strided, p.mT.contiguous().mT), each)


def test_gradients_in_field_and_points():
    grid = Equiangular(5)
    f = random_field(grid, 4, (1, 1), seeded()).requires_grad_()
    p = torch.nn.functional.normalize(torch.randn(3, 3, generator=seeded(1), dtype=torch.float64), dim=-1)
    layer = Interpolate(grid, 12)
    assert torch.autograd.gradcheck(layer, (f, p.requires_grad_()), atol=1e-5)


@pytest.mark.parametrize(
    "grid", [Equiangular(12, poles=True), GaussLegendre(12), Equiangular(12, 25), Equiangular(12, 20)]
)
def test_grids_it_cannot_read_are_errors(grid):
    with pytest.raises(ValueError, match="Equiangular grid without poles"):
        Interpolate(grid)


def test_bad_input_is_an_error():
    grid = Equiangular(8)
    with pytest.raises(ValueError, match="2 to 14"):
        Interpolate(grid, 15)
    layer = Interpolate(grid)
    with pytest.raises(ValueError, match="shape"):
        layer(torch.zeros(1, 1, 8, 15), POLES)
    with pytest.raises(ValueError, match="real"):
        layer(torch.zeros(1, 8, 16), POLES)
    with pytest.raises(ValueError, match=r"\(2, P, 3\)"):
        layer(torch.zeros(2, 1, 8, 16), POLES.expand(3, -1, -1))
    with pytest.raises(ValueError, match="points have shape"):
        layer(torch.zeros(2, 1, 8, 16), POLES[:, :2])
    with pytest.raises(ValueError, match=r"points are torch\.complex128"):
        layer(torch.zeros(2, 1, 8, 16), POLES + 0j)
    for wrong in (torch.zeros(3, 8, 16), torch.zeros(4, 8, 16), torch.zeros(8, 16), torch.zeros(2, 8, 16).long()):
        with pytest.raises(ValueError, match=r"wants real \(\.\.\., 2, nlat, nlon\)"):
            tangent_vectors(wrong, grid)


def test_empty_batches_and_built_on_the_meta_device():
    grid = Equiangular(10)
    with torch.device("meta"):
        layer, gradient = Interpolate(grid), Gradient(grid)
    f = random_field(grid, 9, (2, 1), seeded())
    torch.testing.assert_close(layer(f, POLES), Interpolate(grid)(f, POLES), rtol=0, atol=0)
    c = SHT(grid)(f[:, 0])
    torch.testing.assert_close(gradient(c), Gradient(grid)(c), rtol=0, atol=0)
    assert layer(f[:0], POLES).shape == (0, 1, 5)
    assert layer(f[:, :0], POLES).shape == (2, 0, 5)
    assert layer(f, POLES[:0]).shape == (2, 1, 0)
    assert gradient(c[:0]).shape == (0, 2, *grid.shape)


def test_both_compile_as_one_graph():
    grid = Equiangular(6)
    f = random_field(grid, 5, (1, 1), seeded())
    for layer, inputs in ((Interpolate(grid), (f, points(4))), (Gradient(grid), (SHT(grid)(f[:, 0]),))):
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(*inputs), layer(*inputs), rtol=0, atol=1e-14)


@pytest.mark.parametrize("grid", [Equiangular(11), GaussLegendre(10), Equiangular(12, poles=True)], ids=repr)
def test_gradient_against_differences(grid):
    lmax = grid.lmax
    c = SHT(grid)(random_field(grid, lmax, (2,), seeded()))
    got = Gradient(grid)(c).flatten(-2)
    step = 1e-5
    theta, phi = (a.expand(grid.shape).reshape(-1) for a in (grid.colatitudes[:, None], grid.longitudes[None]))

    def at(t: Tensor, p: Tensor) -> Tensor:
        return evaluate(c, torch.stack([t.sin() * p.cos(), t.sin() * p.sin(), t.cos()], -1))

    south = (at(theta + step, phi) - at(theta - step, phi)) / (2 * step)
    torch.testing.assert_close(got[:, 0], south, atol=1e-7, rtol=1e-6)
    inner = theta.sin() > 1e-6
    east = (at(theta, phi + step) - at(theta, phi - step)) / (2 * step * theta.sin())
    torch.testing.assert_close(got[:, 1, inner], east[:, inner], atol=1e-7, rtol=1e-6)


def test_greens_identity_and_degree_of_cartesian_components():
    grid = GaussLegendre(16)
    f, g = random_field(grid, 9, (2,), seeded())
    transform, gradient = SHT(grid, 9), Gradient(grid, 9)
    left = grid.integrate((gradient(transform(f)) * gradient(transform(g))).sum(0))
    l = torch.arange(10).double()[:, None]
    product = (transform(f) * transform(g).conj()).real * l * (l + 1)
    torch.testing.assert_close(left, 2 * product.sum() - product[:, 0].sum())
    vectors = tangent_vectors(gradient(transform(f)), grid)
    assert float((vectors * grid.points.movedim(-1, 0)).sum(0).abs().max()) < 1e-12
    power = SHT(grid)(vectors).abs()
    assert float(power[:, 11:].max()) < 1e-12 * float(power.max())
    assert float(power[:, 10].max()) > 1e-3 * float(power.max())


def test_gradient_wants_its_coefficients():
    with pytest.raises(ValueError, match="this Gradient wants complex"):
        Gradient(GaussLegendre(8), 5)(torch.zeros(1, 8, 8, dtype=torch.complex128))
    assert math.isclose(float(Gradient(GaussLegendre(8), 0)(torch.ones(1, 1, dtype=torch.complex128)).abs().max()), 0)
