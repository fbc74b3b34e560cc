"""Clebsch–Gordan coefficients of SO(3)."""

from __future__ import annotations

import math

import pytest
import torch

from armillary.groups import PHASE_VERSION, SO3, clebsch_gordan_complex, clebsch_gordan_real

TRIANGLES = [(0, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2), (2, 1, 2), (3, 2, 4), (4, 4, 5), (6, 5, 3)]


@pytest.mark.parametrize("degrees", TRIANGLES)
@pytest.mark.parametrize("real", [False, True])
def test_they_intertwine(degrees: tuple[int, int, int], real: bool) -> None:
    """(D^l1 ⊗ D^l2) C = C D^l3 for random rotations."""
    C = (clebsch_gordan_real if real else clebsch_gordan_complex)(*degrees)
    R = SO3().sample(3, torch.Generator().manual_seed(sum(degrees)))
    irreps = SO3().real_irreps(max(degrees)) if real else SO3().irreps(max(degrees))
    D1, D2, D3 = (irreps[l](R) for l in degrees)
    C = C.to(D1.dtype)
    left = torch.einsum("ria,rjb,abk->rijk", D1, D2, C)
    torch.testing.assert_close(left, torch.einsum("ijc,rck->rijk", C, D3), rtol=0, atol=1e-13)


@pytest.mark.parametrize("make", [clebsch_gordan_complex, clebsch_gordan_real])
def test_all_of_a_product_are_orthogonal(make) -> None:  # type: ignore[no-untyped-def]
    l1, l2 = 3, 2
    Q = torch.cat([make(l1, l2, l3).flatten(0, 1) for l3 in range(l1 - l2, l1 + l2 + 1)], dim=1)
    torch.testing.assert_close(Q.T @ Q, torch.eye(35, dtype=torch.float64), rtol=0, atol=1e-14)


def test_known_values() -> None:
    """From tables: <1 0 1 0 | 2 0> = √(2/3), <1 1 1 -1 | 0 0> = 1/√3, <2 1 1 0 | 2 1> = √(1/6)."""
    assert float(clebsch_gordan_complex(1, 1, 2)[1, 1, 2]) == pytest.approx(math.sqrt(2 / 3), abs=1e-15)
    assert float(clebsch_gordan_complex(1, 1, 0)[2, 0, 0]) == pytest.approx(math.sqrt(1 / 3), abs=1e-15)
    assert float(clebsch_gordan_complex(2, 1, 2)[3, 1, 3]) == pytest.approx(math.sqrt(1 / 6), abs=1e-15)


def test_the_phase_is_pinned() -> None:
    """The product of two vectors of degree 1 in the basis (y, z, x) is a × b/√2. ``PHASE_VERSION`` has to change with
    this sign."""
    assert PHASE_VERSION == 1
    C = clebsch_gordan_real(1, 1, 1)
    a, b = torch.tensor([[0.3, -1.2, 0.7], [2.0, 0.4, -0.9]], dtype=torch.float64)
    order = torch.tensor([1, 2, 0])  # (x, y, z) to (y, z, x)
    product = torch.einsum("i,j,ijk->k", a[order], b[order], C)
    cross = torch.linalg.cross(a, b)[order]
    torch.testing.assert_close(product, cross / math.sqrt(2), rtol=0, atol=1e-14)


def test_high_degrees() -> None:
    C = clebsch_gordan_complex(20, 18, 30)
    norms = (C**2).sum((0, 1))
    torch.testing.assert_close(norms, torch.ones(61, dtype=torch.float64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("degrees", [(1, 1, 3), (0, 2, 1), (-1, 1, 1)])
def test_no_triangle(degrees: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        clebsch_gordan_real(*degrees)


def test_who_asks_first_does_not_matter() -> None:
    """They are kept: with values, whatever the default device of the first caller."""
    with torch.device("meta"):
        clebsch_gordan_real(5, 2, 4)
    C = clebsch_gordan_real(5, 2, 4)
    assert C.device.type == "cpu"
    torch.testing.assert_close(C.square().sum(), torch.tensor(9.0, dtype=torch.float64))
