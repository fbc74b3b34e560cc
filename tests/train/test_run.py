import errno
import json
import os
from pathlib import Path

import pytest
import torch

from armillary.train import Checkpoint, Run, RunError, SaveError, files

CONFIG = {"grid": "equiangular:8", "train": {"lr": 0.1, "epochs": 2, "workers": 0}, "model": {"widths": [1, 2]}}


def checkpoint(value: float) -> Checkpoint:
    weights = torch.full((3, 2), value)
    return Checkpoint({"a": weights, "tied": weights, "n": torch.tensor(3)}, {"epoch": 1, "m": torch.full((2,), value)})


def test_a_run_opens_as_it_was_made(tmp_path: Path) -> None:
    Run.create(tmp_path / "x" / "run", CONFIG)
    assert Run.open(tmp_path / "x" / "run").config == CONFIG


def test_a_used_directory_is_refused(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", CONFIG)
    with pytest.raises(RunError, match="--resume"):
        Run.create(tmp_path / "run", CONFIG)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not empty"):
        Run.create(tmp_path / "other", CONFIG)
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "other" / "thesis.tex", CONFIG)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"holds no config\.toml"):
        Run.open(tmp_path)
    (tmp_path / "config.toml").write_text("= 3")
    with pytest.raises(RunError, match="cannot be read"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="no checkpoint 'best'"):
        Run(tmp_path, {}).load_weights("best")


def test_checkpoints_hold_safetensors_and_json_only(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    run.save_checkpoint("last", checkpoint(1.0))
    folder = run.checkpoint_path("last")
    assert sorted(os.listdir(folder)) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert json.loads((folder / "state.json").read_text())["format"] == 1
    loaded = run.load_checkpoint("last")
    assert loaded.training["epoch"] == 1
    assert torch.equal(loaded.training["m"], torch.full((2,), 1.0))
    assert all(torch.equal(v, loaded.model[k]) for k, v in checkpoint(1.0).model.items())


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str, damage: str) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    run.save_checkpoint("last", checkpoint(1.0))
    file = run.checkpoint_path("last") / name
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        file.unlink()
    with pytest.raises(RunError, match="checkpoint"):
        run.load_checkpoint("last")


@pytest.mark.parametrize("failing", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    run.save_checkpoint("last", checkpoint(1.0))
    write = files._write_synced

    def full(path: Path, content: bytes) -> None:
        if path.name == failing:
            path.write_bytes(content[:7])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(files, "_write_synced", full)
    with pytest.raises(SaveError, match="the disk is full"):
        run.save_checkpoint("last", checkpoint(2.0))
    assert torch.equal(run.load_checkpoint("last").model["a"], torch.full((3, 2), 1.0))
    assert os.listdir(run.path / "checkpoints") == ["last"]


def test_resuming_with_other_settings_lists_them(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    run.update_config({**CONFIG, "train": {"lr": 0.1, "epochs": 9, "workers": 3}})
    assert Run.open(run.path).config["train"]["epochs"] == 9
    other = {**CONFIG, "grid": "gauss:8", "train": {"lr": 0.2, "epochs": 9, "workers": 3}}
    with pytest.raises(RunError, match=r"grid: 'equiangular:8' in the run, 'gauss:8' now; train.lr: 0.1 .* 0.2 now"):
        run.check_resumable(other)


def test_metrics_keep_columns_that_come_later(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG)
    assert run.read_metrics() == []
    rows = [{"epoch": 1, "a": 0.1 + 0.2}, {"epoch": 2, "a": 1e-300, "b": 3.0}]
    run.write_metrics(rows)
    assert run.read_metrics() == rows
