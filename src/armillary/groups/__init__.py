"""Groups, their elements and representations."""

from armillary.groups.actions import (
    Action,
    PermutationAction,
    SubsetAction,
    TupleAction,
    coset_action,
    symmetric_action,
)
from armillary.groups.clebsch_gordan import clebsch_gordan_complex, clebsch_gordan_real
from armillary.groups.compact import O2, O3, SO2, SO3
from armillary.groups.finite import FiniteGroup, FiniteIrrep
from armillary.groups.fourier import AxisRotations, ClosedSubgroup, Fourier
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
from armillary.groups.orbitals import Orbitals
from armillary.groups.orders import Orders
from armillary.groups.representation import (
    Decomposition,
    Representation,
    clebsch_gordan,
    direct_sum,
    induced,
    irrep_representation,
    permutation_representation,
    quotient,
    regular,
    restricted,
    tensor_product,
)
from armillary.groups.so3 import euler_zyz, from_euler_zyz, random_rotation, rotation_about, wigner_D, wigner_D_real
from armillary.groups.subgroups import Subgroup, centraliser, stabiliser, trivial_subgroup, whole_group

__all__ = [
    "O2",
    "O3",
    "SO2",
    "SO3",
    "Action",
    "AxisRotations",
    "ClosedSubgroup",
    "Decomposition",
    "FiniteGroup",
    "FiniteIrrep",
    "Fourier",
    "Group",
    "Irrep",
    "Orbitals",
    "Orders",
    "PermutationAction",
    "Representation",
    "Subgroup",
    "SubsetAction",
    "TupleAction",
    "alternating",
    "centraliser",
    "clebsch_gordan",
    "clebsch_gordan_complex",
    "clebsch_gordan_real",
    "coset_action",
    "cyclic",
    "dihedral",
    "direct_product",
    "direct_sum",
    "euler_zyz",
    "from_euler_zyz",
    "icosahedral",
    "induced",
    "irrep_representation",
    "octahedral",
    "permutation_representation",
    "quaternion",
    "quotient",
    "random_rotation",
    "regular",
    "restricted",
    "rotation_about",
    "semidirect_product",
    "stabiliser",
    "symmetric",
    "symmetric_action",
    "tensor_product",
    "tetrahedral",
    "trivial_subgroup",
    "whole_group",
    "wigner_D",
    "wigner_D_real",
    "with_inversion",
]
