"""The gate on made-up measurements, and on one small layer."""

from __future__ import annotations

import json

import pytest

from armillary.bench import gate
from armillary.bench.cases import DiscoCase
from armillary.cli import run as armillary

FIRST, SECOND = list(gate.CASES)[:2]


def a_record(**changes) -> dict:
    ratios = {FIRST: {"matrix product": 2.0, "conv2d 3×3": 1.0}, SECOND: {"matrix product": 4.0}}
    made = {"machine": gate.machine_class(), "threads": 1, "margin": 1.5, "ratios": ratios}
    return made | changes


class Measured:
    """Ratios by case, one dictionary for each attempt; the last one is repeated."""

    def __init__(self, **attempts: list[dict[str, float]]) -> None:
        self.attempts, self.asked = attempts, []

    def __call__(self, name: str) -> dict[str, float]:
        key = {FIRST: "first", SECOND: "second"}[name]
        self.asked.append(key)
        own = self.attempts[key]
        return own[min(self.asked.count(key), len(own)) - 1]


GOOD = {"first": [{"matrix product": 2.9, "conv2d 3×3": 1.4}], "second": [{"matrix product": 1.0}]}


def test_ratios_within_the_margin_pass_at_once():
    measured = Measured(**GOOD)
    verdicts = [v for case in gate.judge(a_record(), measured) for v in case]
    assert [v.passed for v in verdicts] == [True] * 3
    assert [v.attempts for v in verdicts] == [1] * 3
    assert measured.asked == ["first", "second"]


def test_noise_is_measured_again_and_the_best_counts():
    noisy = [{"matrix product": 9.0, "conv2d 3×3": 1.4}, {"matrix product": 2.5, "conv2d 3×3": 9.0}]
    measured = Measured(**GOOD | {"first": noisy})
    verdicts = next(gate.judge(a_record(), measured))
    assert [(v.ratio, v.passed, v.attempts) for v in verdicts] == [(2.5, True, 2), (1.4, True, 2)]
    assert measured.asked == ["first", "first"]


def test_a_slower_layer_fails_after_three_attempts():
    slow = [{"matrix product": 3.5}, {"matrix product": 6.5}, {"matrix product": 6.1}]
    measured = Measured(**GOOD | {"second": [{"matrix product": 7.0}, *slow[1:]]})
    *_, (verdict,) = gate.judge(a_record(), measured)
    assert (verdict.ratio, verdict.passed, verdict.attempts) == (6.1, False, 3)
    assert measured.asked == ["first", "second", "second", "second"]
    assert str(verdict) == (
        f"{SECOND}: 6.10 times the matrix product, recorded 4.00, wanted at most 1.5 times that, the best of 3 attempts"
    )


def test_the_command_names_what_became_slower(tmp_path, capsys, monkeypatch):
    path = gate.write_record(tmp_path / "gate.json", a_record())
    monkeypatch.setattr("armillary.cli.bench._measure_gate", Measured(**GOOD))
    assert armillary(["bench", "gate", str(path)]) == 0
    assert capsys.readouterr().out.count("ok") == 3
    slow = Measured(**GOOD | {"second": [{"matrix product": 7.0}]})
    monkeypatch.setattr("armillary.cli.bench._measure_gate", slow)
    assert armillary(["bench", "gate", str(path)]) == 1
    err = capsys.readouterr().err
    assert f"error: slower than recorded: {SECOND}: 7.00 times the matrix product, recorded 4.00" in err
    assert FIRST not in err


@pytest.mark.parametrize("changed", [{"cpu_capability": "NONE"}, {"cores": 10**6}, {"architecture": "abacus"}])
def test_another_machine_is_not_judged(tmp_path, capsys, monkeypatch, changed):
    path = gate.write_record(tmp_path / "gate.json", a_record(machine=gate.machine_class() | changed))
    monkeypatch.setattr("armillary.cli.bench._measure_gate", Measured(first=[{}], second=[{}]))
    assert armillary(["bench", "gate", str(path)]) == 0
    out = capsys.readouterr().out
    (key, value), *_ = changed.items()
    assert "cannot judge: the record is of another class of machine" in out
    assert f"{key} {value} there" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "wanted a record of the gate"),
        ("[]", "wanted a record of the gate"),
        (json.dumps(a_record(margin=0.5)), "margin > 1"),
        (json.dumps({"ratios": {}}), "wanted a record of the gate"),
        (json.dumps(a_record(ratios={"no such layer": {"conv2d 3×3": 1.0}})), "it has a case 'no such layer'"),
        (json.dumps(a_record(ratios={FIRST: {"conv2d 3×3": "fast"}})), "wanted a record of the gate"),
        (json.dumps(a_record(ratios={FIRST: {"a horse": 1.0}})), "a ratio 1.0 to 'a horse'"),
    ],
)
def test_bad_records_are_named(tmp_path, capsys, content, message):
    path = tmp_path / "gate.json"
    if content is not None:
        path.write_text(content)
    assert armillary(["bench", "gate", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert "--record" in err


def test_record_and_compare(tmp_path, capsys, monkeypatch):
    """A small layer and transform, for real: what was recorded is read back and judged."""
    small = {
        "layer": lambda: gate.disco_workload(DiscoCase(12, 12, 2)),
        "transform": lambda: gate.sht_workload(8, 2),
    }
    monkeypatch.setattr(gate, "CASES", small)
    monkeypatch.setattr(gate, "MARGIN", 100.0)
    path = tmp_path / "new" / "gate.json"
    assert armillary(["bench", "gate", str(path), "--record", "--threads", "1"]) == 0
    made = json.loads(path.read_text())
    assert made["threads"] == 1
    assert all(ratio > 0 for ratios in made["ratios"].values() for ratio in ratios.values())
    assert {name: set(ratios) for name, ratios in made["ratios"].items()} == {
        name: {"matrix product", "conv2d 3×3"} for name in small
    }
    assert armillary(["bench", "gate", str(path)]) == 0
    assert capsys.readouterr().out.count("ok") == 4
    made["ratios"]["layer"]["conv2d 3×3"] = 1e-9
    path.write_text(json.dumps(made))
    assert armillary(["bench", "gate", str(path)]) == 1
    assert "the best of 3 attempts" in capsys.readouterr().err


def test_the_median_of_three_is_recorded(monkeypatch):
    monkeypatch.setattr(gate, "CASES", {FIRST: None})
    measured = Measured(first=[{"matrix product": 3.0}, {"matrix product": 2.0}, {"matrix product": 9.0}])
    assert gate.make_record(1, measured)["ratios"] == {FIRST: {"matrix product": 3.0}}
    assert measured.asked == ["first"] * 3


def test_ratios_are_of_the_fastest_turns(monkeypatch):
    """Work that is slowed in all turns but one tells the same as undisturbed work."""
    turns = [9, 2, 4, 9, 8, 4, 6, 2, 9]
    made = iter([{"forward": time, "backward": 0} for time in [1] * (3 * gate.WARM_UP) + turns])
    monkeypatch.setattr(gate, "training_pass", lambda *_: next(made))
    ratios = gate.ratios_to_references(gate.disco_workload(DiscoCase(12, 12, 2)), rounds=3)
    assert ratios == {"matrix product": 3.0, "conv2d 3×3": 1.5}


def test_operations_of_the_reference():
    """The product has the operations of the workload, but for rounding of its size."""
    workload = gate.disco_workload(DiscoCase(24, 24, 8))
    product, x = gate.references(workload)["matrix product"]
    assert 2 * len(x) ** 3 == pytest.approx(workload.operations, rel=0.05)
    assert product(x).shape == x.shape
