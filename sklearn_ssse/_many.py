"""Erasures of the same rows from many binary logistic regressions: the outputs of a classifier of attributes.

The rows are checked once and go forward in one product, and what has the size of the rows, not of the parameters, is worked out for all
outputs together. Output by output only the product of the rows with the inverse is made, which the step needs anyway, and the downdate.
`ErasableMixin._work_out` is the twin that takes one output at a time.

For an output P, rows x (k, d), with a last column of ones for an intercept, have derivatives ``a`` (k,) of the loss and curvature rows
``r x``, r (k,). Everything follows from ``Z = x P`` and ``G = x P x^T``: ``M = r G r^T``; with its eigenvectors V and ``B = r V`` the basis
of the downdate is ``Z^T B``; a step is ``Z^T c``.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from scipy import sparse
from scipy.special import expit

from sklearn_ssse._calibration import common_epsilons
from sklearn_ssse._checks import check_epsilon, check_margin, check_rows
from sklearn_ssse._families import pack_outputs, unpack_outputs
from sklearn_ssse._inverse._base import gain
from sklearn_ssse._plan import Erasure
from sklearn_ssse._records import ErasureRecord
from sklearn_ssse._residuals import CURVATURES, gradient
from sklearn_ssse._step import TRUSTED_MARGIN
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.linear_model import ErasableLogisticRegression

# Share of all rows that must remain of every class: closer to its last row the twin decides.
ENOUGH = 1e-9


def work_out_together(models, X, Y, epsilon=None, sample_weight=None, kept_by=()):
    """The erasures of rows from classifiers that are alike.

    Parameters
    ----------
    models : list of classifiers
    X : {array-like, sparse matrix} of shape (k, n_features)
    Y : ndarray of shape (k, n_models)
        Labels, a column for each model.
    epsilon, sample_weight
        See `unlearn`.
    kept_by : tuple of str
        For the records.

    Returns
    -------
    list of Erasure or None
        None where they are to be worked out one by one: if the models are not alike, if the rows are more than the parameters, and if
        an erasure cannot be made, so that the first model to refuse it says why.
    """
    if not _alike(models):
        return None
    before = [model._erasure_state for model in models]
    try:
        epsilons = [
            check_epsilon(model.unlearn_epsilon if epsilon is None else epsilon, calibrated=bool(state.calibration))
            for model, state in zip(models, before, strict=True)
        ]
    except ErasureError:
        return None
    automatic = "auto" in epsilons
    if automatic and epsilons.count("auto") < len(epsilons):
        return None
    X, _, weight = check_rows(models[0], X, Y[:, 0], sample_weight, ensure_min_samples=0)
    if weight is not None and not weight.all():
        X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
    theta = pack_outputs(models)
    if not 0 < X.shape[0] <= theta.shape[1]:
        return None
    targets = _targets(models, Y)
    if targets is None:
        return None
    by_class = np.array([state.class_weight for state in before])
    weight = np.where(targets, by_class[:, 1:], by_class[:, :1]) * (1.0 if weight is None else weight)
    after = _remaining(before, targets, weight)
    if after is None:
        return None

    x = (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
    x = np.hstack([x, np.ones((len(x), 1))]) if models[0].fit_intercept else x
    m, k, d = *targets.shape, x.shape[1]
    proba, y = expit(theta @ x.T).reshape(-1, 1), targets.reshape(-1, 1).astype(np.float64)
    a = weight * gradient(proba, y, "logistic").reshape(m, k)
    r = np.sqrt(weight) * CURVATURES[before[0].curvature](proba, y, "logistic").reshape(m, k)
    inverses = [model.curvature_ for model in models]
    Z = np.empty((m, k, d))
    for inverse, out in zip(inverses, Z, strict=True):
        np.matmul(x, inverse.matrix, out=out)
    G = (Z.reshape(m * k, d) @ x.T).reshape(m, k, k)
    M = r[:, :, np.newaxis] * G * r[:, np.newaxis]
    spectrum, V = np.linalg.eigh(M)
    B = r[:, :, np.newaxis] * V
    margin = 1.0 - np.maximum(spectrum[:, -1], 0.0)
    leverage = np.einsum("jii->ji", M).max(axis=1)
    try:
        for model, inverse, value in zip(models, inverses, margin.tolist(), strict=True):
            check_margin(value, inverse.condition, k, model.damping_)
    except ErasureError:
        return None

    leave_out = models[0]._leave_out(before[0])
    damped = (margin < TRUSTED_MARGIN) & leave_out
    growth = np.array([old.mass / new.mass for old, new in zip(before, after, strict=True)])
    c = a
    if leave_out:
        growth = np.ones(m)
        factor = np.where(damped[:, np.newaxis], gain(spectrum, damped=True), gain(spectrum))
        c = a + _times(_times(_times(a, G), B) * factor, B.transpose(0, 2, 1))
    if automatic:
        q = _times(c, G)  # x times the step
        parts = np.stack([np.where(targets, 0.0, a * q).sum(axis=1), np.where(targets, a * q, 0.0).sum(axis=1)], axis=1)
        used = None if leave_out else np.square(r * q).sum(axis=1)
        epsilons = common_epsilons([state.calibration for state in before], parts, used, growth)
        if epsilons is None:
            return None
    step = _times(c, Z) * (growth * epsilons)[:, np.newaxis]
    attributes = unpack_outputs(models, theta + step)
    length = np.linalg.norm(step, axis=1)
    if attributes is None or not np.isfinite(np.square(length)).all():
        return None
    shift = length / np.where(norm := np.linalg.norm(theta, axis=1), norm, 1.0)

    U, leaving = B * np.sqrt(gain(spectrum))[:, np.newaxis], np.square(r) @ np.square(x)

    @cache
    def downdated():
        return [old.without(z.T @ u, own) for old, z, u, own in zip(inverses, Z, U, leaving, strict=True)]

    return [
        Erasure(
            model=model,
            record=ErasureRecord(
                n_erased=k,
                n_remaining=state.n_rows,
                weight_erased=numbers[0],
                epsilon=numbers[1],
                curvature=state.curvature,
                structure=model.structure_,
                leave_out=leave_out,
                damped=numbers[2],
                shrunken=False,
                margin=numbers[3],
                max_leverage=numbers[4],
                relative_shift=numbers[5],
                erased_fraction=1.0 - state.mass / state.fit_mass,
                kept_by=kept_by,
            ),
            attributes=own,
            curvature=lambda j=j: downdated()[j],
            state=state,
            unweighted=state.weighted and sample_weight is None,
        )
        for j, (model, own, state, *numbers) in enumerate(
            zip(
                models,
                attributes,
                after,
                weight.sum(axis=1).tolist(),
                np.asarray(epsilons, dtype=np.float64).tolist(),
                damped.tolist(),
                margin.tolist(),
                leverage.tolist(),
                shift.tolist(),
                strict=True,
            )
        )
    ]


def _alike(models):
    """Whether all are fitted binary classifiers of this module's kind, with one way to erase from them."""
    if not all(type(model) is ErasableLogisticRegression and "curvature_" in vars(model) for model in models):
        return False
    state, coef = models[0]._erasure_state, models[0].coef_
    if state.mixed or state.stale or models[0].structure_ != "full" or sparse.issparse(coef) or len(coef) > 1:
        return False
    first = _traits(models[0])
    return all(_traits(model) == first for model in models[1:])


