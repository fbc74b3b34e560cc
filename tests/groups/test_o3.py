"""Irreps of O(3): their text, their layout, and that they represent the group."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from armillary.groups import O3, Irreps, O3Irrep, proper_part, wigner_D_real

STREAMS = st.lists(st.tuples(st.integers(1, 5), st.builds(O3Irrep, st.integers(0, 4), st.sampled_from([1, -1]))))
G = O3().sample(6, torch.Generator().manual_seed(0))


@given(STREAMS)
def test_what_is_printed_is_read_again(streams: list[tuple[int, O3Irrep]]) -> None:
    irreps = Irreps(streams)
    assert Irreps(str(irreps)) == irreps == Irreps(irreps)
    assert eval(repr(irreps)) == irreps
    assert irreps.dim == sum(n * (2 * ir.l + 1) for n, ir in streams)


def test_spaces_and_single_channels_are_understood() -> None:
    assert Irreps(" 0e+ 2x1o ") == Irreps([(1, O3Irrep(0, 1)), (2, O3Irrep(1, -1))])
    assert Irreps("") == Irreps() == Irreps([])
    assert str(Irreps.natural(3, 2)) == "2x0e+2x1o+2x2e+2x3o"


@pytest.mark.parametrize("text", ["8x1", "x1o", "1o+", "1.5x0e", "-1x0e", "0x1e", "1o 2e", "2x-1o"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Irreps(text)


def test_haar_elements_come_with_both_signs() -> None:
    signs = torch.linalg.det(O3().sample(64, torch.Generator().manual_seed(1)))
    torch.testing.assert_close(signs.abs(), torch.ones(64, dtype=torch.float64))
    assert 16 < int((signs > 0).sum()) < 48
    R, sign = proper_part(G)
    torch.testing.assert_close(sign[:, None, None] * R, G)
    with pytest.raises(ValueError, match="not a rotation"):
        proper_part(torch.eye(3) * 2)


@pytest.mark.parametrize("l", range(5))
@pytest.mark.parametrize("p", [1, -1])
def test_irreps_represent_the_group(l: int, p: int) -> None:
    D = O3Irrep(l, p)
    torch.testing.assert_close(D(G[0]) @ D(G[1]), D(G[0] @ G[1]), rtol=0, atol=1e-13)
    eye = torch.eye(2 * l + 1, dtype=torch.float64)
    torch.testing.assert_close(D(-torch.eye(3).double()), p * eye)
    assert D(G).shape == (6, 2 * l + 1, 2 * l + 1)


def test_vectors_are_odd_and_crossed_ones_even() -> None:
    a, b = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    order = [1, 2, 0]  # (y, z, x)
    for g in G:
        torch.testing.assert_close(O3Irrep(1, -1)(g) @ a[order], (g @ a)[order])
        crossed = torch.linalg.cross(g @ a, g @ b)[order]
        torch.testing.assert_close(O3Irrep(1, 1)(g) @ torch.linalg.cross(a, b)[order], crossed)


def test_products_keep_the_dimension() -> None:
    assert sum(ir.dim for ir in O3Irrep(2, -1) * O3Irrep(3, 1)) == 5 * 7
    assert [str(ir) for ir in O3Irrep(1, -1) * O3Irrep(1, -1)] == ["0e", "1e", "2e"]


def test_features_are_by_stream_then_m_then_channel() -> None:
    irreps = Irreps("2x1o+3x0e")
    x = torch.arange(9.0)
    first, second = irreps.split(x)
    assert first.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert second.tolist() == [[6, 7, 8]]
    assert torch.equal(irreps.join([first, second]), x)
    assert irreps.slices == [slice(0, 6), slice(6, 9)]
    assert irreps.regrouped() == Irreps("3x0e+2x1o")
    with pytest.raises(ValueError, match=r"x has shape \(8,\), this wants \(..., 9\): 2x1o\+3x0e"):
        irreps.split(x[1:])


def test_the_action_is_the_matrix() -> None:
    irreps = Irreps("2x1o+3x0e+1x2o+2x1e")
    x = torch.randn(4, irreps.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for g in G:
        torch.testing.assert_close(irreps.act(g, x), x @ irreps.matrix(g).T)
    R, sign = proper_part(G[0])
    part = irreps.split(irreps.act(G[0], x))[2]
    torch.testing.assert_close(part, sign * (wigner_D_real(2, R) @ irreps.split(x)[2]))


def test_nothing() -> None:
    x = torch.zeros(4, 0)
    assert Irreps().split(x) == []
    assert Irreps().act(G[0], x).shape == (4, 0)
    assert Irreps().matrix(G[0]).shape == (0, 0)


def test_bad_values() -> None:
    with pytest.raises(ValueError, match="parity"):
        O3Irrep(1, 0)
    with pytest.raises(ValueError, match="degree"):
        O3Irrep(-1, 1)
    with pytest.raises(ValueError, match="empty"):
        _ = Irreps().lmax
