"""Images in the plane from the command line: train, resume, check, predict, and what a user may get wrong."""

import csv
import json
import os
import shutil
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
from armillary.cli.grid import parse_grid, settled_grid
from armillary.data import DataConfig
from armillary.spaces import ImageGrid

NET = ["--model.name", "planar_unet", "--model.widths", "4", "6", "--train.batch-size", "16", "--train.lr", "0.01",
       "--train.accelerator", "cpu", "--train.epochs", "2"]  # fmt: skip
DIGITS = [*NET, "--grid", "image", "--task", "classification", "--data.augment", "so2", "--data.augment-shift", "1",
          "--data.samples-train", "64", "--data.samples-valid", "32", "--data.samples-test", "32"]  # fmt: skip


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
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
    assert armillary(["train", *DIGITS, "--data.rotated-test", "so2", "--run", str(path)]) == 0
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A user's pictures: two classes, sizes of all kinds."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("dark $x$", "light")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(100 * k, 100 * k + 100, (12 + i, 14, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / name / f"{i}.png")
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("text", "grid"),
    [("image:28", ImageGrid(28, 28)), ("image:48x64", ImageGrid(48, 64)), ("Image:7", ImageGrid(7, 7))],
)
def test_grids(text: str, grid: ImageGrid) -> None:
    assert parse_grid(text) == grid


