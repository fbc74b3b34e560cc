"""DISCO layers: a dense twin from points and the definition, and the layer's contract."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from armillary.groups import from_euler_zyz
from armillary.nn import CustomBasis, DiscoConv, DiscoConvTranspose, FourierAzimuth, PiecewiseLinear, Zernike, rings
from armillary.nn.disco import StencilConv
from armillary.ops.filters import FilterBasis
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid
from armillary.spaces.neighbours import SLACK

LAYERS = [DiscoConv, DiscoConvTranspose]
SMALL = Equiangular(8)


def fields(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def double(layer: StencilConv) -> StencilConv:
    """float64, with a bias that is not zero."""
    layer = layer.double()
    with torch.no_grad():
        layer.weight.copy_(fields(*layer.weight.shape, seed=99))
        if layer.bias is not None:
            layer.bias.copy_(fields(*layer.bias.shape, seed=98))
    return layer


def seen_from(grid: SphereGrid, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance and azimuth of points (P, 3) from the frame Z(φ) Y(θ) at each grid point: two (Q, P)."""
    theta, phi = grid.colatitudes[:, None].expand(grid.shape), grid.longitudes.expand(grid.shape)
    local = torch.einsum("qab,pa->qpb", from_euler_zyz(phi, theta, 0.0).reshape(-1, 3, 3), points)
    angle = torch.atan2(torch.hypot(local[..., 0], local[..., 1]), local[..., 2])
    return angle, torch.atan2(local[..., 1], local[..., 0])


def twin(layer: StencilConv, x: Tensor, weight: Tensor) -> Tensor:
    """The layer with moments=None by its definition: q_i ψ_k / ∫|ψ_k| over all pairs of points, as a dense matrix."""
    if isinstance(layer, DiscoConv):
        angle, azimuth = seen_from(layer.grid_out, layer.grid.points.reshape(-1, 3))
    else:
        angle, azimuth = (v.T for v in seen_from(layer.grid, layer.grid_out.points.reshape(-1, 3)))
    psi = layer.basis.evaluate((angle / layer.cutoff).clamp(max=1), azimuth)
    r, phi, w = layer.basis.nodes(layer.cutoff)
    norm = layer.basis.evaluate(r, phi).abs() @ w
    quadrature = layer.grid.quadrature.reshape(-1)
    dense = psi * (angle <= layer.cutoff * (1 + SLACK)) * quadrature / norm[:, None, None]
    z = torch.einsum("kqp,bcp->bckq", dense, x.flatten(2))
    z = z.unflatten(1, (layer.groups, -1))
    y = torch.einsum("gock,bgckq->bgoq", weight.unflatten(0, (layer.groups, -1)), z).flatten(1, 2)
    if layer.bias is not None:
        y = y + layer.bias.detach()[:, None]
    return y.unflatten(2, layer.grid_out.shape)


CASES: list[tuple[SphereGrid, SphereGrid, FilterBasis, float, int]] = [
    (Equiangular(8), Equiangular(8), PiecewiseLinear(3), 1.0, 1),
    (Equiangular(8), Equiangular(8), PiecewiseLinear(3, 3), 0.8, 2),
    (Equiangular(9, 18), Equiangular(5, 6), PiecewiseLinear(2, 4), 0.9, 1),  # strided by three
    (GaussLegendre(7, 13), Equiangular(7, 13), FourierAzimuth(2, 2), 1.3, 2),
    (GaussLegendre(6, 12), Equiangular(5, 9, poles=True), PiecewiseLinear(2, 3), 0.7, 1),  # ratio 4 to 3
    (Equiangular(5, 8, poles=True), Equiangular(9, 16, poles=True), Zernike(2), 1.1, 1),  # upsampling
    (GaussLegendre(4, 10), GaussLegendre(6, 15), PiecewiseLinear(3, 2), 1.5, 2),
    (Equiangular(3, 5), Equiangular(2, 3), FourierAzimuth(2, 1), 1.2, 1),
    (GaussLegendre(2, 1), Equiangular(1, 1), PiecewiseLinear(2), 1.4, 1),
]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("grid", "grid_out", "basis", "cutoff", "groups"), CASES, ids=str)
def test_sampled_filters_agree_with_the_dense_twin(
    kind: type[StencilConv], grid: SphereGrid, grid_out: SphereGrid, basis: FilterBasis, cutoff: float, groups: int
) -> None:
    layer = double(kind(4, 6, grid, grid_out, basis=basis, cutoff=cutoff, groups=groups, moments=None))
    assert layer.degree == -1
    x = fields(2, 4, *grid.shape).requires_grad_()
    x_twin = x.detach().clone().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    y, y_twin = layer(x), twin(layer, x_twin, weight)
    torch.testing.assert_close(y, y_twin, rtol=0, atol=1e-12)
    probe = fields(*y.shape, seed=1)
    (y * probe).sum().backward()
    (y_twin * probe).sum().backward()
    torch.testing.assert_close(x.grad, x_twin.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.weight.grad, weight.grad, rtol=0, atol=1e-11)
    torch.testing.assert_close(layer.bias.grad, probe.sum((0, 2, 3)), rtol=0, atol=1e-12)


