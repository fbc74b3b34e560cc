"""Which samples make up which optimizer step: a pure function of (seed, epoch), the same on any number of devices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Part:
    """One forward pass of one process: its samples, and its share of the loss of the optimizer step.

    ``share`` is (samples here)/(samples in the step); the shares of a step sum to 1 over parts and processes. A part
    with share 0 repeats a sample only so that every process makes the same number of passes.
    """

    indices: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Step:
    """One optimizer step: all its samples, and the parts that fall to this process."""

    samples: tuple[int, ...]
    parts: tuple[Part, ...]


def plan_epoch(
    n_samples: int, batch_size: int, accumulate: int = 1, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1
) -> list[Step]:
    """The optimizer steps of an epoch, with the parts of process ``rank``.

    Samples are shuffled by a generator seeded with (seed, epoch) and cut into batches of ``batch_size``; the last one
    may be smaller; none is dropped. Each batch is split evenly over ``world_size`` processes x ``accumulate`` parts.
    Raises: ValueError for an empty set.
    """
    if n_samples < 1:
        raise ValueError("the training set is empty: got 0 samples, wanted at least 1.")
    generator = torch.Generator().manual_seed(keyed_seed(seed, epoch))
    order = torch.randperm(n_samples, generator=generator).tolist()
    steps = []
    for start in range(0, n_samples, batch_size):
        batch = order[start : start + batch_size]
        n_parts = min(accumulate, max(1, len(batch) // world_size))
        pieces = _even_pieces(batch, n_parts * world_size)
        mine = [pieces[part * world_size + rank] for part in range(n_parts)]
        parts = tuple(Part(tuple(p) or (batch[0],), len(p) / len(batch)) for p in mine)
        steps.append(Step(tuple(batch), parts))
    return steps


def steps_per_epoch(n_samples: int, batch_size: int) -> int:
    """Number of optimizer steps in an epoch."""
    return -(-n_samples // batch_size)


def keyed_seed(*key: int) -> int:
    """A 32-bit generator seed from a tuple of integers, by hashing.

    torch's CPU generator looks at the low 32 bits only, so packing seed and epoch into disjoint bits would collide.
    """
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


def _even_pieces(items: Sequence[int], n: int) -> list[Sequence[int]]:
    base, extra = divmod(len(items), n)
    pieces, start = [], 0
    for i in range(n):
        stop = start + base + (i < extra)
        pieces.append(items[start:stop])
        start = stop
    return pieces
