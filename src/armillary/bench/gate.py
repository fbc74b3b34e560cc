"""The regression gate: times of armillary's layers over those of reference work, compared with recorded ratios.

A workload, a matrix product with as many operations counted, and a 3×3 convolution of the same channels on the same
image take turns in one process; a ratio is that of their fastest turns, forward and backward together, because other
work on the machine can only lengthen a turn. A ratio moves much less from machine to machine than a time. A case that
fails is measured again, and its best ratios count.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from armillary.bench import record
from armillary.bench.cases import PRODUCT, DiscoCase
from armillary.bench.operations import contraction_and_mixing
from armillary.bench.workers.timer import training_pass
from armillary.bench.workers.torch_layers import Conv2d, MatrixProduct
from armillary.harmonics import SHT
from armillary.spaces import GaussLegendre

CONV2D = "conv2d 3×3"
ATTEMPTS = 3
MARGIN = 1.5
ROUNDS = 40
WARM_UP = 3


@dataclass(frozen=True)
class Workload:
    """A module, its input, and the operations counted in its forward pass."""

    module: nn.Module
    x: Tensor
    operations: float


def disco_workload(case: DiscoCase) -> Workload:
    """A DISCO layer with matched moments."""
    layer = case.layer(case.channels, 4)
    x = torch.randn(case.batch, case.channels, *layer.grid.shape, requires_grad=True)
    return Workload(layer, x, sum(contraction_and_mixing(case, len(layer.get_buffer("stencil")))))


def sht_workload(nlat: int, channels: int) -> Workload:
    """The transform of degrees 0..nlat - 1, the Legendre sums counted: 2 operations for each ring, l ≥ m and part."""
    x = torch.randn(1, channels, nlat, 2 * nlat, requires_grad=True)
    return Workload(SHT(GaussLegendre(nlat), lmax=nlat - 1), x, 2.0 * nlat * nlat * (nlat + 1) * channels)


CASES: dict[str, Callable[[], Workload]] = {
    "plain, 3 functions, 128 rings, 16 channels": lambda: disco_workload(DiscoCase(128, 128, 16)),
    "plain, 9 functions, one ring, 128 rings, 16 channels": lambda: disco_workload(
        DiscoCase(128, 128, 16, 8, n_radial=2, one_ring=True)
    ),
    "plain, 4 functions, one ring, 256 rings, 8 channels": lambda: disco_workload(
        DiscoCase(256, 256, 8, 3, n_radial=2, one_ring=True)
    ),
    "strided, 3 functions, 128 to 64 rings, 16 channels": lambda: disco_workload(DiscoCase(128, 64, 16)),
    "transposed, 3 functions, 64 to 128 rings, 16 channels": lambda: disco_workload(DiscoCase(64, 128, 16)),
    "SHT, 128 rings, 16 channels": lambda: sht_workload(128, 16),
}


def references(workload: Workload) -> dict[str, tuple[nn.Module, Tensor]]:
    """The reference work of a workload, each with its input."""
    channels = workload.x.shape[1]
    size = max(8, round((workload.operations / 2) ** (1 / 3)))  # n³ products and sums, as in the workload
    return {
        PRODUCT: (MatrixProduct(size), torch.randn(size, size, requires_grad=True)),
        CONV2D: (Conv2d(channels, channels, 3), torch.randn_like(workload.x).requires_grad_()),
    }


def ratios_to_references(workload: Workload, rounds: int = ROUNDS) -> dict[str, float]:
    """The time of the workload over that of each reference, forward and backward, the fastest of turns each."""
    work = {"": (workload.module, workload.x), **references(workload)}
    grads: dict[str, Tensor] = {}
    for name, (module, x) in work.items():
        grads[name] = torch.randn_like(module(x).detach())
        for _ in range(WARM_UP):
            training_pass(module, x, grads[name], time.perf_counter)
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (module, x) in work.items():
            one = training_pass(module, x, grads[name], time.perf_counter)
            times[name].append(one["forward"] + one["backward"])
    own = times.pop("")
    return {name: min(own) / min(theirs) for name, theirs in times.items()}


def machine_class() -> dict[str, Any]:
    """What must be equal for ratios to be compared."""
    return {
        "architecture": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
    }


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """So many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_record(threads: int, measure: Callable[[str], Mapping[str, float]]) -> dict[str, Any]:
    """The ratios of all cases, medians of ``ATTEMPTS``, the machine's class and the margin of a later run."""
    ratios: dict[str, dict[str, float]] = {}
    for name in CASES:
        attempts = [measure(name) for _ in range(ATTEMPTS)]
        ratios[name] = {key: statistics.median(attempt[key] for attempt in attempts) for key in attempts[0]}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine_class(),
        "torch": torch.__version__,
        "threads": threads,
        "margin": MARGIN,
        "ratios": ratios,
    }


