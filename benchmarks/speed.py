"""Time of a DISCO layer, forward and backward, paired with torch-harmonics' on the same machine in the same minutes.

    python benchmarks/speed.py [--full | --sizes] [--rounds N] [--clock wall|cpu] [--out FOLDER]

The implementations wait in processes of their own, built and warmed up, and take turns: in each round every one makes
one pass, in an order that changes from round to round. A drift of the machine then meets all of them. Given are the
medians of the times, and the median and quartiles over rounds of ours/theirs (above 1: armillary is slower). Both have
the same grids, hats, cutoff and channels, float32, training mode; armillary with its default matched moments,
torch-harmonics with its compiled CPU kernels, and once more with ``fused=True``. ``--sizes`` runs grids from 180 to
2048 rings with the default cutoff of torch-harmonics, one ring of the output, 4 and 9 functions, plain and strided.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import peer
from parts import record
from parts.peer_cases import WIDENING, PairedBasis, describe_layer, hats

from armillary.nn import DiscoConv, DiscoConvTranspose
from armillary.spaces import GaussLegendre

OURS = "armillary"
THEIRS = ("torch-harmonics", "torch-harmonics, fused")
PAUSE = 0.05  # seconds between turns, so that the threads of the one before are asleep


@dataclass(frozen=True)
class Case:
    """A layer from ``nlat`` to ``nlat_out`` Gauss–Legendre rings, twice as many longitudes.

    The cutoff is in rings of the input, or with ``one_ring`` that of the peer's default: the widest gap between rings
    of the output.
    """

    nlat: int
    nlat_out: int
    channels: int = 32
    n_azimuthal: int = 1
    batch: int = 1
    n_radial: int = 3
    one_ring: bool = False

    @property
    def transposed(self) -> bool:
        return self.nlat_out > self.nlat

    @property
    def name(self) -> str:
        kind = "transposed" if self.transposed else "strided" if self.nlat_out < self.nlat else "plain"
        return kind if self.n_azimuthal == 1 else f"{kind}, directional ({self.hats.basis.size} functions)"

    @property
    def hats(self) -> PairedBasis:
        return hats(self.n_radial, self.n_azimuthal)

    @property
    def cutoff(self) -> float | None:
        if not self.one_ring:
            return None
        return float(GaussLegendre(self.nlat_out).colatitudes.diff().max()) * WIDENING

    def job(self, threads: int, fused: bool, clock: str = "wall") -> dict[str, Any]:
        grid, grid_out = GaussLegendre(self.nlat), GaussLegendre(self.nlat_out)
        paired = self.hats
        kind = DiscoConvTranspose if self.transposed else DiscoConv
        # a stencil without moments is built in an instant; the description is the same
        layer = kind(
            self.channels,
            self.channels,
            grid,
            grid_out,
            basis=paired.basis,
            cutoff=self.cutoff,
            bias=False,
            moments=None,
        )
        return {
            "threads": threads,
            "clock": clock,
            "x_shape": [self.batch, self.channels, *grid.shape],
            "y_shape": [self.batch, self.channels, *grid_out.shape],
            "theirs": describe_layer(layer, paired, "nodal", "x", "w") | {"fused": fused},
            "ours": {
                "transposed": self.transposed,
                "in_channels": self.channels,
                "out_channels": self.channels,
                "grid": grid.to_dict(),
                "grid_out": grid_out.to_dict(),
                "n_radial": self.n_radial,
                "n_azimuthal": self.n_azimuthal,
                "cutoff": layer.cutoff,
            },
        }


QUICK = [Case(64, 64), Case(128, 128), Case(128, 64), Case(64, 128)]
FULL = [*QUICK, Case(128, 128, n_azimuthal=4), Case(256, 256)]
SIZES = [
    Case(nlat, nlat // stride, channels, n_azimuthal=azimuths, n_radial=2, one_ring=True)
    for nlat, channels in ((180, 64), (256, 32), (360, 64), (512, 16), (1024, 16), (2048, 8))
    for azimuths in (3, 8)
    for stride in (1, 2)
]


class Runner:
    """A process that holds one layer and makes a pass on demand."""

    def __init__(self, interpreter: Path, side: str, job: dict[str, Any], environment: dict[str, str]) -> None:
        threads = str(job["threads"])
        command = [str(interpreter), str(peer.SCRIPTS / "timer.py"), side]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        self.side = side
        self.build = self.ask(job)["build"]

    def ask(self, message: Any) -> dict[str, float]:
        """Raises: PeerError where the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the empty answer below tells
            print(json.dumps(message), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise peer.PeerError(f"timer.py {self.side} ended with code {self.process.wait()}: see its message above.")
        return json.loads(line)

    def close(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait()


def measure(case: Case, rounds: int, threads: int, clock: str, interpreter: Path) -> dict[str, Any]:
    """All times of a case, in turns."""
    runners: dict[str, Runner] = {}
    try:
        runners[OURS] = Runner(Path(sys.executable), "armillary", case.job(threads, False, clock), dict(os.environ))
        for name in THEIRS[: 1 if case.transposed else 2]:  # their transposed layer has no fused path
            job = case.job(threads, name != THEIRS[0], clock)
            runners[name] = Runner(interpreter, "torch-harmonics", job, peer.environment())
        times: dict[str, list[dict[str, float]]] = {name: [] for name in runners}
        names = list(runners)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                time.sleep(PAUSE)
                one = runners[name].ask("pass")
                times[name].append(one | {"both": one["forward"] + one["backward"]})
    finally:
        for runner in runners.values():
            runner.close()
    results = {}
    for name, passes in times.items():
        results[name] = {"build": runners[name].build}
        results[name]["peak"] = max(p["peak"] for p in passes)
        for part in ("forward", "backward", "both"):
            ratios = [ours[part] / theirs[part] for ours, theirs in zip(times[OURS], passes, strict=True)]
            quartiles = statistics.quantiles(ratios, n=4)
            results[name][part] = {
                "median_s": statistics.median(p[part] for p in passes),
                "ours_over_this": quartiles[1],
                "quartiles": [quartiles[0], quartiles[2]],
                "times_s": [p[part] for p in passes],
            }
    return {"case": {"name": case.name, **asdict(case)}, "results": results}


def print_table(measured: list[dict[str, Any]]) -> None:
    columns = [
        "layer",
        "grid",
        "channels",
        "implementation",
        "forward, ms",
        "ours/theirs",
        "backward, ms",
        "ours/theirs",
        "both: theirs/ours",
        "peak, MB",
    ]
    rows = []
    for entry in measured:
        case = entry["case"]
        shape = f"{case['nlat']}×{2 * case['nlat']} → {case['nlat_out']}×{2 * case['nlat_out']}"
        for name, result in entry["results"].items():
            row = [case["name"], shape, str(case["channels"]), name]
            for part in ("forward", "backward"):
                low, high = result[part]["quartiles"]
                ratio = "" if name == OURS else f"{result[part]['ours_over_this']:.2f} ({low:.2f}–{high:.2f})"
                row += [f"{1e3 * result[part]['median_s']:.1f}", ratio]
            both = "" if name == OURS else f"{1 / result['both']['ours_over_this']:.2f}"
            rows.append([*row, both, f"{result['peak'] / 1e6:.0f}"])
    print(record.table(columns, rows))
    best = [
        min(1 / r["both"]["ours_over_this"] for name, r in entry["results"].items() if name != OURS)
        for entry in measured
    ]
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in best))
    print(
        f"\nforward and backward, the faster of theirs over ours: geometric mean {mean:.2f}, "
        f"least {min(best):.2f}, of {len(best)} cases"
    )


