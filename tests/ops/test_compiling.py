"""Kernels made at first use: the time is told once, and only where it is worth telling."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from armillary.ops import compiling


def test_what_was_compiled_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_WORTH_TELLING", 0.01)
    calls = []

    @cache
    def slow(itemsize: int) -> int:
        calls.append(itemsize)
        time.sleep(0.02)
        return 7

    with caplog.at_level(logging.INFO, "armillary.ops.compiling"):
        assert compiling.ready(slow, 4) == compiling.ready(slow, 4) == 7
    assert calls == [4]
    (record,) = caplog.records
    assert "compiled slow for this processor in 0.0 s" in record.getMessage()


def test_what_was_found_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    quick = cache(lambda itemsize: itemsize)
    with caplog.at_level(logging.INFO, "armillary.ops.compiling"):
        assert compiling.ready(quick, 8) == 8
    assert not caplog.records


USE_ALL = """
import torch
from armillary.harmonics import SHT, InverseSHT
from armillary.nn import DiscoConv
from armillary.spaces import GaussLegendre

grid = GaussLegendre(8)
x = torch.randn(1, 2, 8, 16, requires_grad=True)
y = DiscoConv(2, 2, grid)(x)
back, = torch.autograd.grad(y.square().sum(), x)
for table in (True, False):
    f = SHT(grid, table=table).float()(x)
    InverseSHT(grid, table=table).float()(f).square().sum().backward()
"""


def test_a_later_process_compiles_nothing(tmp_path: Path) -> None:
    """Each kernel is found where the first process has left it."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", USE_ALL], env=environment, check=True)
        made.append({path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")})
    assert len(made[0]) > 8
    assert made[1] == made[0]
