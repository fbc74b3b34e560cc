"""S2CNN: the published sizes, symmetry, recomputation, configuration."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from armillary.models import ModelConfig, S2CNNClassifier, S2CNNSegmenter, build_model
from armillary.models.s2cnn import FEATURES, bandlimits
from armillary.spaces import Equiangular, GaussLegendre, ImageGrid
from armillary.testing import check_layer, equivariance_error, invariance_error

GRID = Equiangular(8, 16)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sizes_are_those_of_the_paper() -> None:
    assert bandlimits(50, 7) == (42, 35, 27, 20, 27, 35, 42)
    assert bandlimits(50, 4, ascending=False) == (42, 35, 27, 20)
    network = S2CNNSegmenter(1, 11, Equiangular(50, 100))
    assert count(network) == 183_831
    points = 3 * 8 * 8
    pairs = sum(a * b for a, b in pairwise(FEATURES))
    assert sum(p.weight.numel() for p in network.body.products) == points * pairs
    # with as many points in the last layer as the published one has on SO(3): the published count
    assert round((count(network) + 11 * 11 * (points - 3 * 8)) / 1000) == 204


def test_shapes() -> None:
    for grid in (GRID, Equiangular(9, 15), GaussLegendre(8)):
        x = torch.randn(2, 3, *grid.shape)
        assert S2CNNSegmenter(3, 5, grid, (2, 3, 2))(x).shape == (2, 5, *grid.shape)
        assert S2CNNSegmenter(3, 5, grid, (2,), (20,))(x).shape == (2, 5, *grid.shape)
        assert S2CNNClassifier(3, 5, grid, (2, 3))(x).shape == (2, 5)


def test_contract() -> None:
    """With a smooth nonlinearity: differences across a kink of ReLU are no derivatives."""
    torch.manual_seed(0)
    torch.compiler.reset()
    network = S2CNNSegmenter(2, 3, GRID, (2, 3, 2))
    for m in network.modules():
        if isinstance(m, torch.nn.Sequential) and isinstance(m[1], torch.nn.ReLU):
            m[1] = torch.nn.SiLU()
    check_layer(network, GRID, GRID, channels=2, tolerance=None, lmax=3)


@pytest.mark.parametrize("kind", [S2CNNSegmenter, S2CNNClassifier])
def test_the_error_falls_with_oversampling(kind) -> None:
    errors = []
    for oversample in (1.0, 2.0, 4.0):
        torch.manual_seed(0)
        network = kind(1, 3, GRID, (3, 4, 3), (8, 6, 8), oversample=oversample)
        measure = equivariance_error if kind is S2CNNSegmenter else invariance_error
        errors.append(measure(network, GRID, channels=1, lmax=4, n_rotations=2))
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_recomputation_changes_nothing() -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = S2CNNSegmenter(1, 3, GRID, (2, 3, 2), recompute=recompute, dropout=0.2)
        torch.manual_seed(1)
        y = network(torch.randn(3, 1, *GRID.shape))
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad for p in network.parameters())])
    torch.testing.assert_close(*results)
    assert all(float(g.abs().sum()) > 0 for g in results[0])


def test_by_name() -> None:
    config = ModelConfig(name="s2cnn", widths=(2, 3, 2), bandlimits=(7, 4, 7), oversample=1.5, recompute=True)
    network = build_model(config, 1, 5, GRID, "dense")
    assert isinstance(network, S2CNNSegmenter)
    assert network(torch.randn(1, 1, *GRID.shape)).shape == (1, 5, *GRID.shape)
    assert isinstance(build_model(ModelConfig(name="s2cnn", widths=(2, 3)), 1, 5, GRID, "global"), S2CNNClassifier)
    with pytest.raises(ValueError, match="planar_unet"):
        build_model(config, 1, 5, ImageGrid(8, 8), "global")


def test_errors() -> None:
    with pytest.raises(ValueError, match="one bandlimit of at least 2"):
        S2CNNSegmenter(1, 2, GRID, (2, 3), (4,))
    with pytest.raises(ValueError, match="at least 1"):
        S2CNNSegmenter(1, 2, GRID, ())
    for oversample in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="factor >= 1"):
            S2CNNSegmenter(1, 2, GRID, (2, 3), oversample=oversample)
    with pytest.raises(ValueError, match="was built for"):
        S2CNNClassifier(1, 2, GRID, (2, 3))(torch.randn(1, 2, *GRID.shape))
