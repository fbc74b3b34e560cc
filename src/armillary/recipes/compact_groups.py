"""System 15, convolution on compact groups: its theorem in numbers, and what it is worth on little data.

1. *If and only if*: for pairs of subgroups H, K of several groups the linear maps from functions on G/H to functions on
   G/K that commute with G, found as the null space of that constraint, have the dimension |H\\G/K| and the span of the
   convolutions.
2. *Block-sparse*: direct sum and product of Fourier blocks give the same numbers, and the blocks have
   Σ_ρ m_ρ(H) m_ρ(K) = |H\\G/K| entries.
3. *Data*: the number of triangles of a graph of 7 nodes, a function on its 2-subsets, learned by an S_7-equivariant
   network and by a plain one of the same size, with and without renumbered nodes as augmentation.

Source: Kondor & Trivedi 2018, arXiv 1802.03690. The paper has no experiment; the third part is ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from armillary.groups import (
    FiniteGroup,
    Fourier,
    Subgroup,
    alternating,
    dihedral,
    icosahedral,
    quaternion,
    stabiliser,
    symmetric,
)
from armillary.models.homogeneous import SubsetNet
from armillary.nn import HomogeneousConv
from armillary.recipes.compact_groups_figure import draw
from armillary.recipes.report import Check, Result, Row, chosen_scale
from armillary.train.state import seed_everything

CLAIM = (
    "A linear map between functions on G/H and G/K commutes with the group if and only if it is a convolution with a "
    "function on H\\G/K; on the Fourier side its blocks are sparse."
)
NODES = 7
EQUIVARIANT, PLAIN, AUGMENTED = "S_7-equivariant", "plain", "plain, nodes renumbered"
ERROR = "root mean square error of the number of triangles, {} training graphs"


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: sizes of training sets, graphs to test on, and optimizer steps."""

    training: tuple[int, ...]
    tests: int
    steps: int


SCALES = {
    "tiny": Scale((16, 64), 128, 40),
    "small": Scale((32, 100, 316, 1000, 3162), 4000, 1500),
    "paper": Scale((32, 100, 316, 1000, 3162, 10000), 20000, 6000),
}


def reproduce(scale: str, out: Path, seeds: int = 3) -> dict[str, Any]:
    """Run the claims and write ``result.json``, ``figure.png`` and ``report.md`` to ``out``.

    ``scale``: "tiny" (seconds), "small" (minutes), "paper". Returns the content of ``result.json``.
    Raises: ValueError for an unknown scale or seeds < 1.
    """
    size, console = chosen_scale(SCALES, scale, seeds), Console()
    result = Result("compact_groups", scale, CLAIM, "a theorem", "arXiv 1802.03690, theorem 1 and section 4")
    console.print("the constraint and its null space …")
    for name, H, K in _pairs():
        rows, check = theorem(name, H, K)
        result.rows += rows
        result.checks.append(check)
    learning = _learning(size, seeds, console)
    result.rows += learning
    if 10 * size.training[0] <= size.training[-1]:  # else no size is a tenth of the largest
        result.checks.append(_judge(learning, size))
    result.notes.append(
        f"Graphs of {NODES} nodes, each edge with a probability drawn from 0.2 to 0.8; {size.tests} to test on, "
        f"{size.steps} steps of Adam, {seeds} seeds; the plain network has the parameter count of the other within 3 %."
    )
    draw(Path(out) / "figure.png", result)
    return result.write(Path(out))


def _pairs() -> list[tuple[str, Subgroup, Subgroup]]:
    S4, S5, A5, D6, Q8, I = symmetric(4), symmetric(5), alternating(5), dihedral(6), quaternion(), icosahedral()
    return [
        ("S_4: functions on the group", Subgroup(S4), Subgroup(S4)),
        ("S_5: points to pairs", stabiliser(S5, [0]), stabiliser(S5, [0, 1])),
        ("S_5: pairs to pairs", stabiliser(S5, [0, 1]), stabiliser(S5, [0, 1])),
        ("A_5: order 3 to order 5", _cyclic(A5, 3), _cyclic(A5, 5)),
        ("D_6: reflection to trivial", _cyclic(D6, 2), Subgroup(D6)),
        ("Q_8: trivial to order 4", Subgroup(Q8), _cyclic(Q8, 4)),
        ("I: faces to corners", _cyclic(I, 3), _cyclic(I, 5)),
    ]


def _cyclic(group: FiniteGroup, order: int) -> Subgroup:
    return Subgroup(group, [int(np.flatnonzero(group.element_orders == order)[0])])


