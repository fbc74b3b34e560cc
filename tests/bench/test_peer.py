"""The bridge to the peer's environment: what crosses it, and what is said when it is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from armillary.bench import peer
from armillary.bench.peer import ESCNN, PEERS, TORCH_HARMONICS

ECHO = """
import sys
import numpy as np
with np.load(sys.argv[1], allow_pickle=False) as file:
    arrays = dict(file)
arrays["twice"] = 2 * arrays["x"]
np.savez(sys.argv[2], **arrays)
"""


def test_documents_and_arrays_cross_unchanged(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setattr(peer, "SCRIPTS", tmp_path)
    x = np.random.default_rng(1).standard_normal((3, 1, 5)).astype(np.float32)
    job = {"layers": [{"cutoff": 0.1, "name": "ϕ"}], "threads": 1}
    answer, arrays = peer.run_worker("echo.py", job, {"x": x}, Path(sys.executable))
    assert answer == job
    assert sorted(arrays) == ["twice", "x"]
    assert arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["twice"], 2 * x)


def test_failing_worker_is_quoted(tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text("raise SystemExit('no such kernel')")
    (tmp_path / "silent.py").write_text("")
    monkeypatch.setattr(peer, "SCRIPTS", tmp_path)
    with pytest.raises(peer.WorkerError, match=r"fails\.py ended with code 1:\nno such kernel"):
        peer.run_worker("fails.py", {}, {}, Path(sys.executable))
    with pytest.raises(peer.WorkerError, match=r"silent\.py ended with code 0"):
        peer.run_worker("silent.py", {}, {}, Path(sys.executable))


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, json=np.frombuffer(b"{}", dtype=np.uint8), x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        peer.unpack(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(peer.WorkerError, match="wanted an entry 'json'"):
        peer.unpack(path)


@pytest.mark.parametrize("one", PEERS, ids=lambda one: one.name)
def test_wrong_interpreters_are_named(tmp_path, monkeypatch, one):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(one.variable, str(tmp_path / "python"))
    with pytest.raises(peer.PeerError, match=f"got {one.variable} = .* no such file.*bench {one.suite} --make-peer"):
        one.find()
    with pytest.raises(peer.PeerError, match=rf"got --peer .*elsewhere.* with {one.name}: no such file"):
        one.find(tmp_path / "elsewhere")
    monkeypatch.setenv(one.variable, sys.executable)
    assert one.find() == one.python() == Path(sys.executable)
    bare = tmp_path / "bare"
    bare.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S \"$@\"\n")  # no site-packages
    bare.chmod(0o755)
    with pytest.raises(peer.PeerError, match=rf"wanted a Python with torch.*{one.name}==.*--make-peer"):
        one.versions(bare)
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(peer.PeerError, match=r"wanted a Python with torch.*--make-peer"):
        one.versions(text)


@pytest.mark.parametrize("one", PEERS, ids=lambda one: one.name)
def test_the_environment_of_the_directory_is_found(tmp_path, monkeypatch, one):
    monkeypatch.chdir(tmp_path)
    for other in PEERS:
        monkeypatch.delenv(other.variable, raising=False)
    beside = {other: other.find() for other in PEERS}  # e3nn may live in this environment
    assert all(python is None or (other.module and python == Path(sys.executable)) for other, python in beside.items())
    python = tmp_path / one.folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("""#!/bin/sh\necho '{"python": "3", "torch": "2"}'\n""")
    python.chmod(0o755)
    assert one.find() == python
    assert one.make(one.folder) == python  # it is complete: nothing is made
    assert all(other.find() == beside[other] for other in PEERS if other is not one)
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(peer.PeerError, match="wanted a directory for a venv"):
        one.make(taken / "inside")


def test_each_worker_has_its_environment():
    assert {one.builders for one in PEERS} == {"peer_layers", "escnn_layers", "e3nn_layers"}
    assert (peer.peer_of("peer_layers"), peer.peer_of("escnn_layers")) == (TORCH_HARMONICS, ESCNN)
    assert peer.peer_of("our_layers") is peer.peer_of("torch_layers") is None
    assert all((peer.SCRIPTS / f"{one.builders}.py").is_file() for one in PEERS)
    assert len({one.variable for one in PEERS} | {str(one.folder) for one in PEERS}) == 2 * len(PEERS)


def test_worker_environment_is_its_own(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "src")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "PYTHONPATH" not in peer.environment()
    assert peer.environment()["OMP_NUM_THREADS"] == "1"
