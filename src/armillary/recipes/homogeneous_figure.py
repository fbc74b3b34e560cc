"""The figure of the recipe on homogeneous spaces: errors and accuracies, as is and turned."""

from __future__ import annotations

from pathlib import Path

from armillary.recipes.report import Result


def draw(path: Path, result: Result) -> Path:
    """Two panels of bars, the winds and the point clouds; light: as is, dark: turned."""
    from matplotlib.figure import Figure

    from armillary.train.pictures import save_figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, word, title in zip(
        figure.subplots(1, 2), ("wind error", "accuracy"), ("wind at 200 hPa", "point clouds"), strict=True
    ):
        rows = [row for row in result.rows if row.metric.startswith(word)]
        names = list(dict.fromkeys(row.name for row in rows))
        for shift, turned, colour in ((-0.18, False, "lightsteelblue"), (0.18, True, "tab:blue")):
            chosen = [row for row in rows if ("turned" in row.metric) == turned]
            places = [names.index(row.name) + shift for row in chosen]
            spreads = [row.std or 0 for row in chosen]
            label = "turned" if turned else "as is"
            axes.bar(places, [row.mean for row in chosen], 0.34, yerr=spreads, capsize=3, color=colour, label=label)
        axes.set_xticks(range(len(names)), [name.replace(", ", ",\n").replace(" as ", "\nas ") for name in names])
        axes.tick_params(axis="x", labelsize=8)
        axes.set(title=title, ylabel="root mean square error, m/s" if word == "wind error" else "accuracy, %")
        axes.legend(frameon=False)
    return save_figure(figure, path)
