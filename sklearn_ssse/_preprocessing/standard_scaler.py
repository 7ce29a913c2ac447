"""Exact removal of rows from the sums and counts of a `StandardScaler`."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from sklearn_ssse._erasure import Change
from sklearn_ssse._families import AffineColumns
from sklearn_ssse._preprocessing.state import FilledValues
from sklearn_ssse._preprocessing.steps import (
    downdate_step,
    fitted_with_weights,
    follows_columns,
    transform,
)
from sklearn_ssse._utils.compat import num_samples, routing_enabled, safe_indexing, scale_of
from sklearn_ssse._utils.unquoted import weights
from sklearn_ssse.exceptions import ErasureError

# A variance below this multiple of its rounding error is uncertain and gives a warning.
UNCERTAIN = 1e6
# The squares of the forget rows may exceed the squares of all rows by this multiple of rounding.
IMPOSSIBLE = 1e3
# Rounding error of a sum of squares, in units of the machine precision.
ROUNDING = 64


class Statistics(NamedTuple):
    """Count, mean and sum of squared distances to the mean of some values of each column.

    Attributes
    ----------
    n, mean, squares : ndarray of shape (n_columns,)
    rounding : ndarray of shape (n_columns,)
        Rounding error that the sum of squares may have.
    impossible : ndarray of bool of shape (n_columns,)
        Columns in which the removed values have a larger sum of squares than all values, or in
        which the sum of squares overflows.
    """

    n: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    rounding: np.ndarray | float = 0.0
    impossible: np.ndarray | bool = False

    def none(self):
        """The statistics of no values."""
        return Statistics(*np.zeros((3, len(self.n))))

    @np.errstate(over="ignore", invalid="ignore")  # `impossible` marks an overflow
    def add(self, other, sign=1.0):
        """The statistics with other values, or without them for ``sign=-1``.

        By the pairwise update of Chan, Golub and LeVeque (1979). A column without values gets mean
        0.
        """
        n = self.n + sign * other.n
        some = n > 0
        theirs = other.n > 0
        their_mean = np.nan_to_num(other.mean)
        mean_change = np.where(theirs, other.mean - self.mean, 0.0)
        weighted = self.n * self.mean + sign * other.n * their_mean
        mean = np.divide(weighted, n, out=np.zeros_like(n), where=some)
        mean = np.where(theirs, mean, self.mean)
        share = np.divide(sign * other.n * self.n, n, out=np.zeros_like(n), where=some)
        own = np.where(theirs, other.squares, 0.0)
        squares = self.squares + sign * own + share * mean_change**2
        # The rounding error is relative to the largest of the sums and means that cancel.
        size = abs(share * mean_change) * (abs(self.mean) + abs(their_mean))
        rounding = ROUNDING * np.finfo(np.float64).eps * (self.squares + own + size)
        impossible = (squares < -IMPOSSIBLE * rounding) | (theirs & ~np.isfinite(squares))
        return Statistics(n, mean, np.where(squares > rounding, squares, 0.0), rounding, impossible)

    def mapped(self, column_map):
        """The statistics of the same values after a change of their columns."""
        mean = column_map.scale * self.mean + column_map.shift
        return Statistics(self.n, mean, column_map.scale**2 * self.squares)


@follows_columns.register(StandardScaler)
def scaler_follows_columns(step):
    """A scaler undoes any change of scale and shift."""
    return True


@fitted_with_weights.register(StandardScaler)
def scaler_fitted_with_weights(step, state):
    """Whether the scaler was certainly fitted with weights."""
    return _weighted(step, state) is True


@downdate_step.register(StandardScaler)
def downdate_scaler(step, state, name):
    """Take the rows out of the mean and variance, and apply the change of the columns to them."""
    out = transform(step, state.X, name)  # first: it refuses rows that the scaler cannot take
    weighted = _weighted(step, state)
    state = state._replace(weights_consumed=state.weights_consumed or bool(weighted))
    if weighted is None:
        state = state.warn(
            f"It must be certain whether {name} was fitted with sample_weight, got a count of "
            f"{np.max(step.n_samples_seen_):.6g}, which may be the number of rows or their weight: "
            "it was taken to be fitted without. Fit pipelines with metadata routing, which records "
            "this."
        )
    _check_weights(state, weighted, name)
    old = _statistics(step)
    forget = _forget_statistics(step, state, old, weighted)
    new = old.add(forget, -1.0)
    _check_remaining(step, old, new, name)
    uncertain = (forget.n > 0) & (old.squares > 0) & (new.squares < UNCERTAIN * new.rounding)
    if step.with_std and uncertain.any():
        state = state.warn(
            f"The variance of every column of {name} must not be lost in rounding when the rows "
            f"are erased, got {int(uncertain.sum())} columns whose variance the rows dominated: "
            "they were taken to be constant, or are uncertain. Fit it again if you have the "
            "retained rows."
        )
    before = state.columns(len(old.n))
    filled = state.filled
    if filled is not None:
        count = np.maximum(new.n - filled.present, 0.0)
        none = np.zeros(len(count))
        new = new.add(Statistics(count, filled.before, none), -1.0)
        new = new.mapped(before).add(Statistics(count, filled.after, none))
    else:
        new = new.mapped(before)
    attributes, scale = _fitted(step, new)
    change = Change(step, attributes)
    column_map, filled = _columns_after(step, old, new, scale, before, filled)
    return state._replace(
        X=out,
        column_map=column_map,
        filled=filled,
        changes=(*state.changes, change),
    )


def emptied_columns(count, name):
    """The error for columns in which no value remains."""
    return ErasureError(
        f"An erasure must leave values in every column, got {count} columns of {name} without "
        "any. Use preprocessing='keep', or fit again."
    )


def _check_weights(state, weighted, name):
    """Refuse weights that are missing, and a count of filled-in values that is unknown."""
    if weighted and state.sample_weight is None:
        raise ErasureError(
            f"{name} was fitted with sample_weight, got rows without. Pass the weights that the "
            "rows had at fit."
        )
    filled = state.filled
    if filled is not None and (weighted or filled.present is None):
        raise ErasureError(
            f"preprocessing='downdate' needs the number of values that were filled in before "
            f"{name}, got a scaler that was fitted with weights or to some of the rows. Put it "
            "directly after the imputer, without weights, or use preprocessing='keep'."
        )


def _forget_statistics(step, state, old, weighted):
    """The statistics of the rows to erase."""
    X = state.X
    weight = None
    if weighted:
        weight = weights(state.sample_weight, X)
        if not weight.all():
            X = safe_indexing(X, np.flatnonzero(weight))
            weight = weight[weight != 0]
    if not num_samples(X):
        return old.none()
    with np.errstate(all="ignore"):  # columns without values
        return _statistics(clone(step).fit(X, sample_weight=weight))


def _check_remaining(step, old, new, name):
    """Refuse rows that would empty a column, and rows that cannot have been in the data."""
    emptied = (new.n <= 0) & (old.n > 0)
    if emptied.any():
        raise emptied_columns(int(emptied.sum()), name)
    if step.with_std and new.impossible.any():
        raise ErasureError(
            f"Rows erased from {name} must have been in its training data, got rows that are "
            "farther from its mean than all of its rows together in "
            f"{int(new.impossible.sum())} columns. Pass the rows as they were at fit, not as a "
            "step has transformed them."
        )


def _columns_after(step, old, new, scale, before, filled):
    """The change of the scaler's output columns, and the filled-in values among them."""
    zeros = np.zeros(len(old.n))
    centre = old.mean if step.with_mean else zeros
    new_centre = new.mean if step.with_mean else zeros
    spread = np.ones(len(zeros)) if step.scale_ is None else step.scale_
    unused = old.n == 0
    factor = np.where(unused, 1.0, before.scale * spread / scale)
    shift = (before.scale * centre + before.shift - new_centre) / scale
    column_map = AffineColumns(factor, np.where(unused, 0.0, shift))
    if filled is not None:
        filled = FilledValues(
            filled.present,
            (filled.before - centre) / spread,
            (filled.after - new_centre) / scale,
        )
    return column_map, filled


