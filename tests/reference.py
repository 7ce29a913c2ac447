"""Slow, obvious versions of the library's computations: loops, differences, dense inverses."""

from copy import deepcopy

import numpy as np
from scipy.special import expit, softmax


def design(X, fit_intercept):
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
    return np.hstack([X, np.ones((len(X), 1))]) if fit_intercept else X


def theta(model):
    """Parameters of a fitted logistic regression in the documented layout."""
    coef = model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_
    coef = np.hstack([coef, model.intercept_[:, None]]) if model.fit_intercept else coef
    return coef.astype(float).ravel()


def row_loss(params, x, code, n_classes):
    """-log p(y | x) of one row of the design matrix."""
    if n_classes == 2:
        z = params @ x
        return np.logaddexp(0, z) - code * z
    z = params.reshape(n_classes, -1) @ x
    return np.logaddexp.reduce(z) - z[code]


def numeric_gradient(f, params, h=1e-6):
    """Central differences."""
    out = np.empty_like(params)
    for j in range(params.size):
        step = np.zeros_like(params)
        step[j] = h
        out[j] = (f(params + step) - f(params - step)) / (2 * h)
    return out


def gradients(model, X, y):
    """Gradient of the loss of each row, (n, d), by a loop over rows."""
    Z, codes, n_classes = (
        design(X, model.fit_intercept),
        np.searchsorted(model.classes_, y),
        len(model.classes_),
    )
    params, rows = theta(model), []
    for x, code in zip(Z, codes, strict=True):
        if n_classes == 2:
            rows.append((expit(params @ x) - code) * x)
        else:
            p = softmax(params.reshape(n_classes, -1) @ x)
            rows.append(np.concatenate([(p[c] - (c == code)) * x for c in range(n_classes)]))
    return np.array(rows)


def hessians(model, X, y):
    """Hessian of the loss of each row, (n, d, d), by a loop over rows."""
    Z, n_classes, params = design(X, model.fit_intercept), len(model.classes_), theta(model)
    out = []
    for x in Z:
        if n_classes == 2:
            p = expit(params @ x)
            out.append(p * (1 - p) * np.outer(x, x))
        else:
            p = softmax(params.reshape(n_classes, -1) @ x)
            out.append(np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)))
    return np.array(out)


def curvature(model, X, y, weight, kind):
    """Sum-scale curvature without ridge."""
    if kind == "fisher":
        return np.einsum("i,ijk->jk", weight, hessians(model, X, y))
    G = gradients(model, X, y)
    return np.einsum("i,ij,ik->jk", weight, G, G)


def kept(model, X, y, P, kind, length, rate):
    """Share of each row's curvature that stays in a curvature with the inverse P, by a loop."""
    out = []
    for x, label in zip(X, y, strict=True):
        row = x[None], np.array([label])
        H = hessians(model, *row)[0]
        at_outputs = hessian_at_outputs(model, x)
        if kind == "empirical_fisher":
            g = gradients(model, *row)[0]
            H = np.outer(g, g)
            design_row = design(x[None], model.fit_intercept)[0]
            at_outputs = np.diag([g @ g / (design_row @ design_row)])
        leverage = np.linalg.eigvals(P @ H).real.max()
        out.append(1 - np.exp(-rate * np.sqrt(leverage / np.trace(at_outputs)) * length))
    return np.array(out)


def hessian_at_outputs(model, x):
    """Hessian of the loss of one row with respect to the outputs."""
    z = theta(model).reshape(len(model.coef_), -1) @ design(x[None], model.fit_intercept)[0]
    if len(z) == 1:
        return np.diag(expit(z) * (1 - expit(z)))
    p = softmax(z)
    return np.diag(p) - np.outer(p, p)


def residual(model, X, y, weight=None):
    """Gradient of the penalised objective at the fitted parameters, on the scale of a sum."""
    weight = np.ones(len(y)) if weight is None else weight
    penalty = np.full((len(model.coef_), X.shape[1] + model.fit_intercept), 1 / model.C)
    if model.fit_intercept:
        penalty[:, -1] = 0.0
    return weight @ gradients(model, X, y) + penalty.ravel() * theta(model)


def moved(model, change):
    """A copy of the model with other parameters: theta + change."""
    twin = deepcopy(model)
    W = (theta(model) + change).reshape(len(model.coef_), -1)
    n_features = model.coef_.shape[1]
    twin.coef_ = W[:, :n_features]
    if model.fit_intercept:
        twin.intercept_ = W[:, -1]
    return twin


