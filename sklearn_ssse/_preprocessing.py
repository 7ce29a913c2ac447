"""Rows that leave the statistics of preprocessors: sums and counts exactly, by closed forms.

What a step knows of others is how its columns move: ``x' = scale * x + shift`` for the rows that remain (`Moved`), but for values that an
imputer filled in (`Filled`), which go from one value to another.
"""

import warnings
from functools import singledispatch
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse._compat import num_samples, routing_enabled, safe_indexing, scale_of
from sklearn_ssse._moved import Moved
from sklearn_ssse._plan import Change
from sklearn_ssse._routes import is_fitted_to_rows, transformers
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.preprocessing import as_numbers, missing

# A variance is not known well if rounding may have changed it by more than a part in so many.
UNSURE = 1e6


class Filled(NamedTuple):
    """Of each column, how many of the values that remain were not filled in, with what others were, and with what from now on.

    ``present`` is infinite for columns of which none was, and None where the number is not known.
    """

    present: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def take(self, columns):
        """Some of the columns."""
        return Filled(*(None if part is None else part[columns] for part in self))

    def append(self, n_columns):
        """The columns, and after them some in which nothing was filled in."""
        ends = np.inf, 0.0, 0.0
        return Filled(
            *(
                None if part is None else np.append(part, np.full(n_columns, end))
                for part, end in zip(self, ends, strict=True)
            )
        )


class Flow(NamedTuple):
    """What leaves and what moves at one place of a pipeline.

    Attributes
    ----------
    X : the rows that leave, as they were at fit
    weight : their weights or None
    moved : Moved or None
        None: nothing has moved before.
    filled : Filled or None
    changes : tuple of Change
    kept : tuple of str
        Names of the steps that still hold the rows.
    warnings : tuple of str
    """

    X: object
    weight: object = None
    moved: object = None
    filled: object = None
    changes: tuple = ()
    kept: tuple = ()
    warnings: tuple = ()

    def columns(self, n_columns):
        """How the columns move."""
        return Moved.nowhere(n_columns) if self.moved is None else self.moved

    def keep(self, name):
        return self._replace(kept=(*self.kept, name))


def kept(steps, flow):
    """Rows through the steps (name, transformer) of a pipeline that keep their statistics."""
    for name, step in transformers(steps):
        flow = flow._replace(X=transform(step, flow.X))
        flow = flow.keep(name) if is_fitted_to_rows(step) else flow
    return flow


def through(steps, flow):
    """Rows through the steps of a pipeline that they leave: what moves does so up to their end.

    Steps before one that cannot follow a move keep their statistics.
    """
    steps = transformers(steps)
    first = max((i for i, (_, step) in enumerate(steps) if not follows(step)), default=0)
    if flow.moved and not all(follows(step) for _, step in steps):
        raise ErasureError(
            f"preprocessing='downdate' moves columns, got {steps[first][0]}, fitted to them as they were. Put the scaler behind it, or use "
            "preprocessing='keep'."
        )
    flow = kept(steps[:first], flow)
    for name, step in steps[first:]:
        flow = leave(step, flow, name)
    return flow


def warning(names):
    """What to say where steps keep statistics of the rows."""
    return (
        f"The rows left the sums and counts of the pipeline, but not {', '.join(names)}: order, sets and other statistics cannot be "
        "taken back, nor what comes before a step that holds such. Fit these again when the rows that remain are at hand."
    )


def transform(step, X):
    """Rows through a step; of no rows, which transformers refuse, what they would be."""
    if num_samples(X):
        return step.transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names
        return step.transform(np.zeros((1, step.n_features_in_)))[:0]


@singledispatch
def follows(step):
    """Whether a step can take columns that move."""
    return False


@singledispatch
def leave(step, flow, name):
    """Take the rows out of a step; one that is not known keeps them, and must be given columns that stay."""
    flow = flow._replace(X=transform(step, flow.X))
    return flow.keep(name) if is_fitted_to_rows(step) else flow


@follows.register(Pipeline)
def _(step):
    return all(follows(part) for _, part in transformers(step.steps))


