"""A step before its length is known."""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._checks import members
from sklearn_ssse._records import ErasureState

# Smallest eigenvalue of I - R_S P R_S^T from which a leave-out step is trusted.
TRUSTED_MARGIN = 0.3


class Step(NamedTuple):
    """A step before its length is known.

    Attributes
    ----------
    solution : ndarray of shape (d,)
        ``s``: the inverse times g_S; with leave-out the inverse without S.
    growth : float
        ``n / (n - k)``; 1 with leave-out.
    gradients : ndarray of shape (d, n_classes)
        The erased gradient, split by the class of the rows.
    batch : the rows S
    scores : their curvature rows
    before, after : ErasureState
        Without the erasure and with it.
    leave_out, damped : bool
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

    @property
    def direction(self):
        """Change of the parameters at eps = 1."""
        return self.growth * self.solution

    def mean(self, values):
        """Weighted mean over the rows S of values of shape (k, outputs)."""
        weight = self.batch.weight
        return float(weight @ values.mean(axis=1) / weight.sum())


def make_step(batch, scores, inverse, removal, before, after):
    """The step that erases a batch, with leave-out if its ``removal`` is given."""
    y, n_classes = batch.y, len(before.class_mass)
    gradients = batch.gradients(members(y, n_classes) if y.ndim == 1 else np.ones((len(y), 1)))
    gradient = gradients.sum(axis=1) + batch.family.penalty_change(before.n_rows, len(y))
    if removal is None:
        return Step(
            inverse.solve(gradient), before.mass / after.mass, gradients, batch, scores, before, after, False, False
        )
    damped = bool(removal.margin < TRUSTED_MARGIN)
    return Step(removal.solve(gradient, damped=damped), 1.0, gradients, batch, scores, before, after, True, damped)
