"""Workers that take turns, and what is made of their times."""

from __future__ import annotations

import ast
import dataclasses
import os
import sys
from pathlib import Path

import pytest
import torch

from armillary.bench import gcnn_cases, peer
from armillary.bench.cases import COPY, PRODUCT, DiscoCase, PlanarCase, RooflineCase, ScalingCase, ShtCase, conv2d_jobs
from armillary.bench.gcnn_cases import ESCNN_BARE, ESCNN_FULL, STOCK, UNFOLDED, GroupNetCase
from armillary.bench.so3_cases import DIRECT, SO3Case
from armillary.bench.turns import OURS, THEIRS, Conditions, Job, Runner, measure, summarise
from armillary.bench.workers import timer, torch_layers

ALONE = Conditions(rounds=2, threads=1)


@pytest.mark.parametrize(
    "job",
    [
        DiscoCase(12, 12, channels=2).jobs()[OURS],
        DiscoCase(8, 16, channels=2, n_azimuthal=4).jobs()[OURS],
        ShtCase(8, 1, 2).jobs()[OURS],
        ShtCase(8, 1, 2, inverse=True).jobs()[OURS],
        conv2d_jobs(8, 2, 3)["conv2d 3×3, circular"],
        SO3Case(3, 2).jobs()[OURS],
        SO3Case(3, 2).jobs()[DIRECT],
    ],
    ids=["plain", "transposed", "sht", "inverse", "conv2d", "so3", "so3 with tables"],
)
def test_a_worker_makes_its_passes(job):
    runner = Runner(job, ALONE)
    try:
        first, second = runner.ask("turn"), runner.ask("turn")
    finally:
        runner.close()
    parts = {"forward", "backward"} | ({"inference"} if "inference" in job.passes else set())
    assert runner.built["build"] > 0
    assert (runner.built["entries"] > 0) == (job.build["kind"] == "disco")
    for turn in (first, second):
        assert set(turn) == parts | {"peak", "baseline"}
        assert all(turn[part] > 0 for part in parts)
        if sys.platform == "linux":
            assert turn["peak"] >= turn["baseline"] > 0
    assert runner.process.returncode == 0


def test_a_worker_that_ends_is_reported(capfd):
    job = DiscoCase(12, 12, channels=2).jobs()[OURS]
    with pytest.raises(peer.WorkerError, match="our_layers ended with code 1"):
        Runner(Job(job.builders, job.build, (1, 3, 12, 24)), ALONE)
    assert "x has shape (1, 3, 12, 24)" in capfd.readouterr().err


def test_a_peak_is_that_of_the_turn():
    """A field of 64 MB that is gone leaves no trace once the peak was forgotten; one that is there is seen."""
    if sys.platform != "linux":
        pytest.skip("the peak is read from the Linux process status")
    torch.ones(16 * 2**20).sum()
    before = timer.resident()
    timer.forget_peak()
    assert timer.memory("VmHWM") < before + 32e6
    torch.ones(16 * 2**20).sum()
    assert timer.memory("VmHWM") > before + 60e6


def test_without_the_peer_the_others_are_measured():
    shares: list[float] = []
    results = measure(RooflineCase(DiscoCase(8, 8, channels=2)).jobs() | conv2d_jobs(8, 2, 3), ALONE, shares.append)
    assert list(results) == [OURS, PRODUCT, COPY, "conv2d 3×3, circular", "conv2d 3×3, zeros"]
    assert sum(shares) == pytest.approx(1)
    assert results[OURS]["both"]["ours_over_this"] == 1
    assert "ours_over_this" not in results[PRODUCT]["inference"]


@pytest.mark.skipif(
    not os.environ.get(peer.TORCH_HARMONICS.variable),
    reason=f"${peer.TORCH_HARMONICS.variable} is unset: no torch-harmonics",
)
@pytest.mark.parametrize(
    "case", [DiscoCase(12, 6, channels=2, n_azimuthal=4), ShtCase(8, 1, 2, inverse=True)], ids=["strided", "inverse"]
)
def test_the_peer_takes_its_turns(case):
    results = measure(case.jobs(), dataclasses.replace(ALONE, interpreter=peer.TORCH_HARMONICS.find()))
    assert list(results) == list(case.jobs())
    for name in list(results)[1:]:
        own = results[name]
        assert own["both"]["ours_over_this"] > 0
        assert all(time > 0 for time in own["forward"]["times_s"])


def test_ratios_are_paired():
    """The machine slows down fourfold midway: the medians of the times mislead, the median of the ratios does not."""
    ours = [{"forward": s, "backward": s, "peak": 5, "baseline": 1} for s in (1, 1, 4, 4, 4)]
    slowed = enumerate((1, 1, 1, 4, 4))
    theirs = [{"forward": 3 * s, "backward": s, "peak": peak, "baseline": 2} for peak, s in slowed]
    results = summarise({OURS: ours, "other": theirs}, {OURS: [{"build": 0.1}], "other": [{"build": 0.2}]})
    other = results["other"]
    assert other["forward"]["median_s"] == 3
    assert other["forward"]["ours_over_this"] == pytest.approx(1 / 3)
    assert other["both"]["times_s"] == [4, 4, 4, 16, 16]
    assert other["both"]["ours_over_this"] == pytest.approx(0.5)
    assert (other["build"], other["peak"], other["baseline"]) == (0.2, 4, 2)


