"""Data and batches of PyTorch Geometric, and things that look like them, as plain tensors and back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from armillary.data import DataError, Structures
from armillary.interop.pyg import from_pyg, neighbours_of, positions_of, to_pyg
from armillary.spaces import edge_vectors, radius_graph


def made_up(cells: bool) -> Structures:
    g = torch.Generator().manual_seed(0)
    return Structures(
        torch.tensor([8, 1, 1, 6, 7, 29]),
        torch.randn(6, 3, generator=g).double(),
        torch.tensor([0, 3, 5, 6]),
        torch.randn(3, generator=g).double(),
        torch.randn(6, 3, generator=g).double(),
        (torch.eye(3) * 2 + 0.25 * torch.randn(3, 3, 3, generator=g).round()).double() if cells else None,
        torch.tensor([[True, True, False], [False] * 3, [True] * 3]) if cells else None,
    )


@pytest.mark.parametrize("cells", [False, True])
def test_batches_of_its_loader(cells: bool) -> None:
    loader = pytest.importorskip("torch_geometric.loader")
    s = made_up(cells)
    batch = next(iter(loader.DataLoader(to_pyg(s), batch_size=3)))
    back = from_pyg(batch)
    for name in ("charges", "positions", "offsets", "energies", "forces", "cells", "periodic"):
        x, y = getattr(back, name), getattr(s, name)
        assert (x is None) == (y is None), name
        assert x is None or torch.equal(x, y.float().to(y.dtype) if y.is_floating_point() else y), name
    pos, numbers = positions_of(batch)
    assert torch.equal(numbers, s.batch)
    found = neighbours_of(batch, 3.2)
    wanted = radius_graph(s.positions, 3.2, s.batch, s.cells, s.periodic)
    assert found.edge_index.shape[1] > 4
    assert torch.equal(found.edge_index, wanted.edge_index)
    assert torch.equal(found.shifts, wanted.shifts)
    vectors = edge_vectors(pos, found, batch.cell if cells else None, numbers)
    assert float(vectors.norm(dim=1).max()) < 3.2001


def test_one_graph_of_anything() -> None:
    one = SimpleNamespace(
        pos=torch.randn(4, 3), edge_index=torch.tensor([[0, 1], [1, 3]]), z=torch.tensor([1, 6, 8, 1])
    )
    assert positions_of(one)[1].tolist() == [0] * 4
    assert neighbours_of(one).edge_index is one.edge_index
    assert neighbours_of(one).shifts.tolist() == [[0] * 3] * 2
    one.cell_offsets = torch.tensor([[0.0, 1, 0], [0, 0, -1]])
    assert neighbours_of(one).shifts.tolist() == [[0, 1, 0], [0, 0, -1]]
    assert from_pyg(one).charges.tolist() == [1, 6, 8, 1]
    assert neighbours_of(SimpleNamespace(pos=one.pos), 10.0).edge_index.shape == (2, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pos": None}, "wanted positions"),
        ({"pos": torch.zeros(4, 2)}, r"pos = \(4, 2\)"),
        ({"batch": torch.zeros(4)}, "int64"),
        ({"batch": torch.tensor([0, 1, 0, 1])}, "not together"),
        ({"z": None}, "wanted the atomic numbers"),
        ({"z": torch.ones(3)}, r"z = \(3,\)"),
        ({"edge_index": None}, "pass cutoff"),
        ({"edge_index": torch.zeros(3, 2).long()}, "wanted \\(2, edges\\)"),
        ({"edge_index": torch.tensor([[0], [4]])}, "points 0 to 4 of 4"),
        ({"shifts": torch.full((2, 3), 0.5)}, "whole numbers"),
        ({"cell": torch.eye(2)}, "cell ="),
        ({"cell": torch.eye(3), "pbc": torch.ones(2)}, "pbc ="),
        ({"forces": torch.zeros(3, 3)}, "forces have shape"),
    ],
)
def test_bad_data(changes: dict, message: str) -> None:
    sound = {"pos": torch.randn(4, 3), "z": torch.ones(4).long(), "edge_index": torch.tensor([[0, 1], [1, 3]])}
    data = SimpleNamespace(**{**sound, **changes})

    def read() -> None:
        neighbours_of(data)
        from_pyg(data)

    with pytest.raises(DataError, match=message):
        read()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch_geometric.data", None)
    with pytest.raises(ImportError, match="needs PyTorch Geometric"):
        to_pyg(made_up(False))
