"""An output of a MultiOutputClassifier may lose a class: its step, its record, its predictions."""

from copy import deepcopy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ErasureRecord,
    ForgetSetSplit,
    GammaScorer,
    TunedEpsilonCV,
    attribute_auc,
    gamma_score,
    parameter_distance,
    preview_unlearn,
    refresh,
    unlearn,
)
from tests.warned import DAMPED, LONG_STEP, REFRESH, may_warn

EMPIRICAL = ErasableLogisticRegression(C=0.1, fit_intercept=False, unlearn_epsilon=1.0)
FISHER = ErasableLogisticRegression(C=0.1, curvature="fisher", order=1)
MODELS = {"empirical": EMPIRICAL, "fisher": FISHER}
LOST = 1


@pytest.fixture
def data():
    """300 rows of three attributes; 18 rows have the second one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    Y = X[:, :3] + 0.5 * rng.normal(size=(300, 3)) > [0.0, 1.7, 0.5]
    return X, Y.astype(int)


@pytest.fixture
def forget(data):
    rows = np.flatnonzero(data[1][:, LOST] == 1)
    assert 10 < len(rows) < 30
    return rows


def erased(model, X, Y, **params):
    with may_warn(DAMPED, LONG_STEP, REFRESH):
        return unlearn(deepcopy(model), X, Y, **params)


def outputs(pipe):
    return pipe[-1].estimators_


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batched", [True, False], ids=["together", "one by one"])
def test_step_record_and_predictions(data, forget, name, batched):
    X, Y = data
    base = MODELS[name] if batched else make_pipeline(MODELS[name])
    model = MultiOutputClassifier(base).fit(X, Y)
    after = erased(model, X[forget], Y[forget])
    for j in range(3):
        old, new = (part.estimators_[j] for part in (model, after))
        if not batched:
            old, new = old[-1], new[-1]
        (record,) = new.erasures_
        assert record.lost_classes == (("1",) if j == LOST else ())
        assert ErasureRecord.from_json(record.to_json()) == record
        # Equations (1) and (4), with the curvature of single rows written out.
        p = old.predict_proba(X)[:, 1]
        Z = X if name == "empirical" else np.column_stack([X, np.ones(len(X))])
        squares = np.square(p - Y[:, j]) if name == "empirical" else p * (1 - p)
        keep = np.setdiff1d(np.arange(len(X)), forget) if name == "fisher" else np.arange(len(X))
        ridge = len(X) * np.broadcast_to(old.damping_, Z.shape[1])
        A = (squares[keep] * Z[keep].T) @ Z[keep] + np.diag(ridge)
        g = Z[forget].T @ (p - Y[:, j])[forget]
        growth = 1.0 if name == "fisher" else len(X) / (len(X) - len(forget))
        if old._erasure_state.residual is not None:
            g = g - old._erasure_state.residual
        expected = old._family().theta + growth * np.linalg.solve(A, g)
        if not record.damped:
            np.testing.assert_allclose(new._family().theta, expected, rtol=1e-6, atol=1e-9)
    assert np.isfinite(after.predict_proba(X)).all()
    preview = preview_unlearn(model, X[forget], Y[forget])
    assert [record.lost_classes for record in preview] == [(), ("1",), ()]


def test_the_other_outputs_are_close_to_retraining(data, forget):
    X, Y = data
    others = [0, 2]
    keep = np.setdiff1d(np.arange(len(X)), forget)
    model = MultiOutputClassifier(FISHER).fit(X, Y)
    after = erased(model, X[forget], Y[forget])
    for j in others:
        retrained = clone(FISHER).fit(X[keep], Y[keep, j])
        pair = model.estimators_[j], after.estimators_[j]
        assert parameter_distance(*pair, retrained) < 0.1
    without = MultiOutputClassifier(FISHER).fit(X, Y[:, others])
    unlearn(without, X[forget], Y[forget][:, others])
    for j, twin in zip(others, without.estimators_, strict=True):
        np.testing.assert_allclose(after.estimators_[j].coef_, twin.coef_, rtol=1e-9)


def test_both_paths_agree(data, forget):
    X, Y = data
    model = MultiOutputClassifier(EMPIRICAL).fit(X, Y)
    twin = MultiOutputClassifier(make_pipeline(EMPIRICAL)).fit(X, Y)
    together, singly = (erased(part, X[forget], Y[forget]) for part in (model, twin))
    for one, other in zip(together.estimators_, singly.estimators_, strict=True):
        np.testing.assert_allclose(one.coef_, other[-1].coef_, rtol=1e-9)
        assert one.erasures_[0].lost_classes == other[-1].erasures_[0].lost_classes
        assert np.array_equal(one._erasure_state.class_mass, other[-1]._erasure_state.class_mass)


def test_a_model_of_a_lost_class_can_be_refreshed_and_erased_from(data, forget):
    X, Y = data
    model = make_pipeline(StandardScaler(), MultiOutputClassifier(FISHER)).fit(X, Y)
    after = erased(model, X[forget], Y[forget])
    keep = np.setdiff1d(np.arange(len(X)), forget)
    few = keep[:2]
    with pytest.raises(ErasureError, match="Call `refresh`"):
        unlearn(after, X[few], Y[few])
    refresh(after, X[keep], Y[keep])
    with may_warn(LONG_STEP):  # the output of one class has no minimum
        unlearn(after, X[few], Y[few])
    assert [model.erasures_[-1].lost_classes for model in outputs(after)] == [(), (), ()]
    rest = np.setdiff1d(keep, few)
    expected = clone(FISHER).fit(StandardScaler().fit(X).transform(X[rest]), Y[rest, 0])
    np.testing.assert_allclose(outputs(after)[0].coef_, expected.coef_, rtol=1e-2)
    assert after.predict_proba(X)[LOST][:, 1].max() < 1e-3


def test_a_single_model_is_refused(data, forget):
    X, Y = data
    model = clone(FISHER).fit(X, Y[:, LOST])
    with pytest.raises(ErasureError, match="at least one row of every class"):
        model.unlearn(X[forget], Y[forget, LOST])
    twice = np.r_[forget, forget[:1]]
    outputs_model = MultiOutputClassifier(FISHER).fit(X, Y)
    with pytest.raises(ErasureError, match="not take more rows of a class than the model holds"):
        unlearn(outputs_model, X[twice], Y[twice])


def retrained_by_hand(base, X, Y, keep):
    """A model of the retained rows, in which the output of one class predicts that class."""
    model = MultiOutputClassifier(clone(base)).fit(X[keep], np.delete(Y[keep], LOST, axis=1))
    constant = DummyClassifier().fit(X[keep], Y[keep, LOST])
    model.estimators_.insert(LOST, constant)
    model.classes_ = [output.classes_ for output in model.estimators_]
    return model


@pytest.mark.parametrize("metric", ["roc_auc", "probability"])
def test_gamma_and_distance_by_hand(data, forget, metric):
    X, Y = data
    keep = np.setdiff1d(np.arange(len(X)), forget)
    original = MultiOutputClassifier(EMPIRICAL).fit(X, Y)
    retrained = retrained_by_hand(EMPIRICAL, X, Y, keep)
    S = np.r_[forget, keep[:30]]  # rows that define the area of the output of one class
    after = erased(original, X[forget], Y[forget])
    found = gamma_score(original, after, retrained, X[S], Y[S], metric=metric)
    p = []
    for model in (original, after, retrained):
        proba = model.predict_proba(X[S])
        p.append(np.column_stack([q[:, 1] if q.shape[1] > 1 else 0 * q for q in proba]))
    if metric == "roc_auc":
        p = [np.array([roc_auc_score(Y[S, j], q[:, j]) for j in range(3)]) for q in p]
        p[2][LOST] = 0.0
        assert np.allclose(attribute_auc(retrained, X[S], Y[S], classes=original.classes_), p[2])
    to_original, to_retrained = np.abs(p[1] - p[0]).sum(), np.abs(p[1] - p[2]).sum()
    assert found == pytest.approx(to_original / (to_original + to_retrained))
    others = [0, 2]
    theta = [
        np.concatenate([model.estimators_[j].coef_.ravel() for j in others])
        for model in (original, after, retrained)
    ]
    ratio = np.linalg.norm(theta[1] - theta[2]) / np.linalg.norm(theta[0] - theta[2])
    assert parameter_distance(original, after, retrained) == pytest.approx(ratio)
    by_hessian = parameter_distance(original, after, retrained, X[keep], Y[keep], norm="hessian")
    assert 0 < by_hessian < 2


@pytest.mark.parametrize("base", [FISHER, make_pipeline(StandardScaler(), EMPIRICAL)])
@pytest.mark.parametrize("metric", ["roc_auc", "probability"])
def test_searches_cope(data, forget, base, metric):
    X, Y = data
    base = MultiOutputClassifier(base)
    cv = ForgetSetSplit([0.5, 1.0], labels=LOST, random_state=0)
    tuned = TunedEpsilonCV(base, epsilons=[0.5, 1.0], cv=cv, metric=metric, trust_best=True)
    tuned.fit(X, Y)
    (keep, S) = list(cv.split(X, Y))[1]
    assert np.array_equal(S, forget)
    final = base.estimator
    retrained = retrained_by_hand(final, X, Y, keep)
    original = clone(base).fit(X, Y)
    for i, eps in enumerate([0.5, 1.0]):
        after = erased(original, X[S], Y[S], epsilon=eps)
        expected = gamma_score(original, after, retrained, X[S], Y[S], metric=metric)
        assert tuned.cv_results_["split1_test_score"][i] == pytest.approx(expected)
        expected = parameter_distance(original, after, retrained)
        assert tuned.cv_results_["split1_distance_ratio"][i] == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(tuned.cv_results_["mean_distance_ratio_hessian"]).all()
    scorer = GammaScorer(X, Y, metric=metric)
    candidate = retrained.set_params(**dict.fromkeys(names_of_epsilon(retrained), 1.0))
    with may_warn(DAMPED, LONG_STEP, REFRESH):
        score = scorer(candidate, X[S], Y[S])
    assert score == pytest.approx(tuned.cv_results_["split1_test_score"][1])


def names_of_epsilon(estimator):
    return [name for name in estimator.get_params() if name.endswith("unlearn_epsilon")]


def test_all_outputs_of_one_class(data, forget):
    X, Y = data
    y = Y[:, [LOST]]
    base = MultiOutputClassifier(FISHER)
    cv = ForgetSetSplit([0.5, 1.0], labels=0, random_state=0)
    tuned = TunedEpsilonCV(base, epsilons=[1.0], cv=cv, metric="probability").fit(X, y)
    assert np.isnan(tuned.cv_results_["split1_distance_ratio"]).all()
    assert 0 < tuned.best_score_ < 1
