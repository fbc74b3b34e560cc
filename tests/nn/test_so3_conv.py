"""Convolutions on the sphere and on SO(3): direct sums, the contract, initial scale, memory."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz, random_rotation, wigner_D
from armillary.harmonics import (
    SHT,
    InverseSHT,
    InverseSO3Transform,
    SO3Blocks,
    SO3Transform,
    evaluate,
    full_coefficients,
    random_field,
)
from armillary.nn import (
    LocalKernel,
    S2Conv,
    S2Product,
    SO3Conv,
    SO3Product,
    SO3ToS2Conv,
    SO3ToS2Product,
    SpectralKernel,
)
from armillary.nn import so3_kernels as kernels
from armillary.nn import so3_products as products
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid
from armillary.testing import check_layer, equivariance_error

SPHERE, COARSE = Equiangular(6, 12), GaussLegendre(5, 9)
POSES = OrientedGrid(GaussLegendre(6, 12), 11)
FEW = OrientedGrid(Equiangular(5, 10), 9)
KERNELS = [LocalKernel(1.0, 2, 3, 4), LocalKernel(0.7, 1, 4, 1), SpectralKernel()]
LAYERS = [(S2Conv, SPHERE, POSES), (S2Conv, COARSE, POSES), (S2Conv, SPHERE, FEW)]
LAYERS += [(SO3Conv, POSES, POSES), (SO3Conv, POSES, FEW), (SO3Conv, FEW, POSES)]
LAYERS += [(SO3ToS2Conv, POSES, SPHERE), (SO3ToS2Conv, FEW, SPHERE), (SO3ToS2Conv, POSES, COARSE)]


def nodes(space: OrientedGrid) -> Tensor:
    """The rotations Z(φ)Y(θ)Z(γ) of a space, (G, J, P, 3, 3)."""
    gamma, theta, phi = torch.meshgrid(space.orientations, space.grid.colatitudes, space.grid.longitudes, indexing="ij")
    return from_euler_zyz(phi, theta, gamma)


def at_rotations(c: Tensor, lmax: int, Q: Tensor) -> Tensor:
    """Σ c_lmn sqrt((2l + 1)/8π²) D^l_mn(Q)* of a real function, at Q (P, 3, 3): the direct sum."""
    total = torch.zeros(*c.shape[:-1], len(Q), dtype=torch.float64)
    for l, block in enumerate(SO3Blocks(lmax, half=False).split(full_coefficients(c, lmax))):
        functions = math.sqrt((2 * l + 1) / (8 * math.pi**2)) * wigner_D(l, Q).conj()
        total = total + torch.einsum("...mn,pmn->...p", block, functions).real
    return total


def field(space: SphereGrid | OrientedGrid, channels: int, lmax: int, seed: int = 0) -> Tensor:
    """A random field whose degrees end at lmax, orientations included."""
    x = random_field(space, min(lmax, space.lmax), (2, channels), torch.Generator().manual_seed(seed))
    if isinstance(space, SphereGrid):
        return x
    return InverseSO3Transform(space, lmax)(SO3Transform(space, lmax)(x))


def points(kernel: LocalKernel, turns: int) -> Tensor:
    """R_p in the order of the parameters."""
    found = []
    for ring in range(1, kernel.rings + 1):
        for a in range(kernel.azimuths):
            for t in range(turns):
                alpha, gamma = 2 * math.pi * a / kernel.azimuths, 2 * math.pi * t / turns
                found.append(from_euler_zyz(alpha, kernel.reach * ring / kernel.rings, gamma - alpha))
    return torch.stack(found)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize(("kind", "space_in", "space_out"), LAYERS)
def test_contract(kind, space_in, space_out, kernel) -> None:
    torch.manual_seed(0)
    torch.compiler.reset()
    layer = kind(2, 3, space_in, space_out, kernel)
    torch.nn.init.normal_(layer.product.bias)
    compiles = space_out in (POSES, SPHERE) and kernel is not KERNELS[1]
    check_layer(layer, space_in, space_out, tolerance=1e-12, lmax=layer.lmax, compile=compiles)
    assert equivariance_error(layer, space_in, space_out, lmax=layer.lmax, dtype=torch.float32) < 1e-5


@pytest.mark.parametrize("bandlimit", [16, 32])
def test_larger_layers_commute_in_float32(bandlimit: int) -> None:
    """The bound that issue and page state: 1e-5."""
    grid = Equiangular(bandlimit, 2 * bandlimit)
    space = OrientedGrid(grid, 2 * bandlimit)
    for layer in (S2Conv(1, 2, grid, space), SO3Conv(1, 2, space, space)):
        options = {"lmax": bandlimit - 1, "n_rotations": 1, "dtype": torch.float32}
        assert equivariance_error(layer, layer.space_in, space, **options) < 1e-5


@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_a_local_kernel_reads_the_function_at_points(kernel: LocalKernel) -> None:
    """y(R) = b + Σ_p w_p x(R R_p), and on the sphere b + Σ_p w_p x(R ω_p): the direct sum at all nodes."""
    torch.manual_seed(0)
    layer = S2Conv(2, 3, SPHERE, POSES, kernel).double()
    torch.nn.init.normal_(layer.product.bias)
    x = field(SPHERE, 2, layer.lmax)
    at = (nodes(POSES).flatten(0, 2)[:, None] @ points(kernel, 1))[..., 2]  # R_p e_z
    values = evaluate(SHT(SPHERE)(x), at.flatten(0, 1)).unflatten(-1, at.shape[:2])
    wanted = torch.einsum("ocp,bcrp->bor", layer.product.weight, values) + layer.product.bias[:, None]
    torch.testing.assert_close(layer(x).flatten(2), wanted, rtol=0, atol=1e-12)

    layer = SO3Conv(2, 3, POSES, FEW, kernel).double()
    torch.nn.init.normal_(layer.product.bias)
    x = field(POSES, 2, layer.lmax)
    at = nodes(FEW).flatten(0, 2)[:, None] @ points(kernel, kernel.turns)
    values = at_rotations(SO3Transform(POSES, layer.lmax)(x), layer.lmax, at.flatten(0, 1)).unflatten(-1, at.shape[:2])
    wanted = torch.einsum("ocp,bcrp->bor", layer.product.weight, values) + layer.product.bias[:, None]
    torch.testing.assert_close(layer(x).flatten(2), wanted, rtol=0, atol=1e-12)


def filter_coefficients(layer) -> Tensor:
    """ψ_lmn packed, or ψ_lm as (L, M ≥ 0), of the layer's filters (O, C, ...), from the parameters by their words."""
    sphere = not isinstance(layer, SO3Conv)
    rows, start = [], 0
    for l in range(layer.lmax + 1):
        k = torch.arange(-l, l + 1)
        n = torch.zeros(1, dtype=torch.int64) if sphere else k
        u = layer.product.weight[..., start : start + len(k) * len(n)]
        start += u.shape[-1]
        middle = u.shape[-1] // 2
        psi = torch.zeros_like(u, dtype=torch.complex128)
        psi[..., middle] = u[..., middle].to(psi.dtype)
        signs = (1.0 - 2.0 * ((k[:, None] - n) % 2)).flatten()
        for j in range(1, middle + 1):
            psi[..., middle + j] = torch.complex(u[..., middle + j], u[..., middle - j]) / math.sqrt(2)
            psi[..., middle - j] = signs[middle - j] * psi[..., middle + j].conj()
        psi = psi.unflatten(-1, (len(k), len(n)))[..., l:, :]
        rows.append(torch.nn.functional.pad(psi[..., 0], (0, layer.lmax - l)) if sphere else psi)
    return torch.stack(rows, -2) if sphere else SO3Blocks(layer.lmax).join(rows)


