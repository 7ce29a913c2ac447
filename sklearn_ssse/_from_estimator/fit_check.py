"""The check that a network trained elsewhere was trained on the rows that were given with it.

For logistic regression, `_minimum` makes this check whenever a curvature is computed.
"""

import numpy as np
from scipy.special import xlogy

from sklearn_ssse._erasure import validated_batch
from sklearn_ssse._utils.warnings import warn


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
