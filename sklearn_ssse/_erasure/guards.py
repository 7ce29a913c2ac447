"""Guards of an erasure: the rows that must remain, the margin, and a curvature that is not stale.

Every error states the requirement, the given value and the remedy.
"""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse._erasure.row_limits import CHECK
from sklearn_ssse._erasure.validation import class_indicator
from sklearn_ssse._utils.memory import available_bytes, readable
from sklearn_ssse.exceptions import ErasureError

# An erasure is refused if its margin, the smallest eigenvalue of I - R_S P R_S^T, is below this.
LEAST_MARGIN = 1e-6
# A leave-out step is damped if its margin is below this: the median distance ratio of such erasures
# from logistic regressions was 0.4 or more.
TRUSTED_MARGIN = 0.3
# A damped step gives a warning; the step of a single row only if its margin is below this. Erasures
# of single rows with margins from .1 to .3 had a median distance ratio of .41 and at most .66, with
# margins from .01 to .1 of .74 and .82. Without leave-out, the step of any number of rows gives a
# warning below it: 45 such erasures had a median distance ratio of .95, the others of .4 to .8.
DOUBTFUL_MARGIN = 0.05


class _Totals(NamedTuple):
    """Number and weight of all rows, and of the rows of each class or label, (n_classes,)."""

    n_rows: int
    weight: float
    class_counts: np.ndarray
    class_mass: np.ndarray

    @classmethod
    def of_rows(cls, codes, weight, n_classes):
        """The totals of rows with labels ``codes``."""
        own = class_indicator(codes, n_classes)
        return cls(len(codes), weight.sum(), own.sum(axis=0).astype(np.int64), weight @ own)


def check_remaining(state, classes, codes, weight, *, added=None, may_vanish=False):
    """The `ErasureState` after the change, or an error if the rows cannot be erased.

    Parameters
    ----------
    state : ErasureState
    classes : ndarray of shape (n_classes,)
    codes, weight : ndarray
        Labels and weights of the forget rows.
    added : tuple of ndarray, default=None
        Labels and weights of the added rows.
    may_vanish : bool
        Whether the last rows of a class can be erased.

    Returns
    -------
    ErasureState

    Raises
    ------
    ErasureError
        If no row, or no row of a class, would remain, or more rows are erased than the model holds.
    """
    rounding = 1e-12 * state.fit_mass
    old = _Totals(state.n_rows, state.mass, state.class_counts, state.class_mass)
    forget = _Totals.of_rows(codes, weight, len(classes))
    left = _Totals(*(total - part for total, part in zip(old, forget, strict=True)))
    after = left
    changed = state.changed + forget.weight
    if added is not None and len(added[0]):
        new = _Totals.of_rows(*added, len(classes))
        after = _Totals(*(total + part for total, part in zip(left, new, strict=True)))
        changed += new.weight
    if len(codes) and (after.n_rows <= 0 or (may_vanish and after.weight <= rounding)):
        raise ErasureError(
            f"An erasure must leave rows in the model, got {len(codes)} rows to erase from "
            f"{state.n_rows} (weight {state.mass:.6g}). Pass the weights that the rows had at fit, "
            "or erase fewer rows. To erase all of them, delete the model."
        )
    spent = (left.n_rows < 0) | (left.class_counts < 0) | (left.class_mass < -rounding)
    if not may_vanish:
        spent |= (after.class_counts <= 0) | (after.class_mass <= rounding)
        spent &= forget.class_counts > 0
    if spent.any():
        raise _spent_class(int(np.argmax(spent)), classes, old, forget, may_vanish)
    if codes.ndim == 2:
        _check_rows_without_label(classes, old, forget, after)
    return replace_fields(
        state,
        {
            "n_rows": after.n_rows,
            "mass": after.weight,
            "class_counts": after.class_counts,
            "class_mass": np.where(after.class_mass < rounding, 0.0, after.class_mass),
            "changed": float(changed),
        },
    )


def lost_classes(classes, before, after):
    """Names of the classes whose last rows a change erased, for the record.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    before, after : ErasureState
    """
    lost = (before.class_counts > 0) & (after.class_counts == 0)
    return tuple(map(str, classes[lost].tolist()))


def _spent_class(c, classes, old, forget, may_vanish):
    """The error for class c, of which too many rows are erased."""
    rule = "leave at least one row of every class"
    advice = "Erase fewer rows, pass their weights at fit, or fit again without the class."
    if may_vanish:
        rule = "not take more rows of a class than the model holds"
        advice += " With `early_stopping`, rows that were held out are not in the model."
    return ErasureError(
        f"An erasure must {rule}, got {forget.class_counts[c]} rows of class {classes[c]!s} "
        f"(weight {forget.class_mass[c]:.6g}), but the model holds {old.class_counts[c]} (weight "
        f"{old.class_mass[c]:.6g}). {advice}"
    )


def _check_rows_without_label(classes, old, forget, after):
    """Refuse to erase more rows without a label than the model holds."""
    without = after.n_rows - after.class_counts
    if (without < 0).any():
        c = int(np.argmin(without))
        raise ErasureError(
            "An erasure must not take more rows without a label than the model holds, got "
            f"{forget.n_rows - forget.class_counts[c]} without label {classes[c]!s}, but the model "
            f"holds {old.n_rows - old.class_counts[c]}. Check the labels."
        )


def least_margin(condition):
    """The margin that an erasure must reach, for one condition number or an array of them."""
    return np.maximum(LEAST_MARGIN, 1e3 * condition * np.finfo(np.float64).eps)


def check_margin(margin, condition, n_rows, damping):
    """Refuse an erasure after which the curvature is singular, or its inverse too inexact."""
    least = least_margin(condition)
    if not margin >= least:
        raise ErasureError(
            f"The curvature must not be singular without these {n_rows} rows, got {margin:.2g} as "
            f"smallest eigenvalue of I - R P R^T (must exceed {least:.2g}). {CHECK}. If they were, "
            f"erase fewer rows at once, raise `damping` (now {np.median(damping):.2g}), or call "
            "`refresh`."
        )


def check_fresh(state):
    """Refuse a stale curvature, which was computed for other parameters or other rows."""
    if state.stale:
        raise ErasureError(
            f"The curvature must belong to the present model, got one {state.stale}. Call "
            "`fit_curvature` on the retained rows first."
        )


def check_dense(n_parameters):
    """Refuse a dense inverse that does not fit into memory, with one copy."""
    needed = 16 * n_parameters**2
    free = available_bytes()
    if needed > free:
        raise ErasureError(
            f"The dense inverse of {n_parameters} parameters must fit into memory, got "
            f"{readable(needed)} for {readable(free)} of free memory. Use `curvature_.solve`."
        )
