"""Networks of steerable DISCO: shapes, symmetry, weights moved between resolutions, configuration."""

from __future__ import annotations

import pytest
import torch

from armillary.models import DiscoUNet, ModelConfig, SteerableDiscoClassifier, SteerableDiscoUNet, build_model
from armillary.spaces import Equiangular, GaussLegendre, ImageGrid
from armillary.testing import equivariance_error, invariance_error


@pytest.mark.parametrize("grid", [Equiangular(17, 30), Equiangular(17, 32, poles=True), GaussLegendre(16)], ids=str)
@pytest.mark.parametrize(("spin", "frames"), [(1, 0), (2, 0), (1, 5)])
def test_shapes_for_every_grid_and_head(grid, spin, frames):
    config = ModelConfig(name="steerable_disco", widths=(2, 3), highest_spin=spin, frames=frames, dropout=0.1)
    x = torch.randn(2, 3, *grid.shape)
    assert build_model(config, 3, 5, grid, "dense")(x).shape == (2, 5, *grid.shape)
    assert build_model(config, 3, 5, grid, "global")(x).shape == (2, 5)


@pytest.mark.parametrize("frames", [0, 6])
def test_the_error_under_rotation_falls_with_resolution(frames):
    """A network of nonlinear layers: aliasing of the nonlinearity is what is left."""
    errors = []
    for nlat in (16, 32):
        grid = GaussLegendre(nlat)
        torch.manual_seed(0)
        network = SteerableDiscoUNet(1, 2, grid, (2, 3), frames=frames)
        errors.append(equivariance_error(network, grid, channels=1, lmax=3, n_rotations=2))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.1


def test_classes_do_not_turn():
    grid = GaussLegendre(24)
    torch.manual_seed(0)
    network = SteerableDiscoClassifier(2, 4, grid, (2, 3))
    assert invariance_error(network, grid, channels=2, lmax=3) < 0.05


def test_every_parameter_gets_a_gradient():
    grid = Equiangular(16)
    net = SteerableDiscoUNet(2, 3, grid, widths=(2, 3), blocks=2, highest_spin=2, dropout=0.1)
    net(torch.randn(4, 2, *grid.shape)).square().sum().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias right before a normalisation is removed by it; without one, no field of the batch has a part of that spin
    assert all(name.endswith("bias") for name in missing), missing


def test_recomputed_blocks_give_the_same_gradients():
    grid = Equiangular(16)
    x = torch.randn(2, 1, *grid.shape)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = SteerableDiscoUNet(1, 2, grid, (2, 3), recompute=recompute)
        net(x).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_the_state_moves_between_resolutions():
    net, finer = (SteerableDiscoUNet(1, 2, Equiangular(nlat), (2, 3)) for nlat in (16, 24))
    finer.load_state_dict(net.state_dict())


def test_sizes():
    grid = Equiangular(32)
    count = [
        sum(p.numel() for p in net.parameters())
        for net in (DiscoUNet(1, 11, grid, (16, 32)), SteerableDiscoUNet(1, 11, grid, (6, 12)))
    ]
    assert abs(count[1] - count[0]) < 0.03 * count[0]
    with pytest.raises(ValueError, match="highest_spin = 0"):
        SteerableDiscoUNet(1, 2, grid, highest_spin=0)
    for settings, message in (
        ({"widths": ()}, "no widths"),
        ({"widths": (2, 0)}, "a width = 0, wanted an integer >= 1"),
        ({"widths": (2, 1.5)}, r"1\.5"),
        ({"blocks": 0}, "blocks = 0, wanted an integer >= 1"),
        ({"blocks": True}, "blocks = True"),
        ({"n_radial": 1}, "n_radial >= 2"),
    ):
        with pytest.raises(ValueError, match=message):
            SteerableDiscoUNet(1, 2, grid, **settings)
    with pytest.raises(ValueError, match="frames = 2"):
        SteerableDiscoUNet(1, 2, grid, frames=2)
    with pytest.raises(ValueError, match="steerable_disco works on the sphere"):
        build_model(ModelConfig(name="steerable_disco"), 1, 2, ImageGrid(28, 28), "global")
