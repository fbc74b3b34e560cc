import pytest
import torch
from torch import nn
from torch.nn import functional

from armillary.harmonics import Resample, random_field, random_rotation, resample, rotate
from armillary.nn import Pointwise
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid

KINDS = [GaussLegendre, Equiangular, lambda n: Equiangular(n + 1, poles=True)]


def cube(x):
    return x**3


def projected(fn, x, grid):
    """The readable twin: fn on a grid so fine that nothing aliases, then the degrees that the grid holds."""
    fine = GaussLegendre(4 * grid.nlat)
    return resample(fn(resample(x, grid, fine)), fine, grid, lmax=grid.lmax)


def rotation_error(layer, grid, lmax, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = random_field(grid, lmax, (2, 2), generator)
    R = random_rotation(generator)
    wanted = rotate(layer(x), grid, R)
    turned = resample(layer(rotate(x, grid, R)), grid, grid)  # rotate removes what lies beyond the band limit
    return ((turned - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fn", "power"), [(torch.square, 2), (cube, 3)])
def test_powers_are_exact_from_the_stated_oversampling_on(kind, fn, power):
    grid = kind(11)
    enough = (power + 1) / 2 if kind is GaussLegendre else power
    x = random_field(grid, grid.lmax, (2, 3), torch.Generator().manual_seed(1))
    torch.testing.assert_close(Pointwise(fn, grid, enough)(x), projected(fn, x, grid), rtol=0, atol=1e-11)
    assert rotation_error(Pointwise(fn, grid, enough), grid, grid.lmax) < 1e-12
    assert rotation_error(Pointwise(fn, grid), grid, grid.lmax) > 0.05  # the aliasing that was removed


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_other_functions_falls_with_oversampling(kind):
    grid = kind(12)
    errors = [rotation_error(Pointwise(functional.gelu, grid, s), grid, grid.lmax) for s in (1, 2, 4)]
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 100
    errors = [rotation_error(Pointwise(torch.relu, grid, s), grid, grid.lmax) for s in (1, 2, 4)]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


@pytest.mark.parametrize("kind", KINDS)
def test_on_so3_powers_are_exact_and_the_error_of_others_falls(kind):
    """The functions of a band limit b, on half as many samples as Kostelec and Rockmore take."""
    grid = kind(7).resized(kind(7).nlat, 16)
    space = OrientedGrid(grid, 2 * grid.lmax + 1)
    assert space.nmax == space.lmax
    generator = torch.Generator().manual_seed(3)
    R = random_rotation(generator)
    x = Resample(space, space)(torch.randn(2, 1, *space.shape, generator=generator, dtype=torch.float64))

    def error(fn, s):
        layer = Pointwise(fn, space, s)
        wanted = rotate(layer(x), space, R)
        turned = resample(layer(rotate(x, space, R)), space, space)
        return ((turned - wanted).norm() / wanted.norm()).item()

    enough = 1.5 if kind is GaussLegendre else 2
    fine = OrientedGrid(GaussLegendre(20), 41)
    wanted = resample(resample(x, space, fine) ** 2, fine, space, lmax=space.lmax)
    torch.testing.assert_close(Pointwise(torch.square, space, enough)(x), wanted, rtol=0, atol=1e-11)
    assert error(torch.square, enough) < 1e-12
    assert error(torch.square, 1) > 0.05
    errors = [error(torch.relu, s) for s in (1, 1.5, 3)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


@pytest.mark.parametrize("space", [Equiangular(6), GaussLegendre(5, 7), OrientedGrid(Equiangular(6), 3)], ids=str)
def test_without_oversampling_it_is_the_function_alone(space):
    x = torch.randn(2, 3, *space.shape)
    assert torch.equal(Pointwise(torch.relu, space)(x), x.relu())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(1, 1), (2, 3), ()])
def test_any_batch_dtype_and_layout(dtype, batch):
    grid = Equiangular(7, 15)
    layer = Pointwise(nn.GELU(), grid, oversample=1.6)
    x = torch.randn(*batch, *grid.shape, dtype=dtype)
    y = layer(x)
    assert y.shape == x.shape
    assert y.dtype == dtype
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    strided = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    torch.testing.assert_close(layer(strided), y, rtol=0, atol=tolerance)
    torch.testing.assert_close(layer(x.double()).to(dtype), y, rtol=0, atol=tolerance * 10)


def test_gradients_and_parameters_of_the_function():
    grid = GaussLegendre(4)
    layer = Pointwise(nn.PReLU(2), grid, oversample=1.5).double()
    assert set(layer.state_dict()) == {"fn.weight"}
    assert torch.autograd.gradcheck(layer, torch.randn(1, 2, *grid.shape, dtype=torch.float64, requires_grad=True))


def test_repr_states_the_oversampling():
    grid = GaussLegendre(8)
    assert "relu, GaussLegendre(nlat=8, nlon=16), oversample=1 (" in repr(Pointwise(torch.relu, grid))
    assert "oversample=1.5 (12x24)" in repr(Pointwise(torch.relu, grid, 1.5))
    assert "(17x32)" in repr(Pointwise(torch.relu, Equiangular(9, poles=True), 2))


def test_errors():
    grid = GaussLegendre(6)
    for oversample in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="wanted a factor >= 1"):
            Pointwise(torch.relu, grid, oversample)
    with pytest.raises(ValueError, match="OrientationMean"):
        Pointwise(torch.relu, OrientedGrid(grid, 3), 2)
    with pytest.raises(ValueError, match="Pointwise wants"):
        Pointwise(torch.relu, grid)(torch.randn(1, 1, 5, 12))
    with pytest.raises(ValueError, match="each value by itself"):
        Pointwise(lambda x: x.mean(1), grid, 2)(torch.randn(1, 3, *grid.shape))
