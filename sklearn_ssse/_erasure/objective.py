"""Refuse parameters of the parent class that were changed after the fit."""

from sklearn_ssse._families import objective_of
from sklearn_ssse.exceptions import ErasureError

# Parameters that may not change before `refresh`, and before `fit_curvature`, because the fitted
# parameters belong to their values. The others may change before both: the objective is then the
# new one.
FIXED_AT_REFRESH = ("activation",)
FIXED_AT_CURVATURE = ("activation", "fit_intercept")
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
            may_refresh = name not in (fixed or FIXED_AT_REFRESH)
            or_refresh = ", or call `refresh` with the retained rows" if may_refresh else ""
            raise ErasureError(
                f"{name} must be as it was when the curvature was computed, {before!r}, got "
                f"{given!r}. Set it back, or call `fit`{or_refresh}."
            )
