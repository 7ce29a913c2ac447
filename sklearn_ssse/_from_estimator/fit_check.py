"""Whether the parameters of a model that was trained elsewhere belong to the rows that were given with it.

The step of an erasure starts at a minimum of the penalised loss. What is left of its gradient there, the erasure leaves as well.
"""

import warnings

import numpy as np
from scipy.special import xlogy

from sklearn_ssse._erasure import check_rows, row_weights
from sklearn_ssse.exceptions import ErasureWarning

# A gradient larger than so many times that of so small a share of the rows: as large as that of 9 % of them.
TOO_FAR = 3.0
SHARE = 0.01
N_SIGNS = 8


def warn_if_far(model, X, y, sample_weight):
    """Warn if a logistic regression is far from the minimum of its objective on the rows.

    Parameters
    ----------
    model : ErasableLogisticRegression
        With the curvature on these rows.
    X, y, sample_weight : array-like
    """
    distance = distance_from_minimum(model, _batch(model, X, y, sample_weight))
    if distance > TOO_FAR:
        warnings.warn(
            "The model must be a minimum of its penalised loss on the rows, got a gradient "
            f"{distance:.3g} times as large as that of a random {SHARE:.0%} of them ({TOO_FAR:g} is too much): an erasure leaves an "
            "error of that size. Pass the rows, labels and weights that the model was trained on; if they are, train it with a smaller "
            "`tol`, more iterations, or solver='newton-cholesky'.",
            ErasureWarning,
            stacklevel=3,
        )


def distance_from_minimum(model, batch):
    """Norm of the gradient of the penalised loss by that of a random percent of the rows, both in the metric of the inverse curvature.

    With the Hessian as curvature these are the lengths of the Newton step and of the erasure. The erasure's is a root mean square:
    that of the sum of all rows with random signs is the same for as many rows.
    """
    family = batch.family
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (batch.n_samples, N_SIGNS))
    G = batch.gradients(np.column_stack([np.ones(batch.n_samples), signs]))
    G[:, 0] += family.penalty() * family.theta
    squares = np.einsum("dj,dj->j", G, model.curvature_.solve(G))
    usual = SHARE * squares[1:].mean()
    return float(np.sqrt(squares[0] / usual)) if usual > 0 else 0.0


def warn_if_wrong(model, X, y, sample_weight):
    """Warn if a net says less of the labels than the shares of the classes do.

    The gradient tells nothing: training stops long before it vanishes, and it is as large on other rows.

    Parameters
    ----------
    model : ErasableMLPClassifier
        With the curvature on these rows.
    X, y, sample_weight : array-like
    """
    batch, state = _batch(model, X, y, sample_weight), model._erasure_state
    log_odds, _ = batch.log_odds(batch.family.theta)
    loss = batch.weight @ np.logaddexp(0.0, -log_odds).sum(axis=1) / state.mass
    shares = state.class_mass / state.mass
    entropy = -xlogy(shares, shares).sum()
    if batch.y.ndim == 2:
        entropy -= xlogy(1 - shares, 1 - shares).sum()
    if 0 < entropy <= loss:
        warnings.warn(
            "A trained net must predict the labels of its training rows better than the shares of the classes do, got a log-loss of "
            f"{loss:.3g} where these have {entropy:.3g}. Pass the rows and labels that the model was trained on; if they are, train it "
            "further.",
            ErasureWarning,
            stacklevel=3,
        )


def _batch(model, X, y, sample_weight):
    X, codes, weight = check_rows(model, X, y, sample_weight, trusted=True)
    return model._family().batch(
        X, codes, row_weights(codes, weight, model._erasure_state.class_weight)
    )
