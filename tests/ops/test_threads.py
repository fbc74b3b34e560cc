"""Layers in the worker processes of a DataLoader: forked after torch's threads were used, and one thread each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from armillary.harmonics import SHT
from armillary.nn import DiscoConv
from armillary.ops import threads
from armillary.spaces import GaussLegendre

GRID = GaussLegendre(16)


class Fields(Dataset[tuple[Tensor, Tensor, int]]):
    """What a layer and a transform make of a field, and the threads that a worker gives them."""

    def __init__(self, layer: DiscoConv, transform: SHT) -> None:
        self.layer, self.transform = layer, transform

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        x = torch.full((1, 1, *GRID.shape), float(index))
        with torch.no_grad():
            return self.layer(x)[0], self.transform(x)[0], torch.get_num_threads()


def test_workers_of_a_data_loader() -> None:
    data = Fields(DiscoConv(1, 2, GRID), SHT(GRID))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        wanted = [data[i] for i in range(len(data))]  # the team of two threads exists when the workers are forked
        for workers in (1, 2):
            loader = DataLoader(data, batch_size=None, num_workers=workers, multiprocessing_context="fork", timeout=60)
            for (y, c, count), (y_wanted, c_wanted, _) in zip(loader, wanted, strict=True):
                torch.testing.assert_close(y, y_wanted)
                torch.testing.assert_close(c, c_wanted, atol=1e-5, rtol=1e-5)
                assert count == 1
    finally:
        torch.set_num_threads(before)


def test_no_more_threads_than_torch_allows(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    asked = []
    monkeypatch.setattr(threads, "_gomp_parallel", lambda: lambda entry, data, count, flags: asked.append(count))
    before = torch.get_num_threads()
    try:
        for allowed in (2, 3):
            torch.set_num_threads(allowed)
            threads.run(0, [], (), [(i, i + 1) for i in range(8)])
            threads.run(0, [], (), [(0, 1), (1, 2)])
    finally:
        torch.set_num_threads(before)
    assert asked == [2, 2, 3, 2]
