"""The factors of the inverse of a low-rank sketch.

`low_rank` has the notation. The unit vectors of Omega are the coordinates E; N has the others. The
rows and columns E of A are known exactly. They are eliminated exactly, with their ridge: the
columns Y_E of the sketch over N are subtracted from the others, ``Y_2 - Y_E X``, and C becomes its
Schur complement. The factor T then satisfies ``T T^T = (G + C)^{-1}`` in the eliminated columns,
with ``G = Y^T Y`` over N.
"""

from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sklearn_ssse._inverse.limits import not_positive_definite
from sklearn_ssse._inverse.sketch import RowBlocks
from sklearn_ssse._kernels import invert_lower
from sklearn_ssse._utils.chunks import add_up

EPS = np.finfo(np.float64).eps
TINY = np.finfo(np.float64).tiny
# G is updated instead of recomputed if computing it takes more floating-point operations than the
# first number, and the estimated error of the inverse is below the second.
REUSE_OPERATIONS = 5e8
REUSE_ERROR = 1e-8
# C is indefinite if an eigenvalue is below minus this share of its trace.
INDEFINITE_SHARE = 1e-9
# Number of power iterations that estimate a norm.
POWER_ITERATIONS = 8


class NystromFactors(NamedTuple):
    """Factors of the inverse of a sketch; e is the size of E, l the number of columns of Omega.

    Attributes
    ----------
    G : ndarray of shape (l, l)
        ``Y^T Y`` over the rows N.
    reused : int
        Number of updates of G since it was computed from Y.
    unit_inverse : ndarray of shape (e, e)
        Whitened inverse of the block E of A.
    cross : ndarray of shape (l, e)
        ``Y^T Y_E`` over the rows N, times ``unit_inverse``.
    factor : ndarray of shape (l, l - e)
        T: the whitened inverse of the Schur complement on N is ``I - (Y T) (Y T)^T``.
    eigenvalues : ndarray of shape (l - e,) or None
        Eigenvalues of the sketch, ascending; None if they were not computed.
    """

    G: NDArray
    reused: int
    unit_inverse: NDArray
    cross: NDArray
    factor: NDArray
    eigenvalues: NDArray | None


def factorise(
    Y: RowBlocks, C: NDArray, G: NDArray | None, ridge: NDArray, e: int, reused: int
) -> NystromFactors:
    """Compute the factors of a sketch.

    Parameters
    ----------
    Y : RowBlocks of shape (d - e, l)
        Rows N of the sketch.
    C : ndarray of shape (l, l)
        ``Omega^T Y`` over all rows.
    G : ndarray of shape (l, l) or None
        ``Y^T Y`` over the rows N; None to compute it.
    ridge : ndarray of shape (d,)
        For the error message.
    e : int
        Number of unit vectors in Omega.
    reused : int
        Number of updates of G since it was computed from Y.

    Returns
    -------
    factors : NystromFactors
        The factors; G is recomputed if its updates are no longer accurate.

    Raises
    ------
    ErasureError
        If the block E of A is not positive definite.
    """
    unit_inverse = _invert_shifted(C[:e, :e], ridge)
    X, C_rest = eliminate(C, unit_inverse)
    factor = cross = eigenvalues = None
    if G is not None and Y.shape[0] * len(C) ** 2 >= REUSE_OPERATIONS:
        factor = _factor_from_gram(X, C_rest, G, Y.shape, reused)
    if factor is None or G is None:
        reused = 0
        G = add_up((slab.T @ slab for slab in Y.slabs()), np.zeros(C.shape))
        factor, eigenvalues = factor_from_sketch(X, C_rest, G, Y)
    elif EPS * np.linalg.norm(unit_inverse) * np.linalg.norm(G[:e, :e]) <= REUSE_ERROR:
        cross = G[:, :e] @ unit_inverse
    if cross is None:  # G @ unit_inverse would cancel in the flat direction of a softmax
        products = (slab.T @ (slab[:, :e] @ unit_inverse) for slab in Y.slabs())
        cross = add_up(products, np.zeros((len(C), e)))
    return NystromFactors(G, reused, unit_inverse, cross, factor, eigenvalues)


def eliminate(C: NDArray, unit_inverse: NDArray) -> tuple[NDArray, NDArray]:
    """Eliminate E: return X, (e, l - e), and the Schur complement of C, (l - e, l - e)."""
    e = len(unit_inverse)
    X = unit_inverse @ C[:e, e:]
    C_rest = C[e:, e:] - C[e:, :e] @ X
    return X, (C_rest + C_rest.T) / 2


