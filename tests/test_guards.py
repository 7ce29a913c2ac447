"""Guards that need no data: rows that were never training rows, and steps that may be wrong."""

import copy
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    preview_unlearn,
    unlearn,
)
from sklearn_ssse._erasure import StepSize, step_size
from sklearn_ssse._erasure.row_limits import NORM_TOLERANCE
from tests.check_erasable import snapshot
from tests.warned import DAMPED, LARGE_EPSILON, LONG_STEP, STALE, TOO_LONG, may_warn

CURVATURES = ["fisher", "empirical_fisher"]
UNKNOWN = "Forget rows must be training rows"
RUINED = "it would ruin the model"


def data(load=load_breast_cancer):
    X, y = load(return_X_y=True)
    return scale(X), y


def models():
    """Fitted models of every kind on their rows, by name."""
    found = {}
    for name, load in {"binary": load_breast_cancer, "softmax": load_wine}.items():
        X, y = data(load)
        for curvature in CURVATURES:
            model = ErasableLogisticRegression(curvature=curvature).fit(X, y)
            found[f"{name} {curvature}"] = (model, X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net = ErasableMLPClassifier((8,), max_iter=100, random_state=0).fit(X, y)
        found[f"{name} net"] = (net, X, y)
    return found


MODELS = models()


@pytest.fixture(params=MODELS)
def fitted(request):
    model, X, y = MODELS[request.param]
    return copy.deepcopy(model), X, y


def own_log_odds(model, X, y):
    """Log-odds of the labels, from the predicted probabilities."""
    log_p = model.predict_log_proba(X)
    own = np.searchsorted(model.classes_, y)[:, np.newaxis] == np.arange(log_p.shape[1])
    return log_p[own] - logsumexp(np.where(own, -np.inf, log_p), axis=1)


def refused(model, X, y, match, *args, **kwargs):
    """Check that a call is refused, and that neither it nor its preview changes the model."""
    before = snapshot(model)
    for verb in (unlearn, preview_unlearn):
        with pytest.raises(ErasureError, match=match):
            verb(model, X, y, *args, **kwargs)
    assert snapshot(model) == before


def test_the_limits_are_those_of_the_training_rows(fitted):
    model, X, y = fitted
    limits = model._erasure_state.limits
    assert limits.largest_norm == pytest.approx(np.linalg.norm(X, axis=1).max())
    log_odds = own_log_odds(model, X, y)
    assert limits.least_log_odds == pytest.approx(log_odds.min(), rel=1e-6)
    assert limits.mean_log_odds == pytest.approx(np.abs(log_odds).mean(), rel=1e-6)


def test_rows_without_weight_set_no_limit():
    X, y = data()
    weight = np.ones(len(y))
    weight[np.linalg.norm(X, axis=1).argmax()] = 0.0
    model = ErasableLogisticRegression().fit(X, y, weight)
    expected = np.linalg.norm(X[weight > 0], axis=1).max()
    assert model._erasure_state.limits.largest_norm == pytest.approx(expected)


@pytest.mark.parametrize("convert", [np.asarray, np.float32, sparse.csr_matrix, sparse.csr_array])
def test_every_training_row_is_accepted(convert):
    """Also the rows at the limits, and rows that were rounded."""
    X, y = data()
    for curvature in CURVATURES:
        model = ErasableLogisticRegression(curvature=curvature).fit(X, y)
        rows = convert(X)
        with may_warn(LONG_STEP, DAMPED):
            for i in range(0, len(y), 7):
                copy.copy(model).unlearn(rows[i : i + 1], y[i : i + 1])
            for i in (np.linalg.norm(X, axis=1).argmax(), own_log_odds(model, X, y).argmin()):
                copy.copy(model).unlearn(rows[i : i + 1], y[i : i + 1])


def test_rows_that_were_not_scaled_are_refused(fitted):
    model, X, y = fitted
    raw = (load_wine if len(model.classes_) == 3 else load_breast_cancer)(return_X_y=True)[0]
    refused(model, raw[:3], y[:3], f"{UNKNOWN}, got 3 of 3 with a larger norm")
    twice = StandardScaler().fit(raw).transform(X)
    assert (np.linalg.norm(twice, axis=1) > model._erasure_state.limits.largest_norm).all()
    refused(model, twice[:3], y[:3], UNKNOWN)


@pytest.mark.parametrize("value", [50.0, 1e3, 1e30, 1e155, 1e300])
def test_a_cell_that_is_too_large_is_refused(fitted, value):
    model, X, y = fitted
    rows = X[:4].copy()
    rows[2, 1] = value
    refused(model, rows, y[:4], f"{UNKNOWN}, got 1 of 4")


def test_wrong_labels_are_refused(fitted):
    model, X, y = fitted
    wrong = np.roll(model.classes_, 1)[np.searchsorted(model.classes_, y)]
    refused(model, X[:10], wrong[:10], "a label to which the model gives a lower probability")


def test_the_limits_hold_for_the_models_inside():
    X, y = load_wine(return_X_y=True)
    raw = X[:5]
    clf = ErasableLogisticRegression(order=1)
    pipe = make_pipeline(StandardScaler(), clf).fit(X, y)
    unlearn(copy.deepcopy(pipe), raw, y[:5])
    refused(pipe, pipe[0].transform(raw), y[:5], UNKNOWN)  # scaled twice
    refused(pipe[-1], raw, y[:5], UNKNOWN)
    X = scale(X)
    refused(OneVsRestClassifier(clf).fit(X, y), raw, y[:5], r"In class .*Forget rows")
    Y = np.column_stack([y == 0, y == 1])
    refused(MultiOutputClassifier(clf).fit(X, Y), raw, Y[:5], r"In output 0.*Forget rows")


def test_epsilon_by_hand_passes_a_doubt_and_no_refusal():
    X, y = data()
    for curvature in CURVATURES:
        model = ErasableLogisticRegression(curvature=curvature).fit(X, y)
        refused(model, X[:10], y[:10], RUINED, 1e6)
        with pytest.warns(ErasureWarning, match=LARGE_EPSILON), may_warn(LONG_STEP):
            model.unlearn(X[:10], y[:10], 10 * model.unlearn_epsilon_)
        assert model.n_samples_remaining_ == len(y) - 10


def test_eps_as_a_multiple_is_judged_like_a_number():
    X, y = data()
    model = ErasableLogisticRegression().fit(X, y)
    with pytest.warns(ErasureWarning, match="got 3 times"):
        copy.copy(model).unlearn(X[:10], y[:10], "3*auto")
    eps = model.preview_unlearn(X[:10], y[:10]).epsilon
    with pytest.warns(ErasureWarning, match="got 3 times"):
        copy.copy(model).unlearn(X[:10], y[:10], 3 * eps)
    copy.copy(model).unlearn(X[:10], y[:10], 2.4 * eps)


def test_a_doubt_as_an_error_changes_nothing():
    X, y = data()
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    before = snapshot(model)
    with pytest.raises(ErasureWarning):  # warnings are errors in this suite
        model.unlearn(X[:10], y[:10], 5.0)
    assert snapshot(model) == before


def test_the_record_has_the_change_of_the_log_odds(fitted):
    model, X, y = fitted
    before = own_log_odds(model, X[:6], y[:6])
    with may_warn(LONG_STEP, TOO_LONG):
        model.unlearn(X[:6], y[:6])
    change = np.abs(own_log_odds(model, X[:6], y[:6]) - before)
    record = model.erasures_[-1]
    assert record.log_odds_change == pytest.approx(change.mean(), rel=1e-5)
    assert record.largest_log_odds_change == pytest.approx(change.max(), rel=1e-5)


def test_outputs_together_warn_as_one_by_one():
    X, y = data()
    Y = np.column_stack([y, X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    clf = ErasableLogisticRegression(curvature="fisher", order=1, C=100)
    many = MultiOutputClassifier(clf).fit(X, Y)
    rows = np.argsort(own_log_odds(many.estimators_[1], X, Y[:, 1]))[:5]

    def texts(erase):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            erase()
        return {str(w.message) for w in caught}

    def one_by_one():
        for model, labels in zip(copy.deepcopy(many).estimators_, Y.T, strict=True):
            model.unlearn(X[rows], labels[rows])

    together = texts(lambda: unlearn(copy.deepcopy(many), X[rows], Y[rows]))
    assert together == texts(one_by_one)
    assert any(text.startswith(LONG_STEP) for text in together)


def test_learned_rows_extend_the_limits():
    X, y = data()
    row = 1.8 * X[np.linalg.norm(X, axis=1).argmax()][np.newaxis]
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    label = model.predict(row)
    refused(model, row, label, UNKNOWN)
    with may_warn(LONG_STEP):
        model.learn(row, label).unlearn(row, label)
    with may_warn(LONG_STEP), pytest.warns(ErasureWarning, match="Added rows should be scaled"):
        model.learn(3 * row, label)


def test_a_net_that_learns_wrong_labels_warns():
    model, X, y = MODELS["softmax net"]
    wrong = np.roll(model.classes_, 1)[np.searchsorted(model.classes_, y)]
    with may_warn(TOO_LONG), pytest.warns(ErasureWarning, match=LONG_STEP):
        copy.deepcopy(model).learn(X[:20], wrong[:20])


def test_a_refresh_computes_the_limits_anew():
    X, y = data()
    keep = np.linalg.norm(X, axis=1) < 10
    model = ErasableLogisticRegression().fit(X, y)
    with may_warn(LONG_STEP, DAMPED):
        model.unlearn(X[~keep], y[~keep])
    assert model._erasure_state.limits.largest_norm > 10
    model.refresh(X[keep], y[keep])
    assert model._erasure_state.limits.largest_norm < 10


def test_the_limits_follow_the_columns_of_a_scaler():
    """After a downdate of the scaler every retained row is still accepted."""
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher"))
    pipe.fit(X, y)
    with may_warn(LONG_STEP):
        unlearn(pipe, X[:10], y[:10], preprocessing="downdate")
        limit = NORM_TOLERANCE * pipe[-1]._erasure_state.limits.largest_norm
        assert (np.linalg.norm(pipe[0].transform(X[10:]), axis=1) < limit).all()
        for i in range(10, 150, 10):
            unlearn(copy.deepcopy(pipe), X[i : i + 1], y[i : i + 1], preprocessing="downdate")


@pytest.mark.parametrize("curvature", CURVATURES)
def test_no_row_of_a_stream_is_taken_for_another(curvature):
    X, y = data(load_iris)
    model = ErasableLogisticRegression(curvature=curvature, C=100).fit(X, y)
    with may_warn(LONG_STEP, DAMPED, "A refresh of the model"):
        for i in np.random.default_rng(0).permutation(150)[:15]:
            model.unlearn(X[i : i + 1], y[i : i + 1])


def test_a_net_that_moved_has_no_limit_of_the_log_odds():
    model, X, y = copy.deepcopy(MODELS["binary net"])
    with may_warn(TOO_LONG, STALE, DAMPED, "A refresh of the model"):
        model.unlearn(X[:5], y[:5])
        model.preview_unlearn(X[5:25], 1 - y[5:25])
    refused(model, 100 * X[5:7], y[5:7], UNKNOWN)


def test_without_leave_out_a_margin_of_almost_zero_warns():
    X, y = data()
    model = ErasableLogisticRegression(C=100).fit(X, y)
    rows = np.argsort(own_log_odds(model, X, y))[:40]
    record = model.preview_unlearn(X[rows], y[rows])
    assert not record.leave_out
    assert record.margin < 0.05
    with may_warn(LONG_STEP), pytest.warns(ErasureWarning, match="may be far too short"):
        model.unlearn(X[rows], y[rows])


def test_a_singular_curvature_asks_for_the_rows_first():
    X, y = data()
    model = ErasableLogisticRegression(curvature="fisher", solver="newton-cholesky").fit(X, y)
    i = np.abs(own_log_odds(model, X, y)).argmin()
    message = "Check that these rows were in the training data, with these labels, weights"
    rows = np.repeat([i], 150)
    refused(model, X[rows], y[rows], rf"must not be singular.*{message}.*erase fewer rows")


def test_the_size_of_a_step():
    """The levels of `docs/guards.md` for several rows and for one."""
    several = StepSize(mean=1.1, largest=1.5, n_rows=3)
    assert step_size.doubts_of_step(several, 1.0, 1.0)
    assert not step_size.doubts_of_step(several._replace(n_rows=1), 1.0, 1.0)
    assert step_size.doubts_of_step(StepSize(6.1, 6.1, 1), 1.0, 1.0)
    rare = StepSize(mean=0.02, largest=1.2, n_rows=1000)
    assert "a few rows determine" in step_size.doubts_of_step(rare, 1.0, 1.0)[0]
    assert not step_size.doubts_of_step(rare._replace(mean=0.1), 1.0, 1.0)
    one = StepSize.of(np.array([[1.0, -2.0]]), np.array([[1.5, 1.0]]), np.ones(1))
    assert one == StepSize(3.0, 3.0, 1)
    assert one.joined(several) == StepSize(3.0, 3.0, 3)
