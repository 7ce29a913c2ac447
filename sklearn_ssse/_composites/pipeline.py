"""The route of rows through the steps of a pipeline to the model at its end."""

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites.inspection import erasable_models
from sklearn_ssse._composites.registry import inside, plan, route
from sklearn_ssse._composites.rows import Plan
from sklearn_ssse._preprocessing import (
    PreprocessingState,
    caches_and_warnings,
    downdate_steps,
    keep_steps,
    kept_message,
    refit_steps,
)
from sklearn_ssse.exceptions import ErasureError


@route.register(Pipeline)
def route_through_pipeline(estimator, rows):
    """Send the rows through the transformers, of nested pipelines too, to the model."""
    steps, final, caches = _flattened(estimator)
    inner_caches, messages = caches_and_warnings(steps)
    model = None
    if rows.sample_weight is not None:
        model = next(iter(erasable_models(final)), None)
    state = PreprocessingState(
        rows.X,
        rows.sample_weight,
        rows.column_map,
        rows.filled,
        model=model,
        weights_consumed=rows.weights_consumed,
    )
    downdate = rows.preprocessing == "downdate"
    if rows.preprocessing == "refit":
        state = refit_steps(steps, state, rows.y)
        _check_columns(final, state.X)
        messages = []
    elif downdate:
        state = downdate_steps(steps, state)
    else:
        state = keep_steps(steps, state)
    own = rows._replace(
        X=state.X,
        column_map=state.column_map,
        filled=state.filled,
        weights_consumed=state.weights_consumed,
    )
    held = [*state.kept_by, *caches, *inner_caches]
    if held and downdate:
        messages.insert(0, kept_message(held))
    own_plan = Plan([], state.changes, [*messages, *state.warnings])
    return Plan.joined([own_plan, plan(final, own.keep(*held))])


@inside.register(Pipeline)
def inside_pipeline(estimator):
    """The last step."""
    return [estimator.steps[-1][1]]


def _check_columns(final, X):
    """Refuse rows whose transformers, fitted anew, no longer give the columns of the model."""
    expected = getattr(final, "n_features_in_", None)
    shape = np.shape(X)
    if expected is not None and len(shape) == 2 and shape[1] != expected:
        raise ErasureError(
            "The transformers fitted to the retained rows must give as many columns as the model "
            f"was fitted to, {expected}, got {shape[1]}: the categories or the selected columns "
            "have changed. Fix them by a parameter of the transformer, use preprocessing='keep', "
            "or fit the pipeline again."
        )


def _flattened(pipeline):
    """Transformers, model and caches of a pipeline whose last step may be a pipeline."""
    steps = []
    caches = []
    path = ""
    final = pipeline
    while isinstance(final, Pipeline):
        if final.memory is not None:
            caches.append(f"{path}memory")
        *inner, (name, final) = final.steps
        steps += inner
        path += f"{name}__"
    return steps, final, caches
