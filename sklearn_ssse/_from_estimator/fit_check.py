"""Checks that a model trained elsewhere was trained on the rows that were given with it.

The step of an erasure assumes that the model is at a minimum of its penalised loss. If it is not,
an erasure corrects the gradient that remains only with the full inverse of the Hessian, and only if
one Newton step does so.
"""

import numpy as np
from scipy.special import xlogy

from sklearn_ssse._erasure import validated_batch
from sklearn_ssse._utils.warnings import warn

# The gradient of the penalised loss is compared with the gradient of this share of the rows.
SHARE = 0.01
# Largest `distance_from_minimum` without a warning: the gradient of a random 9 % of the rows.
TOO_FAR = 3.0
# Number of sums of all gradients with random signs, which estimate the norm for a random set.
N_SIGNS = 8


def warn_if_far(model, X, y, sample_weight):
    """Warn if a logistic regression is far from the minimum of its objective on the rows.

    Parameters
    ----------
    model : ErasableLogisticRegression
        With the curvature on these rows.
    X, y, sample_weight : array-like
    """
    distance = distance_from_minimum(
        model, validated_batch(model, X, y, sample_weight, trusted=True)
    )
    if distance > TOO_FAR:
        warn(
            "The model must be at a minimum of its penalised loss on the rows, got a gradient "
            f"{distance:.3g} times as large as the gradient of a random {SHARE:.0%} of them (at "
            f"most {TOO_FAR:g} is reliable): an erasure has an error of that size. Pass the "
            "rows, labels and weights that the model was trained on. If these are the ones, train "
            "it with a smaller `tol`, more iterations, or solver='newton-cholesky'."
        )


def distance_from_minimum(model, batch):
    """Norm of the gradient of the penalised loss, relative to the gradient of 1 % of the rows.

    Both norms are in the metric of the inverse curvature: with the Hessian as curvature they are
    the lengths of the Newton step and of an erasure. The norm for 1 % of the rows is a root mean
    square over random sets. It is estimated from sums of the gradients of all rows with random
    signs, which have the same mean square for each row.

    Parameters
    ----------
    model : ErasableLogisticRegression
    batch : LinearBatch
        The training rows.

    Returns
    -------
    float
    """
    family = batch.family
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (batch.n_samples, N_SIGNS))
    G = batch.gradients(np.column_stack([np.ones(batch.n_samples), signs]))
    G[:, 0] += family.penalty() * family.theta
    squares = np.einsum("dj,dj->j", G, model.curvature_.solve(G))
    usual = SHARE * squares[1:].mean()
    return float(np.sqrt(squares[0] / usual)) if usual > 0 else 0.0


def warn_if_wrong(model, X, y, sample_weight):
    """Warn if a network predicts the labels no better than the class frequencies do.

    The gradient is no criterion: training stops long before it vanishes, and it is about as large
    on other rows.

    Parameters
    ----------
    model : ErasableMLPClassifier
        With the curvature on these rows.
    X, y, sample_weight : array-like
    """
    batch = validated_batch(model, X, y, sample_weight, trusted=True)
    state = model._erasure_state
    log_odds, _ = batch.log_odds(batch.family.theta)
    loss = batch.weight @ np.logaddexp(0.0, -log_odds).sum(axis=1) / state.mass
    shares = state.class_mass / state.mass
    entropy = -xlogy(shares, shares).sum()
    if batch.y.ndim == 2:
        entropy -= xlogy(1 - shares, 1 - shares).sum()
    if 0 < entropy <= loss:
        warn(
            "A trained network must predict the labels of its training rows better than the shares "
            f"of the classes do, got a log-loss of {loss:.3g}, and {entropy:.3g} for the shares. "
            "Pass the rows and labels that the model was trained on. If these are the ones, train "
            "it further."
        )
