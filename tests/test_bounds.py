"""Bounds of the gradient and of the distance to retraining: they hold, and why a model has none."""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_class_weight

from sklearn_ssse import (
    TRUSTED_TYPES,
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureWarning,
    unlearn,
)
from sklearn_ssse._erasure import bounds_at_fit
from sklearn_ssse._erasure.bound_call import ADDED
from sklearn_ssse._erasure.bounds_at_fit import BATCHES, NET, NOT_KEPT
from sklearn_ssse._erasure.budget import AUTO_BUDGET
from sklearn_ssse._erasure.row_sums import exponential
from sklearn_ssse._erasure.softmax_bounds import LARGEST_SECOND, LARGEST_THIRD
from sklearn_ssse._gradients.fourth_order import FourthOrder
from tests.reference import design, theta
from tests.test_many import one_by_one
from tests.warned import REFRESH, may_warn

EXACT = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 500}
FISHER = {"curvature": "fisher", **EXACT}
# The bounds hold whether an erasure warns or not.
ANY = ""


def cancer(n_columns=10):
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:, :n_columns], y


def wine(c=1):
    X, y = load_wine(return_X_y=True)
    return scale(X), (y == c).astype(int)


def iris(c=2):
    X, y = load_iris(return_X_y=True)
    return scale(X), (y == c).astype(int)


def random_rows(n=150, d=5):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) * rng.uniform(0.2, 2.0, d)
    return X, (X[:, 0] + rng.standard_normal(n) > 0).astype(int)


def fitted(X, y, sample_weight=None, **params):
    model = ErasableLogisticRegression(**{**FISHER, **params})
    with warnings.catch_warnings():  # a test with few iterations, and liblinear as a solver
        warnings.simplefilter("ignore")
        return model.fit(X, y, sample_weight)


def penalties(model):
    """The penalty of each parameter of one output."""
    own = np.full(model.n_features_in_, 1 / model.C)
    if not model.fit_intercept:
        return own
    return np.append(own, 1 / model.C if model.solver == "liblinear" else 0.0)


def objective(model, X, y, weight, params):
    """Gradient and Hessian of the penalised objective, for two classes (d,), (d, d)."""
    Z = design(X, model.fit_intercept)
    p = 1 / (1 + np.exp(-Z @ params))
    penalty = penalties(model)
    gradient = Z.T @ (weight * (p - (y == model.classes_[1]))) + penalty * params
    return gradient, (Z.T * (weight * p * (1 - p))) @ Z + np.diag(penalty)


def true_values(model, X, y, weight=None):
    """Norm of the gradient on the retained rows, and distance to the retrained parameters."""
    weight = np.ones(len(y)) if weight is None else weight
    params = theta(model)
    gradient, hessian = objective(model, X, y, weight, params)
    retrained = params
    for _ in range(30):
        g, H = objective(model, X, y, weight, retrained)
        retrained = retrained - np.linalg.solve(H, g)
    apart = params - retrained
    return np.linalg.norm(gradient), np.sqrt(apart @ hessian @ apart)


def multinomial_gradient(model, X, y):
    """Norm of the gradient on the retained rows."""
    Z = design(X, model.fit_intercept)
    params = theta(model).reshape(len(model.classes_), -1)
    p = softmax(Z @ params.T, axis=1)
    gradient = (p - (y[:, None] == model.classes_)).T @ Z + penalties(model) * params
    return np.linalg.norm(gradient)


