"""Forces as derivatives: against differences of energies, sums, virials; twice; elements; errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.data.atom_graphs import AtomGraph, atom_graph, join_graphs
from armillary.models.forces import ConservativeForces, DirectForces, ElementEmbedding
from armillary.models.invariant import InvariantNetwork
from armillary.models.scn import SCN

ELEMENTS = (1, 6, 8)


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        InvariantNetwork(ELEMENTS, 8, 2, 3.0, radial=6),
        SCN(ELEMENTS, 4, 2, 2, 2, 3.0, radial=3, features=6),
        SCN(ELEMENTS, 4, 2, 1, 0, 3.0, radial=3, features=6, head="mean"),
    ]


def molecule(atoms: int = 5, seed: int = 0, cell: Tensor | None = None) -> AtomGraph:
    generator = torch.Generator().manual_seed(seed)
    charges = torch.tensor(ELEMENTS)[torch.randint(3, (atoms,), generator=generator)]
    positions = 1.3 * torch.randn(atoms, 3, generator=generator, dtype=torch.float64)
    graph = atom_graph(charges, positions, 3.0, cell=cell)
    return graph._replace(positions=positions, offsets=graph.offsets.double())


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("periodic", [False, True])
def test_forces_and_virials_are_derivatives(number: int, periodic: bool) -> None:
    model = ConservativeForces(networks()[number].double())
    cell = torch.tensor([[2.9, 0, 0], [0.3, 2.6, 0], [0, -0.2, 3.4]], dtype=torch.float64) if periodic else None
    graph = molecule(cell=cell)
    found = model(*graph)
    torch.testing.assert_close(found.forces.sum(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    generator = torch.Generator().manual_seed(1)
    step, push = 1e-5, torch.randn(5, 3, generator=generator, dtype=torch.float64)
    strain = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    strain = (strain + strain.T) / 2

    def energy(push: Tensor, strain: Tensor) -> float:
        F = torch.eye(3, dtype=torch.float64) + strain
        moved = graph._replace(positions=(graph.positions + push) @ F, offsets=graph.offsets @ F)
        return float(model(*moved).energies.detach())

    slope = (energy(step * push, 0 * strain) - energy(-step * push, 0 * strain)) / (2 * step)
    assert slope == pytest.approx(-float((found.forces.detach() * push).sum()), rel=1e-6, abs=1e-9)
    slope = (energy(0 * push, step * strain) - energy(0 * push, -step * strain)) / (2 * step)
    assert slope == pytest.approx(float((found.virials[0].detach() * strain).sum()), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("number", range(3))
def test_gradients_of_forces_by_weights(number: int) -> None:
    model = ConservativeForces(networks()[number].double())
    graph = molecule()
    loss = model(*graph).forces.square().sum()
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    step, generator = 1e-6, torch.Generator().manual_seed(2)
    for p, gradient in zip(parameters, gradients, strict=True):
        way = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                p += sign * step * way
            values.append(float(model(*graph).forces.detach().square().sum()))
            with torch.no_grad():
                p -= sign * step * way
        exact = 0.0 if gradient is None else float((gradient * way).sum())
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(exact, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("number", range(3))
def test_batches_of_different_molecules_are_their_molecules(number: int) -> None:
    model = ConservativeForces(networks()[number].double())
    graphs = [molecule(n, n) for n in (4, 1, 7)]
    together = model(*join_graphs(graphs))
    alone = [model(*graph) for graph in graphs]
    for name in ("energies", "forces", "virials"):
        expected = torch.cat([getattr(found, name) for found in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        quiet = model(*join_graphs(graphs))
    torch.testing.assert_close(quiet.forces, together.forces.detach(), rtol=0, atol=1e-13)
    assert not any(value.requires_grad for value in quiet)


@pytest.mark.parametrize("number", range(3))
def test_energies_are_smooth_at_the_cutoff(number: int) -> None:
    model = ConservativeForces(networks()[number].double())
    values = []
    for d in (3 - 1e-4, 3 + 1e-4):
        positions = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0.4, d, 0.0]], dtype=torch.float64)
        edges = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
        values.append(model(torch.tensor([6, 1, 8]), positions, edges).forces.detach())
    assert float((values[0] - values[1]).abs().max()) < 1e-3
    alone = model(torch.tensor([6, 1]), torch.tensor([[0.0, 0, 0], [9, 0, 0]]).double(), torch.tensor([[0, 1], [1, 0]]))
    assert float(alone.forces.detach().abs().max()) == 0


def test_elements() -> None:
    layer = ElementEmbedding((8, 1), 3)
    z = torch.tensor([1, 8, 1])
    torch.testing.assert_close(layer(z), layer.embedding.weight[[1, 0, 1]])
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(z), layer(z))
    for bad in ([6, 1], [0], [-3], [1, 200]):
        others = [number for number in bad if number != 1]
        with pytest.raises(ValueError, match=rf"atomic numbers \[{others[0]}\], this network knows \[8, 1\]"):
            layer(torch.tensor(bad))
    with pytest.raises(ValueError, match=r"charges have shape \(3,\), torch.float32"):
        layer(z.float())
    for elements in ((), (1, 1), (0,), (119,)):
        with pytest.raises(ValueError, match="element"):
            ElementEmbedding(elements, 3)


def test_errors() -> None:
    model = ConservativeForces(networks()[0])
    charges, positions, edges, offsets, batch, structures = molecule()
    with pytest.raises(ValueError, match=r"positions have shape \(4, 3\), wanted \(5, 3\)"):
        model(charges, positions[:4], edges)
    with pytest.raises(ValueError, match=r"edge_index has shape"):
        model(charges, positions, edges.T)
    with pytest.raises(ValueError, match=r"offsets have shape"):
        model(charges, positions, edges, offsets[:1])
    with pytest.raises(ValueError, match=r"batch has shape \(3,\)"):
        model(charges, positions.float(), edges, None, batch[:3])
    with torch.inference_mode(), pytest.raises(RuntimeError, match="no_grad"):
        model(charges, positions.float(), edges)
    with pytest.raises(ValueError, match="no head of forces"):
        DirectForces(networks()[1])(charges, positions.float(), edges, offsets.float(), batch, structures)
