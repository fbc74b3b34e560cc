import tomllib
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from armillary.train import TrainConfig, from_table, to_table
from armillary.train.tables import differences


@dataclass(frozen=True)
class Inner:
    rings: float = 3.0
    kind: Literal["none", "z"] | None = None
    word: str | None = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    widths: tuple[int, ...] = (1, 2)
    span: tuple[float, float] | None = None


def through_toml(table: dict) -> dict:
    return tomllib.loads(tomli_w.dumps(table))


@given(
    st.builds(
        Outer,
        inner=st.builds(
            Inner,
            rings=st.floats(allow_nan=False, allow_infinity=False),
            kind=st.sampled_from(["none", "z"]),
            word=st.none() | st.text(min_size=5).filter(lambda s: "\r" not in s),
        ),
        widths=st.lists(st.integers(-(2**62), 2**62)).map(tuple),
        span=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    )
)
def test_round_trip_through_toml(config: Outer) -> None:
    assert from_table(Outer, through_toml(to_table(config))) == config


def test_every_default_is_written_and_none_comes_back() -> None:
    config = TrainConfig(clip_grad=None)
    table = through_toml(to_table(config))
    assert set(table) == set(TrainConfig.__dataclass_fields__)
    assert table["early_stop"] == table["clip_grad"] == "none"
    assert from_table(TrainConfig, table) == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"width": [1]}, "did you mean 'widths'"),
        ({"inner": {"ringz": 1}}, r"\[inner\]: did you mean 'rings'"),
        ({"inner": 3}, r"\[inner\]: got 3"),
        ({"widths": "12"}, "widths: got '12', wanted a list"),
        ({"widths": [1.5]}, "wanted an integer"),
        ({"widths": [True]}, "wanted an integer"),
        ({"span": [1.0]}, "got 1 values, wanted 2"),
        ({"inner": {"kind": "y"}}, "inner.kind: got 'y', wanted one of none, z"),
        ({"inner": {"rings": "3"}}, "inner.rings: got '3', wanted a number"),
    ],
)
def test_bad_tables_are_named(table: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_table(Outer, table)


def test_differences_are_dotted() -> None:
    old, new = to_table(Outer()), to_table(replace(Outer(), inner=Inner(rings=4.0), widths=(1,)))
    assert differences(old, new) == {"inner.rings": (3.0, 4.0), "widths": ([1, 2], [1])}
    assert differences(old, old) == {}
    assert differences({"a": 1}, {}) == {"a": (1, None)}


@dataclass(frozen=True)
class Grown:
    width: int = 8
    depth: int = field(default=2, metadata={"added": True})


def test_what_was_added_is_written_where_it_is_not_the_default() -> None:
    assert to_table(Grown()) == {"width": 8}
    assert to_table(Grown(depth=3)) == {"width": 8, "depth": 3}
    assert from_table(Grown, {"width": 8}) == Grown()
    assert from_table(Grown, to_table(Grown(depth=3))) == Grown(depth=3)
