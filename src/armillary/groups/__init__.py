"""Groups, their elements and representations."""

from armillary.groups.actions import (
    Action,
    PermutationAction,
    SubsetAction,
    TupleAction,
    coset_action,
    symmetric_action,
)
from armillary.groups.characters import character_table
from armillary.groups.clebsch_gordan import PHASE_VERSION, clebsch_gordan_complex, clebsch_gordan_real
from armillary.groups.closed import AxisMirrors, AxisRotations, ClosedSubgroup, FiniteSubgroup, PlaneRotations
from armillary.groups.compact import O2, O3, SO2, SO3
from armillary.groups.degrees import Degrees
from armillary.groups.fields import FieldType, field_maps
from armillary.groups.finite import FiniteGroup, FiniteIrrep
from armillary.groups.fourier import Fourier
from armillary.groups.interface import Decomposition, Group, Irrep
from armillary.groups.irreps import BASIS_VERSION
from armillary.groups.irreps_conventions import (
    e3nn_sign,
    e3nn_wigner_3j,
    fairchem_orders,
    from_e3nn,
    from_fairchem,
    to_e3nn,
    to_fairchem,
)
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
from armillary.groups.o3 import Irreps, O3Irrep
from armillary.groups.orbitals import Orbitals
from armillary.groups.orders import Orders
from armillary.groups.representation import (
    Representation,
    clebsch_gordan,
    direct_sum,
    dual,
    induced,
    irrep_representation,
    permutation_representation,
    quotient,
    regular,
    restricted,
    tensor_product,
)
from armillary.groups.so3 import (
    euler_angles,
    euler_zyz,
    from_euler_zyz,
    proper_part,
    random_rotation,
    random_rotations,
    rotation_about,
    wigner_D,
    wigner_D_real,
)
from armillary.groups.so3_signals import SO3Signals, solid_rule
from armillary.groups.subgroups import Subgroup, centraliser, centre, stabiliser, trivial_subgroup, whole_group

__all__ = [
    "BASIS_VERSION",
    "O2",
    "O3",
    "PHASE_VERSION",
    "SO2",
    "SO3",
    "Action",
    "AxisMirrors",
    "AxisRotations",
    "ClosedSubgroup",
    "Decomposition",
    "Degrees",
    "FieldType",
    "FiniteGroup",
    "FiniteIrrep",
    "FiniteSubgroup",
    "Fourier",
    "Group",
    "Irrep",
    "Irreps",
    "O3Irrep",
    "Orbitals",
    "Orders",
    "PermutationAction",
    "PlaneRotations",
    "Representation",
    "SO3Signals",
    "Subgroup",
    "SubsetAction",
    "TupleAction",
    "alternating",
    "centraliser",
    "centre",
    "character_table",
    "clebsch_gordan",
    "clebsch_gordan_complex",
    "clebsch_gordan_real",
    "coset_action",
    "cyclic",
    "dihedral",
    "direct_product",
    "direct_sum",
    "dual",
    "e3nn_sign",
    "e3nn_wigner_3j",
    "euler_angles",
    "euler_zyz",
    "fairchem_orders",
    "field_maps",
    "from_e3nn",
    "from_euler_zyz",
    "from_fairchem",
    "icosahedral",
    "induced",
    "irrep_representation",
    "octahedral",
    "permutation_representation",
    "proper_part",
    "quaternion",
    "quotient",
    "random_rotation",
    "random_rotations",
    "regular",
    "restricted",
    "rotation_about",
    "semidirect_product",
    "solid_rule",
    "stabiliser",
    "symmetric",
    "symmetric_action",
    "tensor_product",
    "tetrahedral",
    "to_e3nn",
    "to_fairchem",
    "trivial_subgroup",
    "whole_group",
    "wigner_D",
    "wigner_D_real",
    "with_inversion",
]
