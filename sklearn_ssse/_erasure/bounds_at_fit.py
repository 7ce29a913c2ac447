"""The bounds of a model at fit, or the reason for which there are none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._erasure.bounds import Bounds, gradient_norms
from sklearn_ssse._erasure.certificate import is_certified
from sklearn_ssse._erasure.row_sums_at_fit import cut_sums, euclidean_norms, fourth_order, full_sums
from sklearn_ssse._erasure.softmax_bounds import SoftmaxBounds
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._inverse import INVERSES

# Estimated times in milliseconds: of `full_sums` for any data, for each number of X and for each
# product of two columns in a row; of the curvature for any data and for each number of X. Measured
# on 150 to 200,000 rows.
SUMS_TIME = 0.12
SUMS_TIME_OF_NUMBER = 4e-6
SUMS_TIME_OF_PRODUCT = 1e-7
CURVATURE_TIME = 0.8
CURVATURE_TIME_OF_NUMBER = 1e-5
# The fourth derivatives, for each product of two columns in a row, and for each product of two such
# products.
FOURTH_TIME_OF_PRODUCT = 2e-6
FOURTH_TIME_OF_PAIR = 5e-8
# Largest estimated time of the fourth derivatives, as a share of the time of the curvature for any
# data.
LARGEST_FOURTH_SHARE = 0.2
# Largest estimated time of `full_sums`, as a share of the time of the curvature. Beyond it, the
# model keeps `cut_sums`.
LARGEST_TIME_SHARE = 0.27
# Number of parameters up to which the largest eigenvalue is bounded by the eighth power.
LARGEST_POWER = 200

NOT_KEPT = "the sums for bounds are not kept, with bounds=False"
NET = "no bound is known for a neural network, whose loss is not convex"
OTHER_CURVATURE = "no bound is known for the curvature {!r}, which is not the Hessian"
OTHER_STRUCTURE = "no bound is known for the structure {!r}, which keeps a part of the inverse"
BATCHES = "no bound is known for a curvature of mini-batches"


def reason_for_none(model: Any, structure: str, state: Any) -> str:
    """The reason for which a model has no bounds; empty if it has."""
    if not hasattr(model, "bounds"):
        return NET
    if not model.bounds:
        return NOT_KEPT
    if not CURVATURES[state.curvature].is_hessian:
        return OTHER_CURVATURE.format(state.curvature)
    if state.minibatch:
        return BATCHES
    return "" if INVERSES[structure].is_matrix else OTHER_STRUCTURE.format(structure)


def bounds_at_fit(
    model: Any, batch: Any, inverse: Any, data_gram: Any, left: Any, has_third: bool
) -> Any:
    """The `Bounds` of the training rows.

    Parameters
    ----------
    model : ErasableLogisticRegression
    batch : LinearBatch
        The training rows.
    inverse : FullInverse
    data_gram : callable
        Returns the curvature of the rows without the ridge, (d, d).
    left : ndarray of shape (d,)
        The gradient that training left and that later steps do not subtract.
    has_third : bool
        Whether the model keeps the third derivatives.
    """
    if batch.family.link != "logistic":
        return SoftmaxBounds.of(batch, float(np.linalg.norm(left)))
    P = inverse.matrix
    norms = euclidean_norms(batch)
    fourth = None
    numbers = batch.n_samples * batch.n_parameters
    per_number = SUMS_TIME_OF_NUMBER + SUMS_TIME_OF_PRODUCT * batch.n_parameters
    sums_time = SUMS_TIME + per_number * numbers
    curvature_time = CURVATURE_TIME + CURVATURE_TIME_OF_NUMBER * numbers
    is_cheap = not sparse.issparse(batch.X) and sums_time <= LARGEST_TIME_SHARE * curvature_time
    with_all = model.bounds == "all" or is_certified(model)
    if has_third or with_all or is_cheap:
        euclidean, metric, largest = full_sums(
            batch, norms, P, with_fourth=has_third, with_all=with_all
        )
        if has_third and (with_all or fourth_is_cheap(batch.n_samples, batch.n_parameters)):
            fourth = fourth_order(batch)
    else:
        euclidean, metric, largest = cut_sums(batch, norms, data_gram(), largest_eigenvalue(P))
    norm_sum = float(batch.weight @ norms)
    return Bounds(euclidean, metric, largest, gradient_norms(left, P), norm_sum, fourth=fourth)


def fourth_is_cheap(n_samples: int, n_parameters: int) -> bool:
    """Whether the fourth derivatives take a small share of the time of the curvature, estimated."""
    pairs = n_parameters * (n_parameters + 1) // 2
    time = n_samples * (FOURTH_TIME_OF_PRODUCT * pairs + FOURTH_TIME_OF_PAIR * pairs**2)
    return time <= LARGEST_FOURTH_SHARE * CURVATURE_TIME


def largest_eigenvalue(matrix: NDArray) -> float:
    """An upper bound of the largest eigenvalue of a positive definite matrix (d, d).

    It is the eighth root of the trace of the eighth power, at most ``d^(1/8)`` times the
    eigenvalue; for large d a norm of the matrix, which takes less time.
    """
    norm = float(min(np.linalg.norm(matrix), np.linalg.norm(matrix, np.inf)))
    if len(matrix) > LARGEST_POWER:
        return norm
    fourth = matrix / norm
    for _ in range(2):
        fourth = fourth @ fourth
    return norm * float(np.linalg.norm(fourth)) ** 0.25
