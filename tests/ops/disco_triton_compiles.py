"""The Triton kernels become machine code for GPUs that need not be there. ``test_triton.py`` runs this file."""

from __future__ import annotations

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from armillary.ops import disco_triton, disco_triton_kernels

TYPES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}
SHARED = 99 * 1024  # bytes that one block may have on every GPU since Ampere
# An integer argument that is 1 becomes a constant of the program; a bias of None too.
ONES = dict.fromkeys(("phases", "stride", "groups", "tiles", "repeats", "inner", "functions", "out_blocks"), 1)
CASES = {
    "Ampere, bfloat16": (80, torch.bfloat16, "ieee", 128, 16, False, {"phases": 1}),
    "Ampere, float32": (80, torch.float32, "ieee", 16, 4, False, {}),
    "Ampere, depthwise": (80, torch.bfloat16, "ieee", 64, 8, True, {"groups": 1}),
    "Hopper, bfloat16": (90, torch.bfloat16, "ieee", 64, 40, False, {"bias": None}),
    "Hopper, tf32": (90, torch.float32, "tf32", 64, 8, False, {}),
    "Hopper, float64": (90, torch.float64, "ieee", 64, 8, False, {}),
    "Hopper, every one": (90, torch.float32, "ieee", 1, 1, False, ONES),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["contract_and_mix", "weight_sums"])
def test_compiles(name: str, case: str) -> None:
    """Within shared memory, with tensor cores where the precision allows and only there."""
    capability, dtype, precision, channels, functions, depthwise, constants = CASES[case]
    kernel = getattr(disco_triton_kernels, name)
    torch.backends.cuda.matmul.fp32_precision = precision
    options = disco_triton._launch(10**6, channels, channels, functions, dtype.itemsize, depthwise).options(dtype)
    settings = {"num_warps": options.pop("num_warps")}
    constants = {name: value for name, value in {**options, **constants}.items() if name in kernel.arg_names}
    types = dict.fromkeys(("x", "weight", "bias", "y", "grad", "values"), "*" + TYPES[dtype])
    types |= dict.fromkeys(("rings", "columns", "starts", "rows"), "*i32")
    types["sums"] = "*" + TYPES[torch.promote_types(dtype, torch.float32)]
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, signature, constants), GPUTarget("cuda", capability, 32), settings)
    assert made.metadata.shared <= SHARED
    assert len(made.asm["cubin"]) > 0
    assert ("mma" in made.asm["ptx"]) == (dtype != torch.float32 or precision == "tf32")
