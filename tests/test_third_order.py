"""Third derivatives, steps of second order, their guard, and the parameter ``order``."""

import copy
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_ssse import (
    TRUSTED_TYPES,
    ErasableLogisticRegression,
    ErasureError,
    ErasureWarning,
    parameter_distance,
    preview_unlearn,
    unlearn,
)
from sklearn_ssse._calibration import order as calibration_of_order
from sklearn_ssse._erasure import validated_batch
from sklearn_ssse._erasure.path import KEPT_RATE
from sklearn_ssse._erasure.second_order import LEAST_EIGENVALUE, SecondOrder
from sklearn_ssse._erasure.steps import DROPPED
from sklearn_ssse._families.affine import AffineColumns
from sklearn_ssse._gradients import ThirdOrder, third_derivatives, third_order
from tests import reference
from tests.check_erasable import snapshot
from tests.reference import relative, theta, without
from tests.warned import LARGE_EPSILON, LARGE_NORM, LONG_STEP, NO_ROWS, REFRESH, may_warn

EXACT = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 500}
SECOND = {"curvature": "fisher", "order": 2}


def problem(n_classes, n_samples=60, n_features=4, seed=0):
    """Rows, labels and weights; some labels are wrong."""
    X, y = make_classification(
        n_samples,
        n_features,
        n_informative=n_features,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        flip_y=0.2,
        random_state=seed,
    )
    return X, y, np.random.default_rng(seed).uniform(0.5, 2.0, n_samples)


def tensor(model, X, y, weight=None):
    """The third derivatives of rows at the parameters of the model."""
    return validated_batch(model, X, y, weight, trusted=True).third_order()


def second_order(model):
    """The Hessian and the third derivatives that the model holds."""
    return model._erasure_state.path.second_order


def random_vector(model, seed=0):
    return np.random.default_rng(seed).standard_normal(theta(model).size)


def hessian(model, X, y, weight, ridge):
    """The Hessian of rows at the parameters of the model, with a ridge (d,)."""
    return reference.curvature(model, X, y, weight, "fisher") + np.diag(ridge)


# The third derivatives


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_the_derivative_of_the_hessian(n_classes, fit_intercept, kind):
    """Against finite differences and against third cumulants."""
    X, y, w = problem(n_classes)
    rows = sparse.csr_array(X) if kind == "csr" else X
    model = ErasableLogisticRegression(**SECOND, fit_intercept=fit_intercept).fit(rows, y)
    for weight in (w, np.ones(len(y))):
        T = tensor(model, rows, y, weight)
        v = random_vector(model)
        assert relative(T.along(v), reference.hessian_along(model, X, y, weight, v)) < 1e-6
        assert relative(T.along(v), reference.third_order(model, X, weight) @ v) < 1e-12
    assert relative(T.along(v), second_order(model).third.along(v)) < 1e-12


def test_weights_of_classes_count(binary):
    X, y = binary
    model = ErasableLogisticRegression(**SECOND, class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    v = random_vector(model)
    expected = reference.third_order(model, X, np.where(y == 1, 3.0, 1.0)) @ v
    assert relative(second_order(model).third.along(v), expected) < 1e-12


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_tensor_is_a_symmetric_sum_over_rows(n_classes):
    X, y, w = problem(n_classes)
    model = ErasableLogisticRegression(**SECOND).fit(X, y)
    whole = tensor(model, X, y, w)
    some = tensor(model, X[:20], y[:20], w[:20])
    rest = tensor(model, X[20:], y[20:], w[20:])
    none = model._family().batch(X[:0], y[:0], w[:0]).third_order()
    u = random_vector(model, 1)
    v = random_vector(model, 2)
    assert relative(whole.minus(some).along(v), rest.along(v)) < 1e-12
    assert relative(some.plus(rest).along(v), whole.along(v)) < 1e-12
    assert not none.along(v).any()
    assert np.array_equal(whole.along(v), whole.along(v).T)
    assert relative(whole.along(u) @ v, whole.along(v) @ u) < 1e-12
    assert relative(whole.along(2 * u - v), 2 * whole.along(u) - whole.along(v)) < 1e-12


@pytest.mark.parametrize("n_blocks", [1, 4])
@pytest.mark.parametrize("n_features", [1, 2, third_order.LEAST_STRIPED - 1, 17, 22])
def test_chunks_and_stripes(monkeypatch, n_features, n_blocks):
    """More rows than one chunk holds, and widths that are and are not cut into stripes."""
    monkeypatch.setattr(third_order, "PRODUCTS", 1)  # chunks of 64 rows
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, n_features))
    kappa = rng.standard_normal((150, n_blocks))
    for bias in (True, False):
        x = reference.design(X, bias)
        dense = np.einsum("nb,nj,nk,nl->bjkl", kappa, x, x, x, optimize=True)
        first, second = np.triu_indices(x.shape[1])
        T = ThirdOrder.of_rows(X, kappa, bias)
        assert relative(T.blocks, dense[:, :, first, second]) < 1e-12
        assert T.n_outputs == {1: 1, 4: 2}[n_blocks]
        assert T.nbytes == ThirdOrder.bytes_needed(T.n_outputs, x.shape[1])
        rows = ThirdOrder.of_rows(sparse.csr_array(X), kappa, bias)
        assert relative(rows.blocks, T.blocks) < 1e-14


