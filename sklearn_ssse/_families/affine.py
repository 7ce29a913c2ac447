"""A change of the scale and centre of columns, and the model transformed to the new columns.

After rows are erased from the statistics of a preprocessor, it transforms a retained row to
``x' = M x`` instead of x, with M affine and the intercept last. The model with parameters
``theta' = M^-T theta``, unit by unit, makes the same predictions. Its gradients are ``M g``, and
the data part of its curvature is ``M A M^T``. Its penalty and its ridge do not change.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_ssse.exceptions import ErasureError


class AffineColumns(NamedTuple):
    """The change ``x' = scale * x + shift`` of columns.

    Attributes
    ----------
    scale, shift : ndarray of shape (n_columns,)
    """

    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def identity(cls, n_columns):
        """The identity: scale 1 and shift 0 for every column."""
        return cls(np.ones(n_columns), np.zeros(n_columns))

    def __bool__(self):
        return bool((self.scale != 1).any() or self.shift.any())

    def take(self, columns):
        """Some of the columns."""
        return AffineColumns(self.scale[columns], self.shift[columns])

    def append(self, n_columns):
        """The columns, and after them some that do not change."""
        pairs = zip(self, AffineColumns.identity(n_columns), strict=True)
        return AffineColumns(*(np.concatenate(pair) for pair in pairs))

    def rows(self, X):
        """Rows after the change, (n_rows, n_columns); sparse rows remain sparse without a shift."""
        if sparse.issparse(X):
            if not self.shift.any():
                return sparse.csr_matrix(X.multiply(self.scale))
            X = X.toarray()
        return X * self.scale + self.shift

    def parameters(self, W, axis=-1):
        """``M^-T theta`` along an axis of n_columns, or n_columns + 1 with an intercept.

        Raises
        ------
        ErasureError
            If a column shifts and there is no intercept to compensate for it.
        """
        W = np.moveaxis(W, axis, -1)
        p = self.scale.size
        out = np.array(W)
        out[..., :p] = W[..., :p] / self.scale
        if W.shape[-1] > p:
            out[..., p] -= out[..., :p] @ self.shift
        elif self.shift.any():
            raise ErasureError(
                "preprocessing='downdate' shifts the centre of columns, got a model without an "
                "intercept to compensate for it. Use fit_intercept=True, "
                "StandardScaler(with_mean=False), or preprocessing='keep'."
            )
        return np.moveaxis(out, -1, axis)

    def gradients(self, G, axis=-1):
        """``M g`` along an axis of n_columns, or n_columns + 1 with an intercept."""
        G = np.moveaxis(G, axis, -1)
        p = self.scale.size
        out = np.array(G)
        out[..., :p] = G[..., :p] * self.scale
        if G.shape[-1] > p:
            out[..., :p] += G[..., p:] * self.shift
        return np.moveaxis(out, -1, axis)

    def ridge_change(self, ridge):
        """``D - M D M^T`` for the ridges of units, (n_units, width): (n_units, width, width)."""
        D = np.eye(ridge.shape[1]) * ridge[:, np.newaxis, :]
        return D - self.gradients(self.gradients(D, axis=1), axis=2)


def map_first_layer(vector, shapes, part):
    """A vector of parameters with ``part`` applied to the matrix of the first layer.

    Parameters
    ----------
    vector : ndarray of shape (d,)
    shapes : list of (int, int)
        Shape of the parameter matrix of each layer.
    part : callable
        From the matrix (n_outputs, width) to one of the same shape.

    Returns
    -------
    ndarray of shape (d,)
    """
    n_outputs, width = shapes[0]
    size = n_outputs * width
    out = vector.copy()
    out[:size] = part(vector[:size].reshape(n_outputs, width)).ravel()
    return out
