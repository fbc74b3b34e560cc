"""The twenty published systems and which of them work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One published idea: its number, its name in the code, its title, where its data lives, and whether it works here.

    A system works when its layers, a readable twin, a model that trains on real data, the recipe of its claim and a
    page exist.
    """

    number: int
    name: str
    title: str
    domain: str
    works: bool = False


SYSTEMS: tuple[System, ...] = (
    System(1, "disco", "DISCO spherical CNN", "sphere", works=True),
    System(2, "icosahedral", "Gauge-equivariant icosahedral CNN", "sphere"),
    System(3, "s2cnn", "Equivariance versus augmentation for spherical images", "sphere", works=True),
    System(4, "needlets", "SO(3) needlet convolution", "sphere", works=True),
    System(5, "cheblienet", "ChebLieNet", "Lie-group graph"),
    System(6, "warped", "Warped convolutions", "plane", works=True),
    System(7, "image2icosahedron", "Image-to-icosahedral projection", "plane to sphere"),
    System(8, "sprin", "PRIN / SPRIN", "points"),
    System(9, "hnets", "Harmonic networks", "plane", works=True),
    System(10, "homogeneous", "Unified Fourier kernels on homogeneous spaces", "any G/H", works=True),
    System(11, "implicit_kernels", "Implicit steerable kernels", "points, grids"),
    System(12, "gcnn", "Group-equivariant CNNs (p4, p4m)", "plane", works=True),
    System(13, "se3", "SE(3) steerable kernels = group convolution", "points", works=True),
    System(14, "segnn", "SEGNN", "points, molecules", works=True),
    System(15, "compact_groups", "Convolution on compact groups and quotients", "any compact G", works=True),
    System(16, "mesh", "Gauge-equivariant mesh CNN", "meshes"),
    System(17, "oslo", "OSLO, on-the-sphere learning and compression", "sphere (HEALPix)"),
    System(18, "flows", "Equivariant finite normalizing flows", "images, any G"),
    System(19, "implicit_bias", "Implicit bias of linear equivariant networks", "any finite G"),
    System(20, "scn", "SCN, spherical channel network", "molecules, materials", works=True),
)
