"""The network of distances: its formula, its symmetries, compile, state, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import random_rotation
from armillary.models.invariant import InvariantNetwork


def network(**changes: float) -> InvariantNetwork:
    torch.manual_seed(0)
    return InvariantNetwork((1, 8), 6, 2, 4.0, radial=5, neighbours=3.0, scale=1.5, **changes).double()  # type: ignore[arg-type]


def graph(atoms: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(atoms, 3, generator=generator, dtype=torch.float64)
    edges = torch.tensor([(j, i) for i in range(atoms) for j in range(atoms) if i != j]).T
    return torch.tensor([8, 1, 1, 8, 1]), x, edges


def test_it_is_its_formula() -> None:
    model = network()
    torch.nn.init.normal_(model.shift.embedding.weight)
    charges, x, edges = graph()
    h = [model.embedding(charges[i : i + 1])[0] for i in range(5)]
    for filters, sources, update in zip(model.filters, model.sources, model.updates, strict=True):
        heard = [torch.zeros(6, dtype=torch.float64) for _ in range(5)]
        for j, i in edges.T.tolist():
            d = (x[j] - x[i]).norm()
            heard[i] = heard[i] + model.envelope(d) * filters(model.radial(d)) * sources(h[j]) / 3**0.5
        h = [a + update(b) for a, b in zip(h, heard, strict=True)]
    energy = sum(1.5 * (model.head(a) + model.shift(charges[i : i + 1])[0]) for i, a in enumerate(h))
    found = model(charges, x[edges[0]] - x[edges[1]], edges)
    torch.testing.assert_close(found, energy, rtol=0, atol=1e-12)


def test_symmetries() -> None:
    model = network()
    charges, x, edges = graph()
    R, order = -random_rotation(), torch.tensor([3, 1, 4, 0, 2])
    r = x[edges[0]] - x[edges[1]]
    energy = model(charges, r, edges)
    torch.testing.assert_close(model(charges, r @ R.T, edges), energy, rtol=0, atol=1e-12)
    shuffled = torch.randperm(edges.shape[1])
    torch.testing.assert_close(model(charges, r[shuffled], edges[:, shuffled]), energy, rtol=0, atol=1e-12)
    back = order.argsort()
    torch.testing.assert_close(model(charges[order], r, back[edges]), energy, rtol=0, atol=1e-12)
    assert float((model(charges, 1.1 * r, edges) - energy).abs()) > 1e-3


def test_dtypes_compile_state_and_errors() -> None:
    model = network()
    charges, x, edges = graph()
    r = x[edges[0]] - x[edges[1]]
    energy = model(charges, r, edges)
    compiled = torch.compile(model, fullgraph=True, backend="eager")  # layers are traced further in their own tests
    torch.testing.assert_close(compiled(charges, r, edges), energy)
    torch.testing.assert_close(network().float()(charges, r.float(), edges), energy.float(), rtol=1e-4, atol=1e-5)
    assert sum(v.numel() for v in model.state_dict().values()) == sum(p.numel() for p in model.parameters())
    assert "scale=1.5" in repr(model)
    with pytest.raises(ValueError, match=r"atomic numbers \[6\]"):
        model(charges + 5 * (charges == 1), r, edges)
    with pytest.raises(ValueError, match="neighbours"):
        InvariantNetwork((1,), neighbours=0.0)
    with pytest.raises(ValueError, match="layers"):
        InvariantNetwork((1,), layers=0)
