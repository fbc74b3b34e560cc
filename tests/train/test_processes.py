"""Two gloo processes on the CPU follow the same path as one."""

import io
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from armillary.train import Interrupted, NonFiniteLoss, Run, TrainConfig, fit, to_table

CONFIG = TrainConfig(epochs=2, batch_size=5, lr=1e-2, accelerator="cpu")  # 11 samples: batches of 5, 5 and 1


class Noise(Dataset[Any]):
    def __init__(self, n: int, bad: int | None = None) -> None:
        self.n, self.bad = n, bad

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(3, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        return (x / 0 if i == self.bad else x), x.mean(0, keepdim=True)


class Bias:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.state = torch.zeros(2, dtype=torch.float64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.state += torch.tensor([float((prediction - target).sum()), target.numel()], dtype=torch.float64)

    def compute(self) -> dict[str, float]:
        return {"bias": (self.state[0] / self.state[1]).item()}


def network() -> nn.Module:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.GroupNorm(1, 5), nn.ReLU(), nn.Conv2d(5, 1, 1))
    return net.double()


def train(path: Path, config: TrainConfig, bad: int | None = None, loss: nn.Module | None = None) -> dict[str, Tensor]:
    if (path / "config.toml").exists():
        run = Run.open(path)
    else:
        run = Run(path, {"train": to_table(config)})
        if os.environ.get("LOCAL_RANK", "0") == "0":
            run = Run.create(path, run.config)
    model = network()
    quiet = Console(file=io.StringIO())
    fit(model, Noise(11, bad), Noise(3), loss or nn.MSELoss(), Bias(), config, run, console=quiet)
    return model.state_dict()


class StopOne(nn.Module):
    """Process 1 alone gets a SIGTERM, at its fourth step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls += prediction.requires_grad
        if self.calls == 4 and os.environ["LOCAL_RANK"] == "1":
            os.kill(os.getpid(), 15)
        return nn.functional.mse_loss(prediction, target)


def process(rank: int, port: int, folder: Path, config: TrainConfig) -> None:
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    found: dict[str, Any] = {"weights": train(folder / "two", config)}
    found["accumulated"] = train(folder / "accumulated", replace(config, accumulate=2))
    errors: list[str] = []
    try:
        train(folder / "bad", config, bad=6)
    except NonFiniteLoss as error:
        errors.append(str(error))
    try:
        train(folder / "stopped", config, loss=StopOne())
    except Interrupted as error:
        errors.append(str(error))
    found["resumed"] = train(folder / "stopped", config)
    found["errors"] = errors
    torch.save(found, folder / f"rank{rank}.pt")


def test_two_processes_follow_the_path_of_one(tmp_path: Path) -> None:
    if not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo backend")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = train(tmp_path / "one", CONFIG)
    config = replace(CONFIG, devices=2)
    torch.multiprocessing.spawn(process, (port, tmp_path, config), nprocs=2)
    found = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    start = network().state_dict()
    for name, value in one.items():
        assert (value - start[name]).abs().max() > 1e-3  # training moved it
        for rank in found:
            for run in ("weights", "accumulated"):
                torch.testing.assert_close(rank[run][name], value, rtol=1e-9, atol=1e-11)
            assert torch.equal(rank["weights"][name], rank["resumed"][name])
    rows = [Run.open(tmp_path / name).read_metrics() for name in ("one", "two")]
    for a, b in zip(*rows, strict=True):
        for key in ("train_loss", "valid_loss", "valid_bias"):
            assert a[key] == pytest.approx(b[key], rel=1e-9)
    for rank in found:
        assert "not finite at epoch 1" in rank["errors"][0]
        assert "epoch 2, step 1" in rank["errors"][1]
    assert all("6" in rank["errors"][0].split("samples: ")[1] for rank in found)