def test_constructions_are_paired_too():
    """Everything was built three times; one was never run."""
    turn = {"inference": 1.0, "peak": 5, "baseline": 1}
    built = {name: [{"build": time} for time in times] for name, times in {OURS: (1, 2, 8), "bare": (2, 1, 2)}.items()}
    results = summarise({OURS: [turn] * 2}, built)
    assert results["bare"] == {
        "build": 2,
        "construct": {"median_s": 2, "times_s": [2, 1, 2], "ours_over_this": 2, "quartiles": [0.5, 4]},
    }
    assert results[OURS]["construct"]["median_s"] == 2
    assert results[OURS]["construct"]["ours_over_this"] == 1


TINY_NET = GroupNetCase(4, True, 8, 1, widths=(6, 6, 9))


def test_networks_are_built_in_turns_and_the_last_ones_run():
    results = measure(TINY_NET.jobs(), dataclasses.replace(ALONE, builds=2))
    assert list(results) == [OURS]  # without escnn
    ours = results[OURS]
    assert len(ours["construct"]["times_s"]) == len(ours["both"]["times_s"]) == 2
    assert ours["build"] == ours["construct"]["times_s"][-1]


def test_a_folded_network_is_the_network_and_has_stock_channels():
    results = measure(dataclasses.replace(TINY_NET, folded=True).jobs(), ALONE)
    assert list(results) == [OURS, UNFOLDED, STOCK]
    assert results[OURS]["difference"] <= 1e-5
    assert results[STOCK]["inference"]["ours_over_this"] > 0
    order, fields = 8, TINY_NET.fields
    assert TINY_NET.fields == [2, 2, 3]
    assert results[STOCK]["parameters"] - results[OURS]["parameters"] == (order - 1) * fields[-1] * 10  # linear maps


@pytest.mark.skipif(
    not os.environ.get(peer.ESCNN.variable), reason=f"${peer.ESCNN.variable} is unset: no environment with escnn"
)
@pytest.mark.parametrize("folded", [False, True])
def test_escnn_takes_its_turns(folded):
    case = dataclasses.replace(TINY_NET, folded=folded)
    results = measure(case.jobs(), dataclasses.replace(ALONE, interpreter=peer.ESCNN.find()))
    assert list(results) == list(case.jobs())
    part = "inference" if folded else "both"
    assert results[gcnn_cases.ESCNN][part]["ours_over_this"] > 0
    if not folded:
        counts = {name: result["parameters"] for name, result in results.items()}
        assert counts[ESCNN_FULL] == counts[OURS] + 3 * case.fields[0]  # 17 numbers for the 16 pixels of the stem
        assert counts[OURS] > counts[gcnn_cases.ESCNN] == counts[ESCNN_BARE]
        assert "both" not in results[ESCNN_BARE]


def test_which_implementations_a_case_has():
    plain = DiscoCase(8, 8, channels=2)
    assert list(plain.jobs()) == [OURS, *THEIRS]
    assert list(DiscoCase(8, 16, channels=2).jobs()) == [OURS, THEIRS[0]]
    assert list(PlanarCase(plain, 7).jobs()) == [OURS, "conv2d 7×7, circular", "conv2d 7×7, zeros"]
    assert list(ScalingCase(plain).jobs()) == [OURS, *THEIRS, "conv2d 3×3, circular"]
    training, folded = GroupNetCase(4, False, 8, 2), GroupNetCase(4, False, 8, 2, folded=True)
    assert list(training.jobs()) == [OURS, gcnn_cases.ESCNN, ESCNN_FULL, ESCNN_BARE]
    assert list(folded.jobs()) == [OURS, UNFOLDED, STOCK, gcnn_cases.ESCNN]
    assert [job.x_shape for job in ShtCase(8, 4, 16).jobs().values()] == [(4, 16, 8, 16)] * 2


def test_circular_convolution_goes_on_across_the_seam():
    x = torch.randn(1, 2, 6, 12)
    ring, zeros = torch_layers.RingConv2d(2, 3, 5), torch_layers.Conv2d(2, 3, 5)
    zeros.load_state_dict(ring.state_dict())
    turned = ring(x.roll(5, -1)).roll(-5, -1)
    torch.testing.assert_close(turned, ring(x))
    torch.testing.assert_close(zeros(x)[..., 2:-2], ring(x)[..., 2:-2])
    assert not torch.allclose(zeros(x)[..., 0], ring(x)[..., 0])


@pytest.mark.parametrize("name", ["timer.py", "peer_layers.py", "escnn_layers.py"])
def test_workers_of_the_peer_import_nothing_of_armillary(name):
    tree = ast.parse((peer.SCRIPTS / name).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    rooms = {module.partition(".")[0] for module in imported}
    assert "torch" in rooms
    assert rooms <= set(sys.stdlib_module_names) | {"torch", "numpy", "torch_harmonics", "escnn"}


def test_no_worker_hides_a_module():
    """The folder of the workers is first on their path."""
    names = {path.stem for path in Path(peer.SCRIPTS).glob("*.py")} - {"__init__"}
    peers = {"peer_layers", "escnn_layers", "e3nn_layers"}
    assert names == {"timer", "our_layers", "edge_layers", "torch_layers", "direct_layers"} | peers
    assert not names & set(sys.stdlib_module_names)
