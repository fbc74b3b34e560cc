"""Worker for the environment of escnn: build its layers, run them, answer with their outputs and their filters.

    python escnn_layers.py QUESTION.npz ANSWER.npz

The question's JSON is ``{"dtype", "layers": [...]}``; each layer is the dictionary that ``describe_layer`` of
``escnn_cases`` makes, and ``x``, ``grad`` name its arrays. The answer holds for every layer i ``filter<i>``, the
convolution's weight as ``torch.conv2d`` takes it for random parameters, ``basis<i>``, the filters of all parameters of
one field in and one out, the output ``y<i>`` and the gradient of the input ``gx<i>``. ``timer.py`` takes its builders
from here. Imports nothing of armillary.

escnn writes most constants of its filters in float32, whatever the default dtype; to compare in float64, the name
``torch.float32`` stands for float64 while they are made.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from escnn import gspaces
from escnn import nn as enn


def plane(layer: dict[str, Any]) -> Any:
    """The plane with turns, and with the reflection y → -y if asked for: the order of armillary's elements."""
    turns = layer["turns"]
    return gspaces.flipRot2dOnR2(turns, axis=0.0) if layer["reflections"] else gspaces.rot2dOnR2(turns)


def filter_options(rings: dict[str, Any] | None) -> dict[str, Any]:
    """escnn's options for ``{"radii", "frequencies", "sigma"}``; None keeps its defaults."""
    if rings is None:
        return {}
    radii, frequencies = np.array(rings["radii"]), rings["frequencies"]

    def cutoff(radius: float) -> int:
        return frequencies[int(np.abs(radii - radius).argmin())]

    return {"rings": list(rings["radii"]), "sigma": list(rings["sigma"]), "frequencies_cutoff": cutoff}


def fields(space: Any, count: int, lift: bool = False) -> Any:
    """So many images, or functions on the group."""
    return enn.FieldType(space, count * [space.trivial_repr if lift else space.regular_repr])


def build_layer(layer: dict[str, Any]) -> Any:
    """An ``R2Conv`` without bias."""
    space = plane(layer)
    return enn.R2Conv(
        fields(space, layer["in_channels"], layer["lift"]),
        fields(space, layer["out_channels"]),
        layer["kernel_size"],
        padding=layer["padding"],
        stride=layer["stride"],
        bias=False,
        **filter_options(layer["rings"]),
    )


class ResidualBlock(torch.nn.Module):
    """``ReLU(skip(x) + norm(conv(ReLU(norm(conv(x))))))``, as in ``models.GroupResidualBlock`` of armillary."""

    def __init__(self, before: Any, after: Any, stride: int, options: dict[str, Any]) -> None:
        super().__init__()
        self.branch = enn.SequentialModule(
            enn.R2Conv(before, after, 3, stride=stride, padding=1, bias=False, **options),
            enn.InnerBatchNorm(after),
            enn.ReLU(after),
            enn.R2Conv(after, after, 3, padding=1, bias=False, **options),
            enn.InnerBatchNorm(after),
        )
        self.skip: Any = None
        if before != after or stride > 1:
            bare = {key: value for key, value in options.items() if key == "initialize"}  # one pixel has one ring
            conv = enn.R2Conv(before, after, 1, stride=stride, bias=False, **bare)
            self.skip = enn.SequentialModule(conv, enn.InnerBatchNorm(after))
        self.activation = enn.ReLU(after)

    def forward(self, x: Any) -> Any:
        return self.activation((x if self.skip is None else self.skip(x)) + self.branch(x))


class ResNet(torch.nn.Module):
    """``models.GroupResNet`` of armillary in escnn: (B, in_channels, 32, 32) → (B, classes)."""

    def __init__(
        self, space: Any, widths: Sequence[int], depth: int, in_channels: int, classes: int, options: dict[int, Any]
    ) -> None:
        super().__init__()
        self.images, before = fields(space, in_channels, lift=True), fields(space, widths[0])
        stem = enn.R2Conv(self.images, before, 4, padding=2, bias=False, **options[4])
        self.stem = enn.SequentialModule(stem, enn.InnerBatchNorm(before), enn.ReLU(before))
        blocks: list[torch.nn.Module] = []
        for stage, width in enumerate(widths):
            after = fields(space, width)
            for block in range((depth - 2) // 6):
                blocks.append(ResidualBlock(before, after, 2 if stage and not block else 1, options[3]))
                before = after
        self.blocks = torch.nn.Sequential(*blocks)
        self.order, self.linear = space.fibergroup.order(), torch.nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.blocks(self.stem(enn.GeometricTensor(x, self.images))).tensor
        return self.linear(y.unflatten(1, (-1, self.order)).mean((2, 3, 4)))


def build_resnet(net: dict[str, Any]) -> torch.nn.Module:
    """The network; ``rings`` gives options of filters by kernel size, ``initialize`` whether weights are drawn."""
    rings = net["rings"] or {}
    options = {k: filter_options(rings.get(str(k))) | {"initialize": net["initialize"]} for k in (3, 4)}
    return ResNet(plane(net), net["widths"], net["depth"], net["in_channels"], net["classes"], options)


BUILDERS = {"group resnet": build_resnet}


def expanded(layer: Any) -> torch.Tensor:
    """The weight of the convolution that a layer makes of its parameters."""
    return layer.expand_parameters()[0].detach()


def answer(description: dict[str, Any], arrays: dict[str, np.ndarray], dtype: torch.dtype) -> dict[str, np.ndarray]:
    """What the worker says of one layer."""
    layer = build_layer(description).to(dtype).train()
    single = build_layer(description | {"in_channels": 1, "out_channels": 1}).to(dtype)
    basis = []
    with torch.no_grad():
        for one in torch.eye(len(single.weights), dtype=dtype):
            single.weights.copy_(one)
            basis.append(expanded(single))
        layer.weights.normal_()
    x = torch.from_numpy(arrays[description["x"]]).to(dtype).requires_grad_()
    y = layer(enn.GeometricTensor(x, layer.in_type)).tensor
    y.backward(torch.from_numpy(arrays[description["grad"]]).to(dtype))
    found = {"filter": expanded(layer), "basis": torch.stack(basis), "y": y.detach(), "gx": x.grad}
    return {name: value.numpy() for name, value in found.items() if value is not None}


def main() -> None:
    """Answer one question."""
    warnings.simplefilter("ignore", UserWarning)
    with np.load(sys.argv[1], allow_pickle=False) as file:
        job = json.loads(file["json"].tobytes())
        arrays = {name: file[name] for name in file if name != "json"}
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    dtype = getattr(torch, job["dtype"])
    torch.set_default_dtype(dtype)
    torch.float32 = dtype
    out: dict[str, Any] = {}
    for i, description in enumerate(job["layers"]):
        out |= {f"{name}{i}": value for name, value in answer(description, arrays, dtype).items()}
    text = np.frombuffer(json.dumps(len(job["layers"])).encode(), dtype=np.uint8)
    np.savez(sys.argv[2], json=text, **out)


if __name__ == "__main__":
    main()
