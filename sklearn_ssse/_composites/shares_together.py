"""The shares of the rows that changed, for all outputs of a classifier together."""

import numpy as np

from sklearn_ssse._composites.downdates_together import stacked
from sklearn_ssse._erasure import TINY, Shares, excess, refused_shares


def changed_together(states, models):
    """The `changed_shares` of each model.

    Parameters
    ----------
    states : list of ErasureState
        With the paths before the change.
    models : list of ErasableLogisticRegression
        Of the same number and types, with the inverses before the change.

    Returns
    -------
    list of Shares
    """
    rows = np.array([state.changed / state.fit_mass for state in states])
    fit_mass = stacked(state.fit_class_mass for state in states)
    gone = fit_mass - stacked(state.class_mass for state in states)
    classes = (gone / np.maximum(fit_mass, TINY)).max(axis=1, initial=0.0)
    curvature = erased_together(states, models)
    columns = zip(rows.tolist(), classes.tolist(), curvature.tolist(), strict=True)
    return [Shares(*row) for row in columns]


def erased_together(states, models):
    """The `erased_curvature` of each model, (n_models,)."""
    moved = np.array([state.path.has_moved for state in states])
    if not moved.any():
        return np.zeros(len(states))
    ridge = stacked(model.curvature_.ridge for model in models)
    diagonal = stacked(model.curvature_.diagonal for model in models) - ridge
    weights = stacked(state.diagonal_weights for state in states)
    return np.where(moved, 1.0 - np.einsum("jd,jd->j", diagonal, weights), 0.0)


def refused_together(states, models):
    """Whether `check_shares` refuses each model, list of bool."""
    if not any(state.path.has_moved for state in states):
        return [False]
    limits = refused_shares(states[0].curvature)
    changed = zip(states, changed_together(states, models), strict=True)
    return [bool(state.path.has_moved and excess(shares, limits)) for state, shares in changed]
