"""The bounds of a model at fit, and the numbers of an erasure that they depend on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.bounds import EPS, TOO_LONG, Bounds, Call, Found, NoBounds
from sklearn_ssse._erasure.certificate import is_certified
from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse._erasure.row_sums import Rows
from sklearn_ssse._erasure.row_sums_at_fit import cut_sums, fourth_order, full_sums
from sklearn_ssse._erasure.softmax_bounds import SoftmaxBounds
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._utils.chunks import add_up

# Estimated times in milliseconds: of `full_sums` for any data and for each product of two columns
# in a row; of the curvature for any data and for each number of X. Measured on 150 to 200,000 rows.
SUMS_TIME = 0.15
SUMS_TIME_OF_PRODUCT = 2e-7
CURVATURE_TIME = 0.9
CURVATURE_TIME_OF_NUMBER = 1e-5
# The fourth derivatives, for each product of two columns in a row.
FOURTH_TIME_OF_PRODUCT = 5e-6
# Largest estimated time of the fourth derivatives, as a share of the time of the curvature for any
# data.
LARGEST_FOURTH_SHARE = 0.3
# Largest estimated time of `full_sums`, as a share of the time of the curvature. Beyond it, the
# model keeps `cut_sums`.
LARGEST_TIME_SHARE = 0.25
# Budget "auto", in standard errors, as a multiple of the root of the number of parameters: the
# expected distance of the estimate from the truth is the root.
AUTO_BUDGET = 0.1
# Number of parameters up to which the largest eigenvalue is computed, and not a bound of it.
LARGEST_EXACT = 200
# Multiple of the usual rounding error of an inverse, the machine precision times the condition
# number, that the bounds add.
ROUNDING = 4.0

ADDED = "rows were added or corrected since the curvature was computed"
COLUMNS = "the columns changed since the curvature was computed"
NOT_KEPT = "the sums for bounds are not kept, with bounds=False"
NET = "no bound is known for a neural network, whose loss is not convex"
OTHER_CURVATURE = "no bound is known for the curvature {!r}, which is not the Hessian"
OTHER_STRUCTURE = "no bound is known for the structure {!r}, which keeps a part of the inverse"
BATCHES = "no bound is known for a curvature of mini-batches"


def reason_for_none(model: Any, structure: str, state: Any) -> str:
    """The reason for which a model has no bounds; empty if it has."""
    if not hasattr(model, "bounds"):
        return NET
    if not model.bounds:
        return NOT_KEPT
    if not CURVATURES[state.curvature].is_hessian:
        return OTHER_CURVATURE.format(state.curvature)
    if state.minibatch:
        return BATCHES
    return "" if structure == "full" else OTHER_STRUCTURE.format(structure)


def bounds_at_fit(
    model: Any, batch: Any, inverse: Any, data_gram: Any, left: Any, has_third: bool
) -> Any:
    """The `Bounds` of the training rows.

    Parameters
    ----------
    model : ErasableLogisticRegression
    batch : LinearBatch
        The training rows.
    inverse : FullInverse
    data_gram : callable
        Returns the curvature of the rows without the ridge, (d, d).
    left : ndarray of shape (d,)
        The gradient that training left and that later steps do not subtract.
    has_third : bool
        Whether the model keeps the third derivatives.
    """
    if batch.family.link != "logistic":
        return SoftmaxBounds.of(batch, float(np.linalg.norm(left)))
    P = inverse.matrix
    fourth = None
    numbers = batch.n_samples * batch.n_parameters
    sums_time = SUMS_TIME + SUMS_TIME_OF_PRODUCT * numbers * batch.n_parameters
    curvature_time = CURVATURE_TIME + CURVATURE_TIME_OF_NUMBER * numbers
    is_cheap = sums_time <= LARGEST_TIME_SHARE * curvature_time
    if has_third or is_certified(model) or is_cheap:
        euclidean, metric, largest = full_sums(batch, P, with_fourth=has_third)
        if has_third and fourth_is_cheap(batch.n_samples, batch.n_parameters):
            fourth = fourth_order(batch)
    else:
        euclidean, metric, largest = cut_sums(batch, data_gram(), largest_eigenvalue(P))
    norms = np.sqrt(np.maximum([left @ left, left @ (P @ left)], 0.0))
    return Bounds(euclidean, metric, largest, norms, fourth=fourth)


def fourth_is_cheap(n_samples: int, n_parameters: int) -> bool:
    """Whether the fourth derivatives take a small share of the time of the curvature, estimated."""
    pairs = n_parameters * (n_parameters + 1) // 2
    time = n_samples * (FOURTH_TIME_OF_PRODUCT * pairs + SUMS_TIME_OF_PRODUCT * pairs**2)
    return time <= LARGEST_FOURTH_SHARE * CURVATURE_TIME


def largest_eigenvalue(matrix: NDArray) -> float:
    """The largest eigenvalue of a positive definite matrix (d, d); a bound of it if d is large."""
    if len(matrix) <= LARGEST_EXACT:
        return float(np.linalg.eigvalsh(matrix)[-1])
    return float(min(np.linalg.norm(matrix), np.linalg.norm(matrix, np.inf)))


def call_of(model: Any, choice: Any, second: Any, epsilon: float, residual: NDArray | None) -> Call:
    """The `Call` of an erasure by one model.

    Parameters
    ----------
    model : ErasableMixin
    choice : Choice
    second : SecondOrder or None
        The Hessian and its derivative of the rows after the change, before the step.
    epsilon : float
        eps.
    residual : ndarray of shape (d,) or None
        The part of the gradient that later steps subtract.
    """
    step = choice.step
    before = step.before
    family = step.batch.family
    inverse = before.path.conservative or model.curvature_
    change = epsilon * step.direction
    s = family.stored(family.theta + change) - family.theta
    own = _times(step.scores, s)
    margin = choice.downdate.margin if choice.safe_margin is None else choice.safe_margin
    trace = float(inverse.diagonal.sum())
    norm = float(np.linalg.norm(s))
    excess = inverse.ridge - family.penalty(before.n_rows)
    if second is None:
        along, rounding = _along(step, choice.downdate, epsilon, own, inverse)
        square = s @ (along + own)
    else:
        along = second.hessian @ s
        rounding = EPS * float(np.trace(second.hessian)) * norm
        square = s @ np.linalg.solve(inverse.matrix, s)
    known = along - step.gradient - excess * s
    if second is not None and family.link == "logistic":
        known = known + second.third.along(s) @ s / 2
    if residual is not None:
        known = known - residual
    rounding += EPS * float(np.linalg.norm(step.gradient)) + trace * float(
        np.linalg.norm(s - change)
    )
    diagonal = inverse.matrix.diagonal()
    return Call(
        rows=Rows.of(step.batch),
        step=s,
        known=known,
        size=float(np.sqrt(max(square, 0.0))),
        margin=margin,
        kept=0.0 if choice.downdate.kept is None else choice.downdate.kept,
        inverse=inverse.matrix,
        has_third=second is not None,
        residual=residual,
        rounding=rounding,
        excess=float(np.maximum(excess, 0.0) @ diagonal),
        mass=before.mass,
    )


def _along(
    step: Any, downdate: Any, epsilon: float, own: NDArray, inverse: Any
) -> tuple[NDArray, float]:
    """The conservative curvature without the forget rows times the step, and its rounding.

    Parameters
    ----------
    step : Step
    downdate : Downdate
    epsilon : float
    own : ndarray of shape (d,)
        The curvature of the forget rows times s.
    inverse : FullInverse
        The inverse of the conservative curvature.
    """
    rounding = ROUNDING * EPS * inverse.condition / max(min(downdate.margin, 1.0), EPS)
    scale = np.sqrt(np.maximum(inverse.diagonal, 0.0))
    weighted = step.gradient / np.where(scale > 0, scale, 1.0)
    rounding *= float(scale.max() * np.linalg.norm(weighted))
    change = epsilon * step.direction
    if step.damped:
        return np.linalg.solve(inverse.matrix, change) - own, rounding
    along = epsilon * step.growth * step.gradient
    if not step.leave_out:
        return along - own, rounding
    if downdate.scores is None and downdate.kept is not None:
        along = along - _times(step.scores.collect().scaled(np.sqrt(downdate.kept)), change)
    return along, rounding


def _times(scores: Any, v: NDArray) -> NDArray:
    """``R^T R v`` for curvature rows R and v of shape (d,)."""
    column = v[:, np.newaxis]
    return add_up(chunk.rmatvec(chunk.matvec(column)) for chunk in scores.chunks())[:, 0]


def bounds_after(
    model: Any,
    choice: Any,
    row_change: Any,
    epsilon: float,
    residual: NDArray | None,
    column_map: Any,
) -> Found:
    """The bounds after the erasure or the addition of rows.

    Parameters
    ----------
    model : ErasableMixin
    choice : Choice
    row_change : RowChange
    epsilon : float
    residual : ndarray of shape (d,) or None
        The part of the gradient that later steps subtract.
    column_map : AffineColumns or None

    Returns
    -------
    Found
    """
    bounds = row_change.before.bounds
    if isinstance(bounds, NoBounds):
        return bounds.after(None)
    if column_map:
        return NoBounds(COLUMNS).after(None)
    if row_change.added.n_samples:
        return NoBounds(ADDED).after(None)
    if not row_change.batch.n_samples:
        return Found(0.0, 0.0, "", bounds)
    second = choice.second_order
    before = row_change.before.path.second_order
    if second is None and before is not None:
        second = before.changed(row_change)
    return bounds.after(call_of(model, choice, second, epsilon, residual))


def over_budget(bounds: Any, limit: float | None) -> str:
    """The reason for a refresh if the bounds of the parameters exceed their limit, else empty."""
    spent = bounds.budget(limit)
    if spent.reason == TOO_LONG:
        return TOO_LONG
    if limit is None or spent.parameters is None or spent.parameters <= limit:
        return ""
    return (
        f"the bound of the distance to the retrained model is {spent.parameters:.2g} standard "
        f"errors (at most {limit:.2g} is the budget)"
    )


def with_bounds(state: Any, model: Any, found: Found) -> Any:
    """The `ErasureState` after a change, with its bounds."""
    spent = bool(over_budget(state.bounds, budget_of(model)))
    warned = state.path.warned_of_budget or spent
    path = replace_fields(state.path, {"warned_of_budget": warned})
    return replace_fields(state, {"bounds": found.bounds, "path": path})


def bound_fields(model: Any, found: Found) -> dict:
    """The fields of a record for the bounds of a call."""
    return {
        "gradient_bound": found.gradient,
        "parameter_bound": found.parameters,
        "bound_reason": found.reason,
        "over_budget": over_budget(found.bounds, budget_of(model)),
    }


def budget_of(model: Any) -> float | None:
    """The parameter `budget` of a model in standard errors; None for a model without one."""
    budget = getattr(model, "budget", None)
    if budget == "auto":
        return AUTO_BUDGET * model.curvature_.n_parameters**0.5
    return budget
