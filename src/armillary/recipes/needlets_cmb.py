"""System 4, needlets, on the microwave sky: what it was before lensing, by networks and by Wiener filters.

Source: Yi, Chen, Wang, Zhou, Liò, Fan & Hamann 2022, arXiv 2206.10385. Skies, noise, inputs and scores are this
library's own, so its figures are not compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from armillary.data.cmb import LensedSky, spectrum_of
from armillary.data.cmb_delensing import INPUTS, DelensingDataset
from armillary.data.lensing import GradientProduct
from armillary.harmonics import SHT, InverseSHT
from armillary.models import DiscoUNet, PlanarUNet, SphereNeedletNet
from armillary.nn import L2Loss
from armillary.ops.constants import ConstantModule
from armillary.recipes.needlets_cmb_figure import draw
from armillary.recipes.needlets_cmb_scores import Scores, score
from armillary.recipes.report import Check, Row
from armillary.recipes.training import Trained, trained
from armillary.train import TrainConfig, to_table

WIENER, STANDARD = "Wiener filter of the observed map", "Wiener filters, remapped back"
TWICE = "remapped back, then along the quadratic estimate"
NEEDLETS, DISCO, PLANE = "needlet network", "DISCO U-Net", "planar U-Net"
SPECTRUM, RESIDUAL = "CMB: delensed-spectrum error", "CMB: residual power"
MAP = "CMB: map error, relative"
FIGURE, PROFILES = "cmb.png", 3
PUBLISHED = "delensing: none that these skies could be compared with"


@dataclass(frozen=True)
class CMBScale:
    """How large the comparison is: the skies, how many of them, how long networks train on them, the
    widths of the needlet network, and those of the lower levels of the U-Nets relative to the first."""

    sky: LensedSky
    train: int
    valid: int
    test: int
    epochs: int
    widths: tuple[int, ...]
    levels: tuple[float, ...]


SCALES = {
    "tiny": CMBScale(LensedSky(lmax=15, stretch=120), 8, 4, 4, 1, (4, 4), (2,)),
    "small": CMBScale(LensedSky(), 256, 64, 96, 4, (16, 16), (2,)),
    "paper": CMBScale(LensedSky(lmax=127, stretch=20), 4096, 256, 512, 40, (32, 32, 32), (2, 4)),
}


class Correction(ConstantModule):
    """The map remapped back, moved on along a potential and corrected, both by a network:

        y = T + g r + ∇T·∇ψ,    (r, ψ/s) = network(x),

    T the map among the inputs; g and s are learned and start at 0.1, s in units of the scale of the residual potential.
    The product is exact (``data.lensing.GradientProduct``), so that it commutes with rotations.

    Shapes: x (B, C, nlat, nlon) as of ``DelensingDataset`` → (B, 1, nlat, nlon); ``network`` gives two channels.
    """

    def __init__(self, network: nn.Module, data: DelensingDataset) -> None:
        super().__init__()
        self.network = network
        self.gain, self.scale = (nn.Parameter(torch.tensor(0.1)) for _ in range(2))
        lmax = data.sky.lmax
        self.analysis, self.synthesis = SHT(data.grid, lmax), InverseSHT(data.grid, lmax)
        self.product, self.unit = GradientProduct(lmax), float(data.scales[1])
        weights = data.weights[:, None]
        self.register_constant("weights", weights)
        self.register_constant("inverse", torch.where(weights > 0, 1 / weights.clamp(min=1e-300), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        found = self.network(x)
        c = self.analysis(torch.stack([x[:, 1], found[:, 1] * (self.scale * self.unit)], 1))
        moved = self.product(c[:, 0] * self.constant("inverse", x), c[:, 1]) * self.constant("weights", x)
        return (x[:, 1] + self.gain * found[:, 0] + self.synthesis(moved))[:, None]


def run(size: CMBScale, out: Path, seeds: int, console: Console) -> tuple[list[Row], list[Check], list[str]]:
    """Train the networks and score them beside the Wiener filters; writes ``out / "cmb.png"``.

    Trainings are run directories below ``out / "runs"`` and continue where they were stopped. Seeds are of the
    networks; the skies are the same.
    """
    console.print(f"simulating {size.train + size.valid + size.test} lensed skies …")
    train = DelensingDataset(size.sky, size.train)
    valid, test = train.for_split("valid", size.valid), train.for_split("test", size.test)
    own, held = test.estimates, valid.estimates
    pairs = {
        WIENER: (own.wiener, held.wiener),
        STANDARD: (own.delensed, held.delensed),
        TWICE: (own.twice, held.twice),
    }
    found = {name: [_score(a, test, b, valid)] for name, (a, b) in pairs.items()}
    costs: dict[str, tuple[int | None, float | None]] = dict.fromkeys(pairs, (None, None))
    shown: dict[str, Tensor] = {"unlensed": test.skies.truth[0], "observed": test.skies.observed[0]}
    shown |= {name: a[0] for name, (a, _) in pairs.items()}
    for name, build in contestants(size, train).items():
        scores, seconds, params = [], 0.0, 0
        for seed in range(seeds):
            console.print(f"CMB: {name}, seed {seed}")
            path = out / "runs" / f"cmb-{name.split()[0].lower()}-{seed}"
            network = _trained(build, train, valid, size, seed, path, console)
            seconds, params = seconds + network.seconds / seeds, network.params
            on_test, on_valid = (_apply(network.network, data) for data in (test, valid))
            scores.append(_score(on_test, test, on_valid, valid))
            shown.setdefault(name, on_test[0])
        found[name], costs[name] = scores, (params, seconds)
    rows = [
        Row.of_seeds(name, metric, [read(s) for s in scores], *costs[name])
        for name, scores in found.items()
        for metric, read in ((SPECTRUM, _spectrum), (RESIDUAL, _residual), (MAP, _map))
    ]
    curves = {name: torch.stack([s.residual for s in scores]).mean(0) for name, scores in found.items()}
    draw(out / FIGURE, test, shown, curves, size.sky)
    checks = [check_of_lensing(train), *judge(rows)]
    return rows, checks, [_note(size, train, found, seeds)]


def contestants(size: CMBScale, data: DelensingDataset) -> dict[str, Callable[[], nn.Module]]:
    """The networks by name, each as a function that builds one; the U-Nets have the needlet network's number of
    parameters, as nearly as their widths allow."""
    channels, grid = len(INPUTS), data.grid
    needlet: Callable[[], nn.Module] = partial(SphereNeedletNet, channels, 2, grid, size.widths, profiles=PROFILES)
    target = _count(needlet())

    def nearest(unet: Callable[..., nn.Module], space: Any) -> Callable[[], nn.Module]:
        builds: list[Callable[[], nn.Module]] = []
        while not builds or _count(builds[-1]()) < target:
            width = len(builds) + 1
            builds.append(partial(unet, channels, 2, space, (width, *(round(width * k) for k in size.levels))))
        return min(builds[-2:], key=lambda build: abs(_count(build()) - target))

    builds = {NEEDLETS: needlet, DISCO: nearest(DiscoUNet, grid), PLANE: nearest(PlanarUNet, grid.shape)}
    return {name: partial(_corrected, build, data) for name, build in builds.items()}


def _corrected(build: Callable[[], nn.Module], data: DelensingDataset) -> nn.Module:
    return Correction(build(), data)


def check_of_lensing(data: DelensingDataset) -> Check:
    """Whether the mean spectrum of the observed skies is the expected one: lensed, and with noise."""
    powers, sky = spectrum_of(data.skies.observed), data.sky
    expected = sky.lensed + sky.noise
    l = torch.arange(sky.lmax + 1).double()
    spread = expected * (2 / ((2 * l + 1) * len(powers))).sqrt()
    chi2 = float((((powers.mean(0) - expected) / spread)[2:] ** 2).mean())
    limit = 1 + 4 * (2 / (sky.lmax - 1)) ** 0.5
    return Check(
        f"CMB: mean spectrum of {len(powers)} lensed skies against the expected one, χ² per degree below {limit:.2f}",
        "1",
        f"{chi2:.2f}",
        chi2 < limit,
    )


def judge(rows: list[Row]) -> list[Check]:
    """The parts of the claim about the sky, from the rows."""
    mean = {(row.name, row.metric): row.mean for row in rows}
    checks = []
    for baseline in (WIENER, STANDARD, TWICE):
        for metric in (SPECTRUM, RESIDUAL):
            own, other = mean[NEEDLETS, metric], mean[baseline, metric]
            text = f"{metric} of the {NEEDLETS} below that of the {baseline}"
            checks.append(Check(text, "yes", f"{own:.4f} against {other:.4f}", own < other))
    for rival in (DISCO, PLANE):
        own, other = mean[NEEDLETS, RESIDUAL], mean[rival, RESIDUAL]
        text = f"{RESIDUAL} of the {NEEDLETS} below that of the {rival}"
        checks.append(Check(text, "yes", f"{own:.4f} against {other:.4f}", own < other))
    return checks


def _spectrum(scores: Scores) -> float:
    return scores.spectrum_error


def _residual(scores: Scores) -> float:
    return scores.residual_power


def _map(scores: Scores) -> float:
    return scores.map_error


def _score(estimate: Tensor, test: DelensingDataset, held_out: Tensor, valid: DelensingDataset) -> Scores:
    return score(estimate, test.skies.truth, held_out, valid.skies.truth)


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def _apply(network: nn.Module, data: DelensingDataset) -> Tensor:
    """The network's estimates of all skies as coefficients in μK."""
    network.eval()
    return torch.cat([data.coefficients(network(x)[:, 0]) for x in data.x.split(8)])


