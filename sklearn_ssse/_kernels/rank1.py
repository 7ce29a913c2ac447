"""Kernels for the CPU: plain functions of C-contiguous float64 arrays."""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=FAST)
def rank1_update(P, R):
    """Take the rows of R into the inverse P, one after the other, in place.

    ``P <- P - v v^T / (1 + g^T v)``, ``v = P g``, for every row g. Only the lower triangle of P is read and written, and
    each update streams it once: the product of the updated matrix with the next row is summed on the way.

    Parameters
    ----------
    P : ndarray of shape (d, d)
    R : ndarray of shape (m, d)
    """
    m, d = R.shape
    if m == 0:
        return
    v = np.zeros(d)
    nxt = np.zeros(d)
    g = R[0]
    for i in range(d):
        acc = 0.0
        for j in range(i):
            acc += P[i, j] * g[j]
            v[j] += P[i, j] * g[i]
        v[i] += acc + P[i, i] * g[i]
    for r in range(m):
        g = R[r]
        denominator = 1.0
        for i in range(d):
            denominator += g[i] * v[i]
        h = R[min(r + 1, m - 1)]
        for i in range(d):
            nxt[i] = 0.0
        for i in range(d):
            vi = v[i] / denominator
            hi = h[i]
            acc = 0.0
            for j in range(i):
                pij = P[i, j] - vi * v[j]
                P[i, j] = pij
                acc += pij * h[j]
                nxt[j] += pij * hi
            P[i, i] -= vi * v[i]
            nxt[i] += acc + P[i, i] * hi
        v, nxt = nxt, v


@njit(cache=True, fastmath=FAST, parallel=True)
def rank1_update_blocks(P, R):
    """`rank1_update` on many blocks in parallel.

    Parameters
    ----------
    P : ndarray of shape (n_blocks, size, size)
    R : ndarray of shape (n_blocks, m, size)
    """
    for b in prange(P.shape[0]):
        rank1_update(P[b], R[b])
