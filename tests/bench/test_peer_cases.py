"""The dictionary between the two libraries, against a definition written out; the layers, where the peer is at hand."""

from __future__ import annotations

import math
import os

import agreement
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.bench.peer import TORCH_HARMONICS
from armillary.bench.peer_cases import (
    NORM_MODES,
    PairedBasis,
    describe_layer,
    grid_name,
    half_step_hats,
    hats,
    normalisation,
    their_weight,
)
from armillary.nn import DiscoConv
from armillary.spaces import Equiangular, GaussLegendre

needs_peer = pytest.mark.skipif(
    not os.environ.get(TORCH_HARMONICS.variable),
    reason=f"${TORCH_HARMONICS.variable} is unset: no environment with torch-harmonics",
)


def their_hats(kernel_shape: tuple[int, int], r: float, azimuth: float) -> list[float]:
    """The peer's piecewise linear basis at one point: nodes of ring i at 2πj/n_ϕ - π, one at the centre for odd n_r."""
    nr, nphi = kernel_shape
    step = 2 / (nr + 1)

    def hat(distance: float) -> float:
        return max(0.0, 1 - abs(distance))

    if nphi == 1:
        return [hat(r / step - (i if nr % 2 else i + 0.5)) for i in range(nr // 2 + nr % 2)]
    values = [hat(r / step)]
    for i in range(1, nr // 2 + 1):
        for j in range(nphi):
            gap = math.remainder(azimuth - (2 * math.pi * j / nphi - math.pi), 2 * math.pi)
            values.append(hat(r / step - i) * hat(gap / (2 * math.pi / nphi)))
    return values


@settings(max_examples=60, deadline=None)
@given(
    n_radial=st.integers(1, 5),
    n_azimuthal=st.sampled_from([1, 2, 3, 4, 5, 6]),
    r=st.floats(0, 1),
    azimuth=st.floats(-math.pi, 2 * math.pi),
)
def test_hats_are_theirs_in_their_order(n_radial, n_azimuthal, r, azimuth):
    if n_radial == 1 and n_azimuthal > 1:
        return
    paired = hats(n_radial, n_azimuthal)
    point = torch.tensor([r], dtype=torch.float64), torch.tensor([azimuth], dtype=torch.float64)
    ours = paired.basis.evaluate(*point)[list(paired.order), 0]
    theirs = torch.tensor(their_hats(paired.kernel_shape, r, azimuth), dtype=torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_half_step_hats(count):
    paired = half_step_hats(count)
    r = torch.linspace(0, 1, 41, dtype=torch.float64)
    ours = paired.basis.evaluate(r, torch.zeros_like(r))
    theirs = torch.tensor([their_hats(paired.kernel_shape, float(v), 0.0) for v in r], dtype=torch.float64).T
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", NORM_MODES)
def test_normalisation_turns_their_functions_into_ours(mode):
    """Their normalised ψ_k times c_k is ψ_k over its continuous L1 norm: at the pole of a fine grid, by sums."""
    basis, cutoff = hats(3).basis, 0.3
    grid = GaussLegendre(600, 4)
    inside = grid.colatitudes <= cutoff
    q = grid.ring_weights[inside] / 2  # of the whole ring; sums to 1 over the sphere
    theta = grid.colatitudes[inside]
    psi = basis.evaluate(theta / cutoff, torch.zeros_like(theta))
    scale = {
        "none": torch.ones(3, dtype=torch.float64),
        "geometric": torch.full((3,), (1 - math.cos(cutoff)) / 4, dtype=torch.float64),
        "support": (psi > 0).double() @ q,
        "mean": psi @ q,
        "nodal": psi @ q,
        "modal": psi @ q,
    }[mode]
    theirs = normalisation(basis, cutoff, mode) * (psi @ q) / scale  # the response to a constant field
    torch.testing.assert_close(theirs, torch.ones_like(theirs), rtol=2e-2, atol=0)


def test_grids_and_layers_are_described():
    assert grid_name(GaussLegendre(8)) == "legendre-gauss"
    assert grid_name(Equiangular(9, 16, poles=True)) == "equiangular"
    with pytest.raises(ValueError, match="wanted GaussLegendre or Equiangular"):
        grid_name(Equiangular(8))
    layer = DiscoConv(4, 6, GaussLegendre(16), GaussLegendre(8), basis=hats(3, 4).basis, groups=2, moments=None)
    described = describe_layer(layer, hats(3, 4), "none", "x", "w")
    assert described["in_shape"] == [16, 32]
    assert described["out_shape"] == [8, 16]
    assert described["kernel_shape"] == [5, 4]
    assert described["theta_cutoff"] * 1.001 == pytest.approx(layer.cutoff)
    assert their_weight(layer, hats(3, 4), "none").shape == (6, 2, 9)


@needs_peer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_agree(dtype):
    """Forward and both gradients, plain, strided and transposed, and a turned basis that must not agree."""
    wanted = {"directional", "strided, poles", "transposed, directional", "odd sizes, batch of one"}
    chosen = [case for case in agreement.cases(full=False) if case.name in wanted]
    assert len(chosen) == len(wanted)
    tolerance = agreement.TOLERANCE if dtype == torch.float32 else 1e-11
    for case, errors in zip(chosen, agreement.compare(chosen, dtype, 1), strict=True):
        assert max(errors.values()) <= tolerance, (case.name, errors)


@needs_peer
def test_agreement_sees_a_wrong_order():
    right = hats(3, 4)
    wrong = PairedBasis(right.basis, right.kernel_shape, tuple(range(9)))  # azimuths from 0 instead of -π
    grid = GaussLegendre(24)
    errors = agreement.compare([agreement.Case("wrong", grid, grid, wrong)], torch.float64, 1)
    assert min(errors[0].values()) > 1e-2
