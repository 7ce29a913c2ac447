"""ErasableLogisticRegression against scikit-learn, the written equations, and dense twins."""

import copy
import subprocess
import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.linalg import eigh
from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning
from sklearn_ssse._erasure.path import KEPT_RATE
from tests import reference
from tests.check_erasable import arrays, check_erasable, impossible_row
from tests.reference import relative, theta, without
from tests.warned import DAMPED, LARGE_EPSILON, LONG_STEP, NOT_A_MINIMUM, may_warn

SOLVERS = ["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"]
CURVATURES = ["empirical_fisher", "fisher"]
PROBLEMS = ["binary", "four_classes"]


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_check_erasable(curvature, n_classes, tmp_path):
    check_erasable(ErasableLogisticRegression(curvature=curvature), tmp_path, n_classes)


@pytest.mark.parametrize("solver", SOLVERS)
def test_check_erasable_solvers(solver, tmp_path):
    check_erasable(
        ErasableLogisticRegression(solver=solver, random_state=0, max_iter=500, tol=1e-3), tmp_path
    )


@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("solver", SOLVERS)
def test_bit_identical_to_the_parent(binary, four_classes, solver, C):
    if solver == "liblinear" and np.isinf(C):
        pytest.skip("refused by scikit-learn")
    weight = np.random.default_rng(0).uniform(0.5, 2, 150)
    cases = [(*binary, None), (*binary, weight)]
    if solver != "liblinear":
        cases.append((*four_classes, None))
    for X, y, w in cases:
        params = {
            "solver": solver,
            "C": C,
            "random_state": 0,
            "class_weight": "balanced",
            "max_iter": 1000,
            "tol": 1e-3,
        }
        plain = LogisticRegression(**params).fit(X, y, w)
        ours = ErasableLogisticRegression(**params).fit(X, y, w)
        assert_array_equal(ours.coef_, plain.coef_)
        assert_array_equal(ours.intercept_, plain.intercept_)
        assert_array_equal(ours.predict_proba(X), plain.predict_proba(X))
        assert_array_equal(ours.n_iter_, plain.n_iter_)


def test_random_state_is_used_as_by_the_parent(binary):
    X, y = binary
    states = [np.random.RandomState(0), np.random.RandomState(0)]
    for cls, state in zip([LogisticRegression, ErasableLogisticRegression], states, strict=True):
        cls(solver="sag", random_state=state, max_iter=1000, tol=1e-2).fit(X, y)
    assert states[0].uniform() == states[1].uniform()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("inversion", ["rank1", "cholesky"])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_fisher_inverse_by_hand(problem, curvature, inversion, fit_intercept, weighted):
    X, y = problem
    w = np.random.default_rng(0).uniform(0.2, 3, len(y)) if weighted else np.ones(len(y))
    clf = ErasableLogisticRegression(
        curvature=curvature,
        inversion=inversion,
        fit_intercept=fit_intercept,
        damping=1e-3,
        unlearn_epsilon=1.0,
    ).fit(X, y, w if weighted else None)
    expected = reference.fisher_inverse(clf, X, y, w, curvature, 1e-3)
    assert relative(clf.fisher_inverse_, expected) < 1e-10
    assert clf.inversion_ == inversion
    assert clf.damping_ == 1e-3


