"""What every benchmark writes beside its numbers: the machine, the versions, the day."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "results" / "benchmarks"


def parser(description: str, full: str) -> argparse.ArgumentParser:
    """Options that all benchmarks share; ``full`` says what the long run adds."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--full", action="store_true", help=full)
    made.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder of the JSON and pictures")
    made.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each library")
    return made


def surroundings(peer: dict[str, str], threads: int) -> dict[str, Any]:
    """The machine and the versions; no names of hosts or people."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # what else keeps the cores busy
        "armillary": {"python": platform.python_version(), "torch": torch.__version__},
        "peer": peer,
    }


def write(folder: Path, name: str, document: dict[str, Any]) -> Path:
    """Write ``folder/name`` as JSON, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / name, folder / f".{name}.part"
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
    return path


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines)
