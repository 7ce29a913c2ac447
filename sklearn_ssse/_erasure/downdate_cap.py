"""Cap the rows of a downdate by the curvature that the model holds of them."""

import numpy as np

from sklearn_ssse._erasure.guards import least_margin
from sklearn_ssse.exceptions import ErasureError

# Largest number of times that the curvature of a forget set is halved; 2^-60 of it is rounding.
# Measured in bench_ablation_guards.py: 20 refuses 10 of 1,200 erasures from nets, 60
# refuses none.
MAX_HALVINGS = 60


def cap_downdate(inverse, scores):
    """Halve the curvature rows until the downdated curvature is positive definite.

    The curvature belongs to earlier parameters, so that it may hold less of a row than the row has
    at the present ones.

    Parameters
    ----------
    inverse : AbstractInverse
    scores : Scores

    Returns
    -------
    scores : Scores
        The rows themselves if nothing had to be halved.
    pending : PendingDowndate
    """
    least = least_margin(inverse.condition)
    for _ in range(MAX_HALVINGS):
        try:
            pending = inverse.pending_downdate(scores)
        except ErasureError:  # the sketch without the rows is not positive definite
            pending = None
        if pending is not None and pending.margin >= least:
            return scores, pending
        scores = scores.scaled(np.full(scores.n_samples, 0.5**0.5))
    return scores, inverse.pending_downdate(scores)
