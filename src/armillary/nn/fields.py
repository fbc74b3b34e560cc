"""Convolution and activation of fields on the cosets of a finite group, of any type.

Shape legend: B batch, C and O channels, N and M points of G/H and G/K, d and e components of a vector, D maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import FieldType, field_maps
from armillary.nn.activation import Activation
from armillary.nn.coset_maps import check_channels
from armillary.nn.lift import LiftProject
from armillary.ops.constants import ConstantModule


class FieldConv(ConstantModule):
    """Convolution of fields on a finite group: (B, in_channels, N, d) → (B, out_channels, M, e), all linear maps that
    commute with G.

    ``y(r_x) = Σ_z κ(r_x⁻¹ r_z) f(r_z)``, r the representatives of the cosets, with Mackey's constraint ``κ(h' g h) =
    ρ'(h') κ(g) ρ(h)``. Its solutions are the blocks that H and K leave of the irreps τ of G: Σ_τ m_τ m'_τ free numbers
    for each pair of channels, m_τ how often ρ is in τ on H. Scalar fields (trivial ρ) are those of ``HomogeneousConv``,
    which has faster paths for them. A bias is added where K leaves vectors of ρ' alone.

    State dict: ``weight`` (O, C, D) in the basis ``groups.field_maps``, ``bias`` (O, vectors left alone).
    Raises: ValueError for types of two groups, types between which no map but zero commutes, or x of another shape.
    Source: Xu et al. 2022, arXiv 2206.08362; Mackey 1952; pinned by ``tests/nn/test_fields.py``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, source: FieldType, target: FieldType, *, bias: bool = True
    ) -> None:
        super().__init__()
        check_channels(in_channels, out_channels)
        self.in_channels, self.out_channels, self.source, self.target = in_channels, out_channels, source, target
        with torch.device("cpu"):
            basis = field_maps(source, target) * target.size**0.5  # a white field then keeps its variance
            fixed = target.embeddings(target.group.irreps()[0])  # of the trivial irrep: what G leaves alone
        if not len(basis):
            raise ValueError(f"no map but zero leads from {source} to {target} and commutes with {source.group}.")
        self.register_constant("basis", basis)
        self.weight = nn.Parameter(
            torch.randn(out_channels, in_channels, len(basis)) * (in_channels * len(basis)) ** -0.5
        )
        self.bias = None
        if bias and fixed:
            self.register_constant("fixed", torch.cat([c.real for c in fixed], 1) * target.size**0.5)
            self.bias = nn.Parameter(torch.zeros(out_channels, len(fixed)))

    @property
    def n_maps(self) -> int:
        """The free numbers for each pair of channels."""
        return self.weight.shape[2]

    def matrix(self) -> Tensor:
        """The map without its bias, (O, M·e, C, N·d)."""
        return torch.einsum("ocd,dmn->omcn", self.weight, self.constant("basis", self.weight))

    def forward(self, x: Tensor) -> Tensor:
        points, dim = self.source.H.index, self.source.dim
        if x.ndim != 4 or tuple(x.shape[1:]) != (self.in_channels, points, dim):
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this FieldConv wants (B, {self.in_channels}, {points}, {dim}): "
                f"{self.source}."
            )
        y = torch.einsum("omcn,bcn->bom", self.matrix().to(x.dtype), x.flatten(2))
        if self.bias is not None:
            y = y + self.bias.to(y) @ self.constant("fixed", y).T
        return y.unflatten(2, (self.target.H.index, self.target.dim))

    def extra_repr(self) -> str:
        return f"{self.in_channels} → {self.out_channels}, {self.source} → {self.target}, {self.n_maps} maps"


class FieldPointwise(nn.Module):
    """Any activation σ on fields of a finite group, through functions on G.

        F_k(r_c h) = ⟨v_k, ρ(h)⁻¹ f(r_c)⟩,     f'(r_c) = T⁻¹ 1/|H| Σ_h Σ_k ρ(h) v_k σ(F_k(r_c h))

    with T such that the identity σ gives f back. ``vectors`` (K, d) are the v_k, one function on G for each, by default
    the unit vectors, T = 1. Components of ρ that no v_k has both of are not mixed: for a sum of irreps pass vectors
    with parts in all of them. All elements of H are samples, so that nothing folds back and the layer commutes with G
    to rounding. For a permutation representation and the unit vectors it is σ on each component.

    Shapes: (B, C, H.index, d) in and out.
    Raises: ValueError for vectors that do not generate ρ or of another size, σ that changes the shape, or x of another
    shape.
    Source: Xu et al. 2022, arXiv 2206.08362; pinned by ``tests/nn/test_fields.py``.
    """

    def __init__(self, activation: Activation, field: FieldType, vectors: Tensor | None = None) -> None:
        super().__init__()
        self.field = field
        v = torch.eye(field.dim, dtype=torch.float64, device="cpu") if vectors is None else vectors.double().cpu()
        if v.ndim != 2 or v.shape[1] != field.dim:
            raise ValueError(f"vectors have shape {tuple(v.shape)}, wanted (functions, {field.dim}).")
        with torch.device("cpu"):
            matrices = field.matrices
        lift = torch.einsum("kj,hij->hki", v, matrices).flatten(0, 1)  # rows ρ(h) v_k
        frame = lift.T @ lift / field.H.order
        if not float(torch.linalg.eigvalsh(frame)[0]) > 1e-9 * float(frame.diagonal().sum()):
            raise ValueError(f"the vectors and what H turns them to span less than {field.representation}: add others.")
        self.through = LiftProject(activation, lift, torch.linalg.solve(frame, lift.T) / field.H.order)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[2:]) != (self.field.H.index, self.field.dim):
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this FieldPointwise wants (B, C, {self.field.H.index}, "
                f"{self.field.dim}): {self.field}."
            )
        return self.through(x.flatten(0, 2)[..., None])[..., 0].view(x.shape)

    def extra_repr(self) -> str:
        return str(self.field)
