"""The GPU kernels of the edge product: in Triton's interpreter, compiled for GPUs that need not be there, and on a GPU
if there is one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from armillary.ops import edge_product as operators
from armillary.ops.triton_found import triton_found

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: pip install triton"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def run(file: str, **environment: str) -> None:
    """A file of tests in a process of its own: triton reads its environment when it is imported."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/ops/{file}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@needs_triton
def test_in_the_interpreter() -> None:
    run("edge_product_triton_checks.py", TRITON_INTERPRET="1")


@needs_triton
def test_the_kernels_compile_for_gpus(tmp_path: Path) -> None:
    run("edge_product_triton_compiles.py", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))


@needs_triton
@needs_gpu
def test_on_a_gpu() -> None:
    run("edge_product_triton_checks.py", TRITON_INTERPRET="0")


def test_without_triton_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    triton_found.cache_clear()
    x, edge = torch.tensor([2.0, 3.0]).reshape(2, 1, 1), torch.ones(1, 1, 1)
    zero, one = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    arguments = x, edge[0], 5 * edge, one, zero
    try:
        with pytest.warns(UserWarning, match=r"triton cannot be imported .* Fix: pip install triton"):
            y = operators._edge_product_cuda(*arguments, 2, [0], [0], [0, 0, 0])
        assert y.flatten().tolist() == [15, 0]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            operators._edge_product_cuda(*arguments, 2, [0], [0], [0, 0, 0])
            gx, gw, _ = operators._edge_product_grad_cuda(*arguments[:3], y, one, zero, [0], [0], [0, 0, 0], True)
        assert (gx.flatten().tolist(), gw.item()) == ([0, 75], 45)
    finally:
        triton_found.cache_clear()
