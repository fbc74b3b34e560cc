"""Features of SO(3): layout, action, errors."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Degrees, Irreps, random_rotation


def test_layout_and_action() -> None:
    degrees = Degrees.of({1: 2, 0: 3})
    assert degrees.streams == ((0, 3), (1, 2))
    assert (degrees.count, degrees.size, degrees.degrees) == (5, 9, (0, 1))
    R = random_rotation(torch.Generator().manual_seed(0))
    scalars, vectors = torch.randn(4, 3).double(), torch.randn(4, 2, 3).double()
    x = torch.cat([scalars, vectors[..., [1, 2, 0]].mT.flatten(1)], 1)
    wanted = torch.cat([scalars, (vectors @ R.T)[..., [1, 2, 0]].mT.flatten(1)], 1)
    torch.testing.assert_close(degrees.act(R, x), wanted, rtol=0, atol=1e-14)
    S = random_rotation(torch.Generator().manual_seed(1))
    torch.testing.assert_close(degrees.act(S, degrees.act(R, x)), degrees.act(S @ R, x), rtol=0, atol=1e-14)
    assert repr(degrees) == "Degrees.of({0: 3, 1: 2})"


def test_the_layout_is_that_of_irreps() -> None:
    degrees, irreps = Degrees.of({0: 3, 1: 2, 2: 4}), Irreps("3x0e+2x1o+4x2e")
    x, R = torch.randn(5, degrees.size).double(), random_rotation(torch.Generator().manual_seed(2))
    for part, other in zip(degrees.split(x), irreps.split(x), strict=True):
        assert torch.equal(part, other)
    torch.testing.assert_close(degrees.act(R, x), irreps.act(R, x), rtol=0, atol=0)


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Degrees(())
    with pytest.raises(ValueError, match="each degree once"):
        Degrees(((0, 1), (0, 2)))
    with pytest.raises(ValueError, match="degree = -1"):
        Degrees.of({-1: 1})
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 3\)"):
        Degrees.of({1: 1}).split(torch.zeros(2, 4))