@pytest.mark.parametrize(("n_outputs", "n_blocks"), [(1, 1), (2, 4), (3, 10), (5, 35)])
def test_blocks(n_outputs, n_blocks):
    assert len(third_order.triples(n_outputs)) == n_blocks
    assert third_order.n_outputs_of(n_blocks) == n_outputs


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_other_columns_are_a_build_on_transformed_rows(n_classes, fit_intercept):
    """The predictions do not change, so the derivatives at the outputs do not either."""
    X, y, _ = problem(n_classes)
    model = ErasableLogisticRegression(**SECOND, fit_intercept=fit_intercept).fit(X, y)
    rng = np.random.default_rng(0)
    shift = rng.standard_normal(4) if fit_intercept else np.zeros(4)
    columns = AffineColumns(rng.uniform(0.5, 2.0, 4), shift)
    family = model._family()
    batch = family.batch(X, y, np.ones(len(y)))
    kappa = third_derivatives(batch.proba, family.link)
    expected = ThirdOrder.of_rows(columns.rows(X), kappa, fit_intercept)
    found = second_order(model).with_columns(columns, family.shapes, model.curvature_.ridge)
    assert relative(found.third.blocks, expected.blocks) < 1e-12
    family = family.with_columns(columns, len(y))
    change = family.theta - theta(model)
    A = hessian(
        reference.moved(model, change),
        columns.rows(X),
        y,
        np.ones(len(y)),
        model.curvature_.ridge,
    )
    assert relative(found.hessian, A) < 1e-10


# Steps of second order


def changes(X, y, w):
    """Rows to erase, rows to add, and the rows that the model holds afterwards."""
    held = np.arange(50)
    S = np.arange(4)
    N = np.arange(50, 55)
    new = X[N], y[N], w[N]
    return {
        "unlearn": ((X[S], y[S], w[S]), None, np.setdiff1d(held, S)),
        "learn": (None, new, np.r_[held, N]),
        "rectify": ((X[:5], y[:5], w[N]), new, np.r_[5:50, N]),
    }


def carry_out(model, forget, added):
    if added is None:
        return model.unlearn(*forget[:2], sample_weight=forget[2])
    if forget is None:
        return model.learn(*added[:2], sample_weight=added[2])
    return model.rectify(*forget[:2], *added[:2], sample_weight=added[2])


