"""Options that the scripts of this folder share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "results" / "benchmarks"


def parser(description: str, full: str | None = None) -> argparse.ArgumentParser:
    """A parser of the shared options; ``full`` says what the long run adds, if there is one."""
    made = argparse.ArgumentParser(description=description)
    if full is not None:
        made.add_argument("--full", action="store_true", help=full)
    made.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder of the JSON and pictures")
    made.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each library")
    return made
