"""The peer, torch-harmonics, in an environment of its own: find it, make it, run a worker in it.

torch-harmonics 0.9.3 is built for one torch release, so it cannot share armillary's environment. Its Python is
``$ARMILLARY_PEER_PYTHON``, or else that of ``build/peer`` in this repository, which is made on first use.

    python benchmarks/peer.py                   # which environment is used, and what is in it
    python benchmarks/peer.py --make-env DIR    # make one (a venv; needs the package index)

Jobs and answers travel as .npz files: arrays, and one JSON document. Nothing is pickled.
"""

from __future__ import annotations

import argparse
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
HERE = Path(__file__).resolve().parent
DEFAULT_ENVIRONMENT = HERE.parent / "build" / "peer"
SCRIPTS = HERE / "parts"
_ASK_VERSIONS = (
    "import json, platform, importlib.metadata as m;"
    "found = {p: m.version(p) for p in ('torch', 'torch-harmonics')};"
    "print(json.dumps({'python': platform.python_version(), **found}))"
)


class PeerError(RuntimeError):
    """The peer's environment is missing or incomplete, or a worker in it failed."""


def make_environment(folder: Path) -> Path:
    """Make a venv with ``REQUIREMENTS`` in ``folder``; its Python. Raises: PeerError where pip fails."""
    print(f"making an environment with {', '.join(REQUIREMENTS)} in {folder} (minutes)", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=False)
    python = _python_in(folder)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS, "numpy"]
    if subprocess.run(command, check=False).returncode:
        raise PeerError(f"pip could not install {REQUIREMENTS} into {folder}: see its message above, then run again.")
    versions(python)
    return python


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def python() -> Path:
    """The peer's Python, made if there is none. Raises: PeerError where ``$ARMILLARY_PEER_PYTHON`` names no file."""
    given = os.environ.get(VARIABLE)
    if given:
        if not Path(given).is_file():
            raise PeerError(
                f"{VARIABLE} = {given!r} is no file: give the path of the Python of the peer's environment."
            )
        return Path(given)
    found = _python_in(DEFAULT_ENVIRONMENT)
    try:
        if found.is_file() and versions(found):
            return found
    except PeerError as error:
        print(f"{error}\nmaking it again", file=sys.stderr)
    return make_environment(DEFAULT_ENVIRONMENT)


def environment() -> dict[str, str]:
    """The variables a worker sees: ours, without what would mix the two environments."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def versions(interpreter: Path) -> dict[str, str]:
    """Versions of Python, torch and torch-harmonics. Raises: PeerError where one is missing."""
    answer = subprocess.run(
        [str(interpreter), "-c", _ASK_VERSIONS], capture_output=True, text=True, env=environment(), check=False
    )
    if answer.returncode:
        raise PeerError(
            f"{interpreter} has no torch-harmonics ({answer.stderr.strip().splitlines()[-1]}): set {VARIABLE} to a "
            f"Python that has {', '.join(REQUIREMENTS)}, or run python benchmarks/peer.py --make-env DIR."
        )
    return json.loads(answer.stdout)


def pack(path: Path, job: Any, arrays: dict[str, np.ndarray]) -> None:
    """Write one JSON document and arrays as an .npz file."""
    text = np.frombuffer(json.dumps(job).encode(), dtype=np.uint8)
    np.savez(path, **{"json": text, **arrays})


def unpack(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The inverse of ``pack``; nothing is unpickled. Raises: PeerError where the file holds no such thing."""
    with np.load(path, allow_pickle=False) as file:
        if "json" not in file:
            raise PeerError(f"{path} holds {sorted(file)}, wanted an entry 'json': it was not written by pack.")
        arrays = {name: file[name] for name in file if name != "json"}
        return json.loads(file["json"].tobytes()), arrays


def run(
    worker: str, job: Any, arrays: dict[str, np.ndarray], interpreter: Path | None = None
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run ``parts/<worker>`` in the peer's environment on a job and arrays: its answer and arrays.

    Raises: PeerError, with the end of what the worker said, where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        pack(question, job, arrays)
        command = [str(interpreter or python()), str(SCRIPTS / worker), str(question), str(answer)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if result.returncode or not answer.is_file():
            raise PeerError(f"{worker} ended with code {result.returncode}:\n{result.stderr[-2000:]}")
        return unpack(answer)


def main() -> int:
    parser = argparse.ArgumentParser(description="The environment of torch-harmonics that the benchmarks use.")
    parser.add_argument("--make-env", metavar="DIR", type=Path, help=f"make a venv with {', '.join(REQUIREMENTS)}")
    arguments = parser.parse_args()
    try:
        interpreter = make_environment(arguments.make_env) if arguments.make_env else python()
        found = versions(interpreter)
    except PeerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.make_env:
        print(f"export {VARIABLE}={interpreter}")
    print("peer: " + ", ".join(f"{name} {version}" for name, version in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