def factor_from_sketch(
    X: NDArray, C_rest: NDArray, G: NDArray, Y: RowBlocks
) -> tuple[NDArray, NDArray]:
    """Compute T and the eigenvalues of the sketch from Y.

    They are computed as the eigenvalues of ``B B^T`` with ``B = Y C^{-1/2}``. In ``Y^T Y`` they
    would be squared, and small ones would be lost in rounding.
    """
    shift = np.sqrt(Y.shape[0]) * EPS * np.linalg.norm(_eliminated_gram(X, G), 2) ** 0.5
    values, V = np.linalg.eigh(C_rest)
    root = V / np.sqrt(values.clip(min=0.0) + max(shift, TINY))
    root = np.vstack([-X @ root, root])
    products = (slab @ root for slab in Y.slabs())
    eigenvalues, W = np.linalg.eigh(add_up((B.T @ B for B in products), np.zeros(C_rest.shape)))
    eigenvalues = eigenvalues.clip(min=0.0)
    return root @ (W / np.sqrt(1.0 + eigenvalues)), eigenvalues


def is_positive_semidefinite(C_rest: NDArray, C_before: NDArray) -> bool:
    """Whether the Schur complement of C is positive semi-definite after a downdate.

    The tolerance is a share of the trace of ``C_before``, the matrix C before the downdate. The
    result is False if some of the rows were never part of the curvature.
    """
    C_rest = C_rest.copy()
    n = len(C_rest)
    C_rest.flat[:: n + 1] += INDEFINITE_SHARE * np.trace(C_before[-n:, -n:]) + TINY
    try:
        np.linalg.cholesky(C_rest)
    except LinAlgError:
        return False
    return True


def _factor_from_gram(
    X: NDArray, C_rest: NDArray, G: NDArray, shape: tuple[int, ...], reused: int
) -> NDArray | None:
    """Compute T from matrices of size l alone; None if the result would not be accurate."""
    F = _eliminated_gram(X, G)
    F.flat[:: len(F) + 1] += EPS * np.trace(F)
    F += C_rest
    try:
        half = invert_lower(np.linalg.cholesky(F)).T
    except LinAlgError:
        return None
    factor = np.vstack([-X @ half, half])
    return factor if _reuse_error(factor, G, shape, reused) <= REUSE_ERROR else None


def _reuse_error(factor: NDArray, G: NDArray, shape: tuple[int, ...], reused: int) -> float:
    """Estimate the error of the inverse that is computed from an updated G.

    An error E of ``F = G + C`` changes the inverse by ``Y F^{-1} E F^{-1} Y^T``. The norm of
    ``Y F^{-1}`` is at most the norm of ``F^{-1/2}``. It is also about ``sqrt(d / l)``,
    because Omega spans the share l / d of a direction. ``shape`` is the shape of Y.
    """
    e = len(G) - factor.shape[1]
    norm = 0.0
    x = np.ones(factor.shape[1])
    for _ in range(POWER_ITERATIONS):  # the norm of F^{-1} = T T^T
        x = factor.T @ (factor @ x)
        norm = float(np.linalg.norm(x))
        x /= norm
    growth = min(norm, shape[0] / shape[1])
    return EPS * np.trace(G[e:, e:]) * growth * np.sqrt(1 + reused)


def _eliminated_gram(X: NDArray, G: NDArray) -> NDArray:
    """``Y^T Y`` over the rows N, for the eliminated columns."""
    e = len(X)
    half = G[e:, :e] @ X
    return G[e:, e:] - half - half.T + X.T @ G[:e, :e] @ X


def _invert_shifted(C: NDArray, ridge: NDArray) -> NDArray:
    """Compute ``(I + C)^{-1}``, scaled to unit diagonal for the inversion."""
    A = C + np.eye(len(C))
    if A.diagonal().min(initial=1.0) <= 0:
        raise not_positive_definite(ridge)
    scale = 1.0 / np.sqrt(A.diagonal())
    try:
        half = np.linalg.inv(np.linalg.cholesky(A * scale * scale[:, np.newaxis])) * scale
    except LinAlgError:
        raise not_positive_definite(ridge) from None
    return half.T @ half