def main() -> int:
    options = record.parser(__doc__.splitlines()[0], "256 rings and a directional layer too")
    options.add_argument("--sizes", action="store_true", help="six sizes, 4 and 9 functions, plain and strided")
    options.add_argument("--rounds", type=int, default=9, help="passes of each implementation (at least 2)")
    options.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of the processor, with --threads 1, if busy"
    )
    arguments = options.parse_args()
    if arguments.clock == "cpu" and arguments.threads != 1:
        options.error("--clock cpu adds up the threads, waiting ones too: pass --threads 1 with it")
    if arguments.rounds < 2:
        options.error(f"got --rounds {arguments.rounds}, wanted at least 2")
    measured = []
    try:
        interpreter = peer.python()
        versions = peer.versions(interpreter)
        for case in SIZES if arguments.sizes else FULL if arguments.full else QUICK:
            measured.append(measure(case, arguments.rounds, arguments.threads, arguments.clock, interpreter))
            print(f"{case}: done", file=sys.stderr)
    except peer.PeerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_table(measured)
    about = record.surroundings(versions, arguments.threads)
    name = "speed_sizes.json" if arguments.sizes else "speed.json"
    record.write(
        arguments.out, name, {**about, "rounds": arguments.rounds, "clock": arguments.clock, "cases": measured}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
