"""Every check of an erasure, in one voice: what must hold, what was given, what to do. All run before anything changes."""

from dataclasses import replace
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from sklearn_ssse._utils.compat import check_sample_weight, num_samples
from sklearn_ssse._utils.memory import available_bytes, readable
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# Smallest eigenvalue of I - R_S P R_S^T that lets an erasure through.
LEAST_MARGIN = 1e-6
# The same from which a leave-out step is trusted: below it the median distance ratio is .4 and worse.
TRUSTED_MARGIN = 0.3


def check_rows(estimator, X, y, sample_weight, *, trusted=False, ensure_min_samples=1):
    """Rows of data as arrays.

    Parameters
    ----------
    estimator : fitted classifier
    X, y, sample_weight : array-like
    trusted : bool
        True for rows that went through the parent's ``fit`` just now: they are finite, and are not converted.
    ensure_min_samples : int

    Returns
    -------
    X : {ndarray, CSR matrix}
    codes : ndarray of int
        Positions of y in ``classes_``, (n_samples,); of a multi-label problem y itself, (n_samples, n_labels).
    sample_weight : ndarray of float64 or None
    """
    X = validate_data(
        estimator,
        X,
        reset=False,
        accept_sparse="csr",
        dtype="numeric" if trusted else [np.float64, np.float32],
        ensure_all_finite=not trusted,
        ensure_min_samples=ensure_min_samples,
    )
    if is_multilabel(estimator):
        codes = check_labels(estimator, y)
    else:
        if not (isinstance(y, np.ndarray) and y.ndim == 1):
            y = column_or_1d(y, warn=not trusted)
        codes = encode(estimator.classes_, y)
    if len(codes) != X.shape[0]:
        check_consistent_length(X, codes)
    if sample_weight is not None:
        sample_weight = each_row(sample_weight, X)
        check_consistent_length(X, sample_weight)
        sample_weight = (
            check_sample_weight(sample_weight, X, dtype=np.float64) if X.shape[0] else np.zeros(0)
        )
        if (sample_weight < 0).any():
            raise ErasureError(
                "Sample weights must not be negative for a model that rows are erased from, got "
                f"{sample_weight.min():.3g}. Leave such rows out, or give them weight 0."
            )
    return X, codes, sample_weight


def is_multilabel(estimator):
    """Whether an output of the fitted model is a label that a row may have beside others."""
    binarizer = vars(estimator).get("_label_binarizer")
    return binarizer is not None and binarizer.y_type_.startswith("multilabel")


def check_labels(estimator, y):
    """The indicator matrix of a multi-label problem."""
    n_labels = len(estimator.classes_)
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    if y.ndim != 2 or y.shape[1] != n_labels or not np.isin(y, (0, 1)).all():
        raise ErasureError(
            f"Labels must be 0 or 1 in an array of {n_labels} columns, as at fit, got an array of shape {y.shape}. Pass the labels "
            "that the rows had at fit."
        )
    return y.astype(np.int64)


def row_weights(codes, weight, class_weight):
    """Weights of rows, ones for None, times those of their classes, none for None."""
    weight = np.ones(len(codes)) if weight is None else weight
    return weight if class_weight is None else weight * class_weight[codes]


def members(codes, n_classes):
    """Indicator of each class or label, (n_samples, n_classes)."""
    return codes.astype(np.float64) if codes.ndim == 2 else np.eye(n_classes)[codes]


def encode(classes, y):
    """Positions of the labels y in the sorted ``classes``; an error for a label that is not there."""
    try:
        codes = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        known = classes[codes] == y
    except TypeError:  # labels of a type that has no order with the classes
        members = set(classes.tolist())
        codes, known = (
            np.zeros(len(y), dtype=np.intp),
            np.array([label in members for label in y.tolist()]),
        )
    if not np.all(known):
        unseen = sorted({str(label) for label in y[~np.broadcast_to(known, codes.shape)]})[:5]
        raise ErasureError(
            f"Labels must be among the classes seen at fit, got {', '.join(unseen)}. Pass the labels that the rows had at fit: "
            f"{', '.join(str(label) for label in classes[:10])}. A new class needs a model that is fitted anew."
        )
    return codes


def check_pairs(X_old, X_new):
    """Refuse rows of which not each has its corrected version."""
    if num_samples(X_old) != num_samples(X_new):
        raise ErasureError(
            f"Each row must come with its corrected version, got {num_samples(X_old)} old rows and {num_samples(X_new)} new ones. Pass the "
            "same rows in the same order, or use `unlearn` and `learn`."
        )


def check_outputs(y, n_outputs):
    """Labels of many outputs as an array, (n_rows, n_outputs)."""
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    if y.ndim != 2 or y.shape[1] != n_outputs:
        raise ErasureError(
            f"y must have one column for each of the {n_outputs} outputs, got shape {y.shape}. Pass the labels as they were given to fit."
        )
    return y


def each_row(weight, X):
    """One weight for all rows as one for each."""
    return np.full(num_samples(X), float(weight)) if isinstance(weight, Real) else weight


def as_objects(values):
    """A column as Python objects: as numbers of NumPy integers would be floats where some are missing, and several large ids the same."""
    if not isinstance(values, (list, tuple, np.ndarray)):  # of pandas or polars
        as_list = getattr(values, "to_list", getattr(values, "tolist", None))
        if as_list is not None:
            return as_list()
    if isinstance(values, (list, tuple)) and not any(
        isinstance(value, (list, np.ndarray)) for value in values
    ):
        return [
            g.astype("datetime64[us]").item() if isinstance(g, np.datetime64) else g for g in values
        ]
    values = column_or_1d(values)
    return (values.astype("datetime64[us]") if values.dtype.kind == "M" else values).tolist()


