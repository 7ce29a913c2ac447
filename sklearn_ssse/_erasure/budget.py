"""The budget of the bounds: the reason for a refresh, and the fields of states and records."""

from typing import Any

from sklearn_ssse._erasure.bounds import TOO_LONG, Found
from sklearn_ssse._erasure.records import replace_fields

# Budget "auto", in standard errors, as a multiple of the root of the number of parameters: the
# expected distance of the estimate from the truth is the root.
AUTO_BUDGET = 0.1


def over_budget(model: Any, bounds: Any) -> str:
    """The reason for a refresh if the bounds exceed the budget of a model; empty if they do not.

    A budget that is a number is also exceeded if the steps are too long for a bound.
    """
    limit = budget_of(model)
    if limit is None:
        return ""
    spent = bounds.budget(limit)
    if spent.reason == TOO_LONG:
        return "" if model.budget == "auto" else TOO_LONG
    if spent.parameters is None or spent.parameters <= limit:
        return ""
    return (
        f"the bound of the distance to the retrained model is {spent.parameters:.2g} standard "
        f"errors (at most {limit:.2g} is the budget)"
    )


def with_bounds(state: Any, model: Any, found: Found) -> Any:
    """The `ErasureState` after a change, with its bounds."""
    spent = bool(over_budget(model, state.bounds))
    warned = state.path.warned_of_budget or spent
    path = replace_fields(state.path, {"warned_of_budget": warned})
    return replace_fields(state, {"bounds": found.bounds, "path": path})


def bound_fields(model: Any, found: Found) -> dict:
    """The fields of a record for the bounds of a call."""
    return {
        "gradient_bound": found.gradient,
        "parameter_bound": found.parameters,
        "bound_reason": found.reason,
        "over_budget": over_budget(model, found.bounds),
    }


def budget_of(model: Any) -> float | None:
    """The parameter `budget` of a model in standard errors; None for no limit."""
    budget = getattr(model, "budget", None)
    if budget == "auto":
        return AUTO_BUDGET * model.curvature_.n_parameters**0.5
    return budget
