"""The estimators: scikit-learn's own checks, its meaning of arguments, and the device's bits."""

import pickle

import numpy as np
import pytest
from fixgrad import FixedPointMLPClassifier, FixedPointMLPRegressor
from fixgrad.digest import state_digest
from fixgrad.errors import DoesNotFitError, RunFileError
from fixgrad.reference import Reference
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)


@parametrize_with_checks(
    [FixedPointMLPClassifier(max_iter=60), FixedPointMLPRegressor(max_iter=60)]
)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return FixedPointMLPClassifier((8,), max_iter=20, random_state=3).fit(*IRIS)


def test_parameters_are_those_of_the_reference():
    model = FixedPointMLPClassifier((6,), max_iter=3, random_state=5, momentum=0.5)
    features, labels = IRIS
    model._checked(features, labels, reset=True)
    model._learn_targets(labels)
    model._begin()
    prepared = model._prepare(features, labels, 3, 5, False, True)
    reference = Reference(prepared.config, prepared.initial)
    for step in range(prepared.schedule.steps):
        chosen = prepared.schedule.step_indices(step)
        reference.step(
            prepared.train.features[chosen], prepared.train.targets[chosen],
            *prepared.schedule.learning_rate(step),
        )
    assert model.fit(features, labels).network_.digest == state_digest(reference.state)


def test_emulated_board_gives_the_same_bits(iris):
    there = clone(iris).set_params(port="qemu://disco_f100rb", max_iter=2).fit(*IRIS)
    here = clone(iris).set_params(max_iter=2).fit(*IRIS)
    assert there.network_.digest == here.network_.digest
    np.testing.assert_array_equal(there.predict_proba(IRIS[0]), here.predict_proba(IRIS[0]))


def test_predictions_are_those_of_the_reference(iris):
    network = iris.network_
    reference = Reference(network.config, network.state)
    expected = reference.logits(network.mantissas(IRIS[0])).argmax(axis=1)
    np.testing.assert_array_equal(iris.predict(IRIS[0]), expected)


def test_digits_are_learnt():
    features, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(features, labels, random_state=1, stratify=labels)
    model = FixedPointMLPClassifier((32,), max_iter=15, random_state=1)
    assert model.fit(x, y).score(x_test, y_test) > 0.94


def test_coefs_are_those_of_an_mlp_classifier(iris):
    twin = MLPClassifier((8,), max_iter=1).fit(*IRIS)
    twin.coefs_, twin.intercepts_ = iris.coefs_, iris.intercepts_
    ours, theirs = iris.predict_proba(IRIS[0]), twin.predict_proba(IRIS[0])
    assert np.abs(ours - theirs).max() < 0.05
    assert [w.shape for w in iris.coefs_] == [(4, 8), (8, 3)]


def test_coefs_are_those_of_an_mlp_regressor():
    features, target = load_diabetes(return_X_y=True)
    model = FixedPointMLPRegressor((8,), max_iter=20, learning_rate_init=0.02, random_state=1)
    model.fit(features, target)
    twin = MLPRegressor(hidden_layer_sizes=(8,), max_iter=1).fit(features, target)
    twin.coefs_, twin.intercepts_ = model.coefs_, model.intercepts_
    assert model.score(features, target) > 0.45
    difference = np.abs(model.predict(features) - twin.predict(features))
    assert difference.max() < 0.1 * target.std()


def test_labels_of_any_kind_come_back():
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    model = FixedPointMLPClassifier((8,), max_iter=3, random_state=3).fit(IRIS[0], names)
    assert set(model.predict(IRIS[0])) <= set(names)
    assert list(model.classes_) == sorted(set(names))


def test_several_outputs_are_predicted():
    features, target = load_diabetes(return_X_y=True)
    both = np.stack([target, -2 * target], axis=1)
    model = FixedPointMLPRegressor((8,), max_iter=8, learning_rate_init=0.02, random_state=1)
    assert model.fit(features, both).predict(features).shape == (len(features), 2)
    assert model.score(features, both) > 0.4


def test_tol_ends_training():
    model = FixedPointMLPClassifier(
        (4,), max_iter=50, tol=1e9, n_iter_no_change=3, random_state=1
    ).fit(*IRIS)
    # The first epoch is better than none; then one more than n_iter_no_change without improvement.
    assert model.n_iter_ == 5 == len(model.loss_curve_)


def test_early_stopping_ends_with_the_best_weights(capsys):
    model = FixedPointMLPClassifier(
        (8,), max_iter=100, early_stopping=True, n_iter_no_change=2, tol=0, random_state=1,
        verbose=True, learning_rate_init=0.5,
    ).fit(*IRIS)
    assert model.n_iter_ < 100
    epochs_back = model.network_.state.step % (135 // 8 + 1)
    assert epochs_back == 0
    assert model.network_.state.step == (model.n_iter_ - 2) * 17
    assert f"of epoch {model.n_iter_ - 2}\n" in capsys.readouterr().out


def test_partial_fit_goes_on():
    model = FixedPointMLPClassifier((8,), random_state=1)
    for _ in range(15):
        for part in range(3):
            model.partial_fit(IRIS[0][part::3], IRIS[1][part::3], classes=[0, 1, 2])
    assert model.score(*IRIS) > 0.9
    assert model.n_iter_ == 45 and model.t_ == 15 * 150


def test_partial_fit_takes_a_part_that_lacks_a_class():
    model = FixedPointMLPClassifier((8,), random_state=1).partial_fit(*IRIS, classes=[0, 1, 2])
    model.partial_fit(IRIS[0][:100], IRIS[1][:100])
    assert model.predict_proba(IRIS[0]).shape == (150, 3)


def test_warm_start_goes_on_from_the_last_fit():
    model = FixedPointMLPClassifier((8,), max_iter=3, warm_start=True, random_state=1).fit(*IRIS)
    before = model.loss_
    model.fit(*IRIS)
    assert model.n_iter_ == 6 and model.loss_ < before


def test_pipeline_search_and_pickle_work():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), FixedPointMLPClassifier(max_iter=5, random_state=1)),
        {"fixedpointmlpclassifier__hidden_layer_sizes": [(4,), (8, 4)]},
        cv=2,
    ).fit(*IRIS)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(IRIS[0]), search.predict(IRIS[0]))


def test_same_seed_same_bits(iris):
    assert clone(iris).fit(*IRIS).network_.digest == iris.network_.digest
    other = clone(iris).set_params(random_state=4).fit(*IRIS)
    assert other.network_.digest != iris.network_.digest


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activation": "softplus"}, ValueError, "choose one of relu, leaky, logistic, tanh, sign"),
        ({"learning_rate_init": -1}, RunFileError, "learning_rate"),
        ({"port": "sim://?arena=300"}, DoesNotFitError, "300 bytes"),
    ],
)
def test_bad_argument_is_told(arguments, error, message):
    with pytest.raises(error, match=message):
        FixedPointMLPClassifier((4,), **arguments).fit(*IRIS)


def test_unknown_label_in_partial_fit_is_told():
    model = FixedPointMLPClassifier((4,)).partial_fit(*IRIS, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="none of the classes"):
        model.partial_fit(IRIS[0], IRIS[1] + 7)
