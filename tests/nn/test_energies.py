"""Loss and metrics of energies and forces: against their formulas, over batches, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.nn.energies import EnergyForces, EnergyForcesLoss, EnergyForcesMetrics, EnergyTargets


def batch(seed: int = 0, sizes: tuple[int, ...] = (3, 1, 4)) -> tuple[EnergyForces, EnergyTargets]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    atoms = sum(sizes)
    target = EnergyTargets(draw(len(sizes)), draw(atoms, 3), torch.tensor(sizes))
    return EnergyForces(draw(len(sizes)), draw(atoms, 3)), target


def test_losses_are_their_formulas() -> None:
    p, y = batch()
    energy = [(float(p.energies[b] - y.energies[b])) / int(y.sizes[b]) for b in range(3)]
    force = [float((p.forces[i] - y.forces[i]).square().sum()) for i in range(8)]
    mae = 2 * sum(abs(e) for e in energy) / 3 + 5 * sum(f**0.5 for f in force) / 8
    mse = 2 * sum(e * e for e in energy) / 3 + 5 * sum(force) / 24
    assert float(EnergyForcesLoss(2, 5, "mae")(p, y)) == pytest.approx(mae, rel=1e-12)
    assert float(EnergyForcesLoss(2, 5, "mse")(p, y)) == pytest.approx(mse, rel=1e-12)
    assert float(EnergyForcesLoss(2, 0)(p, y)) == pytest.approx(2 * sum(abs(e) for e in energy) / 3, rel=1e-12)


@pytest.mark.parametrize("kind", ["mae", "mse"])
def test_gradients_are_finite_where_forces_are_right(kind: str) -> None:
    _, y = batch()
    forces = y.forces.clone().requires_grad_()
    loss = EnergyForcesLoss(1, 1, kind)(EnergyForces(y.energies.clone(), forces), y)  # type: ignore[arg-type]
    loss.backward()
    assert float(loss) == 0
    assert forces.grad is not None
    assert float(forces.grad.abs().max()) == 0


def test_metrics_over_batches() -> None:
    metrics, whole = EnergyForcesMetrics(), EnergyForcesMetrics()
    parts = [batch(1, (2, 3)), batch(2, (5,)), batch(3, (1, 1, 1))]
    for p, y in parts:
        metrics.update(EnergyForces(p.energies.float(), p.forces.float()), y)
        whole.update(p, y)
    energy = torch.cat([p.energies - y.energies for p, y in parts]).abs()
    sizes = torch.cat([y.sizes for _, y in parts])
    force = torch.cat([p.forces - y.forces for p, y in parts])
    found = whole.compute()
    assert found["energy_mae"] == pytest.approx(1000 * float(energy.mean()), rel=1e-12)
    assert found["energy_per_atom_mae"] == pytest.approx(1000 * float((energy / sizes).mean()), rel=1e-12)
    assert found["force_mae"] == pytest.approx(1000 * float(force.abs().mean()), rel=1e-12)
    assert found["force_rmse"] == pytest.approx(1000 * float(force.square().mean().sqrt()), rel=1e-12)
    assert metrics.compute() == pytest.approx(found, rel=1e-6)
    metrics.reset()
    assert all(v != v for v in metrics.compute().values())


def test_what_is_not_known_is_not_scored() -> None:
    p, y = batch()
    alone, forces = y._replace(forces=None), y._replace(energies=None)
    assert torch.equal(EnergyForcesLoss(2, 0)(p, alone), EnergyForcesLoss(2, 0)(p, y))
    assert torch.equal(EnergyForcesLoss(0, 3)(p, forces), EnergyForcesLoss(0, 3)(p, y))
    with pytest.raises(ValueError, match="target has no forces, which have a weight"):
        EnergyForcesLoss(1, 1)(p, alone)
    with pytest.raises(ValueError, match="target has no energies, which have a weight"):
        EnergyForcesLoss(1, 1)(p, forces)
    both = EnergyForcesMetrics()
    both.update(p, y)
    for target, names in ((alone, {"energy_mae", "energy_per_atom_mae"}), (forces, {"force_mae", "force_rmse"})):
        metrics = EnergyForcesMetrics()
        metrics.update(p, target)
        assert metrics.compute() == {name: both.compute()[name] for name in names}


def test_errors() -> None:
    p, y = batch()
    for loss in (EnergyForcesLoss(), lambda p, y: EnergyForcesMetrics().update(p, y)):
        with pytest.raises(ValueError, match=r"prediction has energies of shape \(2,\), the target of \(3,\)"):
            loss(EnergyForces(p.energies[:2], p.forces), y)
        with pytest.raises(ValueError, match=r"prediction has forces of shape \(7, 3\)"):
            loss(EnergyForces(p.energies, p.forces[:7]), y)
        with pytest.raises(ValueError, match="sizes of shape"):
            loss(p, EnergyTargets(y.energies, y.forces, y.sizes[:1]))
    with pytest.raises(ValueError, match="wanted both >= 0, one > 0"):
        EnergyForcesLoss(0, 0)
    with pytest.raises(ValueError, match="wanted both >= 0, one > 0"):
        EnergyForcesLoss(-1, 2)
    with pytest.raises(ValueError, match="wanted 'mae' or 'mse'"):
        EnergyForcesLoss(kind="huber")  # type: ignore[arg-type]
