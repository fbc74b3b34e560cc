"""The GPU kernels: in Triton's interpreter, compiled for GPUs that need not be there, and on a GPU if there is one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from armillary.ops import disco as operators
from armillary.ops.stencils import make_stencil
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
    run("disco_triton_checks.py", TRITON_INTERPRET="1")


@needs_triton
def test_the_kernels_compile_for_gpus(tmp_path: Path) -> None:
    run("disco_triton_compiles.py", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))


@needs_triton
@needs_gpu
def test_on_a_gpu() -> None:
    run("disco_triton_checks.py", TRITON_INTERPRET="0")


def test_without_triton_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    triton_found.cache_clear()
    stencil = make_stencil(torch.ones(2, 1), torch.tensor([[0, 0], [0, 1]]), torch.tensor([0, 2]), 1, 4, 4)
    x, weight = torch.arange(4.0).reshape(1, 1, 1, 4), torch.ones(1, 1, 1)
    try:
        with pytest.warns(UserWarning, match=r"triton cannot be imported .* Fix: pip install triton"):
            y = operators._disco_cuda(x, weight, None, stencil, 4, 1, False)
        assert y.flatten().tolist() == [1, 3, 5, 3]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            operators._disco_cuda(x, weight, None, stencil, 4, 1, False)
            gw = operators._disco_grad_weight_cuda(x, y, stencil, 1, 1)
        assert gw.item() == float((y * y).sum())
    finally:
        triton_found.cache_clear()
