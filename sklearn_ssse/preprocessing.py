"""Preprocessors that know enough of their data for rows to leave them."""

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.utils import check_array

from sklearn_ssse._utils.compat import is_pandas_na, is_scalar_nan


def count_values(X, missing_values=np.nan):
    """Number of values that are not missing in each column of dense numeric data, (n_columns,)."""
    return (~missing(as_numbers(X), missing_values)).sum(axis=0)


def as_numbers(X):
    """Numeric data, which may lack values, as an array."""
    return check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")


def missing(X, missing_values):
    """Which numbers of an array stand for a value that is missing."""
    none = missing_values is None or is_scalar_nan(missing_values) or is_pandas_na(missing_values)
    return np.isnan(X) if none else missing_values == X


class ErasableSimpleImputer(SimpleImputer):
    """`SimpleImputer` that counts the values that it averages, so that rows can leave its means.

    scikit-learn's own keeps the means but not the counts: what a row weighs in them is unknown after `fit`. With these,
    ``unlearn(pipe, X, y, preprocessing="downdate")`` removes rows from the means exactly. A fitted `SimpleImputer` is given the counts by
    ``imputer.n_samples_seen_ = count_values(X)`` where its data are at hand.

    Parameters
    ----------
    missing_values, strategy, fill_value, copy, add_indicator, keep_empty_features
        As in :class:`sklearn.impute.SimpleImputer`. Rows leave only the statistics of ``strategy="mean"``, of dense data.

    Attributes
    ----------
    n_samples_seen_ : ndarray of int of shape (n_features,)
        Number of values of each column that were not missing. Only for ``strategy="mean"``.
    statistics_, indicator_, n_features_in_, feature_names_in_
        As in the parent.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssse.preprocessing import ErasableSimpleImputer
    >>> ErasableSimpleImputer().fit([[1.0, np.nan], [3.0, 4.0]]).n_samples_seen_
    array([2, 1])
    """

    def fit(self, X, y=None):
        """Fit the imputer and count.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None

        Returns
        -------
        self : object
        """
        super().fit(X, y)
        vars(self).pop("n_samples_seen_", None)
        if self.strategy == "mean" and not hasattr(X, "tocsr"):
            self.n_samples_seen_ = count_values(X, self.missing_values)
        return self
