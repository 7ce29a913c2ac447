"""The route of rows through the steps of a pipeline to the model at its end."""

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
)


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
    state = downdate_steps(steps, state) if downdate else keep_steps(steps, state)
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
