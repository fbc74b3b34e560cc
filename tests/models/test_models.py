"""The U-Nets and classifiers: shapes, symmetry, weights moved between resolutions, configuration."""

import pytest
import torch

from armillary.models import DiscoClassifier, DiscoUNet, ModelConfig, PlanarUNet, build_model
from armillary.spaces import Equiangular, GaussLegendre, ImageGrid
from armillary.testing import equivariance_error, invariance_error


@pytest.mark.parametrize("grid", [Equiangular(17, 30), Equiangular(17, 32, poles=True), GaussLegendre(16)])
@pytest.mark.parametrize("name", ["disco_unet", "planar_unet"])
def test_shapes_for_every_grid_head_and_kind(grid, name):
    config = ModelConfig(name=name, widths=(4, 6))
    x = torch.randn(1, 3, *grid.shape)
    assert build_model(config, 3, 5, grid, "dense")(x).shape == (1, 5, *grid.shape)
    assert build_model(config, 3, 5, grid, "global")(x).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "settings", "invariant"),
    [
        ("group_cnn", {"widths": (3,), "reflections": True}, True),
        ("group_resnet", {"widths": (2, 3, 4), "blocks": 2, "turns": 4}, True),
        ("harmonic", {"widths": (3, 4)}, True),
        ("planar_unet", {"widths": (4, 6)}, False),
    ],
)
def test_networks_of_images_by_name(name, settings, invariant):
    grid = ImageGrid(28, 28)
    torch.manual_seed(0)
    network = build_model(ModelConfig(name=name, **settings), 2, 5, grid, "global").double().eval()
    x = torch.randn(2, 2, 28, 28, dtype=torch.float64)
    assert network(x).shape == (2, 5)
    change = (network(torch.rot90(x, 1, (-2, -1))) - network(x)).detach().norm() / network(x).detach().norm()
    assert (float(change) < 1e-10) == invariant


def test_networks_where_they_do_not_work():
    grid = ImageGrid(28, 28)
    with pytest.raises(ValueError, match="choose a U-Net"):
        build_model(ModelConfig(name="harmonic"), 1, 2, grid, "dense")
    with pytest.raises(ValueError, match="fields on the sphere"):
        build_model(ModelConfig(name="group_cnn"), 1, 2, Equiangular(8), "global")
    with pytest.raises(ValueError, match="wants one"):
        build_model(ModelConfig(name="group_cnn"), 1, 2, grid, "global")
    with pytest.raises(ValueError, match="planar_unet"):
        build_model(ModelConfig(name="disco_unet"), 1, 2, grid, "global")
    with pytest.raises(ValueError, match="group_resnet"):
        build_model(ModelConfig(name="resnet"), 1, 2, grid, "global")


def test_every_parameter_gets_a_gradient():
    grid = Equiangular(16)
    net = DiscoUNet(2, 3, grid, widths=(4, 6), blocks=2, dropout=0.1)
    net(torch.randn(2, 2, *grid.shape)).square().sum().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias right before a normalisation is removed by it
    assert all(name.endswith("bias") for name in missing), missing


def test_untrained_networks_are_equivariant_where_planar_ones_are_not():
    grid = GaussLegendre(32)
    torch.manual_seed(0)
    sphere, plane = DiscoUNet(1, 2, grid, widths=(4, 8)), PlanarUNet(1, 2, grid.shape, widths=(4, 8))
    own, other = (equivariance_error(net, grid, channels=1, lmax=4, n_rotations=2) for net in (sphere, plane))
    assert own < 0.03
    assert other > 5 * own
    classifier = DiscoClassifier(1, 3, grid, widths=(4, 8))
    assert invariance_error(classifier, grid, channels=1, lmax=4, n_rotations=2) < 0.03


@pytest.mark.parametrize("oversample", [1.0, 2.0])
def test_the_error_of_the_whole_network_falls_with_resolution(oversample):
    errors = []
    for nlat in (16, 32):
        grid = GaussLegendre(nlat)
        torch.manual_seed(0)
        net = DiscoUNet(1, 2, grid, widths=(4, 6), oversample=oversample)
        errors.append(equivariance_error(net, grid, channels=1, lmax=3, n_rotations=2))
    assert errors[1] < errors[0] / 4


def test_the_same_weights_give_the_same_field_on_other_grids():
    from armillary.harmonics import random_field, resample

    coarse = GaussLegendre(32)
    config = ModelConfig(widths=(4, 6), rings=3.0)
    torch.manual_seed(0)
    net = build_model(config, 1, 2, coarse, "dense").double().eval()
    x = random_field(coarse, 5, (1, 1))
    reference = net(x)
    for grid in (GaussLegendre(64), Equiangular(64)):
        finer = build_model(ModelConfig(widths=(4, 6), rings=6.0), 1, 2, grid, "dense").double().eval()
        finer.load_state_dict(net.state_dict())
        y = resample(finer(resample(x, coarse, grid)), grid, coarse)
        assert (y - reference).norm() / reference.norm() < 0.05


def test_configuration_errors():
    grid = Equiangular(8)
    with pytest.raises(ValueError, match="levels"):
        build_model(ModelConfig(widths=(4, 4, 4)), 1, 1, grid, "dense")
    with pytest.raises(ValueError, match="hats or modes"):
        build_model(ModelConfig(widths=(4,), n_azimuthal=2, m_max=1), 1, 1, grid, "dense")
    with pytest.raises(ValueError, match="model name"):
        build_model(ModelConfig(name="resnet"), 1, 1, grid, "dense")
    with pytest.raises(ValueError, match="widths"):
        build_model(ModelConfig(widths=()), 1, 1, grid, "dense")
    with pytest.raises(ValueError, match="head"):
        build_model(ModelConfig(widths=(4,)), 1, 1, grid, "sparse")
