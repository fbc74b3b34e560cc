"""The meter tells broken layers from good ones, and the number it gives is the right one."""

import re

import pytest
import torch
from torch import nn

from armillary.groups import from_euler_zyz, random_rotation
from armillary.harmonics import random_field, rotate
from armillary.nn import DiscoConv, SphereMean
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import GroupAction, check_layer, commutation_error, equivariance_error, invariance_error
from armillary.testing.meter import device_of

GRID = GaussLegendre(12)


class ZonalGain(nn.Module):
    """Multiplies by 1 + ε cos θ: breaks the symmetry by a known amount."""

    def __init__(self, epsilon):
        super().__init__()
        self.register_buffer("gain", 1 + epsilon * torch.cos(GRID.colatitudes)[:, None], persistent=False)

    def forward(self, x):
        GRID.check_field(x)
        return x * self.gain


def test_zero_for_the_identity_and_for_pointwise_linear_maps():
    assert equivariance_error(nn.Identity(), GRID, channels=2) < 1e-13
    assert equivariance_error(nn.Conv2d(2, 3, 1), GRID, channels=2) < 1e-13


def test_proportional_to_the_breaking_and_blind_to_zonal_turns():
    small, large = (equivariance_error(ZonalGain(e), GRID, channels=1, lmax=3) for e in (1e-6, 1e-3))
    assert large == pytest.approx(1e3 * small, rel=1e-2)
    assert 1e-4 < large < 3e-3
    about_z = [from_euler_zyz(0.7, 0.0, 0.0)]
    assert equivariance_error(ZonalGain(1.0), GRID, channels=1, lmax=3, rotations=about_z) < 1e-12


def test_equals_the_formula_written_out():
    R, layer = random_rotation(torch.Generator().manual_seed(3)), ZonalGain(0.5)
    generator = torch.Generator().manual_seed(5)
    got = equivariance_error(layer, GRID, channels=2, lmax=4, rotations=[R], generator=generator)
    f = random_field(GRID, 4, (1, 2), torch.Generator().manual_seed(5))
    layer = layer.double()
    difference, output = layer(rotate(f, GRID, R)) - rotate(layer(f), GRID, R), layer(f)
    wanted = (GRID.integrate(difference**2).sum() / GRID.integrate(output**2).sum()).sqrt()
    assert got == pytest.approx(float(wanted), rel=1e-12)


def test_leaves_the_layer_alone_and_is_repeatable():
    layer = DiscoConv(2, 2, Equiangular(12)).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    first, second = (equivariance_error(layer, layer.grid) for _ in range(2))
    assert first == second
    assert layer.training
    assert next(layer.parameters()).dtype == torch.float32
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_invariance_of_the_quadrature_mean_but_not_of_the_plain_mean():
    assert invariance_error(SphereMean(GRID), GRID, channels=2) < 1e-12
    assert invariance_error(lambda x: x.mean(dim=(-2, -1)), GRID, channels=2) > 1e-3


def test_errors():
    with pytest.raises(ValueError, match="channels="):
        equivariance_error(nn.Identity(), GRID)
    with pytest.raises(ValueError, match="zero"):
        equivariance_error(lambda x: 0 * x, GRID, channels=1)
    with pytest.raises(ValueError, match="finite"):
        equivariance_error(lambda x: x / 0, GRID, channels=1)
    with pytest.raises(ValueError, match="space_out"):
        equivariance_error(nn.AvgPool2d(2), GRID, channels=1)


class Nameless(nn.Module):
    """A good layer whose repr is that of a plain object."""

    in_channels = 2

    def forward(self, x):
        GRID.check_field(x)
        if x.shape[1] != 2:
            raise ValueError("channels")
        return x

    def __repr__(self):
        return object.__repr__(self)


class Layer(nn.Module):
    """A good layer with one fault of choice."""

    def __init__(self, fault=None):
        super().__init__()
        self.fault, self.in_channels = fault, 2
        self.inner = nn.Conv2d(2, 2, 1)
        if fault == "save and load":  # what is loaded is not used
            self.gain = torch.nn.Parameter(torch.ones(1))
            self.register_load_state_dict_pre_hook(lambda _, state, prefix, *rest: state[f"{prefix}gain"].add_(1))
        if fault == "state size":
            self.register_buffer("table", torch.zeros(5))

    def forward(self, x):
        if self.fault != "wrong grid":
            GRID.check_field(x)
        if x.shape[1] != 2:
            raise ValueError("channels") if self.fault != "wrong channels" else RuntimeError("channels")
        if self.fault == "gradients":
            x = x.detach()
        if self.fault == "compile":
            torch._dynamo.graph_break()
        if self.fault == "batch":
            x = x - x.mean(0, keepdim=True)
        if self.fault == "layout" and not x.is_contiguous():
            x = x.flip(1)
        y = self.inner(x)
        if self.fault == "save and load":
            y = y * self.gain
        if self.fault == "float32" and x.dtype == torch.float32:
            y = y.bfloat16().float()
        return y.double() if self.fault == "float32 dtype" else y


