"""The comparators of `examples/benchmarks`: each has a property that its paper states."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableLogisticRegression

BENCHMARKS = Path(__file__).parent.parent / "examples" / "benchmarks"
FORGET = np.arange(5, 25)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The folder of the comparators can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def data(n_classes=2, n_features=8):
    X, y = make_classification(
        400, n_features, n_informative=5, n_classes=n_classes, flip_y=0.2, random_state=0
    )
    return scale(X), y


def defaults():
    """One of each comparator."""
    import comparators as c

    return [
        c.Retraining(),
        c.WarmStart(),
        c.Influence(),
        c.InfluenceCG(),
        c.CertifiedRemoval(),
        c.CertifiedRemoval(std=1.0),
        c.DiagonalFisher(),
        c.DiagonalFisher(sigma=0.001),
        c.SISA(shards=3),
        c.DeltaGrad(),
        c.ProjectiveResidual(),
    ]


def newton(method, index):
    """The Newton step on the retained rows from the minimum, (d,)."""
    hessian = method.objective.hessian(method.theta, method.retained_after(index))
    forget = method.rows.take(index)
    return np.linalg.solve(hessian, method.objective.loss_gradient(method.theta, forget).ravel())


# Laws of all comparators.


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("position", range(11))
def test_two_calls_erase_each_row_once_and_predict_probabilities(position, n_classes):
    method = defaults()[position]
    X, y = data(n_classes)
    if n_classes > 2 and not method.multinomial:
        with pytest.raises(ValueError, match="must have two classes"):
            method.prepare(X, y)
        return
    original = method.prepare(X, y).predict_proba(X)
    trial = method.copy().erase(FORGET[:10]).erase(FORGET[10:])
    p = trial.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert not np.array_equal(p, original)
    np.testing.assert_array_equal(method.predict_proba(X), original)
    assert trial.retained.sum() == len(y) - len(FORGET)
    assert (method.theta is None) == (method.outcome == "ensemble")
    with pytest.raises(ValueError, match="at most once"):
        trial.erase(FORGET[:1])


@pytest.mark.parametrize("position", range(11))
def test_sparse_rows_give_the_dense_result(position):
    X, y = data()
    found = [
        defaults()[position].prepare(rows, y).erase(FORGET).predict_proba(X)
        for rows in (X, sparse.csr_matrix(X))
    ]
    np.testing.assert_allclose(*found, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_reaches_the_minimum_of_retraining(n_classes):
    from comparators import Retraining, WarmStart

    X, y = data(n_classes)
    found = [method.prepare(X, y).erase(FORGET).theta for method in (Retraining(), WarmStart())]
    np.testing.assert_allclose(*found, atol=1e-9)


# Influence functions.


@pytest.mark.parametrize("n_classes", [2, 3])
def test_influence_by_conjugate_gradients_equals_dense(n_classes):
    from comparators import Influence, InfluenceCG

    X, y = data(n_classes)
    dense = Influence().prepare(X, y).erase(FORGET).erase([0])
    products = InfluenceCG(rtol=1e-12).prepare(X, y).erase(FORGET).erase([0])
    np.testing.assert_allclose(products.theta, dense.theta, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_influence_is_the_derivative_by_the_weight_of_the_forget_rows(n_classes):
    from comparators import Influence

    X, y = data(n_classes)
    method = Influence().prepare(X, y)
    step = method.copy().erase(FORGET).theta - method.theta
    lost = 1e-4  # weight that the forget rows lose
    moved = method.theta + lost * step
    forget = method.rows.take(FORGET)
    gradient = method.objective.gradient(moved, method.rows)
    gradient -= lost * method.objective.loss_gradient(moved, forget)
    size = lost * np.abs(method.objective.loss_gradient(moved, forget)).max()
    assert np.abs(gradient).max() < 1e-3 * size


# Certified removal.


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.1, 1.0])
def test_the_certified_step_equals_ours(C, fit_intercept):
    from comparators import CertifiedRemoval

    X, y = data()
    params = {"C": C, "fit_intercept": fit_intercept, "solver": "newton-cholesky", "tol": 1e-12}
    ours = ErasableLogisticRegression(**params, curvature="fisher", order=1).fit(X, y)
    method = CertifiedRemoval().prepare(X, y, C=C, fit_intercept=fit_intercept)
    ours.unlearn(X[FORGET], y[FORGET])
    method.erase(FORGET)
    expected = np.hstack([ours.coef_[0], ours.intercept_]) if fit_intercept else ours.coef_[0]
    np.testing.assert_allclose(method.theta[0], expected, atol=1e-7)


@pytest.mark.parametrize("std", [0.0, 2.0])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_certified_bound_holds_over_calls(scale, std):
    from comparators import CertifiedRemoval

    X, y = data()
    X = X * np.where(np.arange(X.shape[1]) == 0, scale, 1.0)
    method = CertifiedRemoval(std).prepare(X, y, C=0.01)
    for index in (FORGET[:10], *FORGET[10:].reshape(-1, 1)):
        method.erase(index)
        left = method.objective.gradient(method.theta, method.rows.take(method.retained))
        assert 0 < np.linalg.norm(left) <= method.spent


@pytest.mark.parametrize("n_calls", [1, 40])
def test_the_certified_bound_is_of_the_size_of_the_error(n_calls):
    """One parameter and equal rows, at the probability where the third derivative is largest."""
    from comparators import CertifiedRemoval

    X = np.ones((400, 1))
    y = np.arange(400) < 84
    method = CertifiedRemoval().prepare(X, y.astype(int), C=100.0, fit_intercept=False)
    for index in np.split(np.arange(40), n_calls):
        method.erase(index)
    left = method.objective.gradient(method.theta, method.rows.take(method.retained))
    assert 0.15 * method.spent < np.linalg.norm(left) <= method.spent


def test_the_perturbation_moves_the_minimum_and_buys_a_budget():
    from comparators import CertifiedRemoval

    X, y = data()
    exact = CertifiedRemoval().prepare(X, y)
    noisy = CertifiedRemoval(2.0).prepare(X, y)
    assert not np.allclose(noisy.theta, exact.theta, atol=1e-3)
    assert np.abs(noisy.objective.gradient(noisy.theta, noisy.rows)).max() < 1e-6
    assert noisy.budget(1.0, 1e-5) == pytest.approx(2 / np.sqrt(2 * np.log(1.5e5)))
    assert noisy.budget(0.5, 1e-5) == pytest.approx(1 / np.sqrt(2 * np.log(1.5e5)))


# Diagonal Fisher.


@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_noise_diagonal_fisher_is_the_diagonal_newton_step(n_classes):
    from comparators import DiagonalFisher

    X, y = data(n_classes)
    method = DiagonalFisher().prepare(X, y)
    kept = method.retained_after(FORGET)
    hessian = method.objective.loss_hessian(method.theta, kept)
    diagonal = np.diag(hessian) + method.objective.penalty.ravel()
    gradient = method.objective.gradient(method.theta, kept).ravel()
    expected = method.theta.ravel() - gradient / diagonal
    np.testing.assert_allclose(method.erase(FORGET).theta.ravel(), expected, rtol=1e-8)


def test_the_noise_of_diagonal_fisher_has_its_standard_deviation():
    from comparators import DiagonalFisher

    X, y = data()
    exact = DiagonalFisher().prepare(X, y)
    hessian = exact.objective.hessian(exact.theta, exact.retained_after(FORGET))
    expected = 0.1 * (np.diag(hessian) / (len(y) - len(FORGET))) ** -0.25
    shared = exact.theta.copy()
    exact.erase(FORGET)
    noise = [
        DiagonalFisher(0.1, seed).prepare(X, y, theta=shared).erase(FORGET).theta - exact.theta
        for seed in range(300)
    ]
    np.testing.assert_allclose(np.std(noise, axis=0)[0], expected, rtol=0.2)


# SISA.


@pytest.mark.parametrize("n_classes", [2, 3])
def test_sisa_retrains_the_shards_of_the_forget_rows_only(n_classes):
    from comparators import SISA

    X, y = data(n_classes)
    method = SISA(shards=4, slices=3).prepare(X, y)
    index = np.array([method.parts[1][2][0], method.parts[3][1][4], method.parts[3][2][0]])
    trial = method.copy().erase(index)
    # Shard 1 restarts at its slice 2, shard 3 at its slice 1 (counted from 0).
    assert trial.retrained == {1: 2, 3: 1}
    for shard, (before, after) in enumerate(
        zip(method.checkpoints, trial.checkpoints, strict=True)
    ):
        kept = trial.retrained.get(shard, 3)
        for i in range(3):
            assert np.array_equal(before[i], after[i]) == (i < kept)


def test_sisa_restarts_at_the_parameters_before_the_changed_slice(monkeypatch):
    from comparators import SISA
    from comparators.objective import Objective

    X, y = data()
    method = SISA(shards=2, slices=3).prepare(X, y)
    starts = []
    minimise = Objective.minimise

    def recorded(self, rows, start=None, tol=1e-10):
        starts.append(start)
        return minimise(self, rows, start, tol)

    monkeypatch.setattr(Objective, "minimise", recorded)
    before = method.checkpoints[1][1]
    method.erase(method.parts[1][2][:1])
    assert len(starts) == 1
    np.testing.assert_array_equal(starts[0], before)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_member_of_sisa_equals_its_retraining(n_classes):
    from comparators import SISA

    X, y = data(n_classes)
    method = SISA(shards=3).prepare(X, y).erase(FORGET)
    for parts, kept in zip(method.parts, method.checkpoints, strict=True):
        rows = method.rows.take(np.concatenate(parts))
        np.testing.assert_allclose(kept[-1], method.objective.minimise(rows)[0], atol=1e-8)
    assert not np.isin(np.concatenate([np.concatenate(p) for p in method.parts]), FORGET).any()


def test_sisa_votes_are_shares_of_the_members():
    from comparators import SISA

    X, y = data()
    votes = SISA(shards=5, vote="majority").prepare(X, y).predict_proba(X)
    np.testing.assert_allclose(votes * 5, np.round(votes * 5))


# DeltaGrad.


def descent(method, rows, steps):
    """Gradient descent from 0 with the steps of a prepared DeltaGrad."""
    theta = np.zeros_like(method.theta)
    for _step in range(steps):
        theta = theta - method.rate * method.objective.gradient(theta, rows)
    return theta


@pytest.mark.parametrize("n_classes", [2, 3])
def test_delta_grad_with_exact_steps_is_retraining(n_classes):
    from comparators import DeltaGrad

    X, y = data(n_classes)
    method = DeltaGrad(T0=1).prepare(X, y)
    expected = descent(method, method.retained_after(FORGET), 200)
    np.testing.assert_allclose(method.erase(FORGET).theta, expected, atol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_delta_grad_is_near_its_retraining_over_two_calls(n_classes):
    from comparators import DeltaGrad

    X, y = data(n_classes)
    method = DeltaGrad().prepare(X, y)
    original = method.theta
    expected = descent(method, method.retained_after(FORGET), 200)
    method.erase(FORGET[:12]).erase(FORGET[12:])
    moved = np.linalg.norm(original - expected)
    assert np.linalg.norm(method.theta - expected) < 0.05 * moved


def test_the_quasi_hessian_satisfies_the_last_secant_equation():
    from comparators.delta_grad import QuasiHessian

    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 6))
    matrix = matrix @ matrix.T
    quasi = QuasiHessian(3)
    np.testing.assert_array_equal(quasi.product(np.ones(6)), 0)
    for _pair in range(5):
        move = random.normal(size=6)
        quasi.add(move, matrix @ move, 1e-12)
    np.testing.assert_allclose(quasi.product(move), matrix @ move, rtol=1e-8)
    quasi.add(move, -move, 1e-12)
    np.testing.assert_allclose(quasi.product(move), matrix @ move, rtol=1e-8)


# Projective residual update.


@pytest.mark.parametrize("k", [1, 4, 60])
def test_the_projective_update_is_the_projected_newton_step(k):
    from comparators import ProjectiveResidual

    X, y = data()
    method = ProjectiveResidual().prepare(X, y)
    index = np.arange(k)
    step = newton(method, index)
    Z = method.rows.take(index).Z
    expected = np.linalg.pinv(Z) @ Z @ step
    found = (method.copy().erase(index).theta - method.theta).ravel()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # The span of more forget rows than parameters is everything.
    assert np.allclose(found, step, atol=1e-9) == (k == 60)


def test_the_projective_update_uses_the_retained_rows_in_later_calls():
    from comparators import ProjectiveResidual

    X, y = data()
    method = ProjectiveResidual().prepare(X, y)
    kept = method.objective.hessian(method.theta, method.retained_after(FORGET))
    method.erase(FORGET)
    np.testing.assert_allclose(method.inverse, np.linalg.inv(kept), atol=1e-10)


def test_the_leave_out_log_odds_are_exact_for_one_weighted_least_squares_problem():
    from comparators import ProjectiveResidual

    X, y = data()
    method = ProjectiveResidual().prepare(X, y)
    Z = method.rows.Z
    p = method.objective.probabilities(method.theta, method.rows)[:, 0]
    weight = p * (1 - p)
    response = Z @ method.theta[0] + (y - p) / weight
    keep = np.setdiff1d(np.arange(len(y)), FORGET)
    weighted = Z[keep].T * weight[keep]
    ridge = np.diag(method.objective.penalty[0])
    expected = np.linalg.solve(weighted @ Z[keep] + ridge, weighted @ response[keep])
    method.erase(FORGET)
    np.testing.assert_allclose(Z[FORGET] @ method.theta[0], Z[FORGET] @ expected, atol=1e-9)


def test_the_shared_minimum_is_the_one_of_scikit_learn():
    from comparators import Influence

    X, y = data(3)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X, y)
    method = Influence().prepare(X, y)
    np.testing.assert_allclose(method.predict_proba(X), reference.predict_proba(X), atol=1e-7)
