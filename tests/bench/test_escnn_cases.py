"""The dictionary between escnn and the group convolutions, by itself and, where escnn is at hand, against it."""

from __future__ import annotations

import dataclasses
import os

import agreement_escnn as agreement
import numpy as np
import pytest
import torch

from armillary.bench.escnn_cases import (
    DEFAULT,
    FULL,
    RingFilters,
    describe_layer,
    dimension,
    filters_of,
    load_filter,
    outside,
    point_group,
)
from armillary.bench.peer import ESCNN
from armillary.nn import GroupConv, LiftConv
from armillary.spaces import act_on_feature_map

needs_escnn = pytest.mark.skipif(
    not os.environ.get(ESCNN.variable), reason=f"${ESCNN.variable} is unset: no environment with escnn"
)


@pytest.mark.parametrize("case", agreement.CASES, ids=lambda case: f"{case.name}, {case.kernel_size}")
def test_the_dimensions_stated_are_those_of_the_functions(case):
    """escnn's functions in filters of armillary: the sampled ones that are independent, for each pair of elements."""
    rings = case.rings or DEFAULT.get(case.kernel_size)
    assert dimension(filters_of(case.layer())) == case.dimensions[1]
    if rings is None:  # one pixel; and four in a row, whose ring at the middle meets none
        return
    filters = RingFilters(chosen=rings)
    kind = LiftConv if case.lift else GroupConv
    theirs = kind(1, 1, point_group(case.turns, case.reflections), case.kernel_size, bias=False, filters=filters)
    spanned = filters_of(theirs)
    assert dimension(spanned) == case.dimensions[0]
    assert outside(spanned, filters_of(case.layer())) < 1e-12


def test_projection():
    e = torch.eye(5, dtype=torch.float64)
    assert outside(e[:2], e[:3]) == 0
    assert outside(e[:2], e[1:3]) == 1
    assert outside(e[:1] + e[1:2], e[1:3]) == pytest.approx(0.5**0.5)
    assert dimension(torch.stack([e[0], e[1], e[0] + e[1], 1e-9 * e[2]])) == 2


@pytest.mark.parametrize("case", agreement.CASES[:10], ids=lambda case: f"{case.name}, {case.kernel_size}")
def test_a_filter_is_loaded(case):
    layer, other = case.layer().double(), case.layer().double()
    load_filter(other, layer.expanded_weight().detach())
    torch.testing.assert_close(other.weight, layer.weight, rtol=0, atol=1e-12)


def test_ring_filters_commute_with_quarter_turns():
    group = point_group(8, False)
    layer = GroupConv(1, 2, group, padding=1, filters=RingFilters(chosen=DEFAULT[3])).double()
    x = torch.randn(1, 1, 8, 7, 7, dtype=torch.float64)
    for element in (2, 4, 6):
        turned = layer(act_on_feature_map(group, element, x))
        torch.testing.assert_close(turned, act_on_feature_map(group, element, layer(x)), rtol=0, atol=1e-12)


def test_layers_are_described():
    described = describe_layer(GroupConv(2, 3, point_group(4, True), 3, bias=False, padding=1), FULL[3], "x", "g")
    wanted = {"turns": 4, "reflections": True, "lift": False, "in_channels": 2, "out_channels": 3, "padding": 1}
    assert described.items() >= wanted.items()
    assert described["rings"] == {"radii": (0.0, 1.0), "frequencies": (0, 4), "sigma": (0.005, 0.4)}
    assert describe_layer(LiftConv(2, 3, point_group(8, False), bias=False), None, "x", "g")["turns"] == 8
    with pytest.raises(ValueError, match="wanted a layer with bias=False"):
        describe_layer(GroupConv(2, 3, point_group(4, True)), None, "x", "g")


def test_radii_of_full_filters_are_those_of_the_pixels():
    for size, rings in FULL.items():
        along = np.arange(size) - (size - 1) / 2
        radii = np.hypot(*np.meshgrid(along, along)).ravel()
        assert max(rings.radii) <= radii.max()  # escnn refuses others
        if size == 4:
            np.testing.assert_allclose(sorted(set(radii.round(5))), rings.radii, atol=1e-5)


@needs_escnn
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spans_and_layers_agree(dtype):
    tolerance = agreement.TOLERANCE if dtype == torch.float32 else 1e-10
    for case, found in zip(agreement.CASES, agreement.compare(agreement.CASES, dtype, 1), strict=True):
        assert found["dimensions"] == case.dimensions, case.name
        assert max(found[part] for part in agreement.PARTS) <= tolerance, (case.name, found)


@needs_escnn
def test_agreement_sees_other_functions():
    """Armillary's own smooth filters over C_8 are not escnn's."""
    other = dataclasses.replace(agreement.CASES[-3], shared=False)
    (found,) = agreement.compare([other], torch.float64, 1)
    assert min(found[part] for part in agreement.PARTS) > 1e-2
