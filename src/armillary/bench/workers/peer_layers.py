"""Worker for the environment of torch-harmonics: build layers of torch-harmonics, run them, answer with their outputs.

    python peer_layers.py QUESTION.npz ANSWER.npz

The question's JSON is ``{"dtype", "threads", "layers": [...]}``; each layer is the dictionary that ``describe_layer``
of ``peer_cases`` makes. ``x``, ``weight`` and (if gradients are wanted) ``grad`` name its arrays. The answer holds
arrays ``y<i>``, and ``gx<i>``, ``gw<i>``; its JSON lists the cutoff and number of stencil entries of every layer.
``timer.py`` takes its builders from here. Imports nothing of armillary.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch_harmonics import (
    DiscreteContinuousConvS2,
    DiscreteContinuousConvTransposeS2,
    InverseRealSHT,
    RealSHT,
)


def build(layer: dict[str, Any]) -> torch.nn.Module:
    """The torch-harmonics layer of a description, without bias."""
    kind = DiscreteContinuousConvTransposeS2 if layer["transposed"] else DiscreteContinuousConvS2
    options = {} if layer["transposed"] else {"fused": layer["fused"]}
    return kind(
        layer["in_channels"],
        layer["out_channels"],
        tuple(layer["in_shape"]),
        tuple(layer["out_shape"]),
        kernel_shape=tuple(layer["kernel_shape"]),
        basis_norm_mode=layer["basis_norm_mode"],
        groups=layer["groups"],
        grid_in=layer["grid_in"],
        grid_out=layer["grid_out"],
        bias=False,
        theta_cutoff=layer["theta_cutoff"],
        **options,
    )


def build_sht(layer: dict[str, Any]) -> torch.nn.Module:
    """A transform of torch-harmonics of degrees 0..nlat - 1 on Gauss–Legendre rings."""
    nlat = layer["nlat"]
    kind = InverseRealSHT if layer["inverse"] else RealSHT
    return kind(nlat, 2 * nlat, lmax=nlat, mmax=nlat, grid="legendre-gauss")


BUILDERS = {"disco": build, "sht": build_sht}


def main() -> None:
    """Answer one question."""
    warnings.simplefilter("ignore", UserWarning)  # the change of the default cutoff in 0.9.3
    with np.load(sys.argv[1], allow_pickle=False) as file:
        job = json.loads(file["json"].tobytes())
        arrays = {name: file[name] for name in file if name != "json"}
    torch.set_num_threads(job["threads"])
    dtype = getattr(torch, job["dtype"])
    answer, out = [], {}
    for i, description in enumerate(job["layers"]):
        module: Any = build(description).to(dtype)
        x: Any = torch.from_numpy(arrays[description["x"]]).to(dtype)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(arrays[description["weight"]]))
        if description["grad"] is None:
            with torch.no_grad():
                out[f"y{i}"] = module(x).numpy()
        else:
            x.requires_grad_()
            y = module(x)
            y.backward(torch.from_numpy(arrays[description["grad"]]).to(dtype))
            out[f"y{i}"] = y.detach().numpy()
            out[f"gx{i}"], out[f"gw{i}"] = x.grad.numpy(), module.weight.grad.numpy()
        answer.append({"theta_cutoff": float(module.theta_cutoff), "entries": int(module.psi_vals.numel())})
    text = np.frombuffer(json.dumps(answer).encode(), dtype=np.uint8)
    np.savez(sys.argv[2], json=text, **out)


if __name__ == "__main__":
    main()
