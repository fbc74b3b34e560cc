"""Every network and layer of points and molecules, on every hard place of points: finite values and gradients or a
clear error, in both precisions; and a hard structure in a batch leaves the others what they are alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product as pairs
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Irreps, SO3Signals
from armillary.models import EGNN, SEGNN, SE3Classifier, SE3Segmenter, SEConv
from armillary.models.atoms import AtomsConfig, build_atoms_model
from armillary.models.forces import ConservativeForces, DirectForces
from armillary.models.invariant import InvariantNetwork
from armillary.models.points import PlainPointClassifier, SteerablePointClassifier
from armillary.models.scn import SCN
from armillary.models.se3 import norm_relu
from armillary.nn import (
    EdgeLinear,
    EdgeProduct,
    PointConv,
    SE3GroupConv,
    SE3SeparableConv,
    edge_frames,
    neighbour_table,
)
from armillary.spaces import Neighbours, complete_graph, edge_vectors, knn_graph, radius_graph
from armillary.train import Run, TrainConfig, to_table
from armillary.train.run import Checkpoint

CUTOFF = 2.0
ELEMENTS = (1, 6, 8)


class Structure(NamedTuple):
    """Points (n, 3), and whether only those within the cutoff are neighbours, or all."""

    places: Tensor
    near: bool = False


class Batch(NamedTuple):
    """Structures one after the other: positions (P, 3), edges (2, E), batch (P,), points of each."""

    positions: Tensor
    edges: Tensor
    batch: Tensor
    sizes: list[int]


def joined(structures: list[Structure]) -> Batch:
    sizes = [len(x) for x, _ in structures]
    graphs = [radius_graph(x, CUTOFF) if near else complete_graph(len(x)) for x, near in structures]
    edges = [found.edge_index + sum(sizes[:b]) for b, found in enumerate(graphs)]
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return Batch(torch.cat([x for x, _ in structures]), torch.cat(edges, 1), batch, sizes)


def numbers(sizes: list[int], width: int, like: Tensor) -> Tensor:
    """Features (P, width) that depend on the place in the structure alone."""
    parts = [torch.sin(1.0 + torch.arange(n * width, dtype=torch.float64)).view(n, width) for n in sizes]
    return torch.cat(parts).to(like)


def charges(g: Batch) -> Tensor:
    return torch.cat([torch.tensor(ELEMENTS).repeat(n)[:n] for n in g.sizes])


Call = Callable[[nn.Module, list[Structure]], list[Tensor]]
"""A network and structures → what it says of each."""


def of_points(call: Callable[[nn.Module, Batch], Tensor]) -> Call:
    def run(net: nn.Module, structures: list[Structure]) -> list[Tensor]:
        g = joined(structures)
        return list(call(net, g).split(g.sizes))

    return run


def energies_and_forces(net: nn.Module, structures: list[Structure]) -> list[Tensor]:
    g = joined(structures)
    found = net(charges(g), g.positions, g.edges, None, g.batch, len(g.sizes))
    parts = [found.energies[:, None], *([] if found.virials is None else [found.virials.flatten(1)])]
    ofs = [torch.cat([p[b] for p in parts]) for b in range(len(g.sizes))]
    return [torch.cat([y, F.flatten()]) for y, F in zip(ofs, found.forces.split(g.sizes), strict=True)]


def clouds(net: nn.Module, structures: list[Structure]) -> list[Tensor]:
    return list(net(torch.stack([x for x, _ in structures])).unbind(0))


def segnn(net: nn.Module, g: Batch) -> Tensor:
    return net(numbers(g.sizes, 5, g.positions), g.positions, g.edges)


def segnn_with_vectors(net: nn.Module, g: Batch) -> Tensor:
    """Velocities that are zero at every other point, and differences of them on edges."""
    v = numbers(g.sizes, 3, g.positions) * (torch.arange(len(g.batch)) % 2)[:, None]
    r = v[g.edges[0]] - v[g.edges[1]]
    return net(numbers(g.sizes, 5, v), g.positions, g.edges, None, v[:, None], r[:, None])


def segnn_pooled(net: nn.Module, structures: list[Structure]) -> list[Tensor]:
    g = joined(structures)
    features = numbers(g.sizes, 5, g.positions)
    return list(net(features, g.positions, g.edges, batch=g.batch, graphs=len(g.sizes)).unbind(0))


def egnn(net: nn.Module, g: Batch) -> Tensor:
    return net(numbers(g.sizes, 1, g.positions), g.positions, numbers(g.sizes, 3, g.positions), g.edges)


def vectors(g: Batch) -> Tensor:
    return g.positions[g.edges[0]] - g.positions[g.edges[1]]


def product(net: nn.Module, g: Batch) -> Tensor:
    r = vectors(g)
    weights = torch.exp(-r.square().sum(1, keepdim=True)) * torch.ones(net.weight_numel).to(r)
    return net(numbers(g.sizes, net.irreps_in.dim, r), edge_frames(r, net.lmax), weights, g.edges)


def linear(net: nn.Module, g: Batch) -> Tensor:
    r = vectors(g)
    return net(numbers(g.sizes, net.irreps_in.dim, r), edge_frames(r, net.lmax), g.edges)


def conv(net: nn.Module, g: Batch) -> Tensor:
    x = numbers(g.sizes, net.in_channels, g.positions)
    return net(x, g.positions, neighbour_table(g.edges, len(x)))


def group_conv(net: nn.Module, g: Batch) -> Tensor:
    values = numbers(g.sizes, len(net.rule[1]) * net.signals.channels, g.positions)
    values = values.unflatten(1, (-1, net.signals.channels))
    return net(values, g.positions, neighbour_table(g.edges, len(values)))


SMALL = {"lmax": 2, "mmax": 2, "cutoff": CUTOFF, "radial": 3, "features": 6, "rings": 6}
SIGNALS = SO3Signals(1, 1)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Call]] = {
    "invariant": (lambda: ConservativeForces(InvariantNetwork(ELEMENTS, 6, 2, CUTOFF, radial=4)), energies_and_forces),
    "escn": (lambda: ConservativeForces(SCN(ELEMENTS, 3, 2, **SMALL)), energies_and_forces),
    "scn": (lambda: ConservativeForces(SCN(ELEMENTS, 3, 2, message="scn", **SMALL)), energies_and_forces),
    "escn, direct": (lambda: DirectForces(SCN(ELEMENTS, 3, 2, forces=True, **SMALL)), energies_and_forces),
    "scn, direct": (
        lambda: DirectForces(SCN(ELEMENTS, 3, 2, message="scn", forces=True, **SMALL)),
        energies_and_forces,
    ),
    "segnn": (lambda: SEGNN("2x0e+1x1o", "1x0e+1x1o", "4x0e+2x1o+1x2e", lmax=2, layers=2), of_points(segnn)),
    "segnn, linear": (
        lambda: SEGNN("2x0e+1x1o", "1x0e+1x1o", "4x0e+2x1o", layers=2, messages="linear", attributes="edges"),
        of_points(segnn),
    ),
    "segnn, vectors": (lambda: SEGNN("2x0e+1x1o", "1x1o", "4x0e+2x1o", layers=2), of_points(segnn_with_vectors)),
    "segnn, pooled": (lambda: SEGNN("2x0e+1x1o", "1x0e", "4x0e+2x1o", layers=2, pool="mean"), segnn_pooled),
    "seconv": (lambda: SEConv("2x0e+1x1o", "1x0e+1x1o", "4x0e+2x1o", layers=2), of_points(segnn)),
    "seconv, linear": (
        lambda: SEConv("2x0e+1x1o", "1x0e+1x1o", "4x0e+2x1o", convolution="linear", layers=2),
        of_points(segnn),
    ),
    "egnn": (lambda: EGNN(1, 6, 2), of_points(egnn)),
    "edge product": (lambda: EdgeProduct(Irreps.natural(2, 2), 3, Irreps.natural(2, 2)), of_points(product)),
    "edge linear": (lambda: EdgeLinear(Irreps.natural(2, 2), Irreps.natural(3, 2), 2), of_points(linear)),
    "point conv": (lambda: PointConv(SIGNALS.degrees, SIGNALS.degrees, CUTOFF), of_points(conv)),
    "point conv, steep": (lambda: PointConv(SIGNALS.degrees, SO3Signals(1, 4).degrees, CUTOFF), of_points(conv)),
    "group conv": (lambda: SE3GroupConv(SIGNALS, 1, CUTOFF, max_degree=1), of_points(group_conv)),
    "separable conv": (lambda: SE3SeparableConv(SIGNALS, SIGNALS, CUTOFF), of_points(conv)),
    "se3 classifier": (lambda: SE3Classifier(3, 2, (1.0, 2.0), neighbours=4, hidden=4), clouds),
    "se3 classifier, norms": (
        lambda: SE3Classifier(3, 2, (1.0, 2.0), neighbours=4, hidden=4, nonlinearity=norm_relu),
        clouds,
    ),
    "se3 segmenter": (lambda: SE3Segmenter(3, 2, (1.0, 2.0), neighbours=4, hidden=4), clouds),
    "steerable classifier": (lambda: SteerablePointClassifier(3, 2, (1.0, 2.0), neighbours=1, hidden=4), clouds),
    "plain classifier": (lambda: PlainPointClassifier(3, (4,), 4), clouds),
}
TWICE = [
    n for n, (_, call) in NETWORKS.items() if call is energies_and_forces or n.startswith(("segnn", "seconv", "edge"))
]
"""Those whose output is an energy, or may end in one."""

LINE = torch.tensor([0.0, 0, 1]) * torch.tensor([-1.5, -0.5, 0.0, 0.25, 1.0])[:, None]
CLUSTER = torch.tensor([[0.0, 0, 0], [1, 0.2, 0], [0, 0.9, 0.3], [-0.4, 0.1, 1.1], [0.2, -0.8, -0.7]])
CASES = {
    "one point": Structure(torch.tensor([[0.3, -0.2, 0.1]])),
    "no neighbours": Structure(100 * CLUSTER, near=True),
    "one of five without neighbours": Structure(CLUSTER + 100 * torch.eye(5, 3), near=True),
    "two coincide": Structure(CLUSTER[[0, 1, 2, 0, 4]]),
    "all coincide": Structure(CLUSTER[[1] * 5]),
    "nearly coincide": Structure(1e-9 * CLUSTER),
    "along the poles": Structure(LINE),
    "nearly along the poles": Structure(LINE + 1e-30 * CLUSTER),
    "in the plane z = 0": Structure(CLUSTER * torch.tensor([1.0, 1, 0])),
    "on the x-axis": Structure(LINE[:, [2, 0, 1]]),
    "far from the origin": Structure(CLUSTER + 1e6),
    "far apart": Structure(1e6 * CLUSTER),
    "two clusters far apart": Structure(CLUSTER + torch.tensor([0.0, 0, 1, 1, 0])[:, None] * 1e6),
}
ALONE = ("one point", "no neighbours", "all coincide", "far from the origin")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@cache
def built(name: str, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name][0]().to(dtype).eval()


def gradients(y: Tensor, inputs: list[Tensor], again: bool = False) -> list[Tensor]:
    return list(torch.autograd.grad(y, inputs, create_graph=again, retain_graph=True, materialize_grads=True))


def weighted(y: Tensor) -> Tensor:
    return (y.flatten() * torch.sin(1.0 + torch.arange(y.numel())).to(y)).sum()


def cast(structures: dict[str, Structure], dtype: torch.dtype) -> dict[str, Structure]:
    return {k: Structure(x.to(dtype, copy=True).requires_grad_(), near) for k, (x, near) in structures.items()}


def check_finite(name: str, structures: dict[str, Structure], dtype: torch.dtype) -> dict[str, Tensor]:
    """What the network says of each structure, once it, its gradients and, where forces are trained, theirs are
    finite."""
    net, call = built(name, dtype), NETWORKS[name][1]
    ys = dict(zip(structures, call(net, list(structures.values())), strict=True))
    assert [k for k, y in ys.items() if not y.isfinite().all()] == []
    places, parameters = [x for x, _ in structures.values()], dict(net.named_parameters())
    names, inputs = [*structures, *parameters], [*places, *parameters.values()]
    first = gradients(sum(weighted(y) for y in ys.values()), inputs, name in TWICE)
    assert [k for k, g in zip(names, first, strict=True) if not g.isfinite().all()] == []
    if name in TWICE:
        second = gradients(sum(weighted(g) for g in first), inputs)
        assert [k for k, g in zip(names, second, strict=True) if not g.isfinite().all()] == []
    return ys


@DTYPES
@pytest.mark.parametrize("name", NETWORKS)
def test_alone(name: str, dtype: torch.dtype) -> None:
    for k in ALONE:
        check_finite(name, cast({k: CASES[k]}, dtype), dtype)


@DTYPES
@pytest.mark.parametrize("name", NETWORKS)
def test_in_a_batch(name: str, dtype: torch.dtype) -> None:
    """All of them, and two sound structures at the ends, which are what they are alone, their gradients too."""
    net, call = built(name, dtype), NETWORKS[name][1]
    hard = {k: s for k, s in CASES.items() if call is not clouds or len(s.places) == len(CLUSTER)}
    structures = cast({"first": Structure(CLUSTER), **hard, "last": Structure(1.3 * CLUSTER.flip(1))}, dtype)
    found = check_finite(name, structures, dtype)
    for k in ("first", "last"):
        x = structures[k].places
        (wanted,) = call(net, [Structure(x)])
        for got, want in ((found[k], wanted), [gradients(weighted(y), [x])[0] for y in (found[k], wanted)]):
            assert float((got - want).detach().abs().max()) <= TOLERANCE[dtype] * float(want.detach().abs().max()), k


@pytest.mark.parametrize("name", NETWORKS)
def test_no_points(name: str) -> None:
    net, call = built(name, torch.float32), NETWORKS[name][1]
    nothing = [Structure(torch.zeros(0, 3))]
    if call is clouds:
        with pytest.raises(ValueError, match=r"\(1, 0, 3\), wanted .* one point or more"):
            call(net, nothing)
    else:
        assert all(y.isfinite().all() for y in call(net, nothing))


def every_pair(x: Tensor, cutoff: float) -> list[tuple[int, int]]:
    """(target, source) of all pairs within the cutoff."""
    places = x.double()
    return [(i, j) for i, j in pairs(range(len(x)), repeat=2) if i != j and (places[i] - places[j]).norm() <= cutoff]


def rows(found: Neighbours, first: int, count: int) -> list[tuple[int, int]]:
    """(target, source) of the edges between ``count`` points from ``first`` on."""
    source, target = found.edge_index[:, (found.edge_index >= first).all(0) & (found.edge_index < first + count).all(0)]
    return sorted(zip((target - first).tolist(), (source - first).tolist(), strict=True))


@DTYPES
def test_graphs(dtype: torch.dtype) -> None:
    """Of each structure, of all of them in a batch, and the vectors of their edges."""
    structures = [x.to(dtype) for x, _ in CASES.values()]
    batch = torch.arange(len(structures)).repeat_interleave(torch.tensor([len(x) for x in structures]))
    together = torch.cat(structures).requires_grad_()
    for cutoff in (CUTOFF, 1e7):
        of_all, first = radius_graph(together, cutoff, batch), 0
        for x in structures:
            wanted = every_pair(x, cutoff)
            assert rows(radius_graph(x, cutoff), 0, len(x)) == wanted
            assert rows(of_all, first, len(x)) == wanted
            first += len(x)
        assert bool((batch[of_all.edge_index[0]] == batch[of_all.edge_index[1]]).all())
        r = edge_vectors(together, of_all)
        assert r.isfinite().all()
        assert all(g.isfinite().all() for g in gradients(weighted(r), [together]))
    nearest, first = knn_graph(together, 2, batch), 0
    for x in structures:
        found = rows(nearest, first, len(x))
        assert [i for i, _ in found] == [i for i in range(len(x)) for _ in range(min(2, len(x) - 1))]
        for i, j in found:
            distances = (x.double() - x[i].double()).norm(dim=1)
            distances[i] = math.inf
            assert distances[j] <= distances.sort().values[1] * (1 + 1e-12)
        first += len(x)


TINY = AtomsConfig(elements=ELEMENTS, references=(-13.5, -1000.25, -2000.125), channels=3, lmax=2, mmax=2, hidden=3,
                   cutoff=CUTOFF, radial=3)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["escn", "scn", "invariant"])
def test_calculators(tmp_path: Path, name: str, dtype: str) -> None:
    ase = pytest.importorskip("ase")
    from armillary.interop.ase import Calculator

    config = replace(TINY, name=name, forces="direct" if name == "scn" else "conservative")
    torch.manual_seed(0)
    run = Run.create(tmp_path / "run", {"network": to_table(config), "train": to_table(TrainConfig())})
    run.save_checkpoint("best", Checkpoint(build_atoms_model(config).state_dict(), {}))
    calc = Calculator(run, dtype=dtype)
    results = {}
    for case, x in [("sound", CLUSTER), *((k, s.places) for k, s in CASES.items())]:
        atoms = ase.Atoms(numbers=[*ELEMENTS, *ELEMENTS][: len(x)], positions=x.double().numpy(), calculator=calc)
        results[case] = (atoms.get_potential_energy(), atoms.get_forces())
        assert math.isfinite(results[case][0]), case
        assert torch.from_numpy(results[case][1]).isfinite().all(), case
        if len(x) == 1:
            assert abs(results[case][1]).max() < 1e-6
    tolerance = 1e-4 if dtype == "float32" else 1e-7  # 1e6 Å away from the origin, of what the positions still tell
    moved = ase.Atoms(numbers=[1, 6, 8, 1, 6], positions=CLUSTER.double().numpy() + 1e6, calculator=calc)
    assert moved.get_potential_energy() == pytest.approx(results["sound"][0], abs=tolerance)
    assert abs(moved.get_forces() - results["sound"][1]).max() < tolerance
    assert ase.Atoms(calculator=calc).get_potential_energy() == 0
    cell = ase.Atoms("C", positions=[[1e4, -3e3, 5]], cell=[1.9, 1.9, 1.9], pbc=True, calculator=calc)
    assert abs(cell.get_forces()).max() < 1e-3  # its own images lie around it
    assert name == "scn" or torch.from_numpy(cell.get_stress()).isfinite().all()
