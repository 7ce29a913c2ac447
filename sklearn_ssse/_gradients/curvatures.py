"""Output residual seeds: what makes one curvature differ from another.

Every curvature is ``R^T R`` with one or more rows per sample. A row is seeded at the output of the model and
back-propagated like any delta. A seed function takes

    proba : ndarray of shape (n_samples, n_outputs)     predicted probabilities
    targets : ndarray of shape (n_samples, n_outputs)   one-hot labels (one column for a binary problem)
    link : {"logistic", "softmax"}                      outputs independent, or on a simplex

and returns an array of shape (n_samples, n_rows, n_outputs), without sample weights. A new curvature is one function here
and one line in ``CURVATURES``.
"""

import numpy as np


def gradient(proba, targets, link):
    """Derivative of the loss by the outputs: the seed of the gradient itself, one row per sample."""
    return (proba - targets)[:, np.newaxis, :]


def fisher(proba, targets, link):
    """Rows whose squares sum to the Hessian of the loss by the outputs, ``diag(p) - p p^T`` or ``p (1 - p)``."""
    n_outputs = proba.shape[1]
    if link == "logistic":
        return np.eye(n_outputs) * np.sqrt(proba * (1 - proba))[:, np.newaxis, :]
    return np.sqrt(proba)[:, :, np.newaxis] * (np.eye(n_outputs) - proba[:, np.newaxis, :])


CURVATURES = {"empirical_fisher": gradient, "fisher": fisher}
