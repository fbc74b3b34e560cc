"""What is written beside the numbers (the machine, the versions, the day), and how."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch


def surroundings(peer: dict[str, str] | None, threads: int) -> dict[str, Any]:
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
    return write_text(folder, name, json.dumps(document, indent=1) + "\n")


def write_text(folder: Path, name: str, text: str) -> Path:
    """Write ``folder/name`` in UTF-8, whole or not at all."""
    return write_bytes(folder, name, text.encode())


def write_bytes(folder: Path, name: str, content: bytes) -> Path:
    """Write ``folder/name``, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / name, folder / f".{name}.part"
    draft.write_bytes(content)
    os.replace(draft, path)
    return path


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines)
