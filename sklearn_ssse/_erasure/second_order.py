"""Steps of second order, with the derivative of the Hessian."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

# A step of second order is made if all eigenvalues of its Hessians, relative to the conservative
# curvature, are at least this and at most its reciprocal, without unit.
LEAST_EIGENVALUE = 0.3


@dataclass(frozen=True)
class SecondOrder:
    """The Hessian of the penalised objective and its derivative, sums over the present rows.

    Attributes
    ----------
    hessian : ndarray of shape (d, d)
        A, at the present parameters, ridge included.
    third : ThirdOrder
        T. The training rows entered with their third derivatives at the fit; rows that were erased
        or added later left or entered with the third derivatives at that time.
    """

    hessian: NDArray
    third: Any

    def changed(self, change: Any) -> "SecondOrder":
        """The sums after a `RowChange`, at the same parameters."""
        hessian = self.hessian
        third = self.third
        if change.batch.n_samples:
            hessian = hessian - change.scores.gram()
            third = third.minus(change.batch.third_order())
        if change.added.n_samples:
            hessian = hessian + change.new.gram()
            third = third.plus(change.added.third_order())
        return SecondOrder(hessian, third)

    def halley(self, gradient: NDArray, newton: NDArray, conservative: NDArray) -> NDArray | None:
        """Halley's step ``(A + T[s] / 2)^-1 g``; None if the Hessian changes too much along it.

        Parameters
        ----------
        gradient : ndarray of shape (d,)
            g.
        newton : ndarray of shape (d,)
            The Newton step ``s = A^-1 g``.
        conservative : ndarray of shape (d, d)
            Inverse of the conservative curvature.
        """
        root = _root(conservative)
        middle = self.hessian + 0.5 * self.third.along(newton)
        if not _is_trusted(middle, root):
            return None
        step = np.linalg.solve(middle, gradient)
        return step if _is_trusted(self.moved(step).hessian, root) else None

    def is_trusted(self, conservative: NDArray) -> bool:
        """Whether the Hessian itself agrees with the inverse conservative curvature, (d, d)."""
        return _is_trusted(self.hessian, _root(conservative))

    def moved(self, change: NDArray) -> "SecondOrder":
        """The sums after a change (d,) of the parameters: ``A + T[change]``, and T as it is."""
        return SecondOrder(self.hessian + self.third.along(change), self.third)

    def with_columns(self, column_map: Any, shapes: Any, ridge: NDArray) -> "SecondOrder":
        """The sums for input columns that are affine functions of the old ones."""
        n_outputs, width = shapes[0]
        data = self.hessian - np.diag(ridge)
        for _ in range(2):
            mapped = column_map.gradients(data.reshape(n_outputs, width, -1), axis=1)
            data = mapped.reshape(data.shape).T
        hessian = (data + data.T) / 2 + np.diag(ridge)
        return SecondOrder(hessian, self.third.with_columns(column_map))


def _root(conservative: NDArray) -> NDArray | None:
    """Cholesky factor of a matrix (d, d); None if rounding made it indefinite."""
    try:
        return np.linalg.cholesky(conservative)
    except LinAlgError:
        return None


def _is_trusted(matrix: NDArray, root: NDArray | None) -> bool:
    """Whether all eigenvalues of ``root^T matrix root`` are in the trusted range."""
    if root is None:
        return False
    try:
        values = np.linalg.eigvalsh(root.T @ matrix @ root)
    except LinAlgError:
        return False
    return bool(values[0] >= LEAST_EIGENVALUE and values[-1] <= 1 / LEAST_EIGENVALUE)
