"""Curvature rows that an inverse keeps, and products with them.

Each row is an array of its own: a version without some rows shares the others, and nothing of a
removed row is left once the old version is deleted.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows
from sklearn_ssse._kernels import Kernels, cpu
from sklearn_ssse._utils.chunks import add_up, slices

# Array elements up to which rows are stored as float64 (128 MB); more are stored as float32.
FLOAT64_ELEMENTS = 2**24
# Elements of the float64 copy of some columns of the rows that a product forms at a time (128 MB).
SLAB_ELEMENTS = 2**24
# Two rows are equal if the norm of their difference is at most this share of their norm: a gradient
# in float32 that is computed again with other rows of a chunk differs by its rounding.
EQUAL_SHARE = 1e-5


class KeptRows:
    """Curvature rows R with weights w, for the matrix ``R^T diag(w) R``.

    Parameters
    ----------
    rows : sequence of ndarray of shape (d,)
        The m rows, float32 or float64.
    weights : ndarray of shape (m,)
        The weight of each row; negative for a row that is subtracted.
    """

    def __init__(self, rows: Sequence[NDArray], weights: NDArray) -> None:
        self.rows = tuple(rows)
        self.weights = weights

    @classmethod
    def collect(cls, scores: CurvatureRows, kernels: Kernels = cpu) -> "KeptRows":
        """Copy all rows of a stream, with weight 1."""
        is_small = scores.n_rows * scores.n_parameters <= FLOAT64_ELEMENTS
        dtype = np.float64 if is_small else np.float32
        pieces = chain.from_iterable(chunk.pieces() for chunk in scores.chunks())
        blocks = (kernels.to_numpy(piece.to_dense()) for piece in pieces)
        rows = [np.array(row, dtype=dtype) for row in chain.from_iterable(blocks)]
        return cls(rows, np.ones(len(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows and their weights."""
        return sum(row.nbytes for row in self.rows) + self.weights.nbytes

    @property
    def signs(self) -> NDArray:
        """Sign of each weight, (m,)."""
        return np.sign(self.weights)

    def dense(self, columns: slice) -> NDArray:
        """Copy some columns of R into a float64 array, (m, n_columns)."""
        out = np.empty((len(self), columns.stop - columns.start))
        for i, row in enumerate(self.rows):
            out[i] = row[columns]
        return out

    def slabs(self, block: slice) -> Iterator[tuple[slice, NDArray]]:
        """Yield the columns of a block in small pieces: their place in R, and `dense` of them."""
        size = max(1, SLAB_ELEMENTS // max(len(self), 1))
        for some in slices(block.stop - block.start, size):
            columns = slice(block.start + some.start, block.start + some.stop)
            yield columns, self.dense(columns)

    def dot(self, V: NDArray, block: slice) -> NDArray:
        """Compute ``R V`` for V, (d, k), over the columns of a block: (m, k)."""
        products = (slab @ V[columns] for columns, slab in self.slabs(block))
        return add_up(products, np.zeros((len(self), V.shape[1])))

    def tdot(self, U: NDArray, block: slice) -> NDArray:
        """Compute the rows of ``R^T U``, U (m, k), that belong to a block: (n_columns, k)."""
        return np.concatenate([slab.T @ U for _, slab in self.slabs(block)])

    def gram(self, ridge: NDArray, block: slice, kernels: Kernels = cpu) -> NDArray:
        """Compute ``R diag(1 / ridge) R^T`` over the columns of a block: (m, m)."""
        out = kernels.asarray(np.zeros((len(self), len(self))))
        for columns, slab in self.slabs(block):
            slab /= np.sqrt(ridge[columns])
            out += kernels.product(kernels.asarray(slab.T))
        return kernels.to_numpy(out)

    def cross(self, other: "KeptRows", ridge: NDArray, block: slice) -> NDArray:
        """Compute ``R diag(1 / ridge) T^T`` for other rows T over the columns of a block."""
        products = (
            slab @ (other.dense(columns) / ridge[columns]).T for columns, slab in self.slabs(block)
        )
        return add_up(products, np.zeros((len(self), len(other))))

    def diagonal(self, n_parameters: int) -> NDArray:
        """Diagonal of ``R^T diag(w) R``, (d,)."""
        pairs = zip(self.rows, self.weights, strict=True)
        squares = (weight * np.square(row, dtype=np.float64) for row, weight in pairs)
        return add_up(squares, np.zeros(n_parameters))

    def take(self, index: NDArray) -> "KeptRows":
        """Return the rows at some positions, (n,), in this order."""
        return KeptRows([self.rows[i] for i in index.tolist()], self.weights[index])

    def joined(self, other: "KeptRows", sign: int) -> "KeptRows":
        """Return these rows and then other rows, whose weights are multiplied by 1 or -1."""
        weights = np.concatenate([self.weights, sign * other.weights])
        return KeptRows([*self.rows, *other.rows], weights)

    def equal_rows(self, other: "KeptRows", sign: int, cross: NDArray, gram: NDArray) -> NDArray:
        """Find pairs of a row of this object and an equal row of another.

        A row is multiplied by the root of the magnitude of its weight.

        Parameters
        ----------
        other : KeptRows
            The k other rows, of weight 1.
        sign : int
            Sign of the weights of the rows of this object to consider.
        cross : ndarray of shape (m, k)
            Inner products of the rows of this object with the other rows, in some metric.
        gram : ndarray of shape (k, k)
            Inner products of the other rows, in the same metric.

        Returns
        -------
        pairs : ndarray of int of shape (2, n_pairs)
            Positions in this object and in the other; a position occurs once.
        """
        free = self.signs == sign
        roots = np.sqrt(np.abs(self.weights))
        pairs = []
        for j, (row, square) in enumerate(zip(other.rows, gram.diagonal(), strict=True)):
            is_near = free & (np.abs(roots * cross[:, j] - square) <= EQUAL_SHARE * square)
            largest = EQUAL_SHARE * np.linalg.norm(row)
            near = np.flatnonzero(is_near).tolist()
            found = [i for i in near if np.linalg.norm(roots[i] * self.rows[i] - row) <= largest]
            if found:
                free[found[0]] = False
                pairs.append((found[0], j))
        return np.array(pairs, dtype=np.intp).reshape(-1, 2).T


def bytes_of_rows(n_rows: int, n_parameters: int) -> int:
    """Bytes of `KeptRows`."""
    size = n_rows * n_parameters
    return size * (8 if size <= FLOAT64_ELEMENTS else 4) + 8 * n_rows
