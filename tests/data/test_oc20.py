"""LMDB files of structures: pickled Data and JSON rows; pickles that would run code are refused and run nothing."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from armillary.data import DataError, Structures, open_oc20_lmdb
from armillary.data.plain_pickles import RefusedPickle, read_plain_pickle

lmdb = pytest.importorskip("lmdb")


def write(path: Path, entries: dict[str, bytes]) -> Path:
    environment = lmdb.open(str(path), subdir=False, map_size=1 << 24, lock=False)
    with environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


def data(n: int = 3, seed: int = 0, **changes: object):
    pyg = pytest.importorskip("torch_geometric.data")
    g = torch.Generator().manual_seed(seed)
    fields = {
        "pos": torch.randn(n, 3, generator=g),
        "atomic_numbers": torch.randint(1, 80, (n,), generator=g).float(),
        "cell": torch.randn(1, 3, 3, generator=g),
        "natoms": n,
        "y": -1.5 - seed,
        "force": torch.randn(3, n, generator=g).T,  # not contiguous
        "tags": torch.arange(n),
        "fixed": torch.zeros(n),
        "sid": 17 + seed,
        "edge_index": torch.zeros(2, 0, dtype=torch.int64),
        **changes,
    }
    return pyg.Data(**fields)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickled_data(tmp_path: Path, protocol: int) -> None:
    items = [data(3), data(1, 1), data(4, 2)]
    entries = {str(k): pickle.dumps(d, protocol=protocol) for k, d in enumerate(items)}
    found = open_oc20_lmdb(write(tmp_path / "a.lmdb", {**entries, "length": pickle.dumps(3)}))
    assert len(found) == 3
    s = found.read()
    assert s.sizes.tolist() == [3, 1, 4]
    assert s.energies.tolist() == [-1.5, -2.5, -3.5]
    for k, d in enumerate(items):
        one = found[k]
        assert torch.equal(one.positions, d.pos.double())
        assert torch.equal(one.forces, d.force.double())
        assert torch.equal(one.cells, d.cell.double())
        assert torch.equal(one.charges, d.atomic_numbers.long())
        assert torch.equal(one.properties["tags"], d.tags)
    assert s.properties["sid"].tolist() == [17, 18, 19]
    assert bool(s.periodic.all())


def test_numpy_and_order(tmp_path: Path) -> None:
    n = 2
    arrays = {"pos": np.asfortranarray(np.arange(6.0).reshape(n, 3)), "atomic_numbers": np.array([6, 8])}
    entry = data(n, **arrays, y=np.float64(2.5), cell=None, force=torch.zeros(0, 3), tags=None)
    del entry.force
    found = open_oc20_lmdb(write(tmp_path / "a.lmdb", {str(k): pickle.dumps(entry) for k in (0, 2, 10)}))
    assert [found.name(k).rpartition(" ")[2] for k in range(3)] == ["0", "2", "10"]
    one = found[0]
    assert one.positions.tolist() == arrays["pos"].tolist()
    assert one.energies.tolist() == [2.5]
    assert one.cells is None
    assert one.forces is None
    with pytest.raises(DataError, match="no 'gap', only"):
        open_oc20_lmdb(tmp_path / "a.lmdb", energy="gap")[0]


def row(n: int = 2, **changes: object) -> dict[str, object]:
    rng = np.random.default_rng(0)
    sound = {
        "numbers": [29, 8][:n],
        "positions": rng.normal(size=(n, 3)).tolist(),
        "cell": {"array": {"__ndarray__": [[3, 3], "float64", [5.0, 0, 0, 1, 6, 0, 0, 0, 7]]}},
        "pbc": [True, True, False],
        "energy": -3.25,
        "forces": rng.normal(size=(n, 3)).tolist(),
        "stress": [1, 2, 3, 4, 5, 6],
        "constraints": [{"name": "FixAtoms"}],
    }
    return {**sound, **changes}


def packed(value: object) -> bytes:
    return zlib.compress(json.dumps(value).encode())


def test_rows_of_ase(tmp_path: Path) -> None:
    entries = {"1": packed(row()), "3": packed(row(1)), "nextid": packed(4), "deleted_ids": packed([2])}
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "a.lmdb", entries)
    write(tmp_path / "folder" / "b.aselmdb", {"1": packed(row())})
    found = open_oc20_lmdb(tmp_path / "folder")
    assert len(found) == 3
    one = found[0]
    assert one.charges.tolist() == [29, 8]
    assert one.cells.tolist() == [[[5, 0, 0], [1, 6, 0], [0, 0, 7]]]
    assert one.periodic.tolist() == [[True, True, False]]
    assert one.stresses.tolist() == [[[1, 6, 5], [6, 2, 4], [5, 4, 3]]]
    assert one.positions.tolist() == row()["positions"]
    batches = list(DataLoader(found, batch_size=2, collate_fn=Structures.join, num_workers=1))
    assert [b.sizes.tolist() for b in batches] == [[2, 1], [2]]


class Runs:
    """Pickles to a program that makes a file."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was here"
    for hostile in (
        Runs(os.system, f"touch '{mark}'"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(os.mkdir, str(mark)),
        Runs(torch.load, str(mark)),
        {"pos": Runs(os.mkdir, str(mark))},
        data(sid=Runs(os.mkdir, str(mark))),
    ):
        content = pickle.dumps(hostile, protocol=protocol)
        with pytest.raises(RefusedPickle, match=r"nothing was run|instruction"):
            read_plain_pickle(content)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.lmdb"
        with pytest.raises(DataError, match="cannot be read"):
            open_oc20_lmdb(write(path, {"0": content}))[0]
        assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(os.mkdir, str(mark)), protocol=protocol))
    assert mark.exists(), "the test would see it"


