"""Classifier and regressor in scikit-learn's conventions, trained and used on a board.

Arguments have scikit-learn's names where they mean the same as in `MLPClassifier`. The work is
done by `fixgrad.board`: an estimator turns its arguments into a run and reads its events.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from fixgrad.board import Board
from fixgrad.datasets import Dataset, Part
from fixgrad.datasets.dataset import Targets
from fixgrad.metrics import Outputs
from fixgrad.network import Network
from fixgrad.run import PreparedRun, prepare_dataset
from fixgrad.runfile import RunFile, new_run
from fixgrad.training import Ended, EpochDone

ACTIVATIONS = {
    "relu": "relu", "leaky": "leaky", "logistic": "sigmoid", "tanh": "tanh", "sign": "sign"
}
"""Names of activations here and in the run file."""

AUTO_BATCH = 8
_NO_RUN_FILE = Path("estimator")


class _FixedPointMLP(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share."""

    _loss: str

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (32,),
        activation: str = "relu",
        *,
        port: str = "sim://",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.05,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        scale: str = "standard",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.port = port
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.scale = scale

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train from the start, or with `warm_start` from the parameters of the last fit.

        Args:
            X: features [N, n], not scaled.
            y: targets [N]; the regressor also takes [N, outputs].

        Raises:
            ValueError: data or an argument that scikit-learn refuses.
            FixgradError: an argument out of range, no board, or the model does not fit it.
        """
        again = bool(self.warm_start) and hasattr(self, "network_")
        features, targets = self._checked(X, y, reset=not again)
        if not again:
            self._learn_targets(targets)
            self._begin()
        return self._train(features, targets, int(self.max_iter), go_on=again, stop=True)

    def _begin(self) -> None:
        """Forget what was trained."""
        self.loss_curve_: list[float] = []
        self.t_ = 0
        self.n_iter_ = 0

    def _train(
        self, features: NDArray[np.float64], targets: NDArray[Any], epochs: int, *, go_on: bool,
        stop: bool,
    ) -> Self:
        generator = check_random_state(self.random_state)
        seed = (
            int(self.random_state) + self.n_iter_
            if isinstance(self.random_state, (int, np.integer))
            else int(generator.randint(2**31 - 1))
        )
        prepared = self._prepare(features, targets, epochs, seed % 2**32, go_on, stop)
        with Board(self.port) as board:
            self._listen(board, prepared, stop)
            assert board.network is not None
            self._adopt(board.network)
        return self

    def _prepare(
        self, features: NDArray[np.float64], targets: NDArray[Any], epochs: int, seed: int,
        go_on: bool, stop: bool,
    ) -> PreparedRun:
        names = self._class_names()
        dataset = Dataset(
            name="X",
            samples=Part(features, self._encoded(targets)),
            test=None,
            class_names=names,
            feature_names=tuple(f"x{i}" for i in range(features.shape[1])),
            image=False,
            indexed=False,
            target_names=() if names else tuple(f"y{i}" for i in range(self._outputs())),
        )
        run = self._run(features.shape, epochs, seed, stop)
        if not go_on:
            return prepare_dataset(run, dataset)
        network: Network = self.network_
        initial = dataclasses.replace(network.state.copy(), step=0)
        return prepare_dataset(run, dataset, network.form, initial)

    def _run(self, shape: tuple[int, ...], epochs: int, seed: int, stop: bool) -> RunFile:
        samples, width = shape
        sizes = self.hidden_layer_sizes
        hidden = [sizes] if isinstance(sizes, (int, np.integer)) else list(sizes)
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation = {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}"
            )
        batch = AUTO_BATCH if self.batch_size == "auto" else int(self.batch_size)
        settings: dict[str, object] = {
            "seed": seed,
            "test_fraction": 0,
            "scale": self.scale,
            "activation": ACTIVATIONS[self.activation],
            "loss": self._loss,
            "init": "he" if self.activation in ("relu", "leaky") else "glorot",
            "epochs": epochs,
            "batch_size": min(batch, samples),
            "learning_rate": float(self.learning_rate_init),
            "shuffle": bool(self.shuffle),
            "momentum": float(self.momentum),
            "weight_decay": float(self.alpha) / min(batch, samples),
        }
        if self.early_stopping and stop:
            settings |= {
                "validation_fraction": float(self.validation_fraction),
                "patience": int(self.n_iter_no_change),
                "min_improvement": max(0.0, float(self.tol)),
            }
        layers = (width, *(int(n) for n in hidden), self._outputs())
        return new_run(_NO_RUN_FILE, source="X", layers=layers, settings=settings)

    def _listen(self, board: Board, prepared: PreparedRun, stop: bool) -> None:
        """Train, note the losses, and stop where scikit-learn would."""
        best, without = float("inf"), 0
        half = 0.5 if self._loss == "squared_error" else 1.0
        for event in board.events(prepared):
            if isinstance(event, Ended) and event.reason and self.verbose:
                print(f"No better validation loss; the weights are of epoch {event.epoch_of_state}")
            if not isinstance(event, EpochDone):
                continue
            loss = half * event.tally.loss(prepared.config.loss)
            self.loss_curve_.append(loss)
            self.n_iter_ += 1
            self.t_ += event.tally.samples
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
            without = without + 1 if loss > best - self.tol else 0
            best = min(best, loss)
            if stop and not self.early_stopping and without > self.n_iter_no_change:
                break
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = min(self.loss_curve_)

    def _adopt(self, network: Network) -> None:
        self.network_ = network
        weights, biases = network.real_parameters()
        self.coefs_ = [w.T.copy() for w in weights]
        self.intercepts_ = biases
        self.n_layers_ = len(network.config.layers)
        self.n_outputs_ = network.config.outputs

    def _answers(self, X: ArrayLike) -> Outputs:
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=np.float64)
        with Board(self.port) as board:
            board.load(self.network_)
            return board.outputs(features)

    def _checked(
        self, X: ArrayLike, y: ArrayLike, *, reset: bool
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        raise NotImplementedError

    def _learn_targets(self, targets: NDArray[Any]) -> None:
        raise NotImplementedError

    def _encoded(self, targets: NDArray[Any]) -> Targets:
        raise NotImplementedError

    def _class_names(self) -> tuple[str, ...]:
        return ()

    def _outputs(self) -> int:
        raise NotImplementedError


class FixedPointMLPClassifier(ClassifierMixin, _FixedPointMLP):  # type: ignore[misc]
    """A multilayer perceptron for classes, trained in fixed point on a board.

    Args:
        hidden_layer_sizes: widths of the hidden layers.
        activation: "relu", "leaky", "logistic", "tanh" or "sign".
        port: where the board is; sim:// is a process of this machine.
        alpha: strength of the decoupled weight decay: a step takes learning_rate_init * alpha /
            batch_size of every weight, as scikit-learn's L2 penalty does under plain SGD.
        batch_size: samples a step; "auto" is min(8, N). The board keeps a batch in RAM.
        learning_rate_init: the learning rate; it is constant.
        max_iter: epochs at most.
        shuffle: a new order of samples every epoch.
        random_state: seed of weights, order and rounding. An int gives the same bits on every port.
        tol: improvement of the loss that counts.
        verbose: print the loss of every epoch.
        warm_start: let `fit` go on with the parameters of the last one.
        momentum: share of the last step that is kept.
        early_stopping: decide on the loss of a validation part and keep the best weights.
        validation_fraction: share of that part.
        n_iter_no_change: epochs without improvement before training stops.
        scale: how features become integers: "standard" or "minmax", fitted to the training data;
            or "none" for whole numbers 0..255.

    Attributes:
        classes_: the labels.
        coefs_, intercepts_: parameters as real numbers for unscaled features, [n_in, n_out].
        loss_curve_: mean loss of every epoch, in nats.
        loss_, best_loss_, n_iter_, t_, n_layers_, n_outputs_, out_activation_: as in MLPClassifier.
        network_: the integers themselves (`fixgrad.network.Network`).
    """

    _loss = "softmax_cross_entropy"

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
    ) -> Self:
        """Train one epoch, from the parameters as they are.

        Args:
            X: features [N, n]. The first call fits their scaling.
            y: labels [N].
            classes: all labels that will occur; needed in the first call only.

        Raises:
            ValueError: as for `fit`; or a label that was not among the classes.
        """
        go_on = hasattr(self, "network_")
        if not go_on and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        features, targets = self._checked(X, y, reset=not go_on)
        if not go_on:
            self._learn_targets(np.asarray(classes))
            self._begin()
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)),
                                                        self.classes_):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to partial_fit"
            )
        return self._train(features, targets, 1, go_on=go_on, stop=False)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the board's labels [N] for features [N, n]."""
        outputs = self._answers(X)
        assert outputs.classes is not None
        labels: NDArray[Any] = self.classes_[outputs.classes]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class [N, classes]."""
        probabilities = self._answers(X).probabilities
        assert probabilities is not None
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _checked(
        self, X: ArrayLike, y: ArrayLike, *, reset: bool
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        features, targets = validate_data(self, X, y, reset=reset, dtype=np.float64)
        check_classification_targets(targets)
        return features, column_or_1d(targets, warn=True)

    def _learn_targets(self, targets: NDArray[Any]) -> None:
        self.classes_ = np.unique(targets)
        self.out_activation_ = "softmax"
        if len(self.classes_) < 2:
            raise ValueError("the classifier needs at least 2 classes; the data has 1 class")

    def _encoded(self, targets: NDArray[Any]) -> Targets:
        unknown = np.setdiff1d(targets, self.classes_)
        if len(unknown):
            raise ValueError(f"y holds {unknown[0]!r}, which is none of the classes")
        return np.searchsorted(self.classes_, targets).astype(np.int64)

    def _class_names(self) -> tuple[str, ...]:
        return tuple(str(label) for label in self.classes_)

    def _outputs(self) -> int:
        return len(self.classes_)


class FixedPointMLPRegressor(RegressorMixin, _FixedPointMLP):  # type: ignore[misc]
    """A multilayer perceptron for numbers, trained in fixed point on a board.

    Takes the arguments of `FixedPointMLPClassifier`. Targets are scaled to mean 0 and deviation 1
    for training; predictions come in their own unit.

    Attributes:
        coefs_, intercepts_: parameters as real numbers for unscaled data, [n_in, n_out].
        loss_curve_: half the mean squared error of every epoch, in deviations of the target.
        loss_, best_loss_, n_iter_, t_, n_layers_, n_outputs_, out_activation_: as in MLPRegressor.
        network_: the integers themselves (`fixgrad.network.Network`).
    """

    _loss = "squared_error"

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train one epoch, from the parameters as they are.

        Args:
            X: features [N, n]. The first call fits the scaling of features and targets.
            y: targets [N] or [N, outputs].
        """
        go_on = hasattr(self, "network_")
        features, targets = self._checked(X, y, reset=not go_on)
        if not go_on:
            self._learn_targets(targets)
            self._begin()
        return self._train(features, targets, 1, go_on=go_on, stop=False)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the board's predictions, [N] or [N, outputs], for features [N, n]."""
        values = self._answers(X).values
        assert values is not None
        return values.reshape(-1) if self._single else values

    def _checked(
        self, X: ArrayLike, y: ArrayLike, *, reset: bool
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        features, targets = validate_data(
            self, X, y, reset=reset, dtype=np.float64, multi_output=True, y_numeric=True
        )
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)
        return features, targets.astype(np.float64)

    def _learn_targets(self, targets: NDArray[Any]) -> None:
        self._single = targets.ndim == 1
        self.n_outputs_ = 1 if self._single else targets.shape[1]
        self.out_activation_ = "identity"

    def _encoded(self, targets: NDArray[Any]) -> Targets:
        width = 1 if targets.ndim == 1 else targets.shape[1]
        if width != self.n_outputs_:
            raise ValueError(f"y has {width} columns, the regressor was begun with "
                             f"{self.n_outputs_}")
        return targets

    def _outputs(self) -> int:
        return self.n_outputs_

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