def test_reference_gradients_equal_the_gradients_of_the_loss(problem):
    X, y = problem
    clf = ErasableLogisticRegression().fit(X, y)
    n_classes = len(clf.classes_)
    G, Z = reference.gradients(clf, X, y), reference.design(X, True)
    for i in range(5):
        numeric = reference.numeric_gradient(
            lambda t, i=i: reference.row_loss(t, Z[i], y[i], n_classes), theta(clf)
        )
        assert relative(G[i], numeric) < 1e-7


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("inversion", ["rank1", "cholesky"])
def test_fisher_is_the_hessian_of_scikit_learn(problem, inversion, fit_intercept):
    X, y = problem
    n_classes = len(np.unique(y))
    w = np.random.default_rng(0).uniform(0.2, 3, len(y))
    clf = ErasableLogisticRegression(
        curvature="fisher", inversion=inversion, fit_intercept=fit_intercept, C=0.7
    )
    clf.fit(X, y, w)
    base = HalfBinomialLoss() if n_classes == 2 else HalfMultinomialLoss(n_classes=n_classes)
    loss = LinearModelLoss(base, fit_intercept)
    shape = (1 if n_classes == 2 else n_classes, -1)
    coef = theta(clf).reshape(shape)
    strength = 1 / (0.7 * w.sum())
    point = coef[0] if n_classes == 2 else np.asfortranarray(coef)
    H = loss.gradient_hessian(point, X, y.astype(float), sample_weight=w, l2_reg_strength=strength)[
        1
    ]
    if n_classes > 2:  # scikit-learn's layout is Fortran order
        order = np.arange(coef.size).reshape(coef.shape, order="F").ravel()
        H = H[np.ix_(order, order)]
    ours = clf.fisher_inverse_
    if n_classes > 2 and fit_intercept:  # singular: compare without the flat direction of softmax
        flat = np.tile(np.eye(X.shape[1] + 1)[-1], n_classes) / np.sqrt(n_classes)
        project = np.eye(len(H)) - np.outer(flat, flat)
        H, ours = (
            project @ H @ project + np.outer(flat, flat),
            project @ ours @ project + np.outer(flat, flat),
        )
    assert relative(ours, np.linalg.inv(H)) < (1e-6 if n_classes > 2 and fit_intercept else 1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_equation_4_and_4_again(problem, curvature, weighted):
    X, y = problem
    w = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else np.ones(len(y))
    params = {
        "damping": 1e-2,
        "leave_out": False,
        "curvature": curvature,
        "unlearn_epsilon": 1.0,
        "tol": 1e-8,
        "budget": None,
    }
    clf = ErasableLogisticRegression(**params).fit(X, y, w)
    n, P = w.sum(), reference.fisher_inverse(clf, X, y, w, curvature, 1e-2) / w.sum()
    g_0 = reference.residual(clf, X, y, w) if curvature == "fisher" else 0.0
    length = 0.0
    for S, epsilon in [(np.arange(7), 0.4), (np.arange(20, 25), 1.3)]:
        k, start = w[S].sum(), theta(clf)
        g = w[S] @ reference.gradients(clf, X[S], y[S]) - g_0
        kept = reference.kept(clf, X[S], y[S], P, curvature, length, KEPT_RATE)
        rows = reference.curvature(clf, X[S], y[S], w[S] * (1 - kept), curvature)
        length = np.hypot(length, epsilon * n / (n - k) * np.sqrt(g @ P @ g))
        expected = start + epsilon / (n - k) * (n * P) @ g
        clf.unlearn(X[S], y[S], epsilon, sample_weight=w[S])
        assert relative(theta(clf), expected) < 1e-10
        P, n = np.linalg.inv(np.linalg.inv(P) - rows), n - k
        if curvature == "fisher":  # the part of the solver's gradient that the step leaves
            g_0 = max(1 - epsilon, 0) * g_0
            assert np.allclose(clf._erasure_state.residual, g_0, rtol=1e-7, atol=1e-12)
        assert relative(clf.fisher_inverse_, n * P) < 1e-8
        record = clf.erasures_[-1]
        assert record.epsilon == epsilon
        assert record.path_length == pytest.approx(length, rel=1e-8)
        assert record.kept_curvature == pytest.approx(kept.mean(), rel=1e-6, abs=1e-12)
        assert relative(clf.damping_, 1e-2 * w.sum() / n) < 1e-12


@pytest.mark.parametrize("curvature", CURVATURES)
def test_equation_1_with_leave_out(problem, curvature):
    X, y = problem
    params = {"damping": 1e-2, "leave_out": True, "curvature": curvature, "unlearn_epsilon": 0.7}
    clf = ErasableLogisticRegression(**params).fit(X, y)
    S, n = np.arange(3), len(y)
    keep = without(S, n)
    A = reference.curvature(
        clf, X[keep], y[keep], np.ones(keep.sum()), curvature
    ) + n * 1e-2 * np.eye(theta(clf).size)
    g = reference.gradients(clf, X[S], y[S]).sum(axis=0)
    if curvature == "fisher":
        g = g - reference.residual(clf, X, y)
    expected = theta(clf) + 0.7 * np.linalg.solve(A, g)
    assert relative(theta(clf.unlearn(X[S], y[S])), expected) < 1e-10
    assert clf.erasures_[0].leave_out
    assert not clf.erasures_[0].damped


def test_newton_step_is_exact_for_a_quadratic(binary):
    # With a strong penalty the objective is nearly quadratic, so that one leave-out step with the
    # Hessian is nearly retraining.
    X, y = binary
    params = {"C": 1e-4, "curvature": "fisher", "solver": "newton-cholesky", "tol": 1e-12}
    clf = ErasableLogisticRegression(**params).fit(X, y)
    start = theta(clf)
    retrained = ErasableLogisticRegression(**params).fit(X[30:], y[30:])
    clf.unlearn(X[:30], y[:30])
    assert relative(theta(clf), theta(retrained)) < 1e-3 * relative(start, theta(retrained))


@pytest.mark.parametrize("damping", ["auto", 1e-3])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_erased_rows_are_removed_from_the_curvature(problem, curvature, damping, class_weight):
    X, y = problem
    clf = ErasableLogisticRegression(
        curvature=curvature, damping=damping, class_weight=class_weight
    ).fit(X, y)
    keep = without(np.arange(40), len(y))
    weight = clf._erasure_state.class_weight[y]
    n = weight.sum()
    start = clone(clf).fit(X, y)
    ridge = n * np.broadcast_to(clf.damping_, theta(clf).shape)
    clf.unlearn(X[:40], y[:40])
    A = reference.curvature(start, X[keep], y[keep], weight[keep], curvature) + np.diag(ridge)
    assert relative(clf.curvature_.to_dense(), np.linalg.inv(A)) < 1e-6
    assert relative(clf.fisher_inverse_, weight[keep].sum() * np.linalg.inv(A)) < 1e-6
    assert_array_equal(clf._erasure_state.class_counts, np.bincount(y[keep]))
    assert (
        relative(clf._erasure_state.class_mass, np.bincount(y[keep], weights=weight[keep])) < 1e-12
    )


def test_laws_of_the_step(problem):
    X, y = problem
    base = ErasableLogisticRegression().fit(X, y)
    S = np.array([4, 9, 2, 11])

    def erased(rows, weight=None, X=X, y=y, base=base):
        twin = ErasableLogisticRegression.from_estimator(base, X, y, weight)
        return theta(
            twin.unlearn(
                X[rows], y[rows], 0.8, sample_weight=None if weight is None else weight[rows]
            )
        )

    assert relative(erased(S), erased(S[::-1])) < 1e-12  # order
    weight = np.ones(len(y))
    weight[S] = 2.0
    rows = np.r_[np.arange(len(y)), S]
    doubled = erased(np.r_[S, np.arange(len(y), len(rows))], X=X[rows], y=y[rows])
    assert relative(erased(S, weight), doubled) < 1e-8  # weight 2 is the row twice


@pytest.mark.parametrize("intercept_scaling", [1.0, 5.0])
def test_liblinear_penalises_its_intercept(binary, intercept_scaling):
    X, y = binary
    params = {"solver": "liblinear", "tol": 1e-10, "max_iter": 5000, "random_state": 0, "C": 0.05}
    clf = ErasableLogisticRegression(
        curvature="fisher", intercept_scaling=intercept_scaling, **params
    ).fit(X, y)
    assert clf.damping_ * len(y) == pytest.approx([20.0] * 6 + [20.0 / intercept_scaling**2])
    retrained = LogisticRegression(intercept_scaling=intercept_scaling, **params).fit(
        X[15:], y[15:]
    )
    start = theta(clf)
    assert relative(theta(clf.unlearn(X[:15], y[:15])), theta(retrained)) < 0.1 * relative(
        start, theta(retrained)
    )


def test_without_an_intercept_there_is_none_after(binary):
    X, y = binary
    for solver in SOLVERS:
        clf = ErasableLogisticRegression(fit_intercept=False, solver=solver, max_iter=1000).fit(
            X, y
        )
        before = clf.intercept_
        assert np.all(clf.unlearn(X[:5], y[:5]).intercept_ == before)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 3.0}])
