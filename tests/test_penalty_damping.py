"""damping="penalty": the ridge of the curvature is the L2 penalty of the objective."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, ErasureWarning
from tests.warned import SMALL_DAMPING

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 150
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
Y = (X @ [2.0, -1.0, 0.5, 0.0] + RNG.normal(size=N) > 0).astype(int)
THREE = Y + (X[:, 3] > 0.8)
WEIGHT = RNG.uniform(0.5, 2.0, N)


@pytest.mark.parametrize("y", [Y, THREE], ids=["binary", "three classes"])
def test_equals_auto_for_the_hessian(y):
    model = ErasableLogisticRegression(C=0.3, curvature="fisher")
    auto = clone(model).fit(X, y)
    penalty = clone(model).set_params(damping="penalty").fit(X, y)
    assert np.array_equal(auto.curvature_.matrix, penalty.curvature_.matrix)
    assert np.array_equal(auto.damping_, penalty.damping_)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["without weights", "weights"])
def test_one_lambda_for_the_objective_and_the_curvature(weight):
    """F + lambda I by hand, with the lambda of the mean objective, 1 / (C n)."""
    lam = 1e-2
    mass = N if weight is None else weight.sum()
    w = np.ones(N) if weight is None else weight
    params = {"C": 1 / (lam * mass), "fit_intercept": False}
    model = ErasableLogisticRegression(damping="penalty", **params).fit(X, Y, weight)
    g = (model.predict_proba(X)[:, 1] - Y)[:, np.newaxis] * X
    F = (w[:, np.newaxis] * g).T @ g / mass
    np.testing.assert_allclose(model.damping_, lam)
    np.testing.assert_allclose(model.fisher_inverse_, np.linalg.inv(F + lam * np.eye(4)), rtol=1e-9)
    by_hand = ErasableLogisticRegression(damping=lam, **params).fit(X, Y, weight)
    np.testing.assert_allclose(by_hand.curvature_.matrix, model.curvature_.matrix, rtol=1e-9)
    auto = ErasableLogisticRegression(**params).fit(X, Y, weight)
    assert not np.allclose(auto.damping_, lam, rtol=0.1)  # divided by the ratio of the traces


def test_intercepts():
    free = ErasableLogisticRegression(C=0.1, damping="penalty").fit(X, Y)
    np.testing.assert_allclose(free.damping_[:-1], 10 / N)
    assert 0 < free.damping_[-1] < 1e-6
    penalised = free.set_params(solver="liblinear", intercept_scaling=2.0).fit(X, Y)
    np.testing.assert_allclose(penalised.damping_, [*[10 / N] * 4, 10 / N / 4])


def test_the_guard_of_a_small_damping_accepts_it():
    rows = np.flatnonzero(Y == 1)[:5]
    params = {"C": 1e-3, "unlearn_epsilon": 1.0, "leave_out": True, "curvature": "fisher"}
    small = ErasableLogisticRegression(damping=1e-3, **params).fit(X, Y)
    with pytest.warns(ErasureWarning, match=SMALL_DAMPING):
        small.unlearn(X[rows], Y[rows])
    model = ErasableLogisticRegression(damping="penalty", **params).fit(X, Y)
    before = N * model.damping_
    model.unlearn(X[rows], Y[rows])
    np.testing.assert_allclose((N - 5) * model.damping_, before)


@pytest.mark.parametrize("structure", ["block", "low_rank", "diagonal"])
def test_other_structures(structure):
    model = ErasableLogisticRegression(damping="penalty", structure=structure, C=0.5).fit(X, THREE)
    ridge = model.curvature_.ridge.reshape(3, 5)[:, :4]
    assert (ridge >= 2.0 - 1e-12).all()
    if structure != "low_rank":  # which adds the part of the diagonal that it does not cover
        np.testing.assert_allclose(ridge, 2.0)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("alpha", [0.1, 0.0])
def test_nets(solver, alpha):
    net = ErasableMLPClassifier(
        (3,), solver=solver, alpha=alpha, damping="penalty", max_iter=30, random_state=0
    )
    net.fit(X, Y)
    ridge = net.curvature_.ridge
    penalty = net._family().penalty(N)
    assert (ridge > 0).all()
    if alpha:
        assert np.array_equal(ridge[penalty > 0], penalty[penalty > 0])
        assert (ridge[penalty == 0] < 1e-3 * alpha).all()
    if alpha and solver == "lbfgs":
        np.testing.assert_allclose(net.damping_.max(), alpha / N)
    assert np.isfinite(net.fisher_inverse_).all()


def test_a_certified_model_and_another_name():
    model = ErasableLogisticRegression(
        curvature="fisher", damping="penalty", certify=(1.0, 1e-4), C=0.01
    )
    assert model.fit(X, Y).unlearn(X[:1], Y[:1]).erasures_[-1].certified_left > 0
    with pytest.raises(ValueError, match="damping"):
        ErasableLogisticRegression(damping="l2").fit(X, Y)
