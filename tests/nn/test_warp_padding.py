"""Padding by axis: against indices taken one by one, shifts along the circle, and what cannot be wrapped."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.nn import WarpConv2d, WarpPad, with_warp_padding
from armillary.spaces import LogPolar, ScaleAspect
from armillary.testing import GroupAction, commutation_error

POLAR, SCALE = LogPolar(12, 7, 1.0, 9.0), ScaleAspect(12, 7, 1.0, 9.0)
BOTH = [(False, False), (True, False), (False, True), (True, True)]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def padded(x: Tensor, padding: tuple[int, int, int, int], periodic: tuple[bool, bool]) -> Tensor:
    """The twin: each pixel of the result looked up by itself."""
    top, bottom, left, right = padding
    rows, columns = x.shape[-2:]
    y = x.new_zeros(*x.shape[:2], rows + top + bottom, columns + left + right)
    for i in range(y.shape[-2]):
        for j in range(y.shape[-1]):
            r, c = i - top, j - left
            if (periodic[0] or 0 <= r < rows) and (periodic[1] or 0 <= c < columns):
                y[..., i, j] = x[..., r % rows, c % columns]
    return y


@pytest.mark.parametrize("periodic", BOTH)
@pytest.mark.parametrize("padding", [(1, 1, 2, 2), (0, 3, 1, 0), (0, 0, 0, 0), (4, 4, 5, 5)])
def test_padding_pixel_by_pixel(padding: tuple[int, int, int, int], periodic: tuple[bool, bool]) -> None:
    x = noise(2, 3, 4, 5)
    assert torch.equal(WarpPad(padding, periodic)(x), padded(x, padding, periodic))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("periodic", BOTH)
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (5, 3), "padding": (2, 0), "bias": False},
        {"kernel_size": 3, "padding": "same", "dilation": 2},
        {"kernel_size": (4, 2), "padding": "same"},
        {"kernel_size": 3, "padding": 1, "stride": 2, "groups": 2},
    ],
)
def test_convolution_of_the_padded_image(arguments: dict, periodic: tuple[bool, bool]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, **arguments).double()
    x = noise(2, 4, 8, 9)
    layer = WarpConv2d(conv, periodic)
    dilated = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    if conv.padding == "same":
        padding = (dilated[0] // 2, dilated[0] - dilated[0] // 2, dilated[1] // 2, dilated[1] - dilated[1] // 2)
    else:
        padding = (conv.padding[0], conv.padding[0], conv.padding[1], conv.padding[1])
    image = padded(x, padding, periodic)
    wanted = F.conv2d(image, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
    torch.testing.assert_close(layer(x), wanted, atol=1e-13, rtol=1e-13)
    if not any(periodic):
        torch.testing.assert_close(layer(x), conv(x), atol=1e-13, rtol=1e-13)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, (5, 1), padding=(2, 0))
        self.again = self.first  # one layer under two names

    def forward(self, x: Tensor) -> Tensor:
        return self.again(torch.tanh(self.second(self.first(x)))) + x


def rolls(stride: int = 1) -> GroupAction:
    return GroupAction(
        (2, *POLAR.shape),
        range(0, 12, stride),
        lambda k, x: torch.roll(x, k, -2),
        lambda k, y: torch.roll(y, k // stride, -2),
    )


def test_any_cnn_then_commutes_with_shifts_around_the_circle() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(Residual(), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3, padding="same"))
    wrapped = with_warp_padding(plain, POLAR)
    assert commutation_error(wrapped, rolls()) < 1e-13
    assert commutation_error(plain, rolls()) > 0.01
    assert wrapped[0].again is wrapped[0].first
    assert type(plain[0].first) is nn.Conv2d, "the original was changed"


def test_strides_and_pooling_commute_with_shifts_by_their_multiples() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    wrapped = with_warp_padding(plain, POLAR)
    assert commutation_error(wrapped, rolls(4)) < 1e-13
    assert commutation_error(plain, rolls(4)) > 0.01


def test_state_dicts_go_both_ways() -> None:
    plain = Residual()
    wrapped = with_warp_padding(plain, POLAR)
    assert list(wrapped.state_dict()) == list(plain.state_dict())
    other = Residual()
    other.load_state_dict(wrapped.state_dict())
    with_warp_padding(other, POLAR).load_state_dict(plain.state_dict())
    torch.testing.assert_close(other.first.weight, plain.first.weight)


def test_without_a_periodic_axis_it_is_a_copy() -> None:
    plain = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(3, padding=1))
    copied = with_warp_padding(plain, SCALE)
    assert type(copied[0]) is nn.Conv2d
    assert copied[0] is not plain[0]


def test_a_single_convolution_and_one_that_pads_nothing() -> None:
    assert isinstance(with_warp_padding(nn.Conv2d(1, 1, 3, padding=1), POLAR), WarpConv2d)
    for padding in (0, "valid"):
        assert type(with_warp_padding(nn.Conv2d(1, 1, 3, padding=padding), POLAR)) is nn.Conv2d
    assert type(with_warp_padding(nn.Conv2d(1, 1, 1, padding="same"), POLAR)) is nn.Conv2d


class OwnConv(nn.Conv2d):
    pass


@pytest.mark.parametrize(
    "module",
    [
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.AvgPool2d(3, padding=(0, 1)),
        nn.ConvTranspose2d(1, 1, 2, stride=2),
        nn.ZeroPad2d(1),
        nn.ReflectionPad2d((0, 0, 1, 1)),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        OwnConv(1, 1, 3, padding=1),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.utils.spectral_norm(nn.Conv2d(1, 1, 3, padding=1)),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 3, padding=1)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_cannot_be_wrapped_is_an_error_that_names_it(module: nn.Module) -> None:
    network = nn.Sequential(nn.ReLU(), nn.Module())
    network[1].body = module
    with pytest.raises(ValueError, match=r"(?s)1\.body = .*cannot be wrapped"):
        with_warp_padding(network, POLAR)


def test_what_reaches_over_no_edge_is_left_alone() -> None:
    modules = (
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.CircularPad2d((0, 0, 1, 1)),
        WarpPad((1, 1, 0, 0), (True, False)),
    )
    for module in modules:
        assert type(with_warp_padding(nn.Sequential(module), POLAR)[0]) is type(module)


def test_zeros_alike_on_both_sides_are_left_to_the_convolution() -> None:
    layer = WarpConv2d(nn.Conv2d(1, 1, (3, 5), padding=(1, 2)), (True, False))
    assert layer.padding == (0, 2)
    assert layer.pad.padding == (1, 1, 0, 0)
    assert "padding=(0, 2)" in repr(layer)


def test_repr() -> None:
    layer = WarpConv2d(nn.Conv2d(4, 8, 3, padding=1, groups=2, dilation=2, bias=False), (True, False))
    for part in ("4, 8, kernel_size=(3, 3)", "groups=2", "dilation=(2, 2)", "bias=False", "rows wrapped"):
        assert part in repr(layer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WarpPad((1, 1, 1), (True, False)), "wanted .top, bottom, left, right."),
        (lambda: WarpPad((1, 1, 1, -1), (True, False)), ">= 0"),
        (lambda: WarpPad((1, 1, 1, 1), (True, False))(torch.zeros(3, 4, 5)), "wants .batch, channels"),
        (lambda: WarpPad((5, 0, 0, 0), (True, False))(torch.zeros(1, 1, 4, 9)), "smaller kernel or pool less"),
        (lambda: WarpPad((0, 0, 0, 5), (True, True))(torch.zeros(1, 1, 9, 4)), "smaller kernel or pool less"),
        (lambda: WarpConv2d(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (True, False)), "'zeros'"),
        (lambda: WarpConv2d(nn.Conv2d(2, 1, 3, padding=1), (True, False))(torch.zeros(1, 3, 9, 9)), "in_channels=3"),
        (lambda: WarpConv2d(nn.Conv2d(2, 1, 3, padding=1), (True, False))(torch.zeros(2, 9, 9)), "in_channels=…"),
    ],
)
def test_wrong_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
