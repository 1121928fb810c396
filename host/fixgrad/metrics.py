"""How good a trained model is, from the device's own outputs; the formulas are scikit-learn's."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Targets
from fixgrad.protocol import Loss
from fixgrad.targets import BINARY, CLASSES, LABELS, ONE_HOT, VALUES, TargetForm

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Outputs:
    """What a model says about samples.

    Attributes:
        classes: index of the class, [N]; None where there are no classes.
        probabilities: of each class [N, classes] or label [N, outputs]; None for values.
        values: predictions in the unit of the data set [N, outputs]; None where there are classes.
    """

    classes: NDArray[np.int64] | None
    probabilities: Reals | None
    values: Reals | None


def read_outputs(
    form: TargetForm,
    loss: Loss,
    predictions: NDArray[np.integer] | Reals,
    logits: NDArray[np.integer] | Reals,
    exponent: int,
) -> Outputs:
    """Interpret a device's outputs, or those of a floating-point network in the same units.

    Args:
        form: what is predicted.
        loss: the model's loss.
        predictions: [N, predictions], see docs/PROTOCOL.md.
        logits: [N, outputs], accumulators of the last layer.
        exponent: power of two of a logit's unit.
    """
    z = np.ldexp(logits.astype(np.float64), exponent)
    linear = loss == Loss.SQUARED_ERROR
    if form.kind == CLASSES:
        shares = np.exp(z - z.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return Outputs(predictions.reshape(-1).astype(np.int64), shares, None)
    p = z if linear else 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    if form.kind == ONE_HOT:
        best: NDArray[np.int64] = np.argmax(logits, axis=1).astype(np.int64)
        return Outputs(best, None if linear else p / p.sum(axis=1, keepdims=True), None)
    if form.kind == BINARY:
        second = (z[:, 0] > 0.5).astype(np.int64) if linear else predictions[:, 0].astype(np.int64)
        return Outputs(second, None if linear else np.hstack([1 - p, p]), None)
    if form.kind == LABELS:
        return Outputs(None, p, predictions.astype(np.float64))
    values = predictions / 65536 if linear else p
    return Outputs(None, None, form.decode(values))


def measure(form: TargetForm, outputs: Outputs, targets: Targets) -> dict[str, Any]:
    """Return the metrics of a test part by name.

    Args:
        form: what was predicted.
        outputs: what the model says.
        targets: what the data set says.
    """
    from sklearn import metrics

    if outputs.classes is not None:
        labels = np.arange(len(form.names))
        result: dict[str, Any] = {
            "accuracy": float(metrics.accuracy_score(targets, outputs.classes)),
            "f1": float(
                metrics.f1_score(
                    targets, outputs.classes, labels=np.unique(targets), average="macro",
                    zero_division=0,
                )
            ),
            "confusion": metrics.confusion_matrix(
                targets, outputs.classes, labels=labels
            ).tolist(),
        }
        if outputs.probabilities is not None:
            result["log_loss"] = _log_loss(np.eye(len(labels))[targets], outputs.probabilities)
        return result
    real = targets.reshape(len(targets), -1).astype(np.float64)
    assert outputs.values is not None
    if form.kind == VALUES:
        return _regression(form, outputs.values, real)
    assert outputs.probabilities is not None
    right = real.astype(np.int64)
    said = outputs.values.astype(np.int64)
    entropy = -(
        right * np.log(np.clip(outputs.probabilities, 1e-15, 1))
        + (1 - right) * np.log(np.clip(1 - outputs.probabilities, 1e-15, 1))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        confusion = metrics.multilabel_confusion_matrix(right, said)
    return {
        "accuracy": float(metrics.accuracy_score(right, said)),
        "label_accuracy": float((right == said).mean()),
        "f1": float(
            metrics.f1_score(right.ravel(), said.ravel())
            if right.shape[1] == 1
            else metrics.f1_score(right, said, average="macro", zero_division=0)
        ),
        "confusion": confusion.tolist(),
        "log_loss": float(entropy.mean()),
    }


def _log_loss(one_hot: Reals, probabilities: Reals) -> float:
    """Return the mean cross-entropy in nats; a probability of 0 counts as 1e-15."""
    from sklearn.metrics import log_loss

    clipped = np.clip(probabilities, 1e-15, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    classes = np.arange(one_hot.shape[1])
    return float(log_loss(one_hot.argmax(axis=1), clipped, labels=classes))


def _regression(form: TargetForm, values: Reals, real: Reals) -> dict[str, Any]:
    from sklearn import metrics

    result: dict[str, Any] = {
        "rmse": float(np.sqrt(metrics.mean_squared_error(real, values))),
        "mae": float(metrics.mean_absolute_error(real, values)),
        "r2": float(metrics.r2_score(real, values)) if len(real) > 1 else float("nan"),
    }
    if len(form.names) > 1:
        result["by_output"] = {
            name: {
                "rmse": float(np.sqrt(metrics.mean_squared_error(real[:, k], values[:, k]))),
                "mae": float(metrics.mean_absolute_error(real[:, k], values[:, k])),
                "r2": float(metrics.r2_score(real[:, k], values[:, k])),
            }
            for k, name in enumerate(form.names)
        }
    return result


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share, `right` of `count`.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not count:
        return 0.0, 1.0
    z2 = 1.959963984540054**2
    share = right / count
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = math.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def summary(values: dict[str, Any]) -> str:
    """Return the single numbers of `measure` as one line."""
    names = {"accuracy": "accuracy", "label_accuracy": "labels right", "f1": "F1",
             "log_loss": "log-loss", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
    parts = []
    for key, name in names.items():
        if key in values:
            share = key in ("accuracy", "label_accuracy")
            parts.append(
                f"{name} {100 * values[key]:.2f} %" if share else f"{name} {values[key]:.4g}"
            )
    return ", ".join(parts)