def _weighted(scaler, state):
    """Whether a scaler was fitted with weights; None if that is uncertain."""
    if np.mod(scaler.n_samples_seen_, 1).any():
        return True
    if routing_enabled():
        requested = scaler.get_metadata_routing().fit.requests.get("sample_weight")
        return requested not in (None, False)
    rows, weight = _possible_meanings(scaler, state)
    return None if rows == weight else weight


def _possible_meanings(scaler, state):
    """Whether the count of a scaler can be a number of rows, and whether it can be a weight.

    It is compared with the number of rows, and their weight, to which the pipeline's model was
    fitted.
    """
    model = state.model
    seen = scaler.n_samples_seen_
    given = np.asarray(1 if state.sample_weight is None else state.sample_weight)
    if model is None or np.asarray(seen).dtype.kind == "i" or (given == 1).all():
        return True, False
    n = np.max(seen)
    slack = 1e-9
    (fewest, most), (least, largest) = _fitted_to(model)
    fewest = 0 if np.ndim(seen) else fewest + np.sum(given == 0)
    rows_fit = fewest <= n <= most
    weight_fits = least * (1 - slack) <= n <= largest * (1 + slack)
    if rows_fit or weight_fits:
        return rows_fit, weight_fits
    if getattr(model, "early_stopping", False):  # the weight of held-out rows is unknown
        return True, True
    if not model._erasure_state.weighted:  # the model was fitted to all rows with positive weight
        return False, True
    return True, bool(np.ndim(seen))  # the weight of values that are not missing may be any number


