"""Nested training state (optimizer, random generators) as JSON plus named tensors; nothing is pickled."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def split_tensors(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Nested dicts, lists, tuples, scalars and tensors -> (a skeleton for strict JSON, {name: tensor}).

    Lists, scalars and dicts with plain text keys stand for themselves; ``{"$tensor": name}``, ``{"$tuple": [...]}``,
    ``{"$items": [[key, value], ...]}`` and ``{"$float": "nan"}`` for what JSON has not. ``join_tensors`` is the
    inverse.
    Raises: TypeError for anything else, naming where it sits.
    """
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            tensors[path] = node.detach().cpu().contiguous().clone()
            return {"$tensor": path}
        if isinstance(node, dict):
            if all(isinstance(key, str) and not key.startswith("$") for key in node):
                return {key: walk(item, f"{path}/{key}") for key, item in node.items()}
            return {"$items": [[walk(k, f"{path}#"), walk(v, f"{path}/{k}")] for k, v in node.items()]}
        if isinstance(node, list | tuple):
            items = [walk(item, f"{path}/{i}") for i, item in enumerate(node)]
            return items if isinstance(node, list) else {"$tuple": items}
        if isinstance(node, float) and not math.isfinite(node):
            return {"$float": repr(node)}
        if node is None or isinstance(node, str | bool | int | float):
            return node
        raise TypeError(f"got a {type(node).__name__} at {path or 'the root'} of the training state.")

    return walk(value, ""), tensors


def join_tensors(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of ``split_tensors``. Raises: ValueError where the skeleton is not one."""
    match skeleton:
        case {"$tensor": str(name)} if name in tensors:
            return tensors[name]
        case {"$items": list(items)}:
            return {join_tensors(k, tensors): join_tensors(v, tensors) for k, v in items}
        case {"$tuple": list(items)}:
            return tuple(join_tensors(item, tensors) for item in items)
        case {"$float": str(text)}:
            return float(text)
        case dict() if not any(key.startswith("$") for key in skeleton):
            return {key: join_tensors(item, tensors) for key, item in skeleton.items()}
        case list():
            return [join_tensors(item, tensors) for item in skeleton]
        case None | str() | bool() | int() | float():
            return skeleton
    raise ValueError(f"got {str(skeleton)[:80]!r} in a saved training state, wanted what split_tensors writes.")


def random_state(device: torch.device) -> dict[str, Any]:
    """States of the generators of python, numpy and torch (CPU, and ``device`` when it is CUDA)."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  # the global one is what users call
    version, words, next_gauss = random.getstate()
    state: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": next_gauss},
        "numpy": {
            "kind": str(kind),
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "rest": [int(position), int(has_gauss), float(gauss)],
        },
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators back to what ``random_state`` saw."""
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    position, has_gauss, gauss = state["numpy"]["rest"]
    keys = state["numpy"]["keys"].numpy().astype(np.uint32)
    np.random.set_state((state["numpy"]["kind"], keys, position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def seed_everything(seed: int) -> None:
    """Seed the global generators of python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
