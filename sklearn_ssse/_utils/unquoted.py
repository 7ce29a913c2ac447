"""Checks of rows, and calls of other libraries, with errors that quote no value of a row.

Messages of scikit-learn, NumPy, pandas or a user's transformer may quote a cell, a label or an id.
`attempt` catches such an error, and the caller raises another one. The caller does so after the
``except`` clause has ended: inside it, Python would store the first error as the ``__context__`` of
the second, and logs would print both.
"""

from math import isinf, isnan

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from sklearn_ssse._utils.compat import (
    check_sample_weight,
    is_pandas_na,
    num_samples,
    safe_indexing,
)
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError, LibraryError

# Columns, and names of columns, that a message lists at most.
MAX_LISTED = 5
UNREAD = "whose message is not printed because it may quote a row"
AS_AT_FIT = "Pass the rows as they were given to fit."


def attempt(function, *args, **kwargs):
    """Call a function, and catch an error whose message may quote a row.

    Returns
    -------
    result : object
        None after an error.
    kind : type of Exception or None
        The type of the error. The error itself is dropped, since its traceback holds the rows.
    """
    try:
        return function(*args, **kwargs), None
    except (LibraryError, NotFittedError, MemoryError, Warning):
        raise
    except Exception as error:
        return None, type(error)


def error_like(kind, message):
    """The error that replaces one of another library: a `TypeError` if that was one."""
    return ErasureTypeError(message) if issubclass(kind, TypeError) else ErasureError(message)


