"""The step of an erasure and the curvature that it uses, before eps is known.

A step of second order uses the Hessian at the present parameters and its derivative, if they are
stored. A step of first order uses the conservative curvature of `path`, from which the forget rows
are subtracted in full for the step, and in part for the curvature that is stored after it.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sklearn_ssse._erasure.downdate_cap import cap_downdate
from sklearn_ssse._erasure.guards import TRUSTED_MARGIN, check_margin, least_margin
from sklearn_ssse._erasure.kept_groups import rescaled
from sklearn_ssse._erasure.overflow import check_gradient_finite, check_rows_finite
from sklearn_ssse._erasure.path import Path, kept_share, unweighted
from sklearn_ssse._erasure.records import ErasureState
from sklearn_ssse._erasure.validation import class_indicator

# Largest ratio of the forget rows' curvature to the stored curvature, in any direction, at which
# their curvature may have grown since the fit, without unit. Beyond it they were never in it.
LARGEST_GROWTH = 1.5
# Smallest share of a row's direction that the other rows are taken to hold, for its influence.
LEAST_REMAINING = 0.01
# Largest error of the expansion of the added rows' gradient, in lengths of the step, for a step of
# second order. Beyond it the step is a Newton step with the present Hessian.
LARGEST_ERROR = 0.1
# The reason for a refresh after the third derivatives were dropped.
DROPPED = "the curvature changed too much along a step of second order"


class Step(NamedTuple):
    """A step before its length is computed.

    Attributes
    ----------
    solution : ndarray of shape (d,)
        ``s = P g``. P is the stored inverse curvature or, with leave-out, the inverse curvature of
        the rows after the change. For a step of second order see `SecondOrder.halley`.
    growth : float
        Weight of all rows before the change divided by their weight after it, ``n / (n - k)`` for
        an erasure; 1 with leave-out.
    gradient : ndarray of shape (d,)
        g: the gradient of the forget rows, minus the gradient of the added rows, minus the residual
        gradient of the model; with the changes of the penalty.
    gradients : ndarray of shape (d, n_classes)
        The parts of g from the rows of each class.
    batch : Batch
        The forget rows.
    scores : Scores or ScoreStream
        The curvature rows of the forget rows.
    before, after : ErasureState
        The state before the change and after it.
    leave_out, damped : bool
    added : Batch or None
        The added rows.
    order : int
        2 if the solution is of second order, otherwise 1.
    """

    solution: np.ndarray
    growth: float
    gradient: np.ndarray
    gradients: np.ndarray
    batch: object
    scores: object
    before: ErasureState
    after: ErasureState
    leave_out: bool
    damped: bool
    added: object = None
    order: int = 1

    @property
    def direction(self):
        """Change of the parameters at eps = 1."""
        return self.growth * self.solution

    @property
    def square(self):
        """``g^T s``, the squared length of the step in the norm of the curvature."""
        return max(float(self.gradient @ self.solution), 0.0)

    def mean(self, values):
        """Weighted mean over the forget rows of values of shape (k, outputs)."""
        weight = self.batch.weight
        return float(weight @ values.mean(axis=1) / weight.sum())


class Downdate(NamedTuple):
    """The downdate of an inverse curvature by the forget rows, pending.

    Attributes
    ----------
    inverse : AbstractInverse
        The inverse curvature before the change.
    pending : PendingDowndate or None
        By all of their curvature. None for a curvature of mini-batches, which no single row can
        leave.
    scores : Scores or None
        The curvature rows of the forget rows, if a part of them stays in the curvature that is
        stored; None if ``pending`` is the downdate to store.
    kept : ndarray of shape (k,) or None
        Share of each forget row's curvature that stays, see `kept_share`.
    effect : float
        Sum over the forget rows of ``g_i^T P g_i``, see `Path.effect`; with leave-out, P is the
        inverse curvature without the row.
    capped : bool
        True if the forget rows were scaled down, see `cap_downdate`.
    """

    inverse: Any
    pending: Any = None
    scores: Any = None
    kept: Any = None
    effect: float = 0.0
    capped: bool = False

    def inverse_after(self):
        """The inverse to store after the change."""
        if self.pending is None:
            return self.inverse
        if self.scores is None:
            return self.pending.inverse()
        return self.pending.inverse_without_part(self.scores, np.sqrt(1.0 - self.kept))

    @property
    def mean_kept(self):
        """Mean share of the forget rows' curvature that stays."""
        return 0.0 if self.kept is None else float(self.kept.mean())

    @property
    def margin(self):
        """Smallest eigenvalue of ``I - R_S P R_S^T``; nan without a pending downdate."""
        return float(self.pending.margin) if self.pending else np.nan

    @property
    def leverage(self):
        """Largest leverage of a forget row; nan without a pending downdate."""
        return self.pending.max_leverage if self.pending else np.nan


