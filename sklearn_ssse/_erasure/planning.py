"""The plan of an erasure, computed in stages before anything changes.

The stages, in order: `checked_epsilon`, the rows as batches, `check_remaining`, the pending
downdate of the curvature, the step, its length, the new parameters, and the records. `plan_erasure`
runs them for one model. `_composites.multioutput_batched` runs them for all outputs of a classifier
together: it replaces the stages whose arrays it can stack, and shares the others.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import Erasure
from sklearn_ssse._erasure.downdate_cap import cap_downdate
from sklearn_ssse._erasure.epsilon import Multiple, check_epsilon
from sklearn_ssse._erasure.guards import TRUSTED_MARGIN, check_fresh, check_margin, check_remaining
from sklearn_ssse._erasure.records import ErasureRecord, ErasureState
from sklearn_ssse._erasure.validation import (
    check_rows,
    class_indicator,
    is_multilabel,
    row_weights,
    rows_of_positive_weight,
)
from sklearn_ssse._families import map_first_layer
from sklearn_ssse.exceptions import ErasureError

NO_CURVATURE = (
    "This %(name)s instance is not fitted yet, or has no curvature. Call `fit`, or `fit_curvature` "
    "on a fitted model."
)


class Downdate(NamedTuple):
    """The curvature after the change, before it is stored.

    Attributes
    ----------
    pending : PendingDowndate or None
        None for a curvature of mini-batches, which no single row can leave.
    margin, leverage : float
        Smallest eigenvalue of ``I - R_S P R_S^T`` for the curvature rows R_S of the forget set, and
        largest leverage of a forget row; nan without a pending downdate.
    capped : bool
        True if the forget rows were scaled down, see `cap_downdate`.
    """

    pending: object = None
    margin: float = np.nan
    leverage: float = np.nan
    capped: bool = False


class Step(NamedTuple):
    """A step before its length is computed.

    Attributes
    ----------
    solution : ndarray of shape (d,)
        ``s = P g``. P is the stored inverse curvature or, with leave-out, the inverse curvature of
        the rows after the change.
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

    def mean(self, values):
        """Weighted mean over the forget rows of values of shape (k, outputs)."""
        weight = self.batch.weight
        return float(weight @ values.mean(axis=1) / weight.sum())


def plan_erasure(model, forget=None, added=None, epsilon=None, column_map=None):
    """The `Erasure` that erases rows and adds rows in one step; nothing changes yet.

    Parameters
    ----------
    model : ErasableMixin
    forget, added : tuple (X, y, sample_weight) or None
        The rows, in the form in which `fit` takes them.
    epsilon : float, str or None
        None takes the parameter `unlearn_epsilon`.
    column_map : AffineColumns or None
        Change of the columns of the retained rows.

    Returns
    -------
    Erasure

    Raises
    ------
    ErasureError
        If a stage refuses the change.
    """
    check_is_fitted(model, "curvature_", msg=NO_CURVATURE)
    before = model._erasure_state
    inverse = model.curvature_
    family = model._family()
    epsilon = checked_epsilon(model, epsilon)
    if column_map:
        before = _with_columns(before, family, column_map)
        inverse = inverse.with_columns(column_map, family.shapes)
        family = family.with_columns(column_map, before.n_rows)
    batch = _batch(model, family, forget, column_map)
    new = _batch(model, family, added, column_map)
    after = check_remaining(
        before,
        model.classes_,
        batch.y,
        batch.weight,
        added=(new.y, new.weight),
        may_vanish=family.classes_may_vanish,
    )
    scores = _collected(batch.scores(before.curvature))
    downdate = Downdate() if before.minibatch else _downdate(model, inverse, batch, scores, new)
    pending = downdate.pending if model._leave_out(before) else None
    step = make_step(batch, scores, inverse, pending, before, after, new if new.n_samples else None)
    epsilon = _epsilon_of(epsilon, step, batch.n_samples + new.n_samples)
    change = epsilon * step.direction
    attributes = _attributes_after(family, change, epsilon)
    record = make_record(
        after,
        float(np.linalg.norm(change) / (np.linalg.norm(family.theta) or 1.0)),
        n_erased=batch.n_samples,
        weight_erased=float(batch.weight.sum()),
        epsilon=float(epsilon),
        structure=model.structure_,
        leave_out=step.leave_out,
        damped=step.damped,
        shrunken=downdate.capped,
        margin=downdate.margin,
        max_leverage=downdate.leverage,
        n_added=new.n_samples,
        weight_added=float(new.weight.sum()),
    )
    return Erasure(
        model=model,
        record=record,
        attributes=attributes,
        curvature=downdate.pending.inverse if downdate.pending else lambda: inverse,
        state=_with_history(step, epsilon, added),
        unweighted=before.weighted and any(rows and rows[2] is None for rows in (forget, added)),
        columns_change=bool(column_map),
    )


