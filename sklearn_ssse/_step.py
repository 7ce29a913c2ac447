"""A step before its length is known."""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._checks import least_margin, members
from sklearn_ssse._records import ErasureState
from sklearn_ssse.exceptions import ErasureError

# Smallest eigenvalue of I - R_S P R_S^T from which a leave-out step is trusted.
TRUSTED_MARGIN = 0.3
# Largest number of times that the curvature rows of a forget set are halved; 2^-60 of a row is rounding. Measured in
# bench_ablation_guards.py: 20 refuses 10 of 1,200 erasures from nets, 60 refuses none.
MAX_HALVINGS = 60


class Step(NamedTuple):
    """A step before its length is known.

    Attributes
    ----------
    solution : ndarray of shape (d,)
        ``s``: the inverse times g, the gradient of the rows S that leave less that of rows that come; with leave-out the inverse of
        the rows after the change.
    growth : float
        Their number before by that after, ``n / (n - k)`` of an erasure; 1 with leave-out.
    gradients : ndarray of shape (d, n_classes)
        g, split by the class of the rows.
    batch : the rows S
    scores : their curvature rows
    before, after : ErasureState
        Without the change and with it.
    leave_out, damped : bool
    arriving : the rows that come, or None
    """

    solution: np.ndarray
    growth: float
    gradients: np.ndarray
    batch: object
    scores: object
    before: ErasureState
    after: ErasureState
    leave_out: bool
    damped: bool
    arriving: object = None

    @property
    def direction(self):
        """Change of the parameters at eps = 1."""
        return self.growth * self.solution

    def mean(self, values):
        """Weighted mean over the rows S of values of shape (k, outputs)."""
        weight = self.batch.weight
        return float(weight @ values.mean(axis=1) / weight.sum())


def shrunken(inverse, scores):
    """Halve the curvature rows until the downdated curvature is positive definite.

    The curvature may hold less of a row than its present gradient, as it belongs to earlier parameters.

    Parameters
    ----------
    inverse : AbstractInverse
    scores : Scores

    Returns
    -------
    scores : Scores
        The rows themselves where nothing had to be halved.
    removal : Removal
    """
    least = least_margin(inverse.condition)
    for _ in range(MAX_HALVINGS):
        try:
            removal = inverse.removal(scores)
        except ErasureError:  # the sketch without the rows is not positive definite
            removal = None
        if removal is not None and removal.margin >= least:
            return scores, removal
        scores = scores.scaled(np.full(scores.n_samples, 0.5**0.5))
    return scores, inverse.removal(scores)


def make_step(batch, scores, inverse, removal, before, after, arriving=None):
    """The step that erases a batch and learns those that are ``arriving``, with leave-out if the ``removal`` is given."""
    gradients = _by_class(batch, before)
    if arriving is not None:
        gradients = gradients - _by_class(arriving, before)
    gradient = (
        gradients.sum(axis=1)
        + batch.family.penalty_change(before.n_rows, before.n_rows - after.n_rows)
        + batch.family.carried
    )
    if removal is None:
        solution, growth, damped = inverse.solve(gradient), before.mass / after.mass, False
    else:
        damped = bool(removal.margin < TRUSTED_MARGIN)
        solution, growth = removal.solve(gradient, damped=damped), 1.0
    leave_out = removal is not None
    return Step(solution, growth, gradients, batch, scores, before, after, leave_out, damped, arriving)


def _by_class(batch, state):
    """The gradient of rows, split by their class, (d, n_classes); of a multi-label problem not split."""
    y = batch.y
    return batch.gradients(members(y, len(state.class_mass)) if y.ndim == 1 else np.ones((len(y), 1)))
