"""The recurrence row by row, compiled by numba, for C-contiguous float64 arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# LLVM fast-math flags. "nnan" and "ninf" are omitted, so that NaN and infinity propagate.
FAST_MATH = {"reassoc", "contract", "nsz"}


# Without threads of numba: a process that has used them cannot fork and use them again, and two
# threads that use them at once end the process if their layer is "workqueue".
@njit(cache=True, fastmath=FAST_MATH, nogil=True)
def rank1_update(P: NDArray, R: NDArray) -> None:
    """Add the rows R to the curvature whose inverse is P, one after the other, in place.

    Each row g updates ``P <- P - v v^T / (1 + g^T v)`` with ``v = P g``. Only the lower triangle of
    P is read and written. Each update reads it once: the same pass sums the product of the updated
    matrix and the next row.

    Parameters
    ----------
    P : ndarray of shape (d, d)
        The inverse; its lower triangle is overwritten.
    R : ndarray of shape (m, d)
        Curvature rows.
    """
    m, d = R.shape
    if m == 0:
        return
    v = np.zeros(d)
    v_next = np.zeros(d)
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
            v_next[i] = 0.0
        for i in range(d):
            vi = v[i] / denominator
            hi = h[i]
            acc = 0.0
            for j in range(i):
                pij = P[i, j] - vi * v[j]
                P[i, j] = pij
                acc += pij * h[j]
                v_next[j] += pij * hi
            P[i, i] -= vi * v[i]
            v_next[i] += acc + P[i, i] * hi
        v, v_next = v_next, v


@njit(cache=True, fastmath=FAST_MATH, nogil=True)
def rank1_update_blocks(P: NDArray, R: NDArray) -> None:
    """Apply `rank1_update` to each of many blocks.

    Parameters
    ----------
    P : ndarray of shape (n_blocks, size, size)
        The inverses of the blocks; their lower triangles are overwritten.
    R : ndarray of shape (n_blocks, m, size)
        Curvature rows over the parameters of each block.
    """
    for b in range(P.shape[0]):
        rank1_update(P[b], R[b])
