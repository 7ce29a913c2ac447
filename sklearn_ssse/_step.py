"""A step before its length is known."""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._checks import least_margin, members
from sklearn_ssse._records import ErasureState
from sklearn_ssse.exceptions import ErasureError

# Smallest eigenvalue of I - R_S P R_S^T from which a leave-out step is trusted.
TRUSTED_MARGIN = 0.3
# The same where the rows of S need not be those that the curvature holds, and how often they are scaled at most.
SHRUNKEN_MARGIN = 0.1
N_TRIALS = 20
# An eigenvalue of M that is only rounding.
NOTHING = 1e-9


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
    """As much of curvature rows as the curvature holds of them: what is left of it is at least its ridge D.

    On an eigenvector v of ``M = R P R^T`` with eigenvalue m and ``w = P R^T v`` that is ``m - w^T D w`` of ``m^2``. Rows of which there is
    too much are scaled by their share of v, and all of them until the rest is positive definite beyond doubt.

    Parameters
    ----------
    inverse : AbstractInverse
    scores : Scores

    Returns
    -------
    scores : Scores
        The rows themselves where nothing was too much.
    removal : Removal
    """
    factors = [_factors(inverse, piece) for piece in scores.pieces()]
    factors = np.concatenate(factors) if factors else np.ones(0)
    least = least_margin(inverse.condition)
    if (factors < 1).any():
        scores, least = scores.scaled(factors), SHRUNKEN_MARGIN
    for _ in range(N_TRIALS):
        try:
            removal = inverse.removal(scores)
        except ErasureError:  # of a sketch, less than nothing would be left
            removal = None
        if removal is not None and removal.margin >= least:
            return scores, removal
        scores = scores.scaled(np.full(scores.n_samples, 0.5**0.5))
    return scores, inverse.removal(scores)


def _factors(inverse, piece):
    """Factors, (n_samples,), for a part of the rows by themselves."""
    K = inverse.solve_rows(piece)
    M, Q = piece.to_dense() @ K, K.T @ (inverse.ridge[:, np.newaxis] * K)
    factors = np.ones(piece.n_samples)
    for _ in range(N_TRIALS):
        scale = np.repeat(factors, piece.rows_per_sample)
        m, V = np.linalg.eigh(scale[:, np.newaxis] * M * scale)
        ridge = np.einsum("ij,ij->j", V, (scale[:, np.newaxis] * Q * scale) @ V)
        much = np.divide(m - ridge, m**2, out=np.full(m.shape, np.inf), where=m > NOTHING)
        worst = int(np.argmin(much))
        if much[worst] >= 0.99:
            break
        share = np.square(V[:, worst]).reshape(piece.n_samples, -1).sum(axis=1)
        factors *= 1 - (1 - np.sqrt(max(much[worst], 0.0))) * share / share.max()
    return factors


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
