"""Energies of molecules from signals on their atoms."""

from __future__ import annotations

from torch import Tensor, nn


class AtomSum(nn.Module):
    """A number for each molecule: the sum of what a network says of each of its atoms, ``y = Σ_i f_{t(i)}(x_i)``.

    ``network`` turns the signal of one atom, (B, channels, nlat, nlon), into (B, kinds), one number for each kind t
    that an atom may be of.

    Shapes: (B, atoms, channels + kinds, nlat, nlon) as ``data.qm7.atom_signals`` makes them, the last ``kinds``
    channels 1 where an atom is of that kind and all 0 where there is no atom → (B,).
    Raises: ValueError for another number of dimensions or channels, and for a network of another number of outputs.
    Source: deep sets over atoms (Cohen et al. 2018, section 5.4); pinned by ``tests/models/test_molecules.py``.
    """

    def __init__(self, network: nn.Module, channels: int, kinds: int) -> None:
        super().__init__()
        self.network, self.channels, self.kinds = network, channels, kinds

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[2] != self.channels + self.kinds:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, this AtomSum wants (batch, atoms, {self.channels} + {self.kinds}, "
                f"nlat, nlon): {self.channels} signals and {self.kinds} indicators of the kind of the atom."
            )
        signals, kinds = x[:, :, : self.channels].flatten(0, 1), x[:, :, self.channels :, 0, 0]
        each = self.network(signals)
        if each.shape != (len(signals), self.kinds):
            raise ValueError(
                f"network gave shape {tuple(each.shape)} for {len(signals)} atoms, this AtomSum wants a number for "
                f"each of {self.kinds} kinds: build it with {self.kinds} outputs."
            )
        out: Tensor = (each.unflatten(0, x.shape[:2]) * kinds).sum((1, 2))
        return out

    def extra_repr(self) -> str:
        return f"channels={self.channels}, kinds={self.kinds}"
