"""Newton's method for logistic regression, from the present parameters.

A pass over n rows that computes the gradient takes n d multiplications, and one that also builds
the Hessian takes n d^2. A Hessian is therefore used for several steps (chord steps), as long as
each of them reduces the gradient fast.
"""

from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np

from sklearn_ssse._calibration import logistic
from sklearn_ssse._erasure import expected_square, first_well_conditioned
from sklearn_ssse._gradients import HESSIAN
from sklearn_ssse._inverse import FullInverse
from sklearn_ssse.exceptions import ErasureError

# All shares below are shares of the squared norm of a gradient, in the metric of the inverse
# Hessian.
#
# Newton steps end if scikit-learn's tolerance holds and the gradient is at most this share of the
# mean over single rows: then the parameters are a millionth of the effect of one row from the
# minimum, and the last step takes them closer still.
PRECISION = 1e-12
# A Hessian is used again after a step that leaves at most this share of the gradient.
FAST = 0.06
# The steps end within scikit-learn's tolerance if a step with the Hessian of its own starting point
# leaves more than this share: there is no minimum, or the rest is rounding.
STALLED = 0.5
# A step is halved if the slope of the objective at its end is more than this share of the slope at
# its start, and upwards.
OVERSHOOT = 0.5
# Largest number of steps. Refreshes of 5 data sets, C up to 100, took 4 to 13.
MAX_STEPS = 100
# Largest number of times that a step is halved. They were halved twice at most.
MAX_HALVINGS = 40


class Minimum(NamedTuple):
    """The end of the steps.

    Attributes
    ----------
    theta : ndarray of shape (d,)
        The parameters.
    n_steps : int
    converged : bool
        Whether scikit-learn's tolerance holds.
    """

    theta: np.ndarray
    n_steps: int
    converged: bool


def minimise(batch, tolerance, kernels):
    """Minimise the penalised objective by Newton steps.

    Parameters
    ----------
    batch : LinearBatch
        The rows, at the parameters to start from.
    tolerance : float
        Largest absolute derivative of the objective, on the scale of a mean over rows, as in
        scikit-learn's solvers.
    kernels : module or object
        The kernels that build the inverse Hessian.

    Returns
    -------
    Minimum
    """
    tolerance = tolerance * batch.weight.sum()
    batch, inverse = _start(batch, kernels)
    gradient = batch.objective_gradient()
    small = PRECISION * expected_square(batch, inverse) / batch.n_samples
    is_own = True
    for n_steps in range(MAX_STEPS):
        step = inverse.solve(gradient)
        square = gradient @ step
        converged = np.abs(gradient).max() <= tolerance
        if converged and square <= small:
            return Minimum(batch.family.theta - step, n_steps + 1, converged)
        batch, gradient, halvings = _stepped(batch, gradient, step)
        left = gradient @ inverse.solve(gradient)
        if is_own and converged and not halvings and left > STALLED * square:
            return Minimum(batch.family.theta, n_steps + 1, converged)
        is_own = left > FAST * square
        if is_own:
            inverse = _inverse_hessian(batch, kernels)
    return Minimum(batch.family.theta, MAX_STEPS, bool(np.abs(gradient).max() <= tolerance))


def _start(batch, kernels):
    """The batch at the parameters to start from, and the inverse Hessian there.

    If softmax leaves a direction flat, the part along it is removed: a solver of scikit-learn that
    starts from zeros ends without it. The steps start from zeros if the present parameters are
    worse, or have a singular Hessian because all predictions are certain: erasures may have ruined
    the model.
    """
    theta = batch.family.centred(batch.family.theta)
    zeros = batch.at(np.zeros_like(theta))
    present = batch.at(theta)
    if present.objective() < zeros.objective():
        with suppress(ErasureError):
            return present, _inverse_hessian(present, kernels)
    return zeros, _inverse_hessian(zeros, kernels)


def _inverse_hessian(batch, kernels):
    """The inverse of the Hessian of the penalised objective at the parameters of the batch."""
    build = partial(FullInverse.build, batch.scores(HESSIAN), kernels=kernels)
    return first_well_conditioned(build, logistic.automatic_ridges(batch, HESSIAN))


def _stepped(batch, gradient, step):
    """The batch after the step, the gradient there, and the number of times it was halved.

    The objective is convex. A step at whose end it increases steeply along the step has passed the
    minimum and may have increased the objective: it is halved.
    """
    theta = batch.family.theta
    slope = gradient @ step
    for halvings in range(MAX_HALVINGS + 1):
        moved = batch.at(theta - step / 2**halvings)
        new = moved.objective_gradient()
        if new @ step >= -OVERSHOOT * slope:
            break
    return moved, new, halvings
