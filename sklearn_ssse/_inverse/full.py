"""The inverse as one dense matrix."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows, Scores
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    Shapes,
    largest_eigenvalues_by_sample,
)
from sklearn_ssse._inverse.limits import (
    LARGEST_DIFFERENCE,
    LARGEST_UPDATE,
    Ridge,
    cholesky,
    not_positive_definite,
    resolve_ridge,
    too_large_update,
)
from sklearn_ssse._kernels import (
    Array,
    Kernels,
    cpu,
    invert,
    invert_lower,
    mirror_lower,
    outer,
    rank_b_update,
)

# The recurrence starts from a ridge of at least this share of the diagonal of A. The part above the
# ridge itself is subtracted at the end.
STARTING_SHARE = 1e-6

# The inverse, the ridge and the diagonal of A.
Inverted: TypeAlias = tuple[NDArray, NDArray, NDArray]


class FullInverse(AbstractInverse):
    """Dense ``A^{-1}``: 8 d^2 bytes, float64.

    Parameters
    ----------
    matrix : ndarray of shape (d, d)
        The inverse, exactly symmetric.
    ridge, diagonal, inversion
        See `AbstractInverse`.
    """

    options = ("inversion",)
    is_matrix = True

    def __init__(self, matrix: NDArray, ridge: NDArray, diagonal: NDArray, inversion: str) -> None:
        self.matrix = matrix
        self.ridge = ridge
        self.diagonal = diagonal
        self.inversion = inversion

    @classmethod
    def build(
        cls, scores: CurvatureRows, ridge: Ridge, *, kernels: Kernels = cpu, inversion: str = "auto"
    ) -> "FullInverse":
        if inversion == "auto":
            update = recurrence_is_faster(scores.n_rows, scores.n_parameters)
            inversion = "rank_b" if update else "cholesky"
        return cls(*INVERSIONS[inversion](scores, ridge, kernels), inversion)

    @staticmethod
    def bytes_needed(shapes: Shapes) -> int:
        d = sum(n_outputs * width for n_outputs, width in shapes)
        return 8 * d * (d + 2)

    def solve(self, v: NDArray) -> NDArray:
        return self.matrix @ v

    def pending_downdate(self, scores: CurvatureRows) -> "FullDowndate":
        return FullDowndate(self, scores)

    def without(self, U: NDArray, forget_diagonal: NDArray) -> "FullInverse":
        """Downdate the inverse: add ``U U^T`` to it, and subtract from the diagonal of A.

        Parameters
        ----------
        U : ndarray of shape (d, m)
            Scaled eigenvectors of the downdate, see `PendingDowndate`.
        forget_diagonal : ndarray of shape (d,)
            Diagonal of ``R_S^T R_S``.

        Returns
        -------
        inverse : FullInverse
            A new object.
        """
        matrix = outer(U)
        matrix += self.matrix
        return FullInverse(matrix, self.ridge, self.diagonal - forget_diagonal, self.inversion)

    def with_matrix(self, A: NDArray) -> "FullInverse":
        """The inverse of another positive definite matrix A, (d, d), ridge included."""
        return FullInverse(_inverted(A), self.ridge, A.diagonal().copy(), self.inversion)

    def with_columns(self, column_map: Any, shapes: Shapes) -> "FullInverse":
        n_outputs, width = shapes[0]
        stop = n_outputs * width
        # Z = (T A T^T)^{-1} contains the transformed ridge; E replaces it by the ridge. Inverting
        # to A and back would lose the directions in which A consists of the ridge alone.
        Z = self.matrix
        for _ in range(2):
            first = column_map.parameters(Z[:stop].reshape(n_outputs, width, -1), axis=1)
            Z = np.concatenate([first.reshape(stop, -1), Z[stop:]]).T
        ridges = self.ridge[:stop].reshape(n_outputs, width)
        E = np.zeros_like(Z)
        for i, block in enumerate(column_map.ridge_change(ridges)):
            unit = slice(i * width, (i + 1) * width)
            E[unit, unit] = block
        matrix = np.linalg.solve(np.eye(len(Z)) + Z @ E, Z)
        matrix = (matrix + matrix.T) / 2
        return FullInverse(matrix, self.ridge, _inverted(matrix).diagonal().copy(), self.inversion)

    def update(self, scores: CurvatureRows) -> "FullInverse":
        few = scores.n_rows <= scores.n_parameters
        rows = scores.to_dense() if few else None
        if rows is not None and self._total_leverage(rows) <= LARGEST_DIFFERENCE:
            P = np.array(self.matrix)
            rank_b_update(P, rows)
            mirror_lower(P)
        else:
            # With P = L L^T, A + R^T R is L^{-T} (I + L^T R^T R L) L^{-1}.
            L = cholesky(self.matrix, self.ridge)
            inner = L.T @ scores.gram() @ L
            total = float(np.trace(inner))
            if not total <= LARGEST_UPDATE:
                raise too_large_update(total)
            inner.flat[:: len(inner) + 1] += 1.0
            half = invert_lower(cholesky(inner, self.ridge)) @ L.T
            P = half.T @ half
        return FullInverse(P, self.ridge, self.diagonal + scores.diagonal(), self.inversion)

    def _total_leverage(self, rows: NDArray) -> float:
        """Trace of ``R P R^T``, or an upper bound that is small enough for `update`."""
        bound = np.square(np.abs(rows) @ np.sqrt(self.matrix.diagonal())).sum()
        if bound <= LARGEST_DIFFERENCE:
            return float(bound)
        return float(np.einsum("ij,ij->", rows @ self.matrix, rows))

    def to_dense(self) -> NDArray:
        return np.array(self.matrix)

    @property
    def condition(self) -> float:
        return float(self.diagonal @ self.matrix.diagonal())

    @property
    def nbytes(self) -> int:
        return self.matrix.nbytes + self.ridge.nbytes + self.diagonal.nbytes


def _inverted(matrix: NDArray) -> NDArray:
    """Invert a positive definite matrix, scaled to unit diagonal."""
    if not (matrix.diagonal() > 0).all():
        raise not_positive_definite(matrix.diagonal())
    scale = matrix.diagonal() ** -0.5
    inverse = invert(matrix * scale * scale[:, np.newaxis], scale)
    if inverse is None:
        raise not_positive_definite(matrix.diagonal())
    return inverse


class FullDowndate(PendingDowndate):
    """Pending downdate of a `FullInverse`.

    The eigenvalue problem has the smaller size: (n_rows, n_rows) or (d, d).
    """

    def __init__(self, inverse: FullInverse, scores: CurvatureRows) -> None:
        self._inverse: FullInverse = inverse
        self._scores = scores
        self._leverage: NDArray | None = None
        P = np.asarray(inverse.matrix)
        self._has_few_rows = scores.n_rows <= scores.n_parameters
        if self._has_few_rows:
            self._rows = scores.to_dense()
            self._products = self._rows @ P
            self._M = self._products @ self._rows.T
            self.spectrum, V = np.linalg.eigh(self._M)
            self._basis = self._products.T @ V
            self._forget_diagonal = np.einsum("ij,ij->j", self._rows, self._rows)
        else:
            # With P = L L^T, the matrix L^T R^T R L has the same eigenvalues.
            L = cholesky(P, inverse.ridge)
            self.spectrum, Q = np.linalg.eigh(L.T @ scores.gram() @ L)
            self._basis = (L @ Q) * np.sqrt(np.maximum(self.spectrum, 0.0))
            self._forget_diagonal = scores.diagonal()

    @property
    def leverage(self) -> NDArray:
        """Leverage of each sample."""
        if self._leverage is None:
            if self._has_few_rows:
                self._leverage = largest_eigenvalues_by_sample(self._M, self._scores)
            else:
                self._leverage = self._inverse.leverage(self._scores)
        return self._leverage

    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        U = self._basis
        return self._inverse.matrix @ v + U @ (self.factor(damped=damped) * (U.T @ v))

    def inverse(self) -> FullInverse:
        return self._inverse.without(self._basis * np.sqrt(self.factor()), self._forget_diagonal)

    def inverse_without_part(self, scores: Scores, factors: NDArray) -> AbstractInverse:
        if not self._has_few_rows:
            return self._inverse.downdate(scores.scaled(factors))
        f = factors if scores.rows_per_sample == 1 else np.repeat(factors, scores.rows_per_sample)
        R = self._rows * f[:, np.newaxis]
        # The scaled rows have less curvature than the rows, so that I - M is positive definite.
        L = cholesky(np.eye(len(f)) - self._M * f * f[:, np.newaxis], self._inverse.ridge)
        U = self._products.T @ (np.linalg.inv(L) * f).T
        return self._inverse.without(U, np.einsum("ij,ij->j", R, R))


def recurrence_is_faster(n_rows: int, n_parameters: int) -> bool:
    """Whether the recurrence over blocks of rows is faster than a Cholesky factorisation.

    The rule compares operations. The recurrence takes about 3 d^2 for each row. The factorisation
    takes d^2 for each row to form A, then d^3 at a third of the speed of a matrix product. The two
    take the same time at d / 4 to d / 2 rows (`examples/benchmarks/bench_curvature.py`). The
    recurrence row by row is never the fastest, because it reads the whole matrix for each row.
    """
    return n_parameters >= 64 and 4 * n_rows <= n_parameters


def _invert_cholesky(scores: CurvatureRows, ridge: Ridge, kernels: Kernels) -> Inverted:
    """Form A, scale it to unit diagonal, factorise it, and invert the factor."""
    with np.errstate(over="ignore", invalid="ignore"):  # `resolve_ridge` refuses infinity
        A = scores.gram(kernels)
    index = range(len(A))
    ridge, diagonal = resolve_ridge(ridge, np.array(kernels.to_numpy(A[index, index])))
    A[index, index] = kernels.asarray(diagonal)
    scale = kernels.asarray(1.0 / np.sqrt(diagonal))
    A *= scale
    A *= scale[:, None]
    P = kernels.invert(A, scale)
    if P is None:
        raise not_positive_definite(ridge)
    return kernels.to_numpy(P), ridge, diagonal


def _recurrence(
    scores: CurvatureRows, ridge: Ridge, kernels: Kernels, update: Callable[[Array, Array], None]
) -> Inverted:
    """Start from P = diag(1 / ridge) and ``update`` it by the rows of every chunk."""
    ridge, diagonal = resolve_ridge(ridge, kernels.to_numpy(scores.diagonal()))
    start = starting_ridge(ridge, diagonal)
    P = kernels.asarray(np.diag(1.0 / start))
    for chunk in scores.chunks():
        update(P, kernels.asarray(chunk.to_dense()))
    return remove_diagonal(kernels.to_numpy(P), start - ridge, ridge), ridge, diagonal


def _invert_rank1(scores: CurvatureRows, ridge: Ridge, kernels: Kernels) -> Inverted:
    """Add one row at a time: P <- P - P g g^T P / (1 + g^T P g)."""
    return _recurrence(scores, ridge, kernels, kernels.rank1_update)


def _invert_rank_b(scores: CurvatureRows, ridge: Ridge, kernels: Kernels) -> Inverted:
    """Add many rows at a time: P <- P - P R^T (I + R P R^T)^{-1} R P."""
    return _recurrence(scores, ridge, kernels, kernels.rank_b_update)


INVERSIONS = {"cholesky": _invert_cholesky, "rank1": _invert_rank1, "rank_b": _invert_rank_b}


def starting_ridge(ridge: NDArray, diagonal: NDArray) -> NDArray:
    """Ridge from which the recurrence starts, (d,).

    From a tiny ridge the recurrence would lose all digits, so it starts from a share of the
    diagonal; `remove_diagonal` subtracts the difference at the end.
    """
    return np.maximum(ridge, STARTING_SHARE * diagonal)


def remove_diagonal(P: NDArray, amount: NDArray, ridge: NDArray) -> NDArray:
    """Compute the inverse of ``P^{-1} - diag(amount)`` from the lower triangle of P; symmetric."""
    mirror_lower(P)
    index = np.flatnonzero(amount)
    if not index.size:
        return P
    root = np.sqrt(amount[index])
    K = P[:, index] * root
    M = K[index] * root[:, np.newaxis]
    try:
        half = np.linalg.inv(np.linalg.cholesky(np.eye(index.size) - M))
    except LinAlgError:
        raise not_positive_definite(ridge) from None
    K = K @ half.T
    return P + K @ K.T
