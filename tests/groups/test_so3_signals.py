"""Functions on SO(3) as features: values, integrals, how they turn, errors."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import SO3, SO3Signals, random_rotation, random_rotations, solid_rule, wigner_D_real

SIGNALS = SO3Signals(2, 2)


def test_values_are_the_sum() -> None:
    x, Q = torch.randn(3, SIGNALS.size).double(), random_rotations(4, torch.Generator().manual_seed(0))
    values = SIGNALS.sampled(x, Q)
    assert values.shape == (3, 4, 2)
    parts = SIGNALS.split(x)
    for p, i, c in ((0, 0, 0), (2, 3, 1)):
        terms = [(2 * l + 1) ** 0.5 * (wigner_D_real(l, Q[i]) * parts[l][p, :, :, c]).sum() for l in range(3)]
        torch.testing.assert_close(values[p, i, c], sum(terms), rtol=0, atol=1e-13)


def test_there_and_back_keeps_squares() -> None:
    x, rule = torch.randn(5, SIGNALS.size).double(), SO3().quadrature(2)
    values = SIGNALS.sampled(x, rule[0])
    torch.testing.assert_close(SIGNALS.integrated(values, rule), x, rtol=0, atol=1e-13)
    torch.testing.assert_close((values.square() * rule[1][:, None]).sum((1, 2)), x.square().sum(1), rtol=0, atol=1e-12)
    assert SIGNALS.integrated(values.float(), rule).dtype == torch.float32


def test_turns_as_a_feature() -> None:
    """f(R⁻¹ Q) has the components D(R) x: those of ``degrees``."""
    x, R, Q = torch.randn(3, SIGNALS.size).double(), random_rotation(), random_rotations(4)
    turned = SIGNALS.degrees.act(R, x)
    torch.testing.assert_close(SIGNALS.sampled(turned, Q), SIGNALS.sampled(x, R.mT @ Q), rtol=0, atol=1e-12)
    assert SIGNALS.size == SIGNALS.degrees.size == 70
    assert [tuple(part.shape) for part in SIGNALS.split(x)] == [(3, 1, 1, 2), (3, 3, 3, 2), (3, 5, 5, 2)]


def test_rotations_of_solids_are_rules() -> None:
    """12 or 24 rotations integrate products of two of degree 1, 60 of degree 2."""
    for rotations, band in ((12, 1), (24, 1), (60, 2)):
        rule = solid_rule(rotations)
        assert rule[0].shape == (rotations, 3, 3)
        assert float((torch.linalg.det(rule[0]) - 1).abs().max()) < 1e-13
        assert SO3Signals(1, band).rule_error(rule) < 1e-12
        assert SO3Signals(1, band + 1).rule_error(rule) > 0.1
    for exact, rotations in ((2, 12), (3, 24), (5, 60)):
        first = SO3Signals(1, exact).components
        found = SO3Signals(1, exact + 1).basis(solid_rule(rotations)[0]).mean(0)
        assert float(found[1:first].abs().max()) < 1e-12 < 1e-3 < float(found[first:].abs().max())
    with pytest.raises(ValueError, match="got 48 rotations"):
        solid_rule(48)


def test_errors() -> None:
    with pytest.raises(ValueError, match="channels = 0"):
        SO3Signals(0, 1)
    with pytest.raises(ValueError, match="band = -1"):
        SO3Signals(1, -1)
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 70\)"):
        SIGNALS.sampled(torch.zeros(2, 69), random_rotations(1))
    with pytest.raises(ValueError, match=r"wanted \(\.\.\., 75, 2\)"):
        SIGNALS.integrated(torch.zeros(2, 74, 2), SO3().quadrature(2))
