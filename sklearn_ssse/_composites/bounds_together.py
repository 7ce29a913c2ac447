"""The bounds of an erasure from all outputs of a classifier together."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from sklearn_ssse._erasure import (
    NoBounds,
    Rows,
    Solved,
    bound_fields,
    make_call,
    rounding_of_inverse,
    with_bounds,
)


class _Kind(NamedTuple):
    """The step of one output as a multiple of the solution, and the kind of the solution."""

    factor: float
    damped: bool
    leave_out: bool


def bounds_together(
    models, states, pending, logits, weight, gradients, change, factors, damped, leave_out, after
):
    """The states after a change with their bounds, and the `bound_fields` of each model.

    Parameters
    ----------
    models : list of ErasableLogisticRegression
    states : list of ErasureState
        Before the change.
    pending : PendingDowndates
    logits, weight : ndarray of shape (n_models, k)
        Outputs for the forget rows, and their weights.
    gradients : ndarray of shape (n_models, k)
        Derivatives of the loss of the rows by the output, times their weights.
    change : ndarray of shape (n_models, d)
        The steps.
    factors : ndarray of shape (n_models,)
        The steps as multiples of the solutions.
    damped : ndarray of bool of shape (n_models,)
    leave_out : bool
        Whether the solutions use the curvature without the forget rows.
    after : list of ErasureState
        After the change, with the bounds before it.

    Returns
    -------
    after : list of ErasureState
    fields : list of dict
    """
    found = []
    for j, (model, state) in enumerate(zip(models, states, strict=True)):
        call = None
        if not isinstance(state.bounds, NoBounds):
            row = (logits[j], weight[j], gradients[j], change[j])
            kind = _Kind(factors[j], damped[j], leave_out)
            call = _call(model, state, pending, j, *row, kind, after[j].residual)
        found.append(state.bounds.after(call))
    parts = list(zip(after, models, found, strict=True))
    fields = [bound_fields(model, own) for _, model, own in parts]
    return [with_bounds(*part) for part in parts], fields


def _call(model, state, pending, j, logits, weight, gradients, change, kind, residual):
    """The `Call` of output j."""
    x = pending.x
    rows = Rows.at(x, weight, expit(logits))
    inverse = model.curvature_
    family = model._family()
    step = family.stored(family.theta + change) - family.theta
    gradient = gradients @ x
    if state.residual is not None:
        gradient = gradient - state.residual
    own = (weight * rows.second * (x @ step)) @ x
    if kind.damped:
        along = np.linalg.solve(inverse.matrix, change) - own
    else:
        along = kind.factor * gradient - (0.0 if kind.leave_out else own)
    rounding = rounding_of_inverse(inverse, pending.margin[j], gradient)
    return make_call(
        rows,
        family,
        inverse,
        state,
        Solved(step, change, along, gradient, float(step @ (along + own)), rounding),
        residual,
        margin=float(pending.margin[j]),
        kept=pending.kept_shares[j],
        has_third=False,
    )
