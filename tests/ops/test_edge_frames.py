"""Frames of edges: rotations, deterministic, smooth at the poles, and finite where there is no direction."""

from __future__ import annotations

import pytest
import torch

from armillary.groups.so3 import check_rotation, random_rotations
from armillary.ops.edge_frames import edge_rotations


def directions(count: int = 20) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    poles = torch.tensor([[0.0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -3, 0], [1e-9, 0, -1], [0, 1e-9, 1], [1, 2, -1e-12]])
    return torch.cat([torch.randn(count, 3, generator=g, dtype=torch.float64), poles.double()])


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-15), (torch.float32, 5e-7)])
def test_rotations_that_take_r_to_z(scale, dtype, tolerance):
    r = directions().to(dtype) * scale
    R = edge_rotations(r)
    check_rotation(R)
    assert R.dtype == dtype
    n = r.double() / r.double().norm(dim=1, keepdim=True)
    z = torch.einsum("eij,ej->ei", R.double(), n)
    torch.testing.assert_close(z, torch.tensor([0.0, 0, 1]).double().expand_as(z), rtol=0, atol=2 * tolerance)
    torch.testing.assert_close(R, edge_rotations(r), rtol=0, atol=0)


def test_the_smallest_rotation_above():
    """Its angle is that between r and z, below that between r and -z: the trace says so."""
    r = directions()
    r = r / r.norm(dim=1, keepdim=True)
    R = edge_rotations(r)
    flip = torch.diag(torch.tensor([1.0, -1, -1]).double())
    below = (r[:, 2] < 0)[:, None, None]
    trace = torch.where(below, flip @ R, R).diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(trace, 1 + 2 * r[:, 2].abs(), rtol=0, atol=1e-14)


def test_no_edge_has_no_direction():
    r = torch.tensor([[0.0, 0, 0], [3e-310, -2e-310, 1e-320]], dtype=torch.float64, requires_grad=True)
    R = edge_rotations(r)
    assert torch.equal(R, torch.eye(3).double().expand(2, 3, 3))
    (gradient,) = torch.autograd.grad(R.sin().sum(), r)
    assert torch.equal(gradient, torch.zeros_like(r))
    assert edge_rotations(torch.zeros(0, 3)).shape == (0, 3, 3)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_at_the_poles(sign):
    r = torch.tensor([[0.0, 0, 2 * sign], [1e-8, 1e-8, sign]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(edge_rotations, (r,), atol=1e-7)
    assert torch.autograd.gradgradcheck(edge_rotations, (r,), atol=1e-6)


def test_gradients_elsewhere():
    r = directions()[:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(edge_rotations, (r,))
    assert torch.autograd.gradgradcheck(edge_rotations, (r,))


def test_a_rotated_edge_turns_about_z():
    """R(g r) g = Z(α) R(r): the frames of an edge and of the same edge turned differ by a turn about z."""
    r = directions()
    for g in random_rotations(3, torch.Generator().manual_seed(1)):
        turn = edge_rotations(r @ g.T) @ g @ edge_rotations(r).mT
        torch.testing.assert_close(turn[:, 2], torch.tensor([0.0, 0, 1]).double().expand(len(r), 3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("r", [torch.zeros(3), torch.zeros(4, 2), torch.zeros(4, 3, dtype=torch.int64)])
def test_what_is_no_edge_vector(r):
    with pytest.raises(ValueError, match="r has"):
        edge_rotations(r)
