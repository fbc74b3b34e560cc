"""The tables of the suite ``gcnn``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armillary.bench.gcnn_cases import ESCNN, ESCNN_FULL, STOCK
from armillary.bench.operations import geometric_mean
from armillary.bench.record import table
from armillary.bench.tables import LEGEND, NONE, Entry, milliseconds, times_over_ours
from armillary.bench.turns import OURS


def _seconds(result: dict[str, Any]) -> str:
    """The median time to construct, in milliseconds with its ratio; what was built once has no ratio."""
    if "construct" in result:
        return milliseconds(result, "construct")
    return f"{1e3 * result['build']:.2f}"


def _cell(result: dict[str, Any], part: str) -> str:
    return milliseconds(result, part) if part in result else NONE


def _training(entries: Sequence[Entry]) -> str:
    columns = ["network", "batch", "implementation", "weights", "to construct, ms", "forward, ms", "backward, ms"]
    columns += ["both, ms", "times ours", "peak, MB"]
    rows = []
    for case, results in entries:
        for name, result in results.items():
            rows.append(
                [
                    case.name,
                    str(case.batch),
                    name,
                    str(result["parameters"]),
                    _seconds(result),
                    *(_cell(result, part) for part in ("forward", "backward", "both")),
                    f"{times_over_ours(result):.2f}" if "both" in result else NONE,
                    f"{result['peak'] / 1e6:.0f}" if "peak" in result else NONE,
                ]
            )
    return table(columns, rows)


def _folded(entries: Sequence[Entry]) -> str:
    columns = ["network", "batch", "implementation", "no gradient, ms", "times folded", "largest difference"]
    rows = []
    for case, results in entries:
        for name, result in results.items():
            rows.append(
                [
                    case.name,
                    str(case.batch),
                    "armillary, folded" if name == OURS else name,
                    milliseconds(result, "inference"),
                    f"{times_over_ours(result, 'inference'):.2f}",
                    f"{result['difference']:.1e}" if "difference" in result else NONE,
                ]
            )
    return table(columns, rows)


def _ratios(entries: Sequence[Entry], name: str, part: str) -> list[float]:
    return [times_over_ours(results[name], part) for _, results in entries if part in results.get(name, {})]


def gcnn_summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """Ratios of all cases together: their time over ours, the least and the geometric mean; the worst of folding."""
    trained = [entry for entry in entries if not entry[0].folded]  # a folded one is built, and folded, and compared
    wanted = (
        (trained, ESCNN, "construct"),
        (trained, ESCNN, "both"),
        (trained, ESCNN_FULL, "both"),
        (entries, STOCK, "inference"),
    )
    found: dict[str, Any] = {}
    for own, name, part in wanted:
        if ratios := _ratios(own, name, part):
            found[f"{name}, {part}"] = {"least": min(ratios), "geometric_mean": geometric_mean(ratios)}
    differences = [results[OURS]["difference"] for case, results in entries if case.folded]
    return found | ({"folded_difference": max(differences)} if differences else {})


def gcnn_table(entries: Sequence[Entry]) -> str:
    """Training beside escnn, folded networks beside stock modules, and the ratios of all cases together."""
    trained = [entry for entry in entries if not entry[0].folded]
    folded = [entry for entry in entries if entry[0].folded]
    parts = [make(own) for make, own in ((_training, trained), (_folded, folded)) if own]
    lines = [
        f"{name}, over ours: geometric mean {ratios['geometric_mean']:.2f}, least {ratios['least']:.2f}."
        for name, ratios in gcnn_summary(entries).items()
        if isinstance(ratios, dict)
    ]
    return "\n\n".join(parts) + "\n" + LEGEND + "".join(f"\n\n{line}" for line in lines)
