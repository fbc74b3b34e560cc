"""SO(2), O(2), SO(3), O(3): the interface that all groups share."""

from __future__ import annotations

import math

import pytest
import torch

from armillary.groups import O2, O3, SO2, SO3, Group, clebsch_gordan, octahedral

GROUPS: list[tuple[Group, int]] = [(SO2(), 5), (O2(), 5), (SO3(), 4), (O3(), 3), (octahedral(), 0)]


@pytest.fixture(params=GROUPS, ids=lambda pair: type(pair[0]).__name__)
def pair(request: pytest.FixtureRequest) -> tuple[Group, int]:
    return request.param


@pytest.mark.parametrize("real", [False, True])
def test_irreps_are_homomorphisms(pair: tuple[Group, int], real: bool) -> None:
    group, band = pair
    g, h = group.sample(30, torch.Generator().manual_seed(0)), group.sample(30, torch.Generator().manual_seed(1))
    for irrep in group.real_irreps(band) if real else group.irreps(band):
        one = irrep(group.identity)
        assert one.shape[-2:] == (irrep.dim, irrep.dim)
        assert one.is_complex() != (real or irrep.is_real)
        torch.testing.assert_close(irrep(group.product(g, h)), irrep(g) @ irrep(h), rtol=0, atol=1e-12)
        torch.testing.assert_close(irrep(group.inverse(g)), irrep(g).mH, rtol=0, atol=1e-12)


def test_matrix_elements_are_orthonormal(pair: tuple[Group, int]) -> None:
    """Schur, by the quadrature of the group: it is exact up to the band, and its weights sum to 1."""
    group, band = pair
    elements, weights = group.quadrature(band)
    assert float(weights.sum()) == pytest.approx(1)
    columns = [irrep(elements).to(torch.complex128).flatten(-2) * irrep.dim**0.5 for irrep in group.irreps(band)]
    matrix = torch.cat(columns, dim=-1)
    gram = matrix.mH * weights @ matrix
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), rtol=0, atol=1e-12)
    assert complex(group.integrate(matrix[:, 0], weights)) == pytest.approx(1)


def test_associativity_and_sampling(pair: tuple[Group, int]) -> None:
    group, band = pair
    a, b, c = (group.sample(10) for _ in range(3))
    for irrep in group.irreps(band):
        left, right = group.product(group.product(a, b), c), group.product(a, group.product(b, c))
        torch.testing.assert_close(irrep(left), irrep(right), rtol=0, atol=1e-12)
    many = group.sample(20000, torch.Generator().manual_seed(2))
    for irrep in list(group.irreps(band))[1:]:  # the mean of a nontrivial irrep under the Haar measure is 0
        assert float(irrep(many).mean(0).abs().max()) < 0.05


def test_frequency_of_the_plane() -> None:
    g = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(SO2().irreps(2)[3](g).squeeze(), torch.exp(torch.tensor(0.6j, dtype=torch.complex128)))
    flip = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert O2().irreps(1)[1](flip).item() == -1
    turned = O2().product(flip, torch.tensor([0.3, 0.0], dtype=torch.float64))
    assert float(turned[0]) == pytest.approx(2 * math.pi - 0.3)


def test_vectors_are_odd_of_degree_one() -> None:
    g = O3().sample(5)
    vector = O3().real_irreps(1)[3]
    assert vector.name == "1o"
    order = torch.tensor([1, 2, 0])  # the real harmonics of degree 1 are (y, z, x)
    torch.testing.assert_close(vector(g), g[:, order][:, :, order], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("group", "band"), GROUPS[:4], ids=["SO2", "O2", "SO3", "O3"])
@pytest.mark.parametrize("real", [False, True])
def test_matrices_are_exact_for_elements_in_float32(group: Group, band: int, real: bool) -> None:
    """float64 or complex128, and no less exact than the elements themselves; one element or many."""
    exact = group.sample(7, torch.Generator().manual_seed(0))
    plane = isinstance(group, SO2 | O2)
    g = exact.float()
    for irrep in group.real_irreps(band) if real else group.irreps(band):
        rho = irrep(g)
        assert rho.dtype == (torch.float64 if irrep.is_real else torch.complex128)
        torch.testing.assert_close(rho, irrep(g.double() if plane else exact), rtol=0, atol=1e-12 if plane else 1e-5)
        torch.testing.assert_close(irrep(g[3]), rho[3], rtol=0, atol=1e-12)


def test_sampling_any_number() -> None:
    for group in (SO2(), O2(), SO3(), O3(), octahedral()):
        assert len(group.sample(0)) == 0
        assert len(group.sample(1)) == 1


def test_integers_are_integrated() -> None:
    group = octahedral()
    _, weights = group.quadrature()
    ones = torch.ones(2, 24, dtype=torch.int64)
    torch.testing.assert_close(group.integrate(ones, weights), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(group.integrate(ones.bool(), weights), torch.ones(2, dtype=torch.float64))
    assert group.integrate(ones.float(), weights).dtype == torch.float32


def test_batches_with_a_matrix_that_is_no_rotation() -> None:
    R = SO3().sample(3)
    R[1] *= 1.001
    for irrep in (SO3().irreps(1)[1], SO3().real_irreps(1)[1], O3().irreps(1)[2]):
        with pytest.raises(ValueError, match="not a rotation"):
            irrep(R)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("group", [SO2(), O2(), SO3(), O3()], ids=["SO2", "O2", "SO3", "O3"])
def test_products_of_irreps(group: Group, real: bool) -> None:
    """Q⁻¹ (ρ(g) ⊗ σ(g)) Q = ⊕ ρ_i(g) with Q unitary."""
    g = group.sample(4, torch.Generator().manual_seed(1))
    irreps = group.real_irreps(2) if real else group.irreps(2)
    for first in irreps:
        for second in irreps:
            found = clebsch_gordan(first, second)
            Q, product = found.basis, torch.einsum("gij,gkl->gikjl", first(g), second(g))
            product = product.reshape(4, first.dim * second.dim, -1)
            blocks = torch.stack([torch.block_diag(*(irrep(x) for irrep in found.irreps)) for x in g])
            torch.testing.assert_close(Q.mH @ Q, torch.eye(len(Q), dtype=Q.dtype), rtol=0, atol=1e-13)
            torch.testing.assert_close(Q.mH @ product @ Q, blocks, rtol=0, atol=1e-12)


def test_products_that_do_not_fit() -> None:
    for first, second in (
        (SO3().irreps(1)[1], SO3().real_irreps(1)[1]),
        (SO3().irreps(1)[1], O3().irreps(1)[1]),
        (SO3().irreps(1)[1], octahedral().irreps()[1]),
    ):
        with pytest.raises(ValueError, match="of one group"):
            clebsch_gordan(first, second)


@pytest.mark.parametrize("band", [None, -1, 1.5, True])
def test_a_band_is_needed(band: object) -> None:
    with pytest.raises(ValueError, match="infinitely many irreps"):
        SO3().irreps(band)  # type: ignore[arg-type]


def test_high_degree() -> None:
    """Degree 200: unitary and a homomorphism to 1e-11."""
    g, h = SO3().sample(2)
    D = SO3().irreps(200)[200]
    torch.testing.assert_close(D(g @ h), D(g) @ D(h), rtol=0, atol=1e-11)
