"""Forces of networks of atoms: as derivatives of the energy, whatever the network; and what such networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armillary.nn.edge_checks import check_edges
from armillary.nn.energies import EnergyForces
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.ops.sums import sum_by


class ElementEmbedding(ConstantModule):
    """A learned vector for each element: atomic numbers (P,) int64 → (P, channels).

    Raises: ValueError for no elements, one twice or outside 1..118, and for atoms of others (not looked for while
    compiling). Pinned by ``tests/models/test_forces.py``.
    """

    def __init__(self, elements: Sequence[int], channels: int) -> None:
        super().__init__()
        self.elements = tuple(checked_integer("element", z, 1, 118) for z in elements)
        if not self.elements or len(set(self.elements)) < len(self.elements):
            raise ValueError(f"got elements {self.elements}, wanted at least one atomic number, and each once.")
        places = torch.full((119,), -1, device="cpu")
        places[torch.tensor(self.elements)] = torch.arange(len(self.elements))
        self.register_constant("places", places)
        self.embedding = nn.Embedding(len(self.elements), channels)

    def forward(self, charges: Tensor) -> Tensor:
        if charges.ndim != 1 or charges.dtype != torch.int64:
            raise ValueError(f"charges have shape {tuple(charges.shape)}, {charges.dtype}, wanted (atoms,) int64.")
        places = self._buffers["places"]
        assert places is not None
        if torch.compiler.is_compiling():
            return self.embedding(places[charges])
        inside = (charges >= 1) & (charges <= 118)
        known = torch.where(inside, places[torch.where(inside, charges, 0)], -1)
        if bool((known < 0).any()):
            others = sorted(set(charges[known < 0].tolist()))
            raise ValueError(f"got atoms with atomic numbers {others}, this network knows {list(self.elements)}.")
        return self.embedding(known)

    def extra_repr(self) -> str:
        return f"elements={self.elements}"


def structure_of(charges: Tensor, batch: Tensor | None) -> Tensor:
    """``batch``, or zeros for the atoms of a single structure. Raises: ValueError for another length."""
    if batch is None:
        return torch.zeros_like(charges)
    if batch.shape != charges.shape:
        raise ValueError(f"batch has shape {tuple(batch.shape)}, wanted that of the charges, {tuple(charges.shape)}.")
    return batch


class ConservativeForces(nn.Module):
    """Energies of a network, and forces and virials that are their derivatives.

        r_e = x_j - x_i + o_e,   g_e = ∂E/∂r_e,   F_i = Σ_{e → i} g_e - Σ_{e ← i} g_e,   W = Σ_e (r_e g_eᵀ + g_e r_eᵀ)/2

    ``network(charges, vectors, edge_index, batch, structures)`` gives energies (B,) from edge vectors alone, so that
    they do not change under translations and the forces on a structure sum to zero. In training (wherever gradients are
    on) forces can be differentiated again; under ``torch.no_grad`` they are computed all the same and carry no graph.

    Shapes: ``charges`` (P,) int64; ``positions`` (P, 3) Å; ``edge_index`` (2, E), row 0 the neighbour j and row 1 the
    atom i; ``offsets`` (E, 3) Å, the lattice vectors added to x_j, none where nothing is periodic; ``batch`` (P,) the
    structure of each atom, for ``structures`` of them → ``EnergyForces``.
    Raises: ValueError for shapes that do not fit; RuntimeError in inference mode, where there are no gradients.
    Source: pinned by ``tests/models/test_forces.py``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        charges: Tensor,
        positions: Tensor,
        edge_index: Tensor,
        offsets: Tensor | None = None,
        batch: Tensor | None = None,
        structures: int = 1,
    ) -> EnergyForces:
        _check_graph(charges, positions, edge_index, offsets)
        if torch.is_inference_mode_enabled():
            raise RuntimeError("forces are gradients, which inference mode has not: use torch.no_grad() instead.")
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            r = _vectors(positions, edge_index, offsets)
            if not r.requires_grad:
                r.requires_grad_()
            energies = self.network(charges, r, edge_index, batch, structures)
            (g,) = torch.autograd.grad(energies.sum(), r, create_graph=again)
        if not again:
            energies, r = energies.detach(), r.detach()
        source, target = edge_index
        forces = sum_by(target, g, len(charges)) - sum_by(source, g, len(charges))
        outer = r[:, :, None] * g[:, None]
        virials = sum_by(structure_of(charges, batch)[target], (outer + outer.mT) / 2, structures)
        return EnergyForces(energies, forces, virials)


class DirectForces(nn.Module):
    """Energies and forces that a network gives side by side, the forces by a head of their own: faster, and no
    derivative of the energy, so that dynamics with them do not keep it.

    ``network.energies_and_forces(charges, vectors, edge_index, batch, structures)`` gives (B,) and (P, 3).
    Shapes and errors as of ``ConservativeForces``; no virials.
    Source: Zitnick et al. 2022, arXiv 2206.14331, section 3.4; pinned by ``tests/models/test_forces.py``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        charges: Tensor,
        positions: Tensor,
        edge_index: Tensor,
        offsets: Tensor | None = None,
        batch: Tensor | None = None,
        structures: int = 1,
    ) -> EnergyForces:
        _check_graph(charges, positions, edge_index, offsets)
        r = _vectors(positions, edge_index, offsets)
        energies, forces = self.network.energies_and_forces(charges, r, edge_index, batch, structures)  # type: ignore[operator]
        return EnergyForces(energies, forces)


def _vectors(positions: Tensor, edge_index: Tensor, offsets: Tensor | None) -> Tensor:
    r = positions[edge_index[0]] - positions[edge_index[1]]
    return r if offsets is None else r + offsets.to(r)


def _check_graph(charges: Tensor, positions: Tensor, edge_index: Tensor, offsets: Tensor | None) -> None:
    if tuple(positions.shape) != (*charges.shape, 3):
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}, wanted ({len(charges)}, 3), one of each charge."
        )
    check_edges(positions, edge_index)
    if offsets is not None and tuple(offsets.shape) != (edge_index.shape[1], 3):
        raise ValueError(f"offsets have shape {tuple(offsets.shape)}, wanted ({edge_index.shape[1]}, 3), one an edge.")
