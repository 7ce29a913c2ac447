"""Curvature rows that an inverse keeps, one array for each row, and products with them.

A version without some rows shares the arrays of the others: nothing is copied, and the memory of a
removed row is free as soon as the old version is deleted.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows, Scores
from sklearn_ssse._kernels import Array, Kernels, cpu
from sklearn_ssse._utils.chunks import slices

# Elements of R up to which float64 rows are kept as float64 (128 MB); more are kept as float32.
FLOAT64_ELEMENTS = 2**24
# Elements of the float64 copy of some columns of R that a product forms at a time (128 MB).
SLAB_ELEMENTS = 2**24
# Columns up to which a product reads R row by row instead of in float64 copies of its columns.
FEW_COLUMNS = 4


class KeptRows:
    """Curvature rows R in memory, each with a sign in ``sum_i sign_i r_i r_i^T``.

    Parameters
    ----------
    rows : sequence of ndarray of shape (d,)
        The m rows, float32 or float64.
    n_parameters : int
        d.

    Attributes
    ----------
    signs : ndarray of shape (m,)
        1 for the rows of training rows, -1 for rows that were subtracted.
    numbers : ndarray of int of shape (m,)
        Number of each row in the order in which the rows were added, from 0; -1 for subtracted
        rows. Numbers do not change if other rows are removed.
    n_added : int
        Number of rows that were ever added: the number of the next one.
    """

    def __init__(self, rows: Sequence[NDArray], n_parameters: int) -> None:
        self.rows = tuple(rows)
        self.n_parameters = n_parameters
        self.signs = np.ones(len(self.rows))
        self.numbers = np.arange(len(self.rows))
        self.n_added = len(self.rows)

    @classmethod
    def collect(cls, scores: CurvatureRows, kernels: Kernels = cpu) -> "KeptRows":
        """Read all rows of a stream, a small piece at a time."""
        size = scores.n_rows * scores.n_parameters
        rows: list[NDArray] = []
        for piece in chain.from_iterable(chunk.pieces() for chunk in scores.chunks()):
            R = kernels.to_numpy(piece.to_dense())
            is_single = size > FLOAT64_ELEMENTS or is_float32(piece)
            dtype = np.dtype(np.float32 if is_single else np.float64)
            rows.extend(np.array(row, dtype=dtype) for row in R)
        return cls(rows, scores.n_parameters)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return sum(row.nbytes for row in self.rows)

    @property
    def eps(self) -> float:
        """Rounding error of the elements of the rows, relative."""
        return max((float(np.finfo(row.dtype).eps) for row in self.rows[:1]), default=0.0)

    def matvec(self, V: NDArray, columns: slice) -> NDArray:
        """Compute ``R[:, columns] @ V`` for V of shape (n_columns, k), in float64: (m, k)."""
        if V.shape[1] <= FEW_COLUMNS:
            products = [row[columns].astype(np.float64) @ V for row in self.rows]
            return np.array(products).reshape(len(self), V.shape[1])
        out = np.zeros((len(self), V.shape[1]))
        for some, slab in self._slabs(columns):
            out += slab @ V[some]
        return out

    def rmatvec(self, U: NDArray, columns: slice) -> NDArray:
        """Compute ``R[:, columns].T @ U`` for U of shape (m, k), in float64: (n_columns, k)."""
        out = np.zeros((columns.stop - columns.start, U.shape[1]))
        if U.shape[1] <= FEW_COLUMNS:
            for j, weights in enumerate(U.T):
                total = np.zeros(len(out))
                for row, weight in zip(self.rows, weights, strict=True):
                    total += np.multiply(row[columns], weight, dtype=np.float64)
                out[:, j] = total
            return out
        for some, slab in self._slabs(columns):
            np.matmul(slab.T, U, out=out[some])
        return out

    def gram(self, scale: NDArray, columns: slice, kernels: Kernels = cpu) -> NDArray:
        """Compute ``R diag(scale)^2 R^T`` over some columns, in float64: (m, m)."""
        out = kernels.asarray(np.zeros((len(self), len(self))))
        for some, slab in self._slabs(columns):
            slab *= scale[some]
            out += kernels.product(kernels.asarray(slab).T)
        return kernels.to_numpy(out)

    def dense(self, columns: slice) -> NDArray:
        """Return ``R[:, columns]`` as one float64 array."""
        out = np.empty((len(self), columns.stop - columns.start))
        for i, row in enumerate(self.rows):
            out[i] = row[columns]
        return out

    def _slabs(self, columns: slice) -> Iterator[tuple[slice, NDArray]]:
        """Yield float64 copies of columns of R: their place within ``columns``, and the copy."""
        size = max(1, SLAB_ELEMENTS // max(len(self), 1))
        for some in slices(columns.stop - columns.start, size):
            first = columns.start
            yield some, self.dense(slice(first + some.start, first + some.stop))

    def squares(self) -> NDArray:
        """Diagonal of ``R^T diag(signs) R``, (d,)."""
        out = np.zeros(self.n_parameters)
        for row, sign in zip(self.rows, self.signs, strict=True):
            out += sign * np.square(row, dtype=np.float64)
        return out

    def with_rows(self, other: "KeptRows", sign: int) -> "KeptRows":
        """Return a version with more rows at the end, of sign 1 or -1."""
        out = copy.copy(self)
        n = len(other)
        out.rows = (*self.rows, *other.rows)
        out.signs = np.concatenate([self.signs, np.full(n, float(sign))])
        added = np.arange(self.n_added, self.n_added + n) if sign > 0 else np.full(n, -1)
        out.numbers = np.concatenate([self.numbers, added])
        out.n_added = self.n_added + (n if sign > 0 else 0)
        return out

    def take(self, order: NDArray) -> "KeptRows":
        """Return a version with the rows at some positions, (n,), in this order."""
        out = copy.copy(self)
        out.rows = tuple(self.rows[i] for i in order.tolist())
        out.signs = self.signs[order]
        out.numbers = self.numbers[order]
        return out

    def multiplied(self, factors: NDArray) -> "KeptRows":
        """Return a version whose rows are multiplied by factors, (m,)."""
        out = copy.copy(self)
        pairs = zip(self.rows, factors.tolist(), strict=True)
        out.rows = tuple(
            row if factor == 1.0 else (row * factor).astype(row.dtype) for row, factor in pairs
        )
        return out


def is_float32(scores: Scores) -> bool:
    """Whether all inputs of the rows have at most four bytes."""
    return all(layer.inputs.dtype.itemsize <= 4 for layer in scores.layers)


def bytes_of_rows(n_rows: int, n_parameters: int) -> int:
    """Bytes of n_rows rows; small float32 rows take half of it."""
    size = n_rows * n_parameters
    return size * (8 if size <= FLOAT64_ELEMENTS else 4)
