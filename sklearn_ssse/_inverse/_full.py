"""The inverse as one dense matrix."""

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, lapack

from sklearn_ssse import _kernels
from sklearn_ssse._inverse._base import AbstractInverse, Removal
from sklearn_ssse.exceptions import ErasureError

# The recurrence starts at no less than this share of the final diagonal; the surplus is taken out at its end.
START = 1e-6
# Up to this size the factorisation stays with NumPy's BLAS: SciPy brings a second one, and while the threads of the first
# still spin after the Gram matrix, a call to the second waits for tens of milliseconds.
SMALL = 512


class FullInverse(AbstractInverse):
    """Dense ``A^{-1}``: 8 d^2 bytes, float64.

    Parameters
    ----------
    matrix : ndarray of shape (d, d)
        Symmetric.
    ridge, diagonal, inversion
        See `AbstractInverse`.
    """

    def __init__(self, matrix, ridge, diagonal, inversion):
        self.matrix = matrix
        self.ridge = ridge
        self.diagonal = diagonal
        self.inversion = inversion

    @classmethod
    def build(cls, scores, ridge, *, inversion="auto"):
        if inversion == "auto":
            inversion = faster_inversion(scores.n_rows, scores.n_parameters)
        matrix, ridge, diagonal = INVERSIONS[inversion](scores, ridge)
        return cls(matrix, ridge, diagonal, inversion)

    def solve(self, v):
        return self.matrix @ v

    def removal(self, scores):
        return FullRemoval(self, scores)

    def leverage(self, scores):
        out = [np.zeros(0)]
        for chunk in scores.chunks():
            R = chunk.to_dense()
            shape = chunk.n_samples, chunk.rows_per_sample, R.shape[1]
            K = (R @ self.matrix).reshape(shape)
            out.append(_largest_eigenvalues(K @ R.reshape(shape).transpose(0, 2, 1)))
        return np.concatenate(out)

    def to_dense(self):
        return np.array(self.matrix)

    @property
    def condition(self):
        return float(self.diagonal @ self.matrix.diagonal())

    @property
    def nbytes(self):
        return self.matrix.nbytes + self.ridge.nbytes + self.diagonal.nbytes


class FullRemoval(Removal):
    """Removal from a `FullInverse`, on the smaller side of ``R_S``: rows by rows, or d by d."""

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
            self.leverage = _largest_eigenvalues(M.reshape(samples.size, c, samples.size, c)[samples, :, samples])
        else:
            # With P = L L^T, the matrix L^T R^T R L has the same eigenvalues.
            L = np.linalg.cholesky(P)
            self.spectrum, Q = np.linalg.eigh(L.T @ scores.gram() @ L)
            self._basis = (L @ Q) * np.sqrt(np.maximum(self.spectrum, 0.0))
            self.leverage = inverse.leverage(scores)
        self._leaving = scores.diagonal()

    def solve(self, v, *, damped=False):
        U = self._basis
        return self._inverse.matrix @ v + U @ (self.gain(damped=damped) * (U.T @ v))

    def inverse(self):
        old = self._inverse
        U = self._basis * np.sqrt(self.gain())
        matrix = U @ U.T
        matrix += old.matrix
        return FullInverse(matrix, old.ridge, old.diagonal - self._leaving, old.inversion)


def _largest_eigenvalues(blocks):
    """Largest eigenvalue of each of n symmetric (c, c) blocks, (n,)."""
    if blocks.shape[1] == 1:
        return blocks[:, 0, 0]
    return np.linalg.eigvalsh(blocks)[:, -1] if len(blocks) else np.zeros(0)


def faster_inversion(n_rows, n_parameters):
    """Which inversion is faster for ``n_rows`` curvature rows: a rule on the number of operations.

    The recurrence streams half of the matrix for every row; the factorisation costs about d^3 operations at the speed of a
    matrix product and a Gram matrix of the rows before. Below 300 parameters either takes milliseconds, less than loading
    the compiled kernel, so the factorisation is taken.
    """
    return "rank1" if n_parameters > 300 and 12 * n_rows < n_parameters else "cholesky"


