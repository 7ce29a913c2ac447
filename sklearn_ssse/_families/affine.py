"""Columns that move when rows leave the statistics of a preprocessor, and the model that goes with them.

Where the rows that remain reach a model as ``x' = M x``, M affine, intercept last, instead of x, the model with ``theta' = M^-T theta`` for
each unit predicts the same. Its gradients are ``M g``; the data part of its curvature is ``M A M^T``; its penalty and its ridge do not
follow.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_ssse.exceptions import ErasureError


class Moved(NamedTuple):
    """``x' = scale * x + shift``, column by column."""

    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def nowhere(cls, n_columns):
        return cls(np.ones(n_columns), np.zeros(n_columns))

    def __bool__(self):
        return bool((self.scale != 1).any() or self.shift.any())

    def take(self, columns):
        """Some of the columns."""
        return Moved(self.scale[columns], self.shift[columns])

    def append(self, n_columns):
        """The columns, and after them some that stay."""
        return Moved(
            np.concatenate([self.scale, np.ones(n_columns)]), np.concatenate([self.shift, np.zeros(n_columns)])
        )

    def rows(self, X):
        """Rows as they come now."""
        if sparse.issparse(X) and not self.shift.any():
            return sparse.csr_matrix(X.multiply(self.scale))
        X = X.toarray() if sparse.issparse(X) else X
        return X * self.scale + self.shift

    def parameters(self, W, axis=-1):
        """``M^-T theta`` along an axis of n_columns [+ 1]; without an intercept nothing may shift."""
        W, p = np.moveaxis(W, axis, -1), self.scale.size
        out = np.array(W)
        out[..., :p] = W[..., :p] / self.scale
        if W.shape[-1] > p:
            out[..., p] -= out[..., :p] @ self.shift
        elif self.shift.any():
            raise ErasureError(
                "preprocessing='downdate' moves the centre of columns, got a model without an intercept to take it up. Use "
                "fit_intercept=True, StandardScaler(with_mean=False), or preprocessing='keep'."
            )
        return np.moveaxis(out, -1, axis)

    def gradients(self, G, axis=-1):
        """``M g`` along an axis of n_columns [+ 1]."""
        G, p = np.moveaxis(G, axis, -1), self.scale.size
        out = np.array(G)
        out[..., :p] = G[..., :p] * self.scale
        if G.shape[-1] > p:
            out[..., :p] += G[..., p:] * self.shift
        return np.moveaxis(out, -1, axis)

    def ridge_change(self, ridge):
        """``D - M D M^T`` for the ridges of units, (n_units, width): (n_units, width, width)."""
        D = np.eye(ridge.shape[1]) * ridge[:, np.newaxis, :]
        return D - self.gradients(self.gradients(D, axis=1), axis=2)


def moved_layer(vector, shapes, part):
    """A vector of parameters, (d,), with ``part``, a function of the matrix (n_outputs, width), applied to the first layer."""
    n_outputs, width = shapes[0]
    out = vector.copy()
    out[: n_outputs * width] = part(vector[: n_outputs * width].reshape(n_outputs, width)).ravel()
    return out
