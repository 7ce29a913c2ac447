"""The gradient that training left, and its size relative to the gradient of a few rows.

The step of an erasure assumes that the model is at a minimum of its penalised objective. If it is
not, an erasure with the full inverse of the Hessian removes the gradient that training left, but
only if one Newton step does so. Otherwise the erasure has an error of the size of that gradient.
"""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure import expected_square

# The gradient of the penalised objective is compared with the gradient of this share of the rows.
SHARE = 0.01
# Largest `distance_from_minimum` without a warning: the gradient of a random 9 % of the rows.
TOO_FAR = 3.0
# No warning either if no derivative of the mean objective is larger than this, the default `tol` of
# scikit-learn: the fit of a user who changes no parameter does not warn.
USUAL_TOLERANCE = 1e-4
# Largest share of the gradient at fit that one Newton step may leave, in the norm of the inverse
# curvature, for an erasure to take that step along. Without a limit, erasing 3 rows of unscaled
# digits, C = 100, default solver, changes the accuracy from 1.00 to .55.
LARGEST_LEFT = 0.5
# With damping "auto", further steps with the same inverse are made if the first one leaves more
# than this share. Without them, erasing 1 % of 200,000 flights, default solver, has a distance
# ratio of .21.
SMALL_LEFT = 0.1
# Number of all steps then. With two, the distance ratio of the flights is .05, with three .01.
LARGEST_STEPS = 3


class LeftByTraining(NamedTuple):
    """The gradient that training left.

    Attributes
    ----------
    residual : ndarray of shape (d,) or None
        The gradient of the penalised objective on the scale of a sum over rows, if an erasure can
        remove it; None if it cannot. If one Newton step leaves too much of the gradient, the
        residual is the curvature times the sum of several steps.
    warning : str
        The message for a model that is far from the minimum, and whose gradient no erasure
        removes; empty for any other model.
    gradient : ndarray of shape (d,)
        The gradient of the penalised objective on the scale of a sum over rows.
    """

    residual: np.ndarray | None
    warning: str
    gradient: np.ndarray


def left_by_training(batch, inverse, is_hessian, has_own_ridge):
    """The gradient that training left, and a warning if erasures will suffer from it.

    Parameters
    ----------
    batch : LinearBatch
        The training rows.
    inverse : AbstractInverse
        The inverse curvature on these rows.
    is_hessian : bool
        Whether the curvature is the Hessian.
    has_own_ridge : bool
        Whether its ridge is the penalty. With any other ridge only one step is tried.

    Returns
    -------
    LeftByTraining
    """
    gradient = batch.objective_gradient()
    # With less than the whole inverse a step along the residual could be too long.
    if is_hessian and inverse.is_matrix:
        max_steps = LARGEST_STEPS if has_own_ridge else 1
        removed = _removed_by_steps(gradient, batch, inverse, max_steps)
        if removed is not None:
            return LeftByTraining(removed, "", gradient)
    largest = np.abs(gradient).max() / batch.weight.sum()
    distance = distance_from_minimum(gradient, batch, inverse)
    if not (distance > TOO_FAR and largest > USUAL_TOLERANCE):
        return LeftByTraining(None, "", gradient)
    return LeftByTraining(
        None,
        "The model must be at a minimum of its penalised loss on the rows, got a gradient "
        f"{distance:.3g} times as large as the gradient of a random {SHARE:.0%} of them (at most "
        f"{TOO_FAR:g} is reliable): an erasure has an error of that size. If the model was trained "
        "on these rows, labels and weights, call `refresh` with them, or train it with a smaller "
        "`tol`, more iterations, or solver='newton-cholesky'. Otherwise pass the rows that it was "
        "trained on.",
        gradient,
    )


def distance_from_minimum(gradient, batch, inverse):
    """Norm of the gradient of the objective, relative to the gradient of 1 % of the rows.

    Both norms are in the metric of the inverse curvature: with the Hessian as curvature they are
    the lengths of the Newton step and of an erasure. The norm for 1 % of the rows is the root of
    `expected_square` times `SHARE`.

    Parameters
    ----------
    gradient : ndarray of shape (d,)
        `LinearBatch.objective_gradient`.
    batch : LinearBatch
        The training rows.
    inverse : AbstractInverse

    Returns
    -------
    float
    """
    usual = SHARE * expected_square(batch, inverse)
    return float(np.sqrt(gradient @ inverse.solve(gradient) / usual)) if usual > 0 else 0.0


def _removed_by_steps(gradient, batch, inverse, max_steps):
    """The curvature times the steps that lead to the minimum, (d,); None if they are not reliable.

    If one Newton step removes nearly all of the gradient, it is the gradient itself.
    """
    start = gradient @ inverse.solve(gradient)
    theta = batch.family.theta
    total = np.zeros_like(gradient)
    left = gradient
    largest = LARGEST_LEFT**2 * start
    for step in range(max_steps):
        total = total + left
        left = batch.at(theta - inverse.solve(total)).objective_gradient()
        square = left @ inverse.solve(left)
        if not square <= largest:
            return None
        if step == 0 and square <= SMALL_LEFT**2 * start:
            break
        largest = square
    return total
