"""The suite ``so3``: its direct evaluation is the same map as the layer, and its table says what was measured."""

from __future__ import annotations

import pytest
import torch

from armillary.bench.so3_cases import DIRECT, HALF, SO3Case
from armillary.bench.so3_tables import so3_fits, so3_table
from armillary.bench.suites import SUITES
from armillary.bench.turns import OURS
from armillary.bench.workers import direct_layers, our_layers
from armillary.harmonics import InverseSO3Transform, SO3Blocks, SO3Transform


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
    """One function on both grids, one filter: the same function comes out."""
    jobs = SO3Case(5).jobs()
    full, half = (our_layers.build_so3(jobs[name].build).double() for name in (OURS, HALF))
    half.load_state_dict(full.state_dict())
    c = torch.randn(1, 2, SO3Blocks(4).size, dtype=torch.complex128)
    x, fewer = (InverseSO3Transform(layer.space_in, 4)(c) for layer in (full, half))
    assert (x.shape, fewer.shape) == (jobs[OURS].x_shape, jobs[HALF].x_shape)
    assert x.numel() == 2 * fewer.numel() == SO3Case(5).points * 2
    found, wanted = (SO3Transform(layer.space_out, 4)(layer(y)) for layer, y in ((half, fewer), (full, x)))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


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
