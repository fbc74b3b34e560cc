"""Groups, their elements and representations."""

from armillary.groups.finite import FiniteGroup
from armillary.groups.interface import Group, Irrep
from armillary.groups.named import (
    alternating,
    cyclic,
    dihedral,
    direct_product,
    icosahedral,
    octahedral,
    quaternion,
    semidirect_product,
    symmetric,
    tetrahedral,
    with_inversion,
)
from armillary.groups.so3 import (
    euler_zyz,
    from_euler_zyz,
    random_rotation,
    rotation_about,
    wigner_D,
    wigner_D_real,
)
from armillary.groups.subgroups import Subgroup, centraliser, stabiliser, trivial_subgroup, whole_group

__all__ = [
    "FiniteGroup",
    "Group",
    "Irrep",
    "Subgroup",
    "alternating",
    "centraliser",
    "cyclic",
    "dihedral",
    "direct_product",
    "euler_zyz",
    "from_euler_zyz",
    "icosahedral",
    "octahedral",
    "quaternion",
    "random_rotation",
    "rotation_about",
    "semidirect_product",
    "stabiliser",
    "symmetric",
    "tetrahedral",
    "trivial_subgroup",
    "whole_group",
    "wigner_D",
    "wigner_D_real",
    "with_inversion",
]