def test_class_weight_is_sample_weight(binary, class_weight):
    X, y = binary
    by_class = ErasableLogisticRegression(class_weight=class_weight).fit(X, y)
    weight = by_class._erasure_state.class_weight[y]
    by_sample = ErasableLogisticRegression().fit(X, y, weight)
    assert relative(by_class.curvature_.to_dense(), by_sample.curvature_.to_dense()) < 1e-10
    by_class.unlearn(X[:9], y[:9])
    by_sample.unlearn(X[:9], y[:9], sample_weight=weight[:9])
    assert relative(theta(by_class), theta(by_sample)) < 1e-10


def test_input_containers(binary):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = binary
    X = X.copy()
    X[np.abs(X) < 0.5] = 0.0
    expected = ErasableLogisticRegression().fit(X, y).unlearn(X[:9], y[:9])
    names = list("abcdef")
    labels = np.array(["no", "yes"])[y]
    boxes = [
        (X.tolist(), y.tolist()),
        (np.asfortranarray(X), y),
        (sparse.csr_array(X), y),
        (sparse.csr_matrix(X), y),
        (sparse.csc_array(X), y),
        (pandas.DataFrame(X, columns=names), pandas.Series(y)),
        (polars.DataFrame(X, schema=names), polars.Series(y)),
        (X, labels),
        (X, labels.astype(object)),
        (pandas.DataFrame(X, columns=names), pandas.Series(labels)),
        (pandas.DataFrame(X, columns=names), pandas.Series(labels, dtype="category")),
        (polars.DataFrame(X, schema=names), polars.Series(labels)),
        (X, y.astype(float)),
        (X, y.astype(bool)),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for X_box, y_box in boxes:
            clf = ErasableLogisticRegression().fit(X_box, y_box).unlearn(X_box[:9], y_box[:9])
            assert relative(theta(clf), theta(expected)) < 1e-6, type(X_box)
            assert relative(clf.curvature_.to_dense(), expected.curvature_.to_dense()) < 1e-6
    clf = ErasableLogisticRegression().fit(pandas.DataFrame(X, columns=names), y)
    with pytest.raises(ValueError, match="feature names"):
        clf.unlearn(pandas.DataFrame(X[:3], columns=names[::-1]), y[:3])


def test_csr_is_not_densified(binary, monkeypatch):
    X, y = binary
    X = sparse.csr_array(np.where(np.abs(X) > 1, X, 0))
    n = X.shape[0]
    original = sparse.csr_array.toarray

    def toarray(self, *args, **kwargs):
        assert self.shape[0] != n, "the training data was densified"
        return original(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", toarray)
    for curvature in CURVATURES:
        for inversion in ("auto", "cholesky"):
            ErasableLogisticRegression(curvature=curvature, inversion=inversion).fit(X, y).unlearn(
                X[:5], y[:5]
            )


def test_float32_is_kept(problem):
    X, y = problem
    clf = ErasableLogisticRegression().fit(X.astype(np.float32), y)
    types = clf.coef_.dtype, clf.intercept_.dtype  # scikit-learn 1.8 returns some as float64
    clf.unlearn(X[:5].astype(np.float32), y[:5])
    assert (clf.coef_.dtype, clf.intercept_.dtype) == types
    clf.coef_, clf.intercept_ = clf.coef_.astype(np.float32), clf.intercept_.astype(np.float32)
    clf.unlearn(X[5:9], y[5:9])
    assert clf.coef_.dtype == clf.intercept_.dtype == np.float32
    assert clf.curvature_.to_dense().dtype == np.float64


def test_integer_data(binary):
    X, y = binary
    X = np.round(X * 3).astype(int)
    clf = ErasableLogisticRegression(damping=0.01).fit(X, y)
    expected = reference.fisher_inverse(clf, X, y, np.ones(len(y)), "empirical_fisher", 0.01)
    assert relative(clf.fisher_inverse_, expected) < 1e-10


def test_sparsified_coefficients_are_densified(binary):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y)
    expected = clone(clf).fit(X, y).unlearn(X[:5], y[:5])
    clf.sparsify().unlearn(X[:5], y[:5])
    assert isinstance(clf.coef_, np.ndarray)
    assert_array_equal(clf.coef_, expected.coef_)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_l1_is_refused_in_one_sentence(binary, l1_ratio):
    X, y = binary
    with pytest.raises(ErasureError, match="Use l1_ratio=0"):
        ErasableLogisticRegression(l1_ratio=l1_ratio, solver="saga").fit(X, y)
    fitted = LogisticRegression(l1_ratio=l1_ratio, solver="saga", max_iter=5000).fit(X, y)
    with pytest.raises(ErasureError, match="l1"):
        ErasableLogisticRegression.from_estimator(fitted, X, y)


@pytest.mark.parametrize(
    "params",
    [
        {"curvature": "hessian"},
        {"damping": 0.0},
        {"damping": -1},
        {"unlearn_epsilon": 0},
        {"inversion": "lu"},
        {"leave_out": "yes"},
        {"structure": "dense"},
        {"C": -1},
    ],
)
def test_invalid_parameters(binary, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ErasableLogisticRegression(**params).fit(*binary)


def test_parameters_are_the_parents_and_ours():
    ours, parents = ErasableLogisticRegression().get_params(), LogisticRegression().get_params()
    assert set(parents) - set(ours) == {"penalty", "n_jobs"}
    assert all(ours[name] == parents[name] for name in set(parents) & set(ours))
    with pytest.raises(TypeError):
        ErasableLogisticRegression(1.0)


def test_unpenalised(binary, four_classes):
    for X, y in (binary, four_classes):
        params = {"C": np.inf, "solver": "newton-cholesky", "tol": 1e-10, "curvature": "fisher"}
        clf = ErasableLogisticRegression(**params).fit(X, y)
        start = theta(clf)
        retrained = ErasableLogisticRegression(**params).fit(X[5:], y[5:])
        assert relative(theta(clf.unlearn(X[:5], y[:5])), theta(retrained)) < 0.2 * relative(
            start, theta(retrained)
        )


def test_collinear_columns_without_penalty(binary):
    X, y = binary
    X = np.hstack([X, X[:, :2] @ [[1.0], [2.0]], np.ones((len(X), 1))])
    for curvature in CURVATURES:
        clf = ErasableLogisticRegression(C=np.inf, curvature=curvature, max_iter=1000).fit(X, y)
        before = clf.predict_proba(X)
        clf.unlearn(X[:5], y[:5])
        assert np.abs(clf.predict_proba(X) - before).max() < 0.2


def test_dominating_rows_warn_and_are_damped(binary):
    X, y = binary
    X = np.hstack([X, (np.arange(len(y)) < 10)[:, None]])  # nonzero only in erased rows
    clf = ErasableLogisticRegression(curvature="fisher", C=100).fit(X, y)
    S = np.arange(9)
    record = clf.preview_unlearn(X[S], y[S])
    assert record.damped
    assert record.margin < 0.3
    before = theta(clf)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ErasureWarning)
        with pytest.raises(ErasureWarning):
            clf.unlearn(X[S], y[S])
    assert_array_equal(
        theta(clf), before
    )  # a warning turned into an error leaves the model as it was
    with may_warn(LONG_STEP), pytest.warns(ErasureWarning, match="damped"):
        clf.unlearn(X[S], y[S])


def test_missing_weights_warn(binary):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y, np.full(len(y), 2.0))
    with pytest.warns(ErasureWarning, match="sample_weight"):
        clf.unlearn(X[:2], y[:2])


