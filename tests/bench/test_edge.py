"""The suite ``edge``: both libraries compute one map, operations are counted, the table says what was measured."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from armillary.bench.edge_cases import E3NN, EdgeCase
from armillary.bench.edge_tables import edge_summary, edge_table, floor
from armillary.bench.machine import COPY, PRODUCT
from armillary.bench.suites import SUITES
from armillary.bench.turns import OURS
from armillary.bench.workers import edge_layers

needs_e3nn = pytest.mark.skipif(importlib.util.find_spec("e3nn") is None, reason="e3nn is not installed")


@needs_e3nn
def test_both_compute_the_same_map():
    """In e3nn's coordinates, (y, z, x) of ours, its layout, and up to the sign that it gives a path."""
    from e3nn import o3

    from armillary.bench.workers import e3nn_layers

    case = EdgeCase(2, 3, 40)
    build = case.jobs()[OURS].build
    ours, theirs = edge_layers.build_edge(build).double(), e3nn_layers.build_edge(build).double()
    assert min(module.facts[name] for module in (ours, theirs) for name in ("construct_s", "first_s")) > 0
    signs = []
    for p, (l1, l2, l3) in enumerate(case.plan.paths):
        signs.append((o3.wigner_3j(l1, l2, l3).double() * ours.product.tensor(p)).sum().sign())
    with torch.no_grad():
        theirs.vectors.copy_(ours.vectors[:, [1, 2, 0]])
        signed = ours.weights.unflatten(1, (-1, 3)) * torch.stack(signs)[:, None]
        theirs.weights.copy_(signed.flatten(1))
        assert torch.equal(theirs.edge_index, ours.edge_index)
        irreps = ours.product.irreps_in
        x = torch.randn(case.points, irreps.dim, dtype=torch.float64)
        y = theirs(torch.cat([part.mT.flatten(1) for part in irreps.split(x)], 1))
        back = y.split([n * irrep.dim for n, irrep in irreps], 1)
        y = irreps.join(part.unflatten(1, (3, -1)).mT for part in back)
        torch.testing.assert_close(ours(x), y, rtol=0, atol=2e-5 * float(y.abs().max()))


def test_operations_are_counted():
    """L = 1, one channel, one edge: by hand. Paths 000, 101, 011, 110; 112 is beyond L, and 111 is odd."""
    case = EdgeCase(1, 1, 20)
    assert case.plan.paths == ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1))
    turns, factors, couplings, torque = 5 * 10, 5, 1 + 1 + 1 + 3, 8 * 2
    assert case.operations == 2 * 20 * (turns + 3 * factors + 4 * couplings + torque)
    assert case.bytes_moved == 4 * (3 * 20 * 4 + 5 * 4 + 3 * 20 * 10)


def result(seconds, peak, **facts):
    times = {"median_s": seconds, "times_s": [seconds], "ours_over_this": 1 / seconds, "quartiles": [1 / seconds] * 2}
    parts = dict.fromkeys(("forward", "backward", "both"), times)
    return {**parts, "peak": peak, "baseline": 1e6, "construct_s": 0.001, "first_s": 0.5} | facts


def test_the_table():
    alone = {"inference": {"median_s": 0.1}}
    entries = [(EdgeCase(2, 4, 100), {OURS: result(1, 2e6), E3NN: result(7, 5e6), PRODUCT: alone, COPY: alone})]
    summary = edge_summary(entries)
    assert [(row["time_over_ours"], row["memory_over_ours"]) for row in summary] == [(1, 1), (pytest.approx(7), 4)]
    assert floor(*entries[0]) > 0
    assert "| 2 | 4 | 100 | 11 | e3nn |" in edge_table(entries)
    assert SUITES["edge"].draw(entries)[:4] == b"\x89PNG"
    assert SUITES["edge"].document(entries)["summary"] == summary
