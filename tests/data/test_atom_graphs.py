"""Structures as samples for networks: neighbours, references, batches without padding, real frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from armillary.data.atom_graphs import AtomGraphs, atom_graph, collate_atoms, graphs_of, join_graphs, reference_energies
from armillary.data.structures import Structures
from armillary.data.trajectories import load_npz_trajectory

SIZES = (3, 1, 5, 2)


def structures(periodic: bool = False) -> Structures:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    atoms, n = sum(SIZES), len(SIZES)
    offsets = torch.tensor([0, *SIZES]).cumsum(0)
    charges = torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)]
    cells = 2.5 * torch.eye(3, dtype=torch.float64) + 0.2 * draw(n, 3, 3) if periodic else None
    wraps = torch.ones(n, 3, dtype=torch.bool) if periodic else None
    return Structures(charges, draw(atoms, 3), offsets, -100 + draw(n), draw(atoms, 3), cells, wraps)


@pytest.mark.parametrize("periodic", [False, True])
def test_samples_are_their_structures(periodic: bool) -> None:
    given, references = structures(periodic), {1: -13.5, 6: -1000.0, 8: -2000.25, 79: 4.0}
    data = AtomGraphs(given, 2.0, references)
    assert len(data) == len(SIZES)
    for k, (x, y) in enumerate(data.samples):
        own = given[k]
        alone = atom_graph(own.charges, own.positions, 2.0, own.cells[0] if own.cells is not None else None)
        for name in ("charges", "edge_index"):
            assert torch.equal(getattr(x, name), getattr(alone, name)), name
        torch.testing.assert_close(x.positions, (own.positions - own.positions.mean(0)).float(), rtol=0, atol=1e-6)
        torch.testing.assert_close(x.offsets, alone.offsets)
        r = x.positions[x.edge_index[0]] - x.positions[x.edge_index[1]] + x.offsets
        assert float(r.norm(dim=1).max().nan_to_num() if len(r) else 0) <= 2 + 1e-6
        rest = float(own.energies[0]) - sum(references[int(z)] for z in own.charges)  # type: ignore[index]
        assert float(y.energies) == pytest.approx(rest, rel=1e-6)
        assert y.sizes.tolist() == [SIZES[k]]
        torch.testing.assert_close(y.forces, own.forces.float())  # type: ignore[union-attr]
    edges = sum(x.edge_index.shape[1] for x, _ in data.samples)
    assert data.neighbours() == edges / sum(SIZES)
    assert data.force_scale() == pytest.approx(float(given.forces.square().mean().sqrt()), rel=1e-6)  # type: ignore[union-attr]
    assert (edges > 50) == periodic


def test_structures_far_away_keep_their_distances() -> None:
    given = structures()
    far = replace(given, positions=given.positions + 1e6)
    references = dict.fromkeys((1, 6, 8), 0.0)
    for (x, _), (y, _) in zip(
        AtomGraphs(given, 2.0, references).samples, AtomGraphs(far, 2.0, references), strict=True
    ):
        torch.testing.assert_close(y.positions, x.positions, rtol=0, atol=1e-6)
        assert torch.equal(y.edge_index, x.edge_index)
    one = atom_graph(far[2].charges, far[2].positions, 2.0)
    torch.testing.assert_close(one.positions, AtomGraphs(given, 2.0, references)[2][0].positions, rtol=0, atol=1e-6)


def test_energies_or_forces_alone() -> None:
    given, references = structures(), dict.fromkeys((1, 6, 8), -2.0)
    both = AtomGraphs(given, 2.0, references)
    energies, forces = (AtomGraphs(replace(given, **{k: None}), 2.0, references) for k in ("forces", "energies"))
    x, y = collate_atoms(both.samples)
    for data, missing, there in ((energies, "forces", "energies"), (forces, "energies", "forces")):
        own_x, own = collate_atoms(data.samples)
        assert torch.equal(own_x.edge_index, x.edge_index)
        assert getattr(own, missing) is None
        assert torch.equal(getattr(own, there), getattr(y, there))
        assert torch.equal(own.sizes, y.sizes)
    rest = torch.tensor([float(e) + 2 * n for e, n in zip(given.energies, SIZES, strict=True)]) / torch.tensor(SIZES)  # type: ignore[arg-type]
    assert both.energy_scale() == pytest.approx(float(rest.square().mean().sqrt()), rel=1e-6)
    with pytest.raises(ValueError, match="no forces to measure"):
        energies.force_scale()
    with pytest.raises(ValueError, match="no energies to measure"):
        forces.energy_scale()


def test_graphs_in_float64() -> None:
    given = structures(periodic=True)
    for single, double in zip(graphs_of(given, 2.0), graphs_of(given, 2.0, torch.float64), strict=True):
        assert single.positions.dtype == single.offsets.dtype == torch.float32
        assert torch.equal(single.positions, double.positions.float())
        r = double.positions[double.edge_index[0]] - double.positions[double.edge_index[1]] + double.offsets
        assert bool((r.norm(dim=1) <= 2.0).all())


def test_batches_have_no_padding() -> None:
    data = AtomGraphs(structures(), 2.0, dict.fromkeys((1, 6, 8), 0.0))
    x, y = next(iter(DataLoader(data, batch_size=4, collate_fn=collate_atoms)))
    assert x.structures == 4
    assert x.batch.bincount().tolist() == list(SIZES)
    assert (x.batch[x.edge_index[0]] == x.batch[x.edge_index[1]]).all()
    assert x.edge_index.shape[1] == sum(s.edge_index.shape[1] for s, _ in data.samples)
    assert y.sizes.tolist() == list(SIZES)
    again = join_graphs([join_graphs([data[0][0], data[1][0]]), join_graphs([data[2][0], data[3][0]])])
    assert all(torch.equal(a, b) for a, b in zip(again[:5], x[:5], strict=True))
    assert again.structures == 4


def test_references_are_the_least_squares_fit() -> None:
    given = structures()
    exact = {1: -13.6, 6: -1030.0, 8: -2042.0}
    each = torch.tensor([exact[int(z)] for z in given.charges], dtype=torch.float64)
    energies = torch.zeros(4, dtype=torch.float64).index_add(0, given.batch, each)
    made = Structures(given.charges, given.positions, given.offsets, energies)
    assert reference_energies(made) == pytest.approx(exact, rel=1e-9)
    single = made[[2, 2, 2]]  # one molecule: only its sum is known
    found = reference_energies(single)
    assert sum(found[int(z)] for z in single[0].charges) == pytest.approx(float(energies[2]), rel=1e-12)


def test_errors() -> None:
    given = structures()
    bare = Structures(given.charges, given.positions, given.offsets)
    with pytest.raises(ValueError, match="neither energies nor forces"):
        AtomGraphs(bare, 2.0, {})
    with pytest.raises(ValueError, match="wanted some with energies"):
        reference_energies(bare)
    with pytest.raises(ValueError, match=r"atomic numbers \[6, 8\], there are references of \[1\]"):
        AtomGraphs(given, 2.0, {1: 0.0})
    with pytest.raises(ValueError, match="cutoff"):
        AtomGraphs(given, -1.0, dict.fromkeys((1, 6, 8), 0.0))


@pytest.mark.data
def test_frames_of_ethanol(data_dir: Path) -> None:
    frames = load_npz_trajectory(data_dir / "molecular_dynamics.npz", "ethanol_test")[:20]
    data = AtomGraphs(frames, 5.0, reference_energies(frames))
    x, y = collate_atoms(data.samples)
    assert x.structures == 20
    assert y.forces.shape == (180, 3)
    assert float(y.energies.abs().max()) < 2
    assert float(y.energies.mean().abs()) < 1e-4
    assert data.neighbours() == pytest.approx(8, abs=0.2)
