"""Score a network on a data set, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from armillary.train.interrupts import ignore_in_worker

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Metrics(Protocol):
    """What the loop asks of metrics: running sums that can be added over processes."""

    state: Tensor

    def update(self, prediction: Tensor, target: Tensor) -> None: ...
    def compute(self) -> dict[str, float]: ...
    def reset(self) -> None: ...


def evaluate(
    model: nn.Module,
    data: Dataset[Any],
    loss: Callable[[Tensor, Tensor], Tensor] | None,
    metrics: Metrics | None,
    *,
    fabric: Fabric,
    batch_size: int,
    workers: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """``{"loss": mean over samples of the loss, **metrics.compute()}`` in evaluation mode, without gradients.

    Each process scores every world_size-th sample; sums are added over processes. The loss of a batch counts with its
    number of samples. ``None`` where ``should_stop()`` turned true on the way. The training mode is put back.
    """
    was_training = model.training
    model.eval()
    if metrics is not None:
        metrics.reset()
    sums = torch.zeros(3, dtype=torch.float64)  # sum of loss, samples, stopped
    try:
        for x, y in batches(data, fabric, batch_size, workers):
            if should_stop():
                sums[2] += 1
                break
            with torch.no_grad(), fabric.autocast():
                prediction = model(x)
            if prediction.dtype in (torch.float16, torch.bfloat16):
                prediction = prediction.float()
            with torch.no_grad():
                if loss is not None:
                    sums[0] += loss(prediction, y).double().cpu() * len(x)
                if metrics is not None:
                    metrics.update(prediction, y)
        sums[1] += len(range(fabric.global_rank, _length(data), fabric.world_size))
    finally:
        model.train(was_training)
    sums = sum_over_processes(sums, fabric)
    if sums[2] > 0:
        return None
    result = {} if loss is None else {"loss": (sums[0] / sums[1]).item()}
    if metrics is not None:
        metrics.state = sum_over_processes(metrics.state, fabric)
        result.update(metrics.compute())
    return result


def batches(data: Dataset[Any], fabric: Fabric, batch_size: int, workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's samples in order, in batches on its device."""
    mine = Subset(data, range(fabric.global_rank, _length(data), fabric.world_size))
    if len(mine) == 0:
        return
    loader: DataLoader[Any] = DataLoader(
        mine,
        batch_size=batch_size,
        num_workers=min(workers, len(mine)),
        worker_init_fn=ignore_in_worker,
        generator=torch.Generator().manual_seed(0),
    )
    for x, y in loader:
        yield fabric.to_device(x), fabric.to_device(y)


def sum_over_processes(values: Tensor, fabric: Fabric) -> Tensor:
    """The elementwise sum of a tensor over all processes; itself with one."""
    if fabric.world_size == 1:
        return values
    device = fabric.device if fabric.device.type == "cuda" else torch.device("cpu")
    total = values.detach().to(device, copy=True)
    torch.distributed.all_reduce(total)
    return total.to(values.device)


def _length(data: Dataset[Any]) -> int:
    return len(data)  # type: ignore[arg-type]  # map-style sets have a length
