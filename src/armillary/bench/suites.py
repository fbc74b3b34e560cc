"""Which cases make a suite, its table and its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from armillary.bench import tables, turns
from armillary.bench.cases import Case, DiscoCase, PlanarCase, RooflineCase, ScalingCase, ShtCase
from armillary.bench.edge_cases import EdgeCase
from armillary.bench.edge_tables import edge_summary, edge_table
from armillary.bench.gcnn_cases import GroupNetCase
from armillary.bench.gcnn_tables import gcnn_summary, gcnn_table
from armillary.bench.peer import E3NN, ESCNN, TORCH_HARMONICS, Peer
from armillary.bench.pictures import draw_networks, draw_ratios, draw_scaling, draw_so3
from armillary.bench.so3_cases import SO3Case
from armillary.bench.so3_tables import so3_fits, so3_table
from armillary.bench.tables import Entry, title
from armillary.bench.turns import Conditions


@dataclass(frozen=True)
class Suite:
    """A named list of cases, the ``quick`` ones among them, and what is made of their measurements.

    ``peer`` is the library that they are compared with. A run has ``rounds`` of turns and builds everything ``builds``
    times.
    """

    name: str
    about: str
    full: tuple[Case, ...]
    quick: tuple[Case, ...]
    table: Callable[[Sequence[Entry]], str]
    draw: Callable[[Sequence[Entry]], bytes]
    rounds: int = 9
    builds: int = 1
    peer: Peer = TORCH_HARMONICS
    derived: Callable[[Sequence[Entry]], dict[str, Any]] = lambda entries: {}

    def cases(self, full: bool) -> tuple[Case, ...]:
        """All of them, or the quick ones."""
        return self.full if full else self.quick

    def document(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """The measurements for JSON, with what was derived of them."""
        cases = [{"case": {"name": title(case), **asdict(case)}, "results": results} for case, results in entries]
        return {**self.derived(entries), "cases": cases} if entries else {"cases": []}


def measure_suite(
    cases: Sequence[Case], conditions: Conditions, tick: Callable[[Case, float], None]
) -> Iterator[Entry]:
    """Measure the cases one after the other; ``tick`` is told the case and the share of it done since the last call."""
    for case in cases:

        def told(share: float, case: Case = case) -> None:
            tick(case, share)

        told(0)
        yield case, turns.measure(case.jobs(), conditions, told)


_PLAIN = tuple(DiscoCase(nlat, nlat) for nlat in (64, 128))
_LAYERS = (*_PLAIN, DiscoCase(128, 64), DiscoCase(64, 128))
_CHANNELS = ((180, 64), (256, 32), (360, 64), (512, 16), (1024, 16), (2048, 8))
_SIZES = tuple(
    RooflineCase(DiscoCase(nlat, nlat // stride, channels, azimuths, n_radial=2, one_ring=True))
    for nlat, channels in _CHANNELS
    for azimuths in (3, 8)
    for stride in (1, 2)
)


def _planar(sizes: Sequence[tuple[int, int]]) -> tuple[PlanarCase, ...]:
    return tuple(
        case
        for nlat, channels in sizes
        for case in (
            PlanarCase(DiscoCase(nlat, nlat, channels, 3, n_radial=2, one_ring=True), 3),
            PlanarCase(DiscoCase(nlat, nlat, channels), 7),
        )
    )


def _scaling(most: int) -> tuple[ScalingCase, ...]:
    sizes = [64 * 2**i for i in range(6) if 64 * 2**i <= most]
    return tuple(ScalingCase(DiscoCase(nlat, nlat, 16, 3, n_radial=2, one_ring=True)) for nlat in sizes)


def _transforms(sizes: Sequence[int]) -> tuple[ShtCase, ...]:
    fields = ((1, 1), (1, 16), (4, 16))
    return tuple(ShtCase(nlat, *field, inverse=way) for nlat in sizes for field in fields for way in (False, True))


def _networks(groups: Sequence[bool], depths: Sequence[int], batches: Sequence[int]) -> tuple[GroupNetCase, ...]:
    """p4, and p4m where a group is True; training, then folded."""
    return tuple(
        GroupNetCase(4, reflections, depth, batch, folded)
        for folded in (False, True)
        for reflections in groups
        for depth in depths
        for batch in batches
    )


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "layers",
            "DiscoConv and its transpose beside torch-harmonics",
            (*_LAYERS, DiscoCase(128, 128, n_azimuthal=4), DiscoCase(256, 256)),
            _LAYERS,
            tables.layers_table,
            lambda entries: draw_ratios(entries, "both", "forward and backward"),
        ),
        Suite(
            "sizes",
            "180 to 2048 rings, 4 and 9 functions: operations counted, share of the roofline",
            _SIZES,
            tuple(case for case in _SIZES if case.disco.nlat <= 256),
            tables.sizes_table,
            lambda entries: draw_ratios(entries, "both", "forward and backward"),
            rounds=5,
            derived=lambda entries: {"roofline": asdict(tables.Roofline.of(entries))},
        ),
        Suite(
            "conv2d",
            "DiscoConv beside torch.nn.Conv2d on the same image",
            _planar(_CHANNELS),
            _planar(((128, 32), (256, 32))),
            tables.conv2d_table,
            lambda entries: draw_ratios(entries, "both", "forward and backward"),
        ),
        Suite(
            "scaling",
            "time and memory of one layer from 64×128 to 2048×4096",
            _scaling(2048),
            _scaling(256),
            tables.scaling_table,
            draw_scaling,
            rounds=5,
            derived=lambda entries: {"fits": tables.scaling_fits(entries)},
        ),
        Suite(
            "sht",
            "SHT and InverseSHT beside torch-harmonics",
            _transforms((128, 256, 512)),
            _transforms((128,)),
            tables.sht_table,
            lambda entries: draw_ratios(entries, "inference", "without gradient"),
        ),
        Suite(
            "gcnn",
            "residual networks over p4 and p4m beside escnn, and folded beside stock modules",
            _networks((False, True), (14, 44), (1, 16)),
            _networks((True,), (14,), (1, 16)),
            gcnn_table,
            draw_networks,
            builds=3,
            peer=ESCNN,
            derived=lambda entries: {"summary": gcnn_summary(entries)},
        ),
        Suite(
            "so3",
            "a convolution on SO(3) beside its direct evaluation with tables",
            tuple(SO3Case(b) for b in (16, 32, 64, 96, 128)),
            (SO3Case(16), SO3Case(32)),
            so3_table,
            draw_so3,
            rounds=3,
            derived=lambda entries: {"fits": so3_fits(entries)},
        ),
        Suite(
            "edge",
            "the product with harmonics of edges beside e3nn",
            (EdgeCase(2, 32, 4000), EdgeCase(4, 32, 2000), EdgeCase(6, 16, 500)),
            (EdgeCase(2, 32, 4000),),
            edge_table,
            lambda entries: draw_ratios(entries, "both", "forward and backward"),
            peer=E3NN,
            derived=lambda entries: {"summary": edge_summary(entries)},
        ),
    )
}
