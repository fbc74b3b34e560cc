"""Devices, processes and precision: Lightning Fabric set up from a TrainConfig."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from armillary.train.config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(config: TrainConfig) -> Fabric:
    """The Fabric for ``config``: one process for each device, gloo on CPU, nccl on CUDA. Not yet launched.

    Raises: ValueError where this machine has no such device, too few of them, or not the precision.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    kind = resolve_accelerator(config.accelerator)
    _check_count(kind, config.devices)
    check_precision(config.precision, kind)
    if config.devices == 1:
        return Fabric(accelerator=kind, devices=1, precision=config.precision)
    # Buffers are constants of the layers, or statistics that norms of ours synchronise and the loop averages
    # (train.statistics): broadcasting those of one process at every step is wasted.
    backend = "nccl" if kind == "cuda" else "gloo"
    names = inspect.signature(torch.nn.parallel.DistributedDataParallel).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"  # renamed in torch 2.13
    options: dict[str, Any] = {option: False}
    strategy = DDPStrategy(process_group_backend=backend, **options)
    return Fabric(accelerator=kind, devices=config.devices, strategy=strategy, precision=config.precision)


def resolve_accelerator(name: str) -> str:
    """``auto`` is CUDA where there is one, else the CPU. Raises: ValueError where the machine has no such device."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("train: got accelerator = 'cuda', but torch sees no CUDA device here: use auto or cpu.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError("train: got accelerator = 'mps', but torch sees no MPS device here: use auto or cpu.")
    return name


def _check_count(kind: str, devices: int) -> None:
    there = {"cuda": torch.cuda.device_count, "mps": lambda: 1}.get(kind)
    if there is not None and devices > there():
        raise ValueError(f"train: got devices = {devices}, this machine has {there()} of kind {kind}.")


def check_precision(precision: str, kind: str) -> None:
    """Raise a ValueError where a device of this kind has no such arithmetic."""
    if precision == "16-mixed" and kind != "cuda":
        raise ValueError(
            f"train: got precision = '16-mixed', which needs a CUDA device; {kind} has bf16-mixed at most."
        )
    if precision == "bf16-mixed" and (kind == "mps" or (kind == "cuda" and not torch.cuda.is_bf16_supported())):
        raise ValueError(f"train: got precision = 'bf16-mixed', which this {kind} device has not: use 32-true.")
