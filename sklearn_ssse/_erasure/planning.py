"""The plan of an erasure, computed in stages before anything changes.

The stages, in order: `checked_epsilon`, the rows as batches, `check_remaining`, the pending
downdate of the curvature, the step of `steps.choose`, its length, the new parameters, and the
records. `plan_erasure` runs them for one model. `_composites.multioutput_batched` runs them for all
outputs of a classifier together: it replaces the stages whose arrays it can stack, and shares the
others.
"""

import math

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.bound_call import bounds_after
from sklearn_ssse._erasure.budget import bound_fields, with_bounds
from sklearn_ssse._erasure.certificate import certified
from sklearn_ssse._erasure.chain import proof_fields
from sklearn_ssse._erasure.changed_rows import ChangedRows
from sklearn_ssse._erasure.changes import Erasure
from sklearn_ssse._erasure.epsilon import Multiple, check_epsilon
from sklearn_ssse._erasure.guards import check_fresh, check_remaining, lost_classes
from sklearn_ssse._erasure.kept_groups import stale_after, with_kept_rows
from sklearn_ssse._erasure.objective import check_objective
from sklearn_ssse._erasure.records import ErasureRecord, replace_fields
from sklearn_ssse._erasure.request import NO_REQUEST
from sklearn_ssse._erasure.shares import (
    changed_shares,
    check_shares,
    erased_curvature,
    recommendation,
)
from sklearn_ssse._erasure.step_size import doubts_of_curvature
from sklearn_ssse._erasure.steps import RowChange, choose
from sklearn_ssse._erasure.tracking import NO_DOWNDATE, tracked_after
from sklearn_ssse._erasure.validation import (
    check_rows,
    is_multilabel,
    row_weights,
    rows_of_positive_weight,
)
from sklearn_ssse._families import arrays_of, map_first_layer
from sklearn_ssse.exceptions import ErasureError

NO_CURVATURE = (
    "This %(name)s instance is not fitted yet, or has no curvature. Call `fit`, or `fit_curvature` "
    "on a fitted model."
)


def plan_erasure(
    model,
    forget=None,
    added=None,
    epsilon=None,
    column_map=None,
    request=NO_REQUEST,
    call_positions=None,
    may_lose_class=False,
):
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
    call_positions : ndarray of int or None
        Positions of the forget rows in the call of the user, for messages; None for 0, 1, ...
    may_lose_class : bool
        Whether the last rows of a class can be erased, whatever the family.
    request : Request
        The call that the records name.

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
    if forget is not None or added is not None:
        check_fresh(before)
    epsilon = checked_epsilon(model, epsilon)
    family = model._family()
    if column_map:
        family, inverse, before = _with_columns(model, family, column_map)
    forget, added = (_checked(model, rows) for rows in (forget, added))
    tracked = tracked_after(before.tracked, forget, added, call_positions)
    batch = _batch(model, family, forget, column_map)
    new = _batch(model, family, added, column_map)
    after = _remaining(model, before, batch, new, may_lose_class)
    erased = erased_curvature(before, before.path.conservative or inverse)
    if family.is_convex and batch.n_samples:
        check_shares(before, erased)
    rows = ChangedRows.checked(batch, new, before, inverse)
    row_change = _row_change(model, batch, new, before, after)
    row_change = with_kept_rows(row_change, inverse, forget, added)
    choice, epsilon, multiple = _choice_and_length(row_change, inverse, epsilon)
    change = epsilon * choice.step.direction
    attributes = _attributes_after(family, change, epsilon, (batch, new))
    shift = float(np.linalg.norm(change) / (np.linalg.norm(family.theta) or 1.0))
    moved = family.theta + change
    size, doubts = rows.judged(moved, before, after, (shift, multiple, epsilon), inverse)
    if family.is_convex:
        doubts += _doubts_of_curvature(model, family, choice, epsilon)
    state = _with_history(choice, epsilon, added, erased, rows.limits, tracked)
    found = bounds_after(model, choice, row_change, epsilon, state.residual, column_map)
    state = with_bounds(state, model, found)
    fields = bound_fields(model, found)
    fields |= proof_fields(model, family.parameters, attributes, request)
    record = _record_of_step(model, choice, shift, epsilon, state, size, fields)
    erasure = Erasure(
        model=model,
        record=record,
        attributes=attributes,
        inverses=lambda: choice.inverses(change),
        state=state,
        unweighted=before.weighted and any(rows and rows[2] is None for rows in (forget, added)),
        columns_change=bool(column_map),
        doubts=doubts,
        parameter_change=change,
    )
    return certified(erasure)


