"""The exact inverse from the curvature rows, without a (d, d) matrix.

For a ridge D and rows R with weights w, ``A = R^T diag(w) R + D``, and the identity of Woodbury is
``A^{-1} = D^{-1} - D^{-1} R^T K^{-1} R D^{-1}`` with the kernel ``K = diag(1 / w) + R D^{-1} R^T``
of shape (m, m). Rows of negative weight were subtracted from A and are not rows of the build. They
are the last ones, so that ``K = L S L^T`` has a triangular factor L, with S the signs of w.
"""

import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from sklearn_ssse._gradients import CurvatureRows, Layer, Scores
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    Shapes,
    downdate_factor,
    largest_eigenvalues_by_sample,
)
from sklearn_ssse._inverse.kept_rows import KeptRows, bytes_of_rows
from sklearn_ssse._inverse.limits import (
    LARGEST_UPDATE,
    Ridge,
    cholesky,
    not_positive_definite,
    resolve_ridge,
    too_large_update,
)
from sklearn_ssse._kernels import Kernels, cpu
from sklearn_ssse._utils.chunks import slices

# Arrays of the size of a kernel that a build holds besides the factors: the kernel, its sum with
# the identity, and a copy in its factorisation.
PEAK_KERNELS = 3


class Products(NamedTuple):
    """Products of k rows T with the rows R of an inverse, over one block of the parameters.

    Attributes
    ----------
    cross : ndarray of shape (m, k)
        ``R D^{-1} T^T``.
    gram : ndarray of shape (k, k)
        ``T D^{-1} T^T``.
    form : ndarray of shape (k, k)
        ``T A^{-1} T^T``.
    """

    cross: NDArray
    gram: NDArray
    form: NDArray


