"""The limits of an erasure and of a stream, for all outputs of a classifier together.

A function that returns False leaves the outputs to the twin, which warns or refuses.
"""

import numpy as np

from sklearn_ssse._composites.downdates_together import stacked
from sklearn_ssse._erasure import StepSize, is_refused, norms_of_rows, refusal


def erased_together(states, models):
    """The `erased_curvature` of each model, (n_models,)."""
    moved = np.array([state.path.has_moved for state in states])
    if not moved.any():
        return np.zeros(len(states))
    ridge = stacked(model.curvature_.ridge for model in models)
    diagonal = stacked(model.curvature_.diagonal for model in models) - ridge
    weights = stacked(state.diagonal_weights for state in states)
    return np.where(moved, 1.0 - np.einsum("jd,jd->j", diagonal, weights), 0.0)


def refused_together(states, erased):
    """Whether `check_shares` refuses one of the models; ``erased`` is their `erased_together`."""
    return any(map(refusal, states, erased.tolist()))


def rows_accepted(states, X, log_odds, pending):
    """Whether `check_norms` and `check_label_odds` accept the rows for every model.

    Parameters
    ----------
    states : list of ErasureState
    X : {ndarray, CSR matrix} of shape (k, n_features)
    log_odds : ndarray of shape (n_models, k)
        Log-odds of the labels.
    pending : PendingDowndates
    """
    norms = norms_of_rows(X)
    root = np.sqrt(pending.unweighted_leverage)
    return not any(
        state.limits.too_long(norms).any()
        or state.limits.too_unlikely(own, state.path.length * h).any()
        for state, own, h in zip(states, log_odds, root, strict=True)
    )


def sizes_together(weight, change):
    """The `StepSize` of each model.

    Parameters
    ----------
    weight, change : ndarray of shape (n_models, k)
        Weights of the rows, and the absolute changes of the log-odds of their labels.
    """
    mean = (weight * change).sum(axis=1) / weight.sum(axis=1)
    n_rows = [change.shape[1]] * len(change)
    return list(map(StepSize, mean.tolist(), change.max(axis=1).tolist(), n_rows))


def sizes_hold(states, sizes):
    """Whether the twin refuses no step of these sizes."""
    return not any(map(is_refused, sizes, states))
