"""Third derivatives of the loss of a linear classifier, summed over rows.

For rows x (with a last entry of 1 for an intercept), parameters ``theta`` of shape
(n_outputs, width), and outputs ``z = theta x``, the third derivative of the loss with respect to
the outputs a, b, c is a number ``kappa_abc``. The tensor of the loss is

    T[(a, j), (b, k), (c, l)] = sum_i w_i kappa_abc(i) x_ij x_ik x_il

It is symmetric in the outputs and in the columns. So there is one block of columns for each
``a <= b <= c``, and in a block one number for each j and each pair ``k <= l``.
"""

from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError

# Numbers of the products of two columns that are formed at a time.
PRODUCTS = 2**18
# A block is computed in this many stripes of columns j, each with the pairs from j on, if it has at
# least this many columns.
STRIPES = 4
LEAST_STRIPED = 16


class ThirdOrder:
    """The tensor T: the derivative of the Hessian with respect to the parameters. Immutable.

    T is a sum over rows, so the tensor without some rows is a difference, exactly.

    Parameters
    ----------
    blocks : ndarray of shape (n_blocks, width, width * (width + 1) / 2)
        Blocks in the order of `triples`, with the pairs of columns in the order of
        `np.triu_indices`.
    n_outputs : int
    """

    def __init__(self, blocks: NDArray, n_outputs: int) -> None:
        self.blocks = blocks
        self.n_outputs = n_outputs

    @classmethod
    def of_rows(cls, X: Any, kappa: NDArray, bias: bool) -> "ThirdOrder":
        """The tensor of some rows.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_samples, n_features)
            float64.
        kappa : ndarray of shape (n_samples, n_blocks)
            Third derivatives of the loss of each row, times its weight, see `third_derivatives`.
        bias : bool
            Whether the model has an intercept.
        """
        n_samples, n_features = X.shape
        n_blocks = kappa.shape[1]
        width = n_features + bias
        n_pairs = width * (width + 1) // 2
        total = np.zeros((n_blocks, width, n_pairs))
        products = np.empty((n_pairs, min(n_samples, max(64, PRODUCTS // n_pairs))))
        for rows in slices(n_samples, products.shape[1]) if n_samples else ():
            x = X[rows]
            x = (x.toarray() if sparse.issparse(x) else x).T
            x = np.vstack([x, np.ones((1, x.shape[1]))]) if bias else np.ascontiguousarray(x)
            with np.errstate(over="ignore", invalid="ignore"):
                _add_third_moments(total, x, kappa[rows].T, products[:, : x.shape[1]])
        if not np.isfinite(total).all():
            raise ErasureError(
                "The third derivatives of the rows must be finite, got overflow. Scale the columns "
                "of X, or use order=1."
            )
        position = _positions(width)
        return cls(total.reshape(n_blocks, -1)[:, position], n_outputs_of(n_blocks))

    def plus(self, other: "ThirdOrder") -> "ThirdOrder":
        """The tensor with the rows of another one."""
        return ThirdOrder(self.blocks + other.blocks, self.n_outputs)

    def minus(self, other: "ThirdOrder") -> "ThirdOrder":
        """The tensor without the rows of another one."""
        return ThirdOrder(self.blocks - other.blocks, self.n_outputs)

    def along(self, v: NDArray) -> NDArray:
        """Contract with v of shape (d,): the change of the Hessian along v, (d, d)."""
        width = self.blocks.shape[1]
        K = self.n_outputs
        pair = pair_positions(width)
        if K == 1:
            return (v @ self.blocks[0])[pair]
        products = v.reshape(K, width) @ self.blocks  # (n_blocks, K, n_pairs)
        position = {triple: i for i, triple in enumerate(triples(K))}
        out = np.empty((K, width, K, width))
        for a in range(K):
            for b in range(a, K):
                found = sum(products[position[tuple(sorted((a, b, c)))], c] for c in range(K))
                out[a, :, b] = found[pair]
                out[b, :, a] = out[a, :, b]
        return out.reshape(K * width, K * width)

    def with_columns(self, column_map: Any) -> "ThirdOrder":
        """The tensor for input columns that are affine functions of the old ones."""
        width = self.blocks.shape[1]
        dense = self.blocks[:, :, pair_positions(width)]
        for axis in (1, 2, 3):
            dense = column_map.gradients(dense, axis=axis)
        first, second = np.triu_indices(width)
        return ThirdOrder(dense[:, :, first, second], self.n_outputs)

    @staticmethod
    def bytes_needed(n_outputs: int, width: int) -> int:
        """Bytes of the tensor of a model with parameters of shape (n_outputs, width)."""
        n_blocks = n_outputs * (n_outputs + 1) * (n_outputs + 2) // 6
        return 8 * n_blocks * width * (width * (width + 1) // 2)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.blocks.nbytes


def _add_third_moments(total: NDArray, x: NDArray, kappa: NDArray, products: NDArray) -> None:
    """Add ``sum_i kappa_i x_ij x_ik x_il`` to ``total`` for ``j <= k <= l``; the rest is not valid.

    Parameters
    ----------
    total : ndarray of shape (n_blocks, width, n_pairs)
    x : ndarray of shape (width, n_rows)
    kappa : ndarray of shape (n_blocks, n_rows)
    products : ndarray of shape (n_pairs, n_rows)
        Overwritten by the products of two columns.
    """
    n_blocks, width, _ = total.shape
    starts = np.append(0, np.cumsum(np.arange(width, 0, -1)))  # pairs whose first column is j
    for j in range(width):
        np.multiply(x[j], x[j:], out=products[starts[j] : starts[j + 1]])
    step = -(-width // STRIPES) if width >= LEAST_STRIPED else width
    for j in range(0, width, step):
        some = x[j : j + step]
        left = kappa[:, np.newaxis] * some
        right = products[starts[j] :].T
        flat = left.reshape(-1, x.shape[1]) @ right
        total[:, j : j + step, starts[j] :] += flat.reshape(n_blocks, len(some), -1)


@lru_cache(maxsize=8)
def pair_positions(width: int) -> NDArray:
    """Number of the pair of columns k and l in either order, (width, width)."""
    first, second = np.triu_indices(width)
    pair = np.empty((width, width), dtype=np.intp)
    pair[first, second] = np.arange(first.size)
    pair[second, first] = pair[first, second]
    return pair


@lru_cache(maxsize=8)
def _positions(width: int) -> NDArray:
    """Position in a block of the sorted columns of j and a pair, (width, n_pairs)."""
    first, second = np.triu_indices(width)
    j = np.arange(width)[:, np.newaxis]
    low = np.minimum(j, first)
    high = np.maximum(j, second)
    middle = j + first + second - low - high
    return low * first.size + pair_positions(width)[middle, high]


def triples(n_outputs: int) -> list[tuple[int, ...]]:
    """Outputs ``a <= b <= c`` of the blocks."""
    return list(combinations_with_replacement(range(n_outputs), 3))


def n_outputs_of(n_blocks: int) -> int:
    """Number of outputs K of ``K (K + 1) (K + 2) / 6`` blocks."""
    return next(K for K in range(1, n_blocks + 1) if n_blocks == K * (K + 1) * (K + 2) // 6)


def third_derivatives(proba: NDArray, link: str) -> NDArray:
    """Third derivatives of the loss with respect to the outputs, (n_samples, n_blocks).

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
        Predicted probabilities.
    link : {"logistic", "softmax"}
        With "logistic" there is one output.
    """
    if link == "logistic":
        return proba * (1.0 - proba) * (1.0 - 2.0 * proba)
    columns = []
    for a, b, c in triples(proba.shape[1]):
        p, q, r = proba[:, a], proba[:, b], proba[:, c]
        kappa = 2.0 * p * q * r
        if a == b:
            kappa = kappa - p * r
        if b == c:
            kappa = kappa - q * p
        if a == c:
            kappa = kappa - r * q
        if a == b == c:
            kappa = kappa + p
        columns.append(kappa)
    return np.stack(columns, axis=1)
