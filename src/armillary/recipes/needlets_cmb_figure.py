"""The figure of the microwave sky: maps before and after lensing, estimates and their errors, residual spectra."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from armillary.data.cmb import LensedSky
from armillary.data.cmb_delensing import DelensingDataset
from armillary.harmonics import InverseSHT
from armillary.spaces import Equiangular


def draw(
    path: Path, data: DelensingDataset, shown: Mapping[str, Tensor], curves: Mapping[str, Tensor], sky: LensedSky
) -> Path:
    """Left: the first test sky in μK, before lensing, observed, and estimated, and errors; right: residual power.

    ``shown``: coefficients of the first sky, "unlensed" and "observed" first, then estimates by name; ``curves``: r_l
    by name.
    """
    from matplotlib.figure import Figure

    from armillary.train.pictures import orthographic, save_figure

    fine = Equiangular(256)
    synthesis = InverseSHT(fine, sky.lmax)
    maps = {name: synthesis(c).numpy() for name, c in shown.items()}
    names = [name for name in maps if name not in ("unlensed", "observed")]
    picked = (names[1], names[3])  # the standard way, the needlet network
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    left, right = halves
    panels = left.subplots(2, 4)
    truth = maps["unlensed"]
    high = 2.5 * float(truth.std())
    low = 2.5 * float((maps["observed"] - truth).std())
    for column, name in enumerate(("unlensed", "observed", *picked)):
        error = maps[name] - truth
        for row, (values, limit) in enumerate(((maps[name], high), (error, low))):
            panel = panels[row, column]
            view = orthographic(values, fine, 0.6, math.radians(35), 240)
            panel.imshow(view, cmap="RdBu_r", vmin=-limit, vmax=limit)
            panel.set_axis_off()
            title = name.replace(", ", ",\n")
            if row == 0:
                panel.set_title(title if column > 1 else f"{title}, ±{limit:.0f} μK", fontsize=8.5)
            elif column == 0:
                panel.set_visible(False)
            else:
                rms = math.sqrt(float(fine.integrate(torch.from_numpy(error) ** 2)) / (4 * math.pi))
                panel.set_title(f"error, ±{limit:.0f} μK, rms {rms:.1f}", fontsize=8.5)
    spectra, ratios = right.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
    degrees = torch.arange(2, sky.lmax + 1) * sky.stretch
    standard = curves[names[1]]
    for place, (name, curve) in enumerate(curves.items()):
        style = {"linestyle": "--" if place < 3 else "-", "color": f"C{place}", "linewidth": 1.4}
        spectra.semilogy(degrees, curve[2:], label=name, **style)
        if place > 0:
            ratios.plot(degrees, (curve / standard)[2:], **style)
    spectra.set(ylabel="residual power")
    ratios.set(xlabel="degree L of the real sky", ylabel="relative to remapped back")
    spectra.legend(frameon=False, fontsize=7.5)
    for panel in (spectra, ratios):
        panel.grid(alpha=0.3)
    return save_figure(figure, path)
