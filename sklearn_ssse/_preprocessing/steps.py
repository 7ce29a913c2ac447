"""Steps of a pipeline: each transforms the rows, and its statistics are kept or downdated.

A step type registers up to three functions: `downdate_step`, which takes rows out of its
statistics, `follows_columns` and `fitted_with_weights`. A type without them keeps its statistics.
"""

import warnings
from copy import deepcopy
from functools import singledispatch

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils import get_tags

from sklearn_ssse._preprocessing.failures import step_error
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import attempt
from sklearn_ssse.exceptions import ErasureError


def transformers(steps):
    """The pairs (name, transformer) of a pipeline, without steps that do not change rows."""
    return [(name, step) for name, step in steps if step is not None and step != "passthrough"]


def is_fitted_to_rows(step):
    """Whether a transformer learns from the rows at fit."""
    return get_tags(step).requires_fit


@singledispatch
def follows_columns(step):
    """Whether a step can take columns that an earlier step has rescaled or shifted."""
    return False


@singledispatch
def fitted_with_weights(step, state):
    """Whether a step was fitted with sample weights.

    Parameters
    ----------
    step : transformer
    state : PreprocessingState

    Returns
    -------
    bool
    """
    return False


@singledispatch
def downdate_step(step, state, name):
    """Take the rows out of the statistics of a step; a step of unknown type keeps them.

    Parameters
    ----------
    step : transformer
    state : PreprocessingState
    name : str
        The name of the step, for records and messages.

    Returns
    -------
    PreprocessingState
        The rows as the step transforms them, and the change of its columns.
    """
    state = state._replace(X=transform(step, state.X, name))
    return state.keep(name) if is_fitted_to_rows(step) else state


def keep_steps(steps, state):
    """Transform the rows by steps that keep their statistics.

    Parameters
    ----------
    steps : list of (str, transformer)
    state : PreprocessingState

    Returns
    -------
    PreprocessingState
    """
    for name, step in transformers(steps):
        X = transform(step, state.X, name)  # first: it refuses a step that is not fitted
        consumed = state.weights_consumed or fitted_with_weights(step, state)
        state = state._replace(X=X, weights_consumed=consumed)
        if is_fitted_to_rows(step):
            state = state.keep(name)
    return state


def downdate_steps(steps, state):
    """Take the rows out of the statistics of steps, and transform them.

    Steps before a step that cannot take rescaled columns keep their statistics.

    Parameters
    ----------
    steps : list of (str, transformer)
    state : PreprocessingState

    Returns
    -------
    PreprocessingState

    Raises
    ------
    ErasureError
        If columns were rescaled before a step that cannot take them.
    """
    steps = transformers(steps)
    rigid = [i for i, (_, step) in enumerate(steps) if not follows_columns(step)]
    first = max(rigid, default=0)
    if state.column_map and rigid:
        raise ErasureError(
            f"preprocessing='downdate' rescales the columns before {steps[first][0]}, which was "
            "fitted to them as they were. Put the scaler after it, or use preprocessing='keep'."
        )
    state = keep_steps(steps[:first], state)
    for name, step in steps[first:]:
        state = downdate_step(step, state, name)
    return state


def kept_message(names):
    """The warning for steps that keep statistics of the erased rows."""
    return (
        "The rows were erased from the sums and counts of the pipeline, but not from "
        f"{', '.join(names)}: an order statistic, a set of categories or a projection cannot be "
        "downdated, nor can a step before one of these. Fit them again if you have the retained "
        "rows."
    )


def caches_and_warnings(steps):
    """Caches of nested pipelines, which hold the rows, and warnings of cross-fitted encoders.

    Parameters
    ----------
    steps : list of (str, transformer)

    Returns
    -------
    caches : list of str
        Paths of the parameters ``memory``.
    messages : list of str
    """
    caches = []
    messages = []
    for name, step in transformers(steps):
        params = step.get_params()
        for path, value in params.items():
            if _last(path) == "memory" and value is not None:
                caches.append(f"{name}__{path}")
        if any(isinstance(part, TargetEncoder) for part in (step, *params.values())):
            messages.append(
                f"{name} encodes a row at fit by the labels of other rows (cross-fitting), and "
                "later by the labels of all rows: the model was fitted to other values than it is "
                "given here, and the result may be wrong. Compare with retraining, or pass the "
                "model itself the rows as `fit_transform` made them."
            )
    return caches, messages


def transform(step, X, name):
    """The rows transformed by a step; an empty result for no rows, which transformers refuse."""
    if num_samples(X):
        out, kind = attempt(step.transform, row_copy(step, X))
        if kind is not None:
            raise step_error(step, X, name, kind)
        return out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the row of zeros has no feature names
        return step.transform(np.zeros((1, step.n_features_in_)))[:0]


def row_copy(step, X):
    """The rows, or a copy of them for a step that may write into them."""
    return deepcopy(X) if _writes_into_rows(step) else X


def _last(path):
    """The name of a nested parameter, without the names of the steps."""
    return path.split("__")[-1]


def _writes_into_rows(step):
    """Whether a step, or one inside it, is set not to copy its input."""
    nested = isinstance(step, (ColumnTransformer, FeatureUnion, Pipeline))
    params = step.get_params() if nested else vars(step)
    return any(not value for path, value in params.items() if _last(path) == "copy")
