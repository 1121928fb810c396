"""scikit-learn's MLPs, alone or behind a scaler in a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fixgrad.errors import DataError
from fixgrad.importing.network import FloatNetwork, Reals, make_network

_ACTIVATIONS = {"relu": "relu", "logistic": "sigmoid", "tanh": "tanh"}


def from_sklearn(model: Any) -> FloatNetwork:
    """Return the network of a fitted MLP, alone or behind scalers in a pipeline.

    Raises:
        DataError: it is something else, not fitted, or has the activation "identity".
    """
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    name = type(steps[-1]).__name__
    if not hasattr(steps[-1], "coefs_"):
        raise DataError(
            f"{name} has no coefs_: a fitted MLPClassifier or MLPRegressor is needed, alone or "
            "last in a pipeline"
        )
    mlp = steps[-1]
    hidden = len(mlp.coefs_) - 1
    if hidden and mlp.activation not in _ACTIVATIONS:
        raise DataError(f'{name} has the activation "{mlp.activation}", which boards do not have')
    offset, factor = _scaling(steps[:-1], mlp.coefs_[0].shape[0])
    classes = getattr(mlp, "classes_", None)
    return make_network(
        name,
        [w.T for w in mlp.coefs_],
        mlp.intercepts_,
        (_ACTIVATIONS.get(mlp.activation, ""),) * hidden,
        offset,
        factor,
        None if classes is None else tuple(str(label) for label in classes),
    )


def _scaling(steps: list[Any], width: int) -> tuple[Reals, Reals]:
    """Return offset and factor of all scalers of a pipeline together."""
    offset, factor = np.zeros(width), np.ones(width)
    for step in steps:
        kind = type(step).__name__
        if kind == "StandardScaler":
            low = np.zeros(width) if step.mean_ is None else step.mean_
            unit = np.ones(width) if step.scale_ is None else step.scale_
        elif kind == "MinMaxScaler":
            low, unit = -step.min_ / step.scale_, 1 / step.scale_
        elif kind == "MaxAbsScaler":
            low, unit = np.zeros(width), step.scale_
        else:
            raise DataError(
                f"the pipeline has a {kind}; only StandardScaler, MinMaxScaler and MaxAbsScaler "
                "can be imported: put the data behind the others into a file and fit the rest on it"
            )
        # ((x - o) f - low) / unit = (x - (o + low / f)) f / unit
        offset = offset + low / factor
        factor = factor / unit
    return offset, factor


def read_joblib(path: Path) -> FloatNetwork:
    """Read an estimator from a pickle, which can run any code.

    Raises:
        DataError: it cannot be read or holds no MLP.
    """
    import joblib

    try:
        model = joblib.load(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a pickle raises whatever its content does
        raise DataError(f"{path} is no readable joblib file: {error}") from error
    return from_sklearn(model)
