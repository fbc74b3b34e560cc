"""The recipe on homogeneous spaces: it runs on files of the layout, the data turn as they should, and it judges."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from armillary.groups import random_rotation
from armillary.harmonics import wind_to_spin
from armillary.recipes import homogeneous, homogeneous_points, homogeneous_wind
from armillary.recipes.report import Row
from armillary.spaces import GaussLegendre


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Winds of a flow about an axis, stronger higher up, and clouds of two kinds, in the layout of the real files."""
    lat, lon = np.linspace(90, -90, 13), np.arange(24) * 15.0 - 180
    theta, phi = np.meshgrid(np.radians(90 - lat), np.radians(lon), indexing="ij")
    u, v = np.sin(theta) + 0.3 * np.cos(theta) * np.cos(phi), -0.3 * np.sin(phi)
    strength = np.array([3.0, 2.0, 1.0])[:, None, None]
    z = strength * (np.cos(theta) + np.sin(theta) * np.sin(2 * phi))
    arrays = {"u": strength * u, "v": strength * v, "z": z, "level_hPa": np.array([200, 500, 850])}
    np.savez(tmp_path / "reanalysis_uvz.npz", **{k: a.astype(np.float32) for k, a in arrays.items()}, lat=lat, lon=lon)
    rng, clouds = np.random.default_rng(0), {}
    for split, count in (("train", 12), ("test", 6)):
        labels = np.arange(count) % 3
        shapes = rng.normal(size=(count, 64, 3)) * (np.array([1, 1, 4]) ** (labels[:, None, None] / 2))
        shapes /= np.abs(shapes).max((1, 2), keepdims=True)
        clouds[f"points_i16_{split}"] = (shapes * 32767).astype(np.int16)
        clouds[f"coarse_{split}"] = np.array([5, 5, 2], dtype=np.uint8)[labels]
    np.savez(tmp_path / "psb_pointclouds.npz", **clouds, coarse_names=np.array(list("abcdefg")))
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    return tmp_path


def test_it_runs_and_continues(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = homogeneous.reproduce("tiny", out, seeds=1)
    assert json.loads((out / "result.json").read_text()) == result
    assert (out / "figure.png").stat().st_size > 1000
    assert len(result["checks"]) == 5
    assert len(result["rows"]) == 1 + 2 * 3 + 3 * 3
    assert homogeneous.reproduce("tiny", out, seeds=1)["rows"] == result["rows"]
    sizes = {row["name"]: row["params"] for row in result["rows"]}
    assert abs(sizes[homogeneous.SPIN] / sizes[homogeneous.SCALAR] - 1) < 0.1


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARMILLARY_DATA", raising=False)
    with pytest.raises(ValueError, match=r"reads reanalysis_uvz.npz, .* \(not set\)"):
        homogeneous.reproduce("tiny", tmp_path)
    with pytest.raises(ValueError, match="scale 'huge'"):
        homogeneous.reproduce("huge", tmp_path)


def test_winds_and_sectors(files: Path) -> None:
    grid = GaussLegendre(10)
    data = homogeneous_wind.read_winds(grid, 5)
    theta, phi = torch.broadcast_tensors(grid.colatitudes[:, None], grid.longitudes)
    u, v = theta.sin() + 0.3 * theta.cos() * phi.cos(), -0.3 * phi.sin()
    torch.testing.assert_close(data.target[0] * data.unit, 3 * wind_to_spin(u, v), rtol=0, atol=1e-5)
    scalars = homogeneous_wind.as_scalars(data.target, homogeneous_wind.SPINS_OUT)
    torch.testing.assert_close(scalars[0] * data.unit, 3 * torch.stack([u, v]), rtol=0, atol=1e-5)
    assert homogeneous_wind.scaled_wind_error(data) < 1e-5  # all levels have the same flow
    both = [homogeneous_wind.sectors(grid.points, flag) for flag in (False, True)]
    assert float((both[0] * both[1]).max()) == 0
    shares = [float(grid.integrate(part)) / (4 * math.pi) for part in both]
    assert min(shares) > 0.3
    R = random_rotation(torch.Generator().manual_seed(0))
    inputs = homogeneous_wind.as_scalars(data.rotated(R).inputs, homogeneous_wind.SPINS_IN)
    assert inputs.shape == (1, 6, *grid.shape)

    class Copy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, [1, 4]]

    for turn in (torch.eye(3, dtype=torch.float64), R):
        assert homogeneous_wind.prediction_error(Copy(), data, turn, scalars=False)[0] < 1e-5


def test_weights_follow_the_turned_sectors(files: Path) -> None:
    grid = GaussLegendre(10)
    data = homogeneous_wind.read_winds(grid, 5)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    kept, turned = (homogeneous_wind.dataset(data, [R], False)[0][1] for R in (torch.eye(3).double(), quarter))
    torch.testing.assert_close(turned, kept.roll(5, -1), rtol=0, atol=1e-6)


def test_clouds(files: Path) -> None:
    train, test = homogeneous_points.read_clouds(1, 64)
    assert train.names == test.names == ("f",)
    assert train.points.shape == (8, 64, 3)
    as_stored, turned = (homogeneous_points.judged_clouds(test, 32, turn) for turn in (False, True))
    assert torch.equal(as_stored.tensors[0], test.points[:, :32])
    torch.testing.assert_close(turned.tensors[0].norm(dim=-1), as_stored.tensors[0].norm(dim=-1))
    assert not torch.equal(turned.tensors[0], as_stored.tensors[0])


def test_it_judges() -> None:
    def rows(spin_turned: float) -> list[Row]:
        found = []
        for name in (homogeneous.SPIN, homogeneous.SCALAR, homogeneous.TURNED):
            found += [Row(name, homogeneous.AS_IS, 5.0, 0.1), Row(name, homogeneous.ROTATED, 9.0, 0.2)]
        found[1] = Row(homogeneous.SPIN, homogeneous.ROTATED, spin_turned, 0.1)
        for name in (homogeneous.STEERABLE, homogeneous.PLAIN, homogeneous.PLAIN_TURNED):
            found += [Row(name, homogeneous.ACCURACY, 60.0, 1.0), Row(name, homogeneous.ROTATED_ACCURACY, 40.0, 1.0)]
        return found

    assert [check.holds for check in homogeneous.judge(rows(5.05))] == [True, True, True, False, False]
    assert not homogeneous.judge(rows(5.3))[0].holds