class Choice(NamedTuple):
    """A step, and the curvature to store after it.

    Attributes
    ----------
    step : Step
    downdate : Downdate
    path : Path
        Before the step. A dropped second order is gone from it, and a reason for a refresh.
    second_order : SecondOrder or None
        The Hessian of the rows after the change; None if the step is of first order.
    conservative : AbstractInverse or None
        The inverse of the conservative curvature to store beside the Hessian, or instead of it.
    safe_margin : float or None
        `Downdate.margin` of the conservative curvature if `downdate` is the one of the Hessian.
    """

    step: Step
    downdate: Downdate
    path: Path
    second_order: Any = None
    conservative: Any = None
    safe_margin: float | None = None

    def inverses(self, change):
        """The matrices to store after a change (d,) of the parameters.

        Returns
        -------
        inverse : AbstractInverse
        others : dict
            Fields of `Path`.
        """
        if self.second_order is not None:
            moved = self.second_order.moved(change)
            inverse = self.downdate.inverse.with_matrix(moved.hessian)
            return inverse, {"second_order": moved, "conservative": self.conservative}
        inverse = self.conservative or self.downdate.inverse_after()
        inverse = rescaled(inverse, self.step.before, self.step.after)
        return inverse, {"second_order": None, "conservative": None}

    def checked(self, change):
        """The choice, without the derivative of the Hessian if a change (d,) is too long for it."""
        second = self.second_order
        if second is None or second.moved(change).is_trusted(self.conservative.matrix):
            return self
        return self._replace(second_order=None, path=_without_second_order(self.path))


class RowChange(NamedTuple):
    """The rows that a step erases and adds, and the state of the model before and after it.

    Attributes
    ----------
    batch, added : Batch
        The forget rows and the added rows; one of them may be empty.
    scores, new : Scores or ScoreStream
        Their curvature rows; ``new`` is None without added rows.
    before, after : ErasureState
    damping : float or ndarray
        ``damping_`` of the model, for messages.
    leave_out : bool
    order : int
        Largest order of a step.
    """

    batch: Any
    added: Any
    scores: Any
    new: Any
    before: ErasureState
    after: ErasureState
    damping: Any
    leave_out: bool
    order: int

    def downdate(self, inverse):
        """The `Downdate` of an inverse, or an error if the curvature is singular after it."""
        # The added rows are added first: the downdate is then better conditioned.
        with_added = inverse if self.new is None else inverse.update(self.new)
        k = self.batch.n_samples
        family = self.batch.family
        if k and self.before.groups is None and family.rows_may_differ(self.before):
            whole = self.scores.collect()
            held, pending = cap_downdate(with_added, whole)
            found = Downdate(inverse, pending, capped=held is not whole)
        elif k and family.is_convex:
            found = self._conservative(inverse, with_added)
        else:
            found = Downdate(inverse, with_added.pending_downdate(self.scores))
        if k:
            check_margin(found.margin, inverse.condition, k, self.damping)
        return found

    def _conservative(self, inverse, with_added):
        """The `Downdate` that leaves a part of the forget rows in the stored curvature."""
        scores = self.scores.collect()
        pending = with_added.pending_downdate(scores)
        h = unweighted(pending.leverage, scores)
        squares = self.batch.weight * h * self.batch.gradient_squares()
        if self.leave_out:
            squares = squares / np.maximum(1.0 - pending.leverage, LEAST_REMAINING)
        effect = float(squares.sum())
        path = self.before.path
        if not path.has_moved:
            return Downdate(inverse, pending, effect=effect)
        kept = kept_share(h, path.length)
        grown = 1.0 - pending.margin
        if pending.margin >= least_margin(inverse.condition) or grown > LARGEST_GROWTH:
            return Downdate(inverse, pending, scores, kept, effect)
        # The rows have more curvature now than the curvature holds: only a part can leave.
        pending = with_added.pending_downdate(scores.scaled(np.sqrt(1.0 - kept)))
        return Downdate(inverse, pending, None, kept, effect)

    def step(self, downdate):
        """The `Step` with a curvature."""
        pending = downdate.pending if self.leave_out else None
        added = self.added if self.added.n_samples else None
        inverse = downdate.inverse
        return make_step(self.batch, self.scores, inverse, pending, self.before, self.after, added)


