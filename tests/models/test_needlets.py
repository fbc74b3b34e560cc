"""Networks of needlet convolutions: contract, rotation, and what the head sees."""

from __future__ import annotations

import pytest
import torch

from armillary.harmonics import BumpBank, random_field
from armillary.models import NeedletRegressor, SO3NeedletNet, SphereNeedletNet
from armillary.nn import NeedletShrinkage
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SphereSymmetry, check_layer, equivariance_error, invariance_error


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)


@pytest.mark.parametrize("grid", [GaussLegendre(6), Equiangular(5)], ids=str)
def test_contract_of_the_sphere_net(grid) -> None:
    net = SphereNeedletNet(2, 1, grid, (3, 3, 2))  # few samples: none passes the kink of a threshold in the differences
    report = check_layer(net, grid, tolerance=0.1, lmax=grid.lmax)
    assert report.measured["equivariance"] > 1e-6  # shrinkage acts


def kept(net: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and of every sample that meets a threshold on which of the three sides of it it lies."""
    found: list[torch.Tensor] = []

    def look(layer, inputs) -> None:
        parts, row = layer.transform.decompose(inputs[0]), 0
        for i, band in enumerate(layer.transform.bands):
            if band.detail is not None:
                values = layer.transform.samples(i, parts[i])
                height = torch.nn.functional.softplus(layer.threshold[row])[:, None, None]
                found.append(((values > height).int() - (values < -height).int()).flatten())
                row += 1

    hooks = [m.register_forward_pre_hook(look) for m in net.modules() if isinstance(m, NeedletShrinkage)]
    y = net(x)
    for hook in hooks:
        hook.remove()
    return y, torch.cat(found)


def test_gradients_are_off_only_where_a_sample_passes_a_threshold() -> None:
    """With many samples some pass a kink between the two ends of a difference, which then is no derivative; where none
    does, in this step or in a smaller one, gradients and differences are equal."""
    grid, wrong, right = GaussLegendre(12), [], []
    net = SphereNeedletNet(2, 1, grid, (8, 8)).double()
    x = torch.randn(3, 2, *grid.shape, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(3, 1, *grid.shape, dtype=torch.float64)
    variables = [x, *net.parameters()]
    gradients = torch.autograd.grad((net(x) * probe).sum(), variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = torch.randn_like(variable)
        exact, step, passed = float((gradient * direction).sum()), 1e-4, True
        while passed:
            with torch.no_grad():
                variable += step * direction
                above, before = kept(net, x)
                variable -= 2 * step * direction
                below, after = kept(net, x)
                variable += step * direction
            error = abs(float(((above - below) * probe).sum()) / (2 * step) - exact) / abs(exact)
            passed = not torch.equal(before, after)
            (wrong if passed else right).append(error)
            step /= 10
    assert len(right) == len(variables)
    assert max(right) < 1e-7  # rounding
    assert max(wrong) > 1e-5


def test_contract_of_the_so3_net() -> None:
    grid = GaussLegendre(6)
    net = SO3NeedletNet(2, 1, grid, (3, 3), bank=BumpBank(), nmax=1)
    check_layer(net, grid, tolerance=0.1, lmax=5)


def test_contract_of_the_regressor() -> None:
    grid = GaussLegendre(6)
    net = NeedletRegressor(2, 3, grid, (3, 4), hidden=5)
    assert net(torch.randn(2, 2, *grid.shape)).shape == (2, 3)
    check_layer(net, SphereSymmetry(grid, None, 2, lmax=5), tolerance=0.02)


def test_without_thresholds_the_nets_are_exact() -> None:
    grid = GaussLegendre(8)
    assert equivariance_error(SphereNeedletNet(1, 1, grid, (3, 3), threshold=1e-13), grid, lmax=7) < 1e-10
    assert equivariance_error(SO3NeedletNet(1, 1, grid, (2, 2), threshold=1e-13), grid, lmax=7) < 1e-10
    assert invariance_error(NeedletRegressor(1, 1, grid, (2, 2), threshold=1e-13), grid, lmax=7) < 1e-10


@pytest.mark.parametrize("build", [SphereNeedletNet, SO3NeedletNet])
def test_errors_fall_with_oversampling(build) -> None:
    grid, errors = GaussLegendre(8), []
    for oversample in (1, 3):
        torch.manual_seed(0)
        errors.append(equivariance_error(build(1, 1, grid, (3, 3), oversample=oversample, threshold=0.2), grid, lmax=7))
    assert errors[0] > 2 * errors[1]


def test_the_networks_are_not_linear() -> None:
    grid = GaussLegendre(8)
    x = random_field(grid, 7, (2, 1)).float()
    for net in (SphereNeedletNet(1, 1, grid, threshold=0.3), SO3NeedletNet(1, 1, grid, (3,), threshold=0.3)):
        zero = net(torch.zeros_like(x))
        y, twice = net(x) - zero, net(2 * x) - zero
        assert (twice - 2 * y).norm() > 0.01 * y.norm()


@pytest.mark.parametrize("build", [SphereNeedletNet, SO3NeedletNet, NeedletRegressor])
def test_mixed_precision(build) -> None:
    """Under autocast layers keep the precision of their coefficients, and gradients flow."""
    grid = GaussLegendre(6)
    net, x = build(1, 1, grid, (2, 2)), random_field(grid, 5, (2, 1)).float()
    wanted = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
    assert (y - wanted).norm() < 0.02 * wanted.norm()
    y.float().sum().backward()


def test_bad_input() -> None:
    grid = GaussLegendre(8)
    for sizes in ({"out_features": 0}, {"out_features": 1, "hidden": 0}):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            NeedletRegressor(1, grid=grid, **sizes)
    for build in (SphereNeedletNet, SO3NeedletNet, NeedletRegressor):
        with pytest.raises(ValueError, match="no widths"):
            build(1, 1, grid, ())
        with pytest.raises(ValueError, match="lmax"):
            build(1, 1, grid, lmax=8)
        net = build(1, 1, grid, (2,))
        for shape in ((1, 2, 8, 16), (1, 1, 7, 16), (1, 8, 16)):
            with pytest.raises(ValueError, match="x has shape"):
                net(torch.randn(shape))
