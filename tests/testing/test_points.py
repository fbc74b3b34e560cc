"""The symmetry of points and their features: elements of both kinds, and errors that are found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps
from armillary.testing import (
    FeatureSymmetry,
    PointMap,
    PointSymmetry,
    check_layer,
    commutation_error,
    rotations_and_reflections,
)

IRREPS = Irreps("3x0e+2x1o+1x1e+1x2e")
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 0, 1, 2, 0, 4, 4]])


class Relative(nn.Module):
    """Sums of (y, z, x) of edge vectors times scalars, a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        r = (positions[EDGES[0]] - positions[EDGES[1]])[:, [1, 2, 0]]
        messages = r[..., None] * (x[EDGES[0], :3] @ self.weight)[:, None]
        return torch.zeros(len(x), 6, dtype=x.dtype).index_add(0, EDGES[1], messages.flatten(1))


class Absolute(Relative):
    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return super().forward(x, positions) + 1e-3 * positions.repeat(1, 2)


def on_points(layer: nn.Module) -> PointMap:
    return PointMap(layer, lambda layer, x, positions: layer(x, positions))


def test_elements_are_of_both_kinds() -> None:
    g = rotations_and_reflections(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(g @ g.mT, torch.eye(3).double().expand(5, 3, 3))
    torch.testing.assert_close(torch.linalg.det(g), torch.tensor([1, -1, 1, -1, 1]).double())


def test_what_commutes_with_rotations_alone_is_found() -> None:
    """A factor that is odd under reflection: exact under rotations, not under O(3)."""
    odd = Irreps("2x0e+1x0o")

    def layer(x: Tensor) -> Tensor:
        return torch.stack([x[..., 0] + x[..., 2], x[..., 1], x[..., 2]], -1)

    rotations = FeatureSymmetry(odd, odd, list(rotations_and_reflections(6)[::2]))
    assert commutation_error(layer, rotations) < 1e-14
    assert commutation_error(layer, FeatureSymmetry(odd, odd)) > 0.1
    assert commutation_error(lambda x: 2 * x, FeatureSymmetry(IRREPS, IRREPS)) < 1e-14


def test_maps_of_positions_and_features() -> None:
    symmetry = PointSymmetry(IRREPS, Irreps("2x1o"), points=5)
    check_layer(on_points(Relative()), symmetry, tolerance=1e-12)
    assert commutation_error(on_points(Absolute()), symmetry) > 1e-4
    assert commutation_error(on_points(Relative()), PointSymmetry(IRREPS, Irreps("2x1e"), points=5)) > 0.1


def test_outputs_of_whole_clouds() -> None:
    symmetry = PointSymmetry(IRREPS, Irreps("1x0e"), points=4)
    distances = PointMap(nn.Identity(), lambda _, x, positions: torch.pdist(positions).sum()[None] + x[0, :1])
    assert commutation_error(distances, symmetry, batch=3) < 1e-13


def test_outputs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="x has shape"):
        commutation_error(lambda x: x[..., 1:], FeatureSymmetry(IRREPS, IRREPS))
