"""What all groups here share: elements as tensors, products, inverses, the Haar integral, irreps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class Irrep(ABC):
    """An irreducible unitary representation of a group, over the complex or the real numbers.

    ``irrep(g)`` gives matrices with ``ρ(g h) = ρ(g) ρ(h)``, unitary, or orthogonal for a real one.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """The size of its matrices."""

    @property
    @abstractmethod
    def is_real(self) -> bool:
        """Whether its matrices are real, so that it is irreducible over the real numbers."""

    @property
    @abstractmethod
    def endomorphism_dim(self) -> int:
        """The real dimension of the algebra of matrices that commute with it: for a real irrep 1 (real type), 2
        (complex) or 4 (quaternionic); for a complex irrep that is not real 2."""

    @abstractmethod
    def __call__(self, g: Tensor) -> Tensor:
        """(..., dim, dim) float64 or complex128 for elements g, as the group has them, on the device of g."""


@dataclass(frozen=True)
class Decomposition:
    """``Q⁻¹ R(g) Q = ρ_1(g) ⊕ ρ_2(g) ⊕ …`` with ``irreps`` ρ_i and ``basis`` Q (dim, dim), orthogonal or unitary."""

    irreps: tuple[Irrep, ...]
    basis: Tensor


class Group(ABC):
    """A compact group. Elements are tensors, any number of them at once; what an element looks like each group says.

    Actions are left. The Haar measure has total mass 1.
    """

    @property
    @abstractmethod
    def identity(self) -> Tensor:
        """The neutral element."""

    @abstractmethod
    def product(self, g: Tensor, h: Tensor) -> Tensor:
        """g h, elementwise over leading dimensions, which broadcast."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """g⁻¹, elementwise."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """``count`` elements drawn from the Haar measure."""

    @abstractmethod
    def irreps(self, band: int | None = None) -> tuple[Irrep, ...]:
        """The complex irreps up to the frequency ``band``, the trivial one first; all of a finite group, one of each
        class of isomorphism."""

    @abstractmethod
    def real_irreps(self, band: int | None = None) -> tuple[Irrep, ...]:
        """The same over the real numbers."""

    @abstractmethod
    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """Elements and weights, sum 1, exact for products of two matrix elements of irreps up to ``band``."""

    def integrate(self, values: Tensor, weights: Tensor) -> Tensor:
        """``∫ f(g) dg`` from the values (..., N) at the elements of ``quadrature`` and its weights (N,).

        In the type of the values; in that of the weights where the values are integers.
        """
        if values.shape[-1:] != weights.shape:
            raise ValueError(
                f"values have shape {tuple(values.shape)}, the quadrature has {len(weights)} elements: give f at each."
            )
        if not (values.is_floating_point() or values.is_complex()):
            values = values.to(weights.dtype)
        return values @ weights.to(values)
