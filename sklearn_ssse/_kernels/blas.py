"""Inverses of symmetric matrices, by BLAS and LAPACK."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from sklearn_ssse._kernels.threads import each_some
from sklearn_ssse._utils.chunks import slices

# Largest size that `invert` factorises by NumPy. SciPy has its own copy of BLAS: a call to it waits
# tens of milliseconds while the threads of NumPy's BLAS are still active after a matrix product.
NUMPY_SIZE = 1024
# Rows that `rank_b_update` processes at once.
UPDATE_ROWS = 256
# NumPy's ``U @ U.T`` is slow if the number of rows of U is a multiple of the first number and the
# number of columns is at most the second.
CACHE_CONFLICT_ROWS = 64
CACHE_CONFLICT_COLUMNS = 20
# Largest triangular matrix that `invert_lower` passes to NumPy's general inverse.
DIRECT_SIZE = 64
# Rows of a block that `mirror_lower` copies at once.
MIRROR_ROWS = 256


def invert(A: NDArray, scale: NDArray) -> NDArray | None:
    """Compute ``diag(scale) A^{-1} diag(scale)``, exactly symmetric.

    Parameters
    ----------
    A : ndarray of shape (d, d)
        Symmetric; overwritten.
    scale : ndarray of shape (d,)
        Factors of the rows and columns of the inverse.

    Returns
    -------
    P : ndarray of shape (d, d) or None
        None if A is not positive definite.
    """
    if len(A) <= NUMPY_SIZE:
        try:
            half = invert_lower(np.linalg.cholesky(A)) * scale
        except np.linalg.LinAlgError:
            return None
        return half.T @ half
    # The upper triangle in LAPACK's Fortran order is the lower one in C order: no copy is made.
    factor, info = lapack.dpotrf(A.T, lower=0, clean=0, overwrite_a=1)
    if info == 0:
        factor, info = lapack.dpotri(factor, lower=0, overwrite_c=1)
    if info != 0:
        return None
    P = factor.T
    P *= scale
    P *= scale[:, np.newaxis]
    mirror_lower(P)
    return P


def invert_blocks(A: NDArray, scale: NDArray) -> NDArray | None:
    """Apply `invert` to blocks (n_blocks, size, size) with scales (n_blocks, size)."""
    P = np.empty_like(A)
    failed = []

    def invert_some(blocks: slice) -> None:
        try:
            half = np.linalg.inv(np.linalg.cholesky(A[blocks])) * scale[blocks, np.newaxis, :]
            P[blocks] = half.transpose(0, 2, 1) @ half
        except np.linalg.LinAlgError:
            failed.append(blocks)

    each_some(invert_some, len(A), len(A[0]) ** 3)
    return None if failed else P


def rank_b_update(P: NDArray, R: NDArray) -> None:
    """Add the rows R to the curvature whose inverse is P, in place.

    Each step processes ``UPDATE_ROWS`` rows: ``P <- P - P R^T (I + R P R^T)^{-1} R P``. Both
    triangles are read and written: P remains symmetric up to rounding.

    Parameters
    ----------
    P : ndarray of shape (d, d)
        The inverse; overwritten.
    R : ndarray of shape (m, d)
        Curvature rows.
    """
    for some in slices(len(R), UPDATE_ROWS):
        rows = R[some]
        K = rows @ P
        M = K @ rows.T
        M.flat[:: len(M) + 1] += 1.0
        half = np.linalg.inv(np.linalg.cholesky(M)) @ K
        P -= half.T @ half


def outer(U: NDArray) -> NDArray:
    """Compute ``U U^T`` for each matrix of (..., d, k), exactly symmetric.

    NumPy computes one triangle of ``U @ U.T`` and copies it across the diagonal. If d is a multiple
    of a large power of two, every copied element misses the cache. For few columns the general
    product with a copy of U then takes half the time.
    """
    V = np.swapaxes(U, -1, -2)
    d, k = U.shape[-2:]
    if k == 1:
        return np.multiply(U, V)
    copy_is_faster = d % CACHE_CONFLICT_ROWS == 0 and k <= CACHE_CONFLICT_COLUMNS
    return U @ (V.copy() if copy_is_faster else V)


def invert_lower(L: NDArray) -> NDArray:
    """Invert a lower triangular matrix by NumPy alone (SciPy would use its own copy of BLAS)."""
    n = len(L)
    if n <= DIRECT_SIZE:
        return np.linalg.inv(L) if n else L
    out = np.zeros_like(L)
    h = n // 2
    out[:h, :h] = invert_lower(L[:h, :h])
    out[h:, h:] = invert_lower(L[h:, h:])
    out[h:, :h] = -out[h:, h:] @ (L[h:, :h] @ out[:h, :h])
    return out


def symmetric(blocks: NDArray) -> NDArray:
    """Symmetric part of each block of (n_blocks, size, size)."""
    return (blocks + blocks.transpose(0, 2, 1)) / 2


def mirror_lower(P: NDArray) -> None:
    """Copy the lower triangle of P, (d, d), onto the upper one, in place, block by block."""
    for rows in slices(len(P), MIRROR_ROWS):
        block = np.tril(P[rows, rows], -1)
        P[rows, rows] = np.tril(P[rows, rows]) + block.T
        P[: rows.start, rows] = P[rows, : rows.start].T
