"""Worker for any of the environments: build one layer, then make its passes each time it is told to.

    python timer.py our_layers | torch_layers | peer_layers | escnn_layers

Reads JSON lines on standard input. The first is the job: ``build`` (the arguments of a builder of the module named
on the command line), ``x_shape``, ``complex``, ``passes`` (``training``: forward and backward, timed apart;
``inference``: forward without gradient, in evaluation mode where nothing is trained), ``threads`` and ``clock``. The
answer holds ``build`` (seconds), ``entries`` (of the stencil, if there is one), ``parameters`` (the numbers trained),
what the module tells in an attribute ``facts``, and the resident memory of the process before and after building. Each
further line,
whatever it says, asks for one turn, which lasts a tenth of a second or one pass; its answer is ``{"forward",
"backward", "inference"}`` in seconds, as far as asked for, ``peak``, the most memory that the process held during this
turn, and ``baseline``, what it held once warm with no field at hand.
Memory is in bytes, 0 where the system does not tell. Imports torch, and of armillary nothing by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
WARM_UP = 2
TURN = 0.1  # seconds that a turn lasts at least: short passes are made again, and their median counts


def training_pass(
    module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor | None, clock: Callable[[], float]
) -> dict[str, float]:
    """Times of a forward and a backward pass in training mode; ``grad`` None stands for a random one."""
    x.grad = None
    module.zero_grad()
    start = clock()
    y = module(x)
    middle = clock()
    if grad is None:
        grad = torch.randn_like(y)
        middle = clock()
    y.backward(grad)
    return {"forward": middle - start, "backward": clock() - middle}


def inference_pass(module: torch.nn.Module, x: torch.Tensor, clock: Callable[[], float]) -> dict[str, float]:
    """Time of a forward pass without gradient."""
    with torch.no_grad():
        start = clock()
        module(x)
        return {"inference": clock() - start}


def one_turn(
    module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor | None, job: dict[str, Any]
) -> dict[str, float]:
    """The passes of a job, once each."""
    clock = CLOCKS[job["clock"]]
    times: dict[str, float] = {}
    if "inference" in job["passes"]:
        times |= inference_pass(module, x, clock)
    if "training" in job["passes"]:
        times |= training_pass(module, x, grad, clock)
    return times


def long_turn(
    module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor | None, job: dict[str, Any]
) -> dict[str, float]:
    """The medians over as many turns as ``TURN`` holds, at least one."""
    until, turns = time.perf_counter() + TURN, [one_turn(module, x, grad, job)]
    while time.perf_counter() < until:
        turns.append(one_turn(module, x, grad, job))
    return {part: statistics.median(turn[part] for turn in turns) for part in turns[0]}


def make_field(job: dict[str, Any]) -> torch.Tensor:
    """A random input."""
    dtype = torch.complex64 if job["complex"] else torch.float32
    return torch.randn(*job["x_shape"], dtype=dtype, requires_grad="training" in job["passes"])


def forget_peak() -> None:
    """Begin to measure the peak of resident memory anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory(line: str) -> int:
    """A line of the process status in bytes: ``VmHWM`` is the peak of resident memory, ``VmRSS`` its size now."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(text.split()[1]) for text in lines if text.startswith(line + ":")), 0)


def resident() -> int:
    """Resident memory after what nobody holds was given back to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    return memory("VmRSS")


def main() -> None:
    """Serve one job."""
    warnings.simplefilter("ignore", UserWarning)
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    builders = importlib.import_module(sys.argv[1]).BUILDERS
    before = resident()
    start = time.perf_counter()
    module = builders[job["build"]["kind"]](job["build"]).float()
    built = {"build": time.perf_counter() - start, "resident_before": before, "resident_after": resident()}
    built["parameters"] = sum(p.numel() for p in module.parameters())
    built |= getattr(module, "facts", {})
    stencil = getattr(module, "stencil", None)
    module.train("training" in job["passes"])
    for _ in range(WARM_UP):  # caches, allocator, thread pools
        one_turn(module, make_field(job), None, job)
    module.zero_grad()
    baseline = resident()
    x = make_field(job)
    with torch.no_grad():
        grad = torch.randn_like(module(x)) if "training" in job["passes"] else None
    print(json.dumps(built | {"entries": 0 if stencil is None else len(stencil)}), flush=True)
    for _ in sys.stdin:
        forget_peak()
        times = long_turn(module, x, grad, job)
        print(json.dumps(times | {"peak": memory("VmHWM"), "baseline": baseline}), flush=True)


if __name__ == "__main__":
    main()
