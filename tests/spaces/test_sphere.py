"""Grids on the sphere: values with quadrature, sizes, descriptions."""

from __future__ import annotations

import json
import math

import pytest
import torch

from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid, grid_from_dict

GRIDS = [Equiangular(8), Equiangular(7, 9), Equiangular(9, poles=True), GaussLegendre(8), GaussLegendre(5, 11)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_integrates_monomials(grid: SphereGrid) -> None:
    """∫ x^a y^b z^c dω in closed form: 0 for an odd power, else products of Γ."""
    x, y, z = grid.points.unbind(-1)
    for a in range(4):
        for b in range(4 - a):
            for c in range(4 - a - b):
                if a % 2 or b % 2 or c % 2:
                    exact = 0.0
                else:
                    g = [math.gamma((p + 1) / 2) for p in (a, b, c)]
                    exact = 2 * math.prod(g) / math.gamma((a + b + c + 3) / 2)
                assert float(grid.integrate(x**a * y**b * z**c)) == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_integrate_keeps_leading_dimensions_and_dtype(grid: SphereGrid) -> None:
    x = torch.randn(2, 3, *grid.shape, generator=torch.Generator().manual_seed(0))
    total = grid.integrate(x)
    assert (total.shape, total.dtype) == ((2, 3), torch.float32)
    torch.testing.assert_close(total.double(), (x.double() * grid.quadrature).sum((-1, -2)), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="this grid wants"):
        grid.integrate(x[..., 1:])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_cells_have_the_area_of_their_weight(grid: SphereGrid) -> None:
    edges = grid.cell_edges
    assert (edges[0], edges[-1]) == (1, -1)
    torch.testing.assert_close(-edges.diff(), grid.ring_weights, rtol=0, atol=1e-14)
    z = torch.cos(grid.colatitudes)
    assert (z <= edges[:-1] + 1e-14).all()
    assert (z >= edges[1:] - 1e-14).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_descriptions_go_through_json(grid: SphereGrid) -> None:
    again = grid_from_dict(json.loads(json.dumps(grid.to_dict())))
    assert again == grid
    assert hash(again) == hash(grid)
    assert type(again) is type(grid)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"type": "Cube", "nlat": 4}, "'Cube', wanted one of"),
        ({"nlat": 4}, "None, wanted one of"),
        ({"type": "GaussLegendre", "nlat": 4, "poles": True}, "poles"),
        ({"type": "GaussLegendre"}, "nlat"),
        ({"type": "Equiangular", "nlat": "8"}, "nlat = '8'"),
    ],
)
def test_bad_descriptions(description: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_from_dict(description)


def test_kinds_differ() -> None:
    assert Equiangular(8) == Equiangular(8, 16)
    assert len({Equiangular(8), Equiangular(8, 15), Equiangular(8, 16, poles=True), GaussLegendre(8)}) == 4


@pytest.mark.parametrize("nlat", [0, -3, 2.0, True, "8", None])
def test_bad_sizes(nlat: object) -> None:
    for kind in (Equiangular, GaussLegendre):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            kind(nlat, 8)
        with pytest.raises(ValueError, match="nlat"):
            kind(nlat)
    with pytest.raises(ValueError, match="nlat = 2, wanted an integer >= 3"):
        Equiangular(2, poles=True)
    with pytest.raises(ValueError, match="nlon = 0"):
        GaussLegendre(4, 0)


def test_other_sizes_of_the_same_kind() -> None:
    assert Equiangular(8).resized(5) == Equiangular(5, 10)
    assert Equiangular(9, poles=True).resized(5, 7) == Equiangular(5, 7, poles=True)
    assert GaussLegendre(8).resized(3) == GaussLegendre(3)
    assert Equiangular(8).coarser() == Equiangular(4)
    assert Equiangular(9, poles=True).coarser() == Equiangular(5, poles=True)
    assert GaussLegendre(9, 19).coarser(3) == GaussLegendre(3, 6)
    assert GaussLegendre(1, 1).coarser() == GaussLegendre(1, 1)
    ring = Equiangular(17, poles=True)
    assert set(ring.coarser().colatitudes.tolist()) <= set(ring.colatitudes.tolist())  # every other ring


def test_constants_cannot_be_spoilt() -> None:
    for grid in GRIDS:
        grid.colatitudes.zero_()
        grid.ring_weights.zero_()
        assert float(grid.ring_weights.sum()) == pytest.approx(2)
        assert grid.colatitudes.max() > 2


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_oriented_grid(count: int) -> None:
    space = OrientedGrid(GaussLegendre(4), count)
    assert space.shape == (count, 4, 8)
    assert float(space.quadrature.sum()) == pytest.approx(8 * math.pi**2)
    assert space.nmax == {1: 0, 2: 0, 5: 2, 8: 3}[count]
    assert space.lmax == 3
    x = torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(space.integrate(x), (x * space.quadrature).sum((-1, -2, -3)))
    assert space.to_dict()["grid"] == space.grid.to_dict()
    with pytest.raises(ValueError, match="orientation axis"):
        space.integrate(x[:, :, 0])


@pytest.mark.parametrize("count", [0, -1, 2.0])
def test_bad_orientation_counts(count: object) -> None:
    with pytest.raises(ValueError, match="n_orientations"):
        OrientedGrid(GaussLegendre(4), count)
