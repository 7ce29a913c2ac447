"""A downdate by rows of which the curvature may hold less than they have at present parameters."""

import numpy as np

from sklearn_ssse._erasure.validation import least_margin
from sklearn_ssse.exceptions import ErasureError

# Margin, the smallest eigenvalue of I - M, that a capped downdate must reach.
CAPPED_MARGIN = 0.1
# Number of times that the rows are scaled down at most.
N_TRIALS = 20
# Eigenvalues of M, which lie in [0, 1) for rows that the curvature holds, up to this are rounding.
ROUNDING = 1e-9
# A part of at least this share of an eigenvalue counts as all of it, so that the scaling ends.
NEARLY_ALL = 0.99


def cap_downdate(inverse, scores):
    """Scale the forget rows down until the downdated curvature is at least its ridge D.

    For an eigenvector v of ``M = R P R^T`` with eigenvalue m, and ``w = P R^T v``, the curvature
    holds the part ``m - w^T D w`` of ``m^2``. If the part is less than the whole, each row is
    scaled by its share of v. All rows are then scaled until the margin is large enough.

    Parameters
    ----------
    inverse : AbstractInverse
    scores : Scores
        Curvature rows R of the forget rows.

    Returns
    -------
    scores : Scores
        The scaled rows; the same object if nothing had to be scaled.
    pending : PendingDowndate
    """
    factors = [_factors(inverse, piece) for piece in scores.pieces()]
    factors = np.concatenate(factors) if factors else np.ones(0)
    least = least_margin(inverse.condition)
    if (factors < 1).any():
        scores = scores.scaled(factors)
        least = CAPPED_MARGIN
    for _ in range(N_TRIALS):
        try:
            pending = inverse.pending_downdate(scores)
        except ErasureError:  # the downdate of a sketch would not be positive semi-definite
            pending = None
        if pending is not None and pending.margin >= least:
            return scores, pending
        scores = scores.scaled(np.full(scores.n_samples, 0.5**0.5))
    return scores, inverse.pending_downdate(scores)


def _factors(inverse, piece):
    """The factor of each row, (n_samples,), if these rows alone leave the curvature."""
    K = inverse.solve_rows(piece)
    M = piece.to_dense() @ K
    Q = K.T @ (inverse.ridge[:, np.newaxis] * K)
    factors = np.ones(piece.n_samples)
    for _ in range(N_TRIALS):
        scale = np.repeat(factors, piece.rows_per_sample)
        m, V = np.linalg.eigh(scale[:, np.newaxis] * M * scale)
        ridge = np.einsum("ij,ij->j", V, (scale[:, np.newaxis] * Q * scale) @ V)
        held = np.divide(m - ridge, m**2, out=np.full(m.shape, np.inf), where=m > ROUNDING)
        worst = int(np.argmin(held))
        if held[worst] >= NEARLY_ALL:
            break
        share = np.square(V[:, worst]).reshape(piece.n_samples, -1).sum(axis=1)
        factors *= 1 - (1 - np.sqrt(max(held[worst], 0.0))) * share / share.max()
    return factors
