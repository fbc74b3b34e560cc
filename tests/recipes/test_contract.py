"""What every recipe has in common: wrong scales and seeds, data that are not there, trainings of other settings."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from armillary.data import DataError
from armillary.recipes import SYSTEMS
from armillary.recipes.files import data_file, read_arrays, required_file

RECIPES = [system.name for system in SYSTEMS if system.works]


@pytest.mark.parametrize("name", RECIPES)
def test_wrong_scale_and_seeds(name: str, tmp_path: Path) -> None:
    recipe = importlib.import_module(f"armillary.recipes.{name}")
    assert list(recipe.SCALES) == ["tiny", "small", "paper"]
    with pytest.raises(ValueError, match="got scale 'huge', wanted one of tiny, small, paper"):
        recipe.reproduce("huge", tmp_path, 1)
    for seeds in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"got seeds = .*, wanted an integer >= 1"):
            recipe.reproduce("tiny", tmp_path, seeds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "file"),
    [("needlets", "qm7.npz"), ("homogeneous", "reanalysis_uvz.npz"), ("gcnn", "cifar10_jpeg_subset.npz")],
)
def test_data_that_are_not_there(name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = importlib.import_module(f"armillary.recipes.{name}")
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=rf"this recipe reads {file}, and there is none .*{tmp_path.name}\): set it"):
        recipe.reproduce("tiny", tmp_path / "out", 1)
    monkeypatch.delenv("ARMILLARY_DATA")
    with pytest.raises(ValueError, match=rf"this recipe reads {file}, and there is none .*not set"):
        recipe.reproduce("tiny", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_files_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMILLARY_DATA", str(tmp_path))
    assert data_file("a.npz") is None
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2))
    assert data_file("a.npz") == required_file("a.npz") == tmp_path / "a.npz"
    assert read_arrays("a.npz", ["x"])["x"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="'z'"):
        read_arrays("a.npz", ["x", "z"])
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        read_arrays("a.npz", ["x"])
