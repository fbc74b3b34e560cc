"""Other libraries' features and coefficients: against e3nn itself, and against what is known of those not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from armillary.groups import O3, Irreps, clebsch_gordan_real
from armillary.groups.irreps_conventions import (
    e3nn_sign,
    e3nn_wigner_3j,
    fairchem_orders,
    from_e3nn,
    from_fairchem,
    to_e3nn,
    to_fairchem,
)
from armillary.ops.real_harmonics import spherical_harmonics

IRREPS = Irreps("3x0e+2x1o+1x2o+4x1e+2x3e+1x0o+2x5o")
TRIANGLES = [(a, b, c) for a in range(6) for b in range(6) for c in range(abs(a - b), min(a + b, 5) + 1)]
# Whose sign e3nn's 0.5 changed: the start of its maintainers' list (degrees up to 8, in order), pull request 341.
CHANGED = [
    *("122", "133", "144", "155", "166", "177", "188", "212", "221", "313", "331", "346", "357"),
    *("364", "368", "375", "386", "414", "436", "441", "445", "454", "456", "463", "465"),
]


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def double() -> Iterator[None]:
    """e3nn computes the generators of its Wigner matrices in torch's default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_features_turn_as_those_of_e3nn() -> None:
    """Rotations and reflections, in e3nn's own matrices."""
    o3 = pytest.importorskip("e3nn.o3")
    x = features(2, 4, IRREPS.dim)
    for g in O3().sample(4, torch.Generator().manual_seed(1)):
        D = o3.Irreps(str(IRREPS)).D_from_matrix(g)
        torch.testing.assert_close(to_e3nn(IRREPS.act(g, x), IRREPS), to_e3nn(x, IRREPS) @ D.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(from_e3nn(to_e3nn(x, IRREPS), IRREPS), x, rtol=0, atol=1e-14)
    torch.testing.assert_close(to_e3nn(from_e3nn(x, IRREPS), IRREPS), x, rtol=0, atol=1e-14)


def test_harmonics_become_those_of_e3nn() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    irreps, r = Irreps.natural(6), features(9, 3)
    wanted = o3.spherical_harmonics(list(range(7)), r, normalize=True, normalization="integral")
    torch.testing.assert_close(to_e3nn(spherical_harmonics(6, r), irreps), wanted, rtol=0, atol=1e-14)
    torch.testing.assert_close(to_fairchem(spherical_harmonics(6, r), irreps)[..., 0], wanted, rtol=0, atol=1e-14)


def test_degree_one_becomes_x_y_z() -> None:
    vectors = features(5, 2, 3)
    ours = vectors[..., [1, 2, 0]].mT.flatten(1)
    torch.testing.assert_close(to_e3nn(ours, Irreps("2x1o")), vectors.flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layouts(dtype: torch.dtype) -> None:
    irreps = Irreps.natural(3, 5)
    x = features(2, irreps.dim).to(dtype)
    other = to_fairchem(x, irreps)
    assert (other.shape, other.dtype) == ((2, 16, 5), dtype)
    torch.testing.assert_close(from_fairchem(other, irreps), x)
    blocks = to_e3nn(x, irreps).split([5 * (2 * l + 1) for l in range(4)], -1)
    for l, block in enumerate(blocks):
        torch.testing.assert_close(block.unflatten(-1, (5, -1)).mT, other[:, l * l : (l + 1) ** 2])
    strided = torch.stack([x, x], -1)[..., 0]
    torch.testing.assert_close(to_e3nn(strided, irreps), to_e3nn(x, irreps))
    assert to_e3nn(x[:, :0], Irreps()).shape == (2, 0)


def test_fairchem_has_orders_outermost() -> None:
    """m = 0 of l = 0, 1, 2, then m = +1 of l = 1, 2, m = -1, and m = ±2: as its coefficient mapping lists them."""
    assert fairchem_orders(2).tolist() == [0, 2, 6, 3, 7, 1, 5, 8, 4]
    assert fairchem_orders(2, 1).tolist() == [0, 2, 6, 3, 7, 1, 5]
    assert fairchem_orders(3, 0).tolist() == [0, 2, 6, 12]
    with pytest.raises(ValueError, match="mmax = 3"):
        fairchem_orders(2, 3)


@pytest.mark.parametrize("degrees", TRIANGLES)
def test_coefficients_of_e3nn(degrees: tuple[int, int, int]) -> None:
    o3 = pytest.importorskip("e3nn.o3")
    wanted = o3.wigner_3j(*degrees, dtype=torch.float64)
    torch.testing.assert_close(e3nn_wigner_3j(*degrees), wanted, rtol=0, atol=1e-12)
    ours = clebsch_gordan_real(*degrees) / (2 * degrees[2] + 1) ** 0.5
    torch.testing.assert_close(e3nn_sign(*degrees) * ours, wanted, rtol=0, atol=1e-12)


def test_signs_of_e3nn_before_0_5() -> None:
    """The triplets of degrees up to 8 whose sign changed, in the order of the published list."""
    found = []
    for a in range(9):
        for b in range(9):
            for c in range(abs(a - b), min(a + b, 8) + 1):
                old, new = e3nn_wigner_3j(a, b, c, "0.4"), e3nn_wigner_3j(a, b, c)
                torch.testing.assert_close(old.abs(), new.abs(), rtol=0, atol=1e-13)
                if e3nn_sign(a, b, c, "0.4") != e3nn_sign(a, b, c):
                    found.append(f"{a}{b}{c}")
    assert found[: len(CHANGED)] == CHANGED
    assert len(found) == 70


def test_coefficients_before_0_5_by_numbers() -> None:
    """1 ⊗ 2 → 2 (first element that is not zero) and 1 ⊗ 1 → 2 (the element in the middle), with their permutations."""
    C = e3nn_wigner_3j(1, 2, 2, "0.4")
    assert float(C.flatten()[C.flatten().nonzero()[0, 0]]) == pytest.approx(30**-0.5)
    torch.testing.assert_close(e3nn_wigner_3j(2, 1, 2, "0.4"), -C.transpose(0, 1))
    torch.testing.assert_close(e3nn_wigner_3j(2, 2, 1, "0.4"), C.permute(1, 2, 0))
    assert float(e3nn_wigner_3j(1, 1, 2, "0.4")[1, 1, 2]) == pytest.approx((2 / 15) ** 0.5)
    torch.testing.assert_close(e3nn_wigner_3j(2, 1, 1, "0.4"), e3nn_wigner_3j(1, 1, 2, "0.4").permute(2, 0, 1))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 9\)"):
        from_e3nn(torch.zeros(8), Irreps("3x1o"))
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 9\)"):
        to_e3nn(torch.zeros(8), Irreps("3x1o"))
    for text in ("2x0e+3x1o", "2x1o", "2x0e+2x2e"):
        with pytest.raises(ValueError, match="as many channels of each degree"):
            to_fairchem(torch.zeros(Irreps(text).dim), Irreps(text))
    with pytest.raises(ValueError, match=r"wanted \(\.\.\., 4, 2\)"):
        from_fairchem(torch.zeros(3, 4), Irreps.natural(1, 2))
    with pytest.raises(ValueError, match=r'wanted "0\.4" or "0\.5"'):
        e3nn_wigner_3j(1, 1, 1, "0.3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got degrees 1, 1, 3"):
        e3nn_wigner_3j(1, 1, 3)
