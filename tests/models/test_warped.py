"""The pose networks: the pose moves with the image, shapes, gradients, errors."""

import math

import pytest
import torch
from torch import Tensor

from armillary.models import FullyConnectedPose, PlanarPose, WarpedPose
from armillary.nn import AxisL1Loss
from armillary.spaces import ImageGrid, LogPolar, PerspectiveSphere, ScaleAspect
from armillary.testing import GroupAction, check_layer, commutation_error

GRID = ImageGrid(20, 20)
POLAR = LogPolar(16, 8, 1.0, 9.0)
WARPS = [POLAR, ScaleAspect(8, 12, 1.0, 19.0, (1, 1), "corner"), PerspectiveSphere(8, 8, 1, 4, 30.0, 0.6, 0.6)]


def quarter_turns(channels: int) -> GroupAction:
    def turned(k: int, y: Tensor) -> Tensor:
        return torch.stack([POLAR.axes[0].wrap(y[..., 0] + k * math.pi / 2), y[..., 1]], dim=-1)

    return GroupAction((channels, *GRID.shape), range(1, 4), lambda k, x: torch.rot90(x, k, (-2, -1)), turned)


def test_the_pose_turns_with_the_image() -> None:
    """Quarter turns act exactly on pixels, and are whole shifts of the response map too."""
    torch.manual_seed(0)
    network = WarpedPose(2, GRID, POLAR, (4, 6, 6))
    check_layer(network, quarter_turns(2), tolerance=1e-12)
    for other in (PlanarPose, FullyConnectedPose):
        assert commutation_error(other(2, GRID, POLAR.axes, (4, 6, 6)), quarter_turns(2)) > 0.1


def test_the_pose_grows_with_the_image() -> None:
    """A scaled smooth image: the untrained network's log radius follows, the angle stays."""
    torch.manual_seed(0)
    grid, warp = ImageGrid(64, 64), LogPolar(32, 32, 2.0, 40.0)
    network = WarpedPose(1, grid, warp, (4, 4)).double().eval()
    with torch.no_grad():
        network.features[-1].weight *= 200  # a response with a peak, whose tails do not reach the edges

    def image(points: Tensor) -> Tensor:
        x, y = points[..., 0], points[..., 1]
        return torch.exp(-((x - 9) ** 2 + (y - 3) ** 2) / 12)[None, None]

    step = torch.tensor([0.0, 2 * warp.step[1]], dtype=torch.float64)
    before = network(image(grid.points))
    after = network(image(warp.transform(-step, grid)(grid.points)))
    torch.testing.assert_close(after - before, step[None], atol=0.15 * float(step[1]), rtol=0)


@pytest.mark.parametrize("warp", WARPS, ids=lambda warp: type(warp).__name__)
def test_shapes_and_gradients_of_all_three(warp) -> None:
    torch.manual_seed(0)
    x, target = torch.randn(3, 2, *GRID.shape), torch.rand(3, 2)
    for network in (
        WarpedPose(2, GRID, warp, (4, 6, 5)),
        PlanarPose(2, GRID, warp.axes, (4, 6, 5)),
        FullyConnectedPose(2, GRID, warp.axes, (4, 6, 5)),
    ):
        y = network(x)
        assert y.shape == (3, 2)
        AxisL1Loss(warp.axes)(y, target).backward()
        missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert missing == [], type(network).__name__


@pytest.mark.parametrize("kind", [PlanarPose, FullyConnectedPose])
def test_baselines_keep_the_contract(kind) -> None:
    torch.manual_seed(0)
    check_layer(kind(2, GRID, POLAR.axes, (4, 6, 6)), quarter_turns(2), tolerance=None)


def test_a_short_direction_keeps_its_angle_under_autocast() -> None:
    """The directions of a network at its start may be shorter than the eps of bfloat16."""
    torch.manual_seed(0)
    for network in (PlanarPose(1, GRID, POLAR.axes, (4, 6)), FullyConnectedPose(1, GRID, POLAR.axes, (4, 6))):
        with torch.no_grad():
            network.readout.linear.weight.mul_(1e-6)
            network.readout.linear.bias.copy_(torch.tensor([1e-3, -1e-3, 0.0]))
        with torch.autocast("cpu", torch.bfloat16):
            y = network(torch.randn(2, 1, *GRID.shape))
        assert y.dtype == torch.float32
        torch.testing.assert_close(y[:, 0], torch.full((2,), 7 * math.pi / 4), atol=0.05, rtol=0)
        y[:, 0].sum().backward()
        assert network.readout.linear.bias.grad[:2].abs().min() > 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WarpedPose(1, GRID, LogPolar(18, 8, 1, 9)), "wanted a divisor of the size, 18"),
        (lambda: PlanarPose(1, ImageGrid(20, 21), POLAR.axes), "wanted a divisor of the size, 21"),
        (lambda: FullyConnectedPose(1, GRID, POLAR.axes, (4, 4, 4, 4)), "divisor of the size, 20"),
        (lambda: WarpedPose(1, GRID, POLAR, ()), "at least one block"),
        (lambda: WarpedPose(1, GRID, POLAR, (4, 0)), "wanted the channels of each block"),
        (lambda: WarpedPose(1, GRID, POLAR)(torch.zeros(1, 20, 20)), "in_channels=…"),
    ],
)
def test_wrong_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
