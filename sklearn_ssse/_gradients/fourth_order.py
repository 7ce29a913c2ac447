"""Fourth derivatives of the loss of a binary logistic regression, summed over rows."""

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients.third_order import pair_positions
from sklearn_ssse._utils.chunks import slices

# Numbers of the products of two columns that are formed at a time.
PRODUCTS = 2**18


class FourthOrder:
    """The tensor ``sum_i w_i tau_i x_i (x) x_i (x) x_i (x) x_i`` of rows x_i. Immutable.

    Parameters
    ----------
    by_pairs : ndarray of shape (n_pairs, n_pairs)
        ``sum_i w_i tau_i z_i z_i^T`` for the products z_i of two columns of a row, in the order of
        `np.triu_indices`.
    """

    def __init__(self, by_pairs: NDArray) -> None:
        self.by_pairs = by_pairs

    @classmethod
    def of_rows(cls, x: NDArray, tau: NDArray) -> "FourthOrder":
        """The tensor of some rows.

        Parameters
        ----------
        x : ndarray of shape (n_samples, width)
            With a last column of ones for an intercept.
        tau : ndarray of shape (n_samples,)
            Fourth derivatives of the loss of each row by its output, times its weight.
        """
        width = x.shape[1]
        n_pairs = width * (width + 1) // 2
        total = np.zeros((n_pairs, n_pairs))
        for rows in slices(len(x), max(64, PRODUCTS // n_pairs)):
            columns = np.ascontiguousarray(x[rows].T)
            z = np.concatenate([columns[j] * columns[j:] for j in range(width)])
            total += (z * tau[rows]) @ z.T
        return cls(total)

    def plus(self, other: "FourthOrder") -> "FourthOrder":
        """The tensor with the rows of another one."""
        return FourthOrder(self.by_pairs + other.by_pairs)

    def along(self, v: NDArray) -> NDArray:
        """Contract three times with v of shape (d,): ``sum w tau (x^T v)^3 x``, (d,)."""
        first, second = np.triu_indices(v.size)
        square = v[first] * v[second] * np.where(first == second, 1.0, 2.0)
        return (self.by_pairs @ square)[pair_positions(v.size)] @ v
