"""Parts of the bounds: sums that passed every bound, ridges beyond the penalty, softmax."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableLogisticRegression
from sklearn_ssse._erasure import softmax_bounds
from tests.warned import may_warn

SETTINGS = {"curvature": "fisher", "tol": 1e-8, "solver": "newton-cholesky"}


def test_a_call_after_an_infinite_sum_has_no_bound_of_the_parameters():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    model = ErasableLogisticRegression(**SETTINGS).fit(X, y)
    state = model._erasure_state
    bounds = dataclasses.replace(state.bounds, parameters=np.inf)
    model._erasure_state = dataclasses.replace(state, bounds=bounds)
    model.unlearn(X[:1], y[:1])
    record = model.erasures_[-1]
    assert record.gradient_bound > 0
    assert record.parameter_bound is None
    assert "too long" in record.bound_reason
    assert model.erasure_budget_.parameters == np.inf


def test_excess_ridge_is_relative_to_the_curvature_after_the_step(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X[:, :1])
    damped = {"damping": 0.005, "order": 1, "fit_intercept": False}
    model = ErasableLogisticRegression(**SETTINGS, **damped).fit(X, y)
    bounds = type(model._erasure_state.bounds)
    seen = []
    find = bounds._distance

    def spy(self, left, excess):
        seen.append(excess)
        return find(self, left, excess)

    monkeypatch.setattr(bounds, "_distance", spy)
    with may_warn():
        model.unlearn(X[:100], y[:100])
    excess = len(X) * 0.005 - 1.0
    assert seen == pytest.approx([excess * model.curvature_.matrix.item()])


@pytest.mark.parametrize("order", [1, 2])
def test_softmax_bounds_use_the_conservative_curvature(order, monkeypatch):
    """Their errors are those of the curvature of the fit, also if the steps use the Hessian."""
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    order_of_rows = np.random.default_rng(0).permutation(len(X))
    X = X[order_of_rows]
    y = y[order_of_rows]
    model = ErasableLogisticRegression(**SETTINGS, order=order).fit(X, y)
    calls = []
    find = softmax_bounds.SoftmaxBounds.after

    def spy(self, call):
        calls.append((call, model._erasure_state, model._family().theta))
        return find(self, call)

    monkeypatch.setattr(softmax_bounds.SoftmaxBounds, "after", spy)
    for i in range(4):
        model.unlearn(X[3 * i : 3 * i + 3], y[3 * i : 3 * i + 3])
    call, state, theta = calls[-1]
    inputs = np.hstack([X[9:12], np.ones((3, 1))])
    logits = inputs @ theta.reshape(3, -1).T
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradient = ((proba - (y[9:12, np.newaxis] == model.classes_)).T @ inputs).ravel()
    outputs = inputs @ call.step.reshape(3, -1).T
    moved = proba * (outputs - (proba * outputs).sum(axis=1, keepdims=True))
    excess = model.curvature_.ridge - model._family().penalty()
    known = np.linalg.solve(call.inverse, call.step) - excess * call.step
    known -= (moved.T @ inputs).ravel() + gradient
    for residual, sign in ((state.residual, 1), (call.residual, -1)):
        if residual is not None:
            known += sign * residual
    assert np.allclose(call.known, known, rtol=1e-6, atol=1e-8)