def checked_epsilon(model, epsilon):
    """eps as a number or a `Multiple`, for a curvature that belongs to the present model."""
    state = model._erasure_state
    check_fresh(state)
    epsilon = model.unlearn_epsilon if epsilon is None else epsilon
    return check_epsilon(epsilon, calibrated=state.calibration is not None)


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


def is_damped(margin):
    """Whether a leave-out step of this margin, or of each of many, is damped."""
    return margin < TRUSTED_MARGIN


def residual_after(residual, epsilon):
    """The part of the solver's gradient that a step of this eps leaves, (d,), or None.

    The part of the forget rows' own gradient that it leaves is not kept: it is data of these rows.
    """
    return None if residual is None else max(1.0 - epsilon, 0.0) * residual


def make_record(after, relative_shift, **fields):
    """The record of a change of one model.

    Parameters
    ----------
    after : ErasureState
        The state after the change.
    relative_shift : float
    **fields
        Further fields of `ErasureRecord`.

    Returns
    -------
    ErasureRecord
    """
    return ErasureRecord(
        curvature=after.curvature,
        n_remaining=after.n_rows,
        relative_shift=relative_shift,
        erased_fraction=float(after.changed / after.fit_mass),
        **fields,
    )


def _batch(model, family, rows, column_map):
    """The `Batch` of rows of positive weight; an empty one for None."""
    state = model._erasure_state
    if rows is None:
        shape = (0, state.class_counts.size) if is_multilabel(model) else 0
        X = np.zeros((0, model.n_features_in_))
        return family.batch(X, np.zeros(shape, dtype=np.int64), np.zeros(0))
    X, codes, weight = check_rows(model, *rows, ensure_min_samples=0)
    X = column_map.rows(X) if column_map else X
    weight = row_weights(codes, weight, state.class_weight)
    return family.batch(*rows_of_positive_weight(X, codes, weight))


def _downdate(model, inverse, batch, scores, new):
    """The `Downdate`. The added rows are added first: the downdate is then better conditioned."""
    state = model._erasure_state
    if new.n_samples:
        inverse = inverse.update(_collected(new.scores(state.curvature)))
    capped = False
    if batch.n_samples and batch.family.rows_may_differ(state):
        whole = scores.collect()
        held, pending = cap_downdate(inverse, whole)
        capped = held is not whole
    else:
        pending = inverse.pending_downdate(scores)
    if batch.n_samples:
        check_margin(pending.margin, inverse.condition, batch.n_samples, model.damping_)
    leverage = pending.leverage.max(initial=0.0)
    return Downdate(pending, float(pending.margin), float(leverage), capped)


def _epsilon_of(epsilon, step, n_rows):
    """eps as a number; if there are no rows, the eps for random rows."""
    if not isinstance(epsilon, Multiple):
        return epsilon
    calibration = step.before.calibration
    usual = calibration.epsilon(step) if n_rows else 1.0 / calibration.random
    return epsilon.factor * usual


def _attributes_after(family, change, epsilon):
    """Fitted attributes after a change (d,) of the parameters, or an error if it overflows."""
    attributes = family.attributes(family.theta + change)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(change @ change)
    if not (is_finite and _finite(attributes[name] for name in family.parameters)):
        raise ErasureError(
            f"The step must be finite, got overflow at epsilon {epsilon:.3g}. Lower `epsilon` or "
            "raise `damping`."
        )
    return attributes


def _with_history(step, epsilon, added):
    """The state after the change: stale or not, weighted or not, and the residual gradient."""
    after = step.after
    given = added is not None and added[2] is not None
    weighted = after.weighted or (given and bool((np.asarray(added[2]) != 1).any()))
    stale = "of mini-batches of the rows before the last change" if after.minibatch else ""
    residual = residual_after(after.residual, epsilon)
    return replace(after, stale=stale, weighted=weighted, residual=residual)


def _with_columns(state, family, column_map):
    """The state of a model whose columns change: its residual is a gradient by the new ones."""
    if state.residual is None:
        return state
    residual = map_first_layer(state.residual, family.shapes, column_map.gradients)
    return replace(state, residual=residual)


def _by_class(batch, state):
    """Sum of the gradients of the rows of each class, (d, n_classes); (d, 1) if multi-label."""
    y = batch.y
    groups = class_indicator(y, len(state.class_mass)) if y.ndim == 1 else np.ones((len(y), 1))
    return batch.gradients(groups)


def _collected(scores):
    """Curvature rows, held in memory if there are no more of them than parameters."""
    return scores.collect() if scores.n_rows <= scores.n_parameters else scores


def _finite(values):
    """Whether all arrays, or lists of arrays, are finite."""
    return all(_finite(v) if isinstance(v, list) else np.isfinite(v).all() for v in values)
