"""Preprocessors from whose statistics rows can be erased."""

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.utils import check_array

from sklearn_ssse._utils.compat import is_pandas_na, is_scalar_nan
from sklearn_ssse._utils.unquoted import attempt, error_like, faulty_cells, form


def count_values(X, missing_values=np.nan):
    """Count the values of each column that are not missing.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_columns)
        Dense numeric data.
    missing_values : number or None, default=nan
        The value that stands for a missing value, as in :class:`sklearn.impute.SimpleImputer`.

    Returns
    -------
    ndarray of int of shape (n_columns,)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssse.preprocessing import count_values
    >>> count_values([[1.0, np.nan], [3.0, 4.0]])
    array([2, 1])
    """
    return (~missing(as_numbers(X), missing_values)).sum(axis=0)


def as_numbers(X):
    """Numeric data as an array of float64; nan is allowed."""
    out, kind = attempt(check_array, X, dtype=np.float64, ensure_all_finite="allow-nan")
    if kind is not None:
        given = "; ".join(faulty_cells(X, allow_nan=True)) or form(X)
        raise error_like(
            kind,
            f"X must be a table of finite numbers, or nan for a missing value, got {given}. Pass "
            "numeric data of shape (n_samples, n_columns).",
        )
    return out


def missing(X, missing_values):
    """Whether each number of an array stands for a missing value."""
    none = missing_values is None or is_scalar_nan(missing_values) or is_pandas_na(missing_values)
    return np.isnan(X) if none else missing_values == X


class ErasableSimpleImputer(SimpleImputer):
    """`SimpleImputer` that counts the values that it averages, so that rows can be erased from it.

    scikit-learn's `SimpleImputer` keeps the means but not the number of values in each. With the
    counts, ``unlearn(pipe, X, y, preprocessing="downdate")`` removes rows from the means exactly.
    If you have the training data X of a fitted `SimpleImputer`,
    ``imputer.n_samples_seen_ = count_values(X)`` adds the counts to it.

    Parameters
    ----------
    missing_values, strategy, fill_value, copy, add_indicator, keep_empty_features
        As in :class:`sklearn.impute.SimpleImputer`. Rows can be erased only from the statistics of
        ``strategy="mean"`` on dense data.

    Attributes
    ----------
    n_samples_seen_ : ndarray of int of shape (n_features,)
        Number of values of each column that were not missing. Only for ``strategy="mean"``.
    statistics_, indicator_, n_features_in_, feature_names_in_
        As in the parent class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssse.preprocessing import ErasableSimpleImputer
    >>> ErasableSimpleImputer().fit([[1.0, np.nan], [3.0, 4.0]]).n_samples_seen_
    array([2, 1])
    """

    def fit(self, X, y=None):
        """Fit the imputer and count the values of each column.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        super().fit(X, y)
        vars(self).pop("n_samples_seen_", None)
        if self.strategy == "mean" and not hasattr(X, "tocsr"):
            self.n_samples_seen_ = count_values(X, self.missing_values)
        return self
