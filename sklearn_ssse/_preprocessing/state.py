"""Rows at one place of a pipeline, and the change of its columns when preprocessing is downdated.

The columns of the retained rows change by ``x' = scale * x + shift`` (`AffineColumns`). Values that
an imputer filled in change instead from one constant to another (`FilledValues`).
"""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._families import AffineColumns


class FilledValues(NamedTuple):
    """Values that an imputer filled in, column by column.

    Attributes
    ----------
    present : ndarray of shape (n_columns,) or None
        Number of retained values that were not filled in. Infinite for a column that no imputer
        filled; None if the numbers are unknown.
    before, after : ndarray of shape (n_columns,)
        The value that was filled in at fit, and the value after the erasure.
    """

    present: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def none(cls, n_columns):
        """Columns in which nothing was filled in."""
        return cls(np.full(n_columns, np.inf), np.zeros(n_columns), np.zeros(n_columns))

    def take(self, columns):
        """Some of the columns."""
        return FilledValues(*(None if part is None else part[columns] for part in self))

    def append(self, n_columns):
        """The columns, and after them some in which nothing was filled in."""
        pairs = zip(self, FilledValues.none(n_columns), strict=True)
        return FilledValues(
            *(None if part is None else np.append(part, end) for part, end in pairs)
        )


class PreprocessingState(NamedTuple):
    """Rows at one place of a pipeline, and the effects of the steps before it.

    Attributes
    ----------
    X : array-like
        The forget rows, as they were at this place at fit.
    sample_weight : array-like or None
    column_map : AffineColumns or None
        Change of the columns of the retained rows; None for no change.
    filled : FilledValues or None
    changes : tuple of Change
        New statistics of the steps.
    kept_by : tuple of str
        Names of the steps that still hold the rows.
    warnings : tuple of str
    model : ErasableMixin or None
        The first erasable model at the end of the pipeline.
    weights_consumed : bool
        Whether a step was fitted with the weights.
    """

    X: object
    sample_weight: object = None
    column_map: object = None
    filled: object = None
    changes: tuple = ()
    kept_by: tuple = ()
    warnings: tuple = ()
    model: object = None
    weights_consumed: bool = False

    def columns(self, n_columns):
        """The change of the columns, the identity for no change."""
        return AffineColumns.identity(n_columns) if self.column_map is None else self.column_map

    def keep(self, name):
        """The same state with one more step that still holds the rows."""
        return self._replace(kept_by=(*self.kept_by, name))

    def warn(self, message):
        """The same state with one more warning."""
        return self._replace(warnings=(*self.warnings, message))
