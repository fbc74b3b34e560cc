"""Tensor products: against the sum over coefficients, e3nn, O(3), their parts, errors."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep, clebsch_gordan_real
from armillary.nn import ChannelwiseProduct, TensorProduct
from armillary.nn.tensor_product import ProductPath
from armillary.testing import FeatureSymmetry, check_layer

CASES = [
    ("4x0e+3x1o", "0e+1o", "5x0e+2x1o"),
    ("4x0e+3x1o+2x0e", "0e+1o+2e", "3x0e+2x1e+4x2e+2x0e+1x2o"),
    ("2x0e+3x1o+2x2e+1x3o", "0e+1o+2e+3o", "2x0e+3x1o+2x2e+1x3o+2x3e"),
    ("3x1o+2x0o+1x2e", "2x1o+3x2e+1x1o", "4x1e+2x0e+3x2o+2x1o"),
    ("8x0e", "0e", "17x0e"),
    ("2x10e+1x4o", "1x4o", "1x7o+1x6o+1x2e"),
]


def kind(irreps: Irreps, irrep: O3Irrep, x: Tensor) -> Tensor:
    """All channels of an irrep, (N, 2l + 1, channels)."""
    return torch.cat([p for p, (_, other) in zip(irreps.split(x), irreps, strict=True) if other == irrep], -1)


def path_irreps(layer: TensorProduct | ChannelwiseProduct, path: ProductPath) -> tuple[O3Irrep, O3Irrep, O3Irrep]:
    all_three = (layer.irreps_in1, layer.irreps_in2, layer.irreps_out)
    places = (path.first, path.second, path.out)
    return tuple(x.regrouped().streams[i][1] for x, i in zip(all_three, places, strict=True))  # type: ignore[return-value]


def joined(irreps: Irreps, kinds: dict[O3Irrep, Tensor]) -> Tensor:
    """Features from the components of each irrep."""
    parts, taken = [], dict.fromkeys(kinds, 0)
    for n, irrep in irreps:
        parts.append(kinds[irrep][..., taken[irrep] : taken[irrep] + n])
        taken[irrep] += n
    return irreps.join(parts)


def direct(layer: TensorProduct, x: Tensor, y: Tensor) -> Tensor:
    """The sum over paths, channels and components, one einsum for each path."""
    kinds = {irrep: torch.zeros(len(x), irrep.dim, n).to(x) for n, irrep in layer.irreps_out.regrouped()}
    for path in layer.paths:
        a, b, c = path_irreps(layer, path)
        u, v = kind(layer.irreps_in1, a, x), kind(layer.irreps_in2, b, y)
        C = clebsch_gordan_real(a.l, b.l, c.l)
        kinds[c] = kinds[c] + torch.einsum("nau,nbv,abc,uvw->ncw", u, v, C, layer.path_weight(path).to(x))
    if layer.bias is not None:
        kinds[O3Irrep(0, 1)] = kinds[O3Irrep(0, 1)] + layer.bias
    return joined(layer.irreps_out, kinds)


def features(irreps: Irreps | str, n: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, Irreps(irreps).dim, generator=generator, dtype=torch.float64)


class Joined(nn.Module):
    """The product of the two parts of one feature, for ``check_layer``."""

    def __init__(self, product: nn.Module, first: Irreps, second: Irreps) -> None:
        super().__init__()
        self.product, self.irreps = product, first + second
        self.sizes = [first.dim, second.dim]

    def forward(self, x: Tensor) -> Tensor:
        self.irreps.check(x)
        return self.product(*x.split(self.sizes, -1))


@pytest.mark.parametrize("case", CASES)
def test_full_product_is_the_sum_over_paths(case: tuple[str, str, str]) -> None:
    layer = TensorProduct(*case, bias=O3Irrep(0, 1) in Irreps(case[2])).double()
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    x, y = features(case[0]), features(case[1], seed=1)
    torch.testing.assert_close(layer(x, y), direct(layer, x, y), rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x[:1], y[:1]), direct(layer, x[:1], y[:1]), rtol=0, atol=1e-12)
    folded = layer(x.view(2, 3, -1), y.view(2, 3, -1))
    torch.testing.assert_close(folded.flatten(0, 1), layer(x, y), rtol=0, atol=1e-13)
    assert layer(x[:0], y[:0]).shape == (0, layer.irreps_out.dim)


@pytest.mark.parametrize("case", CASES[:4])
def test_full_product_keeps_the_contract(case: tuple[str, str, str]) -> None:
    first, second, out = map(Irreps, case)
    layer = TensorProduct(first, second, out)
    symmetry = FeatureSymmetry(first + second, out)
    check_layer(Joined(layer, first, second), symmetry, tolerance=1e-12, compile=case is CASES[0])


def test_mixing_by_parts_is_mixing_all() -> None:
    layer = TensorProduct("3x0e+2x1o+3x0e+2x1o+1x0e", "0e+1o", "4x0e+3x1o", bias=True).double()
    x, y = features(layer.irreps_in1), features("0e+1o", seed=1)
    ends = [0, 9, 18, 19]
    total: list[Tensor | None] = [None, None]
    for k, (start, stop) in enumerate([(0, 2), (2, 4), (4, None)]):
        for slot, part in enumerate(layer.mix(x[:, ends[k] : ends[k + 1]], start, stop)):
            before = total[slot]
            total[slot] = before if part is None else part if before is None else before + part
    torch.testing.assert_close(layer.contract(total, y), layer(x, y), rtol=0, atol=1e-13)
    alone = layer.contract(layer.mix(x[:, 18:], 4), y)
    torch.testing.assert_close(alone, layer(torch.cat([0 * x[:, :18], x[:, 18:]], 1), y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("given", ["learned", "given"])
def test_channelwise_product_is_the_sum_over_paths(given: str) -> None:
    layer = ChannelwiseProduct("4x0e+4x1o+4x2e", "0e+1o+2e", "4x1o+4x0e+4x2e+4x1e", weights=given).double()  # type: ignore[arg-type]
    x, y = features(layer.irreps_in1), features(layer.irreps_in2, seed=1)
    w = None if given == "learned" else torch.randn(6, layer.weight_numel, dtype=torch.float64)
    chosen = layer.weight.expand(6, -1) if w is None else w  # type: ignore[union-attr]
    kinds = {irrep: torch.zeros(6, irrep.dim, n).to(x) for n, irrep in layer.irreps_out.regrouped()}
    for path, part in zip(layer.paths, chosen.split(4, -1), strict=True):
        a, b, c = path_irreps(layer, path)
        C = clebsch_gordan_real(a.l, b.l, c.l)
        u, v = kind(layer.irreps_in1, a, x), kind(layer.irreps_in2, b, y)
        kinds[c] += torch.einsum("nau,nbv,abc,nu->ncu", u, v, C, part)
    torch.testing.assert_close(layer(x, y, w), joined(layer.irreps_out, kinds), rtol=0, atol=1e-12)


def test_channelwise_product_keeps_the_contract() -> None:
    first, second, out = map(Irreps, ("3x0e+3x1o+3x2e", "0e+1o+2e", "3x0e+3x1o+3x1e+3x2e"))
    layer = Joined(ChannelwiseProduct(first, second, out), first, second)
    check_layer(layer, FeatureSymmetry(first + second, out), tolerance=1e-12)


def test_under_autocast() -> None:
    layer = TensorProduct("4x0e+3x1o", "0e+1o", "5x0e+2x1o", bias=True)
    x, y = features(layer.irreps_in1).float(), features("0e+1o", seed=1).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        z = layer(x, y)
    torch.testing.assert_close(z.float(), layer(x, y), rtol=0.05, atol=0.05)
    assert torch.autograd.grad(z.float().sum(), y)[0].dtype == torch.float32


def test_second_derivatives() -> None:
    layer = TensorProduct("2x0e+1x1o", "0e+1o", "1x0e+1x1o+1x1e").double()
    x, y = features(layer.irreps_in1, 2).requires_grad_(), features("0e+1o", 2, 1).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x, y))


def test_variance_is_kept() -> None:
    torch.manual_seed(0)
    layer = TensorProduct("64x0e+64x1o+64x2e", "0e+1o+2e", "64x0e+64x1o+64x2e")
    z = layer(torch.randn(500, layer.irreps_in1.dim), torch.randn(500, 9))
    for part in layer.irreps_out.split(z):
        assert 0.8 < float(part.detach().std()) < 1.25


def test_equals_e3nn() -> None:
    o3 = pytest.importorskip("e3nn.o3")
    from armillary.groups import from_e3nn, to_e3nn

    first, second, out = Irreps("3x0e+2x1o+2x2e"), Irreps("0e+1o+2e"), Irreps("2x0e+3x1o+2x1e+2x2e")
    layer = TensorProduct(first, second, out).double()
    places = {irrep: i for i, (_, irrep) in enumerate(first)}
    ends = {irrep: i for i, (_, irrep) in enumerate(out)}
    of = {irrep: i for i, (_, irrep) in enumerate(second)}
    triples = [path_irreps(layer, path) for path in layer.paths]
    instructions = [(places[a], of[b], ends[c], "uvw", True) for a, b, c in triples]
    torch.set_default_dtype(torch.float64)  # its constants take the type that is the default when it is made
    try:
        peer = o3.TensorProduct(
            str(first), str(second), str(out), instructions, irrep_normalization="none", path_normalization="none"
        )
    finally:
        torch.set_default_dtype(torch.float32)
    weights, y = [], features(second, seed=1)
    for path, (a, b, c) in zip(layer.paths, triples, strict=True):
        # The coefficients of e3nn are those of unit norm, with a sign of their own for each path.
        own = clebsch_gordan_real(a.l, b.l, c.l)
        theirs = o3.wigner_3j(a.l, b.l, c.l, dtype=torch.float64)
        weights.append(layer.path_weight(path).detach() * (own * theirs).sum())
    x = features(first)
    z = peer(to_e3nn(x, first), to_e3nn(y, second), torch.cat([w.flatten() for w in weights]))
    torch.testing.assert_close(from_e3nn(z, out), layer(x, y), rtol=0, atol=1e-12)


def test_construction_takes_milliseconds() -> None:
    irreps = Irreps.natural(2, 32)
    TensorProduct(irreps, "0e+1o+2e", irreps)
    best = min(_seconds(lambda: TensorProduct(irreps, "0e+1o+2e", irreps)) for _ in range(3))
    assert best < 0.05


def _seconds(call) -> float:  # type: ignore[no-untyped-def]
    start = time.thread_time()
    call()
    return time.thread_time() - start


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no path leads from 2x0e and 1x0e to 1o"):
        TensorProduct("2x0e", "0e", "3x1o")
    with pytest.raises(ValueError, match="no irreps for the output"):
        TensorProduct("2x0e", "0e", "")
    with pytest.raises(ValueError, match="a bias needs 0e"):
        TensorProduct("2x1o", "0e", "3x1o", bias=True)
    layer = TensorProduct("2x0e", "0e+1o", "3x1o")
    with pytest.raises(ValueError, match="wants"):
        layer(torch.zeros(3, 3), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="y has shape"):
        layer(torch.zeros(3, 2), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="one channel of each irrep"):
        ChannelwiseProduct("2x0e", "2x1o", "2x1o")
    with pytest.raises(ValueError, match="as many of both"):
        ChannelwiseProduct("2x0e", "1o", "3x1o")
    with pytest.raises(ValueError, match="'learned' or 'given'"):
        ChannelwiseProduct("2x0e", "1o", "2x1o", weights="none")  # type: ignore[arg-type]
    given = ChannelwiseProduct("2x0e", "1o", "2x1o", weights="given")
    with pytest.raises(ValueError, match="pass them with the call"):
        given(torch.zeros(3, 2), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="weights have shape"):
        given(torch.zeros(3, 2), torch.zeros(3, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="call it without"):
        ChannelwiseProduct("2x0e", "1o", "2x1o")(torch.zeros(3, 2), torch.zeros(3, 3), torch.zeros(3, 2))