def penalised_hessian(model, X, y, weight=None, h=1e-5):
    """Hessian of the penalised objective, by central differences of its gradient, (d, d)."""
    columns = []
    for step in h * np.eye(theta(model).size):
        ends = [residual(moved(model, signed), X, y, weight) for signed in (step, -step)]
        columns.append((ends[0] - ends[1]) / (2 * h))
    return np.array(columns)


def third_order(model, X, weight):
    """Third derivatives of the loss, summed over rows, (d, d, d): third cumulants, by loops."""
    params = theta(model).reshape(len(model.coef_), -1)
    n_outputs, width = params.shape
    total = np.zeros((n_outputs, width) * 3)
    for x, w in zip(design(X, model.fit_intercept), weight, strict=True):
        z = params @ x
        p = softmax(np.append(0.0, z) if n_outputs == 1 else z)
        for c in range(len(p)):
            e = (np.eye(len(p))[c] - p)[-n_outputs:]
            row = np.outer(e, x)
            total += w * p[c] * np.einsum("aj,bk,cl->ajbkcl", row, row, row)
    return total.reshape((params.size,) * 3)


def hessian_along(model, X, y, weight, v, h=1e-4):
    """Derivative of the Hessian of the loss along v, by central differences, (d, d)."""
    ends = [curvature(moved(model, s * h * v), X, y, weight, "fisher") for s in (1, -1)]
    return (ends[0] - ends[1]) / (2 * h)


def halley(A, T, g):
    """Halley's step ``(A + T[s] / 2)^-1 g`` with the Newton step ``s = A^-1 g``."""
    return np.linalg.solve(A + T @ np.linalg.solve(A, g) / 2, g)


def gauss_newton(net, X, weight=None, h=1e-6):
    """Sum-scale Gauss-Newton matrix of a network trained by lbfgs plus its penalty, (d, d)."""
    weight = np.ones(len(X)) if weight is None else weight
    arrays = [*net.coefs_, *net.intercepts_]
    start = np.concatenate([array.ravel() for array in arrays])

    def unpacked(params):
        parts = np.split(params, np.cumsum([array.size for array in arrays])[:-1])
        shaped = [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]
        return shaped[: len(net.coefs_)], shaped[len(net.coefs_) :]

    def outputs(params):
        a = X
        for i, (W, b) in enumerate(zip(*unpacked(params), strict=True)):
            a = (np.tanh(a) if i else a) @ W + b
        return a

    J = np.array(
        [(outputs(start + s) - outputs(start - s)) / (2 * h) for s in h * np.eye(start.size)]
    )
    z = outputs(start)
    if net.out_activation_ == "softmax":
        p = softmax(z, axis=1)
        S = np.einsum("ij,jk->ijk", p, np.eye(p.shape[1])) - np.einsum("ij,ik->ijk", p, p)
    else:
        p = expit(z)
        S = np.einsum("ij,jk->ijk", p * (1 - p), np.eye(p.shape[1]))
    H = np.einsum("i,aij,ijk,bik->ab", weight, J, S, J)
    n_penalised = sum(W.size for W in net.coefs_)
    H[np.arange(n_penalised), np.arange(n_penalised)] += net.alpha

    # The layout of the library: the matrix (n_outputs, n_inputs + 1) of each layer in turn.
    order = []
    for W, b in zip(*unpacked(np.arange(start.size)), strict=True):
        order.append(np.column_stack([W.T, b]).ravel())
    order = np.concatenate(order)
    return H[np.ix_(order, order)]


def fisher_inverse(model, X, y, weight, kind, damping):
    """Paper-scale inverse: ``inv(1/n sum + lambda I)``."""
    A = curvature(model, X, y, weight, kind)
    return np.linalg.inv(A / weight.sum() + damping * np.eye(len(A)))


def recurrence(G, n, damping):
    """Equation (3), row by row, as it is written."""
    P = np.eye(G.shape[1]) / damping
    for g in G:
        P = P - np.outer(P @ g, P @ g) / (n + g @ P @ g)
    return P


def relative(a, b):
    return np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(b)


def without(S, n):
    """Mask of the rows that are not in S."""
    keep = np.ones(n, dtype=bool)
    keep[S] = False
    return keep