def test_singular_error_gives_advice(binary):
    X, y = binary
    clf = ErasableLogisticRegression(damping=1e-4).fit(X, y)
    row = impossible_row(clf)
    row *= clf._erasure_state.limits.largest_norm / np.linalg.norm(row)
    with pytest.raises(
        ErasureError,
        match=r"smallest eigenvalue .* \(must exceed 1e-06\).*raise `damping` \(now 0.0001\)",
    ):
        clf.unlearn(np.repeat(row, 40, axis=0), np.repeat(y[:1], 40))


def test_epsilon_precedence(binary):
    X, y = binary
    clf = ErasableLogisticRegression(unlearn_epsilon=0.5).fit(X, y)
    assert clf.unlearn_epsilon_ == 0.5
    assert clf.preview_unlearn(X[:3], y[:3]).epsilon == 0.5
    assert clf.preview_unlearn(X[:3], y[:3], 2).epsilon == 2.0
    assert clf.set_params(unlearn_epsilon=0.7).preview_unlearn(X[:3], y[:3]).epsilon == 0.7
    with pytest.raises(ErasureError, match="calibration"):
        clf.set_params(unlearn_epsilon="auto").unlearn(X[:3], y[:3])
    assert clf.fit_curvature(X, y).preview_unlearn(X[:3], y[:3]).epsilon != 1.0
    assert ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn_epsilon_ == 1.0


