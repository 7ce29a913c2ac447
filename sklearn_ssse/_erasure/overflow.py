"""Refuse rows whose numbers are so large that products with the inverse curvature overflow.

A row of the training data has at most as much curvature as the curvature. Rows far beyond that are
refused before any product with the inverse is formed.
"""

import numpy as np

from sklearn_ssse.exceptions import ErasureError

# Largest ratio of a square of the rows to the diagonal of the curvature, without unit. Up to it,
# products of the third order are finite.
LARGEST_RATIO = 1e100


def check_rows_finite(scores, inverse):
    """Refuse curvature rows that are not finite, or whose products may overflow.

    Parameters
    ----------
    scores : Scores or ScoreStream
    inverse : AbstractInverse
    """
    if scores.n_rows and not _all_moderate(scores.diagonal(), inverse.diagonal):
        raise ErasureError(_message("curvature"))


def check_gradient_finite(gradient, inverse):
    """Refuse a gradient of rows, (d,), that is not finite, or whose products may overflow."""
    with np.errstate(over="ignore"):
        squares = np.square(gradient)
    if not _all_moderate(squares, inverse.diagonal):
        raise ErasureError(_message("gradient"))


def are_moderate(x, diagonals):
    """Whether rows are small enough for both checks, for several binary linear classifiers.

    Parameters
    ----------
    x : ndarray of shape (k, d)
        The rows, with a last column of ones for an intercept.
    diagonals : ndarray of shape (n_models, d)
        The diagonal of each curvature.
    """
    with np.errstate(over="ignore"):
        squares = np.square(x).sum(axis=0)
    return _all_moderate(squares, diagonals.min(axis=0))


def _all_moderate(squares, diagonal):
    """Whether squares (d,) are finite and at most `LARGEST_RATIO` times the diagonal."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool((squares / LARGEST_RATIO <= diagonal).all())


def _message(name):
    return (
        f"The {name} of the rows must be finite, and its square at most {LARGEST_RATIO:.0e} times "
        "the curvature of the training rows, got overflow. Check the rows for values that are far "
        "too large; scale them as at fit."
    )
