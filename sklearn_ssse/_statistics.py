"""Steps that hold sums and counts: rows leave them exactly, and their columns move."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from sklearn_ssse._erasure.changes import Change
from sklearn_ssse._families.affine import Moved
from sklearn_ssse._preprocessing import Filled, follows, leave, takes_weights, transform
from sklearn_ssse._utils.compat import num_samples, routing_enabled, safe_indexing, scale_of
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.preprocessing import as_numbers, missing

# A variance is not known well if rounding may have changed it by more than a part in so many; more squares cannot leave than there are, but
# for so many times what rounding may have done.
UNSURE, IMPOSSIBLE = 1e6, 1e3


class Statistics(NamedTuple):
    """Of some values of each column: their number, their mean, and the sum of the squares of their distances to it.

    ``lost`` is what rounding may have done to the sum, ``impossible`` the columns in which more left than there was.
    """

    n: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    lost: np.ndarray = 0.0
    impossible: np.ndarray = False

    def none(self):
        """Those of no values."""
        return Statistics(*np.zeros((3, len(self.n))))

    def add(self, other, sign=1.0):
        """With other values, or with ``sign=-1`` without them; columns of which there are none then have mean 0."""
        n = self.n + sign * other.n
        some = n > 0
        apart = np.where(other.n > 0, other.mean - self.mean, 0.0)
        mean = np.divide(
            self.n * self.mean + sign * other.n * np.nan_to_num(other.mean), n, out=np.zeros_like(n), where=some
        )
        mean = np.where(other.n > 0, mean, self.mean)
        share = np.divide(sign * other.n * self.n, n, out=np.zeros_like(n), where=some)
        own = np.where(other.n > 0, other.squares, 0.0)
        squares = self.squares + sign * own + share * apart**2
        # What only rounding leaves of sums and of means that were larger.
        size = self.squares + own + abs(share * apart) * (abs(self.mean) + abs(np.nan_to_num(other.mean)))
        lost = 64 * np.finfo(np.float64).eps * size
        return Statistics(n, mean, np.where(squares > lost, squares, 0.0), lost, squares < -IMPOSSIBLE * lost)


@follows.register(StandardScaler)
def _(step):
    return True


@leave.register(StandardScaler)
def _(step, flow, name):
    weighted = _weighted(step, flow)
    if weighted is None:
        message = (
            f"Whether {name} was fitted with sample_weight cannot be known, as the {np.max(step.n_samples_seen_):.6g} rows that it has "
            "seen may be their number or their weight: it was taken to be fitted without. Fit pipelines with metadata routing, which tells."
        )
        flow = flow._replace(warnings=(*flow.warnings, message))
    flow = flow._replace(weighed=flow.weighed or bool(weighted))
    if weighted and flow.weight is None:
        raise ErasureError(
            f"{name} was fitted with sample_weight, got rows without. Pass the weights that the rows had at fit."
        )
    if flow.filled is not None and (weighted or flow.filled.present is None):
        raise ErasureError(
            f"preprocessing='downdate' must know how many values before {name} were filled in, got a scaler that was fitted with weights "
            "or to some of the rows. Put it right behind the imputer, without weights, or use preprocessing='keep'."
        )
    old = _statistics(step)
    gone = old.none()
    X, weight = flow.X, np.asarray(flow.weight, dtype=np.float64) if weighted else None
    if weighted and not weight.all():
        X, weight = safe_indexing(X, np.flatnonzero(weight)), weight[weight != 0]
    if num_samples(X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns without values
            gone = _statistics(clone(step).fit(X, sample_weight=weight))
    new, unused = old.add(gone, -1.0), old.n == 0
    vague = (gone.n > 0) & (old.squares > 0) & (new.squares < UNSURE * new.lost)
    if ((new.n <= 0) & ~unused).any():
        raise _emptied((new.n <= 0) & ~unused, name)
    if step.with_std and new.impossible.any():
        raise ErasureError(
            f"Rows that leave {name} must have been there, got rows that are farther from its mean than all of its rows together in "
            f"{int(new.impossible.sum())} columns. Pass the rows as they were at fit, not as a step has changed them."
        )
    moved, filled = flow.columns(len(old.n)), flow.filled
    none = np.zeros(len(old.n))
    if filled is not None:
        count = np.maximum(new.n - filled.present, 0.0)
        new = new.add(Statistics(count, filled.before, none), -1.0)
    new = Statistics(new.n, moved.scale * new.mean + moved.shift, moved.scale**2 * new.squares)
    if filled is not None:
        new = new.add(Statistics(count, filled.after, none))
    attributes, scale = _fitted(step, new)
    centre, new_centre = (old.mean, new.mean) if step.with_mean else (none, none)
    spread = np.ones(len(none)) if step.scale_ is None else step.scale_
    out = Moved(moved.scale * spread / scale, (moved.scale * centre + moved.shift - new_centre) / scale)
    for values, stays in zip(out, (1.0, 0.0), strict=True):
        values[unused] = stays
    if filled is not None:
        filled = Filled(filled.present, (filled.before - centre) / spread, (filled.after - new_centre) / scale)
    flow = flow._replace(changes=(*flow.changes, Change(step, attributes)))
    if step.with_std and vague.any():
        message = (
            f"The variance of every column of {name} must not be lost in rounding without the rows, got {int(vague.sum())} columns that "
            "the rows ruled: they were taken to be constant, or are not known well. Fit it again when the rows that remain are at hand."
        )
        flow = flow._replace(warnings=(*flow.warnings, message))
    return flow._replace(X=transform(step, flow.X), moved=out, filled=filled)


def _emptied(columns, name):
    return ErasureError(
        f"Rows that leave must leave values of every column behind, got {int(columns.sum())} columns of {name} without. Use "
        "preprocessing='keep', or fit again."
    )


@takes_weights.register(StandardScaler)
def _(step, flow):
    return _weighted(step, flow) is True


def _weighted(scaler, flow):
    """Whether a scaler was fitted with weights; None where that cannot be known."""
    if np.mod(scaler.n_samples_seen_, 1).any():
        return True
    if routing_enabled():
        return scaler.get_metadata_routing().fit.requests.get("sample_weight") not in (None, False)
    rows, weight = _seen(scaler, flow)
    return None if rows == weight else weight


def _seen(scaler, flow):
    """Whether a whole number of rows that a scaler has seen can be that of the rows of the model, and whether their weight."""
    model, seen, given = flow.model, scaler.n_samples_seen_, np.asarray(1 if flow.weight is None else flow.weight)
    if model is None or np.asarray(seen).dtype.kind == "i" or (given == 1).all():
        return True, False
    n, (rows, weight), slack = np.max(seen), _fitted_to(model), 1e-9
    least = 0 if np.ndim(seen) else rows[0] + np.sum(given == 0)
    rows_fit, weight_fits = least <= n <= rows[1], weight[0] * (1 - slack) <= n <= weight[1] * (1 + slack)
    if rows_fit or weight_fits:
        return rows_fit, weight_fits
    if getattr(model, "early_stopping", False):  # rows were held out, nobody knows of which weight
        return True, True
    if not model._erasure_state.weighted:  # there are no rows of weight zero beside those of the model
        return False, True
    return True, bool(np.ndim(seen))  # weights of values that are not missing may be any number


def _fitted_to(model):
    """Rows that the model rests on and those of its fit, and the same of their weights without class weights."""
    state, records = model._erasure_state, model.erasures_
    by_class = state.class_weight
    weight = state.mass if by_class is None else (state.class_mass / np.where(by_class > 0, by_class, 1.0)).sum()
    gone = sum(record.n_erased - record.n_added for record in records)
    lost = sum(record.weight_erased - record.weight_added for record in records)
    # Class weights of the rows that left are not known: at least the smallest.
    least = 1.0 if by_class is None else by_class[by_class > 0].min(initial=1.0)
    return (state.n_rows, state.n_rows + gone), (weight, weight + max(lost, 0.0) / least)


def _statistics(scaler):
    n = np.broadcast_to(scaler.n_samples_seen_, scaler.n_features_in_).astype(np.float64)
    mean = np.zeros(len(n)) if scaler.mean_ is None else scaler.mean_
    var = np.zeros(len(n)) if scaler.var_ is None else scaler.var_
    return Statistics(n, mean, n * var)


def _fitted(scaler, new):
    """Fitted attributes for new statistics, and the scale that `transform` divides by."""
    n, unused = new.n.astype(np.asarray(scaler.n_samples_seen_).dtype), new.n == 0
    attributes = {"n_samples_seen_": n[0] if (n == n[0]).all() else n}
    if scaler.mean_ is not None:
        attributes["mean_"] = np.where(unused, scaler.mean_, new.mean)
    scale = np.ones(len(n))
    if scaler.var_ is not None:
        attributes["var_"] = np.divide(new.squares, new.n, out=scaler.var_.copy(), where=~unused)
        scale = scale_of(attributes["var_"], attributes.get("mean_", new.mean), attributes["n_samples_seen_"])
        attributes["scale_"] = scale = np.where(unused, scaler.scale_, scale)
    return attributes, scale


def _counts(step):
    """Whether rows can leave an imputer: it holds means, and how many values there are in each."""
    return step.strategy == "mean" and "n_samples_seen_" in vars(step)


@follows.register(SimpleImputer)
def _(step):
    return _counts(step) and not step.add_indicator


@leave.register(SimpleImputer)
def _(step, flow, name):
    out = transform(step, flow.X)
    if step.strategy == "constant":
        return flow._replace(X=out)
    if not _counts(step) or sparse.issparse(flow.X):
        return flow._replace(X=out).keep(name)
    X = as_numbers(flow.X) if num_samples(flow.X) else np.zeros((0, step.n_features_in_))
    absent = missing(X, step.missing_values)
    sums, n = np.where(absent, 0.0, X).sum(axis=0), (~absent).sum(axis=0)
    remaining = np.asarray(step.n_samples_seen_) - n
    used, emptied = ~np.isnan(step.statistics_), (remaining < 1) & (np.asarray(step.n_samples_seen_) > 0)
    if emptied.any():
        raise _emptied(emptied, name)
    moved = flow.columns(X.shape[1])
    total = step.n_samples_seen_ * step.statistics_ - sums
    earlier = np.zeros(len(n))  # values that remain and an imputer before filled in
    if flow.filled is not None:
        if flow.filled.present is None:
            raise ErasureError(
                f"preprocessing='downdate' must know how many values before {name} were filled in, got an imputer that was fitted to some "
                "of the rows. Use preprocessing='keep'."
            )
        earlier = np.maximum(remaining - flow.filled.present, 0.0)
        total = total - earlier * flow.filled.before
    total = moved.scale * total + (remaining - earlier) * moved.shift
    if flow.filled is not None:
        total = total + earlier * flow.filled.after
    mean = total / np.maximum(remaining, 1)
    change = Change(step, {"statistics_": mean.astype(step.statistics_.dtype), "n_samples_seen_": remaining})
    # Columns of which there was no value are left out; those of an indicator follow and stay.
    extra = out.shape[1] - int(used.sum())
    filled = Filled(remaining.astype(np.float64), step.statistics_, mean)
    if flow.filled is not None:  # where an imputer before filled in, nothing was missing here
        before = np.isfinite(flow.filled.present)
        filled = Filled(*(np.where(before, old, new) for old, new in zip(flow.filled, filled, strict=True)))
    filled = filled.take(used).append(extra)
    flow = flow.keep(name) if step.add_indicator else flow
    moved = moved.take(used).append(extra)
    return flow._replace(X=out, moved=moved, filled=filled, changes=(*flow.changes, change))
