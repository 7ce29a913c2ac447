"""The inverse as one dense matrix."""

import numpy as np
from numpy.linalg import LinAlgError

from sklearn_ssse import _kernels
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    largest_eigenvalues,
    not_positive_definite,
    resolve,
)
from sklearn_ssse._kernels import invert, invert_lower, mirror_lower, outer, rank_b_update

# The recurrence starts at no less than this share of the final diagonal; the surplus is taken out at its end.
START = 1e-6


class FullInverse(AbstractInverse):
    """Dense ``A^{-1}``: 8 d^2 bytes, float64.

    Parameters
    ----------
    matrix : ndarray of shape (d, d)
        Symmetric.
    ridge, diagonal, inversion
        See `AbstractInverse`.
    """

    options = ("inversion",)
    is_matrix = True

    def __init__(self, matrix, ridge, diagonal, inversion):
        self.matrix = matrix
        self.ridge = ridge
        self.diagonal = diagonal
        self.inversion = inversion

    @classmethod
    def build(cls, scores, ridge, *, kernels=None, inversion="auto"):
        kernels = kernels or _kernels.load("numba")
        if inversion == "auto":
            inversion = "rank_b" if few_rows(scores.n_rows, scores.n_parameters) else "cholesky"
        matrix, ridge, diagonal = INVERSIONS[inversion](scores, ridge, kernels)
        return cls(matrix, ridge, diagonal, inversion)

    @staticmethod
    def bytes_needed(shapes):
        d = sum(n_outputs * width for n_outputs, width in shapes)
        return 8 * d * (d + 2)

    def solve(self, v):
        return self.matrix @ v

    def pending_downdate(self, scores):
        return FullPendingDowndate(self, scores)

    def without(self, U, leaving):
        """The inverse without rows: ``U U^T`` more, and ``leaving`` less on the diagonal of A."""
        matrix = outer(U)
        matrix += self.matrix
        return FullInverse(matrix, self.ridge, self.diagonal - leaving, self.inversion)

    def with_columns(self, column_map, shapes):
        n_outputs, width = shapes[0]
        start = n_outputs * width
        # (T A T^T)^{-1}, then what T makes of the ridge out and the ridge in. A itself would lose the directions that only the ridge holds.
        Z = self.matrix
        for _ in range(2):
            first = column_map.parameters(Z[:start].reshape(n_outputs, width, -1), axis=1)
            Z = np.concatenate([first.reshape(start, -1), Z[start:]]).T
        ridges = self.ridge[:start].reshape(n_outputs, width)
        E = np.zeros_like(Z)
        for i, block in enumerate(column_map.ridge_change(ridges)):
            own = slice(i * width, (i + 1) * width)
            E[own, own] = block
        matrix = np.linalg.solve(np.eye(len(Z)) + Z @ E, Z)
        matrix = (matrix + matrix.T) / 2
        return FullInverse(matrix, self.ridge, _inverted(matrix).diagonal().copy(), self.inversion)

    def update(self, scores):
        if scores.n_rows <= scores.n_parameters:
            P = np.array(self.matrix)
            rank_b_update(P, scores.to_dense())
            mirror_lower(P)
        else:
            # With P = L L^T, A and the rows are L^{-T} (I + L^T R^T R L) L^{-1}.
            L = np.linalg.cholesky(self.matrix)
            inner = L.T @ scores.gram() @ L
            inner.flat[:: len(inner) + 1] += 1.0
            half = invert_lower(np.linalg.cholesky(inner)) @ L.T
            P = half.T @ half
        return FullInverse(P, self.ridge, self.diagonal + scores.diagonal(), self.inversion)

    def to_dense(self):
        return np.array(self.matrix)

    @property
    def condition(self):
        return float(self.diagonal @ self.matrix.diagonal())

    @property
    def nbytes(self):
        return self.matrix.nbytes + self.ridge.nbytes + self.diagonal.nbytes


def _inverted(matrix):
    """Inverse of a positive definite matrix."""
    scale = matrix.diagonal() ** -0.5
    out = invert(matrix * scale * scale[:, np.newaxis], scale)
    if out is None:
        raise not_positive_definite(matrix.diagonal())
    return out


