"""The inverse of the diagonal."""

import numpy as np

from sklearn_ssse import _kernels
from sklearn_ssse._inverse.base import AbstractInverse, PendingDowndate, resolve


class DiagonalInverse(AbstractInverse):
    """Inverse of the diagonal of A: 16 d bytes.

    Parameters
    ----------
    ridge, diagonal : ndarray of shape (d,)
        See `AbstractInverse`.
    """

    options = ()
    leverage_is_bounded = False
    inversion = "reciprocal"

    def __init__(self, ridge, diagonal):
        self.ridge = ridge
        self.diagonal = diagonal

    @classmethod
    def build(cls, scores, ridge, *, kernels=None):
        kernels = kernels or _kernels.load("numba")
        return cls(*resolve(ridge, kernels.to_numpy(scores.diagonal())))

    @staticmethod
    def bytes_needed(shapes):
        return 16 * sum(n_outputs * width for n_outputs, width in shapes)

    def solve(self, v):
        return v / (self.diagonal if v.ndim == 1 else self.diagonal[:, np.newaxis])

    def pending_downdate(self, scores):
        return DiagonalPendingDowndate(self, scores)

    def update(self, scores):
        return DiagonalInverse(self.ridge, self.diagonal + scores.diagonal())

    def to_dense(self):
        return np.diag(1.0 / self.diagonal)

    @property
    def condition(self):
        return float(self.diagonal.size)

    @property
    def nbytes(self):
        return self.ridge.nbytes + self.diagonal.nbytes


class DiagonalPendingDowndate(PendingDowndate):
    """PendingDowndate from a `DiagonalInverse`: every parameter is a block of its own."""

    def __init__(self, inverse, scores):
        self._inverse = inverse
        self._leaving = scores.diagonal()
        self.spectrum = self._leaving / inverse.diagonal
        self.leverage = inverse.leverage(scores)

    def solve(self, v, *, damped=False):
        return self._inverse.solve(v) * (1.0 + self.spectrum * self.factor(damped=damped))

    def inverse(self):
        return DiagonalInverse(self._inverse.ridge, self._inverse.diagonal - self._leaving)
