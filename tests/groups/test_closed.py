"""Closed subgroups of compact groups: their Haar integrals, invariants and what irreps become on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import (
    O2,
    O3,
    SO2,
    SO3,
    AxisMirrors,
    AxisRotations,
    ClosedSubgroup,
    FiniteGroup,
    FiniteSubgroup,
    PlaneRotations,
    cyclic,
    dihedral,
    icosahedral,
    octahedral,
    symmetric,
    tetrahedral,
    with_inversion,
)
from armillary.groups.fourier import invariants

SUBGROUPS: dict[str, ClosedSubgroup] = {
    "SO(2) in SO(3)": AxisRotations(),
    "SO(2) in O(3)": AxisRotations(O3()),
    "O(2) in O(3)": AxisMirrors(),
    "SO(2) in O(2)": PlaneRotations(),
    "C_5 in SO(2)": FiniteSubgroup(SO2(), cyclic(5)),
    "C_4 in O(2)": FiniteSubgroup(O2(), cyclic(4)),
    "D_3 in O(2)": FiniteSubgroup(O2(), dihedral(3)),
    "T in SO(3)": FiniteSubgroup(SO3(), tetrahedral()),
    "O in O(3)": FiniteSubgroup(O3(), octahedral()),
    "I_h in O(3)": FiniteSubgroup(O3(), with_inversion(icosahedral())),
}


@pytest.fixture(params=SUBGROUPS)
def H(request: pytest.FixtureRequest) -> ClosedSubgroup:
    return SUBGROUPS[request.param]


@pytest.mark.parametrize("real", [False, True])
def test_invariants_are_those_of_the_restriction(H: ClosedSubgroup, real: bool) -> None:
    """What H leaves alone in an irrep is as much as the trivial irrep occurs on H; the dimensions add up."""
    for irrep in H.group.real_irreps(6) if real else H.group.irreps(6):
        elements, weights = H.haar(6)
        basis = invariants(irrep, elements, weights)
        torch.testing.assert_close(irrep(elements) @ basis, basis.expand(len(elements), -1, -1), rtol=0, atol=1e-12)
        parts = H.restrict(irrep)
        trivial = (H.as_group.real_irreps if irrep.is_real else H.as_group.irreps)(0)[0]
        assert sum(part.dim for part in parts) == irrep.dim
        assert sum(part == trivial for part in parts) == basis.shape[1]


@pytest.mark.parametrize("real", [False, True])
def test_traces_on_the_subgroup(H: ClosedSubgroup, real: bool) -> None:
    """The characters of the parts add up to that of the irrep."""
    elements = H.haar(3)[0]
    if isinstance(H, FiniteSubgroup):
        inner = H.finite.elements
    elif isinstance(H, AxisMirrors):
        inner = torch.stack([torch.atan2(elements[:, 1, 0], elements[:, 0, 0]), (torch.det(elements) < 0).double()], 1)
    else:
        inner = SO2().quadrature(3)[0]
    for irrep in H.group.real_irreps(3) if real else H.group.irreps(3):
        whole = irrep(elements).diagonal(dim1=1, dim2=2).sum(-1)
        parts = sum(part(inner).diagonal(dim1=1, dim2=2).sum(-1) for part in H.restrict(irrep))
        torch.testing.assert_close(torch.as_tensor(parts).to(whole.dtype), whole, rtol=0, atol=1e-12)


def test_the_haar_integral_is_that_of_the_subgroup(H: ClosedSubgroup) -> None:
    """It does not change when the function is moved by an element of H, and is 1 for 1."""
    elements, weights = H.haar(5)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    for irrep in H.group.irreps(5):
        rho = irrep(elements)
        mean = torch.einsum("h,hij->ij", weights.to(rho.dtype), rho)
        torch.testing.assert_close(rho[-1] @ mean, mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(mean @ rho[1], mean, rtol=0, atol=1e-12)


def test_invariants_of_the_icosahedron() -> None:
    """Degrees with a function on the sphere that the icosahedral group leaves alone: 0, 6, 10, 12, 15 (Molien)."""
    H = FiniteSubgroup(SO3(), icosahedral())
    counts = [invariants(irrep, *H.haar(16)).shape[1] for irrep in SO3().real_irreps(16)]
    assert [l for l, count in enumerate(counts) if count] == [0, 6, 10, 12, 15, 16]


def test_crystal_fields() -> None:
    """A d-shell in a cube is a doublet and a triplet, with the basis that shows them."""
    H = FiniteSubgroup(SO3(), octahedral())
    found = H.restricted(SO3().real_irreps(2)[2]).decompose()
    assert [irrep.dim for irrep in found.irreps] == [2, 3]
    assert H.restrict(SO3().real_irreps(2)[2]) == found.irreps


def test_what_does_not_fit() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    skewed = np.diag([1.0, 1.0, 1.1])
    with pytest.raises(ValueError, match=r"matrices \(3, 3\)"):
        FiniteSubgroup(SO3(), cyclic(3))
    with pytest.raises(ValueError, match=r"matrices \(2, 2\)"):
        FiniteSubgroup(O2(), symmetric(3))
    with pytest.raises(ValueError, match="of determinant 1"):
        FiniteSubgroup(SO3(), with_inversion(octahedral()))
    cube = octahedral()
    oblique = FiniteGroup(cube.table, matrices=skewed @ cube.matrices @ np.linalg.inv(skewed))
    with pytest.raises(ValueError, match="orthogonal ones"):
        FiniteSubgroup(O3(), oblique)
    with pytest.raises(ValueError, match="wanted an irrep of"):
        AxisRotations().restrict(O3().irreps(1)[0])
    turned = FiniteSubgroup(SO3(), FiniteGroup(cube.table, matrices=turn @ cube.matrices @ turn.T))
    assert turned != FiniteSubgroup(SO3(), cube)