def _fitted_to(model):
    """Ranges of the number of rows at fit, and of their weight without class weights.

    Rows that were added later are not among the rows at fit, unless the scaler was refitted since.
    """
    state = model._erasure_state
    by_class = state.class_weight
    if by_class is None:
        weight = state.mass
        smallest = 1.0
    else:
        weight = (state.class_mass / np.where(by_class > 0, by_class, 1.0)).sum()
        smallest = by_class[by_class > 0].min(initial=1.0)
    records = model.erasures_
    n_erased = sum(record.n_erased for record in records)
    n_added = sum(record.n_added for record in records)
    # The class weights of these rows are unknown: at least the smallest.
    erased = sum(record.weight_erased for record in records) / smallest
    added = sum(record.weight_added for record in records) / smallest
    return (state.n_rows - n_added, state.n_rows + n_erased), (weight - added, weight + erased)


def _statistics(scaler):
    """The `Statistics` that a fitted scaler holds."""
    n = np.broadcast_to(scaler.n_samples_seen_, scaler.n_features_in_).astype(np.float64)
    mean = np.zeros(len(n)) if scaler.mean_ is None else scaler.mean_
    var = np.zeros(len(n)) if scaler.var_ is None else scaler.var_
    return Statistics(n, mean, n * var)


def _fitted(scaler, new):
    """Fitted attributes for new statistics, and the scale that `transform` divides by."""
    n = new.n.astype(np.asarray(scaler.n_samples_seen_).dtype)
    unused = new.n == 0
    attributes = {"n_samples_seen_": n[0] if (n == n[0]).all() else n}
    if scaler.mean_ is not None:
        attributes["mean_"] = np.where(unused, scaler.mean_, new.mean)
    if scaler.var_ is None:
        return attributes, np.ones(len(n))
    var = np.divide(new.squares, new.n, out=scaler.var_.copy(), where=~unused)
    mean = attributes.get("mean_", new.mean)
    scale = scale_of(var, mean, attributes["n_samples_seen_"])
    scale = np.where(unused, scaler.scale_, scale)
    attributes["var_"] = var
    attributes["scale_"] = scale
    return attributes, scale
