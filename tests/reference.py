"""Slow, obvious versions of the library's computations: loops, differences, dense inverses."""

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


def residual(model, X, y, weight=None):
    """Gradient of the penalised objective at the fitted parameters, on the scale of a sum."""
    weight = np.ones(len(y)) if weight is None else weight
    penalty = np.full((len(model.coef_), X.shape[1] + model.fit_intercept), 1 / model.C)
    if model.fit_intercept:
        penalty[:, -1] = 0.0
    return weight @ gradients(model, X, y) + penalty.ravel() * theta(model)


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
