"""Data on the sphere: built-in digits, MNIST, and readers for npz, folders of pictures, netCDF and zarr."""

from armillary.data.config import DataConfig
from armillary.data.normalization import denormalize, with_normalization
from armillary.data.opening import open_dataset, read_inputs
from armillary.data.projection import project_image
from armillary.data.spec import DataError, FieldDataset, FieldSpec

__all__ = [
    "DataConfig",
    "DataError",
    "FieldDataset",
    "FieldSpec",
    "denormalize",
    "open_dataset",
    "project_image",
    "read_inputs",
    "with_normalization",
]
