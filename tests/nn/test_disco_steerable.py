"""Steerable DISCO: a dense twin from Euler angles, exact rotation of fields of spin, and the layer's contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import Orders, euler_angles, from_euler_zyz
from armillary.nn import DiscoConv, FourierAzimuth, PiecewiseLinear, SteerableDiscoConv, Zernike
from armillary.ops.filters import SteerableBasis
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid
from armillary.spaces.neighbours import SLACK
from armillary.testing import SpinSymmetry, check_layer, commutation_error, equivariance_error

MIXED = Orders.of({-1: 1, 0: 2, 2: 1})


def fields(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(layer: SteerableDiscoConv) -> SteerableDiscoConv:
    """float64, with parameters that are not those of the start."""
    layer = layer.double()
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(fields(*parameter.shape, seed=90 + i))
    return layer


def frames(grid: SphereGrid) -> Tensor:
    """Z(φ) Y(θ) at the points of a grid, (points, 3, 3)."""
    theta, phi = grid.colatitudes[:, None].expand(grid.shape), grid.longitudes.expand(grid.shape)
    return from_euler_zyz(phi, theta, 0.0).reshape(-1, 3, 3)


def to_complex(x: Tensor, orders: Orders) -> Tensor:
    return x + 0j if orders.real else torch.complex(x[:, : orders.count], x[:, orders.count :])


def twin(layer: SteerableDiscoConv, x: Tensor) -> Tensor:
    """The layer with moments=None by its definition, a sum over all pairs of points with the angles of R_p⁻¹ R_q."""
    between = torch.einsum("pba,qbc->pqac", frames(layer.grid_out), frames(layer.grid))
    a, angle, c = euler_angles(between)
    inside = angle <= layer.cutoff * (1 + SLACK)
    r = (angle / layer.cutoff).clamp(max=1)
    nodes, _, weights = layer.basis.nodes(layer.cutoff)
    z = to_complex(x, layer.orders_in).flatten(2)
    out: list[Tensor] = []
    for t in layer.orders_out.orders:
        y: Tensor | int = 0
        for s, channels in zip(
            layer.orders_in.orders, z.split([n for _, n in layer.orders_in.streams], 1), strict=True
        ):
            if (s, t) not in layer.pairs:
                continue
            cosines = [cosine for cosine, _ in layer.basis.waves(t - s)]
            radial = layer.basis.evaluate(r, torch.zeros_like(r))[cosines]
            profile = layer.basis.evaluate(nodes, torch.zeros_like(nodes))[cosines]
            size = profile.abs() @ weights
            phase = torch.polar(torch.ones_like(a), t * a + s * c)
            kernel = radial / size[:, None, None] * phase * inside * layer.grid.quadrature.reshape(-1)
            w = layer.weight[f"{s}_{t}"]
            w = w[0] + 0j if len(w) == 1 else torch.complex(*w)
            y = y + torch.einsum("oik,kpq,biq->bop", w, kernel, channels)
        if t == 0 and layer.bias is not None:
            bias = layer.bias[0] + 0j if len(layer.bias) == 1 else torch.complex(*layer.bias)
            y = y + bias[:, None]
        assert isinstance(y, Tensor)
        out.append(y)
    y = torch.cat(out, 1).unflatten(2, layer.grid_out.shape)
    return y.real if layer.orders_out.real else torch.cat([y.real, y.imag], 1)


CASES: list[tuple[Orders, Orders, SphereGrid, SphereGrid, SteerableBasis | None, float]] = [
    (Orders.upto(1, 2), Orders.upto(1, 3), Equiangular(8), Equiangular(8), None, 1.0),
    (MIXED, Orders.of({-2: 2, 0: 1, 1: 1, 3: 1}), GaussLegendre(7, 13), Equiangular(7, 13), None, 1.2),
    (MIXED, Orders.of({0: 1, 3: 1}), Equiangular(8), GaussLegendre(4, 8), FourierAzimuth(4, 1), 1.3),
    (Orders.image(2), Orders.upto(2, 1), Equiangular(6), Equiangular(6), Zernike(4), 1.4),
    (Orders.image(2), Orders.image(3), Equiangular(6), Equiangular(6), None, 1.1),
    (Orders.upto(2, 1), Orders.image(2), Equiangular(5, 8, poles=True), Equiangular(9, 16, poles=True), None, 1.2),
    (Orders.of({2: 2}), Orders.of({-1: 1}), GaussLegendre(4, 10), GaussLegendre(6, 15), Zernike(3), 1.5),
    (Orders.of({1: 1}), Orders.of({1: 1}), Equiangular(3, 5), Equiangular(2, 3), None, 1.2),
]


@pytest.mark.parametrize(("orders_in", "orders_out", "grid", "grid_out", "basis", "cutoff"), CASES, ids=str)
def test_sampled_filters_agree_with_the_dense_twin(
    orders_in: Orders,
    orders_out: Orders,
    grid: SphereGrid,
    grid_out: SphereGrid,
    basis: SteerableBasis | None,
    cutoff: float,
) -> None:
    layer = drawn(SteerableDiscoConv(orders_in, orders_out, grid, grid_out, basis=basis, cutoff=cutoff, moments=None))
    x = fields(2, orders_in.size, *grid.shape).requires_grad_()
    y, wanted = layer(x), twin(layer, x)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)
    probe = fields(*y.shape, seed=1)
    variables = [x, *layer.parameters()]
    got = torch.autograd.grad((y * probe).sum(), variables)
    for a, b in zip(got, torch.autograd.grad((wanted * probe).sum(), variables), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_scalars_to_scalars_are_disco() -> None:
    grid = Equiangular(8)
    steerable = drawn(SteerableDiscoConv(Orders.image(2), Orders.image(3), grid))
    plain = DiscoConv(2, 3, grid).double()
    with torch.no_grad():
        plain.weight.copy_(steerable.weight["0_0"][0])
        plain.bias.copy_(steerable.bias[0])
    x = fields(1, 2, *grid.shape)
    torch.testing.assert_close(steerable(x), plain(x), rtol=0, atol=1e-13)


def test_from_scalars_to_spin_one_is_the_gradient() -> None:
    """Real profiles give ∂_θ f + i ∂_φ f / sin θ times a number: spin 1 is (component along e_θ) + i (along e_φ)."""
    grid = GaussLegendre(48)
    layer = drawn(SteerableDiscoConv(Orders.image(1), Orders.of({1: 1}), grid))
    with torch.no_grad():
        layer.weight["0_1"][1] = 0
    theta, phi = grid.colatitudes[:, None], grid.longitudes
    f = torch.sin(theta) * torch.cos(phi)
    gradient = torch.stack([torch.cos(theta) * torch.cos(phi), -torch.sin(phi).expand(grid.shape)])
    y = layer(f[None, None])[0]
    gain = (y * gradient).sum() / gradient.square().sum()
    gain = gain.detach()
    assert gain.abs() > 1e-2
    torch.testing.assert_close(y, gain * gradient, rtol=0, atol=1e-6 * float(gain.abs()))


@pytest.mark.parametrize(("grids", "limit"), [((24, 24), 1e-4), ((24, 12), 5e-4), ((16, 32), 1e-3)], ids=str)
@pytest.mark.parametrize(
    ("orders_in", "orders_out"),
    [(Orders.upto(1, 2), Orders.upto(1, 2)), (Orders.image(2), Orders.upto(2, 1)), (MIXED, Orders.of({-1: 1, 1: 1}))],
    ids=str,
)
def test_rotations_of_the_sphere(grids: tuple[int, int], limit: float, orders_in: Orders, orders_out: Orders) -> None:
    grid, grid_out = (GaussLegendre(nlat) for nlat in grids)
    layer = drawn(SteerableDiscoConv(orders_in, orders_out, grid, grid_out))
    symmetry = SpinSymmetry(orders_in, grid, orders_out, grid_out, lmax=4)
    check_layer(layer, symmetry, tolerance=limit, compile=grids == (24, 12))
    other = SpinSymmetry(orders_in, grid, Orders.of({s + 1: n for s, n in orders_out.streams}), grid_out, lmax=4)
    assert commutation_error(layer, other) > 0.1


def test_real_scalars_out() -> None:
    grid = GaussLegendre(24)
    layer = SteerableDiscoConv(Orders.upto(1, 2), Orders.image(3), grid)
    check_layer(layer, SpinSymmetry(Orders.upto(1, 2), grid, Orders.image(3), lmax=4), tolerance=1e-4, compile=False)


def test_the_error_falls_with_resolution_as_that_of_axisymmetric_filters() -> None:
    orders, errors, plain = Orders.upto(1, 2), [], []
    for nlat in (24, 48):
        grid = GaussLegendre(nlat)
        torch.manual_seed(0)
        layer = SteerableDiscoConv(orders, orders, grid)
        errors.append(commutation_error(layer, SpinSymmetry(orders, grid, lmax=8), count=2))
        plain.append(equivariance_error(DiscoConv(4, 4, grid), grid, lmax=8, n_rotations=2))
    assert errors[0] > 20 * errors[1]
    assert errors[1] < 10 * plain[1]
    sampled = SteerableDiscoConv(orders, orders, grid, moments=None)
    assert commutation_error(sampled, SpinSymmetry(orders, grid, lmax=8), count=2) > 100 * errors[1]


def test_weights_move_between_grids() -> None:
    """The layer is the continuous convolution: of cos θ it gives the same on another grid, at points that both have."""
    coarse, fine = Equiangular(25, 48, poles=True), Equiangular(49, 96, poles=True)
    orders = Orders.upto(1, 1)
    layer = drawn(SteerableDiscoConv(Orders.image(1), orders, coarse))
    other = SteerableDiscoConv(Orders.image(1), orders, fine, cutoff=layer.cutoff).double()
    other.load_state_dict(layer.state_dict())
    x, x_fine = (grid.points[..., 2].expand(1, 1, *grid.shape) for grid in (coarse, fine))
    here, there = layer(x), other(x_fine)[..., ::2, ::2]
    assert (here - there).norm() < 1e-5 * here.norm()


def test_the_adjoint_is_the_layer_back_with_conjugate_profiles() -> None:
    """⟨g, C f⟩ = ⟨T g, f⟩ in the quadratures of the two grids, with plain samples: why there is no transposed class."""
    coarse, fine, basis = GaussLegendre(5), Equiangular(8), FourierAzimuth(3, 3)
    inner, outer = Orders.of({0: 2, 1: 1}), Orders.of({-1: 1, 2: 2})
    settings = {"basis": basis, "cutoff": 1.0, "bias": False, "moments": None}
    down = drawn(SteerableDiscoConv(inner, outer, fine, coarse, **settings))
    up = drawn(SteerableDiscoConv(outer, inner, coarse, fine, **settings))
    with torch.no_grad():
        for s, t in down.pairs:
            back = down.weight[f"{s}_{t}"].transpose(1, 2) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
            up.weight[f"{t}_{s}"].copy_((-1) ** (t - s) * back)
    f, g = fields(1, inner.size, *fine.shape), fields(1, outer.size, *coarse.shape, seed=1)
    here = coarse.integrate(g * down(f)).sum()
    torch.testing.assert_close(fine.integrate(up(g) * f).sum(), here, rtol=1e-12, atol=1e-12)


def test_shifts_in_longitude_are_exact() -> None:
    layer = drawn(SteerableDiscoConv(MIXED, Orders.upto(2, 1), Equiangular(8), Equiangular(4, 8), cutoff=1.1))
    x = fields(1, MIXED.size, *layer.grid.shape)
    torch.testing.assert_close(layer(x.roll(6, -1)), layer(x).roll(3, -1), rtol=0, atol=1e-13)


def test_real_parts_are_even_and_imaginary_parts_odd_to_the_last_bit() -> None:
    """What the kernels need to take mirrored points in pairs; half the cost of the contraction."""
    from armillary.ops.disco_cpu import _plan

    layer = SteerableDiscoConv(Orders.upto(1, 1), Orders.upto(1, 1), Equiangular(12))
    places = layer._places("places", torch.empty(0))
    for s, t in layer.pairs:
        stencil = [layer.get_buffer(f"stencil_{s}_{t}"), *places]
        plan = _plan(stencil, torch.float64, 24, 24, False)
        assert plan.contraction.evens == len(layer.basis.waves(t - s))


def test_filters_of_high_order_may_be_left_out() -> None:
    grid = Equiangular(8)
    layer = SteerableDiscoConv(Orders.upto(2, 1), Orders.upto(2, 1), grid, basis=FourierAzimuth(3, 1))
    assert (0, 2) not in layer.pairs
    assert set(layer.weight) == {"0_0", "1_0", "0_1", "1_1", "2_1", "1_2", "2_2"}
    with pytest.raises(ValueError, match="leads from the spins \\(0,\\) to spin 2"):
        SteerableDiscoConv(Orders.image(1), Orders.upto(2, 1), grid, basis=FourierAzimuth(3, 1))


def test_bad_arguments() -> None:
    orders, grid = Orders.upto(1, 1), Equiangular(8)
    with pytest.raises(ValueError, match=r"cutoff = 3\.2"):
        SteerableDiscoConv(orders, orders, grid, cutoff=3.2)
    with pytest.raises(ValueError, match="too small"):
        SteerableDiscoConv(orders, orders, grid, Equiangular(5), cutoff=0.1)
    with pytest.raises(ValueError, match="moments = 9"):
        SteerableDiscoConv(orders, orders, grid, moments=9)
    with pytest.raises(ValueError, match="wanted a SteerableBasis"):
        SteerableDiscoConv(orders, orders, grid, basis=PiecewiseLinear(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"n_radial >= 2"):
        SteerableDiscoConv(Orders.image(1), orders, grid, basis=FourierAzimuth(1, 1))
    assert SteerableDiscoConv(Orders.image(1), Orders.of({1: 1}), grid).bias is None
    assert SteerableDiscoConv(orders, orders, grid, bias=False).bias is None