def read_record(path: Path) -> dict[str, Any]:
    """What ``make_record`` made. Raises: ValueError where the file is missing or is something else."""
    fix = f"write one with armillary bench gate {path} --record"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        fault = _fault(found)
    except OSError as error:
        fault = error.strerror or str(error)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # not JSON, or of another shape
        fault = repr(error)
    if fault:
        raise ValueError(f"got {path} ({fault}), wanted a record of the gate: {fix}.")
    return found


def _fault(found: Any) -> str:
    """What is wrong with a record, or nothing. Raises: what reading something of another shape raises."""
    for name, ratios in found["ratios"].items():
        if name not in CASES:
            return f"it has a case {name!r}"
        for key, ratio in ratios.items():
            if key not in (PRODUCT, CONV2D) or not ratio > 0:
                return f"it has a ratio {ratio!r} to {key!r}"
    if not found["ratios"] or not found["margin"] > 1 or found["threads"] < 1 or not found["machine"].keys():
        return "it wants ratios, margin > 1, threads >= 1 and machine"
    return ""


@dataclass(frozen=True)
class Verdict:
    """The best ratio of a case to one reference in so many attempts, beside the recorded one."""

    case: str
    reference: str
    ratio: float
    recorded: float
    margin: float
    attempts: int

    @property
    def passed(self) -> bool:
        """Whether the ratio is within the margin."""
        return self.ratio <= self.margin * self.recorded

    def __str__(self) -> str:
        often = "" if self.attempts == 1 else f", the best of {self.attempts} attempts"
        return (
            f"{self.case}: {self.ratio:.2f} times the {self.reference}, recorded {self.recorded:.2f}, "
            f"wanted at most {self.margin:g} times that{often}"
        )


def other_machine(recorded: Mapping[str, Any]) -> str | None:
    """Why a record says nothing about this machine, or None if it does."""
    here, there = machine_class(), recorded["machine"]
    differing = [key for key in here if here[key] != there.get(key)]
    if not differing:
        return None
    told = ", ".join(f"{key} {there.get(key)} there and {here[key]} here" for key in differing)
    return f"cannot judge: the record is of another class of machine ({told})."


def judge(recorded: Mapping[str, Any], measure: Callable[[str], Mapping[str, float]]) -> Iterator[list[Verdict]]:
    """The verdicts of one case after the other; a case that fails is measured again, ``ATTEMPTS`` times at most."""
    for name, ratios in recorded["ratios"].items():
        best: dict[str, float] = {}
        for attempt in range(1, ATTEMPTS + 1):
            measured = measure(name)
            best = {key: min(measured[key], best.get(key, measured[key])) for key in ratios}
            verdicts = [Verdict(name, key, best[key], ratios[key], recorded["margin"], attempt) for key in ratios]
            if all(verdict.passed for verdict in verdicts):
                break
        yield verdicts


def write_record(path: Path, made: dict[str, Any]) -> Path:
    """Write a record, whole or not at all."""
    return record.write(path.parent, path.name, made)
