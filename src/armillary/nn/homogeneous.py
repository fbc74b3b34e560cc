"""Convolution of functions on the cosets of a group: all linear maps from G/H to G/K that commute with G.

    y(u) = ∫ f(u v⁻¹) w(v) dv,     ŷ(ρ) = f̂(ρ) ŵ(ρ),     f on G/H, w on H\\G/K, y on G/K.

A linear map commutes with G if and only if it is such a convolution: as many free numbers for each pair of channels as
there are double cosets. On the Fourier side the block of ρ has m_ρ(H) × m_ρ(K) of them.
Source: Kondor & Trivedi 2018, arXiv 1802.03690, theorem 1 and section 4; pinned by ``tests/nn/test_homogeneous.py``.

Shape legend: B batch, C and O channels, N and M points of G/H and G/K, D double cosets.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from armillary.groups import ClosedSubgroup, FiniteGroup, Fourier, Group, Orbitals, Subgroup, trivial_subgroup
from armillary.groups.fields import multiplicity
from armillary.groups.fourier import invariants
from armillary.nn.coset_maps import SMALL, ByMatrix, ByRelations, CosetMap, Way, check_channels, choose
from armillary.ops.constants import ConstantModule

Path = Literal["matrix", "relations", "fourier"]


class HomogeneousConv(CosetMap):
    """Convolution on a finite group: (B, in_channels, |G/H|) → (B, out_channels, |G/K|), H = ``H_in``, K = ``H_out``.

    ``y_o(x) = Σ_c Σ_D w_ocD n_D^{-1/2} Σ_{z: (x, z) ∈ D} f_c(z) + b_o``: the pairs of points fall into orbits of G, one
    for each double coset HgK, and n_D points z stand to x in the relation D. In terms of the convolution the kernel is
    ``w(g) = w_D |G/H| n_D^{-1/2}``. Points are numbered as ``Subgroup.left_coset_of`` does; H and K default to the
    trivial subgroup, functions on G itself. One bias for each output field.

    The same weights act by one of three paths: ``matrix``, a matrix of (O·M) × (C·N) made of them; ``relations``, sums
    over the points in each relation, then a mixing of channels; ``fourier``, blocks of the irreps between two
    transforms. ``path=None`` takes the one with the fewest multiplications, which ``repr`` shows. Where the group is
    too large to be listed (S_n from n = 8 on), ``OrbitalConv`` needs its generators only.

    Raises: ValueError for subgroups of another group, or x of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: FiniteGroup,
        H_in: Subgroup | None = None,
        H_out: Subgroup | None = None,
        *,
        bias: bool = True,
        path: Path | None = None,
    ) -> None:
        check_channels(in_channels, out_channels)
        H, K = (trivial_subgroup(group) if given is None else given for given in (H_in, H_out))
        for name, given in (("H_in", H), ("H_out", K)):
            if given.group != group:
                raise ValueError(f"got {name} in {given.group}, wanted a subgroup of {group}.")
        orbitals = Orbitals.of_cosets(K, H)
        sizes, D = (in_channels, out_channels, K.index, H.index), len(orbitals)
        chosen, way = choose(
            path,
            {
                "matrix": (ByMatrix.cost(*sizes), lambda: ByMatrix(orbitals)),
                "relations": (ByRelations.cost(*sizes, D), lambda: ByRelations(orbitals)),
                "fourier": (ByFourier.cost(in_channels, out_channels, H, K), lambda: ByFourier(H, K, orbitals)),
            },
        )
        super().__init__(in_channels, out_channels, (H.index, K.index), D, way, bias)
        self.group, self.H_in, self.H_out, self.path = group, H, K, chosen
        self._orbitals = orbitals

    @property
    def n_double_cosets(self) -> int:
        """The free numbers for each pair of channels."""
        return self.n_orbitals

    @property
    def orbitals(self) -> Orbitals:
        return self._orbitals

    @property
    def domain(self) -> str:
        return f"functions on {self.group.name} / H with H of order {self.H_in.order}"

    def extra_repr(self) -> str:
        points = f"{self.group.name}: {self.points_in} → {self.points_out} points"
        counts = f"{self.in_channels} → {self.out_channels}, {points}, {self.n_double_cosets} double cosets"
        return f"{counts}, path={self.path}"


