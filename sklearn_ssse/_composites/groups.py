"""Selection of the rows of groups; a group is a person, a household or a device."""

import numpy as np

from sklearn_ssse._erasure import as_objects
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import check_consistent_length
from sklearn_ssse.exceptions import ErasureError


def rows_of_groups(sides, groups, chosen, known, parameter):
    """The rows of the chosen groups.

    Parameters
    ----------
    sides : list of RoutedRows
        The rows to erase or the rows to add; if rows are replaced, the old rows and the new rows.
    groups : array-like of shape (n_rows,), str or None
        The group of each row, or the name of its column in each X; None takes the index of each X.
    chosen : array-like or None
        Groups whose rows are selected; None selects all rows.
    known : array of str, int or None
        Names of the columns that the estimator was fitted on, or their number. A column that holds
        the groups and is not among them is dropped.
    parameter : str
        The name of the parameter that ``chosen`` was passed as, for messages.

    Returns
    -------
    list of RoutedRows

    Raises
    ------
    ErasureError
        If a chosen group has no row, or has an old row whose new row is of another group.
    ValueError
        If `groups` or `chosen` is not valid.
    """
    if chosen is None:
        if groups is not None:
            raise ValueError(
                "groups must be given with a list of the groups to use, got none. Pass "
                f"{parameter}=[...]."
            )
        return sides
    wanted = _wanted(chosen, parameter)
    numbers = {group: i for i, group in enumerate(wanted)}
    sides, owns = zip(*(_with_groups(rows, groups, known) for rows in sides), strict=True)
    codes = np.array([[numbers.get(group, -1) for group in own] for own in owns], dtype=np.intp)
    n_different = int((codes != codes[0]).any(axis=0).sum())
    if n_different:
        raise ErasureError(
            "Old and new rows must be of the same groups in the same order, got "
            f"{n_different} of {codes.shape[1]} rows whose new version is of another group. Pass "
            "the same rows in the same order; nothing was changed."
        )
    n_missing = len(wanted) - len(np.unique(codes[0][codes[0] >= 0]))
    if n_missing:
        kind = type(owns[0][0]).__name__ if owns[0] else "none"
        raise ErasureError(
            f"Every group in `{parameter}` must have a row, got {n_missing} of {len(wanted)} "
            f"without any (`groups` has {kind}, `{parameter}` has {type(wanted[0]).__name__}). "
            "Check the ids and their type; nothing was changed."
        )
    index = np.flatnonzero(codes[0] >= 0)
    return [rows.take(index) for rows in sides]


def _wanted(chosen, parameter):
    """The chosen groups as a list, each once."""
    is_list = isinstance(chosen, (list, tuple)) or np.ndim(chosen) == 1
    if isinstance(chosen, (str, bytes)) or not is_list:
        raise ValueError(
            f"`{parameter}` must be a list of groups, got {type(chosen).__name__}. Write "
            f"{parameter}=[group]."
        )
    wanted = as_objects(chosen)
    repeated = len(wanted) - len(set(wanted))
    if repeated:
        raise ValueError(
            f"`{parameter}` must name each group once, got {repeated} repeated. Check the list."
        )
    return wanted


def _with_groups(rows, groups, known):
    """The rows, without a surplus column of groups, and a list of the group of each row."""
    if groups is None:
        groups = _index(rows.X)
    elif isinstance(groups, str):
        rows, groups = _split_off_column(rows, groups, known)
    own = as_objects(groups)
    check_consistent_length(rows.X, own)
    return rows, own


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
