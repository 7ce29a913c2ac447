"""As much of curvature rows as the curvature holds of them."""

import numpy as np

from sklearn_ssse._erasure.validation import least_margin
from sklearn_ssse.exceptions import ErasureError

# The same where the rows of S need not be those that the curvature holds, and how often they are scaled at most.
CAPPED_MARGIN = 0.1
N_TRIALS = 20
# An eigenvalue of M that is only rounding.
NOTHING = 1e-9


def cap_downdate(inverse, scores):
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
    pending : PendingDowndate
    """
    factors = [_factors(inverse, piece) for piece in scores.pieces()]
    factors = np.concatenate(factors) if factors else np.ones(0)
    least = least_margin(inverse.condition)
    if (factors < 1).any():
        scores, least = scores.scaled(factors), CAPPED_MARGIN
    for _ in range(N_TRIALS):
        try:
            pending = inverse.pending_downdate(scores)
        except ErasureError:  # of a sketch, less than nothing would be left
            pending = None
        if pending is not None and pending.margin >= least:
            return scores, pending
        scores = scores.scaled(np.full(scores.n_samples, 0.5**0.5))
    return scores, inverse.pending_downdate(scores)


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