@pytest.mark.parametrize("verb", ["unlearn", "learn", "rectify"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_first_change_is_a_build_on_the_present_rows(n_classes, verb):
    """At the parameters of the build; the Hessian then follows the step."""
    X, y, w = problem(n_classes)
    w[:5] = w[50:55]  # the weights of corrected rows
    model = ErasableLogisticRegression(**SECOND).fit(X[:50], y[:50], w[:50])
    ridge = model.curvature_.ridge
    start = copy.deepcopy(model)
    forget, added, present = changes(X, y, w)[verb]
    with may_warn(REFRESH):
        carry_out(model, forget, added)
    assert model.erasures_[-1].order == model.order_ == 2
    step = theta(model) - theta(start)
    rows = X[present], y[present], w[present]
    T = tensor(start, *rows)
    v = random_vector(model)
    assert relative(second_order(model).third.along(v), T.along(v)) < 1e-11
    A = hessian(start, *rows, ridge)
    assert relative(second_order(model).hessian, A + T.along(step)) < 1e-11
    inverse = model.curvature_.to_dense()
    assert relative(inverse @ second_order(model).hessian, np.eye(len(A))) < 1e-6
    conservative = model._erasure_state.path.conservative.to_dense()
    assert relative(conservative @ A, np.eye(len(A))) < 1e-6
    assert np.array_equal(model.curvature_.diagonal, second_order(model).hessian.diagonal())


@pytest.mark.parametrize("epsilon", [None, 0.6])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_stream_of_steps_by_hand(n_classes, epsilon):
    """Halley's steps with explicit matrices, from a model that the default solver trained."""
    X, y, w = problem(n_classes, 90)
    model = ErasableLogisticRegression(**SECOND, C=0.5).fit(X, y, w)
    eps = epsilon or 1.0
    ridge = model.curvature_.ridge
    A = hessian(model, X, y, w, ridge)
    conservative = A
    T = reference.third_order(model, X, w)
    g_0 = reference.residual(model, X, y, w)
    length = 0.0
    for S in (np.arange(3), np.arange(3, 5), np.arange(5, 9)):
        rows = X[S], y[S]
        H = reference.curvature(model, *rows, w[S], "fisher")
        P = np.linalg.inv(conservative)
        kept = reference.kept(model, *rows, P, "fisher", length, KEPT_RATE)
        conservative = conservative - reference.curvature(model, *rows, w[S] * (1 - kept), "fisher")
        A = A - H
        T = T - reference.third_order(model, X[S], w[S])
        g = w[S] @ reference.gradients(model, *rows) - g_0
        step = reference.halley(A, T, g)
        expected = theta(model) + eps * step
        length = np.hypot(length, eps * np.sqrt(g @ step))
        A = A + T @ (eps * step)
        g_0 = (1 - eps) * g_0
        model.unlearn(*rows, epsilon, sample_weight=w[S])
        record = model.erasures_[-1]
        assert (record.order, record.epsilon, record.damped) == (2, eps, False)
        assert relative(theta(model), expected) < 1e-9
        assert relative(second_order(model).hessian, A) < 1e-9
        found = np.linalg.inv(model._erasure_state.path.conservative.to_dense())
        assert relative(found, conservative) < 1e-6
        assert record.path_length == pytest.approx(length, rel=1e-6)
        assert record.kept_curvature == pytest.approx(kept.mean(), rel=1e-6, abs=1e-12)
    assert model.refresh_recommended_ == ""


def test_eps_multiplies_the_step(four_classes):
    X, y = four_classes
    model = ErasableLogisticRegression(**SECOND).fit(X, y)
    steps = []
    for epsilon in (None, "auto", "0.5*auto", 0.5, 2.0):
        twin = copy.deepcopy(model).unlearn(X[:9], y[:9], epsilon)
        steps.append(theta(twin) - theta(model))
    for step, factor in zip(steps, (1.0, 1.0, 0.5, 0.5, 2.0), strict=True):
        assert relative(step, factor * steps[0]) < 1e-12


@pytest.mark.parametrize("name", ["binary", "softmax", "breast cancer"])
def test_a_step_of_second_order_is_many_times_closer(binary, four_classes, real_data, name):
    """Random one and five per cent of the rows, from converged models."""
    data = {"binary": binary, "softmax": four_classes, "breast cancer": real_data["breast_cancer"]}
    X, y = data[name]
    X = X[:, :8]
    models = [
        ErasableLogisticRegression(curvature="fisher", order=k, **EXACT).fit(X, y) for k in (1, 2)
    ]
    for share in (0.01, 0.05):
        ratios = []
        for seed in range(7):
            size = max(2, int(share * len(y)))
            S = np.random.default_rng(seed).choice(len(y), size, replace=False)
            keep = without(S, len(y))
            retrained = LogisticRegression(**EXACT).fit(X[keep], y[keep])
            erased = [copy.deepcopy(model).unlearn(X[S], y[S]) for model in models]
            ratios.append([parameter_distance(models[0], twin, retrained) for twin in erased])
        first, second = np.median(ratios, axis=0)
        assert second < 0.1 * first
        assert second < 0.005


def test_a_stream_of_second_order_is_closer(four_classes):
    """One by one, a fifth of the rows."""
    X, y = four_classes
    rows = np.random.default_rng(0).permutation(len(y))[:48]
    keep = without(rows, len(y))
    retrained = LogisticRegression(**EXACT).fit(X[keep], y[keep])
    ratios = []
    for order in (1, 2):
        original = ErasableLogisticRegression(curvature="fisher", order=order, **EXACT).fit(X, y)
        model = copy.deepcopy(original)
        with may_warn(REFRESH):
            for i in rows:
                model.unlearn(X[[i]], y[[i]])
        assert model.order_ == order
        ratios.append(parameter_distance(original, model, retrained))
    assert ratios[1] < 0.2 * ratios[0]


# The guard


UNTRUSTED = {"curvature": "fisher", "C": 100.0, "budget": None, **EXACT}


@pytest.fixture
def dominant(real_data):
    """Rows, labels, and half of a class.

    With the parameters UNTRUSTED, an eigenvalue of the Hessian after their step is .05 relative to
    the conservative curvature.
    """
    X, y = real_data["breast_cancer"]
    return X[:, :8], y, np.flatnonzero(y == 0)[:116]


def test_a_step_that_is_not_trusted_is_of_first_order(dominant):
    X, y, S = dominant
    model, first = (
        ErasableLogisticRegression(order=order, **UNTRUSTED).fit(X, y) for order in (2, 1)
    )
    preview = model.preview_unlearn(X[S], y[S])
    assert model.order_ == 2
    assert model.refresh_recommended_ == ""
    with may_warn(LONG_STEP):
        model.unlearn(X[S], y[S])
        first.unlearn(X[S], y[S])
    assert np.array_equal(theta(model), theta(first))
    assert np.array_equal(model.curvature_.to_dense(), first.curvature_.to_dense())
    assert model.order_ == 1
    path = model._erasure_state.path
    assert path.second_order is path.conservative is None
    (record,) = model.erasures_
    assert record == preview
    assert record.order == 1
    assert model.refresh_recommended_ == record.refresh_recommended == DROPPED
    # The warning is given once, by the next call.
    rest = without(S, len(y))
    rest = X[rest], y[rest]
    before = snapshot(model)
    model.preview_unlearn(rest[0][:1], rest[1][:1])
    assert snapshot(model) == before
    with pytest.raises(ErasureWarning, match=REFRESH):
        model.unlearn(rest[0][:1], rest[1][:1])
    assert snapshot(model) == before
    model.refresh(*rest)
    assert model.order_ == 2
    assert model.refresh_recommended_ == ""
    assert model.unlearn(rest[0][:3], rest[1][:3]).erasures_[-1].order == 2


def test_the_warning_is_given_once(dominant):
    X, y, S = dominant
    model = ErasableLogisticRegression(order=2, **UNTRUSTED).fit(X, y)
    with may_warn(LONG_STEP):
        model.unlearn(X[S], y[S])
    rest = without(S, len(y))
    X, y = X[rest], y[rest]
    with pytest.warns(ErasureWarning, match=f"{REFRESH}.*{DROPPED}"):
        model.learn(X[:1], y[:1])
    model.learn(X[1:2], y[1:2]).learn(X[2:3], y[2:3])
    assert model.refresh_recommended_ == DROPPED
    assert [record.order for record in model.erasures_] == [1, 1, 1, 1]


def test_the_first_reason_remains(dominant):
    """Also if the third derivatives are dropped later."""
    X, y, S = dominant
    others = np.flatnonzero(y == 1)[:143]
    model = ErasableLogisticRegression(order=2, **UNTRUSTED).fit(X, y)
    model.unlearn(X[others], y[others])
    reason = model.refresh_recommended_
    assert model.order_ == 2
    assert "of the" in reason
    assert reason != DROPPED
    record = model.preview_unlearn(X[S], y[S], 1e-3)  # a short step, for the guard of log-odds
    assert (record.order, record.refresh_recommended) == (1, reason)


def test_a_trusted_step_is_not_damped():
    """The margin is below the one from which steps of first order are damped."""
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    S = np.arange(45)  # of 50 rows of a class
    model = ErasableLogisticRegression(**SECOND, **EXACT).fit(X, y)
    A = hessian(model, X[45:], y[45:], np.ones(105), model.curvature_.ridge)
    T = reference.third_order(model, X[45:], np.ones(105))
    g = reference.gradients(model, X[S], y[S]).sum(axis=0)
    expected = theta(model) + reference.halley(A, T, g)
    with may_warn(LONG_STEP):  # but not of damping
        model.unlearn(X[S], y[S])
    record = model.erasures_[-1]
    assert (record.order, record.damped) == (2, False)
    assert record.margin < 0.2
    assert relative(theta(model), expected) < 1e-6


def test_fit_curvature_computes_the_third_derivatives_again(dominant):
    """Also with order "auto", if the model had them at fit."""
    X, y, S = dominant
    keep = without(S, len(y))
    rows = X[keep], y[keep]
    for order in (2, "auto"):
        model = ErasableLogisticRegression(order=2, **UNTRUSTED).fit(X, y)
        with may_warn(LONG_STEP):
            model.set_params(order=order).unlearn(X[S], y[S])
        assert model.order_ == 1
        with may_warn("The model must be at a minimum"):
            model.fit_curvature(*rows)
        assert model.order_ == 2
        assert model.refresh_recommended_ == ""
        v = random_vector(model)
        assert relative(second_order(model).third.along(v), tensor(model, *rows).along(v)) < 1e-12


@pytest.mark.parametrize("trusted", [True, False])
def test_a_later_step_that_is_not_trusted(dominant, trusted, monkeypatch):
    """It uses the present Hessian, or the conservative curvature if that is not trusted either."""
    X, y, S = dominant
    model = ErasableLogisticRegression(order=2, **UNTRUSTED).fit(X, y).unlearn(X[-9:], y[-9:])
    assert model.order_ == 2
    path = model._erasure_state.path
    P = path.conservative.to_dense()
    rows = X[S], y[S]
    H = reference.curvature(model, *rows, np.ones(len(S)), "fisher")
    kept = reference.kept(model, *rows, P, "fisher", path.length, KEPT_RATE)
    g = reference.gradients(model, *rows).sum(axis=0)
    A = path.second_order.hessian if trusted else np.linalg.inv(P)
    if not trusted:
        monkeypatch.setattr(SecondOrder, "is_trusted", lambda self, conservative: False)
    expected = theta(model) + np.linalg.solve(A - H, g)
    stored = reference.curvature(model, *rows, 1 - kept, "fisher")
    with may_warn(LONG_STEP):
        model.unlearn(*rows)
    assert model.order_ == 1
    assert not model.erasures_[-1].damped
    assert relative(theta(model), expected) < 1e-8
    assert relative(np.linalg.inv(model.curvature_.to_dense()), np.linalg.inv(P) - stored) < 1e-6


def test_the_trusted_range_of_eigenvalues(binary):
    """The eigenvalues of both Hessians relative to the conservative curvature are in a range."""
    X, y = binary
    model = ErasableLogisticRegression(**SECOND).fit(X, y)
    found = second_order(model)
    d = theta(model).size
    P = np.linalg.inv(found.hessian)
    zero = np.zeros(d)
    for factor, trusted in [
        (0.9 * LEAST_EIGENVALUE, False),
        (1.1 * LEAST_EIGENVALUE, True),
        (0.9 / LEAST_EIGENVALUE, True),
        (1.1 / LEAST_EIGENVALUE, False),
    ]:
        step = found.halley(zero, zero, factor * P)
        assert (step is not None) is trusted
    g = reference.gradients(model, X[:5], y[:5]).sum(axis=0)
    # The matrix at the middle of a long Newton step is not trusted, whatever Halley's step is.
    assert found.halley(zero, 1000 * (P @ g), P) is None
    step = found.halley(g, P @ g, P)
    T = reference.third_order(model, X, np.ones(len(y)))
    assert relative(step, reference.halley(found.hessian, T, g)) < 1e-10
    # Steps of many lengths, from trusted ones to others.
    for length in np.geomspace(1, 100, 30):
        step = found.halley(length * g, length * (P @ g), P)
        far = reference.halley(found.hessian, T, length * g)
        ends = [T @ (P @ g) * length / 2, T @ far]
        values = [np.linalg.eigvals(np.eye(d) + P @ end).real for end in ends]
        inside = [(v.min() >= LEAST_EIGENVALUE, v.max() <= 1 / LEAST_EIGENVALUE) for v in values]
        assert (step is not None) is bool(np.all(inside))


# The parameter


def test_auto_keeps_them_if_they_are_cheap(real_data):
    """The estimate uses sizes and the number of iterations alone, and no measured time."""
    orders = set()
    for name, columns in [("wine", 13), ("breast_cancer", 5), ("breast_cancer", 30)]:
        X, y = real_data[name]
        X = X[:, :columns]
        for params in ({"max_iter": 2000}, {"tol": 1e-9, "max_iter": 2000}, {"C": 1e-4}):
            model = ErasableLogisticRegression(curvature="fisher", **params).fit(X, y)
            batch = validated_batch(model, X, y, None, trusted=True)
            cheap = calibration_of_order.is_cheap(batch, int(model.n_iter_.max()))
            assert model.order_ == (2 if cheap else 1)
            orders.add(model.order_)
            assert model.set_params(order=1).fit(X, y).order_ == 1
    assert orders == {1, 2}
    few, many = (calibration_of_order.is_cheap(batch, n_iter) for n_iter in (1, 10_000))
    assert (few, many) == (False, True)


def test_auto_needs_memory(monkeypatch, four_classes):
    model = ErasableLogisticRegression(curvature="fisher", tol=1e-12, max_iter=9999)
    monkeypatch.setattr(calibration_of_order, "is_cheap", lambda batch, n_iter: True)
    assert clone(model).fit(*four_classes).order_ == 2
    monkeypatch.setattr(calibration_of_order, "fits", lambda n_bytes: False)
    assert clone(model).fit(*four_classes).order_ == 1


IMPOSSIBLE = [
    {"curvature": "empirical_fisher"},
    {"curvature": "empirical_fisher", "leave_out": True},
    {"structure": "block"},
    {"structure": "diagonal"},
    {"structure": "low_rank"},
    {"leave_out": False},
    {"fisher_batch_size": 4},
]


@pytest.mark.parametrize("params", IMPOSSIBLE, ids=str)
def test_order_2_needs_the_whole_hessian(monkeypatch, four_classes, params):
    X, y = four_classes
    with pytest.raises(ErasureError, match="order=2 needs the inverse of the whole Hessian"):
        ErasableLogisticRegression(**{**SECOND, **params}).fit(X, y)
    monkeypatch.setattr(calibration_of_order, "is_cheap", lambda batch, n_iter: True)
    model = ErasableLogisticRegression(**{**SECOND, **params, "order": "auto"}).fit(X, y)
    assert model.order_ == 1


def test_order_2_needs_memory(monkeypatch, four_classes):
    monkeypatch.setattr(calibration_of_order, "available_bytes", lambda: 10_000)
    refused = r"24 parameters must fit into memory twice, got 20\.2 kB for 10 kB"
    with pytest.raises(ErasureError, match=refused):
        ErasableLogisticRegression(**SECOND).fit(*four_classes)


def test_order_2_warns_before_a_long_time(monkeypatch, four_classes):
    model = ErasableLogisticRegression(**SECOND)
    monkeypatch.setattr(calibration_of_order, "LONG_TIME", 0.1)
    with pytest.warns(ErasureWarning, match=r"of 240 rows need 20\.2 kB and about 0 s"):
        model.fit(*four_classes)


@pytest.mark.parametrize("order", [0, 3, 1.5, "2", None])
def test_other_orders_are_refused(binary, order):
    with pytest.raises(ValueError, match="'order' parameter"):
        ErasableLogisticRegression(curvature="fisher", order=order).fit(*binary)


@pytest.mark.parametrize("params", [{"order": 1}, {"leave_out": False}], ids=str)
def test_a_parameter_that_is_set_after_fit_drops_them(four_classes, params):
    """The steps are the ones of a model that never had third derivatives."""
    X, y = four_classes
    model = ErasableLogisticRegression(**SECOND).fit(X, y).set_params(**params)
    first = ErasableLogisticRegression(**{**SECOND, "order": 1, **params}).fit(X, y)
    for rows in (slice(0, 5), slice(5, 9)):
        for twin in (model, first):
            twin.unlearn(X[rows], y[rows])
        assert np.array_equal(theta(model), theta(first))
        # The bounds use the third derivatives of the first model.
        bound = model.erasures_[-1].gradient_bound
        assert replace(first.erasures_[-1], gradient_bound=bound) == model.erasures_[-1]
        assert model.order_ == 1
        assert model.refresh_recommended_ == ""
    if "order" in params:
        rest = X[9:], y[9:]
        assert model.refresh(*rest).order_ == 1
        assert model.set_params(order=2).fit_curvature(*rest).order_ == 2


def test_order_1_after_steps_of_second_order(four_classes):
    """The steps continue with the conservative curvature."""
    X, y = four_classes
    model = ErasableLogisticRegression(**SECOND).fit(X, y).unlearn(X[:5], y[:5])
    path = model._erasure_state.path
    g = reference.gradients(model, X[5:9], y[5:9]).sum(axis=0)
    H = reference.curvature(model, X[5:9], y[5:9], np.ones(4), "fisher")
    A = np.linalg.inv(path.conservative.to_dense())
    expected = theta(model) + np.linalg.solve(A - H, g)
    model.set_params(order=1).unlearn(X[5:9], y[5:9])
    assert relative(theta(model), expected) < 1e-8
    assert [record.order for record in model.erasures_] == [2, 1]


def test_mini_batches_have_no_third_derivatives(binary):
    X, y = binary
    model = ErasableLogisticRegression(
        curvature="fisher", fisher_batch_size=4, leave_out="auto", order="auto"
    ).fit(X, y)
    with pytest.warns(ErasureWarning, match="mini-batches"):
        assert model.unlearn(X[:3], y[:3]).erasures_[-1].order == 1


# Files, searches and composites


def test_nothing_to_erase_changes_nothing(binary):
    X, y = binary
    model = ErasableLogisticRegression(**SECOND).fit(X, y).unlearn(X[:3], y[:3])
    before = snapshot(model)
    with may_warn(NO_ROWS):
        model.unlearn(X[:0], y[:0])
        model.unlearn(X[:2], y[:2], sample_weight=[0.0, 0.0])
    assert snapshot(model) == before


def test_clones_and_files(four_classes, tmp_path):
    """A loaded model makes the same steps, bit for bit."""
    X, y = four_classes
    model = ErasableLogisticRegression(**SECOND)
    assert clone(model).order == 2
    model.fit(X, y).unlearn(X[:5], y[:5])
    loaded = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    joblib.dump(model, tmp_path / "model.joblib")
    loaded.append(joblib.load(tmp_path / "model.joblib"))
    model.unlearn(X[5:9], y[5:9])
    for twin in loaded:
        assert twin.order_ == 2
        assert snapshot(twin.unlearn(X[5:9], y[5:9])) == snapshot(model)


def test_skops(four_classes):
    skops = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[files]'")
    X, y = four_classes
    model = ErasableLogisticRegression(**SECOND).fit(X, y).unlearn(X[:5], y[:5])
    twin = skops.loads(skops.dumps(model), trusted=TRUSTED_TYPES)
    for either in (model, twin):
        either.unlearn(X[5:9], y[5:9])
    assert snapshot(twin) == snapshot(model)


def test_a_search_over_orders(four_classes):
    X, y = four_classes
    grid = {"order": [2, 1, "auto"], "C": [0.1, 1.0]}
    search = GridSearchCV(ErasableLogisticRegression(curvature="fisher"), grid, cv=3).fit(X, y)
    assert search.best_params_["order"] == 2  # all orders predict alike, so the first is chosen
    best = copy.deepcopy(search.best_estimator_).unlearn(X[:5], y[:5])
    unlearn(search, X[:5], y[:5])
    assert np.array_equal(theta(search.best_estimator_), theta(best))
    assert best.erasures_[0].order == 2


@pytest.mark.parametrize("n_classes", [2, 3])
def test_downdated_columns(n_classes):
    """In a pipeline the third derivatives are a build on the rows that the new scaler returns."""
    X, y, _ = problem(n_classes, 90)
    X = X * 3 + 2
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression(**SECOND)).fit(X, y)
    proba = pipe.predict_proba(X[6:])
    proba = proba[:, 1:] if n_classes == 2 else proba
    unlearn(pipe, X[:6], y[:6], preprocessing="downdate")
    kappa = third_derivatives(proba, "logistic" if n_classes == 2 else "softmax")
    expected = ThirdOrder.of_rows(StandardScaler().fit_transform(X[6:]), kappa, True)
    assert pipe[-1].erasures_[0].order == 2
    v = random_vector(pipe[-1])
    assert relative(second_order(pipe[-1]).third.along(v), expected.along(v)) < 1e-9
    # A second erasure maps the Hessian after the step, the tensor and the conservative curvature.
    unlearn(pipe, X[6:9], y[6:9], preprocessing="downdate")
    assert pipe[-1].erasures_[1].order == 2
    path = pipe[-1]._erasure_state.path
    inverse = pipe[-1].curvature_.to_dense()
    assert relative(inverse @ path.second_order.hessian, np.eye(len(inverse))) < 1e-6
    retrained = make_pipeline(StandardScaler(), LogisticRegression(**EXACT)).fit(X[9:], y[9:])
    assert np.abs(pipe.predict_proba(X) - retrained.predict_proba(X)).max() < 2e-3


def test_the_conservative_curvature_has_the_new_columns():
    """Rows of weight 0 are erased from the scaler alone, which changes the columns."""
    X, y, w = problem(3, 90)
    X = X * 3 + 2
    w[6:12] = 0.0
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression(**SECOND))
    pipe.fit(X, y, erasablelogisticregression__sample_weight=w)
    S = np.arange(6)
    unlearn(pipe, X[S], y[S], sample_weight=w[S], preprocessing="downdate")
    old = copy.deepcopy(pipe)
    ridge = np.diag(pipe[-1].curvature_.ridge)
    before = np.linalg.inv(old[-1]._erasure_state.path.conservative.to_dense()) - ridge
    S = np.arange(6, 12)
    unlearn(pipe, X[S], y[S], sample_weight=w[S], preprocessing="downdate")
    assert pipe[-1].order_ == 2
    M = np.diag(np.append(old[0].scale_ / pipe[0].scale_, 1.0))
    M[:-1, -1] = (old[0].mean_ - pipe[0].mean_) / pipe[0].scale_
    M = np.kron(np.eye(3), M)
    after = np.linalg.inv(pipe[-1]._erasure_state.path.conservative.to_dense()) - ridge
    assert relative(after, M @ before @ M.T) < 1e-6


