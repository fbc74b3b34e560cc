"""The GPU kernels of the operators: in Triton's interpreter, compiled for GPUs that need not be there, and on a GPU if
there is one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from armillary.ops import disco, edge_product
from armillary.ops.stencils import make_stencil
from armillary.ops.triton_found import triton_found

ROOT = Path(__file__).parents[2]
OPERATORS = pytest.mark.parametrize("operator", ["disco", "edge_product"])
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
@OPERATORS
def test_in_the_interpreter(operator: str) -> None:
    run(f"{operator}_triton_checks.py", TRITON_INTERPRET="1")


@needs_triton
@OPERATORS
def test_the_kernels_compile_for_gpus(operator: str, tmp_path: Path) -> None:
    run(f"{operator}_triton_compiles.py", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))


@needs_triton
@needs_gpu
@OPERATORS
def test_on_a_gpu(operator: str) -> None:
    run(f"{operator}_triton_checks.py", TRITON_INTERPRET="0")


@pytest.fixture
def _no_triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "triton", None)
    triton_found.cache_clear()
    yield
    triton_found.cache_clear()


@pytest.mark.usefixtures("_no_triton")
def test_without_triton_disco_says_so_once() -> None:
    stencil = make_stencil(torch.ones(2, 1), torch.tensor([[0, 0], [0, 1]]), torch.tensor([0, 2]), 1, 4, 4)
    x, weight = torch.arange(4.0).reshape(1, 1, 1, 4), torch.ones(1, 1, 1)
    with pytest.warns(UserWarning, match=r"triton cannot be imported .* Fix: pip install triton"):
        y = disco._disco_cuda(x, weight, None, stencil, 4, 1, False)
    assert y.flatten().tolist() == [1, 3, 5, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disco._disco_cuda(x, weight, None, stencil, 4, 1, False)
        gw = disco._disco_grad_weight_cuda(x, y, stencil, 1, 1)
    assert gw.item() == float((y * y).sum())


@pytest.mark.usefixtures("_no_triton")
def test_without_triton_edges_say_so_once() -> None:
    x, edge = torch.tensor([2.0, 3.0]).reshape(2, 1, 1), torch.ones(1, 1, 1)
    zero, one = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    arguments = x, edge[0], 5 * edge, one, zero
    with pytest.warns(UserWarning, match=r"triton cannot be imported .* Fix: pip install triton"):
        y = edge_product._edge_product_cuda(*arguments, 2, [0], [0], [0, 0, 0])
    assert y.flatten().tolist() == [15, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edge_product._edge_product_cuda(*arguments, 2, [0], [0], [0, 0, 0])
        gx, gw, _ = edge_product._edge_product_grad_cuda(*arguments[:3], y, one, zero, [0], [0], [0, 0, 0], True)
    assert (gx.flatten().tolist(), gw.item()) == ([0, 75], 45)
