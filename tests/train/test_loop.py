import io
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from armillary.train import FitResult, Interrupted, NonFiniteLoss, Run, RunError, SaveError, TrainConfig, files, fit
from armillary.train import to_table as table

QUICK = TrainConfig(epochs=4, batch_size=4, lr=1e-2)


class Noise(Dataset[Any]):
    """Random pairs; with ``augment`` they depend on the epoch."""

    def __init__(self, n: int = 14, augment: bool = False, bad: int | None = None) -> None:
        self.n, self.augment, self.bad, self.epoch = n, augment, bad, 0
        self.seen: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch if self.augment else 0

    def name(self, i: int) -> str:
        return f"noise-{i}"

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        self.seen.append(i)
        generator = torch.Generator().manual_seed(1000 * self.epoch + i)
        x = torch.randn(3, 4, 8, generator=generator)
        return (x * math.nan if i == self.bad else x), x.mean(0, keepdim=True)


def network() -> nn.Module:
    generator_state = torch.get_rng_state()
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(5, 1, 1)
    )
    torch.set_rng_state(generator_state)
    return net


class Bias:
    """A metric with the interface of the kit: mean error."""

    def __init__(self) -> None:
        self.state = torch.zeros(2, dtype=torch.float64)

    def reset(self) -> None:
        self.state = torch.zeros(2, dtype=torch.float64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.state += torch.tensor([float((prediction - target).double().sum()), target.numel()])

    def compute(self) -> dict[str, float]:
        return {"bias": (self.state[0] / self.state[1]).item()}


def train(path: Path, config: TrainConfig = QUICK, **changes: Any) -> tuple[nn.Module, FitResult]:
    run = Run.open(path) if (path / "config.toml").exists() else Run.create(path, {"train": table(config)})
    options: dict[str, Any] = {"train_set": Noise(augment=True), "valid_set": Noise(5), "loss": nn.MSELoss()} | changes
    model = options.pop("model", None) or network()
    result = fit(model, options["train_set"], options["valid_set"], options["loss"], Bias(), config, run,
                 console=Console(file=options.get("out", io.StringIO())))  # fmt: skip
    return model, result


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


class Signal(nn.Module):
    """A loss that does something at its n-th call in training mode."""

    def __init__(self, at: int, action: Callable[[], Any]) -> None:
        super().__init__()
        self.at, self.calls, self.action = at, 0, action

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls += prediction.requires_grad
        if self.calls == self.at and prediction.requires_grad:
            self.action()
        return nn.functional.mse_loss(prediction, target)


def test_training_lowers_the_loss_and_keeps_the_best(tmp_path: Path) -> None:
    out = io.StringIO()
    model, result = train(tmp_path / "run", replace(QUICK, epochs=12, batch_size=2), out=out)
    losses = [row["train_loss"] for row in result.history]
    assert losses[-1] < 0.5 * losses[0]
    scores = [row["valid_loss"] for row in result.history]
    assert result.best_score == min(scores)
    assert result.best_epoch == 1 + scores.index(min(scores))
    run = Run.open(tmp_path / "run")
    assert [row["valid_loss"] for row in run.read_metrics()] == scores
    assert "valid bias" in out.getvalue()
    last = run.load_weights("last")
    assert all(torch.equal(v, last[k]) for k, v in model.state_dict().items())
    best = run.load_checkpoint("best")
    assert best.training["place"]["epoch"] == result.best_epoch


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("at", [1, 4, 5, 9])  # first step, last of an epoch, first of the next, midway; 4 steps each
def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path, at: int, workers: int) -> None:
    config = replace(QUICK, epochs=4, workers=workers)
    whole, whole_result = train(tmp_path / "whole", replace(config, workers=0))

    def die() -> None:
        raise SystemExit("killed")

    with pytest.raises(SystemExit):
        train(tmp_path / "run", config, loss=Signal(at, die))
    torch.manual_seed(999)  # a new process starts with other generators
    parts, result = train(tmp_path / "run", config)
    assert same_weights(whole, parts)
    assert [r["valid_bias"] for r in result.history] == [r["valid_bias"] for r in whole_result.history]
    assert result.best_score == whole_result.best_score
    # a different seed is a different path, so the comparison above can fail
    other, _ = train(tmp_path / "other", replace(config, seed=1, workers=0))
    assert not same_weights(whole, other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [2, 4, 7])
def test_a_signal_leaves_an_exactly_resumable_run(tmp_path: Path, number: int, at: int) -> None:
    before = signal.getsignal(number)
    config = replace(QUICK, calibrate=0)  # so that each sample is read once
    whole, _ = train(tmp_path / "whole", config)
    data = Noise(augment=True)
    with pytest.raises(Interrupted, match="--resume") as caught:
        train(tmp_path / "run", config, loss=Signal(at, lambda: os.kill(os.getpid(), number)), train_set=data)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
    seen = len(data.seen)
    assert seen <= 4 * (at + 1)  # it stopped at once
    parts, result = train(tmp_path / "run", config, train_set=data)
    assert same_weights(whole, parts)
    assert len(result.history) == 4
    assert len(data.seen) == 4 * 14  # and went on from there: no sample was seen twice


