"""The curvatures: the seed of their rows, and every property that other code reads.

Every curvature is ``R^T R`` with one or more rows per sample. A row is seeded at the output of the
model and back-propagated like any delta. A seed function takes

    proba : ndarray of shape (n_samples, n_outputs)     predicted probabilities
    targets : ndarray of shape (n_samples, n_outputs)   one-hot labels (one column if binary)
    link : {"logistic", "softmax"}                      outputs independent, or on a simplex

and returns an array of shape (n_samples, n_rows, n_outputs), without sample weights. A new
curvature is one seed function and one entry of ``CURVATURES``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The curvature whose rows are the gradients of the samples.
GRADIENT = "empirical_fisher"
# The curvature that equals the Hessian of logistic regression.
HESSIAN = "fisher"


class Curvature(NamedTuple):
    """One entry of ``CURVATURES``.

    Attributes
    ----------
    seed : callable
        Rows at the output of the model, see the module's docstring.
    rows_per_sample : callable
        Number of rows of a sample as a function of the number of outputs.
    leave_out : bool
        Whether ``leave_out="auto"`` takes the erased rows out of the curvature before the step.
    is_hessian : bool
        True if the curvature equals the Hessian of logistic regression: eps is 1 there, and the
        automatic damping is the L2 penalty. Otherwise both are calibrated against the Hessian.
    network_damping : float
        lambda of ``damping="auto"`` for a multi-layer perceptron, on the scale of a mean over rows.
    """

    seed: Callable[[NDArray, NDArray, str], NDArray]
    rows_per_sample: Callable[[int], int]
    leave_out: bool
    is_hessian: bool
    network_damping: float


def gradient(proba: NDArray, targets: NDArray, link: str) -> NDArray:
    """Derivative of the loss with respect to the outputs: one row, the seed of the gradient."""
    return (proba - targets)[:, np.newaxis, :]


def fisher(proba: NDArray, targets: NDArray, link: str) -> NDArray:
    """Rows r whose ``sum r r^T`` is the Hessian of the loss with respect to the outputs.

    The Hessian is ``diag(p) - p p^T`` for softmax, ``p (1 - p)`` for logistic outputs.
    """
    n_outputs = proba.shape[1]
    if link == "logistic":
        return np.eye(n_outputs) * np.sqrt(proba * (1 - proba))[:, np.newaxis, :]
    return np.sqrt(proba)[:, :, np.newaxis] * (np.eye(n_outputs) - proba[:, np.newaxis, :])


CURVATURES = {
    GRADIENT: Curvature(
        gradient,
        rows_per_sample=lambda n_outputs: 1,
        leave_out=False,
        is_hessian=False,
        network_damping=1e-3,
    ),
    HESSIAN: Curvature(
        fisher,
        rows_per_sample=lambda n_outputs: n_outputs,
        leave_out=True,
        is_hessian=True,
        network_damping=3e-3,
    ),
}
