"""Frozen dataclasses to and from plain tables (TOML, YAML, JSON), with checked keys and types."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

NONE = "none"
"""TOML has no null: None is written as this word and read back where the field allows None."""


def to_table(config: Any) -> dict[str, Any]:
    """A dataclass as nested dicts of str, numbers, bools and lists; None becomes ``"none"``.

    A field whose metadata say ``added`` came later than others: it is left out while it has its default, so that the
    settings of an older run, which does not have it, are still those of the same run.
    """
    values = ((field, getattr(config, field.name)) for field in fields(config))
    return {f.name: _plain(value) for f, value in values if not (f.metadata.get("added") and value == f.default)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_table(value)
    if value is None:
        return NONE
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"got a {type(value).__name__} in a configuration, wanted str, numbers, bool, tuples or None.")


def from_table(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build dataclass ``cls`` from a table; the inverse of ``to_table``. Missing keys keep their defaults.

    ``where`` is the dotted name of the table in messages. Raises: ValueError for an unknown key (naming the nearest
    known one) or a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"[{where}]: got {table!r}, wanted a table of {cls.__name__} settings.")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in names:
            raise ValueError(unknown_key(key, names, where))
        values[key] = _typed(hints[key], value, f"{where}.{key}" if where else key)
    return cls(**values)


def unknown_key(key: str, known: list[str], where: str = "") -> str:
    """The sentence for a key that nobody asked for: what came, the nearest known one, all known ones."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "it is not a setting."
    place = f"[{where}]" if where else "the configuration"
    return f"unknown key {key!r} in {place}: {hint} Known: {', '.join(known)}."


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        literal = [v for a in args if typing.get_origin(a) is typing.Literal for v in typing.get_args(a)]
        if type(None) in args and (value is None or (value == NONE and NONE not in literal)):
            return None
        problems = []
        for option in args:
            if option is not type(None):
                try:
                    return _typed(option, value, where)
                except ValueError as error:
                    problems.append(str(error))
        raise ValueError(problems[-1])
    if origin is typing.Literal:
        if value not in args:
            raise ValueError(f"{where}: got {value!r}, wanted one of {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        return _typed_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: got {value!r}, wanted a table.")
        return {str(key): _typed(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else from_table(hint, value, where)  # type: ignore[arg-type]
    return _typed_scalar(hint, value, where)


def _typed_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, tuple | list):
        raise ValueError(f"{where}: got {value!r}, wanted a list.")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_typed(args[0], item, where) for item in value)
    if len(value) != len(args):
        raise ValueError(f"{where}: got {len(value)} values, wanted {len(args)}.")
    return tuple(_typed(hint, item, where) for hint, item in zip(args, value, strict=True))


def _typed_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(value)
    if hint is int and number and float(value).is_integer():
        return int(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    name = {str: "text", bool: "true or false", int: "an integer", float: "a number"}.get(hint, str(hint))
    raise ValueError(f"{where}: got {value!r}, wanted {name}.")


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one dict with dotted names, in order."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted names whose values differ, with (old, new); a name that one side lacks counts as None there."""
    a, b = flatten(old), flatten(new)
    return {k: (a.get(k), b.get(k)) for k in {**a, **b} if a.get(k) != b.get(k) or (k in a) != (k in b)}
