"""Bodies against a direct simulation, step by step, body by body; splits, caches and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import DataError, charged_systems, gravity_systems
from armillary.data.draws import keyed_generator

SMALL = {"steps": 40, "every": 10, "frames": None}


def pair_force(x: np.ndarray, c: np.ndarray, coupling: float, softening: float) -> np.ndarray:
    F = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                r = x[i] - x[j]
                F[i] += coupling * c[i] * c[j] * r / (r @ r + softening**2) ** 1.5
    return F


def test_charged_by_direct_steps() -> None:
    got = charged_systems(3, 7, bodies=5, **SMALL)
    assert got.positions.shape == got.velocities.shape == got.forces.shape == (3, 3, 5, 3)
    assert set(got.charges.flatten().tolist()) == {-1.0, 1.0}
    for s in range(3):
        generator = keyed_generator("nbody-charged", 7, s)
        x, v = generator.standard_normal((5, 3)), generator.standard_normal((5, 3))
        v *= 0.5 / np.linalg.norm(v, axis=1, keepdims=True)
        q = got.charges[s].numpy()
        saved = []
        for step in range(1, 31):
            v = v + 0.001 * np.clip(pair_force(x, q, 1.0, 0.0), -100, 100)
            x = x + 0.001 * v
            if step % 10 == 0:
                saved.append((x, v, np.clip(pair_force(x, q, 1.0, 0.0), -100, 100)))
        for k, (x, v, F) in enumerate(saved):
            np.testing.assert_allclose(got.positions[s, k], x, rtol=0, atol=1e-12)
            np.testing.assert_allclose(got.velocities[s, k], v, rtol=0, atol=1e-12)
            np.testing.assert_allclose(got.forces[s, k], F, rtol=0, atol=1e-9)


def test_gravity_by_direct_steps() -> None:
    got = gravity_systems(2, 3, bodies=7, **SMALL)
    assert got.positions.shape == (2, 4, 7, 3)
    assert float(got.velocities.mean(2).abs().max()) < 1e-14, "momentum is kept"
    for s in range(2):
        x, v = keyed_generator("nbody-gravity", 3, s).standard_normal((2, 7, 3))
        v = v - v.mean(0)
        m = np.ones(7)
        for step in range(31):
            if step % 10 == 0:
                np.testing.assert_allclose(got.positions[s, step // 10], x, rtol=0, atol=1e-12)
                np.testing.assert_allclose(got.velocities[s, step // 10], v, rtol=0, atol=1e-12)
                np.testing.assert_allclose(got.forces[s, step // 10], pair_force(x, m, -1.0, 0.1), rtol=0, atol=1e-10)
            v = v + 0.0005 * pair_force(x, m, -1.0, 0.1)
            x = x + 0.001 * v
            v = v + 0.0005 * pair_force(x, m, -1.0, 0.1)


def test_clipping() -> None:
    """Bodies that come close feel no more than 100 in a component, which the published scheme needs."""
    got = charged_systems(200, bodies=12, steps=300, every=10, frames=None)
    assert float(got.forces.abs().max()) == 100.0


def test_statistics() -> None:
    got = charged_systems(400, bodies=40, steps=2, every=1, frames=[0])
    assert abs(float(got.positions.std()) - 2.0) < 0.03  # (40 / 5)^(1/3)
    assert abs(float(got.velocities.norm(dim=-1).median()) - 0.5) < 0.02
    assert abs(float(got.charges.mean())) < 0.03


def test_systems_do_not_depend_on_their_number() -> None:
    few, many = charged_systems(3, 1, **SMALL), charged_systems(120, 1, **SMALL)
    assert torch.equal(few.positions, many.positions[:3])
    assert not torch.equal(few.positions, charged_systems(3, 2, **SMALL).positions)
    chosen = charged_systems(3, 1, steps=40, every=10, frames=(0, 2))
    assert torch.equal(chosen.velocities, few.velocities[:, [0, 2]])
    train, valid, test = many.split((100, 15, 5))
    assert (len(train), len(valid), len(test)) == (100, 15, 5)
    assert torch.equal(test.forces, many.forces[115:])
    with pytest.raises(ValueError, match="make 121 or more"):
        many.split((100, 15, 6))


def test_cache(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    made = charged_systems(5, cache=path, **SMALL)
    assert list(tmp_path.iterdir()) == [path]
    before = path.read_bytes()
    for count in (5, 2):
        read = charged_systems(count, cache=path, **SMALL)
        assert all(torch.equal(getattr(read, n), getattr(made, n)[:count]) for n in ("charges", "velocities", "forces"))
    assert path.read_bytes() == before
    for call in (
        lambda: charged_systems(6, cache=path, **SMALL),
        lambda: charged_systems(5, 1, cache=path, **SMALL),
        lambda: charged_systems(5, cache=path, steps=40, every=10, frames=(0, 1)),
        lambda: gravity_systems(5, cache=path, bodies=5, **SMALL),
    ):
        with pytest.raises(DataError, match="name another cache"):
            call()
    path.write_bytes(before[: len(before) // 2])
    with pytest.raises(DataError, match="is it complete"):
        charged_systems(5, cache=path, **SMALL)
    np.savez(path, law="charged", key=np.array([0, 5, 40, 10, 0, 1, 2]), **dict.fromkeys(
        ("charges", "positions", "velocities", "forces"), np.zeros((5, 5))
    ))  # fmt: skip
    with pytest.raises(DataError, match="not those of 5 systems"):
        charged_systems(5, cache=path, **SMALL)


def test_a_cache_in_no_folder_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        charged_systems(10**9, cache=tmp_path / "none" / "c.npz")


def test_a_cache_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        charged_systems(2, cache=tmp_path / "c.npz", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count = 0"),
        ({"bodies": 0}, "bodies = 0"),
        ({"steps": 45}, "multiple of every = 10"),
        ({"frames": (3,)}, r"wanted integers in 0\.\.2"),
        ({"frames": (2, 1)}, "ascending"),
        ({"frames": ()}, "one or more"),
    ],
)
def test_bad_numbers(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        charged_systems(**{"count": 2, **SMALL, **changes})
