"""The route of rows to an erasable model, which ends there."""

from sklearn_ssse._composites.registry import inside, route
from sklearn_ssse._composites.rows import ModelRows, Plan
from sklearn_ssse._erasure import ErasableMixin
from sklearn_ssse.exceptions import ErasureTypeError


@route.register(ErasableMixin)
def route_to_model(estimator, rows):
    """Plan the change of the rows; refuse arguments that no model takes."""
    unknown = list(rows.params)
    if rows.positions is not None and not rows.path:  # else another model may take them
        unknown.append("positions")
    if unknown:
        verb = "refresh" if rows.retained else "unlearn"
        raise ErasureTypeError(
            f"{verb} for {type(estimator).__name__} takes no {', '.join(sorted(unknown))}. Omit it."
        )
    return Plan([ModelRows(estimator, rows.for_model(estimator))])


@inside.register(ErasableMixin)
def inside_model(estimator):
    """No other estimators."""
    return []
