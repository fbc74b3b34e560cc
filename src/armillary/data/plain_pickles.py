"""Pickled records of tensors and arrays read without unpickling: no name is imported, no function of the file is
called.

A pickle is a program. This interpreter knows the few instructions that build plain values, and knows by name the few
constructors that tensors, arrays and PyTorch Geometric's ``Data`` are pickled by; it builds their values itself.
Whatever else a file asks for is refused before anything of it is done.
"""

from __future__ import annotations

import io
import pickletools
from typing import Any

import numpy as np

_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_PUSHED = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_PUSHED |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINSTRING", "BINSTRING"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()
_RECORDS = "torch_geometric.data."  # classes below it become records; none of them is loaded


class RefusedPickle(ValueError):
    """A pickle asks for something that plain records of tensors do not need, or is damaged."""


class _Name(str):
    """A global by its dotted name; never looked up."""


class Record(dict[str, Any]):
    """The attributes of an object whose class is not loaded."""


class _Array:
    """An array while its state is not known yet."""

    value: np.ndarray | None = None


class _Dtype:
    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or code.lstrip("<>|=") not in {"f2", "f4", "f8", "b1", "?", *_integers()}:
            raise RefusedPickle(f"an array of type {code!r}, wanted plain numbers")
        self.dtype = np.dtype("?" if code == "b1" else code)


def _integers() -> set[str]:
    return {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}


def read_plain_pickle(content: bytes) -> Any:
    """What a pickle of plain values, numpy arrays, torch tensors (as arrays) and PyTorch Geometric ``Data`` (as
    ``Record``) holds.

    Raises: RefusedPickle for any other name or instruction, for damaged data, and for what unfolds to more parts than
    it has bytes.
    Source: the instructions are those that Python's ``pickletools`` documents; pinned by ``tests/data/test_oc20.py``.
    """
    found = _finished(_interpret(io.BytesIO(content), {}))
    _check_size(found, len(content))
    return found


def _check_size(value: Any, most: int) -> None:
    """A few bytes can name one list so often that it unfolds to any size: no more parts than bytes."""
    open_ = [value]
    while open_:
        item = open_.pop()
        most -= 1
        if most < 0:
            raise RefusedPickle("a value with more parts than the pickle has bytes, one of them named again and again")
        if isinstance(item, dict):
            open_ += item.values()
        elif isinstance(item, list | tuple):
            open_ += item


