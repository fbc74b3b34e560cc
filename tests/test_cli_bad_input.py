"""Data a user may bring by mistake: one line that names it, an exit code, and nothing left behind."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armillary.cli import run as armillary
from armillary.train import files

SMALL = ["--grid", "equiangular:12", "--model.widths", "3", "--model.rings", "2", "--train.epochs", "1",
         "--train.batch-size", "2", "--train.accelerator", "cpu", "--data.class-names", "low", "high"]  # fmt: skip
NPZ = [*SMALL, "--data.source", "npz", "--data.inputs", "x", "--data.targets", "y"]
FOLDER = [*SMALL, "--data.source", "folder"]


def maps(n: int = 6, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).random((n, channels, 18, 36), dtype=np.float32)
    return x, (x[:, 0] > 0.5).astype(np.uint8)


def write_folder(path: Path) -> Path:
    x, y = maps(channels=3)
    for name in ("images", "labels"):
        (path / name).mkdir(parents=True)
    for i in range(len(x)):
        Image.fromarray((255 * x[i].transpose(1, 2, 0)).astype(np.uint8)).save(path / "images" / f"{i}.png")
        Image.fromarray(y[i]).save(path / "labels" / f"{i}.png")
    return path


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    capsys.readouterr()
    assert armillary([str(a) for a in arguments]) == code
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npz")
    x, y = maps()
    np.savez(folder / "good.npz", x=x, y=y)
    assert armillary(["train", *NPZ, "--data.path", str(folder / "good.npz"), "--run", str(folder / "run")]) == 0
    return folder / "run"


def nan_somewhere(sample: int) -> dict[str, np.ndarray]:
    x, y = maps()
    x[sample, 1, 2, 3] = np.nan
    return {"x": x, "y": y}


def strange_label(sample: int) -> dict[str, np.ndarray]:
    x, y = maps()
    y[sample, 4, 5] = 9
    return {"x": x, "y": y}


@pytest.mark.parametrize("sample", range(6))  # of any split: train, valid and test are looked at before training
@pytest.mark.parametrize(
    ("make", "messages"),
    [(nan_somewhere, ["x[1] has 1 NaN", "nan_inputs"]), (strange_label, ["labels [9]", "2 classes"])],
)
def test_values_are_looked_at_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, messages: list[str], sample: int
) -> None:
    np.savez(tmp_path / "a.npz", **make(sample))  # type: ignore[operator]
    err = fails(capsys, 2, "train", *NPZ, "--data.path", tmp_path / "a.npz", "--run", tmp_path / "run")
    assert all(message in err for message in messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": maps()[0]}, "unknown array 'y'"),
        ({"x": maps()[0], "y": maps()[1][:4]}, "different numbers of samples"),
        ({"x": maps()[0][:0], "y": maps()[1][:0]}, "holds no samples"),
        ({"x": maps()[0][..., :18], "y": maps()[1]}, "no pair of axes looks like a map"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in fails(capsys, 2, "train", *NPZ, "--data.path", tmp_path / "a.npz", "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_names_and_sizes_that_do_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = maps()
    np.savez(tmp_path / "a.npz", x=x, y=y)
    command = ["train", *NPZ, "--data.path", tmp_path / "a.npz", "--run", tmp_path / "run"]
    assert "unknown array 'wind'" in fails(capsys, 2, *command, "--data.inputs", "wind")
    assert "--data.inputs" in fails(capsys, 2, *command, "--data.input", "x")
    assert "rings" in fails(capsys, 2, *command, "--model.rings", "6")
    assert not (tmp_path / "run").exists()


def test_a_truncated_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "data")
    picture = data / "images" / "2.png"
    picture.write_bytes(picture.read_bytes()[:700])
    command = ["train", *FOLDER, "--data.path", data, "--run", tmp_path / "run"]
    assert "2.png: the picture cannot be read" in fails(capsys, 2, *command)
    assert not (tmp_path / "run").exists()
    assert armillary([str(a) for a in command] + ["--data.on-bad", "skip"]) == 0
    captured = capsys.readouterr()
    assert "skipped 2" in captured.out
    assert captured.err == ""


def test_a_missing_label_and_one_of_another_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "data")
    command = ["train", *FOLDER, "--data.path", data, "--run", tmp_path / "run"]
    label = data / "labels" / "3.png"
    label.unlink()
    assert "no target of that name" in fails(capsys, 2, *command)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(label)
    assert "3.png: has shape (20, 20)" in fails(capsys, 2, *command)
    assert not (tmp_path / "run").exists()


def test_predict_reads_other_sizes_and_names_what_it_cannot_use(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    x = np.random.default_rng(4).random((2, 2, 31, 62), dtype=np.float32)
    bad = {"channels": x[:, :1], "empty": x[:0], "square": x[..., :31], "nan": np.where(x > 0.99, np.nan, x)}
    wanted = {"channels": "trained with 2", "empty": "no samples", "square": "like a map", "nan": "NaN"}
    for name, values in bad.items():
        np.savez(tmp_path / f"{name}.npz", x=values)
        err = fails(capsys, 1, "predict", trained, tmp_path / f"{name}.npz", "--out", out)
        assert wanted[name] in err
        assert err.splitlines()[0].count(f"{name}.npz") == 1
    assert not out.exists()
    np.savez(tmp_path / "other.npz", x=x)
    assert armillary(["predict", str(trained), str(tmp_path / "other.npz"), "--out", str(out)]) == 0
    with np.load(out / "other.prediction.npz") as found:
        assert found["prediction"].shape == (2, 12, 24)


def test_a_full_disk_while_predicting(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", x=maps(1)[0])

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_write_synced", full)
    err = fails(capsys, 1, "predict", trained, tmp_path / "a.npz", "--out", tmp_path / "out")
    assert "the disk is full" in err
    assert list((tmp_path / "out").iterdir()) == []