def choose(change, inverse):
    """The `Choice` of the curvature for a step.

    Parameters
    ----------
    change : RowChange
    inverse : AbstractInverse
        The stored inverse.

    Raises
    ------
    ErasureError
        If the curvature is singular after the change.
    """
    path = change.before.path
    if change.before.minibatch and change.before.groups is None:  # no single row is read
        downdate = Downdate(inverse)
        return Choice(change._replace(leave_out=False).step(downdate), downdate, path)
    check_rows_finite(change.scores, inverse)
    if change.new is not None:
        check_rows_finite(change.new, inverse)
    if path.second_order is not None and change.leave_out and change.order > 1:
        return _second_order(change, inverse)
    downdate = change.downdate(path.conservative or inverse)
    if path.second_order is not None:
        path = replace(path, second_order=None)
    return Choice(change.step(downdate), downdate, path)


def _second_order(change, inverse):
    """The `Choice` of a step of second order; of first order if that cannot be trusted."""
    path = change.before.path
    safe = change.downdate(path.conservative or inverse)
    pending = safe.pending
    if path.conservative:
        with_added = inverse.update(change.new) if change.added.n_samples else inverse
        pending = with_added.pending_downdate(change.scores)
    step = change.step(safe)
    if pending.margin >= least_margin(inverse.condition):
        downdate = safe._replace(inverse=inverse, pending=pending)
        second = path.second_order.changed(change)
        guard = safe.inverse_after()
        newton = pending.solve(step.gradient)
        solution = second.halley(step.gradient, newton, guard.matrix)
        if solution is not None:
            order = 2
            if _added_rows_differ(change, solution, guard):
                solution = newton
                order = 1
            step = step._replace(solution=solution, damped=False, order=order)
            return Choice(step, downdate, path, second, guard, safe.margin)
        if second.is_trusted(guard.matrix):
            step = change.step(downdate)
    return Choice(step, safe, _without_second_order(path))


def _without_second_order(path):
    """The path after the third derivatives are dropped."""
    return replace(path, second_order=None, recommended=path.recommended or DROPPED)


def _added_rows_differ(change, step, inverse):
    """Whether the gradient of the added rows after a step (d,) is far from its expansion.

    Added rows may have any loss. If the model predicts a low probability for their labels, their
    third derivatives do not hold along the step.
    """
    added = change.added
    if not added.n_samples:
        return False
    everything = np.ones((added.n_samples, 1))
    moved = added.at(added.family.theta + step)
    with np.errstate(over="ignore", invalid="ignore"):  # an error of infinity or nan is too large
        expected = added.gradients(everything)[:, 0] + change.new.gram() @ step
        expected += 0.5 * added.third_order().along(step) @ step
        error = moved.gradients(everything)[:, 0] - expected
        length = step @ np.linalg.solve(inverse.matrix, step)
        is_small = error @ inverse.solve(error) <= LARGEST_ERROR**2 * length
    return not is_small


def make_step(batch, scores, inverse, pending, before, after, added=None):
    """The `Step` that erases ``batch`` and adds ``added``; without leave-out if pending is None."""
    gradients = _by_class(batch, before)
    if added is not None:
        gradients = gradients - _by_class(added, before)
    k_rows = before.n_rows - after.n_rows
    family = batch.family
    check_gradient_finite(gradients.sum(axis=1), inverse)
    gradient = gradients.sum(axis=1) + family.penalty_change(before.n_rows, k_rows)
    gradient = gradient + family.penalty_gradient_offset
    if before.residual is not None:
        gradient = gradient - before.residual
    damped = False
    if pending is None:
        solution = inverse.solve(gradient)
        growth = before.mass / after.mass
    else:
        damped = bool(is_damped(pending.margin))
        solution = pending.solve(gradient, damped=damped)
        growth = 1.0
    leave_out = pending is not None
    return Step(
        solution,
        growth,
        gradient,
        gradients,
        batch,
        scores,
        before,
        after,
        leave_out,
        damped,
        added,
    )


def is_damped(margin):
    """Whether a leave-out step of this margin, or of each of many, is damped."""
    return margin < TRUSTED_MARGIN


def _by_class(batch, state):
    """Sum of the gradients of the rows of each class, (d, n_classes); (d, 1) if multi-label."""
    y = batch.y
    groups = class_indicator(y, len(state.class_mass)) if y.ndim == 1 else np.ones((len(y), 1))
    return batch.gradients(groups)
