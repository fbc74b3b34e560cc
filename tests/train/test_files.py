import errno
import os
from pathlib import Path

import pytest

from armillary.train import files
from armillary.train.files import SaveError, recover_folder, write_bytes, write_folder, write_json

OLD, NEW = {"a": b"old", "b": b"1"}, {"a": b"new", "c": b"2"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file beyond the first of a folder meets a full disk, half-written."""
    write = files._write_synced

    def write_until_full(path: Path, content: bytes) -> None:
        if path.name == "a":
            return write(path, content)
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_write_synced", write_until_full)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "last", OLD)
    write_folder(tmp_path / "last", NEW)
    assert contents(tmp_path / "last") == NEW
    assert os.listdir(tmp_path) == ["last"]


@pytest.mark.usefixtures("full_disk")
def test_full_disk_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_synced", lambda path, content: path.write_bytes(content))
        write_folder(tmp_path / "last", OLD)
    with pytest.raises(SaveError, match="the disk is full"):
        write_folder(tmp_path / "last", NEW)
    assert contents(tmp_path / "last") == OLD
    assert os.listdir(tmp_path) == ["last"]


@pytest.mark.usefixtures("full_disk")
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"old")
    with pytest.raises(SaveError, match=r"x\.json: the disk is full"):
        write_bytes(tmp_path / "x.json", b"new content")
    assert contents(tmp_path) == {"x.json": b"old"}


@pytest.mark.parametrize("failing_rename", [1, 2])
def test_a_process_killed_between_the_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_rename: int
) -> None:
    write_folder(tmp_path / "last", OLD)
    replace, calls = os.replace, [0]

    def dying_replace(a: Path, b: Path) -> None:
        calls[0] += 1
        if calls[0] >= failing_rename:
            raise KeyboardInterrupt  # from here on nothing runs, as after kill -9
        replace(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", dying_replace)
        patch.setattr(files.shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path / "last", NEW)
    assert (tmp_path / "last").exists() == (failing_rename == 1)
    recover_folder(tmp_path / "last")
    assert contents(tmp_path / "last") == OLD
    assert os.listdir(tmp_path) == ["last"]


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_missing_right_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SaveError, match="could not save"):
        write_bytes(tmp_path / "file" / "x.json", b"")
