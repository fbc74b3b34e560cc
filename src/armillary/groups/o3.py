"""O(3), the rotations and reflections of space: its irreducible representations, and features made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from armillary.groups.interface import Irrep
from armillary.groups.so3 import proper_part, wigner_D_real
from armillary.ops.integers import checked_integer

_TERM = re.compile(r"(?:(\d+)x)?(\d+)([eo])")


@dataclass(frozen=True)
class O3Irrep(Irrep):
    """The irreducible representation of O(3) of degree l and parity p: ``D(±R) = p^{(1 ∓ 1)/2} D^l(R)``, R a rotation.

    ``p`` is what the inversion x → -x does: 1 (even, "e") or -1 (odd, "o"). Vectors are "1o", pseudovectors "1e".

    Raises: ValueError for a degree below 0 or another parity.
    """

    l: int
    p: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "l", checked_integer("degree", self.l, 0))
        if self.p not in (1, -1):
            raise ValueError(f"got parity {self.p!r}, wanted 1 (even) or -1 (odd).")

    @classmethod
    def natural(cls, l: int) -> O3Irrep:
        """That of the spherical harmonics of degree l: parity (-1)^l."""
        return cls(l, -1 if l % 2 else 1)

    @property
    def dim(self) -> int:
        """2l + 1."""
        return 2 * self.l + 1

    def __mul__(self, other: O3Irrep) -> list[O3Irrep]:
        """What occurs in the product of two, each once: degrees |l - l'| to l + l', parity p p'."""
        return [O3Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]

    @property
    def is_real(self) -> bool:
        return True

    @property
    def endomorphism_dim(self) -> int:
        return 1

    def __call__(self, g: Tensor) -> Tensor:
        """D(g) for orthogonal matrices g (..., 3, 3): (..., 2l + 1, 2l + 1) float64, in the real basis m = -l..l.

        Raises: ValueError where g is not orthogonal.
        """
        R, sign = proper_part(g)
        parity = torch.where(sign > 0, 1.0, float(self.p)).to(torch.float64)
        return parity[..., None, None] * wigner_D_real(self.l, R)

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p > 0 else 'o'}"


