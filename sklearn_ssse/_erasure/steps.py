"""The step of an erasure and the curvature that it uses, before eps is known.

After an earlier erasure up to three curvatures are stored. In the order of preference:

- the Hessian at the present parameters, if its derivative is stored: the step is of second order;
- the curvature as it was computed, without the forget rows;
- the conservative curvature of `path`. It replaces the other two for good if they disagree with it
  about a step.
"""

from typing import Any, NamedTuple

import numpy as np

from sklearn_ssse._erasure.downdate_cap import cap_downdate
from sklearn_ssse._erasure.guards import TRUSTED_MARGIN, check_margin, least_margin
from sklearn_ssse._erasure.path import LARGEST_DISAGREEMENT, Path
from sklearn_ssse._erasure.records import ErasureState
from sklearn_ssse._erasure.validation import class_indicator

# Reasons for a refresh.
SWITCHED = "the forget rows take more from the curvature than they added when it was computed"
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
    """One curvature with its change pending.

    Attributes
    ----------
    inverse : AbstractInverse
        The inverse curvature before the change.
    pending : PendingDowndate or None
        None for a curvature of mini-batches, which no single row can leave.
    capped : bool
        True if the forget rows were scaled down, see `cap_downdate`.
    kept : float
        Mean share of the forget rows' curvature that is not subtracted, see `Path.kept`.
    """

    inverse: Any
    pending: Any = None
    capped: bool = False
    kept: float = 0.0

    @property
    def margin(self):
        """Smallest eigenvalue of ``I - R_S P R_S^T``; nan without a pending downdate."""
        return float(self.pending.margin) if self.pending else np.nan

    @property
    def leverage(self):
        """Largest leverage of a forget row; nan without a pending downdate."""
        return float(self.pending.leverage.max(initial=0.0)) if self.pending else np.nan


class Choice(NamedTuple):
    """A step, and the curvatures to store after it.

    Attributes
    ----------
    step : Step
    downdate : Downdate
        Of the curvature to store.
    path : Path
        Before the step, but after a switch of the curvature.
    conservative : callable or None
        Returns the inverse of the conservative curvature after the change; None if it is not to be
        stored beside the other.
    second_order : SecondOrder or None
        The Hessian of the rows after the change; None if the step is of first order.
    """

    step: Step
    downdate: Downdate
    path: Path
    conservative: Any = None
    second_order: Any = None

    def inverses(self, change):
        """The matrices to store after a change (d,) of the parameters.

        Returns
        -------
        inverse : AbstractInverse
        others : dict
            Fields of `Path`.
        """
        pending = self.downdate.pending
        others = {"conservative": self.conservative and self.conservative(), "second_order": None}
        if pending is None:
            return self.downdate.inverse, others
        if self.second_order is None:
            return pending.inverse(), others
        moved = self.second_order.moved(change)
        inverse = self.downdate.inverse.with_matrix(moved.hessian)
        return inverse, {**others, "second_order": moved}


