"""The numbers of an erasure that its bounds depend on, and the bounds after it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.bounds import EPS, Call, Found, NoBounds
from sklearn_ssse._erasure.row_sums import Rows
from sklearn_ssse._utils.chunks import add_up

# Multiple of the usual rounding error of an inverse, the machine precision times the condition
# number, that the bounds add.
ROUNDING = 4.0

ADDED = "rows were added or corrected since the curvature was computed"
COLUMNS = "the columns changed since the curvature was computed"


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


def call_of(model: Any, choice: Any, second: Any, epsilon: float, residual: NDArray | None) -> Call:
    """The `Call` of an erasure by one model.

    Parameters
    ----------
    model : ErasableMixin
    choice : Choice
    second : SecondOrder or None
        The Hessian and its derivative of the rows after the change, before the step.
    epsilon : float
    residual : ndarray of shape (d,) or None
        The part of the gradient that later steps subtract.
    """
    step = choice.step
    family = step.batch.family
    inverse = step.before.path.conservative or model.curvature_
    change = epsilon * step.direction
    s = family.stored(family.theta + change) - family.theta
    own = _times(step.scores, s)
    gradient = step.gradient
    margin = choice.downdate.margin
    kept = 0.0 if choice.downdate.kept is None else choice.downdate.kept
    if second is None:
        along = _along(step, choice.downdate, epsilon, own, inverse)
        square = s @ (along + own)
        rounding = rounding_of_inverse(inverse, margin, gradient)
    else:
        conservative = np.linalg.solve(inverse.matrix, s)
        square = s @ conservative
        margin = margin if choice.safe_margin is None else choice.safe_margin
        if family.link == "logistic":
            along = second.hessian @ s + second.third.along(s) @ s / 2
            rounding = EPS * float(np.trace(second.hessian)) * float(np.linalg.norm(s))
        else:
            # `SoftmaxBounds` bounds the error of the conservative curvature, not of the Hessian.
            along = conservative - own
            rounding = rounding_of_inverse(inverse, margin, conservative)
    return make_call(
        Rows.of(step.batch),
        family,
        inverse,
        step.before,
        Solved(s, change, along, gradient, float(square), rounding),
        residual,
        margin=margin,
        kept=kept,
        has_third=second is not None,
    )


class Solved(NamedTuple):
    """A step and its equation.

    Attributes
    ----------
    step, change : ndarray of shape (d,)
        s as the fitted attributes hold it, and as it was computed.
    along : ndarray of shape (d,)
        The curvature without the forget rows along s; with half of the third derivatives along s if
        they are kept.
    gradient : ndarray of shape (d,)
        The gradient of the step's equation.
    square : float
        Squared norm of s in the metric of the conservative curvature before the step.
    rounding : float
        Norm of the rounding error of ``along``.
    """

    step: NDArray
    change: NDArray
    along: NDArray
    gradient: NDArray
    square: float
    rounding: float


def make_call(
    rows: Rows,
    family: Any,
    inverse: Any,
    before: Any,
    solved: Solved,
    residual: NDArray | None,
    **fields: Any,
) -> Call:
    """The `Call` of a step, from the parts that one model and many models compute in their own way.

    Parameters
    ----------
    rows : Rows
        The forget rows.
    family : Family
        The model before the step.
    inverse : FullInverse
        The inverse of the conservative curvature before the step.
    before : ErasureState
        Before the step.
    solved : Solved
    residual : ndarray of shape (d,) or None
        The part of the gradient that later steps subtract.
    **fields
        Further fields of `Call`.
    """
    step = solved.step
    penalty = family.penalty(before.n_rows)
    excess = inverse.ridge - penalty
    known = solved.along - solved.gradient - excess * step
    return Call(
        rows=rows,
        step=step,
        known=known if residual is None else known - residual,
        size=float(np.sqrt(max(solved.square, 0.0))),
        inverse=inverse.matrix,
        residual=residual,
        rounding=solved.rounding + _rounding_of_step(inverse, solved),
        excess=float(np.maximum(excess, 0.0) @ inverse.matrix.diagonal()),
        mass=before.mass,
        penalty=float(np.linalg.norm(penalty * (family.theta + step))),
        **fields,
    )


def rounding_of_inverse(inverse: Any, margin: float, gradient: NDArray) -> float:
    """Norm of the rounding error of the inverse after a downdate, times a gradient (d,)."""
    scale = np.sqrt(np.maximum(inverse.diagonal, 0.0))
    scaled = gradient / np.where(scale > 0, scale, 1.0)
    condition = inverse.condition / max(min(margin, 1.0), EPS)
    return ROUNDING * EPS * condition * float(scale.max() * np.linalg.norm(scaled))


def _rounding_of_step(inverse: Any, solved: Solved) -> float:
    """Norm of the rounding of a gradient, and of the effect of the rounding of a step."""
    differs = float(np.linalg.norm(solved.step - solved.change))
    return EPS * float(np.linalg.norm(solved.gradient)) + float(inverse.diagonal.sum()) * differs


def _along(step: Any, downdate: Any, epsilon: float, own: NDArray, inverse: Any) -> NDArray:
    """The conservative curvature without the forget rows times the step, (d,).

    Parameters
    ----------
    step : Step
    downdate : Downdate
    epsilon : float
    own : ndarray of shape (d,)
        The curvature of the forget rows times the step.
    inverse : FullInverse
        The inverse of the conservative curvature.
    """
    change = epsilon * step.direction
    if step.damped:
        return np.linalg.solve(inverse.matrix, change) - own
    along = epsilon * step.growth * step.gradient
    if not step.leave_out:
        return along - own
    if downdate.scores is None and downdate.kept is not None:
        # The step's curvature still holds a part of the forget rows.
        return along - _times(step.scores.collect().scaled(np.sqrt(downdate.kept)), change)
    return along


def _times(scores: Any, v: NDArray) -> NDArray:
    """``R^T R v`` for curvature rows R and v of shape (d,)."""
    column = v[:, np.newaxis]
    return add_up(chunk.rmatvec(chunk.matvec(column)) for chunk in scores.chunks())[:, 0]
