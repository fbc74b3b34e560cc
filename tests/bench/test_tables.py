"""Tables, fits and pictures of made-up measurements."""

from __future__ import annotations

import json
import math

import pytest

from armillary.bench import record, tables
from armillary.bench.cases import COPY, COPY_NUMBERS, PRODUCT, PRODUCT_SIZE, DiscoCase
from armillary.bench.edge_cases import E3NN, EdgeCase
from armillary.bench.gcnn_cases import ESCNN, ESCNN_FULL, STOCK, GroupNetCase
from armillary.bench.gcnn_tables import gcnn_summary, gcnn_table
from armillary.bench.operations import contraction_and_mixing, exponent, geometric_mean
from armillary.bench.peer import peer_of
from armillary.bench.so3_cases import SO3Case
from armillary.bench.suites import SUITES
from armillary.bench.turns import OURS, THEIRS, summarise


def test_table_and_record(tmp_path):
    assert record.table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
    path = record.write(tmp_path / "new", "x.json", {"ratio": 2.5})
    assert json.loads(path.read_text()) == {"ratio": 2.5}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]
    with pytest.raises(TypeError):
        record.write(tmp_path / "new", "x.json", {"ratio": object()})
    assert json.loads(path.read_text()) == {"ratio": 2.5}


MADE = {"entries": 1000, "resident_before": 3e7, "resident_after": 4e7}


def points_of(case) -> int:
    match case:
        case GroupNetCase():
            return 32**2
        case SO3Case():
            return case.points
        case EdgeCase():
            return case.edges
    return 2 * getattr(case, "disco", case).nlat ** 2


def results_of(case, peer: bool = True) -> dict:
    """Times by the pixels of the case: ours 1, torch-harmonics 3, fused 4, escnn 5, others 0.5 µs a pixel."""
    pixels = points_of(case)
    paces = {OURS: 1.0, THEIRS[0]: 3.0, THEIRS[1]: 4.0, ESCNN: 5.0, E3NN: 6.0}
    turns, built = {}, {}
    for name, job in case.jobs().items():
        if not peer and peer_of(job.builders):
            continue
        facts = {"construct_s": 0.01, "first_s": 2.0} if isinstance(case, EdgeCase) else {}
        built[name] = [{"build": 0.1 * paces.get(name, 0.5), **MADE, **facts, "parameters": 7, "difference": 1e-7}] * 2
        seconds = 1e-6 * pixels * paces.get(name, 0.5)
        turn = {"peak": 1e8 + 40 * pixels, "baseline": 1e8}
        if "training" in job.passes:
            turn |= {"forward": seconds, "backward": 2 * seconds}
        if "inference" in job.passes:
            machine = {PRODUCT: 2 * PRODUCT_SIZE**3 / 1e11, COPY: 8 * COPY_NUMBERS / 1e9}
            turn["inference"] = machine.get(name, seconds / 2)
        turns[name] = [turn] * 3 if job.passes else []
    return summarise(turns, built)


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("peer", [True, False], ids=["beside the peer", "alone"])
def test_every_suite_makes_its_files(name, peer):
    suite = SUITES[name]
    entries = [(case, results_of(case, peer)) for case in suite.cases(full=False)]
    text = suite.table(entries)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) >= len(entries) + 2
    theirs = (
        {"conv2d": [], "so3": [], "gcnn": ["escnn"], "edge": ["e3nn"]}.get(name, ["torch-harmonics"]) if peer else []
    )
    assert [library for library in ("torch-harmonics", "escnn", "e3nn") if library in text] == theirs
    document = json.loads(json.dumps(suite.document(entries), allow_nan=False))
    assert [entry["case"]["name"] for entry in document["cases"]] == [tables.title(case) for case, _ in entries]
    assert suite.draw(entries).startswith(b"\x89PNG")
    assert suite.document([]) == {"cases": []}


@pytest.mark.parametrize("name", SUITES)
def test_quick_cases_are_among_the_full_ones_or_small(name):
    suite = SUITES[name]
    assert 0 < len(suite.quick) < len(suite.full)
    assert all(case.depth == 14 if name == "gcnn" else points_of(case) <= 8 * 32**3 for case in suite.quick)
    assert len({tables.title(case) for case in suite.full}) == len(suite.full)


def test_the_cases_that_were_promised():
    sizes = SUITES["sizes"].full
    assert len(sizes) == 24
    assert {case.disco.hats.basis.size for case in sizes} == {4, 9}
    assert [case.disco.nlat for case in SUITES["scaling"].full] == [64, 128, 256, 512, 1024, 2048]
    assert {(case.nlat, case.batch * case.channels, case.inverse) for case in SUITES["sht"].full} == {
        (nlat, fields, way) for nlat in (128, 256, 512) for fields in (1, 16, 64) for way in (False, True)
    }


