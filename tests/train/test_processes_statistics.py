"""Statistics of batch norms under two gloo processes: ours are those of the whole batch, torch's are averaged."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from armillary.groups import cyclic
from armillary.nn import GroupBatchNorm, GroupConv, GroupPool, LiftConv
from armillary.train import Interrupted, Run, TrainConfig, fit, to_table

P4 = cyclic(4)
CONFIG = TrainConfig(epochs=2, batch_size=5, lr=1e-2, accelerator="cpu")  # ten samples: three and two to each process


class Noise(Dataset[Any]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x = (1 + i) * torch.randn(2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        return x, x.mean(0, keepdim=True)[:, 1:-1, 1:-1]


def network(kind: str) -> nn.Module:
    torch.manual_seed(7)
    if kind == "ours":
        norm, last = GroupBatchNorm(3, P4), nn.Sequential(GroupConv(3, 1, P4, 1), GroupPool(P4, "mean"))
        return nn.Sequential(LiftConv(2, 3, P4), norm, nn.ReLU(), last).double()
    layers = (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1))
    return nn.Sequential(*layers).double()


def train(kind: str, path: Path, config: TrainConfig, loss: nn.Module | None = None) -> dict[str, Tensor]:
    if (path / "config.toml").exists():
        run = Run.open(path)
    else:
        run = Run(path, {"train": to_table(config)})
        if os.environ.get("LOCAL_RANK", "0") == "0":
            run = Run.create(path, run.config)
    model, quiet = network(kind), Console(file=io.StringIO())
    fit(model, Noise(10), None, loss or nn.MSELoss(), None, config, run, console=quiet)
    return model.state_dict()


class Stop(nn.Module):
    """A SIGTERM in the third step, in the middle of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 3:
            os.kill(os.getpid(), 15)
        return nn.functional.mse_loss(prediction, target)


def process(rank: int, port: int, folder: Path) -> None:
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    config = TrainConfig(**{**vars(CONFIG), "devices": 2})
    for kind in ("ours", "torch"):
        found[kind] = train(kind, folder / f"{kind}-2", config)
    found["calibrated"] = train("torch", folder / "calibrated", TrainConfig(**{**vars(config), "calibrate": 2}))
    try:
        train("torch", folder / "stopped", config, Stop())
    except Interrupted:
        found["resumed"] = train("torch", folder / "stopped", config)
    torch.save(found, folder / f"rank{rank}.pt")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo backend")
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(process, (port, folder), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_group_batch_norm_follows_the_path_of_one_process(found: list[dict[str, Any]], tmp_path: Path) -> None:
    one = train("ours", tmp_path / "one", CONFIG)
    assert any("running_var" in name for name in one)
    for name, value in one.items():
        for rank in found:
            torch.testing.assert_close(rank["ours"][name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("run", ["torch", "calibrated", "resumed"])
def test_statistics_of_torch_are_the_same_in_all_processes(found: list[dict[str, Any]], run: str) -> None:
    first, second = (rank[run] for rank in found)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert first["1.running_mean"].abs().min() > 0


def test_a_stopped_run_goes_on_with_what_all_processes_have_seen(found: list[dict[str, Any]]) -> None:
    for rank in found:
        for name, value in rank["torch"].items():
            assert torch.equal(rank["resumed"][name], value), name