def forget_set(y, share, by_class, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(y == 1) if by_class else np.arange(len(y))
    k = min(max(1, int(share * len(y))), len(rows) // 2)
    return rng.choice(rows, k, replace=False)


def erased(model, X, y, S, n_calls=1, weight=None, epsilon=None):
    """A copy of the model without rows S."""
    model = copy.deepcopy(model)
    with may_warn(ANY):
        for part in np.array_split(S, n_calls):
            own = None if weight is None else weight[part]
            model.unlearn(X[part], y[part], epsilon, sample_weight=own)
    return model


def check(model, X, y, S, weight=None):
    """Assert that the sums of the bounds are at least the true values; return the ratios."""
    retained = np.setdiff1d(np.arange(len(y)), S)
    weight = None if weight is None else weight[retained]
    gradient, distance = true_values(model, X[retained], y[retained], weight)
    budget = model.erasure_budget_
    assert budget.gradient >= gradient
    assert budget.parameters >= distance
    return budget.gradient / gradient, budget.parameters / distance


DATA = {"cancer": cancer, "wine": wine, "iris": iris, "random": random_rows}


@pytest.mark.parametrize("order", [1, 2, "kept"])
@pytest.mark.parametrize("C", [0.01, 1, 100])
@pytest.mark.parametrize("name", DATA)
def test_one_call(name, C, order):
    X, y = DATA[name]()
    original = fitted(X, y, C=C, order=1 if order == 1 else 2)
    if order == "kept":
        original.set_params(order=1)
    for share in (0, 0.01, 0.05, 0.2):
        for by_class in (False, True):
            S = forget_set(y, share, by_class)
            check(erased(original, X, y, S), X, y, S)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("C", [0.01, 0.1])
@pytest.mark.parametrize("name", DATA)
def test_twenty_calls(name, C, order):
    X, y = DATA[name]()
    S = forget_set(y, 0.15, False)
    model = erased(fitted(X, y, C=C, order=order), X, y, S, 20)
    check(model, X, y, S)
    budget = model.erasure_budget_
    assert budget.gradient == pytest.approx(sum(r.gradient_bound for r in model.erasures_))
    if np.isfinite(budget.parameters):
        assert budget.parameters == pytest.approx(sum(r.parameter_bound for r in model.erasures_))


def test_ratios_of_a_single_call_are_small():
    """For 1 % of the rows: below 20, and below 5 with third derivatives."""
    for order, largest in ((1, 20), (2, 5)):
        X, y = cancer()
        original = fitted(X, y, order=order).set_params(order=1)
        S = forget_set(y, 0.01, False)
        gradient, parameters = check(erased(original, X, y, S), X, y, S)
        assert gradient < largest
        assert parameters < largest


CASES = {
    "all sums": {"bounds": "all"},
    "no intercept": {"fit_intercept": False},
    "penalised intercept": {"solver": "liblinear"},
    "class weights": {"class_weight": {0: 0.5, 1: 3.0}},
    "without leave-out": {"leave_out": False},
    "small damping": {"damping": 1e-4},
    "large damping": {"damping": 0.05},
    "lbfgs": {"solver": "lbfgs", "tol": 1e-4},
    "unconverged": {"solver": "lbfgs", "max_iter": 3},
    "epsilon below 1": {"unlearn_epsilon": 0.7},
    "epsilon above 1": {"unlearn_epsilon": 1.3},
}


@pytest.mark.parametrize("n_calls", [1, 20])
@pytest.mark.parametrize("case", CASES)
def test_parameters_of_the_model(case, n_calls):
    X, y = random_rows()
    S = forget_set(y, 0.15, False)
    for C in (0.01, 1):
        model = erased(fitted(X, y, C=C, order=1, **CASES[case]), X, y, S, n_calls)
        weight = None
        if model.class_weight is not None:
            weight = np.vectorize(model.class_weight.get)(y)
        check(model, X, y, S, weight)


def test_balanced_class_weights_and_sample_weights():
    X, y = random_rows()
    S = forget_set(y, 0.1, True)
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))
    weight[-3:] = 0
    for order in (1, 2):
        model = fitted(X, y, weight, C=0.1, order=order)
        check(erased(model, X, y, S, 5, weight), X, y, S, weight)
        balanced = compute_class_weight("balanced", classes=np.unique(y), y=y)[y]
        model = fitted(X, y, C=0.1, order=order, class_weight="balanced")
        check(erased(model, X, y, S, 5), X, y, S, balanced)


@pytest.mark.parametrize("n_calls", [1, 20])
def test_sparse_and_float32(n_calls):
    X, y = random_rows()
    S = forget_set(y, 0.15, False)
    thin = sparse.csr_array(np.where(np.abs(X) < 0.5, 0, X))
    for rows in (thin, X.astype(np.float32)):
        check(erased(fitted(rows, y, C=0.1), rows, y, S, n_calls), rows, y, S)


def cut(monkeypatch):
    """Let models keep one matrix, as for many rows."""
    monkeypatch.setattr(bounds_at_fit, "LARGEST_TIME_SHARE", 0.0)


