"""SCN with messages of low degree from far neighbours, and with taps: limits, symmetry, smoothness, cost, batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import random_rotations, wigner_D_real
from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.models.forces import ConservativeForces
from armillary.models.scn import SCN
from armillary.train import from_table, to_table

NEAR: dict[str, Any] = {"nearest": 2, "far_degree": 1, "blend": 0.4}


def network(**changes: Any) -> SCN:
    torch.manual_seed(0)
    options: dict[str, Any] = {"lmax": 2, "mmax": 2, "cutoff": 4.0, "radial": 4, "features": 8, "neighbours": 4.0}
    return SCN((1, 8), 4, 2, **(options | changes)).double()


def graph(atoms: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    x = 0.8 * torch.randn(atoms, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edges = torch.tensor([(j, i) for i in range(atoms) for j in range(atoms) if i != j]).T
    return torch.tensor([8, 1, 1, 8, 1, 1])[:atoms], x, edges


def turned_error(model: SCN, sign: float = 1.0) -> float:
    charges, x, edges = graph()
    r = x[edges[0]] - x[edges[1]]
    y, worst = model.functions(charges, r, edges).detach(), 0.0
    for R in random_rotations(4, torch.Generator().manual_seed(1)):
        D = torch.block_diag(*(sign**l * wigner_D_real(l, R) for l in range(model.lmax + 1)))
        moved = model.functions(charges, sign * r @ R.T, edges).detach()
        worst = max(worst, float((moved - D @ y).norm() / y.norm()))
    return worst


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_with_enough_near_neighbours_it_is_the_full_network(message: str) -> None:
    charges, x, edges = graph()
    r = x[edges[0]] - x[edges[1]]
    full = network(message=message)(charges, r, edges)
    near = {n: network(message=message, nearest=n, far_degree=1)(charges, r, edges) for n in (5, 100, 4)}
    assert torch.equal(near[5], full)
    assert torch.equal(near[100], full)
    assert not torch.equal(near[4], full)


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_it_is_the_blend_of_two_messages_of_all_edges(message: str) -> None:
    """Which is what is compiled."""
    taps = 2 if message == "scn" else 1
    model, (charges, x, edges) = network(message=message, taps=taps, **NEAR), graph()
    r = x[edges[0]] - x[edges[1]]
    t = model.nearest(r.norm(dim=1), edges[1])  # type: ignore[misc]
    assert {0.0, 1.0} < set(t.tolist())  # both, and some between
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(model(charges, r, edges), compiled(charges, r, edges), rtol=0, atol=1e-12)


@pytest.mark.parametrize("far", [0, 1])
def test_it_commutes_with_motions_and_reflections(far: int) -> None:
    model = network(rings=24, nearest=2, far_degree=far)
    assert turned_error(model) < 1e-7
    assert turned_error(model, -1) < 1e-7


def test_taps_lessen_what_the_frame_does() -> None:
    errors = [turned_error(network(message="scn", rings=24, taps=taps)) for taps in (1, 4, 12)]
    assert errors[0] > 0.05
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 1e-4


def test_far_neighbours_cost_less() -> None:
    """Rows of features that messages see, of all edges and layers."""
    charges, x, edges = graph()
    seen: dict[str, int] = {}
    for name, options in (("full", {}), ("near", {"nearest": 2, "far_degree": 1, "blend": 1e-6})):
        model = network(**options)
        counted = [0]

        def count(_: nn.Module, inputs: tuple[Tensor, ...], counted: list[int] = counted) -> None:
            counted[0] += inputs[1].shape[0] * inputs[1].shape[1]

        for module in model.modules():
            if type(module).__name__ == "TurnedMessage":
                module.register_forward_pre_hook(count)
        model(charges, x[edges[0]] - x[edges[1]], edges)
        seen[name] = counted[0]
    assert seen == {"full": 30 * (3 + 9), "near": 12 * (3 + 9) + 18 * (2 + 4)}


def test_energies_do_not_jump_where_neighbours_change_ranks() -> None:
    charges, _, edges = graph(4)
    still = torch.tensor([[0, 0, 0], [1.0, 0.1, 0], [-0.3, 1.2, 0.4]], dtype=torch.float64)
    direction = torch.tensor([[0.2, -0.6, 0.77]], dtype=torch.float64)
    way = torch.linspace(0.6, 1.4, 81, dtype=torch.float64)
    worst = {}
    for blend in (0.4, 1e-9):
        model, values = network(nearest=1, far_degree=0, blend=blend), []
        for s in way:  # atom 3 is nearer to atom 0 than the others are, and then it is not
            moved = torch.cat([still, s * direction])
            values.append(model(charges, moved[edges[0]] - moved[edges[1]], edges).detach())
        steps = torch.cat(values).diff().abs()
        worst[blend] = float(steps.max() / steps.median())
    assert worst[0.4] < 10
    assert worst[1e-9] > 50


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_gradients_of_two_orders(message: str) -> None:
    model, (charges, x, edges) = network(message=message, mmax=1, **NEAR), graph(5)
    x.requires_grad_()

    def energy(x: Tensor) -> Tensor:
        return model(charges, x[edges[0]] - x[edges[1]], edges)

    assert torch.autograd.gradcheck(energy, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, x, fast_mode=True)


def test_batches_order_and_what_is_beyond_the_cutoff() -> None:
    model, (charges, x, edges) = ConservativeForces(network(**NEAR)), graph()
    one, two = model(charges, x, edges), model(charges[:4], x[:4], graph(4)[2])
    batch = torch.tensor([0] * 6 + [1] * 4)
    joined = torch.cat([edges, graph(4)[2] + 6], 1)
    order = torch.randperm(joined.shape[1])
    both = model(torch.cat([charges, charges[:4]]), torch.cat([x, x[:4]]), joined[:, order], None, batch, 2)
    torch.testing.assert_close(both.energies, torch.cat([one.energies, two.energies]), rtol=0, atol=1e-12)
    torch.testing.assert_close(both.forces, torch.cat([one.forces, two.forces]), rtol=0, atol=1e-12)
    stretched = 2.2 * x
    inside = (stretched[edges[0]] - stretched[edges[1]]).norm(dim=1) < 4
    assert 0 < int(inside.sum()) < 30
    every, kept = model(charges, stretched, edges), model(charges, stretched, edges[:, inside])
    torch.testing.assert_close(every.forces, kept.forces, rtol=0, atol=1e-12)


@pytest.mark.parametrize("message", ["escn", "scn"])
def test_no_neighbours_and_coincident_atoms(message: str) -> None:
    model, (charges, x, edges) = ConservativeForces(network(message=message, **NEAR)), graph()
    alone = model(charges, x, edges[:, :0])
    assert bool(alone.energies.isfinite().all())
    assert not alone.forces.any()
    found = model(charges, torch.cat([x[:1], x[:5]]), edges)
    assert bool(found.forces.isfinite().all())
    found.forces.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_every_parameter_matters() -> None:
    model, (charges, x, edges) = ConservativeForces(network(**NEAR)), graph()
    model(charges, x, edges).forces.square().sum().backward()
    quiet = [name for name, p in model.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert quiet == ["network.shift.embedding.weight", "network.energy.2.bias"]  # constants have no forces


def test_configurations_and_those_of_older_runs() -> None:
    base = AtomsConfig(elements=(8, 1), references=(0.0, 0.0), channels=4, hidden=5, lmax=2, mmax=1, radial=4)
    charges, x, edges = graph()
    changes: dict[str, Any]
    for changes in ({"nearest": 2, "far_degree": 1, "blend": 0.3}, {"name": "scn", "taps": 3}):
        config = AtomsConfig(**{**vars(base), **changes})
        assert build_atoms_model(config)(charges, x.float(), edges).forces.shape == (6, 3)
        assert from_table(AtomsConfig, to_table(config)) == config
    assert not {"nearest", "far_degree", "blend", "taps"} & set(to_table(base))  # as in runs that had no such settings
    assert from_table(AtomsConfig, to_table(base)) == base
    assert not any("far" in name for name in build_atoms_model(base).state_dict())
    for wrong in ({"nearest": 2, "far_degree": 1}, {"taps": 2}):
        with pytest.raises(ValueError, match="invariant network has no degrees"):
            AtomsConfig(name="invariant", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nearest": 2}, "far_degree = None, wanted both or neither"),
        ({"far_degree": 1}, "nearest = None and far_degree = 1"),
        ({"nearest": 0, "far_degree": 1}, "nearest"),
        ({"nearest": 2, "far_degree": 3}, "far_degree"),
        ({"nearest": 2, "far_degree": 1, "blend": 0.0}, "width = 0.0"),
        ({"taps": 2}, "got taps = 2, wanted 1"),
        ({"message": "scn", "mmax": 0, "taps": 2}, "m = 0 alone"),
        ({"message": "scn", "taps": 0}, "taps"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**changes)