@pytest.mark.parametrize("with_std", [False, True])
def test_models_without_a_forget_row_follow_the_columns(real_data, with_std):
    """Other centres change no prediction. Other scales change the penalty, which moves the model.

    The tensor is a build on the transformed rows before the step; the Hessian follows the step.
    """
    X, y = real_data["wine"]
    X = X[:, :4] * 5 + 1
    S = np.flatnonzero(y == 0)[:20]
    keep = without(S, len(y))
    model = ErasableLogisticRegression(**SECOND, **EXACT)
    scaler = StandardScaler(with_std=with_std)
    pipe = make_pipeline(scaler, OneVsOneClassifier(model)).fit(X, y)
    rows = y != 0
    labels = (y[rows] == 2).astype(int)
    pair = pipe[-1].estimators_[2]  # of the classes 1 and 2
    before = pair.decision_function(pipe[0].transform(X[rows]))
    unlearn(pipe, X[S], y[S], preprocessing="downdate")
    Z = clone(scaler).fit(X[keep]).transform(X[rows])
    pair = pipe[-1].estimators_[2]
    assert [record.n_erased for record in pair.erasures_] == [0]
    assert pair.order_ == 2
    start = np.linalg.lstsq(reference.design(Z, True), before)[0]
    step = theta(pair) - start
    assert np.allclose(pair.decision_function(Z), before, rtol=0, atol=1e-7) is not with_std
    start = reference.moved(pair, -step)
    T = reference.third_order(start, Z, np.ones(rows.sum()))
    A = hessian(start, Z, labels, np.ones(rows.sum()), pair.curvature_.ridge) + T @ step
    v = random_vector(pair)
    assert relative(second_order(pair).third.along(v), T @ v) < 1e-7
    assert relative(second_order(pair).hessian, A) < 1e-7
    assert relative(pair.curvature_.to_dense(), np.linalg.inv(A)) < 1e-6


