"""Time and peak memory of a training step of a DISCO U-Net, with activations kept and computed again.

    python benchmarks/training_step.py [--full] [--threads N] [--out FOLDER]

Batch 1, three channels in, two out, widths 16, 32, 64, Adam, float32, Gauss–Legendre. ``--full`` runs 1024×2048, and
2048×4096 with activations computed again. Each case has a process of its own; the second of two steps counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import torch
from options import parser

from armillary.bench import record
from armillary.bench.workers.timer import forget_peak, memory
from armillary.models import DiscoUNet
from armillary.spaces import GaussLegendre

QUICK = [(128, False), (128, True)]
FULL = [(1024, False), (1024, True), (2048, True)]


def measure(nlat: int, recompute: bool, threads: int) -> dict[str, float]:
    """Seconds of a step and bytes that the process held in it at most."""
    torch.set_num_threads(threads)
    net = DiscoUNet(3, 2, GaussLegendre(nlat), widths=(16, 32, 64), recompute=recompute)
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.randn(1, 3, nlat, 2 * nlat)
    for _ in range(2):
        forget_peak()
        began = time.perf_counter()
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": memory("VmHWM")}


def main() -> None:
    """Measure the cases one after the other, each in a process of its own."""
    options = parser(__doc__.splitlines()[0], "1024×2048 and 2048×4096")
    options.add_argument("--one", help="a case, as the process of its own is told")
    arguments = options.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one), arguments.threads)))
        return
    cases, rows = [], []
    for nlat, recompute in FULL if arguments.full else QUICK:
        command = [
            sys.executable,
            __file__,
            "--threads",
            str(arguments.threads),
            "--one",
            json.dumps([nlat, recompute]),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        cases.append({"nlat": nlat, "recompute": recompute, **found})
        kept = "computed again" if recompute else "kept"
        rows.append([f"{nlat}×{2 * nlat}", kept, f"{found['seconds']:.1f}", f"{found['peak'] / 1e9:.2f}"])
    print(record.table(["grid", "activations", "step, s", "peak, GB"], rows))
    record.write(arguments.out, "training_step.json", {**record.surroundings(None, arguments.threads), "cases": cases})


if __name__ == "__main__":
    main()
