"""Ragged structures: selected, joined, batched; trajectories from npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from armillary.data import DataError, Structures, load_npz_trajectory, trajectory_names


def made_up(seed: int = 0, cells: bool = False) -> Structures:
    g = torch.Generator().manual_seed(seed)
    return Structures(
        torch.tensor([8, 1, 1, 6, 7, 29]),
        torch.randn(6, 3, generator=g, dtype=torch.float64),
        torch.tensor([0, 3, 5, 6]),
        torch.randn(3, generator=g, dtype=torch.float64),
        torch.randn(6, 3, generator=g, dtype=torch.float64),
        torch.eye(3, dtype=torch.float64).expand(3, 3, 3) * 5 if cells else None,
        torch.tensor([[True, True, False]]).expand(3, 3) if cells else None,
        torch.randn(3, 3, 3, generator=g, dtype=torch.float64) if cells else None,
        {"gap": torch.arange(3.0), "spin": torch.arange(12.0).view(6, 2)},
    )


def same(a: Structures, b: Structures) -> None:
    for name in ("charges", "positions", "offsets", "energies", "forces", "cells", "periodic", "stresses"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        assert x is None or torch.equal(x, y), name
    assert set(a.properties) == set(b.properties)
    assert all(torch.equal(a.properties[k], b.properties[k]) for k in a.properties)


@pytest.mark.parametrize("cells", [False, True])
def test_selecting_and_joining(cells: bool) -> None:
    s = made_up(cells=cells)
    assert len(s) == 3
    assert s.sizes.tolist() == [3, 2, 1]
    assert s.batch.tolist() == [0, 0, 0, 1, 1, 2]
    assert [p.tolist() for p in s.parts("charges")] == [[8, 1, 1], [6, 7], [29]]
    assert s.parts("spin")[1].tolist() == [[6, 7], [8, 9]]
    chosen = s[[2, 0]]
    assert chosen.charges.tolist() == [29, 8, 1, 1]
    assert torch.equal(chosen.forces, s.forces[[5, 0, 1, 2]])
    assert chosen.properties["gap"].tolist() == [2, 0]
    assert chosen.properties["spin"].tolist() == s.properties["spin"][[5, 0, 1, 2]].tolist()
    same(Structures.join(s[i] for i in range(3)), s)
    same(Structures.join([s[:1], s[1:]]), s)
    same(s[torch.tensor([0, 1, 2])], s)
    same(s[-1], s[2])
    same(s[np.int64(1)], s[1])
    same(s[torch.tensor(1)], s[1])
    with pytest.raises(IndexError, match="3 of 3"):
        s[3]


def test_joining_what_only_some_have() -> None:
    with_cells, without = made_up(cells=True), made_up(1)
    joined = Structures.join([without, with_cells])
    assert joined.periodic.tolist() == [[False] * 3] * 3 + [[True, True, False]] * 3
    assert joined.cells[:3].abs().max() == 0
    assert joined.stresses is None
    with pytest.raises(ValueError, match="no structures"):
        Structures.join([])


def test_batches() -> None:
    s = made_up()
    batches = list(DataLoader(s, batch_size=2, collate_fn=Structures.join))
    assert [b.batch.tolist() for b in batches] == [[0, 0, 0, 1, 1], [0]]
    same(Structures.join(batches), s)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": torch.tensor([0, 3, 3, 6])}, "an atom or more"),
        ({"offsets": torch.tensor([0, 3, 5])}, "rise from 0 to 6"),
        ({"positions": torch.zeros(5, 3).double()}, r"positions have shape \(5, 3\)"),
        ({"positions": torch.zeros(6, 3)}, "float32"),
        ({"positions": torch.full((6, 3), float("nan")).double()}, "not finite"),
        ({"energies": torch.full((3,), float("inf")).double()}, "energies hold"),
        ({"charges": torch.tensor([0, 1, 1, 1, 1, 1])}, "atomic numbers 1 to 118"),
        ({"charges": torch.ones(6)}, "int64"),
        ({"cells": torch.zeros(3, 3, 3).double()}, "come together"),
        ({"properties": {"gap": torch.zeros(4)}}, "'gap' has shape"),
    ],
)
def test_bad_structures(changes: dict, message: str) -> None:
    s = made_up()
    sound = {n: getattr(s, n) for n in ("charges", "positions", "offsets", "energies", "forces")}
    with pytest.raises(DataError, match=message):
        Structures(**{**sound, **changes})


def test_no_such_part() -> None:
    for name in ("energies", "offsets", "cells", "nonsense"):
        with pytest.raises(ValueError, match="of each atom"):
            made_up().parts(name)


def trajectory(**changes: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {
        "a_b_z": np.array([8, 1, 1], np.uint8),
        "a_b_pos": rng.normal(size=(4, 3, 3)).astype(np.float32),
        "a_b_energy": rng.normal(size=4),
        "a_b_forces": rng.normal(size=(4, 3, 3)).astype(np.float32),
    }
    return {**arrays, **changes}


def test_trajectory(tmp_path: Path) -> None:
    arrays = trajectory(other_z=np.ones(1, np.uint8))
    np.savez(tmp_path / "t.npz", **arrays)
    assert trajectory_names(tmp_path / "t.npz") == ("a_b",)
    s = load_npz_trajectory(tmp_path / "t.npz", "a_b")
    assert len(s) == 4
    assert s[2].charges.tolist() == [8, 1, 1]
    np.testing.assert_array_equal(s[2].positions, arrays["a_b_pos"][2])
    np.testing.assert_array_equal(s[3].forces, arrays["a_b_forces"][3])
    assert s.energies.tolist() == arrays["a_b_energy"].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a_b_pos": np.zeros((4, 2, 3))}, r"_pos float64 \(4, 2, 3\)"),
        ({"a_b_z": np.ones(3)}, "_z float64"),
        ({"a_b_energy": np.array(["x"] * 4)}, "_energy <U1"),
        ({"a_b_energy": np.full(4, np.nan)}, "not finite"),
        ({"a_b_forces": np.array([[[None] * 3] * 3] * 4)}, "pickled objects"),
    ],
)
def test_bad_trajectories(tmp_path: Path, changes: dict, message: str) -> None:
    np.savez(tmp_path / "t.npz", **trajectory(**changes))
    with pytest.raises(DataError, match=message):
        load_npz_trajectory(tmp_path / "t.npz", "a_b")
    with pytest.raises(DataError, match="Did you mean 'a_b'"):
        load_npz_trajectory(tmp_path / "t.npz", "a_bb")
    with pytest.raises(DataError, match="no such file"):
        load_npz_trajectory(tmp_path / "u.npz", "a_b")


@pytest.mark.data
def test_the_real_trajectories(data_dir: Path) -> None:
    path = data_dir / "molecular_dynamics.npz"
    assert trajectory_names(path)[:2] == ("bpa3_train_300K", "bpa3_mixedT")
    s = load_npz_trajectory(path, "ethanol_train")
    assert len(s) == 1000
    assert sorted(s[0].charges.tolist()) == [1] * 6 + [6, 6, 8]
    net = torch.zeros(1000, 3).double().index_add(0, s.batch, s.forces)
    assert float(net.abs().max()) < 1e-5