def test_many_outputs_are_a_loop(binary):
    X, y = binary
    Y = np.column_stack([y, X[:, 0] + np.cos(9 * X[:, 1]) > 0, X[:, 2] > np.sin(9 * X[:, 3])])
    Y = Y.astype(int)
    many = MultiOutputClassifier(ErasableLogisticRegression(**SECOND)).fit(X, Y)
    loop = [copy.deepcopy(output) for output in many.estimators_]
    for rows in (slice(0, 4), slice(4, 5)):
        records = preview_unlearn(many, X[rows], Y[rows])
        unlearn(many, X[rows], Y[rows])
        for output, model, labels, record in zip(many.estimators_, loop, Y.T, records, strict=True):
            model.unlearn(X[rows], labels[rows])
            assert np.array_equal(theta(output), theta(model))
            assert output.erasures_[-1] == record == model.erasures_[-1]
            assert record.order == 2
    # Each output has its own order.
    many.estimators_[1].set_params(order=1)
    unlearn(many, X[5:7], Y[5:7])
    assert [output.order_ for output in many.estimators_] == [2, 1, 2]


def test_bagging_is_a_loop(binary):
    """A row that a member drew twice has weight 2 in it."""
    X, y = binary
    bag = BaggingClassifier(
        ErasableLogisticRegression(**SECOND), n_estimators=4, max_features=4, random_state=0
    ).fit(X, y)
    loop = copy.deepcopy(bag.estimators_)
    S = np.arange(6)
    unlearn(bag, X[S], y[S], positions=S)
    for member, model, drawn, columns in zip(
        bag.estimators_, loop, bag.estimators_samples_, bag.estimators_features_, strict=True
    ):
        times = np.bincount(drawn, minlength=len(y))[S]
        model.unlearn(X[S][:, columns], y[S], sample_weight=times.astype(float))
        assert relative(theta(member), theta(model)) < 1e-12
        assert member.erasures_[0].order == 2


