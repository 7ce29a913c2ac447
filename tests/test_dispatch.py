"""``unlearn`` for pipelines and many outputs."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_ssse import ErasableLogisticRegression, ErasureError, learn, unlearn
from sklearn_ssse._composites import erasable_models
from tests.check_erasable import snapshot
from tests.reference import theta
from tests.warned import NO_ROWS, may_warn


def test_bare_estimator(binary):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y)
    expected = clone(clf).fit(X, y).unlearn(X[:4], y[:4], 0.3)
    assert unlearn(clf, X[:4], y[:4], 0.3) is clf
    assert np.array_equal(theta(clf), theta(expected))
    with pytest.raises(TypeError, match="takes no depth, positions"):
        unlearn(clf, X[4:6], y[4:6], positions=[4, 5], depth=1)
    with pytest.raises(ValueError, match="preprocessing must be one of"):
        unlearn(clf, X[4:6], y[4:6], preprocessing="drop")


def test_pipeline_applies_its_steps(binary):
    X, y = binary
    pipe = make_pipeline(
        FunctionTransformer(np.asarray),
        make_column_transformer((StandardScaler(), [0, 1]), remainder="passthrough"),
        "passthrough",
        make_pipeline(StandardScaler(), ErasableLogisticRegression()),
    ).fit(X, y)
    inner = pipe[-1]
    Z = inner[0].transform(pipe[1].transform(X))
    expected = ErasableLogisticRegression().fit(Z, y).unlearn(Z[:6], y[:6])
    before = snapshot(pipe[1])
    assert unlearn(pipe, X[:6], y[:6]) is pipe
    assert np.allclose(theta(inner[-1]), theta(expected), rtol=1e-12)
    assert snapshot(pipe[1]) == before
    (record,) = inner[-1].erasures_
    assert record.kept_by == ("columntransformer", "standardscaler")
    before = snapshot(pipe)
    with may_warn(NO_ROWS):
        unlearn(pipe, X[:0], y[:0])
    assert snapshot(pipe) == before


def test_many_outputs_are_atomic(binary):
    X, y = binary
    Y = np.column_stack(
        [y, (np.arange(len(y)) < 4).astype(int)]
    )  # the second output has four rows of class 1
    for base in (
        ErasableLogisticRegression(),
        make_pipeline(StandardScaler(), ErasableLogisticRegression()),
    ):
        model = MultiOutputClassifier(base).fit(X, Y)
        before = snapshot(model)
        twice = [0, 1, 2, 3, 0]
        with pytest.raises(ErasureError, match="not take more rows of a class"):
            unlearn(model, X[twice], Y[twice])
        assert snapshot(model) == before
        single = clone(base).fit(X, Y[:, 0])
        unlearn(single, X[:3], Y[:3, 0])
        unlearn(model, X[:3], Y[:3])
        assert np.allclose(model.predict_proba(X)[0], single.predict_proba(X), rtol=1e-12)
        with pytest.raises(ValueError, match="2 outputs"):
            unlearn(model, X[:3], Y[:3, 0])


def test_refused_types(binary):
    X, y = binary
    with pytest.raises(TypeError, match="from_estimator"):
        unlearn(LogisticRegression().fit(X, y), X[:3], y[:3])
    with pytest.raises(TypeError, match="got LogisticRegression"):
        unlearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), X[:3], y[:3])
    with pytest.raises(ValueError, match="not fitted"):
        unlearn(Pipeline([("clf", ErasableLogisticRegression())]), X[:3], y[:3])


def test_third_parties_register(binary):
    class Box:
        def __init__(self, inner):
            self.inner = inner

    @unlearn.register(Box)
    def unlearn_box(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
        unlearn(estimator.inner, X, y, epsilon, sample_weight=sample_weight, **params)
        return estimator

    X, y = binary
    box = Box(ErasableLogisticRegression().fit(X, y))
    unlearn(box, X[:3], y[:3], request_id="case 9")
    assert box.inner.n_samples_remaining_ == len(y) - 3
    assert box.inner.erasures_[-1].request_id == "case 9"


@pytest.mark.parametrize("preprocessing", ["keep", "downdate"])
def test_a_step_that_is_not_fitted_is_named(binary, preprocessing):
    X, y = binary
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression().fit(X, y))
    with pytest.raises(NotFittedError, match="StandardScaler"):
        unlearn(pipe, X[:3], y[:3], preprocessing=preprocessing)
    with pytest.raises(NotFittedError, match="StandardScaler"):
        learn(pipe, X[:3], y[:3])


def test_one_model_by_two_routes_is_erased_from_once(binary):
    """The record names the steps of both routes; the rows are those of one of them."""
    X, y = binary
    model = ErasableLogisticRegression().fit(StandardScaler().fit_transform(X), y)
    votes = VotingClassifier(
        [
            ("one", Pipeline([("scale", StandardScaler()), ("model", FrozenEstimator(model))])),
            ("two", Pipeline([("again", StandardScaler()), ("model", FrozenEstimator(model))])),
        ]
    ).fit(X, y)
    unlearn(votes, X[:4], y[:4])
    (record,) = {id(r): r for m in erasable_models(votes) for r in m.erasures_}.values()
    assert record.n_erased == 4
    assert record.kept_by == ("scale", "again")