def _invert_cholesky(scores, ridge):
    """Form A, factorise it, invert the factor; on the matrix scaled to unit diagonal."""
    A = scores.gram()
    ridge, diagonal = _resolve(ridge, A.diagonal())
    A.flat[:: len(A) + 1] = diagonal
    scale = 1.0 / np.sqrt(diagonal)
    A *= scale
    A *= scale[:, np.newaxis]
    P = _invert_equilibrated(A, scale)
    if P is None:
        raise _not_positive_definite(ridge)
    return P, ridge, diagonal


def _invert_equilibrated(A, scale):
    """``diag(scale) A^{-1} diag(scale)``, exactly symmetric; None if A, which is overwritten, is not positive definite."""
    if len(A) <= SMALL:
        try:
            half = np.linalg.inv(np.linalg.cholesky(A)) * scale
        except LinAlgError:
            return None
        return half.T @ half
    # LAPACK's upper triangle in Fortran order is the lower one in C order: no copy is made.
    factor, info = lapack.dpotrf(A.T, lower=0, clean=0, overwrite_a=1)
    if info == 0:
        factor, info = lapack.dpotri(factor, lower=0, overwrite_c=1)
    if info != 0:
        return None
    P = factor.T
    P *= scale
    P *= scale[:, np.newaxis]
    _mirror_lower(P)
    return P


def _invert_rank1(scores, ridge):
    """The recurrence, one row at a time: P <- P - P g g^T P / (1 + g^T P g), from P = diag(1 / ridge)."""
    ridge, diagonal = _resolve(ridge, scores.diagonal())
    kernels = _kernels.load("numba")
    start = np.maximum(ridge, START * diagonal)
    P = np.diag(1.0 / start)
    for chunk in scores.chunks():
        kernels.rank1_update(P, np.ascontiguousarray(chunk.to_dense()))
    _mirror_lower(P)
    surplus = np.flatnonzero(start > ridge)
    if surplus.size:
        P = _remove_diagonal(P, surplus, (start - ridge)[surplus], ridge)
    return P, ridge, diagonal


INVERSIONS = {"cholesky": _invert_cholesky, "rank1": _invert_rank1}


def _resolve(ridge, diagonal):
    """The ridge, and the diagonal of ``R^T R`` with it."""
    ridge = ridge(diagonal) if callable(ridge) else ridge
    diagonal = diagonal + ridge
    if not np.isfinite(diagonal).all() or diagonal.min() <= 0:
        raise _not_positive_definite(ridge)
    return ridge, diagonal


def _remove_diagonal(P, index, amount, ridge):
    """Inverse of ``P^{-1} - sum_j amount_j e_j e_j^T`` over the coordinates ``index``."""
    root = np.sqrt(amount)
    K = P[:, index] * root
    try:
        factor = cholesky(np.eye(index.size) - K[index] * root[:, np.newaxis], lower=True)
    except LinAlgError:
        raise _not_positive_definite(ridge) from None
    half = cho_solve((factor, True), K.T)
    P = P + K @ half
    _mirror_lower(P)
    return P


def _mirror_lower(P):
    """Copy the lower triangle onto the upper one, in place, block by block."""
    d = len(P)
    step = 256
    for i in range(0, d, step):
        rows = slice(i, min(i + step, d))
        block = np.tril(P[rows, rows], -1)
        P[rows, rows] = np.tril(P[rows, rows]) + block.T
        P[: rows.start, rows] = P[rows, : rows.start].T


def _not_positive_definite(ridge):
    return ErasureError(
        "The curvature must be positive definite, got a singular or non-finite matrix with damping on the sum's scale from "
        f"{ridge.min():.3g} to {ridge.max():.3g}. Raise `damping`, or scale the columns of X."
    )
