"""Data sets: scikit-learn's small ones and a user's own files, checked cell by cell.

`load` finds out what a source is, `split` parts it into training and test samples, and
`Scaling` turns features into the fixed-point inputs of NUMERICS section 2.
"""

from fixgrad.datasets.dataset import Dataset, Part, check_layers
from fixgrad.datasets.loading import BUILTIN_CLASSES, BUILTIN_NAMES, BUILTIN_VALUES, load
from fixgrad.datasets.scaling import SCALE_METHODS, Scaling
from fixgrad.datasets.splitting import split, split_validation

__all__ = [
    "BUILTIN_CLASSES",
    "BUILTIN_NAMES",
    "BUILTIN_VALUES",
    "SCALE_METHODS",
    "Dataset",
    "Part",
    "Scaling",
    "check_layers",
    "load",
    "split",
    "split_validation",
]