def test_a_signal_while_validating(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole")

    class Killing(Noise):
        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            if len(self.seen) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__getitem__(i)

    with pytest.raises(Interrupted, match="step 4 of 4"):
        train(tmp_path / "run", valid_set=Killing(5))
    parts, _ = train(tmp_path / "run")
    assert same_weights(whole, parts)


@pytest.mark.parametrize("accumulate", [2, 3])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_accumulation_does_not_change_the_path(tmp_path: Path, accumulate: int, optimizer: Any) -> None:
    def run(name: str, parts: int) -> dict[str, Tensor]:
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(60, 32)).double()
        torch.manual_seed(0)
        for p in model.parameters():
            nn.init.normal_(p, std=0.1)

        class Doubles(Noise):
            def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
                x, y = super().__getitem__(i)
                return x.double(), y.double().flatten()

        config = replace(QUICK, batch_size=5, accumulate=parts, optimizer=optimizer, epochs=2)
        return train(tmp_path / name, config, model=model, train_set=Doubles(), valid_set=None)[0].state_dict()

    whole, parts = run("whole", 1), run("parts", accumulate)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-7, atol=1e-9)
        assert value.abs().max() > 0


def test_early_stop_and_resume_after_it(tmp_path: Path) -> None:
    config = replace(QUICK, epochs=50, early_stop=2, lr=1e-9, best_metric="bias", best_mode="max", warmup=1.0)
    _, result = train(tmp_path / "run", config)
    assert result.stopped_early
    assert len(result.history) == result.best_epoch + 2 < 50
    _, again = train(tmp_path / "run", config)
    assert again == result


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_and_names_the_sample(tmp_path: Path, accumulate: int) -> None:
    config = replace(QUICK, accumulate=accumulate)
    with pytest.raises(NonFiniteLoss, match=r"loss is not finite at epoch 1, step \d; samples: .*noise-9"):
        train(tmp_path / "run", config, train_set=Noise(bad=9))
    assert all(v.isfinite().all() for v in Run.open(tmp_path / "run").load_weights("last").values())


def test_a_gradient_that_is_not_finite_stops(tmp_path: Path) -> None:
    def root(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction * 0).sum().sqrt()

    with pytest.raises(NonFiniteLoss, match="gradient is not finite at epoch 1, step 1"):
        train(tmp_path / "run", loss=root)


def test_a_full_disk_stops_with_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train(tmp_path / "whole")
    write, count = files._write_synced, [0]

    def fill(path: Path, content: bytes) -> None:
        count[0] += 1
        if count[0] > 9:
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_synced", fill)
        with pytest.raises(SaveError, match="the disk is full"):
            train(tmp_path / "run")
    assert not [name for _, d, f in os.walk(tmp_path) for name in d + f if name.startswith(".")]
    resumed, _ = train(tmp_path / "run")
    assert same_weights(whole, resumed)


def test_what_does_not_fit_the_run_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", replace(QUICK, epochs=1))
    with pytest.raises(RunError, match="14 samples, the training set now has 13"):
        train(tmp_path / "run", train_set=Noise(13))
    with pytest.raises(RunError, match=r"another network: .*is missing.*and \d+ more"):
        train(tmp_path / "run", model=nn.Sequential(*network(), nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    with pytest.raises(RunError, match=r"0\.weight is \(5, 3, 3, 3\), the network wants \(6, 3, 3, 3\)"):
        train(tmp_path / "run", model=nn.Sequential(nn.Conv2d(3, 6, 3), *list(network())[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best_metric": "iou"}, "best_metric = 'iou', wanted one of: loss, bias"),
        ({"precision": "16-mixed", "accelerator": "cpu"}, "needs a CUDA device"),
    ],
)
def test_settings_that_cannot_work_fail_before_training(tmp_path: Path, change: dict, message: str) -> None:
    data = Noise()
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", replace(QUICK, **change), train_set=data)
    assert data.seen == []


def test_a_network_without_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no parameter"):
        train(tmp_path / "run", model=nn.ReLU())


def test_mixed_precision_runs_where_the_device_has_it(tmp_path: Path) -> None:
    full, _ = train(tmp_path / "full", replace(QUICK, accelerator="cpu"))
    mixed, result = train(tmp_path / "mixed", replace(QUICK, precision="bf16-mixed", accelerator="cpu"))
    assert all(v.dtype != torch.bfloat16 for v in mixed.state_dict().values())
    assert not same_weights(full, mixed)  # it did compute otherwise
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_no_validation_set(tmp_path: Path) -> None:
    _, result = train(tmp_path / "run", valid_set=None)
    assert result.best_score == min(row["train_loss"] for row in result.history)
