"""Processes that hold one layer each and take turns, so that a drift of the machine meets all of them."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from armillary.bench import peer

OURS = "armillary"
THEIRS = ("torch-harmonics", "torch-harmonics, fused")
PARTS = ("inference", "forward", "backward")
PAUSE = 0.05  # seconds between turns, so that the threads of the one before are asleep


@dataclass(frozen=True)
class Job:
    """What a worker does: ``build`` by the ``builders``, then passes on a random field of ``x_shape``.

    ``builders`` is the module in ``workers``; that of a peer runs in its environment, the others in ours. ``training``
    is forward and backward, ``inference`` forward without gradient, in evaluation mode where it stands alone. Without
    passes it is only built.
    """

    builders: str
    build: dict[str, Any]
    x_shape: tuple[int, ...]
    passes: tuple[str, ...] = ("training",)
    complex: bool = False


@dataclass(frozen=True)
class Conditions:
    """How a run is made: ``rounds`` of turns, ``threads`` of each worker, the clock, the peer's Python if there is one.

    Everything is built ``builds`` times, each in a new process.
    """

    rounds: int
    threads: int
    clock: str = "wall"
    interpreter: Path | None = None
    builds: int = 1

    def can_run(self, job: Job) -> bool:
        """Whether the environment of the job is at hand."""
        return peer.peer_of(job.builders) is None or self.interpreter is not None


class Runner:
    """A process that holds one layer and makes its passes on demand. Raises: WorkerError where it has ended."""

    def __init__(self, job: Job, conditions: Conditions) -> None:
        theirs = peer.peer_of(job.builders) is not None
        interpreter = conditions.interpreter if theirs else Path(sys.executable)
        threads = str(conditions.threads)
        environment = peer.environment() if theirs else dict(os.environ)
        self.name = job.builders
        self.process = subprocess.Popen(
            [str(interpreter), str(peer.SCRIPTS / "timer.py"), job.builders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the process that asks; its end is theirs, by their input
            env={**environment, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        try:
            self.built = self.ask(
                {
                    "build": job.build,
                    "x_shape": job.x_shape,
                    "passes": job.passes,
                    "complex": job.complex,
                    "threads": conditions.threads,
                    "clock": conditions.clock,
                }
            )
        except BaseException:
            self.close()
            raise

    def ask(self, message: Any) -> dict[str, float]:
        """The worker's answer to one line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the empty answer below tells
            print(json.dumps(message), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise peer.WorkerError(f"timer.py {self.name} ended with code {code}: see its message above.")
        return json.loads(line)

    def close(self) -> None:
        """End the process, by force if it does not end by itself."""
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def measure(
    jobs: Mapping[str, Job], conditions: Conditions, tick: Callable[[float], None] = lambda share: None
) -> dict[str, dict[str, Any]]:
    """The results of the jobs that can run, in turns; ``tick`` is told the share of the work done since it was last.

    In each round every worker makes its passes once, in an order that changes from round to round. With more than one
    build the jobs are built in turns, too, and the last ones make the passes.
    """
    runners: dict[str, Runner] = {}
    chosen = {name: job for name, job in jobs.items() if conditions.can_run(job)}
    built: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    step = 1 / (conditions.rounds + conditions.builds)  # building counts as a round
    try:
        for build in range(conditions.builds):
            for name, job in chosen.items():
                last = build == conditions.builds - 1
                runners[name] = Runner(job if last else replace(job, passes=()), conditions)
                built[name].append(runners[name].built)
                if not last:
                    runners.pop(name).close()
                tick(step / len(chosen))
        names = [name for name in runners if chosen[name].passes]
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for turn in range(conditions.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                time.sleep(PAUSE)
                turns[name].append(runners[name].ask("turn"))
            tick(step)
    except BaseException:
        for runner in runners.values():
            runner.process.kill()  # it may be in the middle of a long pass
        raise
    finally:
        for runner in runners.values():
            runner.close()
    return summarise(turns, built)


def summarise(
    turns: Mapping[str, list[dict[str, float]]], built: Mapping[str, list[dict[str, float]]]
) -> dict[str, dict[str, Any]]:
    """Medians of the times; medians and quartiles over rounds of ours over each; memory.

    Result: ``{name: {**the last of built, "peak", "baseline", part: {"median_s", "times_s", "ours_over_this",
    "quartiles"}}}`` with the parts forward, backward, both (their sum) and inference, as far as they were measured, and
    construct if it was built more than once.
    """
    times: dict[str, dict[str, list[float]]] = {}
    for name, builds in built.items():
        own = turns.get(name, [])
        measured = [part for part in PARTS if own and part in own[0]]
        parts: dict[str, list[float]] = {part: [turn[part] for turn in own] for part in measured}
        if "backward" in parts:
            parts["both"] = [sum(pair) for pair in zip(parts["forward"], parts["backward"], strict=True)]
        if len(builds) > 1:
            parts["construct"] = [build["build"] for build in builds]
        times[name] = parts
    results: dict[str, dict[str, Any]] = {}
    for name, parts in times.items():
        result: dict[str, Any] = dict(built[name][-1])
        if own := turns.get(name, []):
            result |= {"peak": max(turn["peak"] for turn in own), "baseline": own[0]["baseline"]}
        for part, taken in parts.items():
            result[part] = {"median_s": statistics.median(taken), "times_s": taken}
            if ours := times.get(OURS, {}).get(part):
                ratios = [a / b for a, b in zip(ours, taken, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                result[part] |= {"ours_over_this": middle, "quartiles": [low, high]}
        results[name] = result
    return results
