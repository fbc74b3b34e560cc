"""Data on the sphere (digits, MNIST, npz, folders of pictures, netCDF, zarr), images, points and molecules."""

from armillary.data.atom_files import read_structures
from armillary.data.atom_graphs import (
    AtomGraph,
    AtomGraphs,
    atom_graph,
    collate_atoms,
    graphs_of,
    join_graphs,
    reference_energies,
)
from armillary.data.atoms_config import AtomsDataConfig, open_structures
from armillary.data.clouds import Clouds, DrawnClouds, load_psb, turned
from armillary.data.config import DataConfig
from armillary.data.image_dataset import ImageDataset
from armillary.data.image_inputs import image_grid
from armillary.data.modelnet import load_modelnet40, normalized, read_off, sample_surface
from armillary.data.motion import Motion, moved
from armillary.data.nbody import Bodies, charged_systems, gravity_systems
from armillary.data.normalization import denormalize, with_normalization
from armillary.data.oc20 import LmdbStructures, open_oc20_lmdb
from armillary.data.opening import open_dataset, read_inputs
from armillary.data.projection import project_image
from armillary.data.qm7 import Molecules, atom_signals, coulomb_matrices, load_qm7
from armillary.data.qm9 import load_qm9
from armillary.data.spec import DataError, FieldDataset, FieldSpec
from armillary.data.structures import Structures
from armillary.data.trajectories import load_npz_trajectory, trajectory_names
from armillary.data.xyz import read_extxyz
from armillary.data.xyz_writer import format_extxyz, write_extxyz

__all__ = [
    "AtomGraph",
    "AtomGraphs",
    "AtomsDataConfig",
    "Bodies",
    "Clouds",
    "DataConfig",
    "DataError",
    "DrawnClouds",
    "FieldDataset",
    "FieldSpec",
    "ImageDataset",
    "LmdbStructures",
    "Molecules",
    "Motion",
    "Structures",
    "atom_graph",
    "atom_signals",
    "charged_systems",
    "collate_atoms",
    "coulomb_matrices",
    "denormalize",
    "format_extxyz",
    "graphs_of",
    "gravity_systems",
    "image_grid",
    "join_graphs",
    "load_modelnet40",
    "load_npz_trajectory",
    "load_psb",
    "load_qm7",
    "load_qm9",
    "moved",
    "normalized",
    "open_dataset",
    "open_oc20_lmdb",
    "open_structures",
    "project_image",
    "read_extxyz",
    "read_inputs",
    "read_off",
    "read_structures",
    "reference_energies",
    "sample_surface",
    "trajectory_names",
    "turned",
    "with_normalization",
    "write_extxyz",
]
