"""Models trained elsewhere: their objective, and whether they were trained on the rows."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    parameter_distance,
)
from sklearn_ssse._erasure import validated_batch
from sklearn_ssse._minimum.distance import SHARE, distance_from_minimum
from tests import reference
from tests.reference import relative, theta
from tests.warned import LONG_STEP, NOT_A_MINIMUM, may_warn

CV = {
    "Cs": [0.05, 0.5],
    "l1_ratios": (0.0,),
    "scoring": "neg_log_loss",
    "use_legacy_attributes": True,
}


def sgd(**params):
    params = {
        "alpha": 0.1,
        "max_iter": 2000,
        "random_state": 0,
        "learning_rate": "optimal",
        **params,
    }
    return SGDClassifier(loss="log_loss", tol=None, **params)


def converged(**params):
    return LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=200, **params)


def weights(n):
    return np.random.default_rng(0).uniform(1, 9, n)


# The objective that they minimised


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 3.0}])
@pytest.mark.parametrize(
    "params",
    [{}, {"average": 20_000}, {"fit_intercept": False}, {"penalty": "elasticnet", "l1_ratio": 0.0}],
)
def test_the_objective_of_sgd(real_data, params, class_weight, weighted):
    """SGD reaches the minimum of the logistic regression whose parameters we set from its own."""
    X, y = real_data["breast_cancer"]
    X, w = X[:, :5], weights(len(y)) if weighted else None
    fitted = sgd(**params, class_weight=class_weight).fit(X, y, sample_weight=w)
    made = ErasableLogisticRegression.from_estimator(fitted, X, y, w, curvature="fisher")
    np.testing.assert_array_equal(made.predict_proba(X), fitted.predict_proba(X))
    exact = converged(
        C=made.C, class_weight=made.class_weight, fit_intercept=made.fit_intercept
    ).fit(X, y, w)
    assert relative(theta(made), theta(exact)) < 0.03
    if weighted:
        other = converged(
            C=made.C * len(y) / w.sum(),
            class_weight=made.class_weight,
            fit_intercept=made.fit_intercept,
        )
        assert relative(theta(made), theta(other.fit(X, y, w))) > 0.1


def test_sgd_without_a_penalty(binary):
    X, y = binary
    for params in ({"penalty": None}, {"alpha": 0.0, "learning_rate": "constant", "eta0": 1e-4}):
        made = ErasableLogisticRegression.from_estimator(sgd(**params).fit(X, y), X, y)
        assert np.isposinf(made.C)


def test_one_against_the_rest(real_data):
    """The advice in the error for several classes works."""
    X, y = real_data["wine"]
    outer = OneVsRestClassifier(sgd()).fit(X, y)
    for c, fitted in zip(outer.classes_, outer.estimators_, strict=True):
        made = ErasableLogisticRegression.from_estimator(
            fitted, X, (y == c).astype(int), curvature="fisher"
        )
        assert made.unlearn(X[:3], (y[:3] == c).astype(int)).n_samples_remaining_ == len(y) - 3


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_the_final_model_of_a_search(real_data, name, legacy):
    """Erasing from it is erasing from a fit with the C that it chose."""
    X, y = real_data[name]
    tight = {"tol": 1e-10, "solver": "newton-cholesky", "class_weight": "balanced"}
    search = LogisticRegressionCV(**{**CV, "use_legacy_attributes": legacy}, **tight).fit(
        X, y, sample_weight=weights(len(y))
    )
    made = ErasableLogisticRegression.from_estimator(
        search, X, y, weights(len(y)), curvature="fisher"
    )
    assert np.ravel(search.C_)[0] == made.C
    assert made.n_iter_.shape == (1,)
    fitted = ErasableLogisticRegression(C=made.C, curvature="fisher", **tight).fit(
        X, y, weights(len(y))
    )
    start = theta(fitted)
    for model in (made, fitted):
        model.unlearn(X[:9], y[:9], sample_weight=weights(len(y))[:9])
    assert relative(theta(made) - start, theta(fitted) - start) < 1e-4


def test_erasing_from_a_trained_model_is_erasing_from_a_fit(real_data):
    """Up to the error of the training itself."""
    X, y = real_data["breast_cancer"]
    X = X[:, :5]
    made = ErasableLogisticRegression.from_estimator(
        sgd(max_iter=5000).fit(X, y), X, y, curvature="fisher", order=1
    )
    fitted = ErasableLogisticRegression(
        C=made.C, curvature="fisher", order=1, solver="newton-cholesky", tol=1e-10
    ).fit(X, y)
    start = theta(fitted), theta(made)
    moves = [
        theta(model.unlearn(X[:50], y[:50])) - s
        for model, s in zip((fitted, made), start, strict=True)
    ]
    assert relative(moves[1], moves[0]) < 0.02


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("fitted", "classes", "error", "words"),
    [
        (LogisticRegressionCV(**CV, refit=False), 2, ErasureError, "refit=True"),
        (
            LogisticRegressionCV(**{**CV, "l1_ratios": (0.5,)}, solver="saga", tol=0.1),
            2,
            ErasureError,
            "l1_ratio=0.5",
        ),
        (SGDClassifier(), 2, ErasureError, "loss='hinge'"),
        (SGDClassifier(loss="log_loss"), 3, ErasureError, "OneVsRestClassifier"),
        (SGDClassifier(loss="log_loss", penalty="l1"), 2, ErasureError, "l1_ratio=1.0"),
        (SGDClassifier(loss="log_loss", penalty="elasticnet"), 2, ErasureError, "l1_ratio=0.15"),
        (MLPClassifier(max_iter=500), 2, TypeError, "got MLPClassifier"),
    ],
)
def test_refused_models(real_data, fitted, classes, error, words):
    X, y = real_data["wine"]
    X, y = X[y < classes], y[y < classes]
    fitted.fit(X, y)
    with pytest.raises(error, match=words):
        ErasableLogisticRegression.from_estimator(fitted, X, y)


def test_classes_of_different_c(binary):
    X, y = binary
    search = LogisticRegressionCV(**CV).fit(X, y)
    search.C_ = np.array([0.1, 1.0])
    with pytest.raises(ErasureError, match=r"same C, got 0\.1, 1 "):
        ErasableLogisticRegression.from_estimator(search, X, y)


@pytest.mark.parametrize("unfitted", [LogisticRegression(), LogisticRegressionCV(), sgd()])
def test_not_fitted(binary, unfitted):
    with pytest.raises(ValueError, match="not fitted"):
        ErasableLogisticRegression.from_estimator(unfitted, *binary)


# Whether they were trained on the rows


@pytest.mark.parametrize("structure", ["full", "block", "diagonal"])
@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("C", [0.1, np.inf])
def test_distance_by_hand(binary, four_classes, C, curvature, structure):
    """Length of the gradient relative to that of random rows, by loops and a dense inverse."""
    for X, y in (binary, four_classes):
        w = np.full(len(y), 3.0)
        fitted = LogisticRegression(C=C, max_iter=3).fit(X, y)
        options = {"curvature": curvature, "structure": structure, "unlearn_epsilon": 1.0}
        with may_warn(NOT_A_MINIMUM):
            made = ErasableLogisticRegression.from_estimator(fitted, X, y, w, **options)
        G = reference.gradients(fitted, X, y)
        P = made.curvature_.to_dense()
        penalised = theta(fitted).reshape(len(fitted.coef_), -1) / C
        penalised[:, -1] = 0.0
        g = w @ G + penalised.ravel()
        rows = np.sqrt(w)[:, None] * G if curvature == "empirical_fisher" else None
        if rows is None:
            batch = validated_batch(made, X, y, w, trusted=True)
            rows = batch.scores(curvature).to_dense()
        usual = SHARE * 3.0 * np.einsum("ij,jk,ik->", rows, P, rows)
        batch = validated_batch(made, X, y, w, trusted=True)
        found = distance_from_minimum(batch.objective_gradient(), batch, made.curvature_)
        near = 0.15 if structure == "block" else 1e-6  # its trace is estimated
        assert found == pytest.approx(np.sqrt(g @ P @ g / usual), rel=near)


@pytest.mark.parametrize(
    "params", [{}, {"solver": "newton-cholesky"}, {"C": 0.01}, {"class_weight": "balanced"}]
)
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "census"])
def test_converged_models_do_not_warn(real_data, name, params):
    """With the default tolerance, too; warnings are errors here."""
    X, y = (a[:5000] for a in real_data[name])
    fitted = LogisticRegression(max_iter=500, **params).fit(X, y)
    for structure in ("full", "diagonal"):
        ErasableLogisticRegression.from_estimator(fitted, X, y, structure=structure)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "census"])
def test_other_rows_and_labels_warn(real_data, name):
    X, y = (a[:5000] for a in real_data[name])
    rng = np.random.default_rng(0)
    half = rng.random(len(y)) < 0.5
    fitted = converged().fit(X[half], y[half])
    for model, rows, labels in [
        (fitted, X[half], rng.permutation(y[half])),
        (fitted, X[~half], y[~half]),
        (fitted, X, y),
    ]:
        with pytest.warns(ErasureWarning, match="rows, labels and weights"):
            ErasableLogisticRegression.from_estimator(model, rows, labels)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "census"])
def test_few_iterations_warn(real_data, name):
    X, y = (a[:5000] for a in real_data[name])
    y = (y >= np.median(y)).astype(int) if name != "census" else y
    for fitted in (LogisticRegression(max_iter=3), sgd(max_iter=1, alpha=1e-3)):
        with pytest.warns(ErasureWarning, match="more iterations"):
            ErasableLogisticRegression.from_estimator(fitted.fit(X, y), X, y)
    with pytest.warns(ErasureWarning, match="more iterations"):
        ErasableLogisticRegression(max_iter=3).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "census"])
def test_a_gradient_that_erasures_remove_does_not_warn(real_data, name):
    """Without a warning, the next erasure takes a model trained on other rows to its minimum."""
    X, y = (a[:5000] for a in real_data[name])
    half = np.random.default_rng(0).random(len(y)) < 0.5
    fitted = converged(C=0.1).fit(X[half], y[half])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = ErasableLogisticRegression.from_estimator(fitted, X, y, curvature="fisher")
    assert (made._erasure_state.residual is None) == bool(caught)
    if not caught:
        with may_warn(LONG_STEP):  # the step removes the gradient that is left, too
            made.unlearn(X[:1], y[:1])
        retrained = converged(C=0.1).fit(X[1:], y[1:])
        assert parameter_distance(fitted, made, retrained) < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "labels"])
def test_nets(real_data, name):
    """Nets do not warn after any length of training; untrained nets and permuted labels do."""
    X, y = real_data["digits" if name == "labels" else name]
    y = np.column_stack([y % 2, y > 4, y == 3]).astype(int) if name == "labels" else y
    options = {"unlearn_epsilon": 1.0, "structure": "diagonal"}
    rng = np.random.default_rng(0)
    for params in ({}, {"max_iter": 50}, {"solver": "lbfgs", "max_iter": 500}, {"alpha": 3.0}):
        fitted = MLPClassifier(random_state=0, **params).fit(X, y)
        ErasableMLPClassifier.from_estimator(fitted, X, y, **options)
        with pytest.warns(ErasureWarning, match="shares of the classes"):
            ErasableMLPClassifier.from_estimator(fitted, X, rng.permutation(y), **options)
    hardly = MLPClassifier(random_state=0, max_iter=1, learning_rate_init=1e-6).fit(X, y)
    with pytest.warns(ErasureWarning, match="train it further"):
        ErasableMLPClassifier.from_estimator(hardly, X, y, **options)


def test_the_model_shares_no_memory_with_its_origin():
    """SGDClassifier trains in place: a model made from it must not change with it."""
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    sgd = SGDClassifier(loss="log_loss", max_iter=2000, tol=1e-6, random_state=0).fit(X, y)
    with may_warn(NOT_A_MINIMUM):  # stochastic gradients end near it, which is enough here
        model = ErasableLogisticRegression.from_estimator(sgd, X, y)
    before = model.coef_.copy()
    sgd.partial_fit(X[:50], 1 - y[:50])
    assert np.array_equal(model.coef_, before)


def test_the_final_model_of_a_search_ignores_intercept_scaling():
    """scikit-learn fits it with scaling 1: the intercept is penalised as every coefficient is."""
    X, y = load_breast_cancer(return_X_y=True)
    X, params = scale(X), {"solver": "liblinear", "tol": 1e-8, "max_iter": 1000}
    search = LogisticRegressionCV(**{**CV, "Cs": [0.02]}, **params, intercept_scaling=20, cv=3).fit(
        X, y
    )
    clf = ErasableLogisticRegression.from_estimator(search, X, y, curvature="fisher")
    clf.unlearn(X[:9], y[:9])
    retrained = LogisticRegression(C=0.02, **params).fit(X[9:], y[9:])
    assert parameter_distance(search, clf, retrained) < 0.1


class SmallNet(ErasableMLPClassifier):
    """A subclass that fixes parameters of the parent class."""

    def __init__(self, alpha=1e-3, random_state=0):
        super().__init__(
            (4,), "tanh", solver="lbfgs", max_iter=50, alpha=alpha, random_state=random_state
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_subclass_keeps_the_parameters_that_it_fixes(binary):
    X, y = binary
    net = SmallNet().fit(X, y)
    plain = net.to_plain()
    assert plain.activation == "tanh"
    assert np.array_equal(plain.predict_proba(X), net.predict_proba(X))
    assert list(vars(plain)) == [name for name in vars(net) if name in vars(plain)]
    with pytest.raises(TypeError, match="activation"):
        SmallNet.from_estimator(plain, X, y)  # it cannot take the activation of the fitted model