def _trained(
    build: Callable[[], nn.Module],
    train: DelensingDataset,
    valid: DelensingDataset,
    size: CMBScale,
    seed: int,
    path: Path,
    console: Console,
) -> Trained:
    config = TrainConfig(epochs=size.epochs, batch_size=8, lr=1e-2, seed=seed)
    settings = {
        "sky": to_table(size.sky),
        "data": {"train": size.train, "seed": train.seed},
        "widths": list(size.widths),
        "levels": list(size.levels),
    }
    return trained(build, (train, valid), L2Loss(train.grid), None, config, settings, path, console)


def _note(size: CMBScale, data: DelensingDataset, found: dict[str, list[Scores]], seeds: int) -> str:
    sky = size.sky
    degrees = (sky.lmax // 4, sky.lmax)
    lost = [f"{1 - float(found[WIENER][0].correlation[l]) ** 2:.0%} at L = {l * sky.stretch}" for l in degrees]
    return (
        f"CMB: angles are {sky.stretch} times those of the real sky: degree {sky.lmax} is L = "
        f"{sky.lmax * sky.stretch}; noise {sky.noise_uk_arcmin:g} μK·arcmin, that of φ as strong as the signal at L = "
        f"{sky.potential_reach}; of the power observed {' and '.join(lost)} are not correlated with the sky before "
        f"lensing. {size.train} skies for training, {size.valid} for calibration and the choice of the epoch, "
        f"{size.test} for the test; {size.epochs} epochs, {seeds} seeds."
    )
