"""Matched moments: exactness, least change, and what few points can support."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from armillary.ops import moments as module
from armillary.ops.moments import EXTRA_DEGREES, LocalPolynomials, monomial_count, monomials


def points(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the unit disc and positive weights."""
    generator = torch.Generator().manual_seed(seed)
    r, t, q = torch.rand(3, count, generator=generator, dtype=torch.float64)
    return r.sqrt() * torch.cos(6.3 * t), r.sqrt() * torch.sin(6.3 * t), 0.5 + q


def stencils(count: int, seed: int = 1) -> Tensor:
    return torch.randn(3, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_monomials_in_order() -> None:
    u, v, _ = points(4)
    wanted = torch.stack([u**0, u, v, u**2, u * v, v**2, u**3, u**2 * v, u * v**2, v**3])
    torch.testing.assert_close(monomials(u, v, 3), wanted)
    assert [monomial_count(p) for p in range(-1, 5)] == [0, 1, 3, 6, 10, 15]


@pytest.mark.parametrize("degree", [0, 1, 2, 4])
@pytest.mark.parametrize("count", [20, 37, 200])
def test_moments_are_those_asked_for(degree: int, count: int) -> None:
    u, v, q = points(count)
    s = stencils(count)
    wanted = torch.randn(3, monomial_count(degree + EXTRA_DEGREES), generator=torch.Generator().manual_seed(2)).double()
    local = LocalPolynomials(u, v, q, 4)  # one factorisation serves every lower degree
    assert local.supports(degree)
    corrected = local.correct(s, wanted, degree)
    got = corrected @ monomials(u, v, degree).T
    torch.testing.assert_close(got, wanted[:, : monomial_count(degree)], rtol=0, atol=1e-10)


@pytest.mark.parametrize("degree", [0, 2, 4])
def test_nothing_changes_where_moments_match(degree: int) -> None:
    u, v, q = points(60)
    s = stencils(60)
    same = s @ monomials(u, v, degree + EXTRA_DEGREES).T
    torch.testing.assert_close(LocalPolynomials(u, v, q, degree).correct(s, same, degree), s, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_least_change(degree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra degrees: the minimum of Σ δ²/q under the constraints, by numpy's least squares."""
    monkeypatch.setattr(module, "EXTRA_DEGREES", 0)
    u, v, q = points(30)
    s = stencils(30)
    basis = monomials(u, v, degree)
    wanted = torch.ones(3, monomial_count(degree), dtype=torch.float64)
    corrected = LocalPolynomials(u, v, q, degree).correct(s, wanted, degree)
    root = q.sqrt().numpy()
    gap = (wanted - s @ basis.T).numpy().T
    delta = np.linalg.lstsq(basis.numpy() * root, gap, rcond=None)[0].T * root
    torch.testing.assert_close(corrected - s, torch.from_numpy(delta), rtol=0, atol=1e-12)


def test_extra_degrees_are_matched_where_points_resolve_them() -> None:
    """With many points all moments two degrees further match too; with few only some, and the norm stays bounded."""
    degree = 2
    wanted = torch.randn(3, monomial_count(4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    u, v, q = points(300)
    got = LocalPolynomials(u, v, q, degree).correct(stencils(300), wanted, degree) @ monomials(u, v, 4).T
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
    u, v, q = points(9)  # fewer points than the 15 moments of degree 4
    s = stencils(9)
    corrected = LocalPolynomials(u, v, q, degree).correct(s, wanted, degree)
    left = (corrected @ monomials(u, v, 4).T - wanted).abs()
    assert left[:, :6].max() < 1e-9
    assert left[:, 6:].max() > 1e-3
    only = ((s @ monomials(u, v, 4).T) - wanted).abs()
    assert float(left.norm()) < float(only.norm())


def test_support_falls_with_the_number_of_points() -> None:
    for count in (1, 2, 3, 5, 6, 9, 10, 14, 15, 40):
        u, v, q = points(count, seed=count)
        local = LocalPolynomials(u, v, q, 4)
        for degree in range(5):
            if monomial_count(degree) > count:
                assert not local.supports(degree)
        assert local.supports(0)
    assert local.supports(4)


def test_points_on_a_line_do_not_support_a_plane() -> None:
    t = torch.linspace(-1, 1, 20, dtype=torch.float64)
    local = LocalPolynomials(t, 0.5 * t, torch.ones_like(t), 4)
    assert local.supports(0)
    assert not local.supports(1)
    on_circle = LocalPolynomials(torch.cos(3 * t), torch.sin(3 * t), torch.ones_like(t), 4)
    assert on_circle.supports(1)
    assert not on_circle.supports(2)  # u² + v² = 1
