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

from armillary.groups import ClosedSubgroup, FiniteGroup, Fourier, Group, Subgroup, trivial_subgroup
from armillary.groups.fourier import invariants
from armillary.ops.constants import ConstantModule

Path = Literal["matrix", "relations", "fourier"]
_MOST_RELATIONS = 2**24  # numbers in the constant of the path "relations"
_SMALL = 3  # how much longer a multiplication takes in many small products than in a large one (measured)


class HomogeneousConv(ConstantModule):
    """Convolution on a finite group: (B, in_channels, |G/H|) → (B, out_channels, |G/K|), H = ``H_in``, K = ``H_out``.

    ``y_o(x) = Σ_c Σ_D w_ocD n_D^{-1/2} Σ_{z: (x, z) ∈ D} f_c(z) + b_o``: the pairs of points fall into orbits of G, one
    for each double coset HgK, and n_D points z stand to x in the relation D. In terms of the convolution the kernel is
    ``w(g) = w_D |G/H| n_D^{-1/2}``. Points are numbered as ``Subgroup.left_coset_of`` does; H and K default to the
    trivial subgroup, functions on G itself. One bias for each output field.

    The same weights act by one of three paths: ``matrix``, a matrix of (O·M) × (C·N) made of them; ``relations``, sums
    over the points in each relation, then a mixing of channels; ``fourier``, blocks of the irreps between two
    transforms. ``path=None`` takes the one with the fewest multiplications, which ``repr`` shows.

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
        super().__init__()
        self.in_channels, self.out_channels, self.group = in_channels, out_channels, group
        self.H_in, self.H_out = (trivial_subgroup(group) if H is None else H for H in (H_in, H_out))
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"got {name} = {size!r}, wanted an integer >= 1.")
        for name, H in (("H_in", self.H_in), ("H_out", self.H_out)):
            if H.group != group:
                raise ValueError(f"got {name} in {H.group}, wanted a subgroup of {group}.")
        if path not in (None, "matrix", "relations", "fourier"):
            raise ValueError(f"got path = {path!r}, wanted 'matrix', 'relations', 'fourier' or None for the cheapest.")
        numbers = self.H_in.double_coset_of(self.H_out)  # of v in y(u) = ∫ f(u v⁻¹) w(v) dv
        back = group.inverses[self.H_in.representatives]
        pairs = torch.as_tensor(numbers[group.table[back[None, :], self.H_out.representatives[:, None]]])
        counts = torch.bincount(pairs[0]).double()  # the same for every x
        self.n_double_cosets = len(counts)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, self.n_double_cosets))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.path: Path = self._cheapest() if path is None else path
        self.register_constant("gains", counts**-0.5)
        self.register_buffer("pairs", pairs, persistent=False)
        self.transforms = nn.ModuleDict()
        if self.path == "relations":
            members = torch.nn.functional.one_hot(pairs, self.n_double_cosets).permute(2, 0, 1)
            self.register_constant("relations", members * counts[:, None, None] ** -0.5)  # (D, M, N)
        if self.path == "fourier":
            self.register_constant("kernel_gains", self.H_in.index * counts**-0.5)
            self.transforms["input"] = Fourier(group, right=self.H_in, real=True)
            self.transforms["kernel"] = Fourier(group, self.H_in, self.H_out, real=True)
            self.transforms["output"] = Fourier(group, right=self.H_out, real=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights such that white noise of variance 1 keeps it; biases zero."""
        nn.init.normal_(self.weight, std=(self.in_channels * self.n_double_cosets) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def _cheapest(self) -> Path:
        """By multiplications for one sample; those that expand the weights to a matrix count as well."""
        C, O, N, M, D = self.in_channels, self.out_channels, self.H_in.index, self.H_out.index, self.n_double_cosets
        products = transforms = 0
        for irrep in self.group.real_irreps():
            a, b = (_multiplicity(irrep.character, self.group, H) for H in (self.H_in, self.H_out))
            products += irrep.dim * a * b
            transforms += irrep.dim * (a * N * C + b * M * O)
        costs: dict[Path, int] = {"matrix": 2 * C * O * N * M, "fourier": _SMALL * (C * O * products + transforms)}
        if D * M * N <= _MOST_RELATIONS:
            costs["relations"] = C * D * M * (N + O)
        return min(costs, key=lambda path: costs[path])

    def matrix(self) -> Tensor:
        """The map as a matrix, (out_channels, |G/K|, in_channels, |G/H|)."""
        scaled = self.weight * self.constant("gains", self.weight)
        return scaled[:, :, self.get_buffer("pairs")].transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.in_channels, self.H_in.index):
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this HomogeneousConv wants (B, {self.in_channels}, {self.H_in.index}): "
                f"functions on {self.group.name} / H with H of order {self.H_in.order}."
            )
        if self.path == "matrix":
            y = torch.einsum("omcn,bcn->bom", self.matrix(), x)
        elif self.path == "relations":
            sums = x @ self.constant("relations", x).flatten(0, 1).mT  # (B, C, D·M)
            y = self.weight.flatten(1) @ sums.reshape(len(x), -1, self.H_out.index)
        else:
            y = self._by_blocks(x)
        return y if self.bias is None else y + self.bias[:, None]

    def _by_blocks(self, x: Tensor) -> Tensor:
        kernels = self.transforms["kernel"](self.weight * self.constant("kernel_gains", self.weight))
        blocks = self.transforms["input"](x)
        mixed = [torch.einsum("bcik,ockj->boij", f, w) for f, w in zip(blocks, kernels, strict=True)]
        output = self.transforms["output"]
        assert isinstance(output, Fourier)
        return output.inverse(mixed)

    def extra_repr(self) -> str:
        points = f"{self.group.name}: {self.H_in.index} → {self.H_out.index} points"
        counts = f"{self.in_channels} → {self.out_channels}, {points}, {self.n_double_cosets} double cosets"
        return f"{counts}, path={self.path}"


def _multiplicity(character, group: FiniteGroup, H: Subgroup) -> int:  # type: ignore[no-untyped-def]
    """The dimension of what H leaves alone in an irrep."""
    return round(float(character[group.class_of[H.elements]].mean().real))


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
