"""The Triton kernels of the edge product become machine code for GPUs that need not be there.

``test_triton.py`` runs this file.
"""

from __future__ import annotations

import re

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from armillary.nn import EdgeProduct
from armillary.ops import edge_product_triton, edge_product_triton_kernels
from armillary.ops.edge_generators import wigner_size

TYPES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}
CASES = {
    "Hopper, float32, forward": (90, torch.float32, "{c}x0e+{c}x1o+{c}x2e", 2, 32, False),
    "Hopper, float32, backward": (90, torch.float32, "{c}x0e+{c}x1o+{c}x2e", 2, 32, True),
    "Hopper, four channels to a lane": (90, torch.float32, "{c}x0e+{c}x1o", 1, 128, False),
    "Hopper, float64, both parities": (90, torch.float64, "{c}x1o+{c}x1e", 1, 20, True),
    "Ampere, bfloat16": (80, torch.bfloat16, "{c}x0e+{c}x3o", 3, 40, False),
}


@pytest.mark.parametrize("case", CASES)
def test_compiles(case: str) -> None:
    """Without shared memory or barriers, without registers that are spilled, without tensor cores. Lanes exchange
    nothing but the torque. What a forward pass reads for an edge is what there is of it, once."""
    capability, dtype, irreps, lmax, channels, back = CASES[case]
    layer = EdgeProduct(irreps.format(c=channels), lmax, irreps.format(c=channels))
    launch, *others = edge_product_triton.launches(layer._plan, back, dtype.itemsize)
    assert not others
    block = edge_product_triton._channels(channels, launch.registers)
    kernel = edge_product_triton_kernels.sum_edges_back if back else edge_product_triton_kernels.sum_edges
    constants = {"PLAN": launch, "C": channels, "CHANNELS": block, "SUM": edge_product_triton._SUMS[dtype]}
    constants |= {"TORQUE": True} if back else {"EVICT": edge_product_triton._evict(launch, block)}
    types = dict.fromkeys(("x", "frames", "weights", "y", "grad", "gx", "gw"), "*" + TYPES[dtype])
    types |= dict.fromkeys(("order", "others", "starts"), "*i32")
    types["torques"] = "*" + TYPES[torch.promote_types(dtype, torch.float32)]
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    aligned = {(n,): [["tt.divisibility", 16]] for n, parameter in enumerate(kernel.params)
               if parameter.name in types and not parameter.do_not_specialize_on_alignment}  # fmt: skip
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": 1})
    sass = made.asm["sass"]
    assert made.metadata.shared == 0
    assert not re.findall(r"\b(?:LDS|STS|LDL|STL|BAR|[HIQD]MMA)\b", sass)
    assert len(re.findall(r"\bSHFL\b", sass)) <= (20 if back else 0)
    if dtype == torch.float32 and not back:
        lanes = block // 32
        numbers = lanes * (layer._plan.rows_in[-1] + len(layer.paths)) + wigner_size(layer.lmax)
        assert len(re.findall(r"\bLDG\b", sass)) == 4 + numbers


def test_how_often_a_frame_is_read() -> None:
    """Once where its numbers and the components fit the registers of a lane, else for each turn."""
    for L, channels, wanted in ((2, 32, ""), (2, 128, ""), (4, 32, ""), (4, 64, "evict_first"), (6, 16, "evict_first")):
        irreps = "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(L + 1))
        launch = edge_product_triton.launches(EdgeProduct(irreps, L, irreps)._plan, False, 4)[0]
        assert edge_product_triton._evict(launch, edge_product_triton._channels(channels, launch.registers)) == wanted
