"""The distance ratio in both norms, against a Hessian by finite differences."""

from copy import deepcopy

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    SGDClassifier,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_class_weight

from sklearn_ssse import ErasableLogisticRegression, ErasureError, parameter_distance, unlearn
from sklearn_ssse._families import pack
from tests import reference
from tests.reference import theta


def trio(X, y, S, **params):
    """The original, the erased and the retrained model for the forget rows S."""
    keep = np.setdiff1d(np.arange(len(y)), S)
    original = ErasableLogisticRegression(**params).fit(X, y)
    erased = clone(original).fit(X, y).unlearn(X[S], y[S])
    return original, erased, ErasableLogisticRegression(**params).fit(X[keep], y[keep])


def with_labels(X, y):
    """A problem of three attributes."""
    return X, np.column_stack([y, X[:, 0] + X[:, 1] > 0, X[:, 2] > 0.5]).astype(int)


def test_parameter_distance(binary, four_classes):
    X, y = binary
    original, erased, retrained = trio(X, y, np.arange(30))
    a, b, c = theta(original), theta(erased), theta(retrained)
    assert parameter_distance(original, erased, retrained) == pytest.approx(
        np.linalg.norm(b - c) / np.linalg.norm(a - c)
    )
    assert parameter_distance(original, original, retrained) == 1.0
    assert parameter_distance(original, retrained, retrained) == 0.0
    assert np.isnan(parameter_distance(original, erased, original))
    pipes = [Pipeline([("clf", model)]) for model in (original, erased, retrained)]
    assert parameter_distance(*pipes) == parameter_distance(original, erased, retrained)
    with pytest.raises(ValueError, match="same number"):
        parameter_distance(original, erased, trio(*four_classes, np.arange(9))[0])


def ratio_in(H, vectors):
    """The distance ratio of three vectors of parameters in the norm of H."""
    original, erased, retrained = vectors
    left = erased - retrained
    away = original - retrained
    return np.sqrt((left @ H @ left) / (away @ H @ away))


def in_hessian(models, X, y=None, **params):
    return parameter_distance(*models, X, y, norm="hessian", **params)


@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"C": 0.1, "fit_intercept": False},
        {"C": np.inf},
        {"class_weight": "balanced"},
        {"class_weight": {0: 3.0, 1: 0.5}},
    ],
)
def test_hessian_norm_against_differences(binary, four_classes, params, as_csr):
    """The slow twin has the whole Hessian; plain and erasable models have the same ratio."""
    for X, y in (binary, four_classes):
        S = np.arange(30)
        models = trio(X, y, S, **params)
        X, y = X[30:], y[30:]
        weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
        given = params.get("class_weight")
        frozen = compute_class_weight(given, classes=np.unique(y), y=y)
        twin = reference.penalised_hessian(models[2], X, y, weight * frozen[y])
        expected = ratio_in(twin, [theta(model) for model in models])
        rows = sparse.csr_matrix(X) if as_csr else X
        own = in_hessian(models, rows, y, sample_weight=weight)
        assert own == pytest.approx(expected, rel=1e-5)
        if given != "balanced":  # a plain model is balanced anew on the weighted rows
            plain = [model.to_plain() for model in models]
            assert in_hessian(plain, rows, y, sample_weight=weight) == pytest.approx(own)