@pytest.mark.parametrize("n_calls", [1, 20])
@pytest.mark.parametrize("name", DATA)
def test_one_matrix(name, n_calls, monkeypatch):
    cut(monkeypatch)
    X, y = DATA[name]()
    S = forget_set(y, 0.15, False)
    model = fitted(X, y, C=0.01, order=1)
    assert model._erasure_state.bounds.euclidean.by_norm is None
    check(erased(model, X, y, S, n_calls), X, y, S)


@pytest.mark.parametrize("weights", [None, "random"])
def test_one_vs_rest(weights):
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    S = forget_set(y, 0.1, False)
    retained = np.setdiff1d(np.arange(len(y)), S)
    model = OneVsRestClassifier(ErasableLogisticRegression(C=0.1, **FISHER)).fit(X, y)
    with may_warn(ANY):
        for part in np.array_split(S, 5):
            model = unlearn(model, X[part], y[part])
    for c, own in zip(model.classes_, model.estimators_, strict=True):
        gradient, distance = true_values(own, X[retained], (y[retained] == c).astype(int))
        assert own.erasure_budget_.gradient >= gradient
        assert own.erasure_budget_.parameters >= distance


@pytest.mark.parametrize("n_calls", [1, 20])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_multinomial_gradient(load, order, n_calls):
    X, y = load(return_X_y=True)
    X = scale(X)
    S = forget_set(y, 0.1, False)
    retained = np.setdiff1d(np.arange(len(y)), S)
    for C in (0.01, 0.03):
        model = erased(fitted(X, y, C=C, order=order), X, y, S, n_calls)
        budget = model.erasure_budget_
        assert budget.gradient >= multinomial_gradient(model, X[retained], y[retained])
        assert budget.parameters is None
        assert model.erasures_[-1].bound_reason == budget.reason != ""


def test_outputs_together_equal_the_loop():
    X, _ = random_rows()
    Y = np.random.default_rng(1).integers(0, 2, (len(X), 4))
    original = MultiOutputClassifier(ErasableLogisticRegression(C=0.1, **FISHER, order=1))
    original.fit(X, Y)
    together = copy.deepcopy(original)
    loop = copy.deepcopy(original)
    with may_warn(ANY):
        for part in np.array_split(np.arange(15), 5):
            together = unlearn(together, X[part], Y[part])
            one_by_one(loop, X[part], Y[part])
    for a, b in zip(together.estimators_, loop.estimators_, strict=True):
        assert a.erasure_budget_[:3] == pytest.approx(b.erasure_budget_[:3], rel=1e-6)
        check(a, X, Y[:, together.estimators_.index(a)], np.arange(15))


def too_small(sums):
    """The sums divided by 100."""
    matrices = {
        name: getattr(sums, name) / 100
        for name in ("by_second", "by_norm", "by_third")
        if getattr(sums, name) is not None
    }
    return replace(sums, **matrices)


def test_sums_that_are_too_small_are_found(monkeypatch):
    """`check` can fail: with a hundredth of the sums, a bound is below the true value."""
    original_sums = bounds_at_fit.full_sums

    def wrong(*args, **kwargs):
        euclidean, metric, largest = original_sums(*args, **kwargs)
        return too_small(euclidean), too_small(metric), largest

    monkeypatch.setattr(bounds_at_fit, "full_sums", wrong)
    X, y = cancer()
    S = forget_set(y, 0.05, False)
    model = erased(fitted(X, y, C=0.01, order=1), X, y, S)
    with pytest.raises(AssertionError):
        check(model, X, y, S)


def sums_of(X, weight, P, params):
    """The matrices of `RowSums` by their definitions, for both norms."""
    Z = design(X, True)
    p = 1 / (1 + np.exp(-Z @ params))
    v = p * (1 - p)
    norm = np.linalg.norm(Z, axis=1)
    h = np.sqrt(np.einsum("ij,jk,ik->i", Z, P, Z))
    by = {
        "by_second": norm * v,
        "by_norm": norm,
        "by_third": norm * np.abs(v * (1 - 2 * p)),
        "by_fourth": norm * h * np.abs(v * (1 - 6 * v)),
    }
    own = {"by_second": h * v, "by_norm": h}
    return tuple(
        {name: (Z.T * (weight * mass)) @ Z for name, mass in group.items()} for group in (by, own)
    )