@given(
    nlat=st.integers(2, 7),
    nlon=st.integers(1, 12),
    nlat_out=st.integers(1, 6),
    nlon_out=st.integers(1, 10),
    cutoff=st.floats(0.9, 1.55),
    kind=st.sampled_from(LAYERS),
)
@settings(max_examples=30, deadline=None)
def test_any_sizes(nlat: int, nlon: int, nlat_out: int, nlon_out: int, cutoff: float, kind: type[StencilConv]) -> None:
    grid, grid_out = Equiangular(nlat, nlon), GaussLegendre(nlat_out, nlon_out)
    layer_arguments = {"basis": PiecewiseLinear(2, 3), "cutoff": cutoff, "moments": None}
    nearest = seen_from(grid_out, grid.points.reshape(-1, 3))[0].min(dim=1).values.max()
    if nearest > cutoff * (1 + SLACK):
        with pytest.raises(ValueError, match="too small"):
            kind(1, 2, grid, grid_out, **layer_arguments)
        return
    layer = double(kind(1, 2, grid, grid_out, **layer_arguments))
    x = fields(1, 1, *grid.shape)
    torch.testing.assert_close(layer(x), twin(layer, x, layer.weight), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("basis", [PiecewiseLinear(3), PiecewiseLinear(2, 3), Zernike(2)], ids=str)
@pytest.mark.parametrize("moments", [None, 4])
def test_shifts_in_longitude_are_exact(kind: type[StencilConv], basis: FilterBasis, moments: int | None) -> None:
    layer = double(kind(2, 2, Equiangular(8), Equiangular(4, 8), basis=basis, cutoff=1.1, moments=moments))
    x = fields(1, 2, *layer.grid.shape)
    torch.testing.assert_close(layer(x.roll(6, -1)), layer(x).roll(3, -1), rtol=0, atol=1e-13)


def test_axisymmetric_transpose_is_the_convolution() -> None:
    arguments = (2, 3, Equiangular(7), Equiangular(14))
    forward, transpose = double(DiscoConv(*arguments)), double(DiscoConvTranspose(*arguments))
    x = fields(1, 2, *forward.grid.shape)
    torch.testing.assert_close(transpose(x), forward(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("basis", [PiecewiseLinear(3, 3), FourierAzimuth(2, 2), PiecewiseLinear(2)], ids=str)
def test_transpose_is_the_adjoint_up_to_quadrature(basis: FilterBasis) -> None:
    """⟨g, T f⟩ = ⟨C g, f⟩ in the quadratures of the two grids: the definition, with plain samples."""
    coarse, fine = GaussLegendre(5), Equiangular(8)
    down = double(DiscoConv(1, 1, fine, coarse, basis=basis, cutoff=1.0, bias=False, moments=None))
    up = double(DiscoConvTranspose(1, 1, coarse, fine, basis=basis, cutoff=1.0, bias=False, moments=None))
    f, g = fields(1, 1, *coarse.shape), fields(1, 1, *fine.shape, seed=1)
    torch.testing.assert_close(fine.integrate(g * up(f)), coarse.integrate(down(g) * f), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_of_the_matched_layer(kind: type[StencilConv]) -> None:
    layer = double(kind(2, 4, GaussLegendre(4, 6), Equiangular(3, 9), cutoff=1.2, groups=2))
    x = fields(1, 2, *layer.grid.shape).requires_grad_()

    def run(v: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (v,))

    assert layer.degree >= 1
    assert torch.autograd.gradcheck(run, (x, layer.weight, layer.bias))


@pytest.mark.parametrize("kind", LAYERS)
def test_dtypes_strides_and_batches(kind: type[StencilConv]) -> None:
    layer = double(kind(3, 2, SMALL))
    x = fields(4, *SMALL.shape, 3).permute(0, 3, 1, 2)
    assert not x.is_contiguous()
    y = layer(x)
    torch.testing.assert_close(y, layer(x.contiguous()), rtol=0, atol=1e-13)
    torch.testing.assert_close(layer(x[:1]), y[:1], rtol=0, atol=1e-13)
    nothing = x[:0].clone().requires_grad_()
    layer(nothing).sum().backward()
    assert layer(nothing).shape == (0, 2, *SMALL.shape)
    assert nothing.grad.shape == nothing.shape
    assert (layer.weight.grad == 0).all()
    single = layer.float()
    assert single.stencil.dtype == torch.float64  # the constants keep their digits
    assert single(x.float()).dtype == torch.float32
    torch.testing.assert_close(single(x.float()).double(), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.double()(x), y, rtol=1e-6, atol=1e-6)


def test_state_dict_holds_parameters_and_moves_between_grids() -> None:
    layer, other = DiscoConv(2, 3, SMALL), DiscoConv(2, 3, GaussLegendre(9), Equiangular(4, poles=True))
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "weight": (3, 2, 3),
        "bias": (3,),
    }
    other.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(other.weight, layer.weight)
    assert list(DiscoConv(2, 3, SMALL, bias=False).state_dict()) == ["weight"]


@pytest.mark.parametrize("kind", LAYERS)
def test_compiles_exports_and_copies(kind: type[StencilConv]) -> None:
    layer = kind(2, 2, SMALL, Equiangular(4, 9))
    x = fields(2, 2, *SMALL.shape, dtype=torch.float32)
    y = layer(x)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="eager")(x), y)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), y)
    twice = copy.deepcopy(layer)
    torch.testing.assert_close(twice(x), y)
    with torch.no_grad():
        twice.weight.zero_()
    torch.testing.assert_close(layer(x), y)


