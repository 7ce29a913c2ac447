"""The limits of a stream of erasures, for all outputs of a classifier together."""

import numpy as np

from sklearn_ssse._composites.downdates_together import stacked
from sklearn_ssse._erasure import refusal


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
