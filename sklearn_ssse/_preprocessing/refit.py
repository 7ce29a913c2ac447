"""Steps of a pipeline that are fitted anew to the retained rows."""

from sklearn.base import clone
from sklearn.utils.metadata_routing import get_routing_for_object

from sklearn_ssse._erasure import Change
from sklearn_ssse._preprocessing.steps import fitted_with_weights, row_copy, transformers
from sklearn_ssse._utils.compat import routing_enabled


def refit_steps(steps, state, y):
    """Fit clones of the steps in turn, each to the rows as the clones before it transform them.

    A step is given the sample weights if the old one was fitted with them.

    Parameters
    ----------
    steps : list of (str, transformer)
    state : PreprocessingState
        With the retained rows.
    y : array-like
        The labels of the retained rows.

    Returns
    -------
    PreprocessingState
        The rows as the new steps transform them, and the changes from the old steps to the new.
    """
    for _, step in transformers(steps):
        new = clone(step)
        X = row_copy(step, state.X)
        weighted = _takes_weights(step, state)
        if new is step:  # a frozen step, which no fit changes
            X = step.transform(X)
        elif weighted and state.sample_weight is not None:
            X = new.fit_transform(X, y, sample_weight=state.sample_weight)
        else:
            X = new.fit_transform(X, y)
        changes = state.changes
        if new is not step:
            dropped = tuple(vars(step).keys() - vars(new).keys())
            changes = (*changes, Change(step, vars(new), dropped))
        consumed = state.weights_consumed or weighted
        state = state._replace(X=X, changes=changes, weights_consumed=consumed)
    return state


def _takes_weights(step, state):
    """Whether a step was fitted with the weights: as its type registers, or by metadata routing."""
    if fitted_with_weights(step, state):
        return True
    routed = routing_enabled() and get_routing_for_object(step).consumes("fit", ["sample_weight"])
    return bool(routed)
