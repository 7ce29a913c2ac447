"""The route of rows to the models of a `MultiOutputClassifier`."""

from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse._composites.multioutput_batched import plan_together
from sklearn_ssse._composites.registry import inside, plan_all, registered, route
from sklearn_ssse._composites.rows import Plan
from sklearn_ssse._erasure import check_outputs


@route.register(MultiOutputClassifier)
def route_to_outputs(estimator, rows):
    """Send the rows to every output, to all together if the models are similar."""
    models = estimator.estimators_
    Y = check_outputs(rows.y, len(models))
    if _only_erases(rows) and registered(models[0]) is None:
        own = rows.for_model(models[0])
        erasures = plan_together(
            models, own.X, Y, own.epsilon, own.sample_weight, own.kept_by, own.request
        )
        if erasures is not None:
            return Plan(erasures)
    rows = rows._replace(may_lose_class=True)  # the other outputs keep their classes
    outputs = enumerate(zip(models, Y.T, strict=True))
    return plan_all((model, rows._replace(y=y).at(f"output {i}")) for i, (model, y) in outputs)


@inside.register(MultiOutputClassifier)
def inside_outputs(estimator):
    """The model of every output."""
    return estimator.estimators_


def _only_erases(rows):
    """Whether the rows are only to be erased, and by the models alone."""
    changes = (rows.added, rows.replaced, rows.retained)
    others = (*changes, rows.column_map, rows.params, rows.positions is not None)
    return not any(others)
