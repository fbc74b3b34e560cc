"""``armillary bench``: times and memory beside the peers, and the gate against layers that become slower."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from armillary.bench import gate as gates
from armillary.bench import peer as peers
from armillary.bench import record
from armillary.bench.cases import Case
from armillary.bench.suites import SUITES, Suite, measure_suite
from armillary.bench.tables import Entry, title
from armillary.bench.turns import Conditions
from armillary.train import SaveError

GATE_FILE = Path("benchmarks") / "gate.json"


def bench(
    suite: str | None = None,
    *,
    full: Annotated[bool, Parameter(negative=())] = False,
    rounds: int | None = None,
    threads: int | None = None,
    clock: Literal["wall", "cpu"] = "wall",
    peer: Path | None = None,
    make_peer: Path | None = None,
    no_peer: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
) -> int:
    """Measure time and memory beside torch-harmonics, escnn, e3nn and conv2d; write SUITE.json, SUITE.md and SUITE.png.

    Examples::

        armillary bench layers --make-peer build/peer
        armillary bench sizes --full --rounds 5 --out results/bench
        armillary bench conv2d
        armillary bench gcnn --make-peer build/escnn
        armillary bench edge
        armillary bench gate benchmarks/gate.json

    The implementations wait in processes of their own, built and warmed up, and take turns. Given are medians of the
    times, medians and quartiles of paired ratios, and the peak of resident memory during the passes. After Ctrl-C
    what was measured so far is in the files.

    Parameters
    ----------
    suite
        layers, sizes, conv2d, scaling, sht, so3, edge or gcnn (default: all of them).
    full
        All sizes, not only the quick ones.
    rounds
        Turns of each implementation, at least 2 (default: 9 or 5, by suite).
    threads
        Threads of each implementation (default: all cores).
    clock
        wall, or cpu: time of the processor, with --threads 1, on a busy machine.
    peer
        Python of an environment with the suite's peer: torch-harmonics (default: $ARMILLARY_PEER_PYTHON, or build/peer
        if it is there), for gcnn escnn (default: $ARMILLARY_ESCNN_PYTHON, or build/escnn), for edge e3nn (default:
        $ARMILLARY_E3NN_PYTHON, or build/e3nn, or this Python if it has e3nn).
    make_peer
        Make that environment in this directory, if it is not there yet.
    no_peer
        Measure armillary and stock modules alone.
    out
        Directory for the results (default: results/bench/SUITE).
    """
    chosen = _suites(suite)
    threads = _checked_threads(threads)
    if rounds is not None and rounds < 2:
        raise ValueError(f"got --rounds {rounds}, wanted at least 2: a spread needs two turns.")
    if clock == "cpu" and threads != 1:
        raise ValueError(f"got --clock cpu with {threads} threads, whose waiting it would add up: pass --threads 1.")
    if sum((peer is not None, make_peer is not None, no_peer)) > 1:
        raise ValueError("got more than one of --peer, --make-peer and --no-peer, wanted one: leave the others out.")
    if (peer or make_peer) and len(_peers(chosen)) > 1:
        raise ValueError(
            f"got --{'peer' if peer else 'make-peer'} for all suites, wanted one suite: their peers have "
            f"environments of their own. Name the suite, or set {' and '.join(p.variable for p in peers.PEERS)}."
        )
    folders = {s.name: out or Path("results") / "bench" / s.name for s in chosen}
    for folder in folders.values():
        _check_writable(folder)
    pythons = {p: None if no_peer else p.make(make_peer) if make_peer else p.find(peer) for p in _peers(chosen)}
    versions = {p: p.versions(python) if python else None for p, python in pythons.items()}
    for library, python in pythons.items():
        if python is None and not no_peer:
            print(f"without {library.name}: {library.hint}; --peer PYTHON takes one that is there.", file=sys.stderr)
    for one in chosen:
        conditions = Conditions(rounds or one.rounds, threads, clock, pythons[one.peer], one.builds)
        about = {**record.surroundings(versions[one.peer], threads), "suite": one.name, "full": full}
        about |= {"rounds": conditions.rounds, "clock": clock}
        if not _Run(one, one.cases(full), conditions, about, folders[one.name]).finish():
            return 130
    return 0


def _peers(suites: list[Suite]) -> list[peers.Peer]:
    """The peers of some suites, each once."""
    return list(dict.fromkeys(suite.peer for suite in suites))


def _suites(name: str | None) -> list[Suite]:
    if name is None:
        return list(SUITES.values())
    if name not in SUITES:
        near = difflib.get_close_matches(name, [*SUITES, "gate"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "leave it out to run all."
        raise ValueError(f"got suite {name!r}, wanted one of {', '.join(SUITES)}, or gate: {hint}")
    return [SUITES[name]]


def _checked_threads(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise ValueError(f"got --threads {threads}, wanted at least 1.")
    return threads or os.cpu_count() or 1


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"got {folder} ({reason}), wanted a directory to write to: pass another as --out DIR."
        ) from error


class _Run:
    """One suite: measured case by case, each result on disk before the next case begins."""

    def __init__(
        self, suite: Suite, cases: tuple[Case, ...], conditions: Conditions, about: dict[str, Any], folder: Path
    ) -> None:
        self.suite, self.cases, self.conditions, self.about, self.folder = suite, cases, conditions, about, folder
        self.entries: list[Entry] = []
        self.console = Console(stderr=True)

    def finish(self) -> bool:
        """Measure and write; False if the user stopped it. Raises: WorkerError, after what was measured is written."""
        try:
            self._measure()
        except KeyboardInterrupt:
            self._report()
            part = f"{len(self.entries)} of {len(self.cases)} cases of {self.suite.name} were measured"
            print(f"\ninterrupted: {part}" + (f" and are in {self.folder}." if self.entries else "."), file=sys.stderr)
            return False
        except peers.WorkerError:
            self._report()
            raise
        self._report()
        return True

    def _measure(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(self.suite.name, total=len(self.cases))

            def tick(case: Case, share: float) -> None:
                bar.update(task, description=f"{self.suite.name}: {title(case)}", advance=share)

            for entry in measure_suite(self.cases, self.conditions, tick):
                self.entries.append(entry)
                self._write_json()
                if not self.console.is_terminal:
                    print(f"{self.suite.name}: {title(entry[0])}: done", file=sys.stderr)

    def _write_json(self) -> Path:
        complete = len(self.entries) == len(self.cases)
        document = {**self.about, "complete": complete, **self.suite.document(self.entries)}
        try:
            return record.write(self.folder, f"{self.suite.name}.json", document)
        except OSError as error:
            raise SaveError(f"could not save to {self.folder}: {error.strerror}. Free some space.") from error

    def _report(self) -> None:
        """The table and the picture of what there is."""
        if not self.entries:
            return
        name, text = self.suite.name, self.suite.table(self.entries)
        print(f"{text}\n")
        try:
            written = [self._write_json(), record.write_text(self.folder, f"{name}.md", text + "\n")]
            written.append(record.write_bytes(self.folder, f"{name}.png", self.suite.draw(self.entries)))
        except OSError as error:
            raise SaveError(f"could not save to {self.folder}: {error.strerror}. Free some space.") from error
        print(f"wrote {', '.join(str(path) for path in written)}")


def gate(
    file: Path = GATE_FILE,
    *,
    record: Annotated[bool, Parameter(negative=())] = False,
    threads: int | None = None,
) -> int:
    """Compare the speed of layers with a record, relative to a matrix product and a conv2d in the same process.

    Examples::

        armillary bench gate benchmarks/gate.json
        armillary bench gate benchmarks/gate.json --record

    Exit code 1 if a layer took more than the margin of the record times its recorded ratio in three attempts. On
    another class of machine than that of the record nothing is judged.

    Parameters
    ----------
    file
        The record.
    record
        Measure and write the record anew.
    threads
        Threads to record with (default: all cores); a comparison takes those of the record.
    """
    if record:
        return _record_gate(file, _checked_threads(threads))
    if threads is not None:
        raise ValueError(f"got --threads {threads} without --record, wanted the threads of the record: leave it out.")
    recorded = gates.read_record(file)
    if reason := gates.other_machine(recorded):
        print(reason)
        return 0
    failed = []
    with gates.threads_of_torch(recorded["threads"]):
        for verdicts in gates.judge(recorded, _measure_gate):
            for verdict in verdicts:
                print(f"{'ok' if verdict.passed else 'SLOWER'}  {verdict}")
            failed += [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        print(f"error: slower than recorded: {'; '.join(str(verdict) for verdict in failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _measure_gate(name: str) -> dict[str, float]:
    return gates.ratios_to_references(gates.CASES[name]())


def _record_gate(file: Path, threads: int) -> int:
    _check_writable(file.parent)
    with gates.threads_of_torch(threads):
        made = gates.make_record(threads, _measure_gate)
    for name, ratios in made["ratios"].items():
        print(f"{name}: " + ", ".join(f"{ratio:.2f} times the {key}" for key, ratio in ratios.items()))
    print(f"wrote {gates.write_record(file, made)}")
    return 0
