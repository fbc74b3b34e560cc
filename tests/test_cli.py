import csv
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armillary.cli import run as armillary
from armillary.cli.grid import parse_grid
from armillary.spaces import Equiangular, GaussLegendre

SMALL = ["--grid", "equiangular:12", "--model.widths", "4", "6", "--model.rings", "2", "--train.batch-size", "4",
         "--train.lr", "0.01", "--train.accelerator", "cpu", "--data.digit-size", "1.2",
         "--data.samples-train", "8", "--data.samples-valid", "3", "--data.samples-test", "2"]  # fmt: skip


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one error line of a command that must exit with code 2."""
    capsys.readouterr()
    assert armillary([str(a) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    assert armillary(["train", *SMALL, "--train.epochs", "2", "--run", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("equiangular:64", Equiangular(64)),
        ("equiangular:181x360+poles", Equiangular(181, 360, poles=True)),
        ("gauss:65x100", GaussLegendre(65, 100)),
        ("Gauss:4", GaussLegendre(4)),
    ],
)
def test_grids(text: str, grid: object) -> None:
    assert parse_grid(text) == grid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("equiangular", "wanted KIND:NLAT"),
        ("equiangular:-4", "such as equiangular:64"),
        ("healpix:8", "grid kind 'healpix'"),
        ("gauss:8+poles", r"drop \+poles"),
        ("equiangular:0", "nlat = 0"),
    ],
)
def test_bad_grids(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


def test_a_run_has_everything(trained: Path) -> None:
    config = tomllib.loads((trained / "config.toml").read_text())
    assert config["grid"] == "equiangular:12"
    assert config["model"]["widths"] == [4, 6]
    assert config["train"]["early_stop"] == "none"
    assert config["data"]["stroke_threshold"] == 0.4  # defaults are written too
    result = json.loads((trained / "result.json").read_text())
    assert result["epochs"] == len(rows(trained)) == 2
    assert 0 <= result["test"]["miou"] <= 1
    assert result["samples"] == {"train": 8, "valid": 3, "test": 2}
    for name in ("curves.png", "samples.png"):
        pixels = np.asarray(Image.open(trained / name).convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 5


def test_resume_is_exact(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    command = [sys.executable, "-m", "armillary", "train", *SMALL, "--train.epochs", "400", "--run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: (path / "metrics.csv").exists(), process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = rows(path)
    process = subprocess.Popen(
        [*command[:4], "--resume", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: len(rows(path)) > len(before) + 1, process)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "continuing" in out
    assert f"armillary train --resume {path}" in err
    assert "Traceback" not in err
    after = rows(path)
    assert after[: len(before)] == before
    straight = tmp_path / "straight"
    count = min(len(after), 6)
    # The cosine runs over all epochs, so an uninterrupted run to compare with has as many of them.
    process = subprocess.Popen([*command[:-1], str(straight)], stdout=subprocess.DEVNULL)
    wait_for(lambda: (straight / "metrics.csv").exists() and len(rows(straight)) >= count, process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    assert rows(straight)[:count] == after[:count]


def wait_for(condition: object, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 100
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_settings_from_a_file_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "grid: gauss:8\n"
        "data: {task: classification, samples_train: 4, samples_valid: 2, samples_test: 2, inputs: []}\n"
        "train: {epochs: 3, clip_grad: null, batch_size: 2, accelerator: cpu}\n"
        "model: {widths: [4, 4]}\n"
    )
    run = tmp_path / "run"
    assert armillary(["train", "--config", str(file), "--train.epochs", "1", "--run", str(run)]) == 0
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["grid"] == "gauss:8"
    assert config["train"]["epochs"] == 1  # the flag, though 3 is in the file
    assert config["train"]["clip_grad"] == "none"
    assert config["train"]["batch_size"] == 2
    assert json.loads((run / "result.json").read_text())["task"] == "classification"
    assert "accuracy" in json.loads((run / "result.json").read_text())["test"]
    # what a run wrote is a configuration file
    again = tmp_path / "again"
    assert armillary(["train", "--config", str(run / "config.toml"), "--run", str(again)]) == 0
    assert (again / "config.toml").read_text() == (run / "config.toml").read_text()
    assert rows(again) == rows(run)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[train]\nepoch = 3\n", "did you mean 'epochs'"),
        ("a.toml", "[trian]\nepochs = 3\n", "did you mean 'train'"),
        ("a.toml", "train = 3\n", r"wanted a table \[train\]"),
        ("a.toml", "[train]\nepochs = many\n", "not valid TOML"),
        ("a.toml", '[train]\nepochs = "many"\n', "epochs"),
        ("a.yaml", "train: [\n", "not valid YAML"),
        ("a.yaml", "!!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("a.ini", "", "wanted .toml"),
    ],
)
def test_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, message: str) -> None:
    import re

    (tmp_path / name).write_text(text)
    err = error_of(capsys, "train", "--config", tmp_path / name, "--run", tmp_path / "run")
    assert re.search(message, err)
    assert not (tmp_path / "run").exists()


def test_mistakes_are_one_line_and_leave_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["--run", tmp_path / "new"]
    assert "Did you mean --model.widths" in error_of(capsys, "train", "--model.width", "3", *new)
    assert "epochs = 0" in error_of(capsys, "train", "--train.epochs", "0", *new)
    assert "CUDA device" in error_of(
        capsys, "train", "--train.precision", "16-mixed", "--train.accelerator", "cpu", *new
    )
    assert "no such file" in error_of(capsys, "train", "--data.source", "npz", "--data.path", tmp_path / "no.npz", *new)
    assert "cannot be read" in error_of(capsys, "train", "--config", tmp_path / "no.toml", *new)
    assert "wanted one of: loss" in error_of(capsys, "train", *SMALL, "--train.best-metric", "iou", *new)
    assert "gradient" in error_of(capsys, "train", *SMALL, "--loss.gradient", "1", "--run", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert "--resume" in error_of(capsys, "train", *SMALL, "--run", trained)
    assert "train.lr: 0.01 in the run, 0.5 now" in error_of(capsys, "train", "--resume", trained, "--train.lr", "0.5")
    assert "not a run directory" in error_of(capsys, "train", "--resume", tmp_path)
    assert "not a run directory" in error_of(capsys, "predict", tmp_path / "gone", "x.npz")
    assert "not a run directory" in error_of(capsys, "check", tmp_path)
    assert "Available commands" in error_of(capsys, "trian")
    with pytest.raises(ValueError, match="not a run directory"):
        armillary(["check", str(tmp_path)], debug=True)


def test_more_epochs_after_the_end(trained: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "longer"
    shutil.copytree(trained, run)
    assert armillary(["train", "--resume", str(run), "--train.epochs", "3"]) == 0
    assert rows(run)[:2] == rows(trained)
    assert len(rows(run)) == 3
    assert tomllib.loads((run / "config.toml").read_text())["train"]["epochs"] == 3


def spheres(path: Path, n: int) -> Path:
    np.savez(path, x=np.random.default_rng(0).random((n, 24, 48), dtype=np.float32))
    return path


def test_predict_writes_arrays_and_pictures(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = spheres(tmp_path / "a.npz", 3), tmp_path / "out"
    assert armillary(["predict", str(trained), str(file), "--out", str(out)]) == 0
    with np.load(out / "a.prediction.npz", allow_pickle=False) as found:
        assert found["prediction"].shape == found["confidence"].shape == (3, 12, 24)
        assert list(found["class_names"][:2]) == ["background", "0"]
        assert found["lat"][0] > found["lat"][-1]
        assert found["prediction"].max() <= 10
    assert Image.open(out / "a.prediction.png").size[0] > 300
    assert "add --overwrite" in error_of(capsys, "predict", trained, file, "--out", out)
    assert armillary(["predict", str(trained), str(file), "--out", str(out), "--overwrite"]) == 0
    assert "name what to predict" in error_of(capsys, "predict", trained)


@pytest.mark.parametrize("on_bad", ["skip", "stop"])
def test_a_bad_file_is_named(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], on_bad: str) -> None:
    bad, good = tmp_path / "bad.npz", spheres(tmp_path / "good.npz", 1)
    bad.write_bytes(good.read_bytes()[:100])
    files = [str(bad), str(tmp_path / "gone.npz"), str(good)]
    assert armillary(["predict", str(trained), *files, "--out", str(tmp_path / "out"), "--on-bad", on_bad]) == 1
    err = capsys.readouterr().err
    assert "bad.npz" in err
    assert "Traceback" not in err
    written = sorted(os.listdir(tmp_path / "out")) if (tmp_path / "out").exists() else []
    assert written == (["good.prediction.npz", "good.prediction.png"] if on_bad == "skip" else [])
    assert ("gone.npz" in err) == (on_bad == "skip")


def test_files_of_one_name_do_not_overwrite_each_other(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "would both be written" in error_of(capsys, "predict", trained, tmp_path / "a.npz", tmp_path / "a.png")


def test_check_measures(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["check", str(trained), "--angles", "0", "90", "--resolutions", "1", "2", "--axes", "1"]
    assert armillary(command) == 0
    result = json.loads((trained / "check.json").read_text())
    assert [(row["nlat"], row["angle"]) for row in result["rows"]] == [(12, 0), (12, 90), (24, 0), (24, 90)]
    for row in result["rows"]:
        if row["angle"] == 90:
            assert 1e-6 < row["error"] < 2
        else:  # the identity, up to what truncation to the band limit takes from the output
            assert row["error"] < 0.5 * result["rows"][1]["error"] + 1e-4
    assert Image.open(trained / "check.png").size[0] > 300
    assert "--resolutions" in error_of(capsys, "check", trained, "--resolutions", "0")
    assert "coarsest grid" in error_of(capsys, "check", trained, "--lmax", "30")


def test_systems_and_reproduce(capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary(["systems"]) == 0
    assert "disco" in capsys.readouterr().out
    assert "did you mean 'disco'" in error_of(capsys, "reproduce", "disko")
    assert "does not work yet" in error_of(capsys, "reproduce", "icosahedral")
    assert "--seeds 0" in error_of(capsys, "reproduce", "disco", "--seeds", "0")


@pytest.mark.parametrize("command", ["train", "predict", "check", "reproduce", "systems"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"armillary {command}" in out.split("Examples")[1]


def test_a_damaged_run_is_named(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    for name, damage in [("spec.json", "{}"), ("config.toml", "[model]\nwidths = [9]\n"), ("spec.json", "not json")]:
        run = tmp_path / f"{name}{len(damage)}"
        shutil.copytree(trained, run)
        (run / name).write_text(damage)
        err = error_of(capsys, "predict", run, tmp_path / "x.npz")
        assert str(run) in err


def test_a_loss_that_is_not_finite_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [token for token in SMALL if token not in ("--train.lr", "0.01")]
    command = ["train", *small, "--train.lr", "1e30", "--train.warmup", "0", "--run", str(tmp_path / "run")]
    assert armillary(command) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: the ")
    assert "not finite at epoch" in err