class FullPendingDowndate(PendingDowndate):
    """PendingDowndate from a `FullInverse`, on the smaller side of ``R_S``: rows by rows, or d by d."""

    def __init__(self, inverse, scores):
        self._inverse = inverse
        P = np.asarray(inverse.matrix)
        if scores.n_rows <= scores.n_parameters:
            R = scores.to_dense()
            K = R @ P
            M = K @ R.T
            self.spectrum, V = np.linalg.eigh(M)
            self._basis = K.T @ V
            c, samples = scores.rows_per_sample, np.arange(scores.n_samples)
            self.leverage = largest_eigenvalues(
                M.reshape(samples.size, c, samples.size, c)[samples, :, samples]
            )
        else:
            # With P = L L^T, the matrix L^T R^T R L has the same eigenvalues.
            L = np.linalg.cholesky(P)
            self.spectrum, Q = np.linalg.eigh(L.T @ scores.gram() @ L)
            self._basis = (L @ Q) * np.sqrt(np.maximum(self.spectrum, 0.0))
            self.leverage = inverse.leverage(scores)
        self._leaving = scores.diagonal()

    def solve(self, v, *, damped=False):
        U = self._basis
        return self._inverse.matrix @ v + U @ (self.factor(damped=damped) * (U.T @ v))

    def inverse(self):
        return self._inverse.without(self._basis * np.sqrt(self.factor()), self._leaving)


def few_rows(n_rows, n_parameters):
    """Whether so few curvature rows are faster taken in than factorised with: a rule on the number of operations.

    b rows at once cost about 3 d^2 operations each, forming A d^2, the factorisation and the inverse d^3 at a third of the speed of
    a product; the two meet between d / 4 and d / 2 rows (``examples/benchmarks/bench_curvature.py``). Row by row the recurrence
    streams the matrix for each of them: it is not faster than either.
    """
    return n_parameters >= 64 and 4 * n_rows <= n_parameters


def _invert_cholesky(scores, ridge, kernels):
    """Form A, factorise it, invert the factor; on the matrix scaled to unit diagonal."""
    A = scores.gram(kernels)
    index = range(len(A))
    ridge, diagonal = resolve(ridge, np.array(kernels.to_numpy(A[index, index])))
    A[index, index] = kernels.asarray(diagonal)
    scale = kernels.asarray(1.0 / np.sqrt(diagonal))
    A *= scale
    A *= scale[:, None]
    P = kernels.invert(A, scale)
    if P is None:
        raise not_positive_definite(ridge)
    return kernels.to_numpy(P), ridge, diagonal


def _recurrence(scores, ridge, kernels, update):
    """``update`` P for the rows of every chunk, from P = diag(1 / ridge)."""
    ridge, diagonal = resolve(ridge, kernels.to_numpy(scores.diagonal()))
    start = starting_ridge(ridge, diagonal)
    P = kernels.asarray(np.diag(1.0 / start))
    for chunk in scores.chunks():
        update(P, kernels.asarray(chunk.to_dense()))
    return remove_diagonal(kernels.to_numpy(P), start - ridge, ridge), ridge, diagonal


def _invert_rank1(scores, ridge, kernels):
    """One row at a time: P <- P - P g g^T P / (1 + g^T P g)."""
    return _recurrence(scores, ridge, kernels, kernels.rank1_update)


def _invert_rank_b(scores, ridge, kernels):
    """Many rows at a time: P <- P - P R^T (I + R P R^T)^{-1} R P."""
    return _recurrence(scores, ridge, kernels, kernels.rank_b_update)


INVERSIONS = {"cholesky": _invert_cholesky, "rank1": _invert_rank1, "rank_b": _invert_rank_b}


def starting_ridge(ridge, diagonal):
    """Ridge to start the recurrence from: a tiny one would cost all digits, so the surplus is taken out at the end."""
    return np.maximum(ridge, START * diagonal)


def remove_diagonal(P, amount, ridge):
    """Inverse of ``P^{-1} - diag(amount)``, from the lower triangle of P; symmetric."""
    mirror_lower(P)
    index = np.flatnonzero(amount)
    if not index.size:
        return P
    root = np.sqrt(amount[index])
    K = P[:, index] * root
    try:
        half = np.linalg.inv(
            np.linalg.cholesky(np.eye(index.size) - K[index] * root[:, np.newaxis])
        )
    except LinAlgError:
        raise not_positive_definite(ridge) from None
    K = K @ half.T
    return P + K @ K.T
