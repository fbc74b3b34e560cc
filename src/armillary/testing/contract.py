"""The contract of a layer, checked by one call."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import safetensors.torch
import torch
from torch import Tensor, nn

from armillary.testing.meter import channels_of, commutation_error, device_of
from armillary.testing.symmetry import Space, SphereSymmetry, Symmetry


@dataclass
class LayerReport:
    """What ``check_layer`` measured: the number behind each check, and the checks that failed with the reason."""

    measured: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, value: float, limit: float, meaning: str) -> None:
        """Record a number and whether it keeps its limit; not-a-number fails."""
        self.measured[name] = value
        if not value <= limit:
            self.failures[name] = f"{meaning}: got {value:.2e}, wanted at most {limit:.2e}"


def check_layer(
    layer: nn.Module,
    space_in: Space | Symmetry,
    space_out: Space | None = None,
    *,
    channels: int | None = None,
    tolerance: float | None = 1e-5,
    lmax: int | None = None,
    compile: bool = True,
    generator: torch.Generator | None = None,
) -> LayerReport:
    """Check what every layer promises, and raise with all that failed.

    - *equivariance*: ``commutation_error(...) <= tolerance`` in float64, under all elements of a ``GroupAction``;
      ``tolerance=None`` measures without judging (directional and nonlinear layers);
    - *gradients*: the derivative along a random direction against central differences, for the input and each
      parameter;
    - *float32*, *float32 dtype*: float32 output is within 1e-4 of float64, and is float32;
    - *batch*: a batch gives what its samples give one by one;
    - *layout*: non-contiguous input gives what contiguous input gives;
    - *save and load*: the state dict, written to and read from safetensors, restores a copy with other parameters;
    - *state size*: it holds parameters and running statistics only;
    - *compile*: ``torch.compile(fullgraph=True)`` traces it to the same output;
    - *repr*: names the layer, without the address of an object;
    - *wrong channels*, *wrong grid*: such an input is a ValueError (where the symmetry lists it in ``refuses``).

    What the layer has to commute with is a ``Symmetry``, or rotations of the sphere where spaces are given, with shapes
    and arguments as for ``equivariance_error``. The layer is checked on the device it is on. Returns a ``LayerReport``.
    Raises: AssertionError that lists each failed check with the number measured.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    report = LayerReport()
    symmetry = (
        space_in
        if isinstance(space_in, Symmetry)
        else SphereSymmetry(space_in, space_out or space_in, channels_of(layer, channels), lmax)
    )
    error = commutation_error(layer, symmetry, generator=generator)
    report.note("equivariance", error, float("inf") if tolerance is None else tolerance, "commutation error (float64)")
    double = copy.deepcopy(layer).eval().double()
    x = symmetry.inputs(3, generator).to(device_of(layer))
    _check_gradients(report, double, x, generator)
    _check_values(report, layer, double, x)
    _check_state(report, double, x)
    if compile:
        _check_compile(report, double, x)
    _check_errors(report, double, x, symmetry.refuses)
    text = repr(layer)
    report.note("repr", float(type(layer).__name__ not in text or " at 0x" in text), 0, "repr names the layer")
    if report.failures:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in report.failures.items())
        raise AssertionError(f"{type(layer).__name__} breaks the layer contract:\n{lines}")
    return report


def _distance(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-300))


def _check_gradients(report: LayerReport, layer: nn.Module, x: Tensor, generator: torch.Generator) -> None:
    x = x.clone().requires_grad_()
    y = layer(x)
    probe = torch.randn(y.shape, generator=generator, dtype=y.dtype).to(y.device)
    variables = {"input": x, **dict(layer.named_parameters())}
    gradients = torch.autograd.grad((y * probe).sum(), list(variables.values()), allow_unused=True)
    step, worst = 1e-5, 0.0
    for variable, gradient in zip(variables.values(), gradients, strict=True):
        direction = torch.randn(variable.shape, generator=generator, dtype=variable.dtype).to(variable.device)
        with torch.no_grad():
            variable += step * direction
            above = (layer(x) * probe).sum()
            variable -= 2 * step * direction
            below = (layer(x) * probe).sum()
            variable += step * direction
        numeric = float((above - below) / (2 * step))
        exact = 0.0 if gradient is None else float((gradient * direction).sum())
        scale = max(abs(numeric), abs(exact), 1e-3 * float(y.detach().norm() * probe.norm()))
        worst = max(worst, abs(numeric - exact) / scale)
    report.note("gradients", worst, 1e-6, "gradient against central differences")


def _check_values(report: LayerReport, layer: nn.Module, double: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        y = double(x)
        single = copy.deepcopy(layer).eval().float()(x.float())
        report.note("float32", _distance(single, y), 1e-4, "float32 output against float64")
        report.note("float32 dtype", float(single.dtype != torch.float32), 0, f"float32 input gave {single.dtype}")
        one_by_one = torch.cat([double(sample[None]) for sample in x])
        report.note("batch", _distance(one_by_one, y), 1e-12, "batch against single samples")
        strided = torch.stack([x, x], dim=-1)[..., 0]
        report.note("layout", _distance(double(strided), y), 1e-12, "non-contiguous input")


def _check_state(report: LayerReport, layer: nn.Module, x: Tensor) -> None:
    stored = safetensors.torch.save({name: value.contiguous() for name, value in layer.state_dict().items()})
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(safetensors.torch.load(stored))
        report.note("save and load", _distance(other(x), layer(x)), 0, "output after loading the state dict")
    persistent = sum(v.numel() for v in layer.state_dict().values())
    owned = sum(p.numel() for p in layer.parameters())
    running = sum(b.numel() for n, b in layer.named_buffers() if "running" in n or "num_batches" in n)
    report.note("state size", persistent, owned + running, "numbers in the state dict beyond parameters")


def _check_compile(report: LayerReport, layer: nn.Module, x: Tensor) -> None:
    try:
        with torch.no_grad():
            compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
            report.note("compile", _distance(compiled, layer(x)), 1e-12, "compiled output")
    except Exception as error:
        report.failures["compile"] = f"torch.compile(fullgraph=True) failed: {type(error).__name__}: {error}"


def _check_errors(report: LayerReport, layer: nn.Module, x: Tensor, kinds: tuple[str, ...]) -> None:
    inputs = {"wrong channels": torch.cat([x, x], dim=1), "wrong grid": x[..., 1:, :]}
    for name in kinds:
        bad = inputs[name]
        try:
            with torch.no_grad():
                layer(bad)
        except ValueError:
            report.measured[name] = 0.0
        except Exception as error:
            report.failures[name] = f"got {type(error).__name__}, wanted a ValueError that names the shapes"
        else:
            report.failures[name] = f"input of shape {tuple(bad.shape)} was accepted"
