"""Exact removal of rows from the means of a `SimpleImputer` that counts its values."""

import numpy as np
from scipy import sparse
from sklearn.impute import SimpleImputer

from sklearn_ssse._erasure import Change
from sklearn_ssse._preprocessing.standard_scaler import emptied_columns
from sklearn_ssse._preprocessing.state import FilledValues
from sklearn_ssse._preprocessing.steps import downdate_step, follows_columns, transform
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.preprocessing import as_numbers, missing


@follows_columns.register(SimpleImputer)
def imputer_follows_columns(step):
    """Whether it holds means with their counts, and no indicator columns."""
    return _has_counts(step) and not step.add_indicator


@downdate_step.register(SimpleImputer)
def downdate_imputer(step, state, name):
    """Take the rows out of the means, and apply the change of the columns to them."""
    out = transform(step, state.X, name)
    if step.strategy == "constant":
        return state._replace(X=out)
    if not _has_counts(step) or sparse.issparse(state.X):
        return state._replace(X=out).keep(name)
    X = as_numbers(state.X) if num_samples(state.X) else np.zeros((0, step.n_features_in_))
    absent = missing(X, step.missing_values)
    seen = np.asarray(step.n_samples_seen_)
    remaining = seen - (~absent).sum(axis=0)
    emptied = (remaining < 1) & (seen > 0)
    if emptied.any():
        raise emptied_columns(int(emptied.sum()), name)
    column_map = state.columns(X.shape[1])
    total = seen * step.statistics_ - np.where(absent, 0.0, X).sum(axis=0)
    mean = _new_sum(total, remaining, column_map, state.filled, name) / np.maximum(remaining, 1)
    attributes = {
        "statistics_": mean.astype(step.statistics_.dtype),
        "n_samples_seen_": remaining,
    }
    filled = FilledValues(remaining.astype(np.float64), step.statistics_, mean)
    if state.filled is not None:  # an earlier imputer filled in its columns
        earlier = np.isfinite(state.filled.present)
        pairs = zip(state.filled, filled, strict=True)
        filled = FilledValues(*(np.where(earlier, old, new) for old, new in pairs))
    # Columns without any value at fit are dropped; indicator columns are appended.
    used = ~np.isnan(step.statistics_)
    n_appended = out.shape[1] - int(used.sum())
    if step.add_indicator:
        state = state.keep(name)
    return state._replace(
        X=out,
        column_map=column_map.take(used).append(n_appended),
        filled=filled.take(used).append(n_appended),
        changes=(*state.changes, Change(step, attributes)),
    )


def _has_counts(step):
    """Whether an imputer holds means, and the number of values of each."""
    return step.strategy == "mean" and "n_samples_seen_" in vars(step)


def _new_sum(total, remaining, column_map, filled, name):
    """Sum of the retained values of each column, after the change of the columns."""
    if filled is None:
        return column_map.scale * total + remaining * column_map.shift
    if filled.present is None:
        raise ErasureError(
            f"preprocessing='downdate' needs the number of values that were filled in before "
            f"{name}, got an imputer that was fitted to some of the rows. Use "
            "preprocessing='keep'."
        )
    earlier = np.maximum(remaining - filled.present, 0.0)
    total = total - earlier * filled.before
    total = column_map.scale * total + (remaining - earlier) * column_map.shift
    return total + earlier * filled.after