@pytest.mark.parametrize(("text", "message"), [("image:8+poles", "has none"), ("image:0", "height = 0")])
def test_bad_grids(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


def test_grids_that_the_source_settles(tmp_path: Path) -> None:
    digits = DataConfig()
    assert settled_grid("auto", digits) == "equiangular:64"  # digits lie on the sphere unless one asks
    assert settled_grid("image", digits) == "image:8"
    assert settled_grid("gauss:9", digits) == "gauss:9"
    x, y = np.zeros((30, 20, 24), np.uint8), np.zeros(30, np.uint8)
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    mnist = DataConfig(source="rotated_mnist", path=str(tmp_path / "m.npz"))
    assert settled_grid("auto", mnist) == "image:20x24"
    assert settled_grid("image:32", mnist) == "image:32"


def test_a_run_has_everything(trained: Path) -> None:
    config = tomllib.loads((trained / "config.toml").read_text())
    assert config["grid"] == "image:8"
    assert config["data"]["augment_shift"] == 1
    result = json.loads((trained / "result.json").read_text())
    assert result["grid"] == {"type": "ImageGrid", "height": 8, "width": 8}
    assert result["samples"] == {"train": 64, "valid": 32, "test": 32}
    assert {"accuracy", "loss"} <= result["test"].keys() == result["test_upright"].keys()
    spec = json.loads((trained / "spec.json").read_text())
    assert len(spec["data"]["input_mean"]) == 1
    for name in ("curves.png", "samples.png"):
        pixels = np.asarray(Image.open(trained / name).convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 5


def test_resume_is_exact(trained: Path, tmp_path: Path) -> None:
    """Killed and continued, with augmentation, as if nothing had happened."""
    path = tmp_path / "run"
    long = [token if token != "2" else "400" for token in DIGITS]
    command = [sys.executable, "-m", "armillary", "train", *long, "--run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: (path / "metrics.csv").exists(), process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = rows(path)
    process = subprocess.Popen([*command[:4], "--resume", str(path)], stdout=subprocess.DEVNULL)
    wait_for(lambda: len(rows(path)) > len(before) + 1, process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    after = rows(path)
    count = min(len(after), 5)
    straight = tmp_path / "straight"
    process = subprocess.Popen([*command[:-1], str(straight)], stdout=subprocess.DEVNULL)
    wait_for(lambda: (straight / "metrics.csv").exists() and len(rows(straight)) >= count, process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    assert after[: len(before)] == before
    assert rows(straight)[:count] == after[:count]


def wait_for(condition: object, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 100
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_check_measures_accuracy_and_scores_against_the_angle(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert armillary(["check", str(run), "--angles", "20", "90", "180", "360", "--samples", "20"]) == 0
    assert "by interpolation" in capsys.readouterr().out
    result = json.loads((run / "check.json").read_text())
    assert (result["split"], result["samples"]) == ("test", 20)
    assert [row["angle"] for row in result["rows"]] == [0, 20, 90, 180, 360]
    assert [row["exact"] for row in result["rows"]] == [True, False, True, True, True]
    start, _, quarter, _, whole = result["rows"]
    assert start["error"] == whole["error"] == start["labels_changed"] == 0
    assert quarter["error"] > 1e-3  # an ordinary network notices
    assert Image.open(run / "check.png").size[0] > 300
    assert "--resolutions" in error_of(capsys, "check", run, "--resolutions", "2")
    assert "--samples 0" in error_of(capsys, "check", run, "--samples", "0")
    assert armillary(["check", str(run), "--samples", "3"]) == 0
    assert len(json.loads((run / "check.json").read_text())["rows"]) == 13


def test_check_sees_a_network_that_does_not_care(trained: Path, tmp_path: Path) -> None:
    """Scores that no turn changes have no error: the weights of the last layer are zero, its bias is not."""
    import safetensors.torch

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    file = run / "checkpoints" / "best" / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    last = [k for k in weights if k.endswith("weight")][-1]
    weights[last].zero_()
    safetensors.torch.save_file(weights, file)
    assert armillary(["check", str(run), "--angles", "20", "90", "--samples", "8"]) == 0
    assert all(row["error"] == 0 for row in json.loads((run / "check.json").read_text())["rows"])


def test_predict_writes_a_table_arrays_and_a_picture(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, shape in (("a", (8, 8)), ("b, $b", (30, 21)), ("c", (9, 9, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    np.savez(tmp_path / "x.npz", x=rng.random((20, 8, 8)))
    out = tmp_path / "out"
    assert armillary(["predict", str(trained), str(folder), str(tmp_path / "x.npz"), "--out", str(out)]) == 0
    with open(out / "new.prediction.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == ["a", "b, $b", "c"]
    with np.load(out / "new.prediction.npz", allow_pickle=False) as found:
        assert found["probabilities"].shape == (3, 10)
        assert found["probabilities"].sum(1) == pytest.approx(1, abs=1e-5)
        for row, k, p in zip(table, found["prediction"], found["probabilities"], strict=True):
            assert row["class"] == str(k)
            assert float(row[row["class"]]) == pytest.approx(p.max(), abs=1e-6)
        assert "lat" not in found
    assert Image.open(out / "new.prediction.png").size[0] > 300
    assert len((out / "x.prediction.csv").read_text().splitlines()) == 21
    assert "add --overwrite" in error_of(capsys, "predict", trained, folder, "--out", out)
    assert "name what to predict" in error_of(capsys, "predict", trained)


@pytest.mark.parametrize("on_bad", ["skip", "stop"])
def test_a_bad_file_is_named(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], on_bad: str) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "none").mkdir()
    np.savez(tmp_path / "three.npz", x=np.zeros((1, 8, 8, 3), np.uint8))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "good.png")
    files = [str(tmp_path / name) for name in ("bad.png", "none", "three.npz", "good.png")]
    assert armillary(["predict", str(trained), *files, "--out", str(tmp_path / "out"), "--on-bad", on_bad]) == 1
    err = capsys.readouterr().err
    assert "bad.png: the picture cannot be read" in err
    assert "Traceback" not in err
    assert ("none: no pictures" in err) == ("3 channels" in err) == (on_bad == "skip")
    written = sorted(os.listdir(tmp_path / "out")) if (tmp_path / "out").exists() else []
    assert written == ([f"good.prediction.{s}" for s in ("csv", "npz", "png")] if on_bad == "skip" else [])


def test_own_pictures_from_end_to_end(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "light" / "3.png").write_bytes((pictures / "light" / "3.png").read_bytes()[:200])
    command = ["train", *NET, "--data.source", "image_folder", "--data.path", pictures, "--run", tmp_path / "run"]
    assert "image:64" in error_of(capsys, *command)
    command += ["--grid", "image:12", "--data.augment", "c4", "--data.augment-flip"]
    assert "3.png: the picture cannot be read" in error_of(capsys, *command)
    assert not (tmp_path / "run").exists()
    assert armillary([str(token) for token in [*command, "--data.on-bad", "skip"]]) == 0
    captured = capsys.readouterr()
    assert "skipped light/3.png" in captured.out
    assert captured.err == ""
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert sum(result["samples"].values()) == 15
    run, out = str(tmp_path / "run"), tmp_path / "out"
    assert armillary(["predict", run, str(pictures / "dark $x$" / "0.png"), "--out", str(out)]) == 0
    assert (out / "0.prediction.csv").read_text().startswith("name,class,dark $x$,light\n0,")
    assert armillary(["check", run, "--angles", "90"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "image", "--task", "classification"], "--model.name planar_unet"),
        ([*NET, "--grid", "image"], "set classification"),
        ([*NET, "--grid", "image:8", "--task", "classification", "--data.augment", "so3"], "so2, c4"),
        ([*NET, "--grid", "image:8", "--data.source", "npz", "--data.path", "."], "lies on a sphere"),
        ([*NET, "--grid", "gauss:8", "--data.source", "cifar10", "--data.path", "."], "--grid image"),
        ([*NET, "--data.source", "rotated_mnist"], "data.path is not set"),
        ([*NET, "--data.source", "rotated_mnist", "--data.path", "no.npz"], "no such file"),
        ([*NET, "--data.source", "cifar10", "--data.path", "."], "data_batch_1.bin is missing"),
        ([*NET, "--data.source", "cifar10", "--task", "segmentation", "--data.path", "."], "data_batch_1.bin"),
        ([*NET, "--data.source", "cifar"], "cifar10"),
        ([*DIGITS, "--loss.dice", "1"], "dice"),
        ([*NET, "--grid", "image:big"], "image:28"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, "train", *flags, "--run", "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_grid_is_named(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    spec = json.loads((run / "spec.json").read_text())
    for grid in ({"type": "ImageGrid", "height": 8}, {"type": "ImageGrid", "height": 0, "width": 8}, {"height": 8}):
        (run / "spec.json").write_text(json.dumps({**spec, "grid": grid}))
        assert "spec.json is damaged" in error_of(capsys, "predict", run, "x.png")
