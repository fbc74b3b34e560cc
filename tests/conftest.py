"""Rules for the whole suite: where real data lie, and how many threads torch takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


def pytest_configure(config: pytest.Config) -> None:
    # Pictures are drawn without a screen, and small tests lose time with more threads than cores.
    os.environ.setdefault("MPLBACKEND", "Agg")
    torch.set_num_threads(min(2, torch.get_num_threads()))


def _why_no_data() -> str | None:
    """The reason why tests on real data cannot run, or None."""
    folder = os.environ.get("ARMILLARY_DATA")
    if not folder:
        return "needs real data: set ARMILLARY_DATA to their folder"
    if not Path(folder).is_dir():
        return "needs real data: ARMILLARY_DATA names no folder"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if reason := _why_no_data():
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data sets. For tests marked ``data`` only."""
    if reason := _why_no_data():
        pytest.skip(reason)
    return Path(os.environ["ARMILLARY_DATA"])
