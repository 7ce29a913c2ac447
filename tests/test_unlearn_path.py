"""The parameters over eps equal the parameters after `unlearn` on a copy, one eps at a time."""

from copy import deepcopy

import joblib
import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    unlearn,
    unlearn_path,
)
from sklearn_ssse._composites import erasable_models

S = slice(0, 6)
EPSILONS = [0.25, "auto", 1.0, "0.5*auto"]


def fisher(**params):
    return ErasableLogisticRegression(curvature="fisher", **params)


def net(**params):
    return ErasableMLPClassifier((4,), solver="lbfgs", max_iter=60, random_state=0, **params)


def data(seed=0, n=120, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(dtype)
    y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=n) > 0).astype(int)
    y += X[:, 3] > 1
    return X, y


def outputs(y):
    return np.column_stack([y == 0, y == 1, y == 2]).astype(int)


def all_parameters(estimator):
    return np.concatenate([model._family().theta for model in erasable_models(estimator)])


CASES = {
    "empirical": ErasableLogisticRegression(),
    "binary": fisher(C=0.1),
    "without leave-out": fisher(leave_out=False, fit_intercept=False),
    "second order": fisher(order=2),
    "blocks": ErasableLogisticRegression(structure="block"),
    "net": net(),
    "net with fisher": net(curvature="fisher"),
    "pipeline": make_pipeline(StandardScaler(), fisher()),
    "outputs": make_pipeline(StandardScaler(), MultiOutputClassifier(ErasableLogisticRegression())),
    "outputs one by one": MultiOutputClassifier(fisher(order=2)),
    "one against the rest": OneVsRestClassifier(ErasableLogisticRegression()),
    "one against one": OneVsOneClassifier(ErasableLogisticRegression()),
    "vote": VotingClassifier([("a", fisher()), ("b", ErasableLogisticRegression())]),
    "bagging": BaggingClassifier(fisher(), n_estimators=3, random_state=0),
}


@pytest.mark.filterwarnings("ignore::sklearn_ssse.ErasureWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CASES)
def test_equals_an_erasure_for_each_eps(name):
    X, y = data()
    y = outputs(y) if name.startswith("outputs") else y
    y = np.minimum(y, 1) if name == "binary" else y
    params = {"positions": np.arange(6)} if name == "bagging" else {}
    model = CASES[name].fit(X, y)
    before = joblib.hash(model)
    path = unlearn_path(model, X[S], y[S], EPSILONS, **params)
    models = unlearn_path(model, X[S], y[S], EPSILONS, as_models=True, **params)
    assert joblib.hash(model) == before
    assert np.ptp(path, axis=0).max() > 0
    for eps, theta, plain in zip(EPSILONS, path, models, strict=True):
        erased = unlearn(deepcopy(model), X[S], y[S], eps, **params)
        np.testing.assert_allclose(theta, all_parameters(erased), rtol=1e-9, atol=1e-11)
        assert not erasable_models_of(plain)
        expected = np.array(erased.predict(X))
        np.testing.assert_array_equal(plain.predict(X), expected)
        if hasattr(erased, "predict_proba"):
            np.testing.assert_allclose(plain.predict_proba(X), erased.predict_proba(X), atol=1e-9)


def erasable_models_of(estimator):
    """Erasable models inside a composite of plain models."""
    try:
        return erasable_models(estimator)
    except TypeError:  # scikit-learn's own class, which `unlearn` does not take
        return []


@pytest.mark.parametrize(
    ("model", "parent"), [(fisher(), LogisticRegression), (net(), MLPClassifier)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_method_equals_the_function(model, parent):
    X, y = data()
    model.fit(X, y)
    path = model.unlearn_path(X[S], y[S], EPSILONS)
    assert np.array_equal(path, unlearn_path(model, X[S], y[S], EPSILONS))
    plain = model.unlearn_path(X[S], y[S], [0.25], as_models=True)
    assert type(plain[0]) is parent
    assert not {"_optimizer", "curvature_", "erasures_"} & vars(plain[0]).keys()


def test_single_precision():
    X, y = data(dtype=np.float32)
    model = ErasableLogisticRegression().fit(X, y)
    small, large = model.unlearn_path(X[S], y[S], [1e-3, 1.0])
    precision = model.coef_.dtype  # scikit-learn 1.8 stores float64
    assert np.array_equal(small, small.astype(precision))
    erased = deepcopy(model).unlearn(X[S], y[S], 1.0)
    np.testing.assert_allclose(large, all_parameters(erased), rtol=1e-6)


def test_weights_and_groups():
    X, y = data()
    weight = np.linspace(0.5, 2.0, len(y))
    people = np.arange(len(y)) % 10
    pipe = make_pipeline(fisher()).fit(X, y, erasablelogisticregression__sample_weight=weight)
    rows = {"sample_weight": weight, "groups": people, "forget": [3, 4]}
    (theta,) = unlearn_path(pipe, X, y, [1.0], **rows)
    erased = unlearn(deepcopy(pipe), X, y, 1.0, **rows)
    np.testing.assert_allclose(theta, all_parameters(erased), rtol=1e-9)


def test_an_eps_that_unlearn_refuses_is_on_the_path():
    X, y = data()
    model = ErasableLogisticRegression().fit(X, y)
    with pytest.raises(ErasureError, match="log-odds"):
        deepcopy(model).unlearn(X[S], y[S], 1e4)
    near, far = model.unlearn_path(X[S], y[S], [1.0, 1e4])
    start = all_parameters(model)
    np.testing.assert_allclose(far - start, 1e4 * (near - start), rtol=1e-6)


def test_no_rows():
    X, y = data()
    model = fisher().fit(X, y)
    with pytest.warns(ErasureWarning, match="row"):
        path = model.unlearn_path(X[:0], y[:0], [0.5, "auto"])
    assert np.array_equal(path, np.tile(all_parameters(model), (2, 1)))


def test_wrong_arguments_are_refused():
    X, y = data()
    model = fisher().fit(X, y)
    with pytest.raises(ErasureError, match="epsilons must hold at least one value"):
        model.unlearn_path(X[S], y[S], [])
    with pytest.raises(ErasureError, match="epsilon must be a positive number"):
        unlearn_path(model, X[S], y[S], [0.5, -1.0])


def test_a_type_that_a_third_party_registered_is_refused():
    class Own(LogisticRegression):
        pass

    @unlearn.register(Own)
    def unlearn_own(estimator, X, y, epsilon=None, *, sample_weight=None):
        return estimator

    X, y = data()
    with pytest.raises(TypeError, match="registered with `unlearn` alone"):
        unlearn_path(Own().fit(X, y), X[S], y[S], [1.0])


def test_a_certified_model_takes_no_shorter_step():
    X, y = data()
    model = fisher(C=0.01, certify=(1.0, 1e-4), certify_std=1.0).fit(X, np.minimum(y, 1))
    rows = X[S], np.minimum(y, 1)[S]
    (theta,) = model.unlearn_path(*rows, [1.0])
    with pytest.raises(ErasureError, match="step size of a certified model must be 1"):
        model.unlearn_path(*rows, [0.5, 1.0])
    np.testing.assert_allclose(theta, all_parameters(model.unlearn(*rows)), rtol=1e-9)