def test_code_inside_of_a_tensor_is_refused(tmp_path: Path) -> None:
    """``_load_from_bytes`` holds pickles of its own."""
    mark = tmp_path / "was here"
    inner = pickle.dumps(Runs(os.mkdir, str(mark)), protocol=2)
    outer = pickle.dumps(Runs(torch.storage._load_from_bytes, inner), protocol=2)
    with pytest.raises(RefusedPickle, match="nothing was run"):
        read_plain_pickle(outer)
    assert not mark.exists()


def test_damaged_pickles() -> None:
    whole = pickle.dumps(data(2), protocol=4)
    assert read_plain_pickle(whole)["natoms"] == 2
    generator = np.random.default_rng(0)
    for _ in range(400):  # whatever comes, a value or a refusal
        broken = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            broken[place] = generator.integers(0, 256)
        for content in (bytes(broken), whole[: generator.integers(1, len(whole))]):
            try:
                read_plain_pickle(content)
            except RefusedPickle:
                continue


def test_lists_that_unfold_without_end(tmp_path: Path) -> None:
    """Forty lists of the one before, twice: 2^40 numbers; and a list that holds itself."""
    nested: list[object] = [0.0, 0.0]
    for _ in range(40):
        nested = [nested, nested]
    loop: list[object] = []
    loop.append(loop)
    for hostile in (nested, loop):
        content = pickle.dumps(data(pos=hostile), protocol=4)
        assert len(content) < 10000
        with pytest.raises(RefusedPickle, match="more parts than"):
            read_plain_pickle(content)
        (tmp_path / "a.lmdb").unlink(missing_ok=True)
        with pytest.raises(DataError, match="more parts than"):
            open_oc20_lmdb(write(tmp_path / "a.lmdb", {"0": content}))[0]


def test_tensors_beyond_their_numbers() -> None:
    from torch._utils import _rebuild_tensor_v2

    storage = torch.zeros(4)._typed_storage()
    for offset, size, stride in ((0, (5,), (1,)), (2, (3,), (1,)), (0, (2, 2), (3, 1)), (0, (10**9,), (0,))):
        hostile = Runs(_rebuild_tensor_v2, storage, offset, size, stride, False, {})
        with pytest.raises(RefusedPickle, match="beyond its 4 numbers"):
            read_plain_pickle(pickle.dumps(hostile))


BAD = {
    "json": (zlib.compress(b"{"), "no JSON"),
    "list": (packed([1]), "JSON of a list"),
    "cut": (packed(row())[:-9], "cut short"),
    "junk": (b"junk", "neither a pickle"),
    "pickled list": (pickle.dumps([1]), "a pickled list"),
    "no atoms": (packed({"numbers": []}), "are not there"),
    "positions": (packed(row(positions=[[0, 0, 0]])), "positions is"),
    "forces": (packed(row(forces="x")), "forces is"),
    "element": (packed(row(numbers=[0, 1])), "atomic numbers 1 to 118"),
    "energy": (packed(row(energy=float("nan"))), "not finite"),
    "long": (packed(row(numbers=[10**400, 1])), "too large"),
    "shape": (packed(row(cell={"__ndarray__": [[3, 3], "float64", [1]]})), "reshape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_entries(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    found = open_oc20_lmdb(write(tmp_path / "a.lmdb", {"0": content, "1": packed(row())}))
    with pytest.raises(DataError, match=f"entry 0 cannot be read: .*{message}"):
        found[0]
    with pytest.raises(DataError):
        found.read()
    s = found.read(on_bad="skip")
    assert len(s) == len(s.skipped) == 1


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "a.lmdb").write_bytes(b"junk" * 4096)
    with pytest.raises(DataError, match="not an LMDB file"):
        open_oc20_lmdb(tmp_path / "a.lmdb")
    path = write(tmp_path / "b.lmdb", {str(k): packed(row()) * 9 for k in range(40)})
    path.write_bytes(path.read_bytes()[:12288])
    with pytest.raises(DataError, match="cut short"):
        open_oc20_lmdb(path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no files"):
        open_oc20_lmdb(tmp_path / "none")
    with pytest.raises(DataError, match="no entries"):
        open_oc20_lmdb(write(tmp_path / "c.lmdb", {"length": b"1"}))