def _choice_and_length(row_change, inverse, epsilon):
    """The `Choice` of a step, its eps, and eps as a multiple of the automatic one."""
    choice = choose(row_change, inverse)
    n_rows = row_change.batch.n_samples + row_change.added.n_samples
    epsilon, multiple = _epsilon_of(epsilon, choice.step, n_rows)
    if epsilon != 1.0:
        choice = choice.checked(epsilon * choice.step.direction)
    return choice, epsilon, multiple


def _doubts_of_curvature(model, family, choice, epsilon):
    """See `doubts_of_curvature`."""
    step = choice.step
    downdate = choice.downdate
    missing = None
    if isinstance(model.damping_, float):
        missing = family.penalty(step.before.n_rows) - downdate.inverse.ridge
    margin = math.nan if step.leave_out else downdate.margin
    return tuple(doubts_of_curvature(missing, step.solution, step.square, epsilon, margin))


def _record_of_step(model, choice, shift, epsilon, after, size, fields):
    """The record of one model for a relative shift, a `StepSize` and further fields."""
    step = choice.step
    added = step.added
    fields = {"kept_by": step.batch.family.kept_by, **fields}
    return make_record(
        after,
        shift,
        n_erased=step.batch.n_samples,
        weight_erased=float(step.batch.weight.sum()),
        epsilon=float(epsilon),
        structure=model.structure_,
        leave_out=step.leave_out,
        damped=step.damped,
        shrunken=choice.downdate.capped,
        margin=choice.downdate.margin,
        max_leverage=choice.downdate.leverage,
        n_added=0 if added is None else added.n_samples,
        weight_added=0.0 if added is None else float(added.weight.sum()),
        order=step.order,
        kept_curvature=choice.downdate.mean_kept,
        log_odds_change=size.mean,
        largest_log_odds_change=size.largest,
        lost_classes=lost_classes(model.classes_, step.before, after),
        **fields,
    )


def checked_epsilon(model, epsilon):
    """eps as a number or a `Multiple`, for a model whose parameters have the values of the fit."""
    state = model._erasure_state
    check_objective(model)
    epsilon = model.unlearn_epsilon if epsilon is None else epsilon
    return check_epsilon(epsilon, calibrated=state.calibration is not None)


def residual_after(residual, epsilon):
    """The part of the solver's gradient that a step of this eps leaves, (d,), or None.

    The part of the forget rows' own gradient that it leaves is not kept: it is data of these rows.
    """
    return None if residual is None else max(1.0 - epsilon, 0.0) * residual


def make_record(after, relative_shift, over_budget="", **fields):
    """The record of a change of one model.

    Parameters
    ----------
    after : ErasureState
        The state after the change.
    relative_shift : float
    over_budget : str
        The reason for a refresh if the bounds exceed the budget, else empty.
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
        path_length=after.path.length,
        refresh_recommended=after.path.recommended or over_budget,
        **fields,
    )


def _checked(model, rows):
    """Rows (X, y, sample_weight) after `check_rows`, or None for None."""
    return None if rows is None else check_rows(model, *rows, ensure_min_samples=0)


def _batch(model, family, rows, column_map):
    """The `Batch` of the rows of positive weight among checked rows; an empty one for None."""
    state = model._erasure_state
    if rows is None:
        shape = (0, state.class_counts.size) if is_multilabel(model) else 0
        return family.batch(family.no_rows(model), np.zeros(shape, dtype=np.int64), np.zeros(0))
    X, codes, weight = rows
    X = column_map.rows(X) if column_map else X
    weight = row_weights(codes, weight, state.class_weight)
    return family.batch(*rows_of_positive_weight(X, codes, weight))


def _remaining(model, before, batch, new, may_lose_class):
    """The state after a model erases ``batch`` and adds ``new``, see `check_remaining`."""
    return check_remaining(
        before,
        model.classes_,
        batch.y,
        batch.weight,
        added=(new.y, new.weight),
        may_vanish=may_lose_class or batch.family.classes_may_vanish,
    )


def _row_change(model, batch, new, before, after):
    """The `RowChange` of a model that erases ``batch`` and adds ``new``."""
    return RowChange(
        batch,
        new,
        _collected(batch.scores(before.curvature), before),
        _collected(new.scores(before.curvature), before) if new.n_samples else None,
        before,
        after,
        model.damping_,
        model._leave_out(before),
        1 if getattr(model, "order", "auto") == 1 else 2,
    )


def _epsilon_of(epsilon, step, n_rows):
    """eps as a number, and as a multiple of the automatic one; nan if that is not known.

    If there are no rows, the automatic one is the eps for random rows.
    """
    calibration = step.before.calibration
    if isinstance(epsilon, Multiple):
        usual = calibration.epsilon(step) if n_rows else 1.0 / calibration.random
        return epsilon.factor * usual, epsilon.factor
    if calibration is None or not n_rows:
        return epsilon, math.nan
    if not step.batch.family.is_convex:
        # The automatic eps of these rows costs forward passes and gives warnings of its own. For
        # added rows it may be any multiple of the eps for random rows.
        return epsilon, epsilon * calibration.random if step.added is None else 1.0
    return epsilon, epsilon / calibration.epsilon(step)


def _attributes_after(family, change, epsilon, batches):
    """Fitted attributes after a change (d,) of the parameters, or an error if it overflows.

    The predictions for the rows of the batches must not overflow either, in the type of the
    attributes, which may be float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        attributes = family.attributes(family.theta + change)
        is_finite = np.isfinite(change @ change)
    if not (is_finite and _finite(attributes, family.parameters)):
        raise ErasureError(
            f"The step must be finite, got overflow at epsilon {epsilon:.3g}. Lower `epsilon` or "
            "raise `damping`."
        )
    largest = max([1.0, *(float(abs(batch.X).max()) for batch in batches if batch.n_samples)])
    bound, limit = family.bound_of_outputs(attributes, largest)
    if not bound <= limit:
        raise ErasureError(
            f"The predictions after the step must be finite, got outputs up to {bound:.2g} for "
            f"the rows, but their type holds numbers up to {limit:.2g}. Check the rows for values "
            "that are far too large; scale them as at fit, or lower `epsilon`."
        )
    return attributes


