"""Import is quiet and quick: no global state, no files, no warnings; under a second beyond torch."""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import armillary

ROOMS = sorted(f"armillary.{m.name}" for m in pkgutil.iter_modules(armillary.__path__) if m.name[0] != "_")
ENTRIES = [name for name in ("armillary", "armillary.cli") if importlib.util.find_spec(name)]
HEAVY = {"PIL", "e3nn", "lightning_fabric", "matplotlib", "netCDF4", "pandas", "sklearn", "tensorboardX"}
HEAVY |= {"ase", "h5py", "lmdb", "torch_geometric", "vesin", "xarray", "zarr"}

# Runs in a process of its own. Processor time, not the clock: other work on the machine does not count.
PROBE = """
import json, os, random, sys, time, warnings
import numpy, torch
names = sys.argv[1:]
def state():
    return {
        "environ": dict(os.environ),
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch_seed": torch.random.get_rng_state().tolist(),
        "numpy_seed": [int(n) for n in numpy.random.get_state()[1]],
        "python_seed": random.getstate()[1],
    }
before = state()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    start = time.process_time()
    for name in names:
        __import__(name)
    seconds = time.process_time() - start
after = state()
print(json.dumps({
    "seconds": seconds,
    "warnings": [
        str(w.message) for w in caught if "armillary" in w.filename or w.category is not DeprecationWarning
    ],
    "changed": [key for key in before if before[key] != after[key]],
    "modules": sorted({m.partition(".")[0] for m in sys.modules}),
}))
"""


def probe(cwd: Path, *names: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROBE, *names],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", f"import wrote to stderr: {done.stderr}"
    lines = done.stdout.splitlines()
    assert len(lines) == 1, f"import printed: {done.stdout}"
    return json.loads(lines[0])


@pytest.mark.parametrize("name", ENTRIES)
def test_import_costs_less_than_a_second_beyond_torch(name: str, tmp_path: Path) -> None:
    seconds = statistics.median(probe(tmp_path, name)["seconds"] for _ in range(3))
    assert seconds < 1.0, f"import {name} takes {seconds:.2f} s beyond torch and numpy"


def test_importing_every_room_is_quiet(tmp_path: Path) -> None:
    report = probe(tmp_path, *ROOMS)
    assert report["warnings"] == []
    assert report["changed"] == []
    assert list(tmp_path.iterdir()) == [], "import left files in the working directory"
    heavy = HEAVY & set(report["modules"])
    assert not heavy, f"imported with armillary: {sorted(heavy)}; import them inside functions"


def test_the_probe_sees_noise(tmp_path: Path) -> None:
    """The probe can fail: this module warns, sets a variable, changes the dtype and takes time."""
    noisy = "import os, warnings, torch, random, xml\nos.environ['NOISE'] = '1'\nrandom.seed(0)\n"
    noisy += "torch.set_default_dtype(torch.float64)\nwarnings.warn('noise')\nsum(range(10**7))\n"
    package = tmp_path / "armillary_noisy"
    package.mkdir()
    (package / "__init__.py").write_text(noisy)
    report = probe(tmp_path, "armillary_noisy")
    assert report["warnings"] == ["noise"]
    assert set(report["changed"]) == {"environ", "dtype", "python_seed"}
    assert "xml" in report["modules"]
    assert report["seconds"] > 0.02