def test_hessian_norm_of_the_penalised_intercept_of_liblinear(binary):
    X, y = binary
    models = trio(X, y, np.arange(30), solver="liblinear", intercept_scaling=0.2)
    H = reference.penalised_hessian(models[2], X[30:], y[30:])
    H[-1, -1] += 1 / 0.2**2
    assert in_hessian(models, X[30:]) == pytest.approx(
        ratio_in(H, [theta(model) for model in models]), rel=1e-5
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hessian_norm_of_other_linear_classifiers(binary):
    """The objective of a search or of SGD is the objective of a logistic regression."""
    X, y = binary
    models = trio(X, y, np.arange(30), C=0.1)
    others = [LogisticRegressionCV(Cs=[0.1]), SGDClassifier("log_loss", alpha=1 / (0.1 * 120))]
    for other in others:
        other.fit(X[30:], y[30:])
        for name in ("coef_", "intercept_"):
            setattr(other, name, getattr(models[2], name))
        assert in_hessian((*models[:2], other), X[30:]) == pytest.approx(in_hessian(models, X[30:]))


@pytest.mark.parametrize("kind", ["binary", "classes", "labels"])
def test_hessian_norm_of_nets_against_differences(four_classes, kind):
    X, y = four_classes
    X = X[:80]
    targets = {
        "binary": y[:80] > 1,
        "classes": y[:80],
        "labels": np.column_stack([y[:80] > 1, y[:80] == 2]),
    }
    y = targets[kind].astype(int)
    nets = [
        MLPClassifier((3,), activation="tanh", solver="lbfgs", alpha=2.0, random_state=seed)
        for seed in range(3)
    ]
    models = [net.fit(X, y) for net in nets]
    weight = np.random.default_rng(0).uniform(0.5, 2, 80)
    H = reference.gauss_newton(models[2], X, weight)
    expected = ratio_in(H, [pack(model) for model in models])
    assert in_hessian(models, X, sample_weight=weight) == pytest.approx(expected, rel=1e-6)
    assert in_hessian(models, X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-6)


def test_hessian_norm_of_pipelines_and_many_outputs(binary):
    """Rows are transformed by the retrained pipeline; squares add up over the outputs."""
    X, Y = with_labels(*binary)
    models = []
    for rows in (slice(None), slice(40, None), slice(20, None)):
        clf = MultiOutputClassifier(LogisticRegression(class_weight="balanced"))
        models.append(make_pipeline(StandardScaler(), clf).fit(X[rows], Y[rows]))
    Z = models[2][0].transform(X[20:])
    left = away = 0.0
    for j, outputs in enumerate(zip(*(model[-1].estimators_ for model in models), strict=True)):
        y = Y[20:, j]
        frozen = compute_class_weight("balanced", classes=np.unique(y), y=y)
        H = reference.penalised_hessian(outputs[2], Z, y, frozen[y])
        vectors = [theta(model) for model in outputs]
        left += (vectors[1] - vectors[2]) @ H @ (vectors[1] - vectors[2])
        away += (vectors[0] - vectors[2]) @ H @ (vectors[0] - vectors[2])
    assert in_hessian(models, X[20:], Y[20:]) == pytest.approx(np.sqrt(left / away), rel=1e-5)
    with pytest.raises(ErasureError, match="y must be given"):
        in_hessian(models, X[20:])


def moved_to(model, params):
    """A copy of a model with other parameters."""
    twin = deepcopy(model)
    vars(twin).update(model._family().attributes(params))
    return twin


def test_laws_of_both_norms(four_classes):
    X, y = four_classes
    original, erased, retrained = trio(X, y, np.arange(30))
    first, last = theta(original), theta(retrained)
    X = X[30:]
    for norm in ("euclidean", "hessian"):

        def ratio(*models, norm=norm):
            return parameter_distance(*models, X, norm=norm)

        assert ratio(original, retrained, retrained) == 0.0
        assert ratio(original, original, retrained) == pytest.approx(1.0)
        assert np.isnan(ratio(retrained, erased, retrained))
        for share in (-0.5, 0.3, 2.0):
            between = moved_to(original, first + share * (last - first))
            assert ratio(original, between, retrained) == pytest.approx(abs(1 - share))
    assert parameter_distance(original, erased, retrained) == np.linalg.norm(
        theta(erased) - last
    ) / np.linalg.norm(first - last)


def test_the_hessian_norm_does_not_depend_on_the_unit_of_a_column(binary):
    """Without a penalty; a weight of 2 is the row twice."""
    X, y = binary
    models = trio(X, y, np.arange(30), C=np.inf, tol=1e-8)
    X = X[30:]
    unit = np.array([1.0, 10.0, 0.1, 100.0, 1.0, 0.5])
    scaled = [moved_to(model, theta(model) / np.append(unit, 1.0)) for model in models]
    own = in_hessian(models, X)
    assert in_hessian(scaled, X * unit) == pytest.approx(own)
    assert parameter_distance(*scaled) != pytest.approx(parameter_distance(*models), rel=0.1)
    weight = np.arange(len(X)) % 3
    assert in_hessian(models, X, sample_weight=weight) == pytest.approx(
        in_hessian(models, np.repeat(X, weight, axis=0))
    )


def test_an_error_in_a_rare_column_is_small_in_the_hessian_norm(binary):
    """A column that is zero in all but two retained rows."""
    X, y = binary
    rare = np.zeros((len(y), 1))
    rare[[40, 80]] = 1.0
    X = np.hstack([X, rare])
    original, _, retrained = trio(X, y, np.arange(30))
    error = np.zeros(theta(original).size)
    error[6] = np.linalg.norm(theta(original) - theta(retrained))
    erased = moved_to(retrained, theta(retrained) + error)
    assert parameter_distance(original, erased, retrained) == pytest.approx(1.0)
    elsewhere = moved_to(retrained, theta(retrained) + np.roll(error, -5))
    ratio = in_hessian((original, erased, retrained), X[30:])
    assert ratio < 0.5 * in_hessian((original, elsewhere, retrained), X[30:])


@pytest.mark.parametrize("params", [{}, {"damping": 0.05}, {"C": np.inf}])
def test_the_hessian_of_a_stored_inverse(binary, four_classes, params):
    for X, y in (binary, four_classes):
        models = trio(X, y, np.arange(30), curvature="fisher", **params)
        own = in_hessian(models, X[30:])
        assert in_hessian(models, None) == pytest.approx(own, rel=1e-5)
        # The inverse of the erased model belongs to the parameters of the fit.
        plain = models[2].to_plain()
        assert in_hessian((*models[:2], plain), None) == pytest.approx(own, rel=0.2)
        pipes = [make_pipeline(model) for model in models]
        assert in_hessian(pipes, None) == in_hessian(models, None)


def test_the_hessians_of_many_stored_inverses(binary):
    X, Y = with_labels(*binary)
    base = MultiOutputClassifier(ErasableLogisticRegression(curvature="fisher"))
    erased = unlearn(clone(base).fit(X, Y), X[:20], Y[:20])
    models = clone(base).fit(X, Y), erased, clone(base).fit(X[20:], Y[20:])
    assert in_hessian(models, None) == pytest.approx(in_hessian(models, X[20:]))


@pytest.mark.parametrize(
    "params",
    [{}, {"curvature": "fisher", "structure": "diagonal"}, {"fisher_batch_size": 5}],
)
def test_the_hessian_norm_needs_rows_or_a_stored_hessian(binary, params):
    X, y = binary
    clf = ErasableLogisticRegression(**params)
    models = [clone(clf).fit(X[rows:], y[rows:]) for rows in (0, 10, 20)]
    with pytest.raises(ErasureError, match="Pass X, the retained rows"):
        in_hessian(models, None)


def test_refused_norms(binary):
    X, y = binary
    models = trio(X, y, np.arange(30))
    with pytest.raises(ValueError, match="norm must be one of euclidean, hessian, got 'fisher'"):
        parameter_distance(*models, norm="fisher")
    others = [Perceptron().fit(X[rows:], y[rows:]) for rows in (0, 1, 2)]
    with pytest.raises(TypeError, match="got Perceptron"):
        in_hessian(others, X)
    lasso = LogisticRegression(l1_ratio=1, solver="saga", tol=0.1).fit(X[30:], y[30:])
    with pytest.raises(ErasureError, match="l1"):
        in_hessian((*models[:2], lasso), X[30:])
    with pytest.raises(ErasureError, match="negative"):
        in_hessian(models, X, sample_weight=np.full(len(y), -1.0))
    with pytest.raises(ValueError, match="6 features"):
        in_hessian(models, X[:, :5])
