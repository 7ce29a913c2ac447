"""Scale the rows of a downdate down if the curvature contains only a part of them."""

import numpy as np

from sklearn_ssse._erasure.guards import least_margin
from sklearn_ssse.exceptions import ErasureError

# Largest number of times that the curvature of a forget set is halved; 2^-60 of it is below
# rounding. Measured in bench_ablation_guards.py: with 20, 10 of 1,200 erasures from nets are
# refused, with 60 none.
MAX_HALVINGS = 60


def cap_downdate(inverse, scores):
    """Halve the curvature of the forget rows until the downdated curvature is positive definite.

    The stored curvature was computed at earlier parameters. A row's part of it may be smaller than
    the row's curvature at the present parameters.

    Parameters
    ----------
    inverse : AbstractInverse
    scores : Scores

    Returns
    -------
    scores : Scores
        The given rows if nothing had to be halved.
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