def test_more_rows_than_parameters_and_single_precision(real_data):
    """Many forget rows are streamed; float32 has the steps of float64 to its rounding."""
    X, y = real_data["breast_cancer"]
    X = X[:, :5]
    model = ErasableLogisticRegression(**SECOND, **EXACT).fit(X, y)
    single = ErasableLogisticRegression(**SECOND, solver="newton-cholesky").fit(
        X.astype(np.float32), y
    )
    S = np.random.default_rng(0).choice(len(y), 60, replace=False)
    for twin, rows in ((model, X), (single, X.astype(np.float32))):
        twin.unlearn(rows[S], y[S])
        assert twin.erasures_[0].order == 2
    assert single.coef_.dtype == np.float32
    assert relative(theta(single), theta(model)) < 1e-3
    keep = without(S, len(y))
    assert relative(theta(model), theta(LogisticRegression(**EXACT).fit(X[keep], y[keep]))) < 0.02


@pytest.mark.parametrize("verb", ["learn", "rectify"])
def test_added_rows_are_never_much_worse_than_by_a_newton_step(verb):
    """The step has the length of its own expansion: eps is 1."""
    X, y = load_wine(return_X_y=True)
    X = scale(X)
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        S, rest = np.split(rng.permutation(len(y)), [8])
        new = X.copy()
        if verb == "rectify":
            new[S] += 0.5 * rng.standard_normal(new[S].shape)
        goal = theta(LogisticRegression(**EXACT).fit(new, y))
        both = []
        for order in (1, 2):
            model = ErasableLogisticRegression(curvature="fisher", order=order, **EXACT)
            if verb == "learn":
                start = theta(model.fit(X[rest], y[rest]))
                model.learn(X[S], y[S])
            else:
                start = theta(model.fit(X, y))
                with may_warn(LONG_STEP):
                    model.rectify(X[S], y[S], new[S], y[S])
            both.append(np.linalg.norm(theta(model) - goal) / np.linalg.norm(start - goal))
        ratios.append(both)
    first, second = np.array(ratios).T
    assert (second < first + 0.1).all()
    assert np.median(second) < 0.3 * np.median(first)