def _interpret(stream: io.BytesIO, storages: dict[str, Any]) -> Any:
    """One pickle from the stream; ``storages`` collects what persistent ids ask for."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name == "STOP":
                return stack.pop()
            _step(name, argument, stack, memo, storages)
    except RefusedPickle:
        raise
    except Exception as error:  # genops and the stack: whatever a damaged program runs into
        raise RefusedPickle(f"a damaged pickle ({type(error).__name__}: {error})") from error
    raise RefusedPickle("a pickle that does not end")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], storages: dict[str, Any]) -> None:
    if name in ("PROTO", "FRAME"):
        return
    if name in _PUSHED:
        stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "TUPLE":
        stack.append(tuple(_to_mark(stack)))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _to_mark(stack)
        _as(list, stack[-1]).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _to_mark(stack)
        _as(dict, stack[-1]).update(zip(items[::2], items[1::2], strict=True))
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        stack.append(_known_name(argument.replace(" ", ".")))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_known_name(f"{module}.{attribute}"))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.pop(), stack.pop()
        stack.append(_constructed(_as(_Name, function), _as(tuple, arguments)))
    elif name == "BUILD":
        state = stack.pop()
        _build(stack[-1], state)
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop(), storages))
    else:
        raise RefusedPickle(f"the instruction {name}, which plain records do not need")


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise RefusedPickle(f"a damaged pickle: a {type(value).__name__} in place of a {kind.__name__}")
    return value


def _to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


_KNOWN = {
    **{f"numpy.{core}.multiarray.{name}": name for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{f"numpy.{core}.numeric._frombuffer": "_frombuffer" for core in ("core", "_core")},
    **{f"torch.{name}": code for name, code in _STORAGES.items()},
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "collections.OrderedDict": "OrderedDict",
    "_codecs.encode": "encode",
    "torch.Size": "Size",
    "torch._utils._rebuild_tensor_v2": "_rebuild_tensor_v2",
    "torch.storage._load_from_bytes": "_load_from_bytes",
}


def _known_name(name: str) -> _Name:
    if name not in _KNOWN and not name.startswith(_RECORDS):
        raise RefusedPickle(f"it names {name[:80]!r}, which is neither a tensor, an array nor a Data: nothing was run")
    return _Name(name)


def _constructed(function: _Name, arguments: tuple[Any, ...]) -> Any:
    if function.startswith(_RECORDS):
        return Record()
    kind = _KNOWN[function]
    if kind == "OrderedDict" and not arguments:
        return {}
    if kind == "Size" and len(arguments) == 1:
        return tuple(int(n) for n in _as(tuple, arguments[0]))
    if kind == "encode" and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1"):
        return _as(str, arguments[0]).encode("latin-1")
    if kind == "dtype":
        return _Dtype(arguments[0])
    if kind == "_reconstruct":
        return _Array()
    if kind == "scalar" and len(arguments) == 2:
        return np.frombuffer(_as(bytes, arguments[1]), _as(_Dtype, arguments[0]).dtype, count=1)[0].item()
    if kind == "_frombuffer" and len(arguments) == 4:
        content, dtype, shape, order = arguments
        return _filled(_as(bytes, content), _as(_Dtype, dtype), _as(tuple, shape), order == "F")
    if kind == "_load_from_bytes" and len(arguments) == 1:
        return _legacy_storage(_as(bytes, arguments[0]))
    if kind == "_rebuild_tensor_v2" and 4 <= len(arguments) <= 7:
        return _strided(_as(np.ndarray, arguments[0]), arguments[1], arguments[2], arguments[3])
    raise RefusedPickle(f"{function} with {len(arguments)} arguments, which plain records do not have")


def _build(target: Any, state: Any) -> None:
    if isinstance(target, Record):
        target.update(_as(dict, state))
    elif isinstance(target, _Array):
        _, shape, dtype, fortran, content = _as(tuple, state)
        target.value = _filled(_as(bytes, content), _as(_Dtype, dtype), _as(tuple, shape), bool(fortran))
    elif isinstance(target, _Dtype):
        order = _as(tuple, state)[1]
        target.dtype = target.dtype.newbyteorder(order if order in ("<", ">") else "=")
    elif not isinstance(target, dict):
        raise RefusedPickle(f"a state for a {type(target).__name__}")


def _filled(content: bytes, dtype: _Dtype, shape: tuple[Any, ...], fortran: bool) -> np.ndarray:
    flat = np.frombuffer(content, dtype.dtype)
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise RefusedPickle(f"an array of shape {shape}")
    return flat.reshape(shape, order="F" if fortran else "C").copy()


def _strided(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """A tensor's elements, all of them inside of the storage."""
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise RefusedPickle(f"a tensor of size {size} and stride {stride}")
    empty = 0 in size
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    elements = int(np.prod(size, dtype=object)) if size else 1
    if not empty and (last >= len(storage) or elements > len(storage)):
        raise RefusedPickle(f"a tensor of size {size} beyond its {len(storage)} numbers")
    if empty:
        return np.zeros(size, storage.dtype) if max(size) < 2**31 else np.zeros(0, storage.dtype)
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()


def _storage(identifier: Any, storages: dict[str, Any]) -> np.ndarray:
    """The storage that ("storage", type, key, device, numel, ...) names; its numbers come later in the stream."""
    parts = _as(tuple, identifier)
    if len(parts) not in (5, 6) or parts[0] != "storage" or (len(parts) == 6 and parts[5] is not None):
        raise RefusedPickle("a persistent id that is no storage")
    code = _KNOWN.get(_as(_Name, parts[1]), "")
    if code not in _STORAGES.values() or str(parts[2]) in storages or len(storages) > 0:
        raise RefusedPickle("more than one storage in a tensor, or one of an unknown type")
    storages[str(parts[2])] = (code, parts[4])
    return np.zeros(0)


def _legacy_storage(content: bytes) -> np.ndarray:
    """The numbers of a storage as ``torch.save`` wrote it in its first format: five pickles, then a count and the
    numbers."""
    stream = io.BytesIO(content)
    if _interpret(stream, {}) != 0x1950A86A20F9469CFC6C or _interpret(stream, {}) != 1001:
        raise RefusedPickle("a tensor in a format that is not known")
    system = _interpret(stream, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedPickle("a tensor from a machine of another byte order")
    storages: dict[str, Any] = {}
    _interpret(stream, storages)
    keys = _interpret(stream, {})
    if keys != list(storages) or len(keys) != 1:
        raise RefusedPickle("a tensor without its storage")
    code, count = storages[keys[0]]
    held = int.from_bytes(stream.read(8), "little", signed=True)
    numbers = np.frombuffer(stream.read(), np.dtype(code))
    if held != count or len(numbers) != count:
        raise RefusedPickle(f"a tensor of {count} numbers with {len(numbers)}")
    return numbers


def _finished(value: Any) -> Any:
    """Records and arrays in place of their builders; a record inside of itself is left out."""
    if isinstance(value, Record):
        store = value.get("_store")
        inner = store.get("_mapping", {}) if isinstance(store, Record) else value
        if not isinstance(inner, dict):
            raise RefusedPickle("a Data without its attributes")
        return Record({str(k): v.value if isinstance(v, _Array) else v for k, v in inner.items()})
    return value.value if isinstance(value, _Array) else value