@pytest.mark.parametrize("bounds", [True, "all"])
@pytest.mark.parametrize("order", [1, 2])
def test_sums_after_the_first_call_are_sums_over_the_retained_rows(order, bounds):
    """At the parameters of the fit: nothing of the forget rows is in them."""
    X, y = random_rows()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    original = fitted(X, y, weight, C=0.1, order=order, bounds=bounds)
    S = forget_set(y, 0.1, False)
    model = erased(original, X, y, S, weight=weight)
    retained = np.setdiff1d(np.arange(len(y)), S)
    P = original.curvature_.matrix
    expected = sums_of(X[retained], weight[retained], P, theta(original))
    kept = model._erasure_state.bounds
    for sums, own in zip((kept.euclidean, kept.metric), expected, strict=True):
        for name, matrix in own.items():
            found = getattr(sums, name)
            if found is not None:
                np.testing.assert_allclose(found, matrix, rtol=1e-9, atol=1e-9)
        assert sums.curvature_error == sums.hessian_error == sums.third_error == 0
    assert kept.fourth is None


def test_one_matrix_after_the_first_call_is_of_the_retained_rows(monkeypatch):
    cut(monkeypatch)
    X, y = random_rows()
    original = fitted(X, y, C=0.1, order=1)
    S = forget_set(y, 0.1, False)
    sums = erased(original, X, y, S)._erasure_state.bounds.euclidean
    Z = design(np.delete(X, S, axis=0), True)
    p = 1 / (1 + np.exp(-Z @ theta(original)))
    mass = p * (1 - p) * np.maximum(np.linalg.norm(Z, axis=1), sums.least_norm)
    np.testing.assert_allclose(sums.by_second, (Z.T * mass) @ Z, rtol=1e-9, atol=1e-9)


def test_budget_warns_once_and_refresh_empties_it():
    X, y = cancer()
    model = fitted(X, y, C=0.01, order=1, budget=1e-9)
    assert model.erasure_budget_[:3] == (0, 0, 1e-9)
    assert model.refresh_recommended_ == ""
    for _ in range(2):
        model.unlearn(X[:5], y[:5])
        reason = model.refresh_recommended_
        assert "standard errors" in reason
        assert model.erasures_[-1].refresh_recommended == reason
        with pytest.warns(ErasureWarning, match=f"{REFRESH}: the bound of the distance"):
            model.unlearn(X[5:6], y[5:6])
        model.unlearn(X[6:7], y[6:7])  # no second warning
        X = X[7:]
        y = y[7:]
        model.refresh(X, y)
        assert model.erasure_budget_[:2] == (0, 0)
        assert model.refresh_recommended_ == ""


def test_all_sums_give_smaller_bounds():
    X, y = cancer()
    S = forget_set(y, 0.05, False)
    some, every = (
        erased(fitted(X, y, C=0.01, order=1, bounds=bounds), X, y, S).erasure_budget_
        for bounds in (True, "all")
    )
    assert every.gradient < some.gradient
    assert every.parameters <= some.parameters


def test_automatic_budget():
    X, y = cancer()
    model = fitted(X, y, C=0.01)
    assert model.erasure_budget_.limit == AUTO_BUDGET * (X.shape[1] + 1) ** 0.5


@pytest.mark.parametrize("budget", ["auto", None, 1000.0])
def test_steps_that_are_too_long_have_no_bound_of_the_parameters(budget):
    """Only a budget that is a number then recommends a refresh."""
    X, y = cancer(30)
    S = forget_set(y, 0.05, True)
    model = erased(fitted(X, y, C=100, order=1, budget=budget), X, y, S)
    spent = model.erasure_budget_
    assert spent.parameters == np.inf
    assert np.isfinite(spent.gradient)
    record = model.erasures_[-1]
    assert record.parameter_bound is None
    assert "too long" in record.bound_reason
    assert ("too long" in model.refresh_recommended_) == isinstance(budget, float)