def test_added_rows_far_from_their_expansion_get_a_newton_step(binary):
    """Rows with labels that the model finds improbable; the Hessian still follows the step."""
    X, y = binary
    far = 4 * X[:3]
    model = ErasableLogisticRegression(**SECOND, C=100.0).fit(X, y)
    labels = 1 - model.predict(far)
    with may_warn(LARGE_NORM, LONG_STEP):
        model.learn(far, labels)
    assert model.erasures_[0].order == 1
    assert model.order_ == 2


def test_auto_is_chosen_once_and_never_demanded(binary):
    """A curvature that is computed again keeps the order of the fit, if it still can."""
    X, y = load_iris(return_X_y=True)
    model = ErasableLogisticRegression(curvature="fisher", max_iter=500, C=100.0).fit(X, y)
    assert model.order_ == 2
    assert model.fit_curvature(X, y).order_ == 2
    for name, value in [
        ("curvature", "empirical_fisher"),
        ("structure", "diagonal"),
        ("leave_out", False),
        ("fisher_batch_size", 5),
    ]:
        other = copy.deepcopy(model).set_params(**{name: value})
        assert other.fit_curvature(X, y).order_ == 1


@pytest.mark.parametrize("epsilon", [5.0, 20.0, 30.0])
def test_a_step_that_is_too_long_for_the_hessian(real_data, epsilon):
    """The preview is what `unlearn` does; the Hessian after a long step is not stored."""
    X, y = real_data["breast_cancer"]
    model = ErasableLogisticRegression(**SECOND).fit(X, y)
    record = model.preview_unlearn(X[:40], y[:40], epsilon)
    with may_warn(LARGE_EPSILON, LONG_STEP):
        model.unlearn(X[:40], y[:40], epsilon)
    assert model.erasures_ == [record]
    values = np.linalg.eigvalsh(model.curvature_.to_dense())
    assert values[0] > 0
    assert model.order_ == 2 or record.refresh_recommended == DROPPED