def theorem(name: str, H: Subgroup, K: Subgroup) -> tuple[list[Row], Check]:
    """The null space of the constraint beside the convolutions, and the two paths beside each other."""
    seed_everything(0)
    group = H.group
    null = equivariant_maps(H, K)
    layer = HomogeneousConv(1, 1, group, H, K, bias=False, path="matrix").double()
    maps = torch.stack([_map(layer, k) for k in range(layer.n_double_cosets)], dim=1)
    apart = float((maps - null @ (null.T @ maps)).norm() / maps.norm())
    rank = int(torch.linalg.matrix_rank(maps))
    direct, blocks = (HomogeneousConv(4, 4, group, H, K, path=path).double() for path in ("matrix", "fourier"))
    blocks.load_state_dict(direct.state_dict())
    f = torch.randn(8, 4, H.index, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        paths = float((direct(f) - blocks(f)).norm() / direct(f).norm())
    entries = sum(a * b for a, b in Fourier(group, H, K).block_shapes)
    rows = [
        Row(name, "dimension of the null space of the constraint", float(null.shape[1])),
        Row(name, "distance of convolutions from the null space", apart),
        Row(name, "direct sum against Fourier blocks", paths),
    ]
    cosets = layer.n_double_cosets
    holds = null.shape[1] == rank == cosets == entries and apart < 1e-12 and paths < 1e-12
    measured = f"{null.shape[1]}, {rank}, {cosets}, {entries}"
    return rows, Check(f"{name}: null space, convolutions, double cosets, Fourier entries", "equal", measured, holds)


def equivariant_maps(H: Subgroup, K: Subgroup) -> Tensor:
    """An orthonormal basis (columns) of all maps M, flattened (|G/K| · |G/H|), with ``M R_H(s) = R_K(s) M``.

    A dense null space, from the action of the generators s alone: nothing of the convolution enters.
    """
    M, N = K.index, H.index
    square = torch.zeros(M * N, M * N, dtype=torch.float64)
    for s in H.group.generators:
        left, right = (torch.zeros(n, n, dtype=torch.float64) for n in (M, N))
        left[torch.tensor(K.action[s]), torch.arange(M)] = 1
        right[torch.tensor(H.action[s]), torch.arange(N)] = 1
        constraint = torch.kron(torch.eye(M).double(), right.T.contiguous()) - torch.kron(left, torch.eye(N).double())
        square += constraint.T @ constraint
    values, vectors = torch.linalg.eigh(square)
    return vectors[:, values < 1e-9]


def _map(layer: HomogeneousConv, k: int) -> Tensor:
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, k] = 1
        return layer.matrix().reshape(-1).clone()


def random_graphs(count: int, subsets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Edges (count, 1, 21) of -1 or 1 on the 2-subsets, and how many triangles each graph has, (count, 1)."""
    probability = 0.2 + 0.6 * torch.rand(count, 1, generator=generator)
    edges = torch.rand(count, len(subsets), generator=generator) < probability
    adjacency = torch.zeros(count, NODES, NODES)
    i, j = subsets.unbind(1)
    adjacency[:, i, j] = adjacency[:, j, i] = edges.float()
    triangles = (adjacency @ adjacency @ adjacency).diagonal(dim1=1, dim2=2).sum(-1) / 6
    return 2 * edges[:, None].float() - 1, triangles[:, None]


def _plain(parameters: int) -> nn.Module:
    """A network of two hidden layers with about as many parameters."""
    inputs = NODES * (NODES - 1) // 2

    def build(width: int) -> nn.Module:
        hidden = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        return nn.Sequential(nn.Flatten(), hidden, nn.Linear(width, 1))

    return min((build(w) for w in range(4, 200)), key=lambda net: abs(_size(net) - parameters))


def _size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _renumber(x: Tensor, action: Tensor, generator: torch.Generator) -> Tensor:
    """Each graph with its nodes in another order."""
    chosen = action[torch.randint(len(action), (len(x),), generator=generator)]
    return torch.gather(x, 2, chosen[:, None])


def _learning(size: Scale, seeds: int, console: Console) -> list[Row]:
    net = SubsetNet(1, 1, NODES, 2)
    action = torch.tensor(stabiliser(symmetric(NODES), [0, 1]).action)  # of each renumbering on the pairs of nodes
    kinds: dict[str, tuple[Callable[[], nn.Module], bool]] = {
        EQUIVARIANT: (lambda: SubsetNet(1, 1, NODES, 2), False),
        PLAIN: (lambda: _plain(_size(net)), False),
        AUGMENTED: (lambda: _plain(_size(net)), True),
    }
    rows = []
    cases = [(name, count) for count in size.training for name in kinds]
    for name, count in track(cases, "graphs", console=console):
        build, augment = kinds[name]
        errors, start = [], time.perf_counter()
        for seed in range(seeds):
            seed_everything(seed)
            network = build()
            errors.append(_error(network, net.subsets, count, size, seed, action if augment else None))
        seconds = (time.perf_counter() - start) / seeds
        rows.append(Row.of_seeds(name, ERROR.format(count), errors, _size(network), seconds))
    return rows


def _error(network: nn.Module, subsets: Tensor, count: int, size: Scale, seed: int, action: Tensor | None) -> float:
    """Train on ``count`` graphs and return the root mean square error on others."""
    generator = torch.Generator().manual_seed(1000 + seed)
    x, y = random_graphs(count, subsets, generator)
    x_test, y_test = random_graphs(size.tests, subsets, generator)
    mean, std = y.mean(), y.std()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=size.steps)
    for _ in range(size.steps):
        batch = torch.randint(count, (min(count, 128),), generator=generator)
        inputs = x[batch] if action is None else _renumber(x[batch], action, generator)
        loss = nn.functional.mse_loss(network(inputs), (y[batch] - mean) / std)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return float(nn.functional.mse_loss(network(x_test) * std + mean, y_test).sqrt())


def _judge(rows: Iterable[Row], size: Scale) -> Check:
    found = {(row.name, row.metric): row.mean for row in rows}

    def curve(name: str) -> list[float]:
        return [found[name, ERROR.format(count)] for count in size.training]

    ours, plain = curve(EQUIVARIANT), curve(AUGMENTED)
    middle = len(size.training) // 2
    saved = [count for count, error in zip(size.training, ours, strict=True) if error <= min(plain)]
    text = (
        f"{ours[middle]:.2f} against {plain[middle]:.2f} at {size.training[middle]} graphs; the plain network's best "
    )
    text += f"error is reached with {saved[0]} of {size.training[-1]} graphs" if saved else "error is not reached"
    holds = bool(saved) and saved[0] * 10 <= size.training[-1]
    return Check("a tenth of the data is enough for the equivariant network", "not in the paper", text, holds)