def test_fit_curvature_measures_the_gradient_again():
    """The sums are empty, and the first call counts the gradient that the erasures left."""
    X, y = cancer()
    S = forget_set(y, 0.05, False)
    retained = np.setdiff1d(np.arange(len(y)), S)
    model = erased(fitted(X, y, C=0.01, order=1), X, y, S)
    before = model.erasure_budget_.gradient
    model.fit_curvature(X[retained], y[retained])
    assert model.erasure_budget_[:2] == (0, 0)
    more = retained[:2]
    model = erased(model, X, y, more)
    check(model, X, y, np.concatenate([S, more]))
    assert model.erasure_budget_.gradient < before


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"bounds": False}, NOT_KEPT),
        ({"curvature": "empirical_fisher"}, "'empirical_fisher'"),
        ({"structure": "diagonal"}, "'diagonal'"),
        ({"structure": "block"}, "'block'"),
        ({"structure": "low_rank"}, "'low_rank'"),
        ({"fisher_batch_size": 5, "leave_out": False}, BATCHES),
    ],
)
def test_models_without_bounds(params, reason):
    X, y = random_rows()
    model = erased(fitted(X, y, C=0.1, order=1, **params), X, y, np.arange(5))
    budget = model.erasure_budget_
    assert budget[:2] == (None, None)
    assert reason in budget.reason
    record = model.erasures_[-1]
    assert (record.gradient_bound, record.parameter_bound) == (None, None)
    assert record.bound_reason == budget.reason
    assert model.refresh_recommended_ == ""


def test_nets_have_no_bounds():
    X, y = random_rows()
    net = ErasableMLPClassifier((3,), max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, y)
    assert net.erasure_budget_ == (None, None, None, NET)


def test_added_rows_end_the_bounds_until_the_curvature_is_computed():
    X, y = random_rows()
    model = fitted(X[5:], y[5:], C=0.1, order=1).unlearn(X[5:7], y[5:7])
    with may_warn(ANY):
        model.learn(X[:5], y[:5])
    assert model.erasure_budget_.reason == model.erasures_[-1].bound_reason == ADDED
    model = erased(model, X, y, np.arange(7, 9))
    assert model.erasures_[-1].gradient_bound is None
    rows = np.r_[0:5, 9 : len(y)]
    model.fit_curvature(X[rows], y[rows])
    assert model.erasure_budget_[:2] == (0, 0)


def test_pickle_and_copy():
    X, y = random_rows()
    model = erased(fitted(X, y, C=0.1), X, y, np.arange(5))
    assert pickle.loads(pickle.dumps(model)).erasure_budget_ == model.erasure_budget_
    loaded = pickle.loads(pickle.dumps(model))
    loaded = erased(loaded, X, y, np.arange(5, 7))
    assert loaded.erasure_budget_ == erased(model, X, y, np.arange(5, 7)).erasure_budget_


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_skops(load):
    sio = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[files]'")
    X, y = load(return_X_y=True)
    X = scale(X)[:, :4]
    for bounds in (True, False):
        model = erased(fitted(X, y, C=0.1, bounds=bounds), X, y, np.arange(5))
        loaded = sio.loads(sio.dumps(model), trusted=TRUSTED_TYPES)
        assert loaded.erasure_budget_ == model.erasure_budget_


@pytest.mark.parametrize("order", [2, 3, 4])
def test_remainder_of_the_exponential(order):
    """It equals its series, increases, and the two formulas meet at 1."""
    factorials = np.cumprod([1.0, *range(1, 40)])
    for d in (0.0, 1e-8, 0.3, 1.0, 1.0 + 1e-12, 3.0):
        series = sum(d ** (j - order) / factorials[j] for j in range(order, 40))
        assert exponential(d, order) == pytest.approx(series, rel=1e-12)


def test_fourth_derivatives_along_a_vector():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 4))
    tau = rng.standard_normal(7)
    v = rng.standard_normal(4)
    tensor = FourthOrder.of_rows(x[:3], tau[:3]).plus(FourthOrder.of_rows(x[3:], tau[3:]))
    np.testing.assert_allclose(tensor.along(v), (tau * (x @ v) ** 3) @ x)


@pytest.mark.parametrize("seed", range(5))
def test_softmax_constants(seed):
    """The largest variance and third cumulant of unit vectors of outputs, by random search."""
    rng = np.random.default_rng(seed)
    for n_classes in (2, 3, 5):
        p = rng.dirichlet(np.full(n_classes, 0.5), 20_000)
        u = rng.standard_normal((20_000, n_classes))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        centred = u - (p * u).sum(axis=1, keepdims=True)
        assert (p * centred**2).sum(axis=1).max() <= LARGEST_SECOND
        assert np.abs((p * centred**3).sum(axis=1)).max() <= LARGEST_THIRD
    q = 0.5 - 3**-0.5 / 2
    assert q * (1 - q) * (1 - 2 * q) * 2**1.5 == pytest.approx(LARGEST_THIRD)