def _traits(model):
    state, coef, names = model._erasure_state, model.coef_, vars(model).get("feature_names_in_")
    return (
        state.curvature,
        state.mixed,
        state.stale,
        model.structure_,
        model.leave_out,
        model.fit_intercept,
        type(coef),
        coef.shape,
        coef.dtype,
        model.intercept_.dtype,
        model.classes_.dtype,
        None if names is None else names.tolist(),
    )


def _targets(models, Y):
    """Which rows have the second class of each model, (n_models, k); None if a label is of neither."""
    classes = np.array([model.classes_ for model in models])
    targets = Y == classes[:, 1]
    known = targets | (Y == classes[:, 0])
    return np.ascontiguousarray(targets.T) if known.all() else None


def _remaining(before, targets, weight):
    """The states without the rows, or None if of some class so little remains that the twin must look."""
    k = targets.shape[1]
    n_rows = np.array([state.n_rows for state in before]) - k
    fit_mass = np.array([state.fit_mass for state in before])
    counts, mass = np.array([state.class_counts for state in before]), np.array([state.class_mass for state in before])
    positive, heavy = targets.sum(axis=1), np.where(targets, weight, 0.0).sum(axis=1)
    counts = counts - np.stack([k - positive, positive], axis=1)
    mass = mass - np.stack([np.where(targets, 0.0, weight).sum(axis=1), heavy], axis=1)
    if not ((counts > 0).all() and (mass > ENOUGH * fit_mass[:, np.newaxis]).all() and (n_rows > 0).all()):
        return None
    total = [state.mass for state in before] - weight.sum(axis=1)
    # Copies: of one array they would keep each other alive.
    return [
        replace(state, n_rows=n, mass=t, class_counts=count.copy(), class_mass=own.copy())
        for state, n, t, count, own in zip(before, n_rows.tolist(), total.tolist(), counts, mass, strict=True)
    ]


def _times(c, A):
    """``c_j A_j`` for each output j: (m, k) and (m, k, l) to (m, l)."""
    return (c[:, np.newaxis] @ A)[:, 0]
