"""``armillary bench``: files, interruption, bad input."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from armillary.bench import peer, turns
from armillary.bench.cases import DiscoCase, PlanarCase
from armillary.bench.gcnn_cases import STOCK, UNFOLDED, GroupNetCase
from armillary.bench.suites import SUITES
from armillary.bench.turns import OURS
from armillary.cli import run as armillary
from armillary.cli.app import app

TINY = DiscoCase(8, 8, channels=2)


@pytest.fixture(autouse=True)
def somewhere_without_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for one in peer.PEERS:
        monkeypatch.delenv(one.variable, raising=False)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two suites of small cases."""
    layers = (TINY, DiscoCase(8, 4, channels=2))
    monkeypatch.setitem(SUITES, "layers", dataclasses.replace(SUITES["layers"], quick=layers))
    monkeypatch.setitem(SUITES, "conv2d", dataclasses.replace(SUITES["conv2d"], quick=(PlanarCase(TINY, 3),)))


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert armillary([str(a) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.usefixtures("tiny")
def test_without_a_peer_ours_is_measured_and_the_way_to_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary(["bench", "layers", "--rounds", "2", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "--make-peer DIR" in said.err.splitlines()[0]
    assert "| armillary |" in said.out
    folder = Path("results/bench/layers")
    assert sorted(path.name for path in folder.iterdir()) == ["layers.json", "layers.md", "layers.png"]
    written = json.loads((folder / "layers.json").read_text())
    assert (written["complete"], written["rounds"], written["threads"], written["peer"]) == (True, 2, 1, None)
    assert len(written["cases"]) == 2
    assert len(written["cases"][0]["results"]["armillary"]["both"]["times_s"]) == 2


def test_networks_alone_and_the_way_to_escnn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = tuple(GroupNetCase(4, False, 8, 1, folded, (2, 2, 2)) for folded in (False, True))
    monkeypatch.setitem(SUITES, "gcnn", dataclasses.replace(SUITES["gcnn"], quick=cases, builds=1))
    assert armillary(["bench", "gcnn", "--rounds", "2", "--threads", "1", "--out", "here"]) == 0
    said = capsys.readouterr()
    assert "without escnn: armillary bench gcnn --make-peer DIR" in said.err.splitlines()[0]
    written = json.loads(Path("here/gcnn.json").read_text())
    assert [list(entry["results"]) for entry in written["cases"]] == [[OURS], [OURS, UNFOLDED, STOCK]]
    assert written["summary"]["folded_difference"] <= 1e-5


@pytest.mark.usefixtures("tiny")
def test_conv2d_asks_for_no_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary(["bench", "conv2d", "--rounds", "2", "--threads", "1", "--no-peer", "--out", "here"]) == 0
    said = capsys.readouterr()
    assert "--make-peer" not in said.err
    assert "conv2d 3×3, circular" in (Path("here") / "conv2d.md").read_text()


@pytest.mark.usefixtures("tiny")
def test_interruption_keeps_what_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = turns.measure, []

    def stopped(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            assert json.loads(Path("out/layers.json").read_text())["complete"] is False  # on disk before the next case
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(turns, "measure", stopped)
    command = ["bench", "layers", "--rounds", "2", "--threads", "1", "--no-peer", "--out", "out"]
    assert armillary(command) == 130
    assert "interrupted: 1 of 2 cases of layers were measured and are in out." in capsys.readouterr().err
    assert sorted(path.name for path in Path("out").iterdir()) == ["layers.json", "layers.md", "layers.png"]
    assert len(json.loads(Path("out/layers.json").read_text())["cases"]) == 1


@pytest.mark.usefixtures("tiny")
def test_a_worker_that_fails_ends_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise peer.WorkerError("timer.py peer_layers ended with code 1: see its message above.")

    monkeypatch.setattr(turns, "measure", fail)
    assert armillary(["bench", "layers", "--no-peer", "--out", "out"]) == 1
    assert "error: timer.py peer_layers ended" in capsys.readouterr().err


def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "did you mean 'layers'?" in error_of(capsys, "bench", "layrs")
    assert "did you mean 'gate'?" in error_of(capsys, "bench", "gaet")
    assert "wanted one of layers, sizes" in error_of(capsys, "bench", "zzz")
    assert "got --rounds 1, wanted at least 2" in error_of(capsys, "bench", "layers", "--rounds", "1")
    assert "got --threads 0, wanted at least 1" in error_of(capsys, "bench", "layers", "--threads", "0")
    assert "pass --threads 1" in error_of(capsys, "bench", "layers", "--clock", "cpu", "--threads", "2")
    assert "leave the others out" in error_of(capsys, "bench", "layers", "--no-peer", "--peer", sys.executable)
    assert "no such file" in error_of(capsys, "bench", "layers", "--peer", tmp_path / "python")
    assert "with escnn: no such file" in error_of(capsys, "bench", "gcnn", "--peer", tmp_path / "python")
    told = error_of(capsys, "bench", "--make-peer", tmp_path / "made")
    assert "got --make-peer for all suites, wanted one suite" in told
    assert "set ARMILLARY_PEER_PYTHON and ARMILLARY_ESCNN_PYTHON" in told
    bare = tmp_path / "bare"
    bare.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S \"$@\"\n")  # no site-packages
    bare.chmod(0o755)
    assert "wanted a Python with torch" in error_of(capsys, "bench", "layers", "--peer", bare)
    (tmp_path / "file").write_text("")
    assert "wanted a directory to write to" in error_of(capsys, "bench", "layers", "--out", tmp_path / "file" / "x")
    assert "leave it out" in error_of(capsys, "bench", "gate", "--threads", "1")


def test_help_shows_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    app(["bench", "--help"], exit_on_error=False, result_action="return_value")
    text = capsys.readouterr().out
    assert "gate" in text
    assert "--make-peer" in text
    assert "--no-full" not in text
