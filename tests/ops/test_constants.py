"""Constants that are made or cast under one mode of torch serve under every other."""

from __future__ import annotations

import pytest
import torch

from armillary.ops.constants import ConstantModule, cached_constant


class Scale(ConstantModule):
    """x times a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.register_constant("gain", torch.arange(3, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.constant("gain", x)


class Table(ConstantModule):
    """x at some places."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.register_constant("places", torch.tensor([2, 0], device="cpu"))
        self.register_constant("gain", torch.tensor([0.1, 0.2], dtype=torch.float64, device="cpu"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weight)[self.constant("places", x)] * self.constant("gain", x)


def test_integers_stay_integers() -> None:
    layer = Table().half()
    assert layer.constant("places", torch.ones(1)).dtype == torch.int64
    assert layer(torch.ones(3)).tolist() == Table()(torch.ones(3)).tolist()
    assert list(layer.state_dict()) == ["weight"]


def test_constants_survive_the_meta_device() -> None:
    with torch.device("meta"):
        built = Table()
    assert built.weight.is_meta
    for layer in (built.to_empty(device="cpu"), Table().to("meta").to_empty(device="cpu")):
        torch.nn.init.ones_(layer.weight)
        assert layer(torch.ones(3)).tolist() == Table()(torch.ones(3)).tolist()


def test_a_cast_made_in_inference_mode_serves_a_backward_pass() -> None:
    layer = Scale()
    with torch.inference_mode():
        layer(torch.ones(3))
    assert layer.constant("gain", torch.ones(3)) is layer.constant("gain", torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.complex128])
def test_compiles_with_the_real_dtype_of_its_input(dtype: torch.dtype) -> None:
    x = torch.ones(3, dtype=dtype)
    got = torch.compile(Scale(), backend="eager", fullgraph=True)(x)
    assert got.dtype == dtype
    assert got.tolist() == [0, 1, 2]
    assert Scale().constant("gain", x).dtype == x.real.dtype


def test_a_module_built_in_inference_mode_serves_a_backward_pass() -> None:
    with torch.inference_mode():
        layer = Scale()
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2]


def test_kept_constants_do_not_depend_on_who_asked_first() -> None:
    calls = []

    @cached_constant(4)
    def steps(n: int) -> torch.Tensor:
        """So many steps."""
        calls.append(n)
        return torch.arange(n, dtype=torch.float64)

    with torch.device("meta"):
        steps(2)
    with torch.inference_mode():
        steps(3)
    assert steps.__doc__ == "So many steps."
    assert steps(2).tolist() == [0, 1]
    assert not steps(3).is_inference()
    assert calls == [2, 3]