def test_contract_passes_a_good_layer_and_reports_numbers():
    report = check_layer(Layer(), GRID)
    assert report.measured["equivariance"] < 1e-12
    assert not report.failures


@pytest.mark.parametrize(
    "fault",
    [
        "wrong grid",
        "wrong channels",
        "gradients",
        "compile",
        "batch",
        "layout",
        "save and load",
        "state size",
        "float32",
        "float32 dtype",
    ],
)
def test_contract_names_the_fault_and_no_other(fault):
    with pytest.raises(AssertionError) as caught:
        check_layer(Layer(fault), GRID, compile=fault == "compile")
    assert re.findall(r"^  ([a-z][a-z0-9 ]*): ", str(caught.value), re.MULTILINE) == [fault]


def test_contract_asks_for_a_repr_without_addresses():
    with pytest.raises(AssertionError, match="  repr: repr names the layer"):
        check_layer(Nameless(), GRID, compile=False)


class Counting(nn.Module):
    """Remembers nothing but which device its constants are on."""

    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.ones(3, 1), persistent=False)

    def forward(self, x):
        return x * self.gain


def test_all_elements_of_a_finite_group_are_tried():
    tried = []

    def act(g, x):
        tried.append(g)
        return x.roll(g, dims=-1)

    symmetry = GroupAction((3, 7), range(7), act, lambda g, y: y.roll(g, dims=-1), ())
    check_layer(Counting(), symmetry, compile=False)
    assert sorted(tried) == list(range(7))
    tried.clear()
    commutation_error(Counting(), symmetry, count=2)
    assert len(tried) == 2


def test_inputs_go_where_the_layer_is():
    """A layer with buffers only, or with parameters, on another device; without either on the CPU."""
    assert device_of(Counting().to("meta")) == torch.device("meta")
    assert device_of(nn.Conv2d(1, 1, 1).to("meta")) == torch.device("meta")
    assert device_of(nn.ReLU()) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_contract_on_cuda():
    symmetry = GroupAction((3, 7), range(7), _roll, _roll, ("wrong channels",))
    check_layer(_AnyLength(3, 2, 3, padding=1, padding_mode="circular").cuda(), symmetry, compile=False)
    check_layer(Counting().cuda(), GroupAction((3, 7), range(7), _roll, _roll, ()), compile=False)


def test_contract_judges_equivariance_only_if_asked():
    class Broken(ZonalGain):
        in_channels = 2

        def forward(self, x):
            if x.shape[1] != 2:
                raise ValueError("channels")
            return super().forward(x)

    with pytest.raises(AssertionError, match="equivariance"):
        check_layer(Broken(1.0), GRID, compile=False)
    assert check_layer(Broken(1.0), GRID, tolerance=None, compile=False).measured["equivariance"] > 0.01


def _roll(steps: int, x: torch.Tensor) -> torch.Tensor:
    return x.roll(steps, dims=-1)


def test_any_group_given_by_its_action() -> None:
    """Circular convolutions commute with shifts, others do not; sums do not change."""
    shifts = range(7)
    symmetry = GroupAction((3, 7), shifts, _roll, _roll)
    around = torch.nn.Conv1d(3, 2, 3, padding=1, padding_mode="circular")
    assert commutation_error(around, symmetry, count=7) < 1e-14
    assert commutation_error(torch.nn.Conv1d(3, 2, 3, padding=1), symmetry, count=7) > 0.1
    sums = GroupAction((3, 7), shifts, _roll)
    assert commutation_error(lambda x: x.sum(-1), sums) < 1e-14
    assert commutation_error(lambda x: x[..., :2], sums, count=7) > 0.1


def test_an_action_on_another_shape_is_an_error() -> None:
    symmetry = GroupAction((3, 7), range(7), _roll, lambda g, y: y[..., 1:])
    with pytest.raises(ValueError, match=r"act_out gave shape \(1, 3, 6\)"):
        commutation_error(lambda x: x, symmetry)


def test_the_contract_of_any_group() -> None:
    symmetry = GroupAction((3, 7), range(7), _roll, _roll)
    with pytest.raises(AssertionError, match="wrong"):  # conv1d raises a RuntimeError for wrong channels
        check_layer(torch.nn.Conv1d(3, 2, 3, padding=1, padding_mode="circular"), symmetry)


class _AnyLength(torch.nn.Conv1d):
    """Shifts commute; channels are checked, the length is free."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != self.in_channels:
            raise ValueError(f"got {x.shape[1]} channels")
        return super().forward(x)


def test_a_symmetry_says_which_bad_inputs_are_errors() -> None:
    layer = _AnyLength(3, 2, 3, padding=1, padding_mode="circular")
    report = check_layer(layer, GroupAction((3, 7), range(7), _roll, _roll, ("wrong channels",)), compile=False)
    assert set(report.measured) >= {"wrong channels"}
    assert "wrong grid" not in report.measured
    with pytest.raises(AssertionError, match=r"wrong grid: input of shape \(3, 2, 7\) was accepted"):
        check_layer(torch.nn.Identity(), GroupAction((3, 7), range(7), _roll, _roll, ("wrong grid",)), compile=False)
