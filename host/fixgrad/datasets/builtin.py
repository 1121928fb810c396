"""The data sets that come with scikit-learn; nothing is downloaded."""

from __future__ import annotations

from typing import Final

import numpy as np

from fixgrad.datasets.dataset import Dataset, Part

CLASSES: Final = ("digits", "wine", "iris", "breast_cancer")
VALUES: Final = ("diabetes",)
NAMES: Final = CLASSES + VALUES

_TARGET_NAMES: Final = {"diabetes": ("progression",)}


def load_builtin(name: str) -> Dataset:
    """Load one of `NAMES`."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    features = np.ascontiguousarray(bunch.data, dtype=np.float64)
    classes = name in CLASSES
    targets = np.asarray(bunch.target)
    return Dataset(
        name=name,
        samples=Part(features, targets.astype(np.int64) if classes else targets),
        test=None,
        class_names=tuple(str(label) for label in bunch.target_names) if classes else (),
        feature_names=tuple(str(feature) for feature in bunch.feature_names),
        image=name == "digits",
        indexed=False,
        target_names=() if classes else _TARGET_NAMES[name],
    )