def test_from_estimator(problem):
    pandas = pytest.importorskip("pandas")
    X, y = problem
    X = pandas.DataFrame(X).rename(columns=str)
    plain = LogisticRegression(C=0.3).fit(X, y)
    fitted = ErasableLogisticRegression(C=0.3, curvature="fisher", damping=0.1).fit(X, y)
    made = ErasableLogisticRegression.from_estimator(plain, X, y, curvature="fisher", damping=0.1)
    assert made.C == 0.3
    assert_array_equal(made.coef_, plain.coef_)
    assert_array_equal(made.fisher_inverse_, fitted.fisher_inverse_)
    assert list(made.feature_names_in_) == list(X.columns)
    made.unlearn(X[:4], y[:4])
    assert_array_equal(theta(made), theta(fitted.unlearn(X[:4], y[:4])))
    assert_array_equal(plain.coef_, LogisticRegression(C=0.3).fit(X, y).coef_)
    with pytest.raises(TypeError, match="LogisticRegression"):
        ErasableLogisticRegression.from_estimator("model", X, y)
    with pytest.raises(ValueError, match="not fitted"):
        ErasableLogisticRegression.from_estimator(LogisticRegression(), X, y)


def test_to_plain(problem):
    X, y = problem
    clf = ErasableLogisticRegression(C=0.4).fit(X, y).unlearn(X[:3], y[:3])
    plain = clf.to_plain()
    assert type(plain) is LogisticRegression
    assert plain.C == 0.4
    assert_array_equal(plain.predict_proba(X), clf.predict_proba(X))
    assert max(array.size for array in arrays(plain)) <= clf.coef_.size
    clf.unlearn(X[5:9], y[5:9])
    assert not np.array_equal(plain.coef_, clf.coef_)


