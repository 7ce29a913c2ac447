"""The ridge of a curvature, and the errors for a curvature that cannot be inverted or updated."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse.exceptions import ErasureError

# The ridge, (d,), or a function that returns it for the diagonal of ``R^T R``.
Ridge: TypeAlias = NDArray | Callable[[NDArray], NDArray]

# Sum of the leverages of added rows, without unit, up to which an update by a difference of two
# matrices is accurate, and up to which an update by a product is. The relative errors are the
# rounding error times the sum: 2e-10 and 2e-6.
LARGEST_DIFFERENCE = 1e6
LARGEST_UPDATE = 1e10


def resolve_ridge(ridge: Ridge, diagonal: NDArray) -> tuple[NDArray, NDArray]:
    """Return the ridge, and the diagonal of A for the diagonal of ``R^T R``.

    Raises
    ------
    ErasureError
        If the diagonal of A is not positive and finite.
    """
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(diagonal.sum())
    if not is_finite:
        raise overflow("the rows")
    ridge = ridge(diagonal) if callable(ridge) else ridge
    diagonal = diagonal + ridge
    if not np.isfinite(diagonal).all() or diagonal.min() <= 0:
        raise not_positive_definite(ridge)
    return ridge, diagonal


def cholesky(matrix: NDArray, ridge: NDArray) -> NDArray:
    """Cholesky factors of (..., m, m), or the error for a matrix that is not positive definite."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise not_positive_definite(ridge) from None


def overflow(rows: str) -> ErasureError:
    """Make the error for ``rows`` whose curvature is not finite."""
    return ErasureError(
        f"The curvature of {rows} must be finite, got overflow. Check the rows for values that are "
        "far too large, or scale the columns of X."
    )


def too_large_update(total: float) -> ErasureError:
    """Make the error for added rows with leverages of the sum ``total``."""
    return ErasureError(
        "The added rows must not have far more curvature than the model, got a sum of leverages of "
        f"{total:.2g} (at most {LARGEST_UPDATE:.0e}): the curvature of the other rows would be "
        "lost in rounding. Scale the rows as at fit, raise `damping`, or fit the model again if "
        "the rows have values in columns that were constant at fit."
    )


def not_positive_definite(ridge: NDArray) -> ErasureError:
    """Make the error for a curvature that is singular or not finite."""
    return ErasureError(
        "The curvature must be positive definite, got a singular or non-finite matrix with damping "
        f"(on the scale of a sum over samples) from {ridge.min():.3g} to {ridge.max():.3g}. "
        "Raise `damping`, or scale the columns of X."
    )
