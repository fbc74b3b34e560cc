"""Soft-argmax: exact on a single peak, across the seam, under shifts; its loss goes the short way round."""

import math

import pytest
import torch
from torch import Tensor

from armillary.nn import AxisL1Loss, SoftArgmax
from armillary.spaces import Axis, LogPolar, ScaleAspect
from armillary.testing import GroupAction, check_layer

POLAR, SCALE = LogPolar(12, 7, 1.0, 9.0), ScaleAspect(5, 8, 1.0, 9.0)
TORUS = (Axis(6, -1.0, 0.5, periodic=True), Axis(9, 10.0, 40.0, periodic=True))


def peaks(shape: tuple[int, int], *places: tuple[int, int]) -> Tensor:
    """Logits of equal weight at some places and none elsewhere."""
    x = torch.full((1, 1, *shape), -math.inf, dtype=torch.float64)
    for row, column in places:
        x[..., row, column] = 0.3
    return x


@pytest.mark.parametrize("axes", [POLAR.axes, SCALE.axes, TORUS], ids=["polar", "scale", "torus"])
def test_exact_on_one_peak_anywhere(axes: tuple[Axis, Axis]) -> None:
    head = SoftArgmax(axes).double()
    rows, columns = (axis.values for axis in axes)
    for i in range(len(rows)):
        for j in range(len(columns)):
            y = head(peaks((len(rows), len(columns)), (i, j)))
            assert y.shape == (1, 1, 2)
            assert axes[0].difference(y[0, 0, 0], rows[i]).abs() < 1e-12
            assert axes[1].difference(y[0, 0, 1], columns[j]).abs() < 1e-12


def test_between_two_peaks_and_across_the_seam() -> None:
    head, step = SoftArgmax(POLAR.axes).double(), POLAR.step[0]
    assert head(peaks(POLAR.shape, (2, 0), (3, 0)))[0, 0, 0].item() == pytest.approx(2.5 * step)
    assert head(peaks(POLAR.shape, (11, 0), (0, 0)))[0, 0, 0].item() == pytest.approx(11.5 * step)
    assert head(peaks(POLAR.shape, (10, 0), (1, 0)))[0, 0, 0].item() == pytest.approx(11.5 * step)
    columns = POLAR.axes[1].values
    assert head(peaks(POLAR.shape, (5, 0), (5, 6)))[0, 0, 1].item() == pytest.approx(float(columns.mean()))


def test_scale_and_bias_in_the_units_of_the_axes() -> None:
    head = SoftArgmax(POLAR.axes).double()
    assert head.scale.shape == (1, 1), "a circle has no scale"
    before, middle = head(peaks(POLAR.shape, (11, 4))), float(POLAR.axes[1].values.mean())
    with torch.no_grad():
        head.bias.copy_(torch.tensor([[1.0, 0.5]]))
        head.scale.fill_(2.0)
    after = head(peaks(POLAR.shape, (11, 4)))
    assert after[0, 0, 0].item() == pytest.approx(before[0, 0, 0].item() + 1.0 - 2 * math.pi)
    assert after[0, 0, 1].item() == pytest.approx(2 * before[0, 0, 1].item() - middle + 0.5)


def literal(head: SoftArgmax, x: Tensor) -> Tensor:
    """The twin: sums over pixels, one by one."""
    y = torch.zeros(len(x), head.maps, 2, dtype=torch.float64)
    for b in range(len(x)):
        for m in range(head.maps):
            weight = x[b, m].exp()
            scales = iter(head.scale[m].tolist())
            for a, axis in enumerate(head.axes):
                values = axis.values[:, None] if a == 0 else axis.values[None, :]
                if axis.periodic:
                    turn = 2 * math.pi * (values - axis.start) / axis.period
                    angle = math.atan2((weight * turn.sin()).sum(), (weight * turn.cos()).sum())
                    value = axis.start + angle / (2 * math.pi) * axis.period + head.bias[m, a].item()
                    y[b, m, a] = axis.start + (value - axis.start) % axis.period
                else:
                    mean = float((weight * values).sum() / weight.sum())
                    middle = float(axis.values.mean())
                    y[b, m, a] = middle + next(scales) * (mean - middle) + head.bias[m, a].item()
    return y