def check_positions(positions, n_rows, n_samples):
    """Positions of rows in the data of a fit, each once."""
    if positions is None:
        raise ErasureTypeError(
            "Rows leave a BaggingClassifier by their positions in the data of fit, which decide the members that drew them, got none. "
            "Pass positions=."
        )
    positions = column_or_1d(
        positions if isinstance(positions, np.ndarray) else as_objects(positions)
    )
    if len(positions) != n_rows or not np.issubdtype(positions.dtype, np.integer):
        raise ErasureError(
            f"positions must hold one integer for each of the {n_rows} rows, got {len(positions)} of type {positions.dtype}."
        )
    if len(np.unique(positions)) < n_rows or not ((positions >= 0) & (positions < n_samples)).all():
        raise ErasureError(
            f"positions must be different and from 0 to {n_samples - 1}, got {n_rows - len(np.unique(positions))} twice and "
            f"{int(((positions < 0) | (positions >= n_samples)).sum())} outside. Pass those in the data of fit."
        )
    return positions


def check_remaining(state, classes, codes, weight, *, added=None, may_vanish=False):
    """The `ErasureState` without the rows, or an error if so many cannot go.

    Parameters
    ----------
    state : ErasureState
    classes, codes, weight : ndarray
    added : tuple of ndarray, default=None
        Codes and weights of rows that come.
    may_vanish : bool
        Whether the last rows of a class can go.
    """
    own, least = members(codes, len(classes)), 1e-12 * state.fit_mass
    leaving = own.sum(axis=0).astype(np.int64)
    counts, mass = state.class_counts - leaving, state.class_mass - weight @ own
    n_rows, total = state.n_rows - len(codes), state.mass - weight.sum()
    missing, changed = (n_rows < 0) | (counts < 0) | (mass < -least), state.changed + weight.sum()
    if added is not None:
        new, new_weight = members(added[0], len(classes)), added[1]
        counts, mass = counts + new.sum(axis=0).astype(np.int64), mass + new_weight @ new
        n_rows, total, changed = (
            n_rows + len(new),
            total + new_weight.sum(),
            changed + new_weight.sum(),
        )
    if len(codes) and (n_rows <= 0 or (may_vanish and total <= least)):
        raise ErasureError(
            f"An erasure must leave rows behind, got {len(codes)} rows (weight {weight.sum():.6g}) where {state.n_rows} (weight "
            f"{state.mass:.6g}) remain. Pass the weights that the rows had at fit; a model without data is no model: delete it, or erase "
            "fewer rows."
        )
    spent = missing if may_vanish else (leaving > 0) & (missing | (counts <= 0) | (mass <= least))
    lacking = n_rows - counts if codes.ndim == 2 else counts
    if (lacking < 0).any() and not spent.any():
        c = int(np.argmin(lacking))
        raise ErasureError(
            f"An erasure must not take more rows without a label than there are, got {len(codes) - leaving[c]} without label "
            f"{classes[c]!s}, of which {state.n_rows - state.class_counts[c]} remain. Check the labels."
        )
    if spent.any():
        c = int(np.flatnonzero(spent)[0])
        raise ErasureError(
            f"An erasure must {'not take more rows of a class than there are' if may_vanish else 'leave at least one row of every class'}, "
            f"got {leaving[c]} rows (weight {(weight @ own)[c]:.6g}) of class {classes[c]!s}, of which "
            f"{state.class_counts[c]} (weight {state.class_mass[c]:.6g}) remain. Erase fewer, or fit again without the class."
            + (
                " With `early_stopping` some were held out and are not in the model."
                if may_vanish
                else ""
            )
        )
    mass = np.where(mass < least, 0.0, mass)
    return replace(
        state,
        n_rows=n_rows,
        mass=total,
        class_counts=counts,
        class_mass=mass,
        changed=float(changed),
    )


def least_margin(condition):
    """Smallest eigenvalue of I - R P R^T that lets an erasure through, for one or many condition numbers."""
    return np.maximum(LEAST_MARGIN, 1e3 * condition * np.finfo(np.float64).eps)


def check_margin(margin, condition, n_rows, damping):
    """Refuse an erasure that would leave the curvature singular, or the downdated inverse wrong."""
    least = least_margin(condition)
    if not margin >= least:
        raise ErasureError(
            f"Erasing these {n_rows} rows makes the curvature singular (smallest eigenvalue of I - R P R^T is {margin:.2g}, must "
            f"exceed {least:.2g}). Erase fewer rows at once, raise `damping` (now {np.median(damping):.2g}), or call "
            "`fit_curvature`."
        )


def check_fresh(state):
    """Refuse a curvature that is not that of the model."""
    if state.stale:
        raise ErasureError(
            f"The curvature must belong to the model as it is, got one {state.stale}. Call `fit_curvature` on the rows that remain, then "
            "erase."
        )


def check_dense(n_parameters):
    """Refuse a dense matrix that does not fit into memory."""
    needed, free = 16 * n_parameters**2, available_bytes()
    if needed > free:
        raise ErasureError(
            f"The dense inverse of {n_parameters} parameters must fit into memory, got {readable(needed)} where {readable(free)} are "
            "free. Use `curvature_.solve` instead."
        )
