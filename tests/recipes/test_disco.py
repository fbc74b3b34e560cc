"""The DISCO recipe at its smallest scale, and its counts against direct enumeration."""

import json

import pytest

from armillary.groups import Orders
from armillary.nn import SteerableDiscoConv
from armillary.recipes import SYSTEMS
from armillary.recipes.disco import reproduce
from armillary.recipes.disco_layers import STEERABLE_FUNCTIONS, costs, disco_neighbours
from armillary.recipes.report import Check, Result, Row
from armillary.spaces import Equiangular
from armillary.spaces.neighbours import neighbourhoods


def test_tiny_scale_writes_a_complete_result_and_resumes(tmp_path):
    result = reproduce("tiny", tmp_path, seeds=1)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["system"] == "disco"
    assert {"text", "paper_value", "source"} == set(result["claim"])
    assert {"name", "metric", "mean", "std", "n_seeds", "params", "seconds"} <= set(result["rows"][0])
    assert result["holds"] == all(check["holds"] for check in result["checks"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert "| claim |" in (tmp_path / "report.md").read_text()
    again = reproduce("tiny", tmp_path, seeds=1)  # trainings are done: read back, not repeated
    first = [r["mean"] for r in result["rows"] if r["metric"].startswith("mIoU")]
    assert first == [r["mean"] for r in again["rows"] if r["metric"].startswith("mIoU")]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="tiny, small, paper"):
        reproduce("huge", None, 1)
    with pytest.raises(ValueError, match="seeds"):
        reproduce("tiny", None, 0)


@pytest.mark.parametrize("nlat", [32, 48])
def test_counted_neighbours_are_those_of_the_layer(nlat):
    grid = Equiangular(nlat)
    hoods = neighbourhoods(grid, grid, 3 * grid.ring_spacing)
    real = sum(int(hood.inside.sum()) for hood in hoods) / nlat
    assert disco_neighbours(nlat) == pytest.approx(real, rel=0.1)


def test_functions_counted_for_steerable_disco_are_those_of_the_layer():
    spins = Orders.upto(1, 1)
    layer = SteerableDiscoConv(spins, spins, Equiangular(8))
    stencils = [getattr(layer, f"stencil_{s}_{t}") for s, t in layer.pairs]
    assert sum(values.shape[1] for values in stencils) == STEERABLE_FUNCTIONS


def test_costs_scale_as_stated():
    small, large = costs(512), costs(1024)
    for name, power in (
        ("DISCO on S²", 2),
        ("steerable DISCO, spins 0 and 1", 2),
        ("harmonic on SO(3)", 4),
        ("tensor products, O(L⁵)", 5),
    ):
        ratio = large[name][0] / small[name][0]
        assert ratio == pytest.approx(2**power, rel=0.15), name


def test_a_claim_holds_only_if_all_its_parts_do(tmp_path):
    result = Result("x", "tiny", "claim", "1", "source", checks=[Check("a", "1", "1", True)])
    assert result.holds
    result.checks.append(Check("b", "1", "2", False))
    result.rows.append(Row.of_seeds("n", "m", [1.0, 3.0]))
    written = result.write(tmp_path)
    assert not written["holds"]
    assert written["rows"][0]["mean"] == 2.0
    assert written["rows"][0]["std"] == pytest.approx(2**0.5)
    assert "**no**" in (tmp_path / "report.md").read_text()


def test_catalogue_has_twenty_systems_and_a_recipe_for_each_that_works():
    import importlib

    assert [system.number for system in SYSTEMS] == list(range(1, 21))
    for system in SYSTEMS:
        if system.works:
            assert callable(importlib.import_module(f"armillary.recipes.{system.name}").reproduce)
