"""The suite ``so3``: its direct evaluation is the same map as the layer, and its table says what was measured."""

from __future__ import annotations

import pytest
import torch

from armillary.bench.so3_cases import DIRECT, HALF, SO3Case
from armillary.bench.so3_tables import so3_fits, so3_table
from armillary.bench.suites import SUITES
from armillary.bench.turns import OURS
from armillary.bench.workers import direct_layers, our_layers


@pytest.mark.parametrize("bandlimit", [1, 4, 7])
def test_the_direct_evaluation_is_the_same_map(bandlimit):
    jobs = SO3Case(bandlimit, 2).jobs()
    ours = our_layers.build_so3(jobs[OURS].build)
    direct = direct_layers.build_so3(jobs[DIRECT].build)
    with torch.no_grad():
        direct.weight.copy_(ours.product.weight)
    x = torch.randn(jobs[OURS].x_shape)
    with torch.no_grad():
        wanted, found = direct(x), ours(x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))


def test_half_the_samples_hold_the_same_functions():
    jobs = SO3Case(5).jobs()
    full, half = (our_layers.build_so3(jobs[name].build) for name in (OURS, HALF))
    assert full.lmax == half.lmax == 4
    assert full(torch.randn(jobs[OURS].x_shape)).numel() == 2 * half(torch.randn(jobs[HALF].x_shape)).numel()


def result(seconds, peak, baseline, before):
    times = {"median_s": seconds, "times_s": [seconds], "ours_over_this": 1 / seconds, "quartiles": [1 / seconds] * 2}
    parts = dict.fromkeys(("forward", "backward", "both"), times)
    return {**parts, "peak": peak, "baseline": baseline, "resident_before": before}


def test_exponents_and_ratios_of_the_table():
    entries = [
        (SO3Case(b), {OURS: result(1, 2e6 + b**3, 2e6, 1e6), DIRECT: result(b**4, 9e6 + 4 * b**3, 9e6, 0)})
        for b in (16, 32, 64)
    ]
    fits = so3_fits(entries)
    assert fits[DIRECT]["both"] == pytest.approx(4)
    assert [fits[name]["memory"] for name in (OURS, DIRECT)] == pytest.approx([3, 3])
    assert so3_fits(entries[:1])[OURS]["both"] is None
    text = so3_table(entries)
    assert "| 64 | 2 | all tables |" in text
    assert "| 4.00 |" in text
    assert SUITES["so3"].draw(entries)[:4] == b"\x89PNG"