@dataclass(frozen=True, repr=False, init=False)
class Irreps:
    """What a feature of points in space is made of: how many channels of each irreducible representation of O(3).

    ``Irreps("16x0e + 8x1o")``: sixteen scalars and eight vectors, the same as
    ``Irreps([(16, O3Irrep(0, 1)), (8, O3Irrep(1, -1))])``. ``streams`` are those pairs, in the order given; a
    representation may occur more than once.

    Layout of tensors: (..., dim), real, by stream, then m = -l..l, then channel. So with as many channels C of every
    natural irrep up to L, features are a plain (..., (L + 1)², C) with the last two axes flattened, and mixing channels
    is one matrix product. Degree 1 is (y, z, x). e3nn has channel before m: ``to_e3nn`` converts.

    Raises: ValueError for text that is no such sum, or channels < 1.
    Source: Geiger & Smidt 2022 (arXiv 2207.09453), whose notation this is; pinned by ``tests/groups/test_o3.py``.
    """

    streams: tuple[tuple[int, O3Irrep], ...]

    def __init__(self, streams: str | Irreps | Iterable[tuple[int, O3Irrep]] = ()) -> None:
        if isinstance(streams, str):
            found = tuple(_parsed(streams))
        elif isinstance(streams, Irreps):
            found = streams.streams
        else:
            found = tuple((checked_integer(f"channels of {irrep}", n, 1), irrep) for n, irrep in streams)
        object.__setattr__(self, "streams", found)

    @classmethod
    def natural(cls, lmax: int, channels: int = 1) -> Irreps:
        """``channels`` of each degree up to ``lmax`` with the parity of its spherical harmonics."""
        return cls((channels, O3Irrep.natural(l)) for l in range(checked_integer("lmax", lmax, 0) + 1))

    @property
    def dim(self) -> int:
        """The number of components of a feature."""
        return sum(n * irrep.dim for n, irrep in self.streams)

    @property
    def count(self) -> int:
        """The number of channels, over all streams."""
        return sum(n for n, _ in self.streams)

    @property
    def lmax(self) -> int:
        """The highest degree. Raises: ValueError where there is no stream."""
        if not self.streams:
            raise ValueError("Irreps() is empty: it has no highest degree.")
        return max(irrep.l for _, irrep in self.streams)

    @property
    def slices(self) -> list[slice]:
        """Where each stream lies in the last dimension of a tensor."""
        ends = [0]
        for n, irrep in self.streams:
            ends.append(ends[-1] + n * irrep.dim)
        return [slice(a, b) for a, b in pairwise(ends)]

    def channels(self, irrep: O3Irrep) -> int:
        """How many channels of an irrep there are, over all its streams."""
        return sum(n for n, other in self.streams if other == irrep)

    def regrouped(self) -> Irreps:
        """Each irrep in one stream, by ascending degree, even before odd. The layout of tensors is another then."""
        kinds = sorted({irrep for _, irrep in self.streams}, key=lambda irrep: (irrep.l, -irrep.p))
        return Irreps((self.channels(irrep), irrep) for irrep in kinds)

    def split(self, x: Tensor) -> list[Tensor]:
        """The components by stream, (..., 2l + 1, channels) each: views of x (..., dim).

        Raises: ValueError for another number of components.
        """
        self.check(x)
        parts = x.split([n * irrep.dim for n, irrep in self.streams], dim=-1)
        return [part.unflatten(-1, (irrep.dim, n)) for part, (n, irrep) in zip(parts, self.streams, strict=True)]

    def join(self, parts: Iterable[Tensor]) -> Tensor:
        """What ``split`` took apart."""
        return torch.cat([part.flatten(-2) for part in parts], -1)

    def check(self, x: Tensor, who: str = "") -> None:
        """Raises: ValueError unless x is (..., dim)."""
        if x.ndim < 1 or x.shape[-1] != self.dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, {who or 'this'} wants (..., {self.dim}): {self}.")

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """D(g) on features (..., dim), g (3, 3) orthogonal. Raises: ValueError for another size or other matrices."""
        parts = self.split(x)
        if not parts:
            return x
        return self.join(irrep(g).to(x) @ part for part, (_, irrep) in zip(parts, self.streams, strict=True))

    def matrix(self, g: Tensor) -> Tensor:
        """D(g) of whole features, (dim, dim) float64, g (3, 3) orthogonal."""
        eyes = (torch.eye(n, dtype=torch.float64, device=g.device) for n, _ in self.streams)
        blocks = [torch.kron(irrep(g), eye) for eye, (_, irrep) in zip(eyes, self.streams, strict=True)]
        return torch.block_diag(*blocks).reshape(self.dim, self.dim)  # of nothing (1, 0) otherwise

    def __add__(self, other: Irreps) -> Irreps:
        return Irreps((*self.streams, *other.streams))

    def __iter__(self) -> Iterator[tuple[int, O3Irrep]]:
        return iter(self.streams)

    def __len__(self) -> int:
        return len(self.streams)

    def __contains__(self, irrep: object) -> bool:
        return any(irrep == other for _, other in self.streams)

    def __str__(self) -> str:
        return "+".join(f"{n}x{irrep}" for n, irrep in self.streams)

    def __repr__(self) -> str:
        return f'Irreps("{self}")'


def _parsed(text: str) -> Iterator[tuple[int, O3Irrep]]:
    for term in text.split("+") if text.strip() else ():
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise ValueError(f'got irreps {text!r}, wanted a sum such as "16x0e + 8x1o": {term.strip()!r} is no term.')
        n, l, parity = match.groups()
        irrep = O3Irrep(int(l), 1 if parity == "e" else -1)
        yield checked_integer(f"channels in {term.strip()!r}", int(n or 1), 1), irrep
