"""The inverse of the diagonal."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._gradients import CurvatureRows, Layer, Scores
from sklearn_ssse._inverse.base import AbstractInverse, PendingDowndate, Shapes
from sklearn_ssse._inverse.layout import split
from sklearn_ssse._inverse.limits import Ridge, resolve_ridge
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
        self._scores = scores
        self._forget_diagonal = scores.diagonal()
        self.spectrum = self._forget_diagonal / inverse.diagonal
        self.leverage = inverse.leverage(scores)

    @property
    def max_leverage(self) -> float:
        """Largest share of a sample in one element of the diagonal."""
        return max((self._largest_share(chunk) for chunk in self._scores.chunks()), default=0.0)

    def _largest_share(self, scores: Scores) -> float:
        """`max_leverage` for rows in memory."""
        if not scores.n_samples:
            return 0.0
        diagonals = split(self._inverse.diagonal, scores.shapes)
        factors = zip(diagonals, scores.layers, strict=True)
        return max(_largest_product(layer, diagonal) for diagonal, layer in factors)

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        return self._inverse.solve(v) * (1.0 + self.spectrum * self.factor(damped=damped))

    def inverse(self) -> DiagonalInverse:
        diagonal = self._inverse.diagonal - self._forget_diagonal
        return DiagonalInverse(self._inverse.ridge, diagonal)


def _largest_product(layer: Layer, diagonal: NDArray) -> float:
    """Largest share of a sample in an element of the layer's diagonal, (n_outputs, width)."""
    inputs = layer.inputs
    squares = abs(inputs).power(2).tocsc() if sparse.issparse(inputs) else np.square(inputs)
    lengths = np.square(layer.lengths)
    largest = 0.0
    for j, element in enumerate(diagonal):
        own = lengths[:, j : j + 1]
        if sparse.issparse(squares):
            top = np.asarray(squares.multiply(own).max(axis=0).todense()).ravel()
        else:
            top = (squares * own).max(axis=0)
        if layer.bias:
            top = np.append(top, own.max())
        largest = max(largest, float((top / element).max(initial=0.0)))
    return largest