@pytest.mark.parametrize("axes", [POLAR.axes, SCALE.axes, TORUS], ids=["polar", "scale", "torus"])
def test_against_sums_over_pixels(axes: tuple[Axis, Axis]) -> None:
    torch.manual_seed(0)
    head = SoftArgmax(axes, maps=3).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x = 3 * torch.randn(2, 3, axes[0].size, axes[1].size, dtype=torch.float64)
    torch.testing.assert_close(head(x), literal(head, x), atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("maps", [1, 2])
def test_contract_and_shifts_around_the_circle(maps: int) -> None:
    axis = POLAR.axes[0]

    def shifted(k: int, y: Tensor) -> Tensor:
        return torch.stack([axis.wrap(y[..., 0] + k * axis.step), y[..., 1]], dim=-1)

    symmetry = GroupAction((maps, *POLAR.shape), range(12), lambda k, x: torch.roll(x, k, -2), shifted)
    check_layer(SoftArgmax(POLAR.axes, maps), symmetry, tolerance=1e-12)


def test_a_balanced_map_has_an_answer_and_finite_gradients() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(1, 1, *POLAR.shape, dtype=dtype, requires_grad=True)
        y = SoftArgmax(POLAR.axes)(x)
        assert y[0, 0, 0].item() == 0
        y.sum().backward()
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("axes", [POLAR.axes, SCALE.axes, TORUS], ids=["polar", "scale", "torus"])
def test_autocast_and_half_precision_are_computed_in_float32(axes: tuple[Axis, Axis]) -> None:
    torch.manual_seed(0)
    head, x = SoftArgmax(axes, maps=2), torch.randn(3, 2, axes[0].size, axes[1].size)
    plain = head(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(x), plain)
        low = head(x.bfloat16())
    assert low.dtype == torch.float32
    assert torch.equal(low, head(x.bfloat16().float()))
    assert head.bfloat16()(x.bfloat16()).dtype == torch.float32


def test_a_faint_direction_keeps_its_angle_and_gradient_under_autocast() -> None:
    """Responses so flat that the circular mean is shorter than the eps of bfloat16."""
    x = torch.zeros(1, 1, *POLAR.shape)
    x[..., 3, :] = 0.05
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = SoftArgmax(POLAR.axes)(x)
    assert y[0, 0, 0].item() == pytest.approx(3 * POLAR.step[0], abs=1e-3)
    y[0, 0, 0].backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0.1


def test_the_angle_is_never_the_end_of_its_axis() -> None:
    head = SoftArgmax(POLAR.axes)
    with torch.no_grad():
        head.bias[0, 0] = -1e-9
    y = head(peaks(POLAR.shape, (0, 3)).float())
    assert y[0, 0, 0].item() == 0


def test_export_with_any_batch() -> None:
    head, x = SoftArgmax(POLAR.axes, maps=2), torch.randn(3, 2, *POLAR.shape)
    program = torch.export.export(head, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=64)},))
    for batch in (2, 5):
        other = torch.randn(batch, 2, *POLAR.shape)
        torch.testing.assert_close(program.module()(other), head(other))


def test_the_loss_goes_the_short_way_round() -> None:
    loss = AxisL1Loss(POLAR.axes)
    prediction = torch.tensor([[0.1, 1.0], [3.0, 0.0]], requires_grad=True)
    target = torch.tensor([[2 * math.pi - 0.1, 1.5], [3.0 + 4 * math.pi, 0.25]])
    value = loss(prediction, target)
    assert value.item() == pytest.approx((0.2 + 0.5 + 0.0 + 0.25) / 4, abs=1e-6)
    value.backward()
    assert prediction.grad[0].tolist() == [0.25, -0.25]  # from 0.1 down through the seam


def test_descending_the_loss_finds_a_position_across_the_seam() -> None:
    torch.manual_seed(0)
    head, loss = SoftArgmax(POLAR.axes), AxisL1Loss(POLAR.axes)
    x = peaks(POLAR.shape, (1, 3)).float().clamp(min=-1.0).requires_grad_()
    target = torch.tensor([[[6.0, 1.0]]])
    optimizer = torch.optim.Adam([x], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(head(x), target)
        value.backward()
        optimizer.step()
    assert value.item() < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SoftArgmax(POLAR.axes, 0), "maps = 0, wanted an integer >= 1"),
        (lambda: SoftArgmax(POLAR.axes[:1]), "wanted two of spaces.Axis"),
        (lambda: SoftArgmax((3, 4)), "wanted two of spaces.Axis"),
        (lambda: SoftArgmax(POLAR.axes)(torch.zeros(1, 2, 12, 7)), r"built for \(batch, 1, 12, 7\)"),
        (lambda: SoftArgmax(POLAR.axes)(torch.zeros(1, 1, 6, 7)), "coarser"),
        (lambda: AxisL1Loss(POLAR.axes[0]), "wanted two"),
        (lambda: AxisL1Loss(POLAR.axes)(torch.zeros(3, 2), torch.zeros(3, 1, 2)), "wants the same shape"),
        (lambda: AxisL1Loss(POLAR.axes)(torch.zeros(3, 3), torch.zeros(3, 3)), r"\(..., 2\)"),
    ],
)
def test_wrong_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
