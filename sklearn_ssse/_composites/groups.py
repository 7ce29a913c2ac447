"""Selection of the rows of groups to erase; a group is a person, a household or a device."""

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_ssse._erasure import as_objects
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse.exceptions import ErasureError

# Number of missing groups that an error lists at most.
MAX_LISTED = 5


def rows_of_groups(rows, groups, forget, known):
    """The rows to erase, selected by their group.

    Parameters
    ----------
    rows : RoutedRows
    groups : array-like of shape (n_rows,), str or None
        The group of each row, or the name of its column in X; None takes the index of X.
    forget : array-like or None
        Groups to erase; None erases all rows.
    known : array of str, int or None
        Names of the columns that the estimator was fitted on, or their number. A column that holds
        the groups and is not among them is dropped.

    Returns
    -------
    RoutedRows

    Raises
    ------
    ErasureError
        If a group in `forget` has no row.
    ValueError
        If `groups` or `forget` is not valid.
    """
    if forget is None:
        if groups is not None:
            raise ValueError(
                "groups must be given with forget, the groups to erase, got none. Pass "
                "forget=[...]."
            )
        return rows
    wanted = _wanted(forget)
    if groups is None:
        groups = _index(rows.X)
    elif isinstance(groups, str):
        rows, groups = _split_off_column(rows, groups, known)
    asked = set(wanted)
    own = as_objects(groups)
    check_consistent_length(rows.X, own)
    missing = sorted(str(group) for group in asked.difference(own))
    if missing:
        more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
        kind = type(own[0]).__name__ if own else "none"
        raise ErasureError(
            f"Every group in forget must have a row, got {', '.join(missing[:MAX_LISTED])}{more} "
            f"without any. Check the ids and their type (groups has {kind}, forget has "
            f"{type(wanted[0]).__name__}); nothing was erased."
        )
    index = [i for i, group in enumerate(own) if group in asked]
    return rows.take(np.array(index, dtype=np.intp))


def _wanted(forget):
    """The groups to erase as a list, each once."""
    is_list = isinstance(forget, (list, tuple)) or np.ndim(forget) == 1
    if isinstance(forget, (str, bytes)) or not is_list:
        raise ValueError(
            f"forget must be a list of groups, got {type(forget).__name__}. Write forget=[group]."
        )
    wanted = as_objects(forget)
    repeated = len(wanted) - len(set(wanted))
    if repeated:
        raise ValueError(
            f"forget must name each group once, got {repeated} repeated. Check the list."
        )
    return wanted


def _index(X):
    """The index of a pandas object, which holds the group of each row."""
    index = getattr(X, "index", None)
    if index is None or callable(index):  # a list has a method `index`
        raise ValueError(
            f"X must be a frame with an index if groups is not given, got {type(X).__name__}. "
            "Pass groups, the group of each row."
        )
    return index


def _split_off_column(rows, name, known):
    """The rows and their groups; the column is dropped if the estimator was fitted without it."""
    X = rows.X
    columns = list(getattr(X, "columns", []))
    if name not in columns:
        raise ValueError(
            f"groups must be a column of X or hold the group of each row, got {name!r}, which is "
            f"no column of this {type(X).__name__} of {num_samples(X)} rows. Check the name."
        )
    groups = X[name]
    if isinstance(known, int):
        surplus = len(columns) == known + 1
    else:
        surplus = known is not None and name not in known
    if surplus:
        X = X.drop(columns=name) if hasattr(X, "iloc") else X.drop(name)
    return rows._replace(X=X), groups