def test_networks_that_were_promised():
    cases = SUITES["gcnn"].full
    for folded in (False, True):
        own = {(case.reflections, case.depth, case.batch) for case in cases if case.folded == folded}
        assert own == {(mirrors, depth, batch) for mirrors in (False, True) for depth in (14, 44) for batch in (1, 16)}
    assert {tuple(case.fields) for case in cases if case.reflections} == {(11, 23, 45)}
    assert {tuple(case.fields) for case in cases if not case.reflections} == {(16, 32, 64)}


def test_networks_are_summed_up():
    entries = [(case, results_of(case)) for case in SUITES["gcnn"].full]
    summary = gcnn_summary(entries)
    for name, ratio in {(ESCNN, "construct"): 5, (ESCNN, "both"): 5, (ESCNN_FULL, "both"): 0.5}.items():
        assert summary[", ".join(name)] == pytest.approx({"least": ratio, "geometric_mean": ratio})
    assert summary[f"{STOCK}, inference"] == pytest.approx({"least": 0.5, "geometric_mean": 0.5})
    assert summary["folded_difference"] == 1e-7
    text = gcnn_table(entries)
    first = next(line for line in text.splitlines() if line.startswith("| p4 ResNet14 | 1 | escnn |"))
    assert first.split(" | ")[3:6] == ["7", "500.00 (0.20, 0.20–0.20)", "5.12 (0.20, 0.20–0.20)"]
    assert "| p4m ResNet44 | 16 | armillary, folded |" in text
    assert "escnn, both, over ours: geometric mean 5.00, least 5.00." in text


def test_sizes_table_counts():
    (case,) = [
        c for c in SUITES["sizes"].quick if (c.disco.nlat, c.disco.nlat_out, c.disco.n_azimuthal) == (256, 128, 3)
    ]
    results = results_of(case)
    row = tables.sizes_table([(case, results)]).splitlines()[4].strip("| ").split(" | ")
    pixels, functions, channels = 2 * 256**2, 4, 32
    contraction = 2 * 1000 * 256 * channels * functions
    mixing = 2 * (pixels // 4) * channels**2 * functions
    assert contraction_and_mixing(case.disco, 1000) == (contraction, mixing)
    seconds = 3e-6 * pixels
    assert row[:4] == ["256×512 → 128×256", "32", "4", f"{contraction / 1e9:.2f} + {mixing / 1e9:.2f}"]
    moved = 4 * channels * pixels * 1.25
    assert row[4] == f"{moved / 1e9:.2f}"
    floor = max(3 * (contraction + mixing) / 1e11, 3 * moved / 1e9)
    assert row[6] == f"{100 * floor / seconds:.0f} %"
    assert row[7:] == [f"{3e3 / channels / functions:.2f}", "3.00", "4.00", "105", "105"]
    assert tables.Roofline(1e11, 1e9).floor(2e11, 1e9) == 2
    assert tables.Roofline(1e11, 1e9).floor(1e11, 3e9) == 3


def test_scaling_fits():
    entries = [(case, results_of(case)) for case in SUITES["scaling"].full]
    fit = tables.scaling_fits(entries)[OURS]
    assert fit == pytest.approx({"forward": 1, "backward": 1, "both": 1, "memory": 1, "spread": 0}, abs=1e-9)
    entries[0][1][OURS]["both"]["median_s"] *= 50  # 64×128 is left out of the fit
    assert tables.scaling_fits(entries)[OURS]["both"] == pytest.approx(1)
    both = entries[2][1][OURS]["both"]
    both["median_s"] *= 1.5
    assert tables.scaling_fits(entries)[OURS]["both"] < 1
    assert tables.scaling_fits(entries)[OURS]["spread"] == pytest.approx(0)  # that of the fastest turns
    both["times_s"] = [1.5 * seconds for seconds in both["times_s"]]
    assert tables.scaling_fits(entries)[OURS]["spread"] == pytest.approx(0.5)
    assert tables.scaling_fits(entries[:2])[OURS]["memory"] is None
    assert "–" in tables.scaling_table(entries[:2])


def test_exponents_and_means():
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert exponent([4], [1]) is None
    assert exponent([1, 2], [0, 1]) is None
    assert geometric_mean([1, 4]) == pytest.approx(2)


def test_contraction_is_that_of_the_stencil():
    """The stored entries, repeated over the longitudes, are the neighbours of all output points."""
    case = DiscoCase(12, 6, 1)
    layer = case.layer(1, None)
    entries = len(layer.get_buffer("stencil"))
    inside = 0
    points = layer.grid.points.flatten(0, -2)
    for centre in layer.grid_out.points.flatten(0, -2):
        inside += int(((points @ centre).clamp(-1, 1).acos() < layer.cutoff).sum())
    contraction, _ = contraction_and_mixing(case, entries)
    assert math.isclose(contraction / 2 / 3, inside, rel_tol=0.1)
