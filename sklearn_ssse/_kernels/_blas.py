"""Kernels that are products of matrices, by NumPy; one layer has inputs a, deltas and a bias as in `_scores.Layer`."""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

# Up to this size the factorisation stays with NumPy's BLAS: SciPy brings a second one, and while the threads of the first
# still spin after the Gram matrix, a call to the second waits for tens of milliseconds.
SMALL = 512
# Up to this width the Gram matrices of many outputs are one product of their weights with the products of pairs of inputs.
PAIRS_WIDTH = 64
PAIRS_OUTPUTS = 8


def unit_grams(a, delta, bias):
    """Blocks of ``R^T R`` on one layer that belong to one output each, (n_outputs, width, width)."""
    n_outputs, width = delta.shape[2], a.shape[1] + bias
    weight = np.einsum("icj,icj->ij", delta, delta)
    if width > PAIRS_WIDTH or n_outputs < PAIRS_OUTPUTS or sparse.issparse(a):
        scale = np.sqrt(weight)
        return np.stack([_scaled_gram(a, scale[:, j : j + 1], bias) for j in range(n_outputs)])
    x = np.hstack([a, np.ones((len(a), 1))]) if bias else a
    u, v = np.triu_indices(width)
    flat = weight.T @ (x[:, u] * x[:, v])
    out = np.empty((n_outputs, width, width))
    out[:, u, v] = out[:, v, u] = flat
    return out


def layer_gram(a, delta, bias):
    """``R^T R`` on one layer from weighted Gram matrices of its inputs, one for each pair of outputs."""
    n_outputs, width = delta.shape[2], a.shape[1] + bias
    if n_outputs == 1:
        rows = delta[:, 0] if delta.shape[1] == 1 else np.linalg.norm(delta, axis=1)
        return _scaled_gram(a, rows, bias)
    weights = delta.transpose(0, 2, 1) @ delta
    out = np.empty((n_outputs, width, n_outputs, width))
    for j in range(n_outputs):
        for k in range(j + 1):
            block = _weighted_gram(a, weights[:, j, k, np.newaxis], bias)
            out[j, :, k] = block
            out[k, :, j] = block
    return out.reshape(n_outputs * width, -1)


def _scaled_gram(a, scale, bias):
    """``[a, 1]^T diag(scale^2) [a, 1]``; exactly symmetric, at half the cost of a general product."""
    if sparse.issparse(a):
        return _weighted_gram(a, np.square(scale), bias)
    rows = np.empty((a.shape[0], a.shape[1] + bias))
    np.multiply(a, scale, out=rows[:, : a.shape[1]])
    if bias:
        rows[:, -1:] = scale
    return rows.T @ rows


def _weighted_gram(a, weight, bias):
    """``[a, 1]^T diag(weight) [a, 1]`` for weights of either sign, shape (n_samples, 1)."""
    p = a.shape[1]
    out = np.empty((p + bias, p + bias))
    if sparse.issparse(a):
        weighted = a.multiply(weight).tocsr()
        out[:p, :p] = (a.T @ weighted).toarray()
    else:
        weighted = a * weight
        out[:p, :p] = a.T @ weighted
    if bias:
        out[p, :p] = out[:p, p] = np.asarray(weighted.sum(axis=0)).ravel()
        out[p, p] = weight.sum()
    return out


def product(R):
    """``R^T R``."""
    return R.T @ R


def invert(A, scale):
    """``diag(scale) A^{-1} diag(scale)``, exactly symmetric; None if A, which is overwritten, is not positive definite."""
    if len(A) <= SMALL:
        try:
            half = np.linalg.inv(np.linalg.cholesky(A)) * scale
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
    try:
        half = np.linalg.inv(np.linalg.cholesky(A)) * scale[:, np.newaxis, :]
    except np.linalg.LinAlgError:
        return None
    return symmetric(half.transpose(0, 2, 1) @ half)


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
