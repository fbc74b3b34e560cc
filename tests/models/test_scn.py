"""Spherical channel networks: symmetries and by how much they hold, heads, compile, learning, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import random_rotations, wigner_D_real
from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.models.forces import ConservativeForces, DirectForces
from armillary.models.invariant import InvariantNetwork
from armillary.models.scn import SCN
from armillary.testing import GroupAction, check_layer


def network(**changes: Any) -> SCN:
    torch.manual_seed(0)
    options: dict[str, Any] = {"lmax": 2, "mmax": 2, "cutoff": 4.0, "radial": 4, "features": 8, "neighbours": 4.0}
    return SCN((1, 8), 4, 2, **(options | changes)).double()


def graph(atoms: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(atoms, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edges = torch.tensor([(j, i) for i in range(atoms) for j in range(atoms) if i != j]).T
    return torch.tensor([8, 1, 1, 8, 1])[:atoms], x, edges


def turned_error(model: SCN, sign: float = 1.0, coincident: bool = False) -> float:
    """The worst relative error of the functions on atoms under rotations (times the inversion)."""
    charges, x, edges = graph()
    if coincident:
        x[1] = x[0]
    r = x[edges[0]] - x[edges[1]]
    y, worst = model.functions(charges, r, edges).detach(), 0.0
    for R in random_rotations(6, torch.Generator().manual_seed(1)):
        D = torch.block_diag(*(sign**l * wigner_D_real(l, R) for l in range(model.lmax + 1)))
        moved = model.functions(charges, sign * r @ R.T, edges).detach()
        worst = max(worst, float((moved - D @ y).norm() / y.norm()))
    return worst


@pytest.mark.parametrize(("lmax", "mmax"), [(1, 0), (2, 1), (3, 3)])
def test_messages_of_escn_commute_with_motions_and_reflections_up_to_the_grid(lmax: int, mmax: int) -> None:
    errors = [turned_error(network(lmax=lmax, mmax=mmax, rings=rings)) for rings in (2 * lmax + 2, 24)]
    assert 10 * errors[1] < errors[0] < 0.1
    assert errors[1] < 1e-7
    assert turned_error(network(lmax=lmax, mmax=mmax, rings=24), -1) < 1e-7
    if mmax:
        full = network(lmax=lmax, mmax=mmax, rings=24, reflections=False)
        assert turned_error(full) < 1e-7
        assert turned_error(full, -1) > 1e-5


def test_coincident_atoms_have_no_direction_to_tell() -> None:
    assert turned_error(network(rings=24), coincident=True) < 1e-7


def test_directions_of_the_heads_grow_with_the_degree() -> None:
    assert [len(network(lmax=l, mmax=0).directions) for l in (2, 3, 6)] == [128, 128, 392]


def test_messages_of_scn_follow_the_frame() -> None:
    assert turned_error(network(message="scn", rings=24)) > 0.05
    assert turned_error(network(message="scn", mmax=0, rings=24)) < 1e-7  # no order, no frame


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_the_same_input_gives_the_same_output(message: str) -> None:
    model, (charges, x, edges) = network(message=message), graph()
    r = x[edges[0]] - x[edges[1]]
    energy = model(charges, r, edges)
    assert torch.equal(model(charges, r, edges), energy)
    shuffled, order = torch.randperm(edges.shape[1]), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(model(charges, r[shuffled], edges[:, shuffled]), energy, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(charges[order], r, order.argsort()[edges]), energy, rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["directions", "mean"])
def test_energies_and_direct_forces_turn_as_they_should(head: str) -> None:
    model = DirectForces(network(head=head, forces=True, rings=24, lmax=1, mmax=1))
    charges, x, edges = graph()
    found = model(charges, x, edges)
    assert found.virials is None
    assert float(found.forces.detach().norm()) > 1e-2
    for R in random_rotations(3, torch.Generator().manual_seed(2)):
        moved = model(charges, x @ R.T, edges)
        torch.testing.assert_close(moved.energies, found.energies, rtol=0, atol=1e-6)
        torch.testing.assert_close(moved.forces, found.forces @ R.T, rtol=0, atol=1e-6)
    energy = model.network(charges, x[edges[0]] - x[edges[1]], edges)
    torch.testing.assert_close(energy, found.energies, rtol=0, atol=1e-12)


def test_the_frame_of_an_edge_may_switch_without_a_jump() -> None:
    """Edges in the xy-plane are where charts of frames meet: the energy of eSCN is smooth there, that of SCN jumps,
    and less so with taps."""
    jumps = {}
    for message, taps in (("escn", 1), ("scn", 1), ("scn", 8)):
        model, (charges, x, edges) = network(message=message, taps=taps), graph(3)
        values = []
        for z in (-1e-9, 1e-9):
            x[:, 2] = torch.tensor([0.0, z, 0.7])
            values.append(float(model(charges, x[edges[0]] - x[edges[1]], edges).detach()))
        jumps[message, taps] = abs(values[1] - values[0])
    assert jumps["escn", 1] < 1e-8
    assert jumps["scn", 1] > 1e-4
    assert jumps["scn", 8] < 1e-3 * jumps["scn", 1]


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_compile_dtypes_and_state(message: str) -> None:
    small = {"message": message, "forces": True, "lmax": 1, "mmax": 1}
    model, (charges, x, edges) = network(**small), graph()
    r = x[edges[0]] - x[edges[1]]
    energy = model(charges, r, edges)
    compiled = torch.compile(model, fullgraph=True, backend="eager")  # layers are traced further in their own tests
    torch.testing.assert_close(compiled(charges, r, edges), energy)
    assert sum(v.numel() for v in model.state_dict().values()) == sum(p.numel() for p in model.parameters())
    single = network(**small).float()
    torch.testing.assert_close(single(charges, r.float(), edges), energy.float(), rtol=1e-3, atol=1e-4)
    assert "head='directions'" in repr(model)


def test_a_network_learns_the_forces_of_pairs() -> None:
    torch.manual_seed(0)
    model = ConservativeForces(network(lmax=1, mmax=1))
    charges, still, edges = graph(4)
    draws = torch.Generator().manual_seed(3)
    optimizer, errors = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(60):
        x = still + 0.2 * torch.randn(4, 3, generator=draws, dtype=torch.float64)
        r = x[edges[0]] - x[edges[1]]
        d = r.norm(dim=1, keepdim=True)
        forces = torch.zeros_like(x).index_add(0, edges[1], (d - 1.5) * r / d)
        loss = (model(charges, x, edges).forces - forces).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert sum(errors[-10:]) < 0.2 * sum(errors[:10])


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_every_parameter_matters(message: str) -> None:
    """Also the first layer's, which hears scalars alone."""
    model, (charges, x, edges) = ConservativeForces(network(message=message)), graph()
    model(charges, x, edges).forces.square().sum().backward()
    quiet = [name for name, p in model.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert quiet == ["network.shift.embedding.weight", "network.energy.2.bias"]  # constants have no forces


def test_configurations() -> None:
    charges, x, edges = graph()
    base = AtomsConfig(elements=(8, 1), references=(0.0, 0.0), channels=4, hidden=5, lmax=1, mmax=1, radial=4)
    for changes in ({}, {"name": "scn"}, {"name": "invariant", "radial": 8}, {"forces": "direct"}, {"head": "mean"}):
        model = build_atoms_model(AtomsConfig(**{**vars(base), **changes}))  # type: ignore[arg-type]
        assert model(charges, x.float(), edges).forces.shape == (5, 3)
    assert base.reference_table() == {8: 0.0, 1: 0.0}
    with pytest.raises(ValueError, match="1 references of 2 elements"):
        AtomsConfig(elements=(1, 8), references=(0.0,))
    with pytest.raises(ValueError, match="no directions for direct forces"):
        AtomsConfig(name="invariant", forces="direct")


def test_errors() -> None:
    for changes, message in (
        ({"message": "tfn"}, "got message = 'tfn'"),
        ({"head": "max"}, "head = 'max'"),
        ({"scale": 0.0}, "scale = 0"),
        ({"mmax": 3}, "at most 2"),
        ({"rings": 2}, "rings"),
    ):
        with pytest.raises(ValueError, match=message):
            network(**changes)
    charges, x, edges = graph()
    with pytest.raises(ValueError, match="no head of forces"):
        network().energies_and_forces(charges, x[edges[0]] - x[edges[1]], edges)


class Clouds(nn.Module):
    """Energies of molecules of the same five atoms: positions (B, 5, 3) → (B,)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        charges, _, edges = graph()
        if x.shape[1:] != (5, 3):
            raise ValueError(f"x has shape {tuple(x.shape)}, wanted (B, 5, 3).")
        B = len(x)
        every = (edges[:, None] + 5 * torch.arange(B)[:, None]).flatten(1)
        flat, batch = x.flatten(0, 1), torch.arange(B).repeat_interleave(5)
        return self.network(charges.repeat(B), flat[every[0]] - flat[every[1]], every, batch, B)


@pytest.mark.parametrize("kind", ["escn", "nearest", "invariant"])
def test_the_layer_contract(kind: str) -> None:
    torch.manual_seed(0)
    near: dict[str, Any] = {"nearest": 2, "far_degree": 1} if kind == "nearest" else {}
    model = InvariantNetwork((1, 8), 4, 2, 4.0, radial=5) if kind == "invariant" else network(rings=24, **near)
    turns = [sign * R for R in random_rotations(2, torch.Generator().manual_seed(0)) for sign in (1, -1)]
    motions = GroupAction((5, 3), turns, lambda g, x: x @ g.T + 2.0)
    check_layer(Clouds(model), motions, tolerance=1e-7, compile=False)
