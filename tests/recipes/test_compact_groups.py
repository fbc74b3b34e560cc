"""The recipe of convolution on compact groups at its smallest scale, and its parts."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
import torch

from armillary.groups import cyclic, stabiliser, symmetric, trivial_subgroup
from armillary.models import HomogeneousNet, SubsetNet
from armillary.recipes.compact_groups import equivariant_maps, random_graphs, reproduce, theorem
from armillary.testing import GroupAction, commutation_error


def test_tiny_scale_writes_a_complete_result(tmp_path: Path) -> None:
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert len(result["checks"]) == 7  # the theorem; two sizes of training sets are too few to judge learning
    assert all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", tmp_path)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", tmp_path, seeds=0)


def test_the_theorem_repeats() -> None:
    """Its numbers hang on no generator that others have used."""
    name, H, K = "C_5", trivial_subgroup(cyclic(5)), trivial_subgroup(cyclic(5))
    first = theorem(name, H, K)
    torch.randn(3)
    assert theorem(name, H, K) == first


def test_circulant_matrices() -> None:
    """On C_5 the maps that commute with shifts are the circulant matrices."""
    trivial = trivial_subgroup(cyclic(5))
    basis = equivariant_maps(trivial, trivial)
    assert basis.shape == (25, 5)
    shift = torch.eye(5, dtype=torch.float64).roll(1, 0).reshape(-1)
    torch.testing.assert_close(basis @ (basis.T @ shift), shift, rtol=0, atol=1e-12)


def test_triangles_are_counted() -> None:
    net = SubsetNet(1, 1, 7, 2)
    x, y = random_graphs(20, net.subsets, torch.Generator().manual_seed(0))
    for edges, count in zip(x[:, 0], y[:, 0], strict=True):
        present = {tuple(pair) for pair, e in zip(net.subsets.tolist(), edges.tolist(), strict=True) if e > 0}
        triangles = sum({(a, b), (a, c), (b, c)} <= present for a, b, c in combinations(range(7), 3))
        assert triangles == int(count)


@pytest.mark.parametrize(("n", "k"), [(5, 2), (9, 3), (20, 2)])
def test_a_subset_network_does_not_see_the_numbering(n: int, k: int) -> None:
    net = SubsetNet(2, 3, n, k, widths=(4, 4))
    assert net.subsets.tolist() == [list(c) for c in combinations(range(n), k)]
    place = {tuple(subset): i for i, subset in enumerate(net.subsets.tolist())}

    def renumber(permutation: list[int], x: torch.Tensor) -> torch.Tensor:
        """Node i becomes node g(i): the value of {i, j} goes to {g(i), g(j)}."""
        moved = torch.empty_like(x)
        for i, subset in enumerate(net.subsets.tolist()):
            moved[..., place[tuple(sorted(permutation[node] for node in subset))]] = x[..., i]
        return moved

    elements = [torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist() for seed in range(4)]
    symmetry = GroupAction((2, len(place)), elements, renumber)
    assert commutation_error(net, symmetry, count=4) < 1e-12


def test_the_network_of_subsets_is_that_of_the_listed_group() -> None:
    """One state dict for both: points and orbitals have the same numbers."""
    group = symmetric(5)
    listed = HomogeneousNet(2, 3, group, stabiliser(group, [0, 1]), widths=(4, 4)).double()
    net = SubsetNet(2, 3, 5, 2, widths=(4, 4)).double()
    net.net.load_state_dict(listed.state_dict())
    x = torch.randn(3, 2, 10, dtype=torch.float64)
    torch.testing.assert_close(net(x), listed(x), rtol=0, atol=1e-12)


def test_what_is_no_network_of_subsets() -> None:
    with pytest.raises(ValueError, match="at most"):
        SubsetNet(1, 1, 5, 6)
    with pytest.raises(ValueError, match="widths"):
        SubsetNet(1, 1, 5, 2, widths=())
