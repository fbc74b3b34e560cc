"""Kernels made at first use: the time is told once, and only where it is worth telling."""

from __future__ import annotations

import logging
import time
from functools import cache

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
