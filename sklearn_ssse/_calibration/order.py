"""Whether a logistic regression keeps the third derivatives of its loss, and their computation."""

import numpy as np

from sklearn_ssse._erasure import SecondOrder
from sklearn_ssse._gradients import HESSIAN, ThirdOrder
from sklearn_ssse._utils.memory import available_bytes, fits, readable
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError

# Largest time of the curvature and the third derivatives, as a share of the time of the plain fit,
# for which order "auto" keeps them.
LARGEST_TIME_SHARE = 0.5
# Estimates of times in milliseconds: a plain fit; an iteration of its solver, and the same for each
# number of X and output. Measured with lbfgs on 150 to 200,000 rows and 5 to 104 columns.
FIT_TIME = 1.0
ITERATION_TIME = 0.06
ITERATION_TIME_OF_NUMBER = 1e-6
# The curvature: for any data, and for each number of X and output.
CURVATURE_TIME = 0.6
CURVATURE_TIME_OF_NUMBER = {"logistic": 1e-5, "softmax": 2.3e-5}
# The third derivatives: for any data, for each product of two columns in a row, and for each number
# that a row adds to the tensor.
TENSOR_TIME = 0.35
TENSOR_TIME_OF_PRODUCT = 1e-6
TENSOR_TIME_OF_NUMBER = 4e-8
# Estimated time of the third derivatives, in milliseconds, above which order 2 gives a warning
# before it starts.
LONG_TIME = 10_000.0


def second_order(batch, inverse, order, can_leave_out, n_iter, before=None):
    """The `SecondOrder` of the training rows; None if steps are of first order.

    Parameters
    ----------
    batch : LinearBatch
    inverse : AbstractInverse
    order : {"auto", 1, 2}
    can_leave_out : bool
        Whether the curvature is the Hessian and a step uses the one of the rows after the change.
    n_iter : int
        Number of iterations of the solver.
    before : int or None
        The order that "auto" chose at fit, for a curvature that is computed again.

    Raises
    ------
    ErasureError
        If order is 2 and the model has no steps of second order, or no memory for them.
    """
    if order == 1:
        return None
    possible = inverse.is_matrix and can_leave_out and hasattr(batch, "third_order")
    n_bytes = ThirdOrder.bytes_needed(*batch.family.shape) if possible else 0
    if order == "auto":
        chosen = before == 2 if before else possible and is_cheap(batch, n_iter)
        if not (possible and chosen and fits(2 * n_bytes)):
            return None
    elif not possible:
        raise ErasureError(
            "order=2 needs the inverse of the whole Hessian without the forget rows, got another "
            "curvature, structure or leave_out. Use curvature='fisher', structure='full', "
            "leave_out='auto' and fisher_batch_size=1; or use order='auto'."
        )
    else:
        _check_size(batch, n_bytes)
    hessian = batch.scores(HESSIAN).gram()
    hessian[np.diag_indices_from(hessian)] += inverse.ridge
    try:
        return SecondOrder(hessian, batch.third_order())
    except ErasureError:  # overflow
        if order == "auto":
            return None
        raise


def is_cheap(batch, n_iter):
    """Whether the fit with third derivatives takes at most 1.5 times the plain fit, estimated.

    The estimate depends on sizes alone, so that the same data give the same model on any machine.
    """
    numbers = batch.n_samples * batch.n_parameters
    plain = FIT_TIME + n_iter * (ITERATION_TIME + ITERATION_TIME_OF_NUMBER * numbers)
    curvature = CURVATURE_TIME + CURVATURE_TIME_OF_NUMBER[batch.family.link] * numbers
    return curvature + tensor_time(batch) <= LARGEST_TIME_SHARE * plain


def tensor_time(batch):
    """Estimated time of the third derivatives in milliseconds."""
    n_outputs, width = batch.family.shape
    pairs = width * (width + 1) // 2
    numbers = ThirdOrder.bytes_needed(n_outputs, width) // 8
    per_row = TENSOR_TIME_OF_PRODUCT * pairs + TENSOR_TIME_OF_NUMBER * numbers
    return TENSOR_TIME + batch.n_samples * per_row


def _check_size(batch, n_bytes):
    """Refuse third derivatives that do not fit into memory; warn if they take long."""
    free = available_bytes()
    if 2 * n_bytes > free:
        raise ErasureError(
            f"The third derivatives of {batch.n_parameters} parameters must fit into memory twice, "
            f"got {readable(n_bytes)} for {readable(free)} of free memory. Use order='auto' or 1."
        )
    time = tensor_time(batch)
    if time > LONG_TIME:
        warn(
            f"The third derivatives of {batch.n_samples} rows need {readable(n_bytes)} and about "
            f"{time / 1000:.0f} s. Use order='auto' to keep them only if they are cheap."
        )
