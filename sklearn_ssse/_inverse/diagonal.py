"""The inverse of the diagonal."""

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    Ridge,
    Shapes,
    resolve_ridge,
)
from sklearn_ssse._kernels import Kernels, cpu


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

    def __init__(self, ridge: NDArray, diagonal: NDArray) -> None:
        self.ridge = ridge
        self.diagonal = diagonal

    @classmethod
    def build(
        cls, scores: CurvatureRows, ridge: Ridge, *, kernels: Kernels = cpu
    ) -> "DiagonalInverse":
        return cls(*resolve_ridge(ridge, kernels.to_numpy(scores.diagonal())))

    @staticmethod
    def bytes_needed(shapes: Shapes) -> int:
        return 16 * sum(n_outputs * width for n_outputs, width in shapes)

    def solve(self, v: NDArray) -> NDArray:
        return v / (self.diagonal if v.ndim == 1 else self.diagonal[:, np.newaxis])

    def pending_downdate(self, scores: CurvatureRows) -> "DiagonalDowndate":
        return DiagonalDowndate(self, scores)

    def update(self, scores: CurvatureRows) -> "DiagonalInverse":
        return DiagonalInverse(self.ridge, self.diagonal + scores.diagonal())

    def to_dense(self) -> NDArray:
        return np.diag(1.0 / self.diagonal)

    @property
    def condition(self) -> float:
        return float(self.diagonal.size)

    @property
    def nbytes(self) -> int:
        return self.ridge.nbytes + self.diagonal.nbytes


class DiagonalDowndate(PendingDowndate):
    """Pending downdate of a `DiagonalInverse`: every parameter is a block of its own."""

    def __init__(self, inverse: DiagonalInverse, scores: CurvatureRows) -> None:
        self._inverse = inverse
        self._forget_diagonal = scores.diagonal()
        self.spectrum = self._forget_diagonal / inverse.diagonal
        self.leverage = inverse.leverage(scores)

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        return self._inverse.solve(v) * (1.0 + self.spectrum * self.factor(damped=damped))

    def inverse(self) -> DiagonalInverse:
        diagonal = self._inverse.diagonal - self._forget_diagonal
        return DiagonalInverse(self._inverse.ridge, diagonal)
