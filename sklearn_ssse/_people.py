"""People, not rows: which rows of a frame belong to those who asked to be forgotten."""

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_ssse._erasure.validation import as_objects
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse.exceptions import ErasureError


def chosen(rows, groups, forget, known):
    """The rows to erase, of `Rows` among which they are.

    Parameters
    ----------
    rows : Rows
    groups : array-like of shape (n_rows,), str or None
        The group of each row, or the column of X that holds it; None takes the index of X.
    forget : array-like or None
        Groups to erase; None erases all rows.
    known : array of str, int or None
        The columns that the estimator knows by name, or their number; another that holds the groups is dropped.

    Returns
    -------
    Rows
    """
    if forget is None:
        if groups is not None:
            raise ValueError("groups must come with forget, the groups to erase, got none. Pass forget=[...].")
        return rows
    wanted = _wanted(forget)
    if groups is None:
        groups = _index(rows.X)
    elif isinstance(groups, str):
        rows, groups = _column(rows, groups, known)
    asked, own = set(wanted), as_objects(groups)
    check_consistent_length(rows.X, own)
    missing = [str(group) for group in asked.difference(own)]
    if missing:
        kind = type(own[0]).__name__ if own else "none"
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ErasureError(
            f"Every group in forget must be among those of the rows, got {', '.join(sorted(missing)[:5])}{more} of which there is none. "
            f"Check the ids and their type (groups has {kind}, forget has {type(wanted[0]).__name__}); nothing was erased."
        )
    return rows.take(np.array([i for i, group in enumerate(own) if group in asked], dtype=np.intp))


def _wanted(forget):
    if isinstance(forget, (str, bytes)) or (not isinstance(forget, (list, tuple)) and np.ndim(forget) != 1):
        raise ValueError(f"forget must be a list of groups, got {type(forget).__name__}. Write forget=[group].")
    wanted = as_objects(forget)
    if len(set(wanted)) < len(wanted):
        raise ValueError(
            f"forget must name each group once, got {len(wanted) - len(set(wanted))} of them again. Check the list of requests."
        )
    return wanted


def _index(X):
    index = getattr(X, "index", None)
    if index is None or callable(index):  # a list has a method of that name
        raise ValueError(
            f"forget without groups needs a frame with an index, got {type(X).__name__}. Pass groups, the group of each row."
        )
    return index


def _column(rows, name, known):
    X, columns = rows.X, list(getattr(rows.X, "columns", []))
    if name not in columns:
        raise ValueError(
            f"groups must be a column of X or hold the group of each row, got {name!r}, which is no column of this "
            f"{type(X).__name__} of {num_samples(X)} rows."
        )
    groups = X[name]
    if len(columns) == known + 1 if isinstance(known, int) else known is not None and name not in known:
        X = X.drop(columns=name) if hasattr(X, "iloc") else X.drop(name)
    return rows._replace(X=X), groups
