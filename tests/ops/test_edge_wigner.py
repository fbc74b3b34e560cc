"""Wigner matrices of edges: those of the groups, products of rotations, two orders of gradients, high degrees."""

from __future__ import annotations

import pytest
import torch

from armillary.groups.clebsch_gordan import clebsch_gordan_real
from armillary.groups.so3 import random_rotations, rotation_about, wigner_D_real
from armillary.nn.edge_frames import edge_frames
from armillary.ops import edge_wigner as operators
from armillary.ops.edge_frames import edge_rotations
from armillary.ops.edge_generators import generators, raising, wigner_size
from armillary.ops.edge_wigner import wigner_blocks, wigner_blocks_reference


def rotations(count=7):
    return random_rotations(count, torch.Generator().manual_seed(0))


def blocks(D, lmax):
    return operators._blocks(D, lmax)


@pytest.mark.parametrize("l", [1, 2, 5])
def test_raising_is_clebsch_gordan(l):
    torch.testing.assert_close(raising(l), clebsch_gordan_real(l - 1, 1, l), rtol=0, atol=1e-14)


@pytest.mark.parametrize("l", [0, 1, 4])
def test_generators(l):
    h = 1e-6
    for k, axis in enumerate("xyz"):
        numeric = (wigner_D_real(l, rotation_about(axis, h)) - wigner_D_real(l, rotation_about(axis, -h))) / (2 * h)
        torch.testing.assert_close(generators(l)[k], numeric, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lmax", [0, 1, 2, 7])
@pytest.mark.parametrize("make", [wigner_blocks, wigner_blocks_reference])
def test_the_matrices_of_the_group(lmax, make):
    R = torch.cat([rotations(), edge_rotations(torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, 0, 0]]).double())])
    D = make(R, lmax)
    assert D.shape == (len(R), wigner_size(lmax))
    for l, block in enumerate(blocks(D, lmax)):
        torch.testing.assert_close(block, wigner_D_real(l, R), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("edges", [1, 64, 131])
def test_the_kernels_are_the_reference(edges, dtype):
    R = rotations(edges)
    D = wigner_blocks_reference(R, 5)
    g, omega = torch.randn_like(D), torch.randn(edges, 3, dtype=torch.float64)
    pairs = (
        (operators.edge_wigner(R.to(dtype), 5), D),
        (operators.edge_torque(g.to(dtype), D.to(dtype), 5), operators.torque_reference(g, D, 5)),
        (operators.edge_turn(omega.to(dtype), D.to(dtype), 5), operators.turn_reference(omega, D, 5)),
    )
    for found, wanted in pairs:
        tolerance = (1e-13 if dtype == torch.float64 else 1e-6) * float(wanted.abs().max())
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=tolerance)


def test_high_degrees():
    R = rotations(4)
    D = wigner_blocks(R, 32)
    for l in (20, 32):
        block = blocks(D, 32)[l]
        torch.testing.assert_close(block, wigner_D_real(l, R), rtol=0, atol=1e-12)
        torch.testing.assert_close(block @ block.mT, torch.eye(2 * l + 1).double().expand_as(block), rtol=0, atol=2e-13)


def test_single_precision():
    r = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    found, wanted = edge_frames(r, 10), edge_frames(r.double(), 10)
    assert found.dtype == torch.float32
    assert float((found - wanted).abs().max()) < 1e-5


def test_products_of_rotations():
    R = rotations(6)
    a, b, c = (blocks(wigner_blocks(S, 5), 5) for S in (R[:3], R[3:], R[:3] @ R[3:]))
    for l in range(6):
        torch.testing.assert_close(a[l] @ b[l], c[l], rtol=0, atol=1e-13)


def test_gradients_are_those_of_the_recurrence():
    r = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(5, wigner_size(3), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, wanted = (
        torch.autograd.grad((make(edge_rotations(r), 3).sin() * weights).sum(), r, create_graph=True)[0]
        for make in (wigner_blocks, wigner_blocks_reference)
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    second = [torch.autograd.grad(g.square().sum(), r, create_graph=True)[0] for g in (found, wanted)]
    torch.testing.assert_close(*second, rtol=1e-12, atol=1e-11)
    third = [torch.autograd.grad(g.square().sum(), r)[0] for g in second]
    torch.testing.assert_close(*third, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("z", [1.0, -1.0])
def test_gradients_at_the_poles(z):
    r = torch.tensor([[0.0, 0, z], [0.3, 0.1, z]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: edge_frames(r, 3), (r,), atol=1e-7)
    assert torch.autograd.gradgradcheck(lambda r: edge_frames(r, 2), (r,), atol=1e-6)


def test_nothing_and_no_direction():
    assert edge_frames(torch.zeros(0, 3), 2).shape == (0, wigner_size(2))
    r = torch.zeros(1, 3, requires_grad=True)
    D = edge_frames(r, 4)
    for block in blocks(D, 4):
        torch.testing.assert_close(block[0], torch.eye(block.shape[1]), rtol=0, atol=1e-6)
    assert torch.equal(torch.autograd.grad(D.square().sum(), r)[0], torch.zeros(1, 3))


def test_operators_are_sound():
    R = rotations(3).requires_grad_()
    D = wigner_blocks(R, 2).detach().requires_grad_()
    omega = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operators.edge_wigner, (R, 2), test_utils=checks)
    torch.library.opcheck(operators.edge_torque, (D, D, 2))
    torch.library.opcheck(operators.edge_turn, (omega, D, 2))


def test_compiled_in_one_graph():
    r = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(lambda r: edge_frames(r, 3), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(r), edge_frames(r, 3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("R", [torch.zeros(3, 3), torch.zeros(2, 3, 2), torch.zeros(1, 3, 3, dtype=torch.float16)])
def test_what_is_no_rotation(R):
    with pytest.raises(ValueError, match="R has"):
        wigner_blocks(R, 2)


@pytest.mark.parametrize("lmax", [-1, 2.0, True])
def test_no_degree(lmax):
    with pytest.raises(ValueError, match="got lmax"):
        wigner_blocks(torch.zeros(1, 3, 3), lmax)