class ByFourier(Way):
    """Path "fourier": products of the blocks of each irrep, between two transforms."""

    def __init__(self, H: Subgroup, K: Subgroup, orbitals: Orbitals) -> None:
        super().__init__()
        self.register_constant("kernel_gains", torch.as_tensor(H.index * orbitals.subdegrees**-0.5))
        self.input = Fourier(H.group, right=H, real=True)
        self.kernel = Fourier(H.group, H, K, real=True)
        self.output = Fourier(H.group, right=K, real=True)

    @staticmethod
    def cost(C: int, O: int, H: Subgroup, K: Subgroup) -> float:
        """Multiplications for one sample, in many small products."""
        products = transforms = 0
        for irrep in H.group.real_irreps():
            a, b = (multiplicity(irrep, subgroup) for subgroup in (H, K))
            products += irrep.dim * a * b
            transforms += irrep.dim * (a * H.index * C + b * K.index * O)
        return SMALL * (C * O * products + transforms)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        kernels = self.kernel(weight * self.constant("kernel_gains", weight))
        blocks = self.input(x)
        mixed = [torch.einsum("bcik,ockj->boij", f, w) for f, w in zip(blocks, kernels, strict=True)]
        return self.output.inverse(mixed)


class SpectralConv(ConstantModule):
    """Convolution on a compact group up to a band, on Fourier coefficients: ``ŷ_o(ρ) = Σ_c f̂_c(ρ) w_oc(ρ)``.

    f on G/H, y on G/K; the block of ρ, (dim, m_ρ(H)), is multiplied from the right by m_ρ(H) × m_ρ(K) free complex
    numbers for each pair of channels: on the sphere, SO(3)/SO(2), one for each degree. ``H_in`` and ``H_out`` None
    stand for the trivial subgroup, functions on G.

    Shapes: complex (B, in_channels, F_in) → (B, out_channels, F_out), the blocks of ``group.irreps(band)`` one after
    the other, row by row: ``torch.cat([block.flatten(-2) for block in fourier(f)], -1)`` of a ``groups.Fourier``.
    Raises: ValueError for subgroups of another group, or x of another shape or kind.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: Group,
        H_in: ClosedSubgroup | None = None,
        H_out: ClosedSubgroup | None = None,
        *,
        band: int,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.group, self.band = in_channels, out_channels, group, band
        for name, H in (("H_in", H_in), ("H_out", H_out)):
            if H is not None and H.group != group:
                raise ValueError(f"got {name} in {H.group}, wanted a subgroup of {group}.")
        irreps = group.irreps(band)
        sizes = [[i.dim if H is None else invariants(i, *H.haar(band)).shape[1] for i in irreps] for H in (H_in, H_out)]
        self.shapes = [(i.dim, a, b) for i, a, b in zip(irreps, *sizes, strict=True)]
        """(dim, m_ρ(H), m_ρ(K)) of each irrep."""
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(out_channels, in_channels, a, b, 2) * (2 * in_channels * max(a, 1)) ** -0.5)
            for _, a, b in self.shapes
        )

    def forward(self, x: Tensor) -> Tensor:
        wanted = sum(d * a for d, a, _ in self.shapes)
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.in_channels, wanted) or not x.is_complex():
            raise ValueError(
                f"x has shape {tuple(x.shape)} and dtype {x.dtype}, this SpectralConv wants complex "
                f"(B, {self.in_channels}, {wanted}): the blocks of groups.Fourier up to band {self.band}, flattened."
            )
        parts = x.split([d * a for d, a, _ in self.shapes], dim=-1)
        outputs = []
        for part, weight, (d, a, _) in zip(parts, self.weights, self.shapes, strict=True):
            blocks = part.unflatten(-1, (d, a))
            outputs.append(torch.einsum("bcik,ockj->boij", blocks, torch.view_as_complex(weight)).flatten(-2))
        return torch.cat(outputs, dim=-1)

    def extra_repr(self) -> str:
        free = sum(a * b for _, a, b in self.shapes)
        channels = f"{self.in_channels} → {self.out_channels}"
        return f"{channels}, {self.group}, band={self.band}, {free} numbers for a pair of channels"
