"""Erasures of the same rows from many binary logistic regressions: the outputs of a classifier of attributes.

The rows are checked once and go forward in one product, and what has the size of the rows, not of the parameters, is worked out for all
outputs together. Output by output only the product of the rows with the inverse is made, which the step needs anyway, and the downdate.
`ErasableMixin._work_out` is the twin that takes one output at a time.

For an output P, rows x (k, d), with a last column of ones for an intercept, have derivatives ``a`` (k,) of the loss and curvature rows
``r x``, r (k,). Everything follows from ``Z = x P`` and ``G = x P x^T``: ``M = r G r^T``; with its eigenvectors V and ``B = r V`` the basis
of the downdate is ``Z^T B``; a step is ``Z^T c``.
"""

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import expit

from sklearn_ssse._calibration.logistic import common_epsilons
from sklearn_ssse._erasure.changes import Erasure
from sklearn_ssse._erasure.epsilon import Multiple, check_epsilon
from sklearn_ssse._erasure.planning import TRUSTED_MARGIN
from sklearn_ssse._erasure.records import ErasureRecord, amended
from sklearn_ssse._erasure.validation import check_rows, least_margin
from sklearn_ssse._families.linear import pack_outputs, unpack_outputs
from sklearn_ssse._gradients.curvatures import CURVATURES, gradient
from sklearn_ssse._inverse.base import gain
from sklearn_ssse._kernels.threads import each
from sklearn_ssse._utils.memory import fits
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.linear_model import ErasableLogisticRegression

# Share of all rows that must remain of every class: closer to its last row the twin decides.
ENOUGH = 1e-9
# So many arrays of the size of all rows times all inverses, and of all pairs of rows, are held at once.
COPIES = 4
# A number of an inverse that is read and written takes as long as so many multiplications.
MOVED = 40


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
    epsilons = _asked(models, before, epsilon)
    if epsilons is None:
        return None
    X, _, weight = check_rows(models[0], X, Y[:, 0], sample_weight, ensure_min_samples=0)
    if weight is not None and not weight.all():
        X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
    theta, targets = pack_outputs(models), _targets(models, Y)
    if targets is None or not 0 < X.shape[0] <= theta.shape[1]:
        return None
    if not fits(COPIES * 8 * len(models) * X.shape[0] * (X.shape[0] + theta.shape[1])):
        return None
    by_class = _stacked(state.class_weight for state in before)
    weight = np.where(targets, by_class[:, 1:], by_class[:, :1]) * (1.0 if weight is None else weight)
    erased = weight.sum(axis=1)
    after = _remaining(before, targets, weight, erased)
    if after is None:
        return None

    x = _design(X, models[0].fit_intercept)
    proba, y = expit(theta @ x.T).reshape(-1, 1), targets.reshape(-1, 1).astype(np.float64)
    a = weight * gradient(proba, y, "logistic").reshape(targets.shape)
    r = np.sqrt(weight) * CURVATURES[before[0].curvature](proba, y, "logistic").reshape(targets.shape)
    removals = _Removals([model.curvature_ for model in models], x, r)
    if not (removals.margin >= removals.least_margin).all():
        return None
    leave_out = models[0]._leave_out(before[0])
    damped = leave_out & (removals.margin < TRUSTED_MARGIN)
    c = removals.solve(a, damped) if leave_out else a
    mass, fit_mass = np.array([(state.mass, state.fit_mass) for state in after]).T
    growth = 1.0 if leave_out else (mass + erased) / mass
    if isinstance(epsilons[0], Multiple):
        found = _automatic([state.calibration for state in before], removals, a, c, targets, growth, leave_out)
        if found is None:
            return None
        epsilons = found * np.array([multiple.factor for multiple in epsilons])
    step = _times(c, removals.Z) * (growth * np.asarray(epsilons))[:, np.newaxis]
    length, norm = np.linalg.norm(step, axis=1), np.linalg.norm(theta, axis=1)
    attributes = unpack_outputs(models, theta + step)
    if attributes is None or not np.isfinite(np.square(length)).all():
        return None

    numbers = {
        "n_remaining": np.array([state.n_rows for state in after]),
        "weight_erased": erased,
        "epsilon": np.broadcast_to(np.asarray(epsilons, dtype=np.float64), damped.shape),
        "damped": damped,
        "margin": removals.margin,
        "max_leverage": removals.leverage,
        "relative_shift": length / np.where(norm, norm, 1.0),
        "erased_fraction": np.array([state.changed for state in after]) / fit_mass,
    }
    numbers = [
        dict(zip(numbers, row, strict=True)) for row in zip(*map(np.ndarray.tolist, numbers.values()), strict=True)
    ]
    common = ErasureRecord(
        n_erased=len(x),
        curvature=before[0].curvature,
        structure=models[0].structure_,
        leave_out=leave_out,
        shrunken=False,
        kept_by=kept_by,
        **numbers[0],
    )
    return [
        Erasure(
            model=model,
            record=amended(common, numbers[j]),
            attributes=attributes[j],
            curvature=lambda j=j: removals.inverses[j],
            state=after[j],
            unweighted=after[j].weighted and sample_weight is None,
        )
        for j, model in enumerate(models)
    ]


