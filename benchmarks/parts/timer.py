"""Worker for either environment: build one layer, then time a forward and a backward pass each time it is told to.

    python timer.py armillary | torch-harmonics

Reads JSON lines on standard input. The first is the case (``speed.Case.job``); the answer says how long the layer took
to build. Each further line, whatever it says, asks for one pass; the answer is ``{"forward", "backward", "peak"}``:
seconds, and the most memory in bytes that the process held in any pass so far (0 where the system does not tell).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def armillary_layer(job: dict[str, Any]) -> torch.nn.Module:
    from armillary.nn import DiscoConv, DiscoConvTranspose, PiecewiseLinear
    from armillary.spaces import grid_from_dict

    ours = job["ours"]
    return (DiscoConvTranspose if ours["transposed"] else DiscoConv)(
        ours["in_channels"],
        ours["out_channels"],
        grid_from_dict(ours["grid"]),
        grid_from_dict(ours["grid_out"]),
        basis=PiecewiseLinear(ours["n_radial"], ours["n_azimuthal"]),
        cutoff=ours["cutoff"],
        bias=False,
    )


def peer_layer(job: dict[str, Any]) -> torch.nn.Module:
    from peer_layers import build

    return build(job["theirs"])


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def one_pass(
    module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor, clock: Callable[[], float]
) -> dict[str, float]:
    x.grad = None
    module.zero_grad()
    start = clock()
    y = module(x)
    middle = clock()
    y.backward(grad)
    return {"forward": middle - start, "backward": clock() - middle}


def forget_peak() -> None:
    """Begin to measure the peak anew, so that building the layer does not count."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The peak of resident memory in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    start = time.perf_counter()
    module = {"armillary": armillary_layer, "torch-harmonics": peer_layer}[sys.argv[1]](job).float()
    built = time.perf_counter() - start
    x = torch.randn(*job["x_shape"], requires_grad=True)
    grad = torch.randn(*job["y_shape"])
    for _ in range(2):  # caches, allocator, thread pools
        one_pass(module, x, grad, CLOCKS[job["clock"]])
    forget_peak()
    print(json.dumps({"build": built}), flush=True)
    for _ in sys.stdin:
        times = one_pass(module, x, grad, CLOCKS[job["clock"]])
        print(json.dumps(times | {"peak": peak()}), flush=True)


if __name__ == "__main__":
    main()