def test_fit_curvature_uses_the_present_parameters(problem):
    X, y = problem
    clf = ErasableLogisticRegression(damping=0.01).fit(X, y).unlearn(X[:20], y[:20])
    stale, point = clf.fisher_inverse_, theta(clf)
    clf.fit_curvature(X[20:], y[20:])
    fresh = reference.fisher_inverse(
        clf, X[20:], y[20:], np.ones(len(y) - 20), "empirical_fisher", 0.01
    )
    assert relative(clf.fisher_inverse_, fresh) < 1e-10
    assert relative(stale, fresh) > 1e-4
    assert_array_equal(theta(clf), point)
    assert len(clf.erasures_) == 1
    assert clf.preview_unlearn(X[20:22], y[20:22]).erased_fraction == pytest.approx(
        2 / (len(y) - 20)
    )


def test_warm_start_and_refit(binary):
    X, y = binary
    clf = ErasableLogisticRegression(warm_start=True).fit(X, y).unlearn(X[:5], y[:5])
    clf.fit(X[5:], y[5:])
    assert clf.n_samples_remaining_ == len(y) - 5
    assert clf.erasures_ == []


def test_column_vector_labels_warn_once_per_fit(binary):
    X, y = binary
    from sklearn.exceptions import DataConversionWarning

    with pytest.warns(DataConversionWarning) as caught:
        ErasableLogisticRegression().fit(X, y[:, None])
    assert len(caught) == 1


def test_large_values_do_not_break_the_curvature():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)) * [1.0, 1e4, 1e-4, 1.0] + [0.0, 1e5, 0.0, 3.0]
    y = (X[:, 0] + rng.standard_normal(300) > 0).astype(int)
    for curvature in CURVATURES:
        clf = ErasableLogisticRegression(curvature=curvature, solver="newton-cholesky").fit(X, y)
        ones = np.ones(len(y))
        ridge = np.diag(len(y) * np.broadcast_to(clf.damping_, theta(clf).shape))
        A = reference.curvature(clf, X, y, ones, curvature) + ridge
        unit = 1 / np.sqrt(np.diag(A))  # with columns of equal norm, for the dense twin
        A = A * np.outer(unit, unit)
        removed = [
            reference.curvature(clf, X[[i]], y[[i]], ones[:1], curvature) * np.outer(unit, unit)
            for i in range(10)
        ]
        record = clf.unlearn(X[:10], y[:10]).erasures_[0]
        assert record.margin == pytest.approx(1 - eigh(sum(removed), A, eigvals_only=True)[-1])
        leverage = [np.trace(np.linalg.solve(A, one)) for one in removed]
        assert record.max_leverage == pytest.approx(max(leverage))


