"""The peer, torch-harmonics, in an environment of its own: find it, make it, run a worker in it.

torch-harmonics 0.9.3 is built for one torch release, so it cannot share armillary's environment. Its Python is the one
that is given, or ``$ARMILLARY_PEER_PYTHON``, or that of ``build/peer`` in the current directory.

Jobs and answers travel as .npz files: arrays, and one JSON document. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

REQUIREMENTS = ("torch==2.14.0", "torch-harmonics==0.9.3")
VARIABLE = "ARMILLARY_PEER_PYTHON"
DEFAULT_ENVIRONMENT = Path("build") / "peer"
SCRIPTS = Path(__file__).resolve().parent / "workers"
HINT = f"armillary bench --make-peer DIR makes it (a venv with {', '.join(REQUIREMENTS)})"
_ASK_VERSIONS = (
    "import json, platform, importlib.metadata as m;"
    "found = {p: m.version(p) for p in ('torch', 'torch-harmonics')};"
    "print(json.dumps({'python': platform.python_version(), **found}))"
)


class PeerError(ValueError):
    """The peer's environment is missing or incomplete."""


class WorkerError(RuntimeError):
    """A worker failed."""


def make_environment(folder: Path) -> Path:
    """The Python of a venv with ``REQUIREMENTS`` in ``folder``, made if it is not there. Raises: PeerError."""
    python = _python_in(folder)
    with contextlib.suppress(PeerError):
        if python.is_file() and versions(python):
            return python
    print(f"making an environment with {', '.join(REQUIREMENTS)} in {folder} (minutes)", file=sys.stderr)
    try:
        venv.create(folder, with_pip=True, clear=False)
    except OSError as error:
        raise PeerError(f"got {folder}, wanted a directory for a venv ({error}): give another one.") from error
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS, "numpy"]
    if subprocess.run(command, check=False).returncode:
        raise PeerError(f"pip could not install {REQUIREMENTS} into {folder}: see its message above, then run again.")
    versions(python)
    return python


def _python_in(folder: Path) -> Path:
    return folder.absolute() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def find(given: Path | None = None) -> Path | None:
    """The peer's Python, or None where none was named or made. Raises: PeerError where one was named and is no file."""
    named = str(given) if given is not None else os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            source = "--peer" if given is not None else f"{VARIABLE} ="
            raise PeerError(f"got {source} {named}, wanted the Python of the peer's environment: no such file; {HINT}.")
        return Path(named).absolute()
    made = _python_in(DEFAULT_ENVIRONMENT)
    return made if made.is_file() else None


def python() -> Path:
    """``find``, or made in ``build/peer`` where there is none. Raises: PeerError."""
    named = os.environ.get(VARIABLE)
    found = find() if named else None
    return found or make_environment(DEFAULT_ENVIRONMENT)


def environment() -> dict[str, str]:
    """The variables a worker sees: ours, without what would mix the two environments."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def versions(interpreter: Path) -> dict[str, str]:
    """Versions of Python, torch and torch-harmonics. Raises: PeerError where one is missing."""
    try:
        answer = subprocess.run(
            [str(interpreter), "-c", _ASK_VERSIONS], capture_output=True, text=True, env=environment(), check=False
        )
        said = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        found = json.loads(answer.stdout) if answer.returncode == 0 else None
    except (OSError, ValueError) as error:  # not executable, or no Python
        said, found = str(error), None
    if not found:
        raise PeerError(f"got {interpreter}, wanted a Python with {', '.join(REQUIREMENTS)} ({said}): {HINT}.")
    return found


def pack(path: Path, job: Any, arrays: dict[str, np.ndarray]) -> None:
    """Write one JSON document and arrays as an .npz file."""
    text = np.frombuffer(json.dumps(job).encode(), dtype=np.uint8)
    np.savez(path, json=text, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle


def unpack(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The inverse of ``pack``; nothing is unpickled. Raises: WorkerError where the file holds no such thing."""
    with np.load(path, allow_pickle=False) as file:
        if "json" not in file:
            raise WorkerError(f"{path} holds {sorted(file)}, wanted an entry 'json': it was not written by pack.")
        arrays = {name: file[name] for name in file if name != "json"}
        return json.loads(file["json"].tobytes()), arrays


def run(
    worker: str, job: Any, arrays: dict[str, np.ndarray], interpreter: Path | None = None
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run ``workers/<worker>`` in the peer's environment on a job and arrays: its answer and arrays.

    Raises: WorkerError, with the end of what the worker said, where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        pack(question, job, arrays)
        command = [str(interpreter or python()), str(SCRIPTS / worker), str(question), str(answer)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if result.returncode or not answer.is_file():
            raise WorkerError(f"{worker} ended with code {result.returncode}:\n{result.stderr[-2000:]}")
        return unpack(answer)