def check_consistent_length(*arrays):
    """Refuse arrays of different lengths; None is skipped."""
    lengths = [num_samples(array) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise ErasureError(
            "Arrays of rows, labels, weights, groups or positions must have the same length, got "
            f"inconsistent numbers of samples: {', '.join(map(str, lengths))}. Pass one value for "
            "each row."
        )


def column(values, name, *, warn=False):
    """Values as an array of one dimension, (n_rows,); see `sklearn.utils.column_or_1d`."""
    out, kind = attempt(column_or_1d, values, warn=warn)
    if kind is not None:
        raise error_like(
            kind,
            f"{name} must hold one value for each row in one column, got {form(values)}. Pass an "
            "array of shape (n_rows,).",
        )
    return out


def array(values, name):
    """Values as an array, dense or not."""
    out, kind = attempt(lambda: values.toarray() if sparse.issparse(values) else np.asarray(values))
    if kind is not None:
        raise error_like(
            kind,
            f"{name} must be an array, got {form(values)}. Pass one value for each row and column.",
        )
    return out


def weights(values, X):
    """Finite weights, one for each row, (n_rows,)."""
    check_consistent_length(X, values)
    if not num_samples(X):
        return np.zeros(0)
    out, kind = attempt(check_sample_weight, values, X, dtype=np.float64)
    if kind is not None:
        given = "; ".join(faulty_cells(values)) or form(values)
        raise error_like(
            kind,
            f"sample_weight must hold one finite number for each row, got {given}. Pass the "
            "weights that the rows had at fit.",
        )
    n_negative = int((out < 0).sum())
    if n_negative:
        raise ErasureError(
            f"Sample weights must not be negative, got negative ones in {n_negative} of "
            f"{len(out)} rows. Omit such rows, or give them weight 0."
        )
    return out


def validated(estimator, X, **options):
    """`validate_data` for rows that are given to a fitted estimator.

    A CSR matrix is returned as an object of its own, with sorted indices and without duplicates.
    """
    out, kind = attempt(validate_data, estimator, X, reset=False, **options)
    if kind is not None:
        raise error_like(kind, f"X must {fault(estimator, X) or unknown_fault(estimator, kind)}")
    return _canonical(out) if sparse.issparse(out) and out.format == "csr" else out


def _canonical(X):
    """A CSR matrix in canonical form; X does not change.

    SciPy sums duplicates in place, for example in ``abs(X)``.
    """
    own = type(X)((X.data, X.indices, X.indptr), shape=X.shape)
    if not own.has_canonical_format:
        own = own.copy()
        own.sum_duplicates()
    return own


def unknown_fault(estimator, kind):
    """The rest of the message if the cause of an error is not known."""
    return (
        f"be valid input for {type(estimator).__name__}, got {kind.__name__}, {UNREAD}. "
        f"{AS_AT_FIT} To read the message, call sklearn.utils.check_array(X) yourself."
    )


def form(values):
    """The type and shape of an argument, in words."""
    shape, kind = attempt(np.shape, values)
    if kind is not None:
        return f"{type(values).__name__} of entries of different lengths"
    return f"{type(values).__name__} of shape {shape}" if shape else type(values).__name__


def fault(estimator, X, *, cells=True):
    """The reason for which a fitted estimator cannot take rows: the end of "X must ...".

    Parameters
    ----------
    estimator : estimator object
    X : array-like
    cells : bool
        Whether all cells must be finite numbers.

    Returns
    -------
    str
        Empty if no reason was found.
    """
    n_features = getattr(estimator, "n_features_in_", None)
    table = _table(X)
    if table is None or np.ndim(table) != 2:
        wanted = "columns" if n_features is None else f"{n_features} columns"
        return (
            f"be a table of rows and {wanted}, got {form(X)}. {AS_AT_FIT} Pass a single "
            "row x as [x]."
        )
    names = getattr(estimator, "feature_names_in_", None)
    found = _faulty_names(table, names) or _faulty_width(table, estimator)
    return found or (_faulty_numbers(table, names) if cells else "")


def _table(X):
    """The rows as an object that has a shape and columns; None if there is none."""
    if not hasattr(X, "shape"):
        X, _ = attempt(np.array, X, dtype=object)
    return X


def _faulty_names(table, names):
    """Columns that are missing, surplus or in another order. New names may be cells: no header."""
    given = getattr(table, "columns", None)
    if given is None or names is None or not all(isinstance(name, str) for name in given):
        return ""
    lacking = [name for name in names if name not in given]
    n_others = len(set(given).difference(names))
    if lacking or n_others:
        listed = f" ({', '.join(lacking[:MAX_LISTED])})" if lacking else ""
        found = f"a frame that lacks {len(lacking)} of them{listed} and has {n_others} others"
    elif list(given) != list(names):
        found = "the same names in another order"
    else:
        return ""
    return f"have the feature names that were seen at fit, got {found}. {AS_AT_FIT}"


def _faulty_width(table, estimator):
    """Another number of columns than at fit, or no rows."""
    n_rows, n_columns = table.shape
    n_features = getattr(estimator, "n_features_in_", n_columns)
    if n_columns != n_features:
        return (
            f"have the {n_features} features that {type(estimator).__name__} was "
            f"fitted to, got {n_columns}. {AS_AT_FIT}"
        )
    return "" if n_rows else f"hold at least one row, got none. {AS_AT_FIT}"


def _faulty_numbers(table, names):
    """Cells that are not finite numbers."""
    found = faulty_cells(table, names)
    return f"hold finite numbers, got {'; '.join(found)}. {AS_AT_FIT}" if found else ""


def faulty_cells(X, names=None, *, allow_nan=False):
    """The columns whose cells are not finite numbers, each with the number of such rows.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_columns) or (n_rows,)
    names : array-like of str or None
        Names of the columns at fit.
    allow_nan : bool
        Whether a missing value is allowed.

    Returns
    -------
    list of str
        Of the first columns alone.
    """
    table = _table(X)
    if table is None or not getattr(table, "shape", ()):
        return []
    n_rows = table.shape[0]
    width = table.shape[1] if np.ndim(table) == 2 else None
    found = []
    for j in [None] if width is None else range(width):
        cells = _cells(table, j)
        named = "" if j is None else f" in column {j if names is None else names[j]}"
        for what, count in _counts(cells, allow_nan).items():
            found.append(f"{what}{named} ({count} of {n_rows} rows)")
        if len(found) >= MAX_LISTED:
            break
    return found


def _cells(table, j):
    """The cells of one column as an array of shape (n_rows,), or all cells for None."""
    if sparse.issparse(table):
        return table.tocsc()[:, [j]].toarray().ravel()
    return np.asarray(table if j is None else safe_indexing(table, j, axis=1))


def _counts(cells, allow_nan):
    """The number of cells of each kind that is not a finite number."""
    numbers, kind = attempt(cells.astype, np.float64) if cells.dtype.kind != "c" else (None, True)
    if kind is None and np.isfinite(numbers).all():
        return {}
    counts = {}
    for cell in cells.tolist():
        what = _fault_of(cell)
        if what and not (allow_nan and what == "NaN"):
            counts[what] = counts.get(what, 0) + 1
    return counts


def _fault_of(cell):
    """Words for a cell that is not a finite number, and an empty str for one that is."""
    if cell is None or is_pandas_na(cell):
        return "NaN"
    number, kind = attempt(float, cell)
    if kind is OverflowError:
        return "infinite or too large numbers"
    if kind is not None:
        return f"values of type {type(cell).__name__} instead of numbers"
    if isnan(number):
        return "NaN"
    return "infinite or too large numbers" if isinf(number) else ""
