"""A network as scikit-learn's MLPClassifier or MLPRegressor."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.errors import ModelError
from fixgrad.network import Network
from fixgrad.protocol import Activation, Loss
from fixgrad.rundir import write_atomic
from fixgrad.targets import BINARY, CLASSES, LABELS, VALUES

_ACTIVATIONS = {
    Activation.RELU: "relu", Activation.SIGMOID: "logistic", Activation.TANH: "tanh"
}
_SIGMOID = (Loss.SIGMOID_BINARY_CROSS_ENTROPY, Loss.SIGMOID_SQUARED_ERROR)


def to_sklearn(network: Network) -> Any:
    """Return a fitted estimator for data as it comes, not scaled.

    Two classes with a softmax output each become scikit-learn's single logistic output.

    Args:
        network: the network.

    Returns:
        MLPClassifier with the names of the classes as labels, or MLPRegressor.

    Raises:
        ModelError: scikit-learn has no such activation or output.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    config, kind = network.config, network.form.target.kind
    weights, biases = network.real_parameters()
    settings = {
        "hidden_layer_sizes": config.layers[1:-1], "activation": _activation(network),
        "max_iter": 1,
    }
    names = np.array(network.form.class_names)
    width = config.layers[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == CLASSES:
            model = MLPClassifier(**settings).fit(np.zeros((len(names), width)), names)
            if len(names) == 2:
                weights[-1] = weights[-1][1:] - weights[-1][:1]
                biases[-1] = biases[-1][1:] - biases[-1][:1]
        elif kind == BINARY and config.loss in _SIGMOID:
            model = MLPClassifier(**settings).fit(np.zeros((2, width)), names)
        elif kind == LABELS and config.loss in _SIGMOID:
            labels = np.tile([[0], [1]], (1, config.outputs))
            model = MLPClassifier(**settings).fit(np.zeros((2, width)), labels)
        elif kind == VALUES and config.loss == Loss.SQUARED_ERROR:
            targets = np.zeros((2, config.outputs))
            model = MLPRegressor(**settings).fit(
                np.zeros((2, width)), targets if config.outputs > 1 else targets[:, 0]
            )
        else:
            raise ModelError(
                f"scikit-learn's MLP has no outputs like those of {config.loss.name.lower()} here; "
                "export as onnx, npz or c"
            )
    _replace(model, weights, biases, names if kind in (CLASSES, BINARY) else None)
    return model


def _replace(
    model: Any, weights: list[NDArray[np.float64]], biases: list[NDArray[np.float64]],
    names: NDArray[np.str_] | None,
) -> None:
    """Put parameters into an estimator; its labels are sorted, ours have an order of their own."""
    weights, biases = list(weights), list(biases)
    if names is not None:
        order = np.argsort(names)
        if len(names) > 2:
            weights[-1], biases[-1] = weights[-1][order], biases[-1][order]
        elif order[0] == 1:
            weights[-1], biases[-1] = -weights[-1], -biases[-1]
    model.coefs_ = [w.T.copy() for w in weights]
    model.intercepts_ = [b.copy() for b in biases]


def _activation(network: Network) -> str:
    used = set(network.config.activations)
    names = {a: _ACTIVATIONS.get(a) for a in used}
    if len(used) > 1 or None in names.values():
        given = ", ".join(a.name.lower() for a in network.config.activations)
        raise ModelError(
            f"scikit-learn's MLP has one activation for all hidden layers, relu, sigmoid or tanh; "
            f"this network has {given}: export as onnx, npz or c"
        )
    return next(iter(names.values()), None) or "relu"


def write_sklearn(network: Network, path: Path) -> list[Path]:
    """Write the estimator as a joblib file.

    Raises:
        ModelError: as for `to_sklearn`.
    """
    import joblib

    buffer = io.BytesIO()
    joblib.dump(to_sklearn(network), buffer)
    write_atomic(path, buffer.getvalue())
    return [path]