@torch.no_grad()
def test_a_spectral_kernel_is_the_integral() -> None:
    """Quadrature over all nodes of the product of x and the turned filter."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    R = torch.stack([random_rotation(generator) for _ in range(5)])
    omega = R[:, :, 2]
    Q = nodes(POSES).flatten(0, 2)

    layer = S2Conv(2, 3, GaussLegendre(6, 12), POSES, SpectralKernel(), bias=False).double()
    x = field(layer.space_in, 2, 5)
    at = torch.einsum("rji,hwj->rhwi", R, layer.space_in.points)  # R⁻¹ω
    psi = evaluate(filter_coefficients(layer), at.flatten(0, 2)).unflatten(-1, at.shape[:3])
    wanted = torch.einsum("bchw,ocrhw,hw->bor", x, psi, layer.space_in.quadrature)
    torch.testing.assert_close(at_rotations(SO3Transform(POSES)(layer(x)), 5, R), wanted, rtol=0, atol=1e-11)

    layer = SO3Conv(2, 3, POSES, POSES, SpectralKernel(), bias=False).double()
    x = field(POSES, 2, 5)
    at = (R.mT[:, None] @ Q).flatten(0, 1)
    psi = at_rotations(filter_coefficients(layer), 5, at).unflatten(-1, (len(R), len(Q)))
    wanted = torch.einsum("bcq,ocrq,q->bor", x.flatten(2), psi, POSES.quadrature.flatten())
    torch.testing.assert_close(at_rotations(SO3Transform(POSES)(layer(x)), 5, R), wanted, rtol=0, atol=1e-11)

    layer = SO3ToS2Conv(2, 3, POSES, GaussLegendre(6, 12), SpectralKernel(), bias=False).double()
    at = torch.einsum("qji,rj->qri", Q, omega)  # Q⁻¹ω
    psi = evaluate(filter_coefficients(layer), at.flatten(0, 1)).unflatten(-1, at.shape[:2])
    wanted = torch.einsum("bcq,ocqr,q->bor", x.flatten(2), psi, POSES.quadrature.flatten())
    torch.testing.assert_close(evaluate(SHT(layer.space_out)(layer(x)), omega), wanted, rtol=0, atol=1e-11)


@torch.no_grad()
def test_summed_columns_of_a_filter_on_so3_reach_the_same_maps() -> None:
    """The published form of the way back, z_m = Σ_n (x ψ)_mn, is this layer's with the filter (Σ_n ψ_kn)_k."""
    torch.manual_seed(0)
    layer = SO3ToS2Conv(2, 3, POSES, SPHERE, SpectralKernel(), bias=False).double()
    x = SO3Transform(POSES)(field(POSES, 2, 5))
    matrices = layer.product.transfer.matrices(layer.product.transfer.prepare(layer.product.weight), 0, 6)
    got = layer.product(x)
    for l, (block, T) in enumerate(zip(SO3Blocks(5).split(x), matrices, strict=True)):
        share = torch.randn(3, 2, 1, 2 * l + 1, dtype=torch.complex128)
        psi = T * share / share.sum(-1, keepdim=True)  # (O, C, k, n) with the column sums T
        wanted = torch.einsum("bcmk,ockn->bomn", block, psi).sum(-1)
        torch.testing.assert_close(got[:, :, l, : l + 1], wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kernel", [LocalKernel(1.0, 2, 3, 4), SpectralKernel()], ids=str)
@pytest.mark.parametrize(("kind", "space_in", "space_out"), LAYERS)
def test_initial_scale(kind, space_in, space_out, kernel) -> None:
    """Unit variance in, unit variance out, for an input whose power is the same in all coefficients."""
    torch.manual_seed(0)
    layer = kind(8, 256, space_in, space_out, kernel).double()
    if isinstance(space_in, OrientedGrid):
        noise = torch.randn(8, 8, SO3Blocks(min(space_in.lmax, space_in.nmax)).size, dtype=torch.complex128)
        x = InverseSO3Transform(space_in)(noise)
    else:
        noise = torch.randn(8, 8, space_in.lmax + 1, space_in.lmax + 1, dtype=torch.complex128)
        noise[..., 0] = noise[..., 0].real * math.sqrt(2)
        x = InverseSHT(space_in)(noise)
    with torch.no_grad():
        y = layer(x)
    ratio = (space_out.integrate(y**2).mean() / space_out.quadrature.sum()) / (
        space_in.integrate(x**2).mean() / space_in.quadrature.sum()
    )
    assert float(ratio) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kernel", [LocalKernel(1.0, 2, 3, 4), SpectralKernel()], ids=str)
@pytest.mark.parametrize("kind", [S2Product, SO3Product, SO3ToS2Product])
def test_filters_made_in_parts_are_the_same(monkeypatch, kind, kernel) -> None:
    torch.manual_seed(0)
    whole = kind(2, 3, 6, kernel).double()
    monkeypatch.setattr(products, "_CHUNK_BYTES", 2000)
    parts = kind(2, 3, 6, kernel).double()
    parts.load_state_dict(whole.state_dict())
    assert "parts" in repr(parts)
    assert "parts" not in repr(whole)
    assert parts._groups[0][0] == 0
    assert parts._groups[-1][1] == 7
    shape = (7, 7) if kind is S2Product else (SO3Blocks(6).size,)
    c = torch.randn(2, 2, *shape, dtype=torch.complex128)
    gradients = []
    for product in (whole, parts):
        x = c.clone().requires_grad_()
        y = product(x)
        y.abs().square().sum().backward()
        gradients.append((y.detach(), x.grad, product.weight.grad, product.bias.grad))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "kernel", [LocalKernel(1.0, 2, 3, 4), LocalKernel(0.5, 1, 4, 2), LocalKernel(0.7, 3, 1, 1)], ids=str
)
@pytest.mark.parametrize("chunk", [2**25, 100])
def test_products_by_points_are_those_with_matrices(monkeypatch, kernel: LocalKernel, chunk: int) -> None:
    """The path of high degrees, forced on all: values and gradients; also a sample at a time, and compiled."""
    torch.manual_seed(0)
    dense = SO3Product(2, 3, 6, kernel).double()
    monkeypatch.setattr(products, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(kernels, "_DENSE", 0)
    points = SO3Product(2, 3, 6, kernel).double()
    points.load_state_dict(dense.state_dict())
    assert "by points from degree 0" in repr(points)
    assert "by points" not in repr(SO3Product(2, 3, 6, SpectralKernel()))
    c = torch.randn(3, 2, SO3Blocks(6).size, dtype=torch.complex128)
    results = []
    for product in (dense, points):
        x = c.clone().requires_grad_()
        y = product(x)
        y.abs().square().sum().backward()
        results.append((y.detach(), x.grad, product.weight.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-11)
    if chunk > 100:
        torch.compiler.reset()
        with torch.no_grad():
            compiled = torch.compile(points, fullgraph=True, backend="aot_eager")(c)
        torch.testing.assert_close(compiled, results[0][0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_the_product_of_a_degree_is_that_with_its_matrix(kernel) -> None:
    """What a transfer promises of every degree, whether its matrix is worth making or not."""
    torch.manual_seed(0)
    transfer = kernel.transfer(6, on_sphere=False)
    prepared = transfer.prepare(torch.randn(3, 2, transfer.size, dtype=torch.float64))
    for l, T in enumerate(transfer.matrices(prepared, 0, 7)):
        block = torch.randn(2, 2, l + 1, 2 * l + 1, dtype=torch.complex128)
        wanted = torch.einsum("bcmn,ockn->bomk", block, T.conj())
        torch.testing.assert_close(transfer.product(prepared, block, l), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [S2Product, SO3Product, SO3ToS2Product])
@pytest.mark.parametrize("dense", [2, 0])
def test_autocast_and_an_empty_batch(monkeypatch, kind, dense: int) -> None:
    """Both paths keep single precision under autocast; nothing in gives nothing out, with gradients of zero."""
    torch.manual_seed(0)
    monkeypatch.setattr(kernels, "_DENSE", dense)
    product = kind(2, 3, 6, LocalKernel(1.0, 2, 3, 4))
    shape = (7, 7) if kind is S2Product else (SO3Blocks(6).size,)
    c = torch.randn(2, 2, *shape, dtype=torch.complex64)
    with torch.autocast("cpu", torch.bfloat16):
        y = product(c)
    torch.testing.assert_close(y, product(c), rtol=0, atol=0)
    nothing = product(c[:0])
    assert nothing.shape == (0, *y.shape[1:])
    nothing.abs().sum().backward()
    assert float(product.weight.grad.abs().sum()) == 0


@pytest.mark.parametrize(("kind", "space_in", "space_out"), LAYERS[::3])
def test_layers_take_an_empty_batch(kind, space_in, space_out) -> None:
    layer = kind(2, 3, space_in, space_out)
    y = layer(torch.zeros(0, 2, *space_in.shape))
    assert y.shape == (0, 3, *space_out.shape)
    y.sum().backward()
    assert float(layer.product.weight.grad.abs().sum()) == 0


def test_high_degrees_take_the_points() -> None:
    assert SO3Product(1, 1, 40).transfer.dense == 24  # 3 rings, 8 classes: 2l + 1 > 2 · 24 from there
    assert SO3Product(1, 1, 10).transfer.dense == 11
    assert S2Product(1, 1, 40).transfer.dense == 41


def test_what_is_kept_for_the_backward_pass(monkeypatch) -> None:
    """Coefficients of the input and the (transformed) parameters, no samples and no filters."""
    monkeypatch.setattr(products, "_CHUNK_BYTES", 2**16)
    space = OrientedGrid(Equiangular(12, 24), 24)
    layer = SO3Conv(4, 4, space, space)
    x = torch.randn(3, 4, *space.shape, requires_grad=True)
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    before = {b.untyped_storage().data_ptr() for b in layer.buffers()}
    before |= {c.untyped_storage().data_ptr() for m in layer.modules() for c in getattr(m, "_casts", {}).values()}
    layer(x)  # casts of constants are made
    before |= {c.untyped_storage().data_ptr() for m in layer.modules() for c in getattr(m, "_casts", {}).values()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(x)
    total = sum(size for place, size in kept.items() if place not in before)
    coefficients, parameters = 8 * 3 * 4 * SO3Blocks(11).size, 8 * layer.product.weight.numel()
    assert total <= coefficients + parameters
    assert coefficients < x.numel() * 4 / 2


@pytest.mark.parametrize("kernel", [LocalKernel(1.2, 2, 3, 4), SpectralKernel()], ids=str)
def test_built_in_inference_mode(kernel) -> None:
    """What is cached then serves the backward pass of a layer that is built later."""
    with torch.inference_mode():
        SO3Product(1, 1, 8, kernel)  # a kernel and a degree of no other test
    product = SO3Product(1, 1, 8, kernel)
    product(torch.ones(1, 1, SO3Blocks(8).size, dtype=torch.complex64)).abs().sum().backward()
    assert float(product.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("kernel", [LocalKernel(1.1, 2, 3, 4), SpectralKernel()], ids=str)
@pytest.mark.parametrize("kind", [S2Product, SO3Product, SO3ToS2Product])
def test_built_on_meta_and_filled(kind, kernel) -> None:
    """Constants are made on the CPU, and what is cached of them serves others; parameters come later."""
    with torch.device("meta"):
        empty = kind(2, 3, 9, kernel)  # a kernel and a degree of no other test: nothing is cached yet
    assert empty.weight.is_meta
    built, filled = kind(2, 3, 9, kernel), empty.to_empty(device="cpu")
    filled.load_state_dict(built.state_dict())
    c = torch.randn(2, 2, *((10, 10) if kind is S2Product else (SO3Blocks(9).size,)), dtype=torch.complex64)
    torch.testing.assert_close(filled(c), built(c), rtol=0, atol=0)


def test_errors() -> None:
    with pytest.raises(TypeError, match="wanted a space of type OrientedGrid"):
        S2Conv(1, 1, SPHERE, SPHERE)
    with pytest.raises(TypeError, match="wanted a space of type SphereGrid"):
        SO3ToS2Conv(1, 1, POSES, POSES)
    for channels in (0, 1.0, True):
        with pytest.raises(ValueError, match="channels >= 1"):
            SO3Conv(channels, 1, POSES, POSES)
    with pytest.raises(TypeError, match=r"got kernel = 0\.3, wanted a LocalKernel"):
        SO3Conv(1, 1, POSES, POSES, 0.3)
    with pytest.raises(ValueError, match="integers >= 1"):
        LocalKernel(rings=0)
    for reach in (0.0, 4.0, math.nan):
        with pytest.raises(ValueError, match="radians in"):
            LocalKernel(reach)
    product = SO3Product(2, 1, 3)
    with pytest.raises(ValueError, match=r"degrees 0\.\.3 of 2 channels"):
        product(torch.zeros(1, 2, 5, dtype=torch.complex64))
    with pytest.raises(ValueError, match="wants complex"):
        product(torch.zeros(1, 2, SO3Blocks(3).size))
