"""What every recipe writes: ``result.json``, ``figure.png`` and ``report.md``, each complete or not there."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

import armillary
from armillary.train.files import write_json, write_text

Size = TypeVar("Size")


def chosen_scale(scales: Mapping[str, Size], scale: str, seeds: int) -> Size:
    """The size of a recipe by name. Raises: ValueError for an unknown scale, or seeds that are no integer >= 1."""
    if scale not in scales:
        raise ValueError(f"got scale {scale!r}, wanted one of {', '.join(scales)}.")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"got seeds = {seeds!r}, wanted an integer >= 1.")
    return scales[scale]


@dataclass(frozen=True)
class Row:
    """One measured figure: what, by which metric, its mean and spread over seeds, and what it cost."""

    name: str
    metric: str
    mean: float
    std: float | None = None
    n_seeds: int = 1
    params: int | None = None
    seconds: float | None = None

    @classmethod
    def of_seeds(
        cls, name: str, metric: str, values: Sequence[float], params: int | None = None, seconds: float | None = None
    ) -> Row:
        """Mean and sample standard deviation of one figure per seed."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(name, metric, statistics.fmean(values), std, len(values), params, seconds)


@dataclass(frozen=True)
class Check:
    """One part of a claim: what the paper says, what was measured, and whether it holds."""

    text: str
    paper: str
    measured: str
    holds: bool


@dataclass
class Result:
    """The outcome of a recipe. ``holds`` is true only if every part of the claim does."""

    system: str
    scale: str
    claim: str
    paper_value: str
    source: str
    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return bool(self.checks) and all(check.holds for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``result.json``, the same for every system."""
        return {
            "system": self.system,
            "scale": self.scale,
            "claim": {"text": self.claim, "paper_value": self.paper_value, "source": self.source},
            "rows": [asdict(row) for row in self.rows],
            "checks": [asdict(check) for check in self.checks],
            "holds": self.holds,
            "notes": self.notes,
            "versions": {
                "armillary": armillary.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "device": _device(),
        }

    def write(self, out: Path, figures: Sequence[str] = ("figure.png",)) -> dict[str, Any]:
        """Write ``result.json`` and ``report.md`` into ``out``; returns the content of the former."""
        result = self.to_dict()
        write_text(out / "report.md", self._markdown(figures))
        write_json(out / "result.json", result)
        return result

    def _markdown(self, figures: Sequence[str]) -> str:
        lines = [f"# {self.system}, scale {self.scale}", "", self.claim, "", f"Source: {self.source}", ""]
        lines += ["| claim | paper | measured here | holds |", "| --- | --- | --- | --- |"]
        lines += [f"| {c.text} | {c.paper} | {c.measured} | {'yes' if c.holds else '**no**'} |" for c in self.checks]
        for figure in figures:
            lines += ["", f"![figure]({figure})", ""]
        lines += ["| name | metric | mean | std | seeds | parameters | seconds |", "|" + " --- |" * 7]
        for r in self.rows:
            std = "" if r.std is None else f"{r.std:.3g}"
            seconds = "" if r.seconds is None else f"{r.seconds:.3g}"
            lines.append(
                f"| {r.name} | {r.metric} | {r.mean:.4g} | {std} | {r.n_seeds} | {r.params or ''} | {seconds} |"
            )
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def _device() -> str:
    """What trainings with ``accelerator = "auto"`` run on."""
    cpu = f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
    return f"{torch.cuda.get_device_name()}, {cpu}" if torch.cuda.is_available() else cpu