class RowChange(NamedTuple):
    """The rows that a step erases and adds, and the state of the model before and after it.

    Attributes
    ----------
    batch, added : Batch
        The forget rows and the added rows; one of them may be empty.
    scores, new : Scores or ScoreStream
        Their curvature rows.
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

    @property
    def is_empty(self):
        """Whether no row is erased or added."""
        return self.batch.n_samples + self.added.n_samples == 0

    def downdate(self, inverse, kept=None):
        """The `Downdate` of an inverse; ``kept`` (k,) are the shares of rows not to subtract."""
        # The added rows are added first: the downdate is then better conditioned.
        with_added = inverse.update(self.new) if self.added.n_samples else inverse
        scores = self.scores
        share = 0.0
        if kept is not None and kept.size:
            scores = scores.collect().scaled(np.sqrt(1.0 - kept))
            share = float(kept.mean())
        if not (self.batch.n_samples and self.batch.family.rows_may_differ(self.before)):
            return Downdate(inverse, with_added.pending_downdate(scores), kept=share)
        whole = scores.collect()
        held, pending = cap_downdate(with_added, whole)
        return Downdate(inverse, pending, held is not whole, share)

    def step(self, downdate):
        """The `Step` with one of the curvatures."""
        pending = downdate.pending if self.leave_out else None
        added = self.added if self.added.n_samples else None
        inverse = downdate.inverse
        return make_step(self.batch, self.scores, inverse, pending, self.before, self.after, added)

    def checked(self, downdate):
        """The `Downdate`, or an error if the curvature is singular after it."""
        k = self.batch.n_samples
        if k:
            check_margin(downdate.margin, downdate.inverse.condition, k, self.damping)
        return downdate


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
    if change.before.minibatch:
        downdate = Downdate(inverse)
        return Choice(change._replace(leave_out=False).step(downdate), downdate, path)
    if path.switched:
        scores = change.scores.collect()
        downdate = change.checked(
            change.downdate(inverse, path.kept(scores, inverse.leverage(scores)))
        )
        return Choice(change.step(downdate), downdate, path)
    downdate = change.downdate(inverse)
    if not path.length or change.is_empty:
        return _choose(change, change.checked(downdate), downdate)
    kept = path.kept(change.scores.collect(), downdate.pending.leverage)
    conservative = change.downdate(path.conservative or inverse, kept)
    if downdate.margin >= least_margin(inverse.condition):
        return _choose(change, downdate, conservative)
    return _switched(change, change.checked(conservative), SWITCHED)


def _choose(change, downdate, conservative):
    """The `Choice` between a downdate and the conservative one, which are the same at first."""
    path = change.before.path
    step = change.step(downdate)
    if path.second_order is not None and change.leave_out and change.order > 1:
        if change.is_empty:
            return Choice(step, downdate, path, second_order=path.second_order)
        return _second_order(change, step, downdate, conservative)
    if conservative is downdate:
        return Choice(step, downdate, path)
    if change.batch.family.is_convex:
        # The forget rows' own downdates are left out: for a single row they may differ by much.
        gradient = step.gradient
        square = gradient @ downdate.inverse.solve(gradient)
        if disagree(square, gradient @ conservative.inverse.solve(gradient)):
            return _switched(change, conservative, SWITCHED)
    return Choice(step, downdate, path, conservative.pending.inverse)


def _second_order(change, step, downdate, conservative):
    """The `Choice` of a step of second order; of the conservative one if it cannot be trusted."""
    second = change.before.path.second_order.changed(change)
    newton = downdate.pending.solve(step.gradient)
    guard = conservative.pending.inverse()
    solution = second.halley(step.gradient, newton, guard.matrix)
    if solution is None:
        return _switched(change, conservative, DROPPED)
    step = step._replace(solution=solution, damped=False)
    return Choice(step, downdate, change.before.path, lambda: guard, second)


def _switched(change, conservative, reason):
    """The `Choice` that replaces the curvature by the conservative one for good."""
    path = change.before.path.switch(change.before.curvature, reason)
    return Choice(change.step(conservative), conservative, path)


def make_step(batch, scores, inverse, pending, before, after, added=None):
    """The `Step` that erases ``batch`` and adds ``added``; without leave-out if pending is None."""
    gradients = _by_class(batch, before)
    if added is not None:
        gradients = gradients - _by_class(added, before)
    k_rows = before.n_rows - after.n_rows
    family = batch.family
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


def disagree(square, conservative):
    """Whether ``g^T P g`` of one erasure, or of each of many, is too large to be trusted.

    Parameters
    ----------
    square, conservative : float or ndarray
        ``g^T P g`` with the inverse curvature and with the inverse conservative curvature.
    """
    return square > LARGEST_DISAGREEMENT * conservative


def is_damped(margin):
    """Whether a leave-out step of this margin, or of each of many, is damped."""
    return margin < TRUSTED_MARGIN


def _by_class(batch, state):
    """Sum of the gradients of the rows of each class, (d, n_classes); (d, 1) if multi-label."""
    y = batch.y
    groups = class_indicator(y, len(state.class_mass)) if y.ndim == 1 else np.ones((len(y), 1))
    return batch.gradients(groups)