def test_perfect_separation():
    X = scale(np.r_[np.zeros((20, 1)), np.ones((20, 1))])
    y = np.repeat([0, 1], 20)
    for C in (1.0, 1e6):
        for curvature in CURVATURES:
            clf = ErasableLogisticRegression(C=C, curvature=curvature, max_iter=1000).fit(X, y)
            retrained = LogisticRegression(C=C, max_iter=1000).fit(X[2:], y[2:])
            with may_warn(LONG_STEP):
                clf.unlearn(X[:2], y[:2])
            assert_array_equal(clf.predict(X), retrained.predict(X))


def test_import_loads_neither_numba_nor_torch():
    code = (
        "import sys, sklearn.linear_model; before = set(sys.modules); import sklearn_ssse; "
        "heavy = {'numba', 'torch', 'matplotlib', 'pandas', 'skops', 'skorch'}; "
        "sys.exit(len(heavy & (set(sys.modules) - before)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_failed_refit_deletes_the_curvature(binary):
    X, y = binary
    clf = ErasableLogisticRegression().fit(X, y)
    weight = np.ones(len(y))
    weight[0] = -1
    with pytest.raises(ErasureError, match="negative"):
        clf.fit(-X, y, weight)
    with pytest.raises(NotFittedError):
        clf.unlearn(X[:3], y[:3])


@pytest.mark.parametrize("C", [1.0, 100.0])
def test_damping_is_the_penalty_on_unscaled_columns(C):
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    clf = ErasableLogisticRegression(
        C=C, curvature="fisher", fit_intercept=False, solver="newton-cholesky"
    ).fit(X, y)
    assert relative(len(y) * clf.damping_, np.full(39, 1 / C)) < 1e-12


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine"])
def test_an_erasure_removes_the_error_of_the_solver_too(real_data, name, C):
    """With the default tolerance, one step goes to the converged model without the rows.

    A solver that stops early leaves a gradient that can be larger than the erased one. The step
    takes it along, and a step of half the length takes half of it along.
    """
    X, y = real_data[name]
    S = np.random.default_rng(0).choice(len(y), len(y) // 50, replace=False)
    keep = without(S, len(y))
    model = ErasableLogisticRegression(C=C, curvature="fisher", budget=None).fit(X, y)
    converged = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10).fit(X[keep], y[keep])
    assert relative(model._erasure_state.residual, reference.residual(model, X, y)) < 1e-6
    away = relative(theta(model), theta(converged))
    once = copy.deepcopy(model).unlearn(X[S], y[S])
    assert relative(theta(once), theta(converged)) < 0.25 * away
    twice = copy.deepcopy(model).unlearn(X[S[::2]], y[S[::2]]).unlearn(X[S[1::2]], y[S[1::2]])
    assert relative(theta(twice), theta(converged)) < 0.25 * away
    assert not once._erasure_state.residual.any()
    # Nothing of the forget rows' own gradient is kept: it is data of these rows.
    half = copy.deepcopy(model).unlearn(X[S[:1]], y[S[:1]], 0.5)
    assert relative(half._erasure_state.residual, model._erasure_state.residual / 2) < 1e-12


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("max_iter", [10, 30, 100])
@pytest.mark.parametrize("load", [load_digits, load_wine])
def test_a_model_far_from_its_minimum_is_not_ruined(load, max_iter):
    """A Newton step from far away can ruin the model, so only a step that was tried is made."""
    X, y = load(return_X_y=True)  # not scaled
    with may_warn(NOT_A_MINIMUM):
        model = ErasableLogisticRegression(C=100, curvature="fisher", max_iter=max_iter).fit(X, y)
    before = model.score(X, y)
    taken = model._erasure_state.residual is not None
    start = reference.residual(model, X, y)
    with may_warn(DAMPED, LONG_STEP):
        model.unlearn(X[:3], y[:3])
    assert model.score(X, y) > before - 0.02
    if taken:
        left = reference.residual(model, X[3:], y[3:])
        assert np.linalg.norm(left) < np.linalg.norm(start)


def test_a_step_that_is_too_long_leaves_no_gradient_to_remove(binary):
    """The next erasure does not undo an eps that was asked for."""
    X, y = binary
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    with may_warn(LARGE_EPSILON):
        assert not model.unlearn(X[:3], y[:3], 5.0)._erasure_state.residual.any()
