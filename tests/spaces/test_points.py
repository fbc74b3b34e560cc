"""Graphs of points against the sum over all pairs and all images; edge vectors and their gradients."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from armillary.groups import random_rotation
from armillary.spaces import Neighbours, complete_graph, edge_vectors, knn_graph, radius_graph

SEARCHES = ["scipy", "vesin"]


def rows(neighbours: Neighbours) -> list[tuple[int, ...]]:
    """(target, source, shift...) of every edge."""
    j, i = neighbours.edge_index
    return list(map(tuple, torch.cat([i[:, None], j[:, None], neighbours.shifts], 1).tolist()))


def every_pair(
    x: Tensor, cutoff: float, batch: Tensor | None = None, cell: Tensor | None = None, wraps: Tensor | None = None
) -> list[tuple[int, ...]]:
    """All pairs and images, one by one, images as far as the longest diagonal may need."""
    batch = torch.zeros(len(x), dtype=torch.int64) if batch is None else batch
    found = []
    for i, j in product(range(len(x)), repeat=2):
        if batch[i] != batch[j]:
            continue
        if cell is None:
            shifts = [(0, 0, 0)]
        else:
            own = cell if cell.ndim == 2 else cell[batch[i]]
            open_or_not = wraps if wraps.ndim == 1 else wraps[batch[i]]
            shifts = list(product(*(range(-6, 7) if w else (0,) for w in open_or_not.tolist())))
        S = torch.tensor(shifts, dtype=torch.float64)
        r = x[j] - x[i] + (S @ own if cell is not None else 0 * S)
        near = r.norm(dim=1) <= cutoff
        found += [(i, j, *shifts[k]) for k in near.nonzero().flatten().tolist() if i != j or any(shifts[k])]
    return sorted(found, key=lambda e: (e[0], e[1], *e[2:]))


def points(n: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_open_graph(search: str, n: int) -> None:
    pytest.importorskip(search)
    batch = torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(n))
    x = points(n)
    got = radius_graph(x, 1.5, batch, search=search)
    assert rows(got) == every_pair(x, 1.5, batch)
    assert rows(radius_graph(x, 1.5, search=search)) == every_pair(x, 1.5)
    assert rows(radius_graph(x.T.contiguous().T.float(), 1.5)) == every_pair(x.float().double(), 1.5)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("wraps", [(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)])
def test_periodic_graph(search: str, wraps: tuple[int, ...]) -> None:
    """A skew cell smaller than the cutoff, points outside of the cell."""
    pytest.importorskip(search)
    cell = torch.tensor([[1.0, 0.1, 0.0], [0.4, 0.9, 0.2], [-0.2, 0.3, 1.3]], dtype=torch.float64)
    wrap = torch.tensor(wraps, dtype=torch.bool)
    x = points(4, scale=1.7)
    got = radius_graph(x, 1.9, cell=cell, periodic=wrap, search=search)
    assert rows(got) == every_pair(x, 1.9, None, cell, wrap)
    if all(wraps):
        assert any(i == j for i, j, *_ in rows(got))
        assert rows(radius_graph(x, 1.9, cell=cell, search=search)) == rows(got)
    if not wraps[2]:  # an open direction needs no vector
        flat = torch.where(wrap[:, None], cell, 0.0)
        assert rows(radius_graph(x, 1.9, cell=flat, periodic=wrap, search=search)) == rows(got)


@pytest.mark.parametrize("search", SEARCHES)
def test_batch_of_cells(search: str) -> None:
    pytest.importorskip(search)
    batch = torch.tensor([2, 0, 1, 0, 2, 2, 1])
    cell = torch.eye(3, dtype=torch.float64) * torch.tensor([1.0, 1.5, 2.0])[:, None, None] + 0.1 * points(9).view(
        3, 3, 3
    )
    wraps = torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 0]], dtype=torch.bool)
    x = points(7)
    got = radius_graph(x, 1.8, batch, cell, wraps, search=search)
    assert rows(got) == every_pair(x, 1.8, batch, cell, wraps)
    r = edge_vectors(x, got, cell, batch)
    assert float(r.norm(dim=1).max()) <= 1.8
    assert float((r.sum(0)).abs().max()) < 1e-12, "each edge has its reverse"


def test_one_atom_in_a_cell() -> None:
    """A simple cubic lattice: 6 neighbours at a, 12 at sqrt(2) a, 8 at sqrt(3) a, wherever the atom is."""
    for place in (0.0, 0.3, -1e6 + 0.25):
        x = torch.full((1, 3), place, dtype=torch.float64)
        for cutoff, count in ((0.9, 0), (1.0, 6), (1.5, 18), (1.8, 26)):
            found = radius_graph(x, cutoff, cell=torch.eye(3))
            assert found.edge_index.shape == (2, count)
            assert edge_vectors(x, found, torch.eye(3).double()).isfinite().all()


def test_nearest_within_the_cutoff() -> None:
    x = points(30)
    found = radius_graph(x, 3.0, max_neighbours=4)
    distance = torch.cdist(x, x).fill_diagonal_(math.inf)
    for i in range(30):
        near = found.edge_index[0, found.edge_index[1] == i]
        wanted = [j for j in distance[i].argsort()[:4].tolist() if distance[i, j] <= 3.0]
        assert near.tolist() == sorted(wanted)
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    turned = square @ random_rotation(torch.Generator().manual_seed(3)).T
    for x in (square, turned):  # of equals, to rounding, the first
        assert radius_graph(x, 1.1, max_neighbours=2).edge_index[0, :2].tolist() == [1, 2]


@pytest.mark.parametrize("k", [1, 3, 40])
def test_nearest(k: int) -> None:
    batch = torch.tensor([0] * 11 + [2] * 5 + [3] * 1)[torch.randperm(17, generator=torch.Generator().manual_seed(0))]
    x = points(17) + torch.tensor([1e6, 0, 0])
    found = knn_graph(x, k, batch)
    for i in range(17):
        others = [j for j in range(17) if batch[j] == batch[i] and j != i]
        nearest = sorted(others, key=lambda j: float((x[j] - x[i]).norm()))[:k]
        assert found.edge_index[0, found.edge_index[1] == i].tolist() == nearest
    same = torch.zeros(6, 3)
    found = knn_graph(same, 2).edge_index
    assert found.shape == (2, 12)
    assert bool((found[0] != found[1]).all())


@pytest.mark.parametrize("k", [1, 4, 30])
def test_nearest_in_cells(k: int) -> None:
    """Three graphs with cells of their own, one a slab and one open: against the k first of a wide radius graph."""
    number = torch.tensor([0] * 6 + [1] * 2 + [2] * 40)[torch.randperm(48, generator=torch.Generator().manual_seed(1))]
    x = 3 * points(48)
    cells = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 2 * torch.eye(3)
    cells[1] *= 0.6
    wraps = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    found = knn_graph(x, k, number, cells, wraps)
    every = radius_graph(x, 14.0, number, cells, wraps)
    r, all_r = (edge_vectors(x, edges, cells, number).norm(dim=1) for edges in (found, every))
    assert not bool(((found.edge_index[0] == found.edge_index[1]) & (found.shifts == 0).all(1)).any())
    for i in range(48):
        own, wanted = r[found.edge_index[1] == i], all_r[every.edge_index[1] == i].sort().values[:k]
        torch.testing.assert_close(own, wanted, rtol=0, atol=1e-9)


def test_nearest_farther_than_even_spacing_says() -> None:
    """A row of wires: the nearest of each point are its own images along its wire."""
    x = torch.zeros(20, 3)
    x[:, 0], x[:, 2] = 50 * torch.arange(20), 0.5
    found = knn_graph(x, 4, cell=torch.eye(3), periodic=torch.tensor([False, False, True]))
    assert bool((found.edge_index[0] == found.edge_index[1]).all())
    assert found.shifts[:, 2].view(20, 4).sort(1).values.unique(dim=0).tolist() == [[-2, -1, 1, 2]]


def test_nearest_of_one_atom_are_its_images() -> None:
    found = knn_graph(torch.tensor([[7.3, -2.0, 0.1]]), 6, cell=torch.eye(3))
    assert found.edge_index.tolist() == [[0] * 6] * 2
    assert sorted(map(tuple, found.shifts.tolist())) == sorted(
        tuple(sign * (k == m) for m in range(3)) for k in range(3) for sign in (-1, 1)
    )
    with pytest.raises(ValueError, match="no volume"):
        knn_graph(torch.zeros(1, 3), 1, cell=torch.zeros(3, 3))


def test_complete() -> None:
    batch = torch.tensor([1, 0, 1, 3, 1, 0])
    got = set(map(tuple, complete_graph(batch).edge_index.T.tolist()))
    assert got == {(j, i) for j, i in product(range(6), repeat=2) if i != j and batch[i] == batch[j]}
    assert complete_graph(3).edge_index.shape == (2, 6)
    assert complete_graph(0).edge_index.shape == complete_graph(1).edge_index.shape == (2, 0)


@pytest.mark.parametrize("search", SEARCHES)
def test_nothing_near(search: str) -> None:
    pytest.importorskip(search)
    for x in (torch.zeros(0, 3), torch.zeros(1, 3), torch.tensor([[0.0, 0, 0], [1e6, 0, 0]])):
        if search == "vesin" and len(x) == 2:
            with pytest.raises(ValueError, match=r"1.0e\+06 cutoffs.*use search = 'scipy'"):
                radius_graph(x, 1.0, search=search)
            x = torch.tensor([[0.0, 0, 0], [900, 0, 0]])
        found = radius_graph(x, 1.0, search=search)
        assert found.edge_index.shape == (2, 0)
        assert found.shifts.shape == (0, 3)
        assert edge_vectors(x, found).shape == (0, 3)
    assert (
        knn_graph(torch.zeros(0, 3), 2).edge_index.shape == knn_graph(torch.zeros(1, 3), 2).edge_index.shape == (2, 0)
    )
    assert rows(radius_graph(torch.zeros(2, 3), 1.0, search=search)) == [(0, 1, 0, 0, 0), (1, 0, 0, 0, 0)]


def test_gradients() -> None:
    batch = torch.tensor([0, 0, 0, 1, 1])
    cell = torch.eye(3, dtype=torch.float64).expand(2, 3, 3) + 0.1 * points(6).view(2, 3, 3)
    x = points(5)
    found = radius_graph(x, 0.9, batch, cell)

    def energy(x: Tensor, cell: Tensor) -> Tensor:
        return edge_vectors(x, found, cell, batch).square().sum(1).exp()

    inputs = (x.requires_grad_(), cell.clone().requires_grad_())
    assert torch.autograd.gradcheck(energy, inputs)
    assert torch.autograd.gradgradcheck(energy, inputs)
    compiled = torch.compile(edge_vectors, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, found, cell, batch), edge_vectors(x, found, cell, batch), rtol=0, atol=0)


def test_the_graph_turns_with_the_crystal() -> None:
    R = random_rotation(torch.Generator().manual_seed(1))
    x, cell = points(6), torch.eye(3, dtype=torch.float64) + 0.2 * points(3, 1)
    before, after = radius_graph(x, 1.3, cell=cell), radius_graph(x @ R.T, 1.3, cell=cell @ R.T)
    assert rows(before) == rows(after)
    torch.testing.assert_close(
        edge_vectors(x @ R.T, after, cell @ R.T), edge_vectors(x, before, cell) @ R.T, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: radius_graph(x[:, :2], 1.0), r"\(5, 2\)"),
        (lambda x: radius_graph(x.long(), 1.0), "floating point"),
        (lambda x: radius_graph(x, 0.0), "positive"),
        (lambda x: radius_graph(x, math.inf), "complete_graph"),
        (lambda x: radius_graph(x, math.nan), "positive"),
        (lambda x: radius_graph(x / 0, 1.0), "not finite"),
        (lambda x: radius_graph(x, 1.0, torch.zeros(4).long()), r"wanted \(5,\) int64"),
        (lambda x: radius_graph(x, 1.0, torch.zeros(5)), "int64"),
        (lambda x: radius_graph(x, 1.0, -torch.ones(5).long()), "negative"),
        (lambda x: radius_graph(x, 1.0, periodic=True), "pass cell"),
        (lambda x: radius_graph(x, 1.0, cell=torch.zeros(3, 3)), "no volume"),
        (lambda x: radius_graph(x, 1.0, cell=torch.ones(3, 3)), "no volume"),
        (lambda x: radius_graph(x, 1.0, cell=torch.eye(3)[None].expand(2, 3, 3)), r"wanted \(3, 3\) or \(1, 3, 3\)"),
        (lambda x: radius_graph(x, 1.0, cell=torch.eye(3) / 0), "not finite"),
        (lambda x: radius_graph(x, 1.0, cell=torch.eye(3), periodic=torch.ones(3)), "bool"),
        (lambda x: radius_graph(x, 1e4, cell=torch.eye(3)), "check their units"),
        (lambda x: radius_graph(1e20 * x, 1.0, cell=torch.eye(3)), "wrap positions into the cell"),
        (lambda x: radius_graph(1e200 * x, 1.0), "squares overflow"),
        (lambda x: knn_graph(1e200 * x, 2), "squares overflow"),
        (lambda x: radius_graph(x, 1.0, max_neighbours=0), "max_neighbours"),
        (lambda x: radius_graph(x, 1.0, search="grid"), "wanted 'scipy' or 'vesin'"),
        (lambda x: knn_graph(x, 0), "k = 0"),
        (lambda x: complete_graph(torch.zeros(2, 2)), "batch of shape"),
        (lambda x: edge_vectors(x, radius_graph(x, 2.0, cell=torch.eye(3))), "pass the cell"),
        (lambda x: edge_vectors(x, radius_graph(x, 2.0), torch.zeros(2, 3, 3)), "no batch"),
        (lambda x: edge_vectors(x, radius_graph(x, 2.0), torch.zeros(3)), r"cell has shape \(3,\)"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(points(5))
