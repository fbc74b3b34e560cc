"""Files and folders that are either whole or absent: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL, PREVIOUS = ".partial", ".previous"


class SaveError(OSError):
    """A file could not be written; nothing half-written is left and what was there before is untouched."""


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
        fix = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the path and its rights"
        raise SaveError(f"could not save {path}: {reason}. Nothing half-written was left; {fix}.") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step. Raises: SaveError; the old file is then still there."""
    partial = path.with_name(f".{path.name}{PARTIAL}-{os.getpid()}")
    with _explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(partial, content)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """``write_bytes`` of strict JSON (no NaN), indented."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Replace folder ``path`` by one that holds ``contents``.

    The new folder is complete and on disk before the old one is renamed to ``.NAME.previous`` and itself takes the
    name; a process killed between these two renames is put right by ``recover_folder``.
    Raises: SaveError; the old folder is then still there.
    """
    partial, previous = _beside(path, PARTIAL), _beside(path, PREVIOUS)
    recover_folder(path)
    with _explained(path):
        try:
            partial.mkdir(parents=True)
            for name, content in contents.items():
                _write_synced(partial / name, content)
            if path.exists():
                os.replace(path, previous)
            os.replace(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if not path.exists() and previous.exists():
                os.replace(previous, path)
            raise
        shutil.rmtree(previous, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Undo what a killed ``write_folder`` left: bring the last whole folder back to its name, drop the rest."""
    partial, previous = _beside(path, PARTIAL), _beside(path, PREVIOUS)
    if previous.exists() and not path.exists():
        os.replace(previous, path)
    for leftover in (partial, previous):
        shutil.rmtree(leftover, ignore_errors=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")
