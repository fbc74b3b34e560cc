"""Packages that are not there: the error names the extra."""

from __future__ import annotations

import pytest

from armillary.ops.extras import extra_module


def test_there() -> None:
    assert extra_module("json", "points", "this").loads("1") == 1


def test_not_there() -> None:
    with pytest.raises(ImportError, match=r'reading needs no_such_module,.*"armillary\[points\]"'):
        extra_module("no_such_module.part", "points", "reading")
