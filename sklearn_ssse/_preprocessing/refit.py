"""Steps of a pipeline that are fitted anew to the retained rows."""

from sklearn.base import clone
from sklearn.utils.metadata_routing import get_routing_for_object

from sklearn_ssse._erasure import Change
from sklearn_ssse._preprocessing.failures import step_error
from sklearn_ssse._preprocessing.steps import fitted_with_weights, row_copy, transform, transformers
from sklearn_ssse._utils.compat import routing_enabled
from sklearn_ssse._utils.unquoted import attempt


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
    for name, step in transformers(steps):
        new = clone(step)
        X = row_copy(step, state.X)
        weighted = _takes_weights(step, state)
        if new is step:  # a frozen step, which no fit changes
            X = transform(step, X, name)
        else:
            given = weighted and state.sample_weight is not None
            params = {"sample_weight": state.sample_weight} if given else {}
            X, kind = attempt(new.fit_transform, X, y, **params)
            if kind is not None:
                raise step_error(new, X, name, kind, "fit_transform")
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
