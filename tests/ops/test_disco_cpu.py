"""The compiled kernels against the readable twin, on stencils of real layers, by every path; threads; large pages."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from armillary.nn import DiscoConv, DiscoConvTranspose, FourierAzimuth, PiecewiseLinear, Zernike
from armillary.ops import disco_cpu, memory, threads, vectors
from armillary.ops.disco import disco_grad_weight_reference, disco_reference
from armillary.spaces import Equiangular, GaussLegendre

LAYERS = {
    "plain": lambda: DiscoConv(4, 8, Equiangular(18, 36), basis=PiecewiseLinear(2, 3), cutoff=0.2),
    "nine functions": lambda: DiscoConv(4, 8, GaussLegendre(16), basis=PiecewiseLinear(2, 8), cutoff=0.25),
    "axisymmetric, global": lambda: DiscoConv(3, 5, Equiangular(12, poles=True), cutoff=2.5),
    "strided": lambda: DiscoConv(8, 8, GaussLegendre(20), GaussLegendre(10), basis=PiecewiseLinear(2, 3)),
    "strided by three": lambda: DiscoConv(3, 2, GaussLegendre(18), GaussLegendre(6)),
    "transposed": lambda: DiscoConvTranspose(9, 16, GaussLegendre(10), GaussLegendre(20), basis=FourierAzimuth(2, 1)),
    "coprime": lambda: DiscoConv(2, 3, Equiangular(9, 18), Equiangular(7, 15), basis=Zernike(2)),
    "groups": lambda: DiscoConv(6, 9, Equiangular(10), groups=3, basis=PiecewiseLinear(3, 4)),
    "depthwise": lambda: DiscoConv(5, 5, Equiangular(10), groups=5),
    "more functions than registers": lambda: DiscoConv(2, 2, Equiangular(10), basis=Zernike(4), cutoff=1.2),
}


def parts(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, list[Tensor], int, int, bool]:
    """The arguments of the operator that the layer passes on, for a random field of two samples."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, layer.in_channels, *layer.grid.shape, generator=g, dtype=torch.float64).to(dtype)
    weight = layer.weight.detach().to(dtype)
    bias = torch.randn(layer.out_channels, generator=g, dtype=torch.float64).to(dtype)
    return (
        x,
        weight,
        bias,
        [layer.constant("stencil", x), *layer._places("places", x)],
        layer.grid_out.nlon,
        layer.groups,
        False,
    )


def close(a: Tensor, b: Tensor, relative: float) -> bool:
    return float((a - b).abs().max()) <= relative * float(b.abs().max())


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_all_paths_equal_the_twin(name: str, dtype: torch.dtype, relative: float) -> None:
    x, weight, bias, stencil, nlon_out, groups, _ = parts(LAYERS[name](), dtype)
    y = disco_cpu.disco_cpu(x, weight, bias, stencil, nlon_out, groups, False)
    assert close(y, disco_reference(x, weight, bias, stencil, nlon_out, groups, False), relative)
    g = torch.randn(*y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    back = disco_cpu.disco_cpu(g, turned, None, stencil, x.shape[3], groups, True)
    assert close(back, disco_reference(g, turned, None, stencil, x.shape[3], groups, True), relative)
    gw = disco_cpu.disco_grad_weight_cpu(x, g, stencil, weight.shape[2], groups)
    assert close(gw, disco_grad_weight_reference(x, g, stencil, weight.shape[2], groups), relative)


@pytest.mark.parametrize("name", ["plain", "nine functions", "strided", "axisymmetric, global", "groups"])
@pytest.mark.parametrize("adjoint", [False, True])
def test_mirrored_entries_are_paired(name: str, adjoint: bool) -> None:
    """On grids symmetric in longitude every function is even or odd, forward and backward: half the multiply-adds."""
    x, _, _, stencil, nlon_out, *_ = parts(LAYERS[name](), torch.float64)
    lons = (nlon_out, x.shape[3]) if adjoint else (x.shape[3], nlon_out)
    plan = disco_cpu._plan(stencil, torch.float64, *lons, adjoint)
    assert plan.contraction.evens >= 0
    assert plan.contraction.entries.shape[1] == 2
    assert len(plan.contraction.entries) < 0.75 * len(plan.entries)


def test_both_orders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a coarse grid to a fine one the equator is mixed first; the poles, with many entries, contracted first."""
    made = []
    for order in ("contract_then_mix", "mix_then_contract"):
        maker = getattr(disco_cpu, order)
        monkeypatch.setattr(disco_cpu, order, lambda size, maker=maker, order=order: made.append(order) or maker(size))
    monkeypatch.setattr(disco_cpu, "ready", lambda make, size: make(size))
    layer = DiscoConvTranspose(32, 32, GaussLegendre(24), GaussLegendre(48), basis=PiecewiseLinear(2, 3), cutoff=0.16)
    arguments = parts(layer, torch.float64)
    y = disco_cpu.disco_cpu(*arguments)
    assert set(made) == {"contract_then_mix", "mix_then_contract"}
    assert close(y, disco_reference(*arguments), 1e-12)


def test_a_change_of_the_stencil_is_seen() -> None:
    arguments = parts(LAYERS["plain"](), torch.float64)
    before = disco_cpu.disco_cpu(*arguments)
    arguments[3][0].mul_(2)
    after = disco_cpu.disco_cpu(*arguments)
    assert close(after - arguments[2][:, None, None], 2 * (before - arguments[2][:, None, None]), 1e-12)


def test_python_threads_where_torch_has_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = parts(LAYERS["strided"](), torch.float32)
    wanted, before = disco_cpu.disco_cpu(*arguments), torch.get_num_threads()
    monkeypatch.setattr(threads, "_gomp_parallel", lambda: None)
    torch.set_num_threads(3)
    try:
        assert torch.equal(disco_cpu.disco_cpu(*arguments), wanted)
    finally:
        torch.set_num_threads(before)


def invoke(address: int, *arguments: int) -> None:
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(address)(*arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "tile"), [(1, 1), (1, 8), (3, 5), (4, 8), (8, 3), (12, 2)])
def test_strip(rows: int, tile: int, dtype: type) -> None:
    rng = np.random.default_rng(rows + tile)
    size = np.dtype(dtype).itemsize
    width, count = tile * vectors.lanes(size), 7
    x, coefficients = rng.standard_normal(500).astype(dtype), rng.standard_normal((count, rows)).astype(dtype)
    shifts, y = rng.standard_normal(rows).astype(dtype), np.full((rows, width + 3), 9, dtype)
    offsets = rng.integers(0, 500 - width, count)
    address = vectors.strip(rows, tile, size)
    for given in (shifts, None):
        at = 0 if given is None else given.ctypes.data
        invoke(
            address, x.ctypes.data, offsets.ctypes.data, coefficients.ctypes.data, count, at, y.ctypes.data, width + 3
        )
        terms = np.stack([x[o : o + width] for o in offsets]).astype(float)
        wanted = coefficients.T.astype(float) @ terms + (0 if given is None else shifts[:, None])
        np.testing.assert_allclose(y[:, :width], wanted, rtol=0, atol=50 * np.finfo(dtype).eps)
        assert (y[:, width:] == 9).all()


def test_large_results_and_small_ones() -> None:
    like = torch.zeros(1, dtype=torch.float32)
    for shape in ((), (3,), (0, 5), (3, 1 << 19)):
        y = memory.empty(like, *shape)
        assert y.shape == shape
        y.fill_(1.0)
        assert float(y.sum()) == y.numel()