class _Removals:
    """Rows about to leave the inverses of all outputs: as many `FullRemoval` of the same rows.

    Parameters
    ----------
    inverses : list of FullInverse
    x : ndarray of shape (k, d)
    r : ndarray of shape (n_outputs, k)
    """

    def __init__(self, inverses, x, r):
        self._inverses, self._x, self.r = inverses, x, r
        m, k, d = len(inverses), *x.shape
        self.Z = np.empty((m, k, d))

        def product(j):
            np.matmul(x, inverses[j].matrix, out=self.Z[j])

        self._each(product)
        self.G = (self.Z.reshape(m * k, d) @ x.T).reshape(m, k, k)
        M = r[:, :, np.newaxis] * self.G * r[:, np.newaxis]
        self.spectrum, V = np.linalg.eigh(M)
        self._B = r[:, :, np.newaxis] * V
        self.margin = 1.0 - np.maximum(self.spectrum[:, -1], 0.0)
        self.leverage = np.einsum("jii->ji", M).max(axis=1)

    @property
    def least_margin(self):
        """What `check_margin` asks for."""
        variance = _stacked(inverse.matrix.diagonal() for inverse in self._inverses)
        information = _stacked(inverse.diagonal for inverse in self._inverses)
        return least_margin(np.einsum("ij,ij->i", variance, information))

    def solve(self, a, damped):
        """The c with which ``Z^T c`` is the inverse without the rows times ``x^T a``, (n_outputs, k)."""
        factor = gain(self.spectrum)
        if damped.any():
            factor = np.where(damped[:, np.newaxis], gain(self.spectrum, damped=True), factor)
        return a + _times(_times(_times(a, self.G), self._B) * factor, self._B.transpose(0, 2, 1))

    @cached_property
    def inverses(self):
        """The inverses without the rows, made when the first is asked for."""
        basis = self.Z.transpose(0, 2, 1) @ (self._B * np.sqrt(gain(self.spectrum))[:, np.newaxis])
        leaving = np.square(self.r) @ np.square(self._x)
        out = list(self._inverses)

        def downdate(j):
            out[j] = out[j].without(basis[j], leaving[j])

        self._each(downdate)
        return out

    def _each(self, function):
        """Call ``function(j)`` for every output j, over threads where the inverses are large."""
        m, k, d = self.Z.shape
        each(function, range(m), (2 * k + MOVED) * d**2)


def _asked(models, states, epsilon):
    """The eps of each model, numbers or multiples of "auto" of all; None if some cannot be had."""
    try:
        epsilons = [
            check_epsilon(
                model.unlearn_epsilon if epsilon is None else epsilon, calibrated=state.calibration is not None
            )
            for model, state in zip(models, states, strict=True)
        ]
    except ErasureError:
        return None
    return epsilons if len({type(epsilon) for epsilon in epsilons}) == 1 else None


def _automatic(calibrations, removals, a, c, targets, growth, leave_out):
    """The calibrated eps of every model for a step ``Z^T c``."""
    along = _times(c, removals.G)  # the rows times the step
    products = a * along
    positive = np.where(targets, products, 0.0).sum(axis=1)
    parts = np.stack([np.where(targets, 0.0, products).sum(axis=1), positive], axis=1)
    used = None if leave_out else np.square(removals.r * along).sum(axis=1)
    return common_epsilons(calibrations, parts, used, growth)


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
        np.asarray(model.intercept_).dtype,
        model.classes_.dtype,
        None if names is None else names.tolist(),
    )


def _targets(models, Y):
    """Which rows have the second class of each model, (n_models, k); None if a label is of neither."""
    classes = np.array([model.classes_ for model in models])
    targets = classes[:, 1] == Y
    known = targets | (classes[:, 0] == Y)
    return np.ascontiguousarray(targets.T) if known.all() else None


def _remaining(before, targets, weight, erased):
    """The states without the rows, or None if of some class so little remains that the twin must look."""
    positive = np.stack([~targets, targets], axis=2)
    total, fit_mass = np.array([(state.mass, state.fit_mass) for state in before]).T
    counts = _stacked(state.class_counts for state in before) - positive.sum(axis=1)
    mass = _stacked(state.class_mass for state in before) - (weight[:, np.newaxis] @ positive)[:, 0]
    if counts.min() <= 0 or (mass <= ENOUGH * fit_mass[:, np.newaxis]).any():
        return None
    # Copies: as parts of one array they would keep each other alive.
    k = targets.shape[1]
    return [
        amended(
            state,
            {
                "n_rows": state.n_rows - k,
                "mass": rest,
                "class_counts": count.copy(),
                "class_mass": own.copy(),
                "changed": state.changed + gone,
            },
        )
        for state, rest, gone, count, own in zip(
            before, (total - erased).tolist(), erased.tolist(), counts, mass, strict=True
        )
    ]


def _design(X, bias):
    """Rows as the curvature knows them, dense and in float64."""
    x = (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
    return np.hstack([x, np.ones((len(x), 1))]) if bias else x


def _stacked(vectors):
    """Vectors of one length as the rows of a matrix; `np.stack` takes longer for many short ones."""
    vectors = list(vectors)
    return np.concatenate(vectors).reshape(len(vectors), -1)


def _times(c, A):
    """``c_j A_j`` for each output j: (m, k) and (m, k, l) to (m, l)."""
    return (c[:, np.newaxis] @ A)[:, 0]
