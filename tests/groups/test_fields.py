"""Fields on G/H of any type: Frobenius reciprocity, embeddings, and the maps between them against a null space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import (
    FieldType,
    FiniteGroup,
    Subgroup,
    alternating,
    cyclic,
    dihedral,
    direct_sum,
    field_maps,
    icosahedral,
    irrep_representation,
    octahedral,
    quaternion,
    regular,
    restricted,
    symmetric,
    whole_group,
)


def cyclic_subgroup(group: FiniteGroup, order: int) -> Subgroup:
    return Subgroup(group, [int(np.flatnonzero(group.element_orders == order)[0])])


def fields() -> dict[str, tuple[FieldType, FieldType]]:
    """Pairs of field types of one group."""

    def last(H: Subgroup) -> FieldType:
        """The last of the largest irreps: vectors of cyclic groups, the four dimensions of Q_8."""
        irreps = H.as_group.real_irreps()
        return FieldType(H, irrep_representation(max(reversed(irreps), key=lambda irrep: irrep.dim)))

    def trivial(H: Subgroup) -> FieldType:
        return FieldType(H, irrep_representation(H.as_group.real_irreps()[0]))

    S4, Q8, A4, O, I, D6 = symmetric(4), quaternion(), alternating(4), octahedral(), icosahedral(), dihedral(6)
    C4, C3, C5 = cyclic_subgroup(O, 4), cyclic_subgroup(I, 3), cyclic_subgroup(I, 5)
    both = FieldType(C4, direct_sum([irrep_representation(irrep) for irrep in C4.as_group.real_irreps()]))
    return {
        "S_4: scalars to signs": (trivial(Subgroup(S4, [1])), last(cyclic_subgroup(S4, 2))),
        "O: vectors to vectors": (last(C4), last(C4)),
        "O: all types to regular": (both, FieldType(C4, regular(C4.as_group))),
        "I: faces to corners, turning": (last(C3), last(C5)),
        "Q_8: of quaternionic type": (trivial(Subgroup(Q8)), last(whole_group(Q8))),
        "A_4: of complex type": (last(cyclic_subgroup(A4, 3)), last(cyclic_subgroup(A4, 3))),
        "D_6: reflections": (last(cyclic_subgroup(D6, 2)), trivial(Subgroup(D6))),
    }


@pytest.fixture(params=fields(), scope="module")
def pair(request: pytest.FixtureRequest) -> tuple[FieldType, FieldType]:
    return fields()[request.param]


def test_frobenius(pair: tuple[FieldType, FieldType]) -> None:
    """How often an irrep is in the induced representation: from H alone, and from characters of G."""
    for field in pair:
        assert field.multiplicities() == field.induced.multiplicities()
        assert [len(field.embeddings(irrep)) for irrep in field.group.irreps()] == field.multiplicities()


def test_embeddings(pair: tuple[FieldType, FieldType]) -> None:
    field, g = pair[0], torch.tensor([1, pair[0].group.order - 1])
    columns = []
    for irrep in field.group.irreps():
        for S in field.embeddings(irrep):
            tau = irrep.complex_matrices[g].to(S.dtype)
            torch.testing.assert_close(field.induced(g).to(S.dtype) @ S, S @ tau, rtol=0, atol=1e-12)
            columns.append(S)
    Q = torch.cat(columns, 1)
    torch.testing.assert_close(Q.mH @ Q, torch.eye(field.size, dtype=Q.dtype), rtol=0, atol=1e-12)


def test_maps_are_the_null_space_of_the_constraint(pair: tuple[FieldType, FieldType]) -> None:
    """All M with M R(s) = R'(s) M, s the generators: as many as Σ m m', and the same span."""
    source, target = pair
    square = torch.zeros(source.size * target.size, source.size * target.size, dtype=torch.float64)
    for s in source.group.generators:
        R, S = source.induced(torch.tensor(s)), target.induced(torch.tensor(s))
        constraint = torch.kron(torch.eye(target.size).double(), R.T.contiguous())
        constraint -= torch.kron(S.contiguous(), torch.eye(source.size).double())
        square += constraint.T @ constraint
    values, vectors = torch.linalg.eigh(square)
    null = vectors[:, values < 1e-9]
    maps = field_maps(source, target).flatten(1).T
    wanted = sum(a * b for a, b in zip(source.multiplicities(), target.multiplicities(), strict=True))
    assert null.shape[1] == maps.shape[1] == wanted
    torch.testing.assert_close(maps.T @ maps, torch.eye(wanted).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(null @ (null.T @ maps), maps, rtol=0, atol=1e-12)


def test_action_is_that_of_functions_on_the_group() -> None:
    """F(r_c h) = ρ(h)⁻¹ f(c), (g F)(u) = F(g⁻¹ u)."""
    field = fields()["O: vectors to vectors"][0]
    G, H = field.group, field.H
    f = torch.randn(H.index, field.dim, dtype=torch.float64)

    def lifted(values: torch.Tensor) -> torch.Tensor:
        rows = []
        for u in range(G.order):
            c = int(H.left_coset_of[u])
            h = int(np.flatnonzero(H.elements == G.table[G.inverses[H.representatives[c]], u])[0])
            rows.append(field.matrices[h].T @ values[c])
        return torch.stack(rows)

    g = 7
    moved = lifted(f)[torch.tensor(G.table[G.inverses[g]].astype(np.int64))]
    torch.testing.assert_close(lifted(field.act(g, f)), moved, rtol=0, atol=1e-13)


def test_errors() -> None:
    S4, C3 = symmetric(4), cyclic(3)
    with pytest.raises(ValueError, match="wanted a representation of H"):
        FieldType(Subgroup(S4, [1]), regular(C3))
    with pytest.raises(ValueError, match="which is complex"):
        FieldType(whole_group(C3), irrep_representation(C3.irreps()[1]))
    first, second = (FieldType(Subgroup(G), regular(Subgroup(G).as_group)) for G in (S4, C3))
    with pytest.raises(ValueError, match="two of one group"):
        field_maps(first, second)
    field = fields()["O: vectors to vectors"][0]
    with pytest.raises(ValueError, match=rf"wants \(\.\.\., {field.H.index}, {field.dim}\)"):
        field.act(1, torch.zeros(2, field.dim, field.H.index))  # as many numbers, in another order
    assert "on S_4" in repr(first)
    assert restricted(regular(S4), whole_group(S4)).dim == 24
