"""Dropout of channels of O(3) features: whole channels, one draw for each point, the mean kept."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Irreps
from armillary.nn import IrrepsDropout
from armillary.testing import FeatureSymmetry, check_layer, rotations_and_reflections

IRREPS = Irreps("3x0e+2x1o+4x10e+1x0o")


def test_contract_in_evaluation() -> None:
    check_layer(IrrepsDropout(IRREPS), FeatureSymmetry(IRREPS, IRREPS), tolerance=1e-12)


def test_a_draw_commutes_with_rotations_and_reflections() -> None:
    layer = IrrepsDropout(IRREPS, 0.4)
    x = torch.randn(6, IRREPS.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for g in rotations_and_reflections(4, torch.Generator().manual_seed(1)):
        outputs = []
        for value in (x, IRREPS.act(g, x)):
            torch.manual_seed(2)
            outputs.append(layer(value))
        torch.testing.assert_close(outputs[1], IRREPS.act(g, outputs[0]), rtol=0, atol=1e-12)


def test_channels_are_kept_whole() -> None:
    layer = IrrepsDropout(IRREPS, 0.25)
    torch.manual_seed(3)
    y = layer(torch.ones(4000, IRREPS.dim))
    kept = torch.cat([part.mean(-2) for part in IRREPS.split(y)], -1)
    assert bool(((kept.abs() < 1e-6) | ((kept - 4 / 3).abs() < 1e-5)).all())
    torch.testing.assert_close(kept.mean(0), torch.ones(10), rtol=0, atol=0.05)
    assert 0.2 < float((kept[:, 0] - kept[:, 1]).abs().gt(1).float().mean()) < 0.5
    assert layer.eval()(y) is y


def test_errors() -> None:
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match="0 <= p < 1"):
            IrrepsDropout(IRREPS, p)
    with pytest.raises(ValueError, match="IrrepsDropout wants"):
        IrrepsDropout(IRREPS)(torch.zeros(2, 3))
