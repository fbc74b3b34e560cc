"""Chemical symbols and atomic numbers."""

from __future__ import annotations

from armillary.data.spec import DataError

_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl "
    "Mc Lv Ts Og"
)
SYMBOLS: tuple[str, ...] = tuple(_TABLE.split())
"""``SYMBOLS[z - 1]`` is the symbol of atomic number z, 1 to 118."""

_NUMBERS = {symbol: z for z, symbol in enumerate(SYMBOLS, 1)}


def atomic_number(symbol: str) -> int:
    """The atomic number of a symbol in any case, or of a number written out. Raises: DataError for what is neither."""
    written = symbol.isascii() and symbol.isdigit() and len(symbol) < 4
    z = int(symbol) if written else _NUMBERS.get(symbol.capitalize(), 0)
    if not 1 <= z <= len(SYMBOLS):
        raise DataError(
            f"{symbol[:20]!r} is no chemical element: wanted a symbol such as H or Cu, or a number 1 to 118."
        )
    return z
