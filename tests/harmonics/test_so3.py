"""The Fourier transform on SO(3): the direct sum, round trips, Parseval, rotation, memory, and what it refuses."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz, random_rotation, wigner_D
from armillary.harmonics import (
    SHT,
    ComplexSO3Transform,
    InverseComplexSO3Transform,
    InverseSO3Transform,
    SO3Blocks,
    SO3Transform,
    full_coefficients,
    random_field,
    rotate,
    rotate_blocks,
)
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid


def spaces(b: int) -> list[OrientedGrid]:
    """Every kind of grid of band limit b: twice as many rings as needed, just as many, odd and even sizes."""
    grids = [Equiangular(2 * b, 2 * b), Equiangular(b, 2 * b - 1), Equiangular(b + 1, 2 * b, poles=True)]
    grids += [GaussLegendre(b, 2 * b + 1), Equiangular(b + 2, 2 * b - 1)]
    return [OrientedGrid(grid, 2 * b - 1 + i % 2) for i, grid in enumerate(grids)]


SPACES = [space for b in (3, 4, 5, 8) for space in spaces(b)]


def samples(space: OrientedGrid, *batch: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, *space.shape, generator=generator, dtype=torch.float64).to(dtype)


def coefficients(blocks: SO3Blocks, *batch: int, seed: int = 0) -> Tensor:
    """Random ones, of a real function where the layout is the half one."""
    c = torch.randn(*batch, blocks.size, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)
    if not blocks.half:
        return c
    for l, block in enumerate(blocks.split(c)):
        sign = 1.0 - 2.0 * (torch.arange(-l, l + 1) % 2)
        block[..., 0, :] = (block[..., 0, :] + sign * block[..., 0, :].flip(-1).conj()) / 2
    return c


def harmonics(space: OrientedGrid, lmax: int) -> Tensor:
    """E_lmn(R) = sqrt((2l + 1)/8π²) D^l_mn(R)* at the samples, (*space.shape, full size)."""
    g, t, p = space.orientations[:, None, None], space.grid.colatitudes[:, None], space.grid.longitudes
    R = from_euler_zyz(p, t, g)
    parts = [math.sqrt((2 * l + 1) / (8 * math.pi**2)) * wigner_D(l, R).conj().flatten(-2) for l in range(lmax + 1)]
    return torch.cat(parts, -1)


def energy(c: Tensor, lmax: int) -> Tensor:
    """Σ |c_lmn|² over all orders of a real function."""
    twice = [torch.full(SO3Blocks(lmax).shape(l), 2.0, dtype=torch.float64) for l in range(lmax + 1)]
    for block in twice:
        block[0] = 1
    return (c.abs() ** 2 * SO3Blocks(lmax).join(twice)).sum(-1)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_synthesis_is_the_direct_sum(space: OrientedGrid, table: bool) -> None:
    real, full = InverseSO3Transform(space, table=table), InverseComplexSO3Transform(space, table=table)
    E = harmonics(space, real.lmax)
    c = coefficients(real.blocks, 2)
    wanted = torch.einsum("gjpk,bk->bgjp", E, full_coefficients(c, real.lmax))
    assert wanted.imag.abs().max() < 1e-12
    torch.testing.assert_close(real(c), wanted.real, rtol=0, atol=1e-12)
    z = coefficients(full.blocks, 2)
    torch.testing.assert_close(full(z), torch.einsum("gjpk,bk->bgjp", E, z), rtol=0, atol=1e-12)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_analysis_has_one_coefficient_for_each_function(space: OrientedGrid, table: bool) -> None:
    """∫ f E_lmn* of the E_lmn themselves, all of the band."""
    transform = ComplexSO3Transform(space, table=table)
    E = harmonics(space, transform.blocks.lmax).movedim(-1, 0)
    torch.testing.assert_close(transform(E), torch.eye(len(E)).to(E), rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", SPACES[:5], ids=str)
def test_quadrature_of_the_direct_sum(space: OrientedGrid) -> None:
    """Where the product is integrated exactly, analysis is the weighted sum over all samples."""
    fine = OrientedGrid(GaussLegendre(space.grid.nlat + 1, 2 * space.grid.nlon + 1), 2 * space.n_orientations + 1)
    lmax = SO3Transform(space).lmax
    f = samples(fine, 2)
    direct = torch.einsum(
        "gjpk,bgjp,gjp->bk", harmonics(fine, lmax).conj(), f.to(torch.complex128), fine.quadrature + 0j
    )
    got = full_coefficients(SO3Transform(fine, lmax)(f), lmax)
    torch.testing.assert_close(got, direct, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", [*spaces(16), *spaces(32)], ids=str)
def test_round_trip_and_parseval(space: OrientedGrid) -> None:
    analysis, synthesis = SO3Transform(space), InverseSO3Transform(space)
    c = coefficients(analysis.blocks)
    f = synthesis(c)
    back = analysis(f)
    assert float((back - c).norm() / c.norm()) < 1e-12
    norm = float(energy(back, analysis.lmax))
    if isinstance(space.grid, GaussLegendre) or space.grid.nlat > 2 * space.grid.lmax:
        assert float(space.integrate(f**2)) == pytest.approx(norm, rel=1e-12)
    single = analysis(f.float())
    assert single.dtype == torch.complex64
    assert float((single - c).norm() / c.norm()) < 1e-5
    assert float((synthesis(single) - f).norm() / f.norm()) < 1e-5


@pytest.mark.parametrize("grid", [Equiangular(256, 256), GaussLegendre(128, 256)], ids=str)
def test_round_trip_and_parseval_at_bandlimit_128(grid: Equiangular | GaussLegendre) -> None:
    space = OrientedGrid(grid, 256)
    analysis, synthesis = SO3Transform(space), InverseSO3Transform(space)
    assert analysis.lmax == 127
    assert "by recurrence" in repr(analysis)
    c = coefficients(analysis.blocks)
    f = synthesis(c)
    back = analysis(f)
    assert float((back - c).norm() / c.norm()) < 1e-10
    assert float((back - c).abs().max()) < 1e-10
    assert float(space.integrate(f**2)) == pytest.approx(float(energy(c, 127)), rel=1e-10)
    single = analysis(f.float())
    assert float((single - c).norm() / c.norm()) < 1e-5
    assert float((single - c).abs().max()) < 1e-4
    assert float((synthesis(single) - f).norm() / f.norm()) < 1e-5


def test_lower_lmax_projects() -> None:
    """Degrees above lmax are cut, not aliased into those below."""
    for space in spaces(6):
        c = coefficients(SO3Blocks(5))
        f = InverseSO3Transform(space)(c)
        for lmax in (0, 3):
            torch.testing.assert_close(SO3Transform(space, lmax)(f), SO3Blocks(5).resize(c, lmax), rtol=0, atol=1e-12)


def test_functions_without_orientation_are_fields_on_the_sphere() -> None:
    space = OrientedGrid(Equiangular(8, 15), 15)
    g = random_field(space.grid, 7, (2,), torch.Generator().manual_seed(0))
    f = SHT(space.grid)(g)
    c = SO3Transform(space)(g[:, None].expand(2, *space.shape))
    for l, block in enumerate(SO3Blocks(7).split(c)):
        wanted = torch.zeros_like(block)
        wanted[..., l] = math.sqrt(2 * math.pi) * f[:, l, : l + 1]
        torch.testing.assert_close(block, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", spaces(7), ids=str)
def test_commutes_with_rotation(space: OrientedGrid) -> None:
    """``rotate`` turns each orientation frequency by a path of its own."""
    f = InverseSO3Transform(space)(SO3Transform(space)(samples(space, 2)))
    R = random_rotation(torch.Generator().manual_seed(1))
    turned = rotate_blocks(SO3Transform(space)(f), SO3Blocks(6), left=R)
    torch.testing.assert_close(SO3Transform(space)(rotate(f, space, R)), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", [(), (1,), (2, 1, 3)])
def test_leading_dimensions_and_strides(batch: tuple[int, ...]) -> None:
    space = OrientedGrid(Equiangular(5, 9), 10)
    x = samples(space, *batch)
    c = SO3Transform(space)(x)
    assert c.shape == (*batch, SO3Blocks(4).size)
    strided = x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    torch.testing.assert_close(SO3Transform(space)(strided), c, rtol=0, atol=1e-14)
    y = InverseSO3Transform(space)(c)
    assert y.shape == x.shape
    if batch:
        torch.testing.assert_close(SO3Transform(space)(x[:1])[0], c[0], rtol=0, atol=1e-14)
        torch.testing.assert_close(InverseSO3Transform(space)(c[:1])[0], y[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("space", spaces(3)[:3], ids=str)
def test_gradients(space: OrientedGrid) -> None:
    assert torch.autograd.gradcheck(SO3Transform(space), samples(space, 2).requires_grad_())
    c = coefficients(SO3Blocks(2), 2).requires_grad_()
    assert torch.autograd.gradcheck(InverseSO3Transform(space), c)
    z = coefficients(SO3Blocks(2, half=False)).requires_grad_()
    assert torch.autograd.gradcheck(InverseComplexSO3Transform(space), z)
    x = torch.complex(samples(space), samples(space, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(ComplexSO3Transform(space), x)


def test_compiles_as_one_graph() -> None:
    space = OrientedGrid(Equiangular(8, 8), 8)
    x, z = samples(space, 2), torch.complex(samples(space), samples(space, seed=1))
    for pair, value in (
        ((SO3Transform(space), InverseSO3Transform(space)), x),
        ((ComplexSO3Transform(space), InverseComplexSO3Transform(space)), z),
    ):
        both = torch.nn.Sequential(*pair)
        compiled = torch.compile(both, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(value), both(value), rtol=0, atol=1e-14)


def test_constants_keep_float64_and_half_precision_is_lifted() -> None:
    space = OrientedGrid(GaussLegendre(5, 9), 9)
    transform = SO3Transform(space).to(torch.bfloat16).to(torch.float32)
    assert transform.state_dict() == {}
    x = samples(space)
    torch.testing.assert_close(transform(x), SO3Transform(space)(x), rtol=0, atol=0)
    assert transform(x.half()).dtype == torch.complex64


@pytest.mark.parametrize("table", [False, True])
def test_constants_survive_the_meta_device_and_inference_mode(table: bool) -> None:
    """Sizes of their own for each mode: what is kept for the process must not be spoilt by who asks first."""
    for grid, mode in ((Equiangular(6, 11), torch.device("meta")), (Equiangular(7, 13), torch.inference_mode())):
        space = OrientedGrid(grid, grid.nlon)
        with mode:
            built = [kind(space, table=table) for kind in (ComplexSO3Transform, InverseComplexSO3Transform)]
        moved = [kind(space, table=table).to("meta") for kind in (ComplexSO3Transform, InverseComplexSO3Transform)]
        z = torch.complex(samples(space, 1), samples(space, 1, seed=1)).requires_grad_()
        wanted = InverseComplexSO3Transform(space, table=table)(ComplexSO3Transform(space, table=table)(z))
        for forward, back in (built, [m.to_empty(device="cpu") for m in moved]):
            got = back(forward(z))
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
            got.abs().sum().backward()


def test_wrong_input() -> None:
    space = OrientedGrid(Equiangular(8, 8), 8)
    with pytest.raises(ValueError, match=r"lmax = 4.*holds 0 <= lmax <= 3"):
        SO3Transform(space, 4)
    with pytest.raises(ValueError, match=r"lmax = 3.*n_orientations >= 2·lmax"):
        InverseSO3Transform(OrientedGrid(Equiangular(8, 8), 5), 3)
    with pytest.raises(ValueError, match="wanted an OrientedGrid"):
        SO3Transform(Equiangular(8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 8, 8, 8\)"):
        SO3Transform(space)(torch.zeros(8, 8))
    with pytest.raises(ValueError, match="take ComplexSO3Transform"):
        SO3Transform(space)(torch.zeros(8, 8, 8, dtype=torch.complex64))
    with pytest.raises(ValueError, match="take SO3Transform"):
        ComplexSO3Transform(space)(torch.zeros(8, 8, 8))
    for wrong in (torch.zeros(50), torch.zeros(49, dtype=torch.complex64)):
        with pytest.raises(ValueError, match=r"wants complex \(\.\.\., 50\)"):
            InverseSO3Transform(space)(wrong)
    with pytest.raises(ValueError, match=r"wants complex \(\.\.\., 84\)"):
        InverseComplexSO3Transform(space)(torch.zeros(50, dtype=torch.complex64))


MEASURE = """
import resource, torch
from armillary.harmonics import InverseSO3Transform, SO3Transform
from armillary.spaces import Equiangular, OrientedGrid
torch.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def step(b, channels):
    space = OrientedGrid(Equiangular(2 * b, 2 * b), 2 * b)
    x = torch.randn(1, channels, *space.shape, requires_grad=True)
    InverseSO3Transform(space)(SO3Transform(space)(x)).sum().backward()
step(4, 2)
before = peak()
step(64, 8)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts other units elsewhere")
def test_memory_at_bandlimit_64() -> None:
    """Forward and backward of eight channels: the field, its image, both gradients (64 MiB each), the Wigner functions
    in float64 and float32 (43 and 21 MiB), and little between: all of them for all signs would be eight times that."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 480
