"""Score a network on a data set, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from torch.utils.data import DataLoader, Dataset, Subset

from armillary.train.interrupts import ignore_in_worker

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Collate = Callable[[list[Any]], tuple[Any, Any]]
"""Joins samples ``(x, y)`` to a batch: for what torch's own cannot stack, as molecules of different sizes."""


class Metrics(Protocol):
    """What the loop asks of metrics: running sums that can be added over processes."""

    state: Tensor

    def update(self, prediction: Any, target: Any) -> None: ...
    def compute(self) -> dict[str, float]: ...
    def reset(self) -> None: ...


def evaluate(
    model: nn.Module,
    data: Dataset[Any],
    loss: Callable[[Any, Any], Tensor] | None,
    metrics: Metrics | None,
    *,
    fabric: Fabric,
    batch_size: int,
    workers: int = 0,
    collate: Collate | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """``{"loss": mean over samples of the loss, **metrics.compute()}`` in evaluation mode, without gradients.

    Each process scores every world_size-th sample; sums are added over processes. The loss of a batch counts with its
    number of samples. ``None`` where ``should_stop()`` turned true on the way. The training mode is put back.
    ``collate`` and inputs that are tuples: as for ``fit``.
    """
    was_training = model.training
    model.eval()
    if metrics is not None:
        metrics.reset()
    sums = torch.zeros(3, dtype=torch.float64)  # sum of loss, samples, stopped
    try:
        for x, y, count in batches(data, fabric, batch_size, workers, collate):
            if should_stop():
                sums[2] += 1
                break
            with torch.no_grad(), fabric.autocast():
                prediction = full_precision(applied(model, x))
            with torch.no_grad():
                if loss is not None:
                    sums[0] += loss(prediction, y).double().cpu() * count
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


def applied(model: nn.Module, x: Any) -> Any:
    """``model(x)``, or ``model(*x)`` of several inputs in a tuple or list."""
    return model(*x) if isinstance(x, tuple | list) else model(x)


def full_precision(prediction: Any) -> Any:
    """A tensor, or those in a tuple, list or dict, in float32 where it is in half precision."""
    return tree_map_only(Tensor, lambda t: t.float() if t.dtype in (torch.float16, torch.bfloat16) else t, prediction)


def batches(
    data: Dataset[Any], fabric: Fabric, batch_size: int, workers: int = 0, collate: Collate | None = None
) -> Iterator[tuple[Any, Any, int]]:
    """This process's samples in order, in batches on its device: inputs, targets and how many samples they are."""
    mine = Subset(data, range(fabric.global_rank, _length(data), fabric.world_size))
    if len(mine) == 0:
        return
    loader: DataLoader[Any] = DataLoader(
        mine,
        batch_size=batch_size,
        num_workers=min(workers, len(mine)),
        worker_init_fn=ignore_in_worker,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(0),
    )
    for start, (x, y) in zip(range(0, len(mine), batch_size), loader, strict=True):
        yield fabric.to_device(x), fabric.to_device(y), min(batch_size, len(mine) - start)


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