def test_compiled_gradients() -> None:
    layer = DiscoConv(2, 2, SMALL)
    x = fields(1, 2, *SMALL.shape, dtype=torch.float32).requires_grad_()
    torch.compile(layer, fullgraph=True, backend="aot_eager")(x).square().sum().backward()
    compiled, x.grad = x.grad, None
    layer(x).square().sum().backward()
    torch.testing.assert_close(compiled, x.grad)


def test_defaults_and_repr() -> None:
    layer = DiscoConv(2, 4, Equiangular(12))
    assert layer.cutoff == pytest.approx(3 * math.pi / 12)
    assert layer.basis == PiecewiseLinear(3)
    assert layer.grid_out is layer.grid
    text = repr(layer)
    assert f"moments matched to degree {layer.degree}" in text
    assert "(3 rings)" in text
    assert "longitude stride 1" in text
    assert "groups" not in text
    assert "bias" not in text
    general = repr(DiscoConv(2, 4, Equiangular(12), Equiangular(6, 9), groups=2, bias=False, moments=None, cutoff=0.8))
    for part in ("general path: 3 phases, stride 8", "groups=2", "bias=False", "not matched", "→", "0.8 rad"):
        assert part in general


def test_rings() -> None:
    assert rings(2.5, Equiangular(10)) == pytest.approx(math.pi / 4)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 2}, "in_channels = 3, out_channels = 4, groups = 2"),
        ({"groups": 0}, "groups = 0"),
        ({"moments": 9}, "moments = 9"),
        ({"moments": -1}, "moments = -1"),
        ({"moments": 2.5}, r"moments = 2\.5, wanted an integer"),
        ({"cutoff": 0.0}, "cutoff = 0 rad"),
        ({"cutoff": math.nan}, "cutoff = nan"),
        ({"cutoff": 3.2}, "wanted 0 < cutoff < π"),
        ({"cutoff": 0.01, "grid_out": GaussLegendre(5)}, r"too small.*at least 0.3927 rad"),
    ],
)
def test_constructor_errors(kind: type[StencilConv], arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(3, 4, SMALL, **arguments)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 8, 16), "in_channels=4"),
        ((3, 8, 16), r"x has shape \(3, 8, 16\)"),
        ((1, 3, 16, 8), r"wants \(\.\.\., 8, 16\)"),
        ((1, 3, 8, 17), "resample"),
    ],
)
def test_input_errors(kind: type[StencilConv], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(3, 4, SMALL)(torch.zeros(shape))


def test_custom_basis() -> None:
    """A user's function gives the layer of the built-in basis with the same values."""

    def hats(r: Tensor, azimuth: Tensor) -> Tensor:
        return torch.stack([(1 - 2 * r).clamp(min=0), 1 - (2 * r - 1).abs()])

    custom = double(DiscoConv(1, 1, SMALL, basis=CustomBasis(hats, 2, True, breaks=(0.5,))))
    known = double(DiscoConv(1, 1, SMALL, basis=PiecewiseLinear(2)))
    x = fields(1, 1, *SMALL.shape)
    torch.testing.assert_close(custom(x), known(x), rtol=0, atol=1e-12)
