"""Point classifiers: motions of space, neighbours, errors."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import random_rotations
from armillary.models import PlainPointClassifier, SteerablePointClassifier
from armillary.models.points import nearest


def test_scores_do_not_change_under_motions() -> None:
    torch.manual_seed(0)
    net, plain = SteerablePointClassifier(5, 4, neighbours=6, band=8).double(), PlainPointClassifier(5).double()
    clouds = torch.randn(4, 32, 3).double() / 2
    R = random_rotations(4, torch.Generator().manual_seed(0))
    moved = clouds @ R.mT + torch.randn(4, 1, 3).double()
    with torch.no_grad():
        scores = net(clouds)
        assert float((net(moved) - scores).norm() / (scores - scores.mean(0)).norm()) < 1e-3
        assert float((plain(moved) - plain(clouds)).norm() / plain(clouds).norm()) > 1e-2
        torch.testing.assert_close(net(clouds[1:2]), scores[1:2])


def test_nearest_are_the_nearest() -> None:
    clouds = torch.randn(2, 9, 3).double()
    table = nearest(clouds[:, :4], clouds, 3)
    assert table.shape == (8, 3)
    for b in range(2):
        for i in range(4):
            distance = (clouds[b] - clouds[b, i]).norm(dim=1)
            assert sorted(table[4 * b + i].tolist()) == sorted((distance.argsort()[:3] + 9 * b).tolist())
    assert table[:, 0].tolist() == [0, 1, 2, 3, 9, 10, 11, 12]
    with pytest.raises(ValueError, match="neighbours = 10 of 9"):
        nearest(clouds, clouds, 10)


def test_every_parameter_learns_and_wrong_shapes() -> None:
    net = SteerablePointClassifier(3, 2, (0.8, 1.5), neighbours=8)
    net(torch.randn(2, 32, 3) / 2).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in net.parameters())
    for network in (net, PlainPointClassifier(3)):
        with pytest.raises(ValueError, match=r"wanted \(clouds, points, 3\)"):
            network(torch.zeros(2, 3, 10))
    with pytest.raises(ValueError, match="no cutoffs"):
        SteerablePointClassifier(3, 2, ())
    with pytest.raises(ValueError, match="neighbours = 0"):
        SteerablePointClassifier(3, 2, neighbours=0)
    with pytest.raises(ValueError, match="no widths"):
        PlainPointClassifier(3, ())
