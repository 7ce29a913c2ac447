"""Bounds of the gradient that an erasure leaves, and of the distance to retraining, without data.

An erasure moves the parameters theta of a logistic regression by a step s. The gradient of the
penalised objective of the retained rows is then the sum of a known part, which the formulas of the
step leave, and of parts that are bounded by `RowSums`: the part of higher order in s, the error of
the curvature after earlier erasures, and rounding. By self-concordance, the gradient also bounds
the distance to the minimum, which is the retrained model. `docs/bounds.md` derives each bound.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.row_sums import Change, Length, Rows, RowSums, exponential
from sklearn_ssse._gradients import FourthOrder

# Relative rounding error of a float64.
EPS = float(np.finfo(np.float64).eps)
# Largest part of the conservative curvature by which it may be wrong for a bound of the parameters.
LARGEST_ERROR = 0.9

TOO_LONG = (
    "the steps since the curvature was computed are too long for a bound of the distance to the "
    "retrained model"
)


class ErasureBudget(NamedTuple):
    """The sums of the bounds of all erasures since the curvature was computed.

    Attributes
    ----------
    gradient : float or None
        Bound of the norm of the gradient of the penalised objective that is left on the retained
        rows, on the scale of a sum over rows. 0 before the first call.
    parameters : float or None
        Bound of the distance to the retrained parameters, in standard errors: in the norm of the
        Hessian of the retained rows. Infinity if the steps are too long for a bound.
    limit : float or None
        The sum of the parameter bounds beyond which a refresh is recommended, `budget`.
    reason : str
        The reason for which there is no bound; empty if there is one.
    """

    gradient: float | None
    parameters: float | None
    limit: float | None
    reason: str = ""


class Found(NamedTuple):
    """The bounds of one call, and the state of the bounds after it.

    Attributes
    ----------
    gradient, parameters : float or None
        The parts of the sums that this call adds.
    reason : str
        The reason for a bound that is None.
    bounds : Bounds or NoBounds
    """

    gradient: float | None
    parameters: float | None
    reason: str
    bounds: Any


class Call(NamedTuple):
    """The numbers of an erasure that bounds depend on.

    Attributes
    ----------
    rows : Rows
        The forget rows, at the parameters before the step.
    step : ndarray of shape (d,)
        s, as the fitted attributes hold it.
    known : ndarray of shape (d,)
        The gradient that the formulas leave: minus the gradient of the step's equation, plus the
        curvature without the forget rows times s, plus half of the third derivatives along s if
        they are kept, minus the part that is subtracted later.
    size : float
        Norm of s in the metric of the conservative curvature before the step.
    margin : float
        Smallest eigenvalue of the conservative curvature after the step, relative to before.
    kept : ndarray of shape (k,) or float
        Share of each forget row's curvature that stays in the conservative curvature.
    inverse : ndarray of shape (d, d)
        Inverse of the conservative curvature before the step.
    has_third : bool
        Whether `known` holds the third derivatives.
    residual : ndarray of shape (d,) or None
        The part of the gradient that later steps subtract.
    rounding : float
        Norm of the rounding errors of `known`.
    excess : float
        Largest part of the conservative curvature before the step that is ridge beyond the penalty.
    mass : float
        Weight of the rows before the step.
    penalty : float
        Norm of the gradient of the penalty after the step.
    """

    rows: Rows
    step: NDArray
    known: NDArray
    size: float
    margin: float
    kept: Any
    inverse: NDArray
    has_third: bool
    residual: NDArray | None
    rounding: float
    excess: float
    mass: float
    penalty: float


@dataclass(frozen=True)
class NoBounds:
    """The state of a model without bounds.

    Attributes
    ----------
    reason : str
    """

    reason: str

    def after(self, call: Call | None) -> Found:
        """There are still no bounds."""
        return Found(None, None, self.reason, self)

    def budget(self, limit: float | None) -> ErasureBudget:
        """No sums."""
        return ErasureBudget(None, None, limit, self.reason)


# The bounds of a model that an earlier version saved.
NO_BOUNDS = NoBounds("the model was saved by a version without bounds")


@dataclass(frozen=True)
class Bounds:
    """The bounds of a binary logistic regression.

    Attributes
    ----------
    euclidean, metric : RowSums
        For the Euclidean norm of a row x, and for ``sqrt(x^T P x)``.
    largest_norms : ndarray of shape (2,)
        Largest norms of a training row.
    left : ndarray of shape (2,)
        Bounds of the gradient that is left and that later steps do not subtract, in the Euclidean
        norm and in the norm of P.
    norm_sum : float
        ``sum w |x|`` over the retained rows, which no gradient of their loss exceeds.
    path : float
        D, see `Length`.
    gradient, parameters : float
        The sums of the bounds of all calls.
    fourth : FourthOrder or None
        Fourth derivatives of the training rows, for the first call.
    """

    euclidean: RowSums
    metric: RowSums
    largest_norms: NDArray
    left: NDArray
    norm_sum: float
    path: float = 0.0
    gradient: float = 0.0
    parameters: float = 0.0
    fourth: FourthOrder | None = None

    def after(self, call: Call) -> Found:
        """The bounds after a call."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._after(call)

    def _after(self, call: Call) -> Found:
        rows = call.rows
        x = rows.x
        squares = np.stack(
            [np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", x @ call.inverse, x)]
        )
        norms = np.sqrt(np.maximum(squares, 0.0))
        sizes = np.array([np.linalg.norm(call.step), call.size])
        output = float((self.largest_norms * sizes).min())
        growth = max(call.margin, EPS) ** -0.5
        h = self.metric.factor * call.size
        left = np.empty(2)
        sums = []
        known = gradient_norms(call.known, call.inverse)
        expanded = self._expanded(call)
        rounding = call.rounding + EPS * call.mass * self.largest_norms[0]
        roundings = rounding * np.array([1.0, np.trace(call.inverse) ** 0.5])
        is_shared = self.euclidean.by_norm is None  # of `cut_sums`: both norms have the same sum
        raw = self.euclidean.squares(call.step)
        by_second = None
        for i, own in enumerate((self.euclidean, self.metric)):
            if i and not is_shared:
                raw = own.squares(call.step)
            squares_of_step = (own.factor * raw[0], own.factor * raw[1])
            length = Length(*squares_of_step, float(sizes[i]), output, self.path)
            error = known[i] + _unknown(own, rows, norms[i], call, length, h)
            if expanded is not None:
                fifth = exponential(output, 4) * output**2 * length.square
                error = min(error, expanded[i] + fifth)
            left[i] = self.left[i] + error + roundings[i]
            grown = growth if i else 1.0
            at_fit = norms[1] / self.metric.factor
            change = Change(length, grown, bool(i), at_fit, by_second)
            sums.append(own.without(rows, norms[i], call.kept, change))
            by_second = sums[0].by_second if is_shared else None
        left[1] *= growth
        norm_sum = self.norm_sum - float(rows.weight @ norms[0])
        left[0] = min(
            left[0], norm_sum + call.penalty + gradient_norms(call.residual, call.inverse)[0]
        )
        after = replace(
            self,
            euclidean=sums[0],
            metric=sums[1],
            largest_norms=self.largest_norms * np.array([1.0, growth]),
            left=left,
            norm_sum=norm_sum,
            path=self.path + output,
            fourth=None,
        )
        return after._added(self, call)

    def _expanded(self, call: Call) -> NDArray | None:
        """Norms of the known gradient with the fourth derivatives; None if they are not kept."""
        if self.fourth is None or not call.has_third:
            return None
        rows = call.rows
        lost = FourthOrder.of_rows(rows.x, rows.weight * rows.fourth).along(call.step)
        return gradient_norms(call.known + (self.fourth.along(call.step) - lost) / 6, call.inverse)

    def _added(self, before: "Bounds", call: Call) -> Found:
        """What the call adds to the sums, and the bounds with these sums."""
        growth = self.metric.factor / before.metric.factor
        total = self.left + gradient_norms(call.residual, call.inverse) * np.array([1.0, growth])
        if not np.isfinite(total[0]):
            return NoBounds(TOO_LONG).after(None)
        gradient = float(max(total[0] - before.gradient, 0.0))
        distance = self._distance(total[1], call.excess * growth**2)
        parameters = None
        if np.isfinite(distance) and np.isfinite(before.parameters):
            parameters = max(distance - before.parameters, 0.0)
        after = replace(
            self,
            gradient=before.gradient + gradient,
            parameters=np.inf if parameters is None else before.parameters + parameters,
        )
        reason = "" if parameters is not None else TOO_LONG
        return Found(gradient, parameters, reason, after)

    def _distance(self, left: float, excess: float) -> float:
        """Bound of the distance to the minimum in the norm of the Hessian; infinite if none.

        Parameters
        ----------
        left : float
            Norm of the gradient in the metric of the conservative inverse curvature.
        excess : float
            See `Call`, relative to the conservative curvature after the step.
        """
        wrong = self.metric.curvature_error + excess
        if not wrong < LARGEST_ERROR or not np.isfinite(left):
            return np.inf
        # The Hessian is at least the conservative curvature divided by this number.
        ratio = np.exp(self.path) / (1.0 - wrong)
        a = np.sqrt(ratio) * self.largest_norms[1]
        nu = np.sqrt(ratio) * left
        return float(-np.log1p(-a * nu) / a) if a * nu < 1.0 else np.inf

    def budget(self, limit: float | None) -> ErasureBudget:
        """The sums of the bounds."""
        reason = TOO_LONG if np.isinf(self.parameters) else ""
        return ErasureBudget(self.gradient, self.parameters, limit, reason)


def _unknown(
    own: RowSums, rows: Rows, norms: NDArray, call: Call, length: Length, h: float
) -> float:
    """Bound of the parts of the gradient that are not known, in one of the norms."""
    step = call.step
    D = length.path
    of_rows = own.staleness_of_rows(rows, norms, step, D, call.has_third)
    if call.has_third:
        stale = own.staleness_of_hessian(length)
        return own.remainder_after_third(step, length, h) + stale + of_rows
    return own.remainder(step, length) + own.staleness(length) + of_rows


def gradient_norms(gradient: NDArray | None, inverse: NDArray) -> NDArray:
    """Euclidean norm of a gradient (d,), and its norm in the metric of an inverse curvature."""
    if gradient is None:
        return np.zeros(2)
    return np.sqrt(np.maximum([gradient @ gradient, gradient @ (inverse @ gradient)], 0.0))
