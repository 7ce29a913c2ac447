"""Refuse parameters of the parent class that were changed after the fit."""

from sklearn_ssse._families import objective_of
from sklearn_ssse.exceptions import ErasureError

# Parameters that may not change before `refresh`, and before `fit_curvature`, because the fitted
# parameters belong to their values. The others may change before both: the objective is then the
# new one.
FIXED_AT_REFRESH = ("activation",)
FIXED_AT_CURVATURE = ("activation", "fit_intercept")
# Parameters that `fit` and `refresh` accept with no other value than the one at the fit.
FIXED_ALWAYS = ("l1_ratio",)
# Parameters whose value at the fit is used by an erasure, whatever their present value is.
USED_AS_AT_FIT = ("early_stopping",)


def check_objective(model, fixed=None):
    """Refuse a model whose objective is not the one of its curvature.

    Parameters
    ----------
    model : ErasableMixin
    fixed : tuple of str, default=None
        Parameters that must not have changed; None for all of the objective.
    """
    state = vars(model).get("_erasure_state")
    if state is None or state.objective is None:
        return
    now = objective_of(model)
    if now == state.objective:
        return
    for name in [*state.objective, *now] if fixed is None else fixed:
        before = state.objective.get(name)
        given = now.get(name)
        if before != given and name not in USED_AS_AT_FIT:
            raise ErasureError(
                f"{name} must be as it was when the curvature was computed, {before!r}, got "
                f"{given!r}. Set it back{_other_calls(name, fixed)}."
            )


def _other_calls(name, fixed):
    """The calls that accept a new value of a parameter, as the end of an advice."""
    if name in FIXED_ALWAYS:
        return ""
    if name in (fixed or FIXED_AT_REFRESH):
        return ", or call `fit`"
    return ", or call `fit`, or call `refresh` with the retained rows"
