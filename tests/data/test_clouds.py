"""Clouds and the rotations of their protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.data import Clouds, DataError, DrawnClouds, load_psb, turned
from armillary.data.clouds import rotations


def made_up(n: int = 5, points: int = 12, normals: bool = False) -> Clouds:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, points, 3, generator=g)
    return Clouds(x, torch.arange(n) % 3, ("a", "b", "c"), 2 * x if normals else None)


@pytest.mark.parametrize("turns", ["x", "y", "z", "so3"])
def test_turned(turns: str) -> None:
    before = made_up(400, normals=True)
    after = turned(before, turns, 3)
    assert torch.equal(after.points, turned(before, turns, 3).points)
    assert not torch.equal(after.points, turned(before, turns, 4).points)
    torch.testing.assert_close(after.normals, 2 * after.points)
    R = torch.linalg.lstsq(before.points.double(), after.points.double()).solution.mT
    torch.testing.assert_close(R @ R.mT, torch.eye(3).double().expand_as(R), rtol=0, atol=1e-5)
    assert float(torch.linalg.det(R).min()) > 0.99
    assert float(R.mean(0).abs().fill_diagonal_(0).max()) < 0.12
    for k, axis in enumerate("xyz"):
        fixed = axis == turns
        assert (float((R[:, k, k] - 1).abs().max()) < 1e-5) == fixed
        if not fixed:
            assert abs(float(R[:, k, k].mean())) < 0.12


def test_not_turned() -> None:
    assert torch.equal(turned(made_up(), "none").points, made_up().points)
    with pytest.raises(ValueError, match="wanted one of none, x, y, z, so3"):
        rotations("so2", 1)


def test_drawn() -> None:
    clouds = made_up()
    data = DrawnClouds(clouds, 5, "so3", seed=1)
    assert len(data) == 10
    x, label = data[7]
    assert int(label) == 0
    stored = clouds.points[3, 5:10]
    torch.testing.assert_close(x @ x.T, stored @ stored.T)
    assert not torch.allclose(x, stored)
    assert torch.equal(x, data[7][0])
    assert torch.equal(x, data[-3][0])
    data.set_epoch(1)
    assert not torch.equal(x, data[7][0])
    data.set_epoch(0)
    assert torch.equal(x, data[7][0])
    assert torch.equal(DrawnClouds(clouds, 5)[7][0], stored)
    with pytest.raises(IndexError):
        data[10]
    with pytest.raises(ValueError, match="size = 13"):
        DrawnClouds(clouds, 13)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": torch.zeros(5, 3)}, r"points \(5, 3\)"),
        ({"labels": torch.zeros(4).long()}, r"labels \(4,\)"),
        ({"labels": torch.full((5,), 3)}, "among 3 classes"),
        ({"points": torch.full((5, 2, 3), float("nan"))}, "not finite"),
        ({"normals": torch.zeros(5, 2, 3)}, "normals"),
    ],
)
def test_bad_clouds(changes: dict, message: str) -> None:
    sound = {"points": made_up().points, "labels": made_up().labels, "names": ("a", "b", "c")}
    with pytest.raises(DataError, match=message):
        Clouds(**{**sound, **changes})


def psb(**changes: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {"coarse_names": np.array(["p", "q", "r"])}
    for split, labels in (("train", [1, 2, 2, 0, 2, 1]), ("test", [0, 1, 2])):
        arrays[f"coarse_{split}"] = np.array(labels, np.uint8)
        arrays[f"points_i16_{split}"] = rng.integers(-32767, 32767, (len(labels), 8, 3)).astype(np.int16)
    return {**arrays, **changes}


def test_psb(tmp_path: Path) -> None:
    arrays = psb()
    np.savez(tmp_path / "p.npz", **arrays)
    train, test = load_psb(tmp_path / "p.npz", 2, 5)
    assert train.names == ("r", "q")
    assert train.labels.tolist() == [1, 0, 0, 0, 1]
    assert test.labels.tolist() == [1, 0]
    np.testing.assert_allclose(test.points[1], arrays["points_i16_test"][2, :5] / 32767, atol=1e-7)
    for wrong, message in (((0, 5), "classes = 0"), ((4, 5), "have 3"), ((2, 0), "points = 0"), ((2, 9), "have 8")):
        with pytest.raises(DataError, match=message):
            load_psb(tmp_path / "p.npz", *wrong)
    np.savez(tmp_path / "p.npz", **psb(coarse_train=arrays["coarse_train"].astype(np.uint64)))
    assert load_psb(tmp_path / "p.npz", 2, 5)[0].labels.tolist() == train.labels.tolist()
    np.savez(tmp_path / "p.npz", **psb(points_i16_test=np.zeros((3, 8, 3))))
    with pytest.raises(DataError, match="points_i16_test is float64"):
        load_psb(tmp_path / "p.npz", 2, 5)
    np.savez(tmp_path / "p.npz", **psb(coarse_test=np.zeros(2, np.uint8)))
    with pytest.raises(DataError, match="coarse_test does not have a class"):
        load_psb(tmp_path / "p.npz", 3, 5)
    np.savez(tmp_path / "p.npz", **psb(coarse_names=np.array(["p", "q"])))
    with pytest.raises(DataError, match="coarse_train does not have a class"):
        load_psb(tmp_path / "p.npz", 3, 5)


@pytest.mark.data
def test_real_psb(data_dir: Path) -> None:
    train, test = load_psb(data_dir / "psb_pointclouds.npz", 6, 1024)
    assert train.points.shape[1:] == (1024, 3)
    assert len(train) > 100 < len(test) * 2
    assert abs(float(train.points.norm(dim=-1).amax(1).min()) - 1) < 1e-3
