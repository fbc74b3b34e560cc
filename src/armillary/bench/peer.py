"""The peers, torch-harmonics, escnn and e3nn, in environments of their own: find one, make it, run a worker in it.

torch-harmonics 0.9.3 is built for one torch release, escnn 1.0.11 wants numpy before 2.0, so neither can share
armillary's environment; e3nn may, and is taken from there where it is installed. The Python of a peer is the one that
is given, or that of its variable (``$ARMILLARY_PEER_PYTHON``, ``$ARMILLARY_ESCNN_PYTHON``, ``$ARMILLARY_E3NN_PYTHON``),
or that of its folder below the current directory.

Jobs and answers travel as .npz files: arrays, and one JSON document. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

SCRIPTS = Path(__file__).resolve().parent / "workers"


class PeerError(ValueError):
    """The peer's environment is missing or incomplete."""


class WorkerError(RuntimeError):
    """A worker failed."""


@dataclass(frozen=True)
class Peer:
    """A library to compare with: where its environment is, and what makes it.

    ``builders`` is its module in ``workers``, ``suite`` one that measures it, ``variable`` names the environment
    variable of its Python, ``folder`` is where its environment is made. ``requirements`` go to pip, one list after the
    other; ``packages`` are those whose versions are told.
    """

    name: str
    builders: str
    suite: str
    variable: str
    folder: Path
    requirements: tuple[tuple[str, ...], ...]
    packages: tuple[str, ...]
    module: str | None = None
    """Its name for ``import`` where it can share armillary's environment: then that serves, if it has it."""

    @property
    def contents(self) -> str:
        """What its environment holds, in words."""
        return ", ".join(r for step in self.requirements for r in step if "==" in r)

    @property
    def hint(self) -> str:
        """How to make its environment."""
        return f"armillary bench {self.suite} --make-peer DIR makes it (a venv with {self.contents})"

    def make(self, folder: Path) -> Path:
        """The Python of a venv with ``requirements`` in ``folder``, made if it is not there. Raises: PeerError."""
        python = _python_in(folder)
        with contextlib.suppress(PeerError):
            if python.is_file() and self.versions(python):
                return python
        print(f"making an environment with {self.contents} in {folder} (minutes)", file=sys.stderr)
        try:
            venv.create(folder, with_pip=True, clear=False)
        except OSError as error:
            raise PeerError(f"got {folder}, wanted a directory for a venv ({error}): give another one.") from error
        for step in self.requirements:
            command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step]
            if subprocess.run(command, check=False).returncode:
                raise PeerError(f"pip could not install {step} into {folder}: see its message above, then run again.")
        self.versions(python)
        return python

    def find(self, given: Path | None = None) -> Path | None:
        """Its Python, or None where none was named or made. Raises: PeerError where one was named and is no file."""
        named = str(given) if given is not None else os.environ.get(self.variable)
        if named:
            if not Path(named).is_file():
                source = "--peer" if given is not None else f"{self.variable} ="
                raise PeerError(
                    f"got {source} {named}, wanted the Python of an environment with {self.name}: no such file; "
                    f"{self.hint}."
                )
            return Path(named).absolute()
        made = _python_in(self.folder)
        if made.is_file():
            return made
        here = self.module is not None and importlib.util.find_spec(self.module) is not None
        return Path(sys.executable) if here else None

    def python(self) -> Path:
        """``find``, or made in ``folder`` where there is none. Raises: PeerError."""
        named = os.environ.get(self.variable)
        found = self.find() if named else None
        return found or self.make(self.folder)

    def versions(self, interpreter: Path) -> dict[str, str]:
        """Versions of Python and of ``packages``. Raises: PeerError where one is missing."""
        question = (
            "import json, platform, importlib.metadata as m;"
            f"found = {{p: m.version(p) for p in {self.packages!r}}};"
            "print(json.dumps({'python': platform.python_version(), **found}))"
        )
        try:
            answer = subprocess.run(
                [str(interpreter), "-c", question], capture_output=True, text=True, env=environment(), check=False
            )
            said = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
            found = json.loads(answer.stdout) if answer.returncode == 0 else None
        except (OSError, ValueError) as error:  # not executable, or no Python
            said, found = str(error), None
        if not found:
            raise PeerError(f"got {interpreter}, wanted a Python with {self.contents} ({said}): {self.hint}.")
        return found

    def run(
        self, job: Any, arrays: dict[str, np.ndarray], interpreter: Path | None = None
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """Run its worker on a job and arrays, in its environment: the answer and its arrays.

        Raises: WorkerError, with the end of what the worker said, where it fails; PeerError.
        """
        return run_worker(f"{self.builders}.py", job, arrays, interpreter or self.python())


TORCH_HARMONICS = Peer(
    name="torch-harmonics",
    builders="peer_layers",
    suite="layers",
    variable="ARMILLARY_PEER_PYTHON",
    folder=Path("build") / "peer",
    requirements=(("torch==2.14.0", "torch-harmonics==0.9.3", "numpy"),),
    packages=("torch", "torch-harmonics"),
)
ESCNN = Peer(
    name="escnn",
    builders="escnn_layers",
    suite="gcnn",
    variable="ARMILLARY_ESCNN_PYTHON",
    folder=Path("build") / "escnn",
    requirements=(
        (f"torch=={torch.__version__.partition('+')[0]}", "numpy==1.26.4", "scipy==1.13.1", "joblib", "requests"),
        ("--no-deps", "escnn==1.0.11", "lie-learn==0.0.2"),  # its py3nj wants Fortran and serves SO(3) alone
    ),
    packages=("torch", "numpy", "escnn"),
)
E3NN = Peer(
    name="e3nn",
    builders="e3nn_layers",
    suite="edge",
    variable="ARMILLARY_E3NN_PYTHON",
    folder=Path("build") / "e3nn",
    requirements=((f"torch=={torch.__version__.partition('+')[0]}", "e3nn==0.6.0"),),
    packages=("torch", "e3nn"),
    module="e3nn",
)
PEERS = (TORCH_HARMONICS, ESCNN, E3NN)


def peer_of(builders: str) -> Peer | None:
    """The peer whose environment a module of ``workers`` wants, or None where it is armillary's."""
    return next((peer for peer in PEERS if peer.builders == builders), None)


def _python_in(folder: Path) -> Path:
    return folder.absolute() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment() -> dict[str, str]:
    """The variables a worker sees: ours, without what would mix the two environments."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


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


def run_worker(
    worker: str, job: Any, arrays: dict[str, np.ndarray], interpreter: Path
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run ``workers/<worker>`` with a Python on a job and arrays: its answer and arrays.

    Raises: WorkerError, with the end of what the worker said, where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        pack(question, job, arrays)
        command = [str(interpreter), str(SCRIPTS / worker), str(question), str(answer)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if result.returncode or not answer.is_file():
            raise WorkerError(f"{worker} ended with code {result.returncode}:\n{result.stderr[-2000:]}")
        return unpack(answer)
