import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.harmonics import random_field, random_rotation, resample, rotate
from armillary.nn import OrientationMax, OrientationMean, Pool, SphereMax, SphereMean, Unpool, overlaps
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid

KINDS = [Equiangular, GaussLegendre, lambda n: Equiangular(n + 1, poles=True)]

sizes = st.integers(1, 14)
grids = st.one_of(
    st.builds(Equiangular, sizes, sizes),
    st.builds(GaussLegendre, sizes, sizes),
    st.builds(lambda nlat, nlon: Equiangular(nlat + 2, nlon, poles=True), sizes, sizes),
)


def direct(grid_in, grid_out):
    """The readable twin: the overlap of every pair of cells, (Ho, Wo, Hi, Wi), divided by the output cell's area."""
    rows = torch.zeros(grid_out.nlat, grid_in.nlat, dtype=torch.float64)
    for o in range(grid_out.nlat):
        for i in range(grid_in.nlat):
            top = min(grid_out.cell_edges[o].item(), grid_in.cell_edges[i].item())
            bottom = max(grid_out.cell_edges[o + 1].item(), grid_in.cell_edges[i + 1].item())
            rows[o, i] = max(0.0, top - bottom)
    columns = torch.zeros(grid_out.nlon, grid_in.nlon, dtype=torch.float64)
    for o in range(grid_out.nlon):
        for i in range(grid_in.nlon):
            for turn in (-1, 0, 1):
                a, b = ((o - 0.5) / grid_out.nlon, (o + 0.5) / grid_out.nlon)
                c, d = ((i - 0.5) / grid_in.nlon + turn, (i + 0.5) / grid_in.nlon + turn)
                columns[o, i] += 2 * math.pi * max(0.0, min(b, d) - max(a, c))
    return torch.einsum("hi,wj->hwij", rows, columns) / grid_out.quadrature[:, :, None, None]


@settings(max_examples=30, deadline=None)
@given(grids, grids)
def test_pooling_equals_the_overlap_of_cells(grid_in, grid_out):
    x = torch.randn(2, 3, *grid_in.shape, dtype=torch.float64)
    wanted = torch.einsum("hwij,bcij->bchw", direct(grid_in, grid_out), x)
    for layer in (Pool(grid_in, grid_out), Unpool(grid_in, grid_out)):
        torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(grids, grids, st.booleans())
