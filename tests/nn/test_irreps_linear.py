"""Linear maps of features of O(3): the contract, a dense twin, e3nn's."""

from __future__ import annotations

import time

import pytest
import torch

from armillary.groups import Irreps, O3Irrep, from_e3nn, to_e3nn
from armillary.nn import IrrepsLinear
from armillary.testing import FeatureSymmetry, check_layer

IN, OUT = Irreps("3x0e+2x1o+1x0o+4x2e+2x0e+1x1e+3x1o"), Irreps("2x1o+4x0e+1x1e+3x2e+2x0o+3x0e")


@pytest.mark.parametrize("bias", [True, False])
def test_contract(bias: bool) -> None:
    layer = IrrepsLinear(IN, OUT, bias)
    if bias:
        torch.nn.init.normal_(layer.bias)
    check_layer(layer, FeatureSymmetry(IN, OUT), tolerance=1e-12)


def test_is_the_dense_matrix() -> None:
    """Component by component: only equal irreps and equal m are joined."""
    layer = IrrepsLinear(IN, OUT).double()
    torch.nn.init.normal_(layer.bias)

    def components(irreps: Irreps) -> list[tuple[O3Irrep, int, int]]:
        """(irrep, m, channel among those of the irrep) of each component."""
        found, before = [], dict.fromkeys([irrep for _, irrep in irreps], 0)
        for n, irrep in irreps:
            found += [(irrep, m, before[irrep] + c) for m in range(irrep.dim) for c in range(n)]
            before[irrep] += n
        return found

    weights = dict(zip([irrep for _, irrep in OUT.regrouped()], layer.weights, strict=True))
    matrix, shift = torch.zeros(OUT.dim, IN.dim).double(), torch.zeros(OUT.dim).double()
    for row, (irrep, m, o) in enumerate(components(OUT)):
        for column, (other, n, c) in enumerate(components(IN)):
            if (irrep, m) == (other, n):
                matrix[row, column] = weights[irrep][o, c]
        if irrep == O3Irrep(0, 1):
            shift[row] = layer.bias[o]
    x = torch.randn(2, 5, IN.dim, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(layer(x), x @ matrix.T + shift, rtol=0, atol=1e-13)


def test_is_that_of_e3nn() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    irreps = Irreps("4x0e+3x1o+2x2e+2x1e")
    layer = IrrepsLinear(irreps, irreps).double()
    other = o3.Linear(str(irreps), str(irreps)).double()
    weights = {str(irrep): w for (_, irrep), w in zip(irreps.regrouped(), layer.weights, strict=True)}
    with torch.no_grad():
        for (n, irrep), w in zip(irreps, other.weight_views(), strict=True):
            w.copy_(weights[str(irrep)].T * n**0.5)  # e3nn divides by √(channels in) at use, we once at the start
    x = torch.randn(6, irreps.dim, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(from_e3nn(other(to_e3nn(x, irreps)), irreps), layer(x), rtol=0, atol=1e-13)


def test_features_keep_their_size() -> None:
    irreps = Irreps.natural(3, 64)
    x = torch.randn(500, irreps.dim, generator=torch.Generator().manual_seed(2))
    y = IrrepsLinear(irreps, irreps)(x).detach()
    assert all(0.8 < float(part.square().mean()) < 1.25 for part in irreps.split(y))


def test_is_built_in_milliseconds() -> None:
    irreps = Irreps.natural(10, 32)
    IrrepsLinear(irreps, irreps)
    began = time.thread_time()
    IrrepsLinear(irreps, irreps)
    assert time.thread_time() - began < 0.05


def test_errors() -> None:
    with pytest.raises(ValueError, match="nothing linear leads to 0o, 2e"):
        IrrepsLinear(Irreps("1x0e+2x1o"), Irreps("1x2e+1x0o+1x0e"))
    with pytest.raises(ValueError, match="IrrepsLinear wants"):
        IrrepsLinear(IN, OUT)(torch.zeros(3, IN.dim - 1))
    assert IrrepsLinear(IN, OUT)(torch.zeros(0, IN.dim)).shape == (0, OUT.dim)
