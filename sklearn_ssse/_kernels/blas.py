"""Inverses of symmetric matrices, by BLAS and LAPACK."""

import numpy as np
from scipy.linalg import lapack

from sklearn_ssse._kernels.threads import each_some
from sklearn_ssse._utils.chunks import slices

# Up to this size the factorisation stays with NumPy's BLAS: SciPy brings a second one, and while the threads of the first
# still spin after the Gram matrix, a call to the second waits for tens of milliseconds.
SMALL = 1024
# Rows that `rank_b_update` takes at once.
WIDTH = 256
# Multiples of this number of rows, and up to this number of columns, are where NumPy's ``U @ U.T`` is slow.
CONFLICT, FEW = 64, 20


def invert(A, scale):
    """``diag(scale) A^{-1} diag(scale)``, exactly symmetric; None if A, which is overwritten, is not positive definite."""
    if len(A) <= SMALL:
        try:
            half = invert_lower(np.linalg.cholesky(A)) * scale
        except np.linalg.LinAlgError:
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
    mirror_lower(P)
    return P


def invert_blocks(A, scale):
    """`invert` for blocks (n_blocks, size, size) and scales (n_blocks, size)."""
    P = np.empty_like(A)
    failed = []

    def invert_some(blocks):
        try:
            half = np.linalg.inv(np.linalg.cholesky(A[blocks])) * scale[blocks, np.newaxis, :]
            P[blocks] = half.transpose(0, 2, 1) @ half
        except np.linalg.LinAlgError:
            failed.append(blocks)

    each_some(invert_some, len(A), len(A[0]) ** 3)
    return None if failed else P


def rank_b_update(P, R):
    """Take the rows of R into the inverse P, ``WIDTH`` rows at once, in place: ``P <- P - P R^T (I + R P R^T)^{-1} R P``.

    Reads and writes the lower triangle and the upper one: P stays symmetric up to rounding.

    Parameters
    ----------
    P : ndarray of shape (d, d)
    R : ndarray of shape (m, d)
    """
    for some in slices(len(R), WIDTH):
        rows = R[some]
        K = rows @ P
        M = K @ rows.T
        M.flat[:: len(M) + 1] += 1.0
        half = np.linalg.inv(np.linalg.cholesky(M)) @ K
        P -= half.T @ half


def outer(U):
    """``U U^T`` of each matrix, (..., d, k), exactly symmetric.

    NumPy forms one triangle and copies it across the diagonal. Where rows are a large power of two apart, each element that is copied
    falls out of the cache: all of the product of a few columns then takes half as long.
    """
    V, (d, k) = np.swapaxes(U, -1, -2), U.shape[-2:]
    if k == 1:
        return np.multiply(U, V)
    return U @ (V.copy() if d % CONFLICT == 0 and k <= FEW else V)


def invert_lower(L):
    """Inverse of a lower triangular matrix; NumPy has none of its own, and SciPy brings a second BLAS."""
    n = len(L)
    if n <= 64:
        return np.linalg.inv(L) if n else L
    out, h = np.zeros_like(L), n // 2
    out[:h, :h], out[h:, h:] = invert_lower(L[:h, :h]), invert_lower(L[h:, h:])
    out[h:, :h] = -out[h:, h:] @ (L[h:, :h] @ out[:h, :h])
    return out


def symmetric(stack):
    """Symmetric part of each of many blocks."""
    return (stack + stack.transpose(0, 2, 1)) / 2


def mirror_lower(P):
    """Copy the lower triangle onto the upper one, in place, block by block."""
    d = len(P)
    step = 256
    for i in range(0, d, step):
        rows = slice(i, min(i + step, d))
        block = np.tril(P[rows, rows], -1)
        P[rows, rows] = np.tril(P[rows, rows]) + block.T
        P[: rows.start, rows] = P[rows, : rows.start].T
