"""The shares of the rows that changed, for all outputs of a classifier together."""

import numpy as np

from sklearn_ssse._composites.downdates_together import stacked
from sklearn_ssse._erasure import Shares, excess, refused_shares


def changed_together(states, models):
    """The `changed_shares` of each model.

    Parameters
    ----------
    states : list of ErasureState
    models : list of ErasableLogisticRegression
        Of the same number and types, with the inverses before the change.

    Returns
    -------
    list of Shares
    """
    rows = np.array([state.changed / state.fit_mass for state in states])
    mass = stacked(state.class_mass for state in states)
    fit_mass = stacked(state.fit_class_mass for state in states)
    ridge = stacked(model.curvature_.ridge for model in models)
    diagonal = stacked(model.curvature_.diagonal for model in models) - ridge
    fit_diagonal = stacked(state.fit_diagonal for state in states)
    with np.errstate(divide="ignore", invalid="ignore"):
        classes = np.nanmax((fit_mass - mass) / fit_mass, axis=1, initial=0.0)
        gone = 1.0 - diagonal / fit_diagonal
    finite = np.isfinite(gone)
    curvature = np.where(finite, gone, 0.0).sum(axis=1) / np.maximum(finite.sum(axis=1), 1)
    curvature = np.where(rows > 0, curvature, 0.0)
    columns = zip(rows.tolist(), classes.tolist(), curvature.tolist(), strict=True)
    return [Shares(*row) for row in columns]


def refused_together(states, models):
    """Whether `check_shares` refuses each model, list of bool."""
    if not any(state.path.has_moved for state in states):
        return [False]
    limits = refused_shares(states[0].curvature)
    changed = zip(states, changed_together(states, models), strict=True)
    return [bool(state.path.has_moved and excess(shares, limits)) for state, shares in changed]