class GradientsInverse(AbstractInverse):
    """The exact inverse, or its diagonal blocks, from the m curvature rows of the training rows.

    It holds the rows, 4 d m bytes in float32 (8 d m for at most 2^24 numbers), and 8 m^2 bytes for
    each block. The rows are personal data: each is the gradient of a training row or of a
    mini-batch. A downdate deletes the rows that equal rows of the build. Other rows, such as
    gradients at changed parameters, are subtracted: the inverse then holds them too, until the next
    build.

    Parameters
    ----------
    rows : KeptRows
        R with its weights. Rows of positive weight are the first ones, in the order of the build
        and the updates.
    factors : list of ndarray of shape (m, m)
        L of each block, lower triangular.
    blocks : list of slice
        Parameters of each block, in their order.
    ridge, diagonal
        See `AbstractInverse`.
    """

    options = ("block_size",)
    inversion = "woodbury"
    keeps_rows = True
    is_automatic = False

    def __init__(
        self,
        rows: KeptRows,
        factors: list[NDArray],
        blocks: list[slice],
        ridge: NDArray,
        diagonal: NDArray,
    ) -> None:
        self.rows = rows
        self.factors = factors
        self.blocks = blocks
        self.ridge = ridge
        self.diagonal = diagonal
        self.leverage_is_bounded = len(blocks) == 1

    @classmethod
    def build(
        cls,
        scores: CurvatureRows,
        ridge: Ridge,
        *,
        kernels: Kernels = cpu,
        block_size: int | None = None,
    ) -> "GradientsInverse":
        with np.errstate(over="ignore", invalid="ignore"):  # `resolve_ridge` refuses infinity
            rows = KeptRows.collect(scores, kernels)
            sums = rows.diagonal(scores.n_parameters)
        ridge, diagonal = resolve_ridge(ridge, sums)
        if not ridge.min() > 0 or not (sums / ridge).sum() <= LARGEST_UPDATE:
            raise not_positive_definite(ridge)
        blocks = list(slices(ridge.size, block_size or ridge.size))
        grams = (rows.gram(ridge, block, kernels) for block in blocks)
        factors = [signed_cholesky(gram + np.eye(len(rows)), rows.signs, ridge) for gram in grams]
        return cls(rows, factors, blocks, ridge, diagonal)

    @staticmethod
    def bytes_needed(shapes: Shapes, n_rows: int = 0, block_size: int | None = None) -> int:
        d = sum(n_outputs * width for n_outputs, width in shapes)
        n_blocks = -(-d // (block_size or d))
        return bytes_of_rows(n_rows, d) + 8 * n_blocks * n_rows**2 + 16 * d

    @classmethod
    def peak_bytes(cls, shapes: Shapes, n_rows: int = 0, **options: Any) -> int:
        return cls.bytes_needed(shapes, n_rows, **options) + 8 * PEAK_KERNELS * n_rows**2

    def solve(self, v: NDArray) -> NDArray:
        scaled = np.reshape(v, (len(v), -1)) / self.ridge[:, np.newaxis]
        parts = []
        for block, L in zip(self.blocks, self.factors, strict=True):
            half = solve_triangular(L, self.rows.dot(scaled, block), lower=True)
            half *= self.rows.signs[:, np.newaxis]
            s = self.rows.tdot(solve_triangular(L, half, lower=True, trans="T"), block)
            parts.append(scaled[block] - s / self.ridge[block, np.newaxis])
        return np.concatenate(parts).reshape(v.shape)

    def products(self, rows: KeptRows) -> list[Products]:
        """Products of some rows with the rows of the inverse, for each block."""
        out = []
        for block, L in zip(self.blocks, self.factors, strict=True):
            cross = self.rows.cross(rows, self.ridge, block)
            gram = rows.gram(self.ridge, block)
            half = solve_triangular(L, cross, lower=True)
            form = gram - half.T @ (half * self.rows.signs[:, np.newaxis])
            out.append(Products(cross, gram, (form + form.T) / 2))
        return out

    def pending_downdate(self, scores: CurvatureRows) -> "GradientsDowndate":
        return GradientsDowndate(self, scores)

    def update(self, scores: CurvatureRows) -> "GradientsInverse":
        with np.errstate(over="ignore", invalid="ignore"):
            added = KeptRows.collect(scores)
            products = self.products(added)
            total = float(sum(np.trace(product.form) for product in products))
        if not total <= LARGEST_UPDATE:
            raise too_large_update(total)
        return self.with_rows(added, products, 1)

    def with_rows(self, rows: KeptRows, products: list[Products], sign: int) -> "GradientsInverse":
        """Add rows to A, or subtract them.

        Rows that equal rows of the opposite sign cancel these.

        Parameters
        ----------
        rows : KeptRows
            The rows, with weight 1.
        products : list of Products
            Of the rows with this inverse.
        sign : {1, -1}
            1 to add the rows, -1 to subtract them.
        """
        cross = np.sum([product.cross for product in products], axis=0)
        gram = np.sum([product.gram for product in products], axis=0)
        own, others = self.rows.equal_rows(rows, -sign, cross, gram)
        base = self.without_rows(own)
        kept = np.delete(np.arange(len(self.rows)), own)
        is_new = gram.diagonal() > 0  # a row of zeros changes nothing
        is_new[others] = False
        new = np.flatnonzero(is_new)
        if not new.size:
            return base
        taken = rows.take(new)
        all_rows = base.rows.joined(taken, sign)
        order = np.argsort(-all_rows.signs, kind="stable")
        all_rows = all_rows.take(order)
        factors = []
        for L, product in zip(base.factors, products, strict=True):
            C = product.cross[np.ix_(kept, new)]
            H = product.gram[np.ix_(new, new)] + sign * np.eye(new.size)
            K = np.block([[signed_product(L, base.rows.signs), C], [C.T, H]])
            factors.append(signed_cholesky(K[np.ix_(order, order)], all_rows.signs, self.ridge))
        diagonal = base.diagonal + sign * taken.diagonal(self.n_parameters)
        return GradientsInverse(all_rows, factors, self.blocks, self.ridge, diagonal)

    def without_rows(self, positions: ArrayLike) -> "GradientsInverse":
        """Remove kept rows by their positions: exact, and no product over the parameters.

        Parameters
        ----------
        positions : array-like of int of shape (n,)
            Positions in ``rows``. After the removal the other rows move up.

        Returns
        -------
        inverse : GradientsInverse
            A new object.
        """
        removed = np.asarray(positions, dtype=np.intp)
        if not removed.size:
            return copy.copy(self)
        kept = np.delete(np.arange(len(self.rows)), removed)
        rows = self.rows.take(kept)
        factors = []
        for L in self.factors:
            K = signed_product(L, self.rows.signs)[np.ix_(kept, kept)]
            factors.append(signed_cholesky(K, rows.signs, self.ridge))
        diagonal = self.diagonal - self.rows.take(removed).diagonal(self.n_parameters)
        return GradientsInverse(rows, factors, self.blocks, self.ridge, diagonal)

    def kept_scores(self, positions: NDArray) -> Scores:
        """Kept rows of positive weight, at some positions, each as a sample of its own."""
        kept = self.rows.take(positions)
        R = np.array(kept.rows).reshape(-1, self.n_parameters)
        return Scores([Layer(R, np.sqrt(kept.weights)[:, np.newaxis, np.newaxis], False)])

    def scaled(self, factor: float) -> "GradientsInverse":
        """The inverse of ``factor R^T diag(w) R + D``; it shares the rows."""
        rows = KeptRows(self.rows.rows, factor * self.rows.weights)
        change = np.diag(1.0 / rows.weights - 1.0 / self.rows.weights)
        kernels = (signed_product(L, rows.signs) + change for L in self.factors)
        factors = [signed_cholesky(K, rows.signs, self.ridge) for K in kernels]
        diagonal = self.ridge + factor * (self.diagonal - self.ridge)
        return GradientsInverse(rows, factors, self.blocks, self.ridge, diagonal)

    def to_dense(self) -> NDArray:
        P = self.solve(np.eye(self.n_parameters))
        return (P + P.T) / 2

    @property
    def condition(self) -> float:
        """See `AbstractInverse.condition`; an upper bound."""
        return float((self.diagonal / self.ridge).sum())

    @property
    def nbytes(self) -> int:
        factors = sum(factor.nbytes for factor in self.factors)
        return self.rows.nbytes + factors + self.ridge.nbytes + self.diagonal.nbytes


class GradientsDowndate(PendingDowndate):
    """Pending downdate of a `GradientsInverse`; the spectrum joins the eigenvalues of all blocks.

    Attributes
    ----------
    max_leverage : float
        Largest leverage of a sample within one block.
    """

    def __init__(self, inverse: GradientsInverse, scores: CurvatureRows) -> None:
        self._inverse: GradientsInverse = inverse
        self._rows = KeptRows.collect(scores)
        self._products = inverse.products(self._rows)
        forms = [product.form for product in self._products]
        self._eigen = [np.linalg.eigh(form) for form in forms]
        self.spectrum = np.concatenate([m for m, _ in self._eigen])
        self.leverage = largest_eigenvalues_by_sample(np.sum(forms, axis=0), scores)
        self._in_blocks = [largest_eigenvalues_by_sample(form, scores) for form in forms]

    @property
    def max_leverage(self) -> float:
        """Largest leverage of a sample within one block."""
        return max(float(leverage.max(initial=0.0)) for leverage in self._in_blocks)

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        s = self._inverse.solve(v)
        parts = []
        for block, (m, V) in zip(self._inverse.blocks, self._eigen, strict=True):
            w = V.T @ self._rows.dot(s[:, np.newaxis], block)
            w *= downdate_factor(m, damped=damped)[:, np.newaxis]
            parts.append(self._rows.tdot(V @ w, block))
        return s + self._inverse.solve(np.concatenate(parts)[:, 0])

    def inverse(self) -> GradientsInverse:
        return self._inverse.with_rows(self._rows, self._products, -1)


def signed_cholesky(K: NDArray, signs: NDArray, ridge: NDArray) -> NDArray:
    """Lower triangular L, (m, m), with ``K = L diag(signs) L^T``.

    Parameters
    ----------
    K : ndarray of shape (m, m)
        Symmetric. The block of sign 1 is positive definite, and its Schur complement is negative
        definite.
    signs : ndarray of shape (m,)
        1 or -1, sorted in descending order.
    ridge : ndarray of shape (d,)
        For the error message.

    Raises
    ------
    ErasureError
        If there is no such L.
    """
    n = int((signs > 0).sum())
    L = np.zeros(K.shape)
    L[:n, :n] = cholesky(K[:n, :n], ridge)
    if n < len(K):
        half = solve_triangular(L[:n, :n], K[:n, n:], lower=True)
        L[n:, :n] = half.T
        L[n:, n:] = cholesky(half.T @ half - K[n:, n:], ridge)
    return L


def signed_product(L: NDArray, signs: NDArray) -> NDArray:
    """Compute ``L diag(signs) L^T``."""
    return (L * signs) @ L.T
