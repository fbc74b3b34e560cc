"""Pivots that rounding cannot move, in each place that chooses them: 1/128 = 0.0078125 is half-way at six decimals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armillary.groups import Representation, cyclic, regular
from armillary.groups.fourier import invariants


@pytest.mark.parametrize("seed", range(3))
def test_invariants_do_not_hang_on_rounding(seed: int) -> None:
    """Of a projector whose columns are equally long the first one gives the sign."""
    generator = torch.Generator().manual_seed(seed)
    v = (1 - 2.0 * torch.randint(2, (128,), generator=generator)).double() / 128**0.5
    noise = 1e-16 * torch.randn(128, 128, generator=generator, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    found = invariants(lambda g: (torch.outer(v, v) + noise)[None], one, one)  # type: ignore[arg-type]
    torch.testing.assert_close(found, (v * v[0].sign())[:, None], rtol=0, atol=1e-13)


def test_decompositions_do_not_hang_on_rounding() -> None:
    group = cyclic(128)
    R = regular(group)
    noise = 1e-15 * torch.from_numpy(np.random.default_rng(0).normal(size=(128, 128, 128)))
    changed = Representation(group, 128, lambda g: R.matrices(g) + noise[g], "another machine's")
    torch.testing.assert_close(changed.decompose().basis, R.decompose().basis, rtol=0, atol=1e-11)