def _with_history(choice, epsilon, added, erased, limits, tracked):
    """The state after the change: its staleness, weights, residual, path, limits and digests."""
    step = choice.step
    after = step.after
    given = added is not None and added[2] is not None
    weighted = after.weighted or (given and bool((np.asarray(added[2]) != 1).any()))
    stale = stale_after(after, step.added)
    length = float(epsilon) * step.growth * step.square**0.5
    return replace_fields(
        after,
        {
            "stale": stale,
            "weighted": weighted,
            "residual": residual_after(after.residual, epsilon),
            "path": path_after(choice.path, length, choice.downdate.effect, after, erased),
            "limits": limits,
            "tracked": tracked,
        },
    )


def path_after(path, length, effect, after, erased):
    """The path after a step of this length.

    Parameters
    ----------
    path : Path
        Before the step, but without a dropped second order.
    length, effect : float
        The length of the step, and the effect of the forget rows.
    after : ErasureState
        With the counts after the change, and the path before it.
    erased : float
        Share of the curvature that was erased before.

    Returns
    -------
    Path
        The inverses that it holds are the ones before the step.
    """
    fields = {
        "length": math.hypot(path.length, length),
        "effect": path.effect + effect,
        "warned": bool(after.path.recommended),
    }
    longer = replace_fields(path, fields)
    shares = changed_shares(after, erased, longer.effect)
    return replace_fields(longer, {"recommended": recommendation(longer, shares, after.curvature)})


def _with_columns(model, family, column_map):
    """The family, the inverse and the state of a model whose columns change.

    The residual is a gradient by the parameters of the new columns.
    """
    state = model._erasure_state
    if state.tracked is not None:
        raise ErasureError(NO_DOWNDATE)
    old = model.curvature_
    inverse = old.with_columns(column_map, family.shapes)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinkage = (old.diagonal - old.ridge) / (inverse.diagonal - inverse.ridge)
    fields = {
        "path": state.path.with_columns(column_map, family.shapes, inverse.ridge),
        "limits": state.limits.with_columns(column_map),
        "diagonal_weights": state.diagonal_weights
        * np.where(np.isfinite(shrinkage), shrinkage, 1.0),
    }
    if state.residual is not None:
        residual = map_first_layer(state.residual, family.shapes, column_map.gradients)
        fields["residual"] = residual
    family = family.with_columns(column_map, state.n_rows)
    return family, inverse, replace_fields(state, fields)


def _collected(scores, state):
    """Curvature rows, held in memory if they are read and not more than the parameters."""
    is_read = not state.minibatch
    return scores.collect() if is_read and scores.n_rows <= scores.n_parameters else scores


def _finite(attributes, names):
    """Whether all parameters in some of the fitted attributes are finite."""
    return all(np.isfinite(array).all() for name in names for array in arrays_of(attributes[name]))