@leave.register(Pipeline)
def _(step, flow, name):
    inner = through(step.steps, Flow(flow.X, flow.weight, flow.moved, flow.filled))
    return inner._replace(
        changes=(*flow.changes, *inner.changes),
        kept=(*flow.kept, *(f"{name}__{part}" for part in inner.kept)),
        warnings=(*flow.warnings, *inner.warnings),
    )


@follows.register(SelectorMixin)
def _(step):
    return True


@leave.register(SelectorMixin)
def _(step, flow, name):
    support = step.get_support(indices=True)
    moved, filled = (None if part is None else part.take(support) for part in (flow.moved, flow.filled))
    return flow._replace(X=transform(step, flow.X), moved=moved, filled=filled).keep(name)


@leave.register(ColumnTransformer)
def _(step, flow, name):
    out, X = transform(step, flow.X), flow.X if hasattr(flow.X, "shape") else np.asarray(flow.X)
    if hasattr(X, "columns") and hasattr(step, "feature_names_in_"):
        X = X[step.feature_names_in_.tolist()]  # positions are those of the columns at fit
    moved = Moved.nowhere(out.shape[1])
    filled = Filled(np.full(out.shape[1], np.inf), *np.zeros((2, out.shape[1])))
    changes, kept, messages = flow.changes, flow.kept, flow.warnings
    for part, transformer, columns in step.transformers_:
        at = step.output_indices_.get(part, slice(0))
        if isinstance(transformer, str) or at.stop == at.start:
            continue
        branch = Flow(safe_indexing(X, columns, axis=1), flow.weight)
        branch = through([(part, transformer)], branch)
        for whole, own in ((moved, branch.moved), (filled, branch.filled)):
            for target, values in zip(whole, own or (), strict=bool(own)):
                target[at] = values
        changes = (*changes, *branch.changes)
        kept = (*kept, *(f"{name}__{inner}" for inner in branch.kept))
        messages = (*messages, *branch.warnings)
    return flow._replace(
        X=out,
        moved=moved if moved else None,
        filled=filled if np.isfinite(filled.present).any() else None,
        changes=changes,
        kept=kept,
        warnings=messages,
    )


class Statistics(NamedTuple):
    """Of some values of each column: their number, their mean, and the sum of the squares of their distances to it.

    ``lost`` is what rounding may have done to the sum.
    """

    n: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    lost: np.ndarray = 0.0

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
        return Statistics(n, mean, np.where(squares > lost, squares, 0.0), lost)


@follows.register(StandardScaler)
def _(step):
    return True


@leave.register(StandardScaler)
def _(step, flow, name):
    weighted = _weighted(step)
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
    if num_samples(flow.X):
        gone = _statistics(clone(step).fit(flow.X, sample_weight=flow.weight if weighted else None))
    new = old.add(gone, -1.0)
    vague = (gone.n > 0) & (old.squares > 0) & (new.squares < UNSURE * new.lost)
    if (new.n <= 0).any():
        raise _emptied(new.n <= 0, name)
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


def _weighted(scaler):
    """Whether a scaler was fitted with weights: it asks for them, or has seen no whole number of rows."""
    asked = routing_enabled() and scaler.get_metadata_routing().fit.requests.get("sample_weight") not in (None, False)
    return asked or bool(np.mod(scaler.n_samples_seen_, 1).any())


def _statistics(scaler):
    n = np.broadcast_to(scaler.n_samples_seen_, scaler.n_features_in_).astype(np.float64)
    mean = np.zeros(len(n)) if scaler.mean_ is None else scaler.mean_
    var = np.zeros(len(n)) if scaler.var_ is None else scaler.var_
    return Statistics(n, mean, n * var)


def _fitted(scaler, new):
    """Fitted attributes for new statistics, and the scale that `transform` divides by."""
    n = new.n.astype(np.asarray(scaler.n_samples_seen_).dtype)
    attributes = {"n_samples_seen_": n[0] if (n == n[0]).all() else n}
    if scaler.mean_ is not None:
        attributes["mean_"] = new.mean
    scale = np.ones(len(n))
    if scaler.var_ is not None:
        attributes["var_"] = new.squares / new.n
        attributes["scale_"] = scale = scale_of(attributes["var_"], new.mean, attributes["n_samples_seen_"])
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
