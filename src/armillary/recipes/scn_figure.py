"""The figure of system 20: forces against epochs, errors against cost, energy along the dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from armillary.recipes.scn_dynamics import Drift
from armillary.recipes.scn_training import Scored


def draw(
    path: Path, equal: Mapping[str, Scored], sweep: Mapping[tuple[int, int], Scored], drifts: Mapping[str, Drift]
) -> Path:
    """Left: force error on the frames held out, by epoch; middle: on test frames, against the time of an epoch, by L
    and M; right: total energy along the dynamics."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    curves, cost, energy = figure.subplots(1, 3)
    for name, scored in equal.items():
        rows = scored.found.history
        curves.plot([r["epoch"] for r in rows], [r["valid_force_mae"] for r in rows], label=name)
    curves.set(xlabel="epoch", ylabel="force error, meV/Å", yscale="log", title="networks of equal size")
    curves.legend(frameon=False, fontsize=8)
    for m in sorted({m for _, m in sweep}):
        points = sorted((s.seconds_per_epoch, s.scores["force_mae"], l) for (l, k), s in sweep.items() if k == m)
        cost.plot([p[0] for p in points], [p[1] for p in points], "o-", label=f"M = {m}")
        for x, y, l in points:
            place = (4, 4) if m % 2 else (-14, -12)  # M = 1 and 2 lie close
            cost.annotate(f"L = {l}", (x, y), textcoords="offset points", xytext=place, fontsize=8)
    cost.set(xlabel="seconds for an epoch", ylabel="force error, meV/Å", title="eSCN by degree and order")
    cost.legend(frameon=False, fontsize=8)
    for name, found in drifts.items():
        energy.plot(found.times, [1000 * total for total in found.totals], label=name, linewidth=0.8)
    energy.set(xlabel="time, ps", ylabel="energy above the start, meV", title="constant-energy dynamics")
    energy.set_yscale("symlog", linthresh=10)
    energy.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)
