"""The automatic damping and eps against the written rule, with dense matrices and loops."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning
from sklearn_ssse._calibration import logistic
from sklearn_ssse._erasure.steps import Step
from sklearn_ssse._gradients.scores import Layer, Scores
from tests import reference
from tests.reference import relative, theta, without
from tests.warned import LONG_STEP, NOT_A_MINIMUM, may_warn


@pytest.fixture(params=["binary", "four_classes"])
def problem(request):
    X, y = request.getfixturevalue(request.param)
    return X, y, np.random.default_rng(3).uniform(0.5, 2, len(y))


def hessian_and_curvature(clf, X, y, w):
    return (reference.curvature(clf, X, y, w, kind) for kind in ("fisher", "empirical_fisher"))


def penalty(clf):
    out = np.full((clf.coef_.shape[0], clf.coef_.shape[1] + 1), 1 / clf.C)
    out[:, -1] = 0
    return out.ravel()


def test_automatic_damping_by_hand(problem):
    X, y, w = problem
    clf = ErasableLogisticRegression(C=0.5).fit(X, y, w)
    H, G = hessian_and_curvature(clf, X, y, w)
    free = penalty(clf) == 0
    expected = penalty(clf) / (np.trace(H) / np.trace(G))
    assert relative(w.sum() * clf.damping_[~free], expected[~free]) < 1e-10
    floor = (1e-12 if len(clf.classes_) == 2 else 1e-7) * np.diag(G)[free].mean()
    assert relative(w.sum() * clf.damping_[free], np.full(free.sum(), floor)) < 1e-10
    fisher = ErasableLogisticRegression(C=0.5, curvature="fisher").fit(X, y, w)
    assert relative(w.sum() * fisher.damping_[~free], penalty(clf)[~free]) < 1e-12


def test_the_softmax_step_keeps_the_sum_of_the_intercepts():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 3)), rng.choice(3, 300, p=[0.8, 0.15, 0.05])
    for curvature in ("empirical_fisher", "fisher"):
        clf = ErasableLogisticRegression(curvature=curvature, solver="newton-cholesky").fit(X, y)
        before = clf.intercept_.sum()
        clf.unlearn(X[:20], y[:20])
        assert clf.intercept_.sum() == pytest.approx(before, abs=1e-5)


def rho(S, clf, X, y, w, damping):
    """s^T H_{-S} s / (s^T A_{-S} s) for s = A^{-1} g_S."""
    G = reference.curvature(clf, X, y, w, "empirical_fisher")
    keep = without(S, len(y))
    H_rest, G_rest = hessian_and_curvature(clf, X[keep], y[keep], w[keep])
    ridge = np.diag(w.sum() * np.broadcast_to(damping, penalty(clf).shape))
    s = np.linalg.solve(G + ridge, w[S] @ reference.gradients(clf, X[S], y[S]))
    return (s @ (H_rest + np.diag(penalty(clf))) @ s) / (s @ (G_rest + ridge) @ s)


@pytest.mark.parametrize("damping", ["auto", 0.01])
def test_calibration_by_hand(problem, damping):
    X, y, w = problem
    clf = ErasableLogisticRegression(damping=damping).fit(X, y, w)
    rng, n, classes = np.random.default_rng(0), len(y), len(clf.classes_)
    S = rng.choice(n, round(0.1 * n), replace=False, shuffle=False)
    by_class = [np.flatnonzero(y == c) for c in range(classes)]
    by_class = [
        rng.choice(rows, round(0.1 * len(rows)), replace=False, shuffle=False) for rows in by_class
    ]
    calibration = clf._erasure_state.calibration
    random = rho(S, clf, X, y, w, clf.damping_)
    assert calibration.random == pytest.approx(random, rel=1e-6)
    assert clf.unlearn_epsilon_ == pytest.approx(1 / random, rel=1e-6)
    assert (
        relative(calibration.by_class, [rho(S, clf, X, y, w, clf.damping_) for S in by_class])
        < 1e-6
    )


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("kind", ["random", "one class", "much of a class"])
def test_epsilon_by_hand(problem, kind, leave_out):
    X, y, w = problem
    clf = ErasableLogisticRegression(damping=0.02, leave_out=leave_out).fit(X, y, w)
    one = np.flatnonzero(y == 1)
    S = {"random": np.arange(8), "one class": one[:6], "much of a class": one[: len(one) // 2]}[
        kind
    ]
    calibration, n, k = clf._erasure_state.calibration, w.sum(), w[S].sum()
    A = reference.curvature(clf, X, y, w, "empirical_fisher") + 0.02 * n * np.eye(theta(clf).size)
    G = reference.gradients(clf, X[S], y[S])
    leaving = reference.curvature(clf, X[S], y[S], w[S], "empirical_fisher")
    s = np.linalg.solve(A - leaving if leave_out else A, w[S] @ G)
    share = np.array([(w[S] * (y[S] == c)) @ G @ s for c in range(len(clf.classes_))]) / (
        w[S] @ G @ s
    )
    factor = max(calibration.random, np.exp(share @ np.log(calibration.by_class)))
    phi = min(0.5, (w[S] @ np.square(G @ s)) / (s @ A @ s))
    expected = 1 / factor if leave_out else (n - k) / n / (factor * (1 - phi))
    assert clf.preview_unlearn(X[S], y[S], sample_weight=w[S]).epsilon == pytest.approx(
        expected, rel=1e-8
    )


def test_each_part_of_the_rule():
    rule = logistic.Calibration(2.0, np.array([4.0, 1.0]))
    step, n, k = np.array([1.0, 0.0]), 100.0, 10.0

    def epsilon(first, second, product=0.0, leave_out=False):
        gradients = np.array([[first, second], [0.0, 0.0]])
        scores = Scores([Layer(np.array([[np.sqrt(product), 0.0]]), np.ones((1, 1, 1)), False)])
        growth = 1.0 if leave_out else n / (n - k)
        return rule.epsilon(
            Step(
                step,
                growth,
                gradients.sum(axis=1),
                gradients,
                None,
                scores,
                None,
                None,
                leave_out,
                False,
            )
        )

    assert epsilon(1, 0) == pytest.approx(0.9 / 4)  # all of class 0
    assert epsilon(0, 1) == pytest.approx(
        0.9 / 2
    )  # class 1 alone would take larger steps than random sets
    assert epsilon(3, 1) == pytest.approx(0.9 / 4**0.75)
    assert epsilon(1, 0, product=0.25) == pytest.approx(0.9 / (4 * 0.75))
    assert epsilon(1, 0, product=0.9) == pytest.approx(0.9 / (4 * 0.5))
    assert epsilon(1, 0, product=0.25, leave_out=True) == pytest.approx(1 / 4)
    assert epsilon(0, 0) == pytest.approx(1 / 2)


def test_a_sample_represents_many_rows(monkeypatch):
    X, y = make_classification(
        6000, 5, n_informative=4, n_redundant=0, weights=[0.97], flip_y=0.05, random_state=0
    )
    w = np.random.default_rng(0).uniform(0.5, 2, len(y))
    clf = ErasableLogisticRegression().fit(X, y, w)
    exact = clf._erasure_state.calibration
    monkeypatch.setattr(logistic, "MAX_ROWS", 2000)
    batch = clf._family().batch(X, y, w)
    sample = logistic._stratified(batch, 2, np.random.default_rng(0))
    counts = np.bincount(sample.y)
    assert counts.tolist() == [1000, (y == 1).sum()]
    for c in (0, 1):  # the weight of each class is kept
        assert sample.weight[sample.y == c].sum() == pytest.approx(w[y == c].sum(), rel=0.1)
    factor = len(y[y == 0]) / counts[0]
    position = {tuple(row): i for i, row in enumerate(X)}
    index = np.array([position[tuple(row)] for row in sample.X])
    assert relative(sample.weight[sample.y == 0], factor * w[index][sample.y == 0]) < 1e-12
    assert np.array_equal(sample.y, y[index])
    sampled = clf.fit_curvature(X, y, w)._erasure_state.calibration
    assert sampled.random == pytest.approx(exact.random, rel=0.35)
    assert relative(sampled.by_class, exact.by_class) < 0.35


# Records and guards


def test_record_by_hand(problem):
    X, y, w = problem
    clf = ErasableLogisticRegression(damping=0.02, unlearn_epsilon=0.7).fit(X, y, w)
    n = w.sum()
    A = reference.curvature(clf, X, y, w, "empirical_fisher") + 0.02 * n * np.eye(theta(clf).size)
    R = np.sqrt(w[:9, None]) * reference.gradients(clf, X[:9], y[:9])
    M = R @ np.linalg.solve(A, R.T)
    start = theta(clf)
    record = clf.unlearn(X[:9], y[:9], sample_weight=w[:9]).erasures_[0]
    assert record.margin == pytest.approx(1 - np.linalg.eigvalsh(M)[-1])
    assert record.max_leverage == pytest.approx(np.diag(M).max())
    assert record.weight_erased == pytest.approx(w[:9].sum())
    assert record.relative_shift == pytest.approx(
        np.linalg.norm(theta(clf) - start) / np.linalg.norm(start)
    )
    assert record.erased_fraction == pytest.approx(w[:9].sum() / n)
    second = clf.unlearn(X[9:12], y[9:12], sample_weight=w[9:12]).erasures_[1]
    assert second.erased_fraction == pytest.approx(
        w[:12].sum() / n
    )  # of the rows of the fit, not of the retained rows


def test_the_damped_step_is_made():
    X, y = make_classification(150, 6, n_informative=4, flip_y=0.2, random_state=0)
    X = np.hstack([X, (np.arange(150) < 10)[:, None]])
    clf = ErasableLogisticRegression(curvature="fisher", C=100).fit(X, y)
    start = theta(clf)
    scores = clf._family().batch(X[:9], y[:9], np.ones(9)).scores("fisher")
    pending = clf.curvature_.pending_downdate(scores)
    g = reference.gradients(clf, X[:9], y[:9]).sum(axis=0) - reference.residual(clf, X, y)
    with may_warn(LONG_STEP), pytest.warns(ErasureWarning, match="damped"):
        clf.unlearn(X[:9], y[:9])
    assert relative(theta(clf) - start, pending.solve(g, damped=True)) < 1e-8
    assert relative(theta(clf) - start, pending.solve(g)) > 0.1


def test_guards_name_the_given_values(binary):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y, np.full(150, 2.0))
    one = np.flatnonzero(y == 1)
    with pytest.raises(ErasureError, match=r"got 150 rows to erase from 150 \(weight 300\)"):
        clf.unlearn(X, y, sample_weight=np.full(150, 2.0))
    found = (
        rf"got {one.size} rows of class 1 \(weight {one.size}\), but the model holds {one.size} "
    )
    with pytest.raises(ErasureError, match=rf"{found}\(weight {2 * one.size}\)"):
        clf.unlearn(
            X[one], y[one], sample_weight=np.ones(one.size)
        )  # half of their weight, but all rows of the class
    with pytest.raises(ErasureError, match="at least one row of every class"):
        clf.unlearn(X[:2], y[:2], sample_weight=[150.0, 150.0])  # few rows, but all weight
    with pytest.raises(ErasureError, match="finite"):
        clf.unlearn(X[:2], y[:2], 1e308, sample_weight=[2.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        clf.unlearn(np.full((1, 6), np.nan), y[:1], sample_weight=[2.0])


def test_an_ill_conditioned_curvature_needs_a_larger_margin(binary, monkeypatch):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y)
    monkeypatch.setattr(type(clf.curvature_), "condition", property(lambda self: 1e13))
    with pytest.raises(ErasureError, match=r"must exceed 2\.2"):
        clf.unlearn(X[:2], y[:2])


def test_zero_weight_rows_do_not_count(binary):
    X, y = binary
    w = np.ones(150)
    w[:20] = 0
    assert ErasableLogisticRegression().fit(X, y, w).n_samples_remaining_ == 130


def test_unlearn_uses_the_curvature_of_fit(binary):
    X, y = binary
    clf = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    expected = clf.preview_unlearn(X[:4], y[:4])
    assert (
        clf.set_params(curvature="empirical_fisher", damping=10.0).preview_unlearn(X[:4], y[:4])
        == expected
    )
    assert expected.leave_out


def test_class_weights_are_frozen(binary):
    X, y = binary
    w = np.random.default_rng(0).uniform(0.5, 3, 150)
    clf = ErasableLogisticRegression(class_weight="balanced").fit(X, y, w)
    frozen = clf._erasure_state.class_weight
    assert relative(frozen, w.sum() / (2 * np.bincount(y, weights=w))) < 1e-12
    S = np.flatnonzero(y == 1)[:30]
    clf.unlearn(X[S], y[S], sample_weight=w[S])
    keep = without(S, 150)
    with may_warn(NOT_A_MINIMUM):  # many rows were erased
        clf.fit_curvature(X[keep], y[keep], w[keep])
    assert np.array_equal(clf._erasure_state.class_weight, frozen)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_models_with_the_deprecated_penalty(binary):
    from sklearn.linear_model import LogisticRegression

    X, y = binary
    made = ErasableLogisticRegression.from_estimator(
        LogisticRegression(penalty=None).fit(X, y), X, y, curvature="fisher"
    )
    assert np.isinf(made.C)
    assert (made.damping_ < 1e-6).all()
    with pytest.raises(ErasureError, match="l1"):
        ErasableLogisticRegression.from_estimator(
            LogisticRegression(penalty="l1", solver="saga", max_iter=5000).fit(X, y), X, y
        )
