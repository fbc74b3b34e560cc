"""Fields on a finite group: Mackey's constraint, the contract, scalars as HomogeneousConv has them, activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from armillary.groups import (
    FieldType,
    Subgroup,
    direct_sum,
    irrep_representation,
    octahedral,
    regular,
    stabiliser,
    symmetric,
)
from armillary.nn import FieldConv, FieldPointwise, HomogeneousConv
from armillary.testing import GroupAction, check_layer, commutation_error

GROUP = octahedral()
H = Subgroup(GROUP, [int(np.flatnonzero(GROUP.element_orders == 4)[0])])
K = Subgroup(GROUP, [int(np.flatnonzero(GROUP.element_orders == 3)[0])])
VECTORS = FieldType(H, irrep_representation(next(i for i in H.as_group.real_irreps() if i.dim == 2)))
MIXED = FieldType(K, direct_sum([irrep_representation(irrep) for irrep in K.as_group.real_irreps()]))


def symmetry(channels: int, source: FieldType, target: FieldType) -> GroupAction:
    return GroupAction((channels, source.H.index, source.dim), range(source.group.order), source.act, target.act)


def scalars(H: Subgroup) -> FieldType:
    return FieldType(H, irrep_representation(H.as_group.irreps()[0]))


@pytest.mark.parametrize(("source", "target"), [(VECTORS, MIXED), (MIXED, VECTORS), (scalars(H), MIXED)])
def test_contract(source: FieldType, target: FieldType) -> None:
    layer = FieldConv(2, 3, source, target)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    check_layer(layer, symmetry(2, source, target), tolerance=1e-12)


def test_kernels_keep_mackeys_constraint() -> None:
    """κ(h' g h) = ρ'(h') κ(g) ρ(h) for all elements, κ from rows and columns of the whole map."""
    layer = FieldConv(1, 1, VECTORS, MIXED, bias=False).double()
    blocks = layer.matrix().detach()[0, :, 0].view(K.index, MIXED.dim, H.index, VECTORS.dim)
    table, inverses = GROUP.table, GROUP.inverses

    def kappa(g: int) -> Tensor:
        """M at (1, g), whose column is at r_c with g = r_c h: κ(g) = κ(r_c) ρ(h)."""
        c = int(H.left_coset_of[g])
        h = int(np.flatnonzero(H.elements == table[inverses[H.representatives[c]], g])[0])
        return blocks[0, :, c] @ VECTORS.matrices[h]

    assert K.representatives[0] == 0
    for g in range(GROUP.order):
        for i, h in enumerate(H.elements):
            for j, k in enumerate(K.elements):
                moved = kappa(int(table[table[k, g], h]))
                wanted = MIXED.matrices[j] @ kappa(g) @ VECTORS.matrices[i]
                torch.testing.assert_close(moved, wanted, rtol=0, atol=1e-12)
    for x in range(K.index):
        for z in range(H.index):
            g = int(table[inverses[K.representatives[x]], H.representatives[z]])
            torch.testing.assert_close(blocks[x, :, z], kappa(g), rtol=0, atol=1e-12)


def test_scalar_fields_are_those_of_homogeneous_convolution() -> None:
    group = symmetric(4)
    A, B = stabiliser(group, [0]), stabiliser(group, [0, 1])
    fields, functions = FieldConv(1, 1, scalars(A), scalars(B)), HomogeneousConv(1, 1, group, A, B, path="matrix")
    assert fields.n_maps == functions.n_double_cosets
    maps = []
    for layer in (fields.double(), functions.double()):
        columns = []
        for k in range(fields.n_maps):
            with torch.no_grad():
                layer.weight.zero_()
                layer.weight[0, 0, k] = 1
            columns.append(layer.matrix().detach().flatten())
        maps.append(torch.linalg.qr(torch.stack(columns, 1)).Q)
    torch.testing.assert_close(maps[0] @ maps[0].T, maps[1] @ maps[1].T, rtol=0, atol=1e-12)
    assert fields.bias is not None
    assert fields.bias.shape == (1, 1)


def test_bias_where_something_stays() -> None:
    assert FieldConv(1, 1, MIXED, VECTORS).bias is None
    layer = FieldConv(1, 2, VECTORS, MIXED)
    assert layer.bias is not None
    nn.init.ones_(layer.bias)
    y = layer(torch.zeros(1, 1, H.index, 2))
    torch.testing.assert_close(y[:, :, :1].expand_as(y), y)
    assert float(y.detach()[..., 1:].abs().max()) < 1e-6 < float(y.detach()[..., 0].abs().min())


def test_noise_keeps_its_variance() -> None:
    y = FieldConv(32, 64, VECTORS, MIXED)(torch.randn(64, 32, H.index, 2))
    assert 0.8 < float(y.detach().var()) < 1.25


@pytest.mark.parametrize("vectors", [None, torch.tensor([[1.0, 1.0, 0.5], [1.0, -0.5, 0.0]])])
def test_activations_commute_exactly(vectors: Tensor | None) -> None:
    layer = FieldPointwise(nn.GELU(), MIXED, vectors)
    check_layer(layer, GroupAction((2, K.index, 3), range(24), MIXED.act, MIXED.act, ("wrong grid",)), tolerance=1e-12)
    x = torch.randn(2, 3, K.index, 3).double()
    torch.testing.assert_close(FieldPointwise(nn.Identity(), MIXED, vectors)(x), x, rtol=0, atol=1e-12)
    plain = commutation_error(nn.GELU(), symmetry(2, MIXED, MIXED))
    assert plain > 1e-2


def test_permutations_are_acted_upon_one_by_one() -> None:
    field = FieldType(H, regular(H.as_group))
    x = torch.randn(2, 3, H.index, 4).double()
    torch.testing.assert_close(FieldPointwise(torch.relu, field)(x), x.relu(), rtol=0, atol=1e-14)


def test_vectors_decide_what_is_mixed() -> None:
    x = torch.zeros(1, 1, K.index, 3).double()
    x[..., 0] = 1
    x[..., 1] = 0.7
    kept, mixed = (FieldPointwise(torch.square, MIXED, v)(x) for v in (None, torch.ones(1, 3)))
    changed = torch.cat([x[..., :1], 2 * x[..., 1:]], -1)
    assert float((FieldPointwise(torch.square, MIXED)(changed)[..., 0] - kept[..., 0]).abs().max()) < 1e-12
    assert float((FieldPointwise(torch.square, MIXED, torch.ones(1, 3))(changed) - mixed)[..., 0].abs().max()) > 0.1


def test_errors() -> None:
    with pytest.raises(ValueError, match="no map but zero"):
        FieldConv(1, 1, FieldType(Subgroup(symmetric(3), [1, 2]), sign()), scalars(Subgroup(symmetric(3), [1, 2])))
    with pytest.raises(ValueError, match=r"wants \(B, 1, 6, 2\)"):
        FieldConv(1, 1, VECTORS, MIXED)(torch.zeros(1, 1, 6, 3))
    with pytest.raises(ValueError, match="span less"):
        FieldPointwise(torch.relu, MIXED, torch.tensor([[1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"wanted \(functions, 3\)"):
        FieldPointwise(torch.relu, MIXED, torch.zeros(2, 2))


def sign():  # type: ignore[no-untyped-def]
    group = Subgroup(symmetric(3), [1, 2]).as_group
    return irrep_representation(next(i for i in group.real_irreps() if i.dim == 1 and i.character.real.min() < 0))