def test_integrals_and_constants_are_kept(grid_in, grid_out, banded):
    limit = overlaps.DENSE_LIMIT
    overlaps.DENSE_LIMIT = 0 if banded else limit
    try:
        pool = Pool(grid_in, grid_out)
    finally:
        overlaps.DENSE_LIMIT = limit
    assert pool.path("rows") == ("banded" if banded else "dense")
    x = torch.randn(1, 2, *grid_in.shape, dtype=torch.float64)
    torch.testing.assert_close(grid_out.integrate(pool(x)), grid_in.integrate(x), rtol=0, atol=1e-11)
    ones = torch.ones(*grid_in.shape, dtype=torch.float64)
    torch.testing.assert_close(pool(ones), torch.ones(*grid_out.shape, dtype=torch.float64), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(grids, grids)
def test_unpooling_is_the_adjoint_of_pooling(a, b):
    x = torch.randn(*a.shape, dtype=torch.float64)
    y = torch.randn(*b.shape, dtype=torch.float64)
    left = b.integrate(Pool(a, b)(x) * y)
    right = a.integrate(x * Unpool(b, a)(y))
    torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pair", [(GaussLegendre(12, 9), Equiangular(5, 4)), (Equiangular(4), Equiangular(11, 13))])
def test_banded_path_equals_dense_path_with_its_gradients(monkeypatch, pair):
    dense = Pool(*pair)
    monkeypatch.setattr(overlaps, "DENSE_LIMIT", 0)
    banded = Pool(*pair)
    assert (dense.path("columns"), banded.path("columns")) == ("dense", "banded")
    assert "rows=banded, columns=banded" in repr(banded)
    x = torch.randn(2, 2, *pair[0].shape, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(2, 2, *pair[1].shape, dtype=torch.float64)
    outputs = [layer(x) for layer in (dense, banded)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-13)
    gradients = [torch.autograd.grad((y * cotangent).sum(), x)[0] for y in outputs]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(banded, x)
    assert torch.autograd.gradgradcheck(banded, x)


def test_large_grids_take_the_band_with_few_gathers():
    pool = Pool(Equiangular(1024), Equiangular(512))
    assert (pool.path("rows"), pool.path("columns")) == ("banded", "banded")
    assert pool.rows_index.shape[1] <= 4
    assert pool.columns_index.shape[1] == 3


def smooth(grid):
    x, y, z = grid.points.unbind(-1)
    return x * y * z + (0.6 * x - 0.8 * z) ** 5 + torch.exp(0.5 * y + 0.5 * x)


def rms(field, grid):
    return (grid.integrate(field**2) / (4 * math.pi)).sqrt().item()


@pytest.mark.parametrize("kind", KINDS)
def test_pooling_a_smooth_field_converges_at_the_stated_rate(kind):
    errors, worst = [], []
    for n in (64, 128):
        fine, coarse = kind(n), kind(n).coarser()
        difference = Pool(fine, coarse)(smooth(fine)) - smooth(coarse)
        errors.append(rms(difference, coarse))
        worst.append(difference.abs().max().item())
    assert math.log2(errors[0] / errors[1]) > 1.75
    assert math.log2(worst[0] / worst[1]) > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_unpooling_a_smooth_field_converges_at_first_order(kind):
    errors = []
    for n in (64, 128):
        fine, coarse = kind(n), kind(n).coarser()
        errors.append(rms(Unpool(coarse, fine)(smooth(coarse)) - smooth(fine), fine))
    assert math.log2(errors[0] / errors[1]) > 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layer", "order"), [(Pool, 1.3), (Unpool, 0.8)])
def test_rotation_error_falls_with_resolution(kind, layer, order):
    """Measured with exact rotation: P R x against R P x, where R acts on the band limit of each grid."""
    generator = torch.Generator().manual_seed(5)
    R = random_rotation(generator)
    errors = []
    for n in (32, 128):
        fine, coarse = kind(n), kind(n).coarser()
        pair = (fine, coarse) if layer is Pool else (coarse, fine)
        field = resample(
            random_field(GaussLegendre(8), 7, (4,), torch.Generator().manual_seed(1)), GaussLegendre(8), pair[0]
        )
        pool = layer(*pair)
        wanted = rotate(pool(field), pair[1], R)
        difference = pool(rotate(field, pair[0], R)) - wanted
        errors.append((pair[1].integrate(difference**2).sum() / pair[1].integrate(wanted**2).sum()).sqrt().item())
    assert errors[1] < 0.06
    assert math.log2(errors[0] / errors[1]) / 2 > order


def test_oriented_pooling_converges_under_rotation():
    R = random_rotation(torch.Generator().manual_seed(5))
    errors = []
    for n in (16, 64):
        fine, coarse = OrientedGrid(Equiangular(n), 5), OrientedGrid(Equiangular(n // 2), 5)
        x = random_field(fine, 5, (2, 1), torch.Generator().manual_seed(1))
        pool = Pool(fine, coarse)
        wanted = rotate(pool(x), coarse, R)
        difference = pool(rotate(x, fine, R)) - wanted
        errors.append((coarse.integrate(difference**2).sum() / coarse.integrate(wanted**2).sum()).sqrt().item())
    assert math.log2(errors[0] / errors[1]) / 2 > 1.4


def test_turning_by_a_common_longitude_step_is_exact():
    pool = Pool(GaussLegendre(12, 24), Equiangular(5, 8))
    x = torch.randn(1, 2, 12, 24, dtype=torch.float64)
    torch.testing.assert_close(pool(x.roll(3, -1)), pool(x).roll(1, -1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_and_low_precision_do_not_spoil_the_weights(dtype):
    pool = Pool(GaussLegendre(12), GaussLegendre(5))
    x = torch.randn(1, 1, 12, 24).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        y = pool(x)
    assert y.dtype == dtype
    assert torch.equal(y, pool(x.float()).to(dtype))


def test_pool_moves_between_dtypes_without_loss_and_has_no_state():
    pool = Pool(GaussLegendre(12), GaussLegendre(5))
    x = torch.randn(1, 2, 12, 24, dtype=torch.float64)
    before = pool(x)
    assert torch.equal(pool.half().double()(x), before)
    assert not pool.state_dict()
    strided = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    torch.testing.assert_close(pool(strided), before, rtol=0, atol=1e-14)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_compiles_without_graph_breaks(monkeypatch, limit):
    monkeypatch.setattr(overlaps, "DENSE_LIMIT", limit)
    pool = Pool(GaussLegendre(6), GaussLegendre(3))
    x = torch.randn(2, 1, 6, 12)
    torch.testing.assert_close(torch.compile(pool, fullgraph=True, backend="eager")(x), pool(x))


@pytest.mark.parametrize("space", [Equiangular(9), GaussLegendre(8, 17), OrientedGrid(GaussLegendre(8), 3)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_the_mean_is_the_integral_and_invariant(space, dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    x = 1 + random_field(space, space.lmax, (2, 3), generator)
    mean = SphereMean(space)
    wanted = space.integrate(x) / space.quadrature.sum()
    assert mean(x.to(dtype)).shape == (2, 3)
    assert (mean(x.to(dtype)) - wanted).abs().max() < tolerance
    turned = rotate(x, space, random_rotation(generator))
    assert (mean(turned.to(dtype)) - wanted).abs().max() < tolerance


def test_the_maximum_is_invariant_at_second_order():
    R = random_rotation(torch.Generator().manual_seed(2))
    errors = []
    for n in (32, 128):
        grid = GaussLegendre(n)
        x = random_field(grid, 5, (8, 16), torch.Generator().manual_seed(1))
        layer = SphereMax(grid)
        assert torch.equal(layer(x), x.amax((2, 3)))
        errors.append((layer(rotate(x, grid, R)) - layer(x)).square().mean().sqrt().item())
    assert math.log2(errors[0] / errors[1]) / 2 > 1.5


def test_projections_of_the_orientation_axis_commute_with_rotation():
    generator = torch.Generator().manual_seed(4)
    R = random_rotation(generator)
    space = OrientedGrid(GaussLegendre(9), 5)
    x = random_field(space, 6, (2, 3), generator)
    mean = OrientationMean(space)
    assert mean(x).shape == (2, 3, *space.grid.shape)
    torch.testing.assert_close(mean(rotate(x, space, R)), rotate(mean(x), space.grid, R), rtol=0, atol=1e-12)
    layer = OrientationMax(space)
    for g in range(5):  # an exact symmetry: all frames turned by the same multiple of the orientation step
        torch.testing.assert_close(layer(x.roll(g, 2)), layer(x))
    assert torch.equal(layer(x)[1, 2, 3, 4], max(x[1, 2, :, 3, 4]))


def test_maximum_over_orientations_converges():
    """cos(γ - γ0) has maximum 1 whatever γ0; samples at most half a step away from it give 1 - cos(step/2)."""
    for n in (4, 9, 16):
        space = OrientedGrid(GaussLegendre(3), n)
        turn = torch.rand(2, 3, 1, *space.grid.shape, dtype=torch.float64) * 2 * math.pi
        x = torch.cos(space.orientations[:, None, None] - turn)
        error = 1 - OrientationMax(space)(x)
        assert error.min() >= 0
        assert error.max() <= 1 - math.cos(math.pi / n) + 1e-12


def test_errors_say_what_came_and_what_was_wanted():
    a, b = Equiangular(8), Equiangular(4)
    with pytest.raises(ValueError, match="Pool wants"):
        Pool(a, b)(torch.randn(1, 1, 4, 8))
    with pytest.raises(ValueError, match="same orientations"):
        Pool(OrientedGrid(a, 3), b)
    with pytest.raises(ValueError, match="same orientations"):
        Unpool(OrientedGrid(a, 3), OrientedGrid(b, 5))
    with pytest.raises(ValueError, match="orientation axis"):
        Pool(OrientedGrid(a, 3), OrientedGrid(b, 3))(torch.randn(1, 1, 8, 16))
    with pytest.raises(ValueError, match="SphereMean wants"):
        SphereMean(a)(torch.randn(1, 1, 4, 8))
    with pytest.raises(ValueError, match="unsqueeze"):
        SphereMax(a)(torch.randn(1, 8, 16))
    with pytest.raises(TypeError, match="wanted an OrientedGrid"):
        OrientationMean(a)
