"""Messages of SCN averaged over turns of the frame: how much of its choice is left, and where nothing is."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps, rotation_about, wigner_D_real
from armillary.models.scn_messages import DenseMessage
from armillary.nn import EdgeRotation, edge_frames

L = M = 2


def upright() -> Tensor:
    frames = edge_frames(torch.tensor([[0.0, 0, 1]], dtype=torch.float64), L)
    return EdgeRotation(Irreps.natural(L), M).matrices(frames)


def turn(angle: float) -> Tensor:
    """D of a turn about z on all coefficients, by degree."""
    return torch.block_diag(*(wigner_D_real(l, rotation_about("z", angle)) for l in range(L + 1)))


def change(taps: int) -> float:
    """The largest relative change of messages under turns of their frames."""
    torch.manual_seed(0)
    message = DenseMessage(L, M, 3, 16, 5, taps).double()
    pair = torch.randn(20, (L + 1) ** 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    features = torch.randn(20, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = []
    for angle in (0.0, 0.3, 1.1, 2.0):
        Q = upright() @ turn(angle)
        found.append(Q.mT @ message(pair, Q.expand(20, -1, -1), features).detach())
    return max(float((y - found[0]).norm() / found[0].norm()) for y in found[1:])


def test_more_taps_lessen_the_change() -> None:
    errors = [change(taps) for taps in (1, 2, 4, 8, 16)]
    assert errors[0] > 0.5
    assert all(b < 0.8 * a for a, b in pairwise(errors))
    assert errors[-1] < 1e-5


@pytest.mark.parametrize("degree", [1, 2])
def test_of_polynomials_enough_taps_leave_nothing(monkeypatch: pytest.MonkeyPatch, degree: int) -> None:
    """Turned, a polynomial of degree p has harmonics |n| ≤ (p + 1)M, of which T taps leave the multiples of T."""
    monkeypatch.setattr(nn.functional, "silu", lambda x, inplace=False: x**degree)
    assert change((degree + 1) * M + 1) < 1e-12
    assert change((degree + 1) * M) > 1e-4


def test_it_is_the_mean_of_messages_in_turned_frames() -> None:
    torch.manual_seed(0)
    message, one = DenseMessage(L, 1, 3, 16, 5, 3).double(), DenseMessage(L, 1, 3, 16, 5).double()
    one.load_state_dict(message.state_dict())
    frames = edge_frames(torch.randn(7, 3).double(), L)
    Q = EdgeRotation(Irreps.natural(L), 1).matrices(frames)
    D = EdgeRotation(Irreps.natural(L)).matrices(frames)
    sort = upright()[0]
    rows = [k for k, (_, m) in enumerate(EdgeRotation(Irreps.natural(L)).components) if abs(m) <= 1]
    pair, features = torch.randn(7, 9, 6).double(), torch.randn(7, 5).double()
    total = torch.zeros(7, 9, 3).double()
    for k in range(3):
        turned = (sort @ turn(2 * torch.pi * k / 3) @ sort.T @ D)[:, rows]
        total += turned.mT @ one(pair, turned, features) / 3
    torch.testing.assert_close(Q.mT @ message(pair, Q, features), total, rtol=0, atol=1e-12)
    assert message(pair[:0], Q[:0], features[:0]).shape == (0, 7, 3)
    assert "taps=3" in repr(message)
    with pytest.raises(ValueError, match="taps"):
        DenseMessage(L, 1, 3, 16, 5, 0)
