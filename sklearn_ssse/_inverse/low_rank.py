"""The inverse through a linear sketch of the curvature.

In the coordinates whitened by the ridge D, A is ``I + K`` with ``K = Rt^T Rt``, ``Rt = R D^{-1/2}``. Kept is ``Y = K Omega``, a sum
over rows, for an orthonormal Omega (d, l) that no row had a say in: rows leave Y by subtraction. ``K ~ Y C^+ Y^T`` with
``C = Omega^T Y``, never more than K, and exactly K once l covers its rank.

Coordinates without penalty, E below, have an eigenvalue of K near ``1 / ridge``. They are unit vectors in Omega, first, so their
rows and columns of A are known exactly and are eliminated exactly, with their ridge; the sketch serves the Schur complement
on the other coordinates, N. Where Omega is the identity E is everything.
"""

import copy
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from scipy import sparse

from sklearn_ssse import _kernels
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    PendingDowndate,
    largest_eigenvalues,
    not_positive_definite,
    resolve,
)
from sklearn_ssse._inverse.sketch import GROUP, Omega, RowBlocks, parts, touched
from sklearn_ssse._kernels import invert_lower, one_thread
from sklearn_ssse._utils.chunks import add_up, slices

EPS = np.finfo(np.float64).eps
# A coordinate whose ridge is below this share of the curvature's diagonal counts as unpenalised.
UNPENALISED = 1e-6
# Columns of Omega for each eigenvalue wanted, and some more: the error is then 1 to 3 times that of the SVD.
OVERSAMPLING, EXTRA = 2, 8
# rank=None: eigenvalues of K above this are wanted, between so many and so many. Beyond 512 an erasure takes tenths of a second.
SMALLEST_EIGENVALUE = 0.1
MIN_RANK, MAX_RANK = 8, 512
# An erasure reuses Y^T Y where reading Y takes more operations than this and the estimated error stays below the other.
LONG = 5e8
REUSE_ERROR = 1e-8
# C is no sum of squares where an eigenvalue is below minus this share of the trace.
IMPOSSIBLE = 1e-9
# The condition number takes the variances of so many coordinates exactly and bounds those of the others, whose curvature is less.
N_EXACT = 64


class Rows(NamedTuple):
    """Whitened rows on the coordinates that they touch."""

    unit: np.ndarray  # (m, e), on E
    free: np.ndarray  # (m, t), on N, dense or CSR
    at: np.ndarray  # (t,), positions in N


class LowRankInverse(AbstractInverse):
    """Inverse of ``diag(ridge)`` and a low-rank sketch of ``R^T R``: 8 d l bytes, l about twice the rank.

    The inverse is exact once l covers the rank of the rows. With less it is too large, never too small, and `discarded` bounds
    the error. ``downdate`` is as exact as for any other structure: the sketch is linear in ``R^T R``.

    Parameters
    ----------
    omega : Omega
    Y : RowBlocks
        The rows N of the sketch; the rows E are those of C.
    C, G : ndarray of shape (l, l)
        ``Omega^T Y``; ``Y^T Y`` over the rows N, or None to work it out.
    reused : int
        Erasures since G was worked out from Y.
    before : ndarray of shape (l, l), default=None
        C before rows left of which it is not certain that they were there.
    ridge, diagonal
        See `AbstractInverse`.

    Attributes
    ----------
    unit_inverse : ndarray of shape (e, e)
        Whitened inverse of the block E of A.
    cross : ndarray of shape (l, e)
        ``Y^T Y_E`` over the rows N, times ``unit_inverse``.
    factor : ndarray of shape (l, l - e)
        T: the whitened inverse of the Schur complement on N is ``I - (Y T) (Y T)^T``.
    """

    options = ("rank",)
    inversion = "nystrom"

    def __init__(self, omega, Y, C, G, ridge, diagonal, *, reused=0, before=None):
        self.omega, self.Y, self.C = omega, Y, C
        self.ridge, self.diagonal, self.reused = ridge, diagonal, reused
        e = omega.unit.size
        self.unit_inverse = _invert(C[:e, :e], ridge)
        self.G, self.cross, self.factor, self._eigenvalues = G, None, None, None
        X, C_free = self._eliminated()
        self.possible = before is None or _could_be(C_free, before)
        if G is not None and Y.shape[0] * len(C) ** 2 >= LONG:
            self.factor = self._factor_from_gram(X, C_free)
        if self.factor is None:
            self.reused = 0
            self.G = add_up((slab.T @ slab for slab in Y.slabs()), np.zeros(C.shape))
            self.factor, self._eigenvalues = self._factor_from_sketch(X, C_free)
        elif EPS * np.linalg.norm(self.unit_inverse) * np.linalg.norm(G[:e, :e]) <= REUSE_ERROR:
            self.cross = G[:, :e] @ self.unit_inverse
        if (
            self.cross is None
        ):  # G has lost a flat direction of E (softmax): not the product in this order
            products = (slab.T @ (slab[:, :e] @ self.unit_inverse) for slab in Y.slabs())
            self.cross = add_up(products, np.zeros((len(C), e)))

    @classmethod
    def build(cls, scores, ridge, *, kernels=None, rank=None):
        kernels = kernels or _kernels.load("numba")
        ridge, diagonal = resolve(ridge, kernels.to_numpy(scores.diagonal()))
        ridge = np.asarray(ridge, dtype=np.float64)
        if rank is not None:
            return cls._sketch(scores, ridge, diagonal, rank, kernels)
        rank = MIN_RANK
        while True:
            rank = min(2 * rank, MAX_RANK)
            built = cls._sketch(scores, ridge, diagonal, rank, kernels)
            wanted = int(np.sum(built.eigenvalues() > SMALLEST_EIGENVALUE))
            if wanted <= rank or rank == MAX_RANK:
                break
        e, n_random = built.omega.unit.size, OVERSAMPLING * max(wanted, MIN_RANK) + EXTRA
        if n_random >= built.omega.frequencies.size:
            return built
        first = slice(e + n_random)
        Y = RowBlocks(built.Y.array()[:, first])
        return cls(
            built.omega.first(n_random), Y, built.C[first, first].copy(), None, ridge, diagonal
        )

    @classmethod
    def _sketch(cls, scores, ridge, diagonal, rank, kernels):
        d = ridge.size
        share = ridge / (diagonal - ridge).clip(min=np.finfo(np.float64).tiny)
        most = min(
            sum(n_outputs for n_outputs, _ in scores.shapes), int(np.sum(share < UNPENALISED))
        )
        unit = np.sort(np.argsort(share, kind="stable")[:most])
        n_random = OVERSAMPLING * rank + EXTRA
        if unit.size + n_random >= d:
            unit = np.arange(d)
        omega = Omega(d, unit, min(n_random, d - unit.size))
        Y, C = _sketched(scores, omega, ridge, kernels)
        return cls(omega, RowBlocks(Y), C, None, ridge, diagonal)

    @staticmethod
    def bytes_needed(shapes, rank=None):
        d = sum(n_outputs * width for n_outputs, width in shapes)
        width = (
            OVERSAMPLING * (rank or MAX_RANK) + EXTRA + sum(n_outputs for n_outputs, _ in shapes)
        )
        width = min(d, width)
        return 8 * (d * (width + 6) + 3 * width**2) + d

    def _eliminated(self):
        """E eliminated: X, by which the columns after those of E become ``Y_2 - Y_E X``, and C of the Schur complement."""
        e = self.omega.unit.size
        X = self.unit_inverse @ self.C[:e, e:]
        C = self.C[e:, e:] - self.C[e:, :e] @ X
        return X, (C + C.T) / 2

    def _eliminated_gram(self, X):
        """``Y^T Y`` of the eliminated columns."""
        e = len(X)
        half = self.G[e:, :e] @ X
        return self.G[e:, e:] - half - half.T + X.T @ self.G[:e, :e] @ X

    def _reuse_error(self, factor):
        """Estimated error of the inverse through G, which has the squares of the eigenvalues of K.

        An error E of ``F = G + C`` shows as ``Y F^{-1} E F^{-1} Y^T``; ``Y F^{-1}`` is at most ``F^{-1/2}`` in norm, and about
        ``sqrt(d / l)`` as Omega takes that share of a direction.
        """
        e, norm = self.omega.unit.size, 0.0
        x = np.ones(factor.shape[1])
        for _ in range(8):  # power iterations for the norm of F^{-1} = T T^T
            x = factor.T @ (factor @ x)
            norm = np.linalg.norm(x)
            x /= norm
        growth = min(norm, self.Y.shape[0] / self.Y.shape[1])
        return EPS * np.trace(self.G[e:, e:]) * growth * np.sqrt(1 + self.reused)

    def _factor_from_gram(self, X, C):
        """T from l x l matrices alone: ``T T^T = (G + C)^{-1}``. None where that needs more digits."""
        F = self._eliminated_gram(X)
        F.flat[:: len(F) + 1] += EPS * np.trace(F)
        F += C
        try:
            half = invert_lower(np.linalg.cholesky(F)).T
        except LinAlgError:
            return None
        factor = np.vstack([-X @ half, half])
        return factor if self._reuse_error(factor) <= REUSE_ERROR else None

    def _factor_from_sketch(self, X, C):
        """T and the eigenvalues of the sketch of K, from Y: B B^T with ``B = Y C^{-1/2}`` squares no eigenvalue."""
        shift = np.sqrt(self.Y.shape[0]) * EPS * np.linalg.norm(self._eliminated_gram(X), 2) ** 0.5
        values, V = np.linalg.eigh(C)
        root = V / np.sqrt(values.clip(min=0.0) + max(shift, np.finfo(np.float64).tiny))
        root = np.vstack([-X @ root, root])
        products = (slab @ root for slab in self.Y.slabs())
        eigenvalues, W = np.linalg.eigh(add_up((B.T @ B for B in products), np.zeros(C.shape)))
        eigenvalues = eigenvalues.clip(min=0.0)
        return root @ (W / np.sqrt(1.0 + eigenvalues)), eigenvalues

    def eigenvalues(self):
        """Eigenvalues of the sketch of the whitened curvature, E eliminated, ascending."""
        return (
            self._factor_from_sketch(*self._eliminated())[1]
            if self._eigenvalues is None
            else self._eigenvalues
        )

    @property
    def discarded(self):
        """Bound of the spectral error of the whitened curvature: the trace that the sketch leaves out."""
        e = self.omega.unit.size
        trace = self.omega.split((self.diagonal - self.ridge) / self.ridge)[1].sum()
        trace -= np.trace(self.cross[:e])
        return max(float(trace - self.eigenvalues().sum()), 0.0)

    def _coefficients(self, v_unit, z):
        """From a whitened v, on E and as ``Y^T v`` over N: a and s such that ``A^{-1} v`` on N is ``v - Y s``."""
        e = self.omega.unit.size
        a = self.unit_inverse @ v_unit
        # In this order, T last: T has entries of the size of 1 / sqrt(rounding error), and T T^T would have its square.
        s = self.factor @ (self.factor.T @ (z - self.cross @ v_unit))
        s[:e] += a
        return a, s

    def _on_unit(self, a, s, z):
        return a - self.unit_inverse @ z[: len(a)] + self.cross.T @ s

    def whiten(self, v):
        """v of shape (d, m): whitened, on E, on N, and ``Y^T v`` over N."""
        v_unit, v_free = self.omega.split(v / np.sqrt(self.ridge)[:, np.newaxis])
        return v_unit, v_free, self.Y.tdot(v_free)

    def apply(self, v_unit, v_free, z):
        """``A^{-1} v`` for v as `whiten` returns it."""
        a, s = self._coefficients(v_unit, z)
        out = np.empty((self.ridge.size, v_free.shape[1]))
        free = np.ones(self.ridge.size, dtype=bool)
        free[self.omega.unit] = False
        out[free] = v_free - self.Y.dot(s)
        out[self.omega.unit] = self._on_unit(a, s, z)
        out /= np.sqrt(self.ridge)[:, np.newaxis]
        return out

    def solve(self, v):
        return self.apply(*self.whiten(np.reshape(v, (self.ridge.size, -1)))).reshape(np.shape(v))

    def pending_downdate(self, scores):
        with one_thread():
            return LowRankPendingDowndate(self, scores.collect())

    def update(self, scores):
        diagonal = self.diagonal + scores.diagonal()
        with one_thread():
            if scores.n_rows >= len(self.C):
                Y, C = _sketched(scores, self.omega, self.ridge, _kernels.load("numba"))
                Y += self.Y.array()
                return LowRankInverse(
                    self.omega, RowBlocks(Y), self.C + C, None, self.ridge, diagonal
                )
            rows = self.rows(*touched(scores.collect()))
            Y = self.Y.take(rows.at)
            return self.changed(rows, +1, Y, (rows.free @ Y).T, diagonal)

    def changed(self, rows, sign, Y, z, diagonal, before=None):
        """The inverse with whitened rows (sign 1), or without them (-1); Y, at their positions, is changed in place."""
        if not len(rows.unit):
            return copy.copy(self)
        sketched = np.hstack([rows.unit, rows.free @ self.omega.free(rows.at)])
        change = rows.free.T @ sketched
        Y += sign * change
        G = None
        if len(sketched) < len(self.C):
            own = rows.free @ rows.free.T
            own = own.toarray() if sparse.issparse(own) else own
            half = (z + sign * (sketched.T @ own / 2)) @ sketched
            G = self.G + sign * (half + half.T)
        return LowRankInverse(
            self.omega,
            self.Y.replace(rows.at, Y),
            self.C + sign * (sketched.T @ sketched),
            G,
            self.ridge,
            diagonal,
            reused=self.reused + 1,
            before=before,
        )

    def rows(self, R, columns):
        """Rows over some coordinates, (m, t), whitened."""
        scale = 1.0 / np.sqrt(self.ridge[columns])
        R = R * scale if isinstance(R, np.ndarray) else (R @ sparse.diags_array(scale)).tocsr()
        unit, e = self.omega.unit, self.omega.unit.size
        before = np.searchsorted(unit, columns)
        known = np.zeros(columns.size, dtype=bool)
        known[before < e] = unit[before[before < e]] == columns[before < e]
        on_unit, part = np.zeros((R.shape[0], e)), R[:, known]
        on_unit[:, before[known]] = part.toarray() if sparse.issparse(part) else part
        return Rows(on_unit, R[:, ~known], (columns - before)[~known])

    def product(self, rows, z_rows, v_unit, v_at, z):
        """``R A^{-1} v`` for whitened rows; ``z_rows = Y^T R^T`` over N, v on E, at the positions of the rows, ``z = Y^T v`` over N."""
        a, s = self._coefficients(v_unit, z)
        own = rows.free @ v_at
        own = own.toarray() if sparse.issparse(own) else own
        return own - z_rows.T @ s + rows.unit @ self._on_unit(a, s, z)

    def leverage(self, scores):
        out = [np.zeros(0)]
        for part in parts(scores, 256):
            rows = self.rows(*touched(part))
            z = (rows.free @ self.Y.take(rows.at)).T
            M = self.product(rows, z, rows.unit.T, rows.free.T, z)
            out.append(_own_blocks(M, part))
        return np.concatenate(out)

    def to_dense(self):
        P = self.solve(np.eye(self.n_parameters))
        return (P + P.T) / 2

    @property
    def condition(self):
        """An upper bound; within rounding of the value for few parameters."""
        e = self.omega.unit.size
        on_unit, on_free = self.omega.split(self.diagonal / self.ridge)
        own = (self.unit_inverse @ (np.eye(e) + self.cross[:e])).diagonal()
        own = own - np.square(self.cross.T @ self.factor).sum(axis=1)
        total = on_unit @ own + on_free.sum()
        large = (
            np.sort(np.argpartition(-on_free, N_EXACT)[:N_EXACT])
            if on_free.size > N_EXACT
            else np.arange(on_free.size)
        )
        return float(
            total - on_free[large] @ np.square(self.Y.take(large) @ self.factor).sum(axis=1)
        )

    @property
    def nbytes(self):
        kept = (
            self.omega,
            self.Y,
            self.C,
            self.G,
            self.unit_inverse,
            self.cross,
            self.factor,
            self.ridge,
            self.diagonal,
        )
        return sum(part.nbytes for part in kept)


class LowRankPendingDowndate(PendingDowndate):
    """PendingDowndate from a `LowRankInverse`: the sketch without the rows first, everything else from it.

    A truncated sketch may hold less of the rows than they are, so that ``A - R_S^T R_S`` with the sketch of A is not A without
    the rows, nor even positive. So P here is the inverse of A' + R_S^T R_S, with A' the sketch without the rows: the same where
    the sketch covers the rank, and better where it does not. With m' the eigenvalues of ``R_S A'^{-1} R_S^T`` those of
    ``R_S P R_S^T`` are ``m' / (1 + m')``. Rows that were never there show in the stored inverse and in C: the margin is 0 then.
    """

    def __init__(self, inverse, scores):
        many = scores.n_rows > scores.n_parameters
        if many:  # as many rows as parameters, with the same Gram matrix
            values, V = np.linalg.eigh(scores.gram())
            R, columns = (V * np.sqrt(values.clip(min=0.0))).T, np.arange(scores.n_parameters)
        else:
            R, columns = touched(scores)
        self._rows = rows = inverse.rows(R, columns)
        Y = inverse.Y.take(rows.at)
        z = (rows.free @ Y).T
        M = inverse.product(rows, z, rows.unit.T, rows.free.T, z)
        self.leverage = inverse.leverage(scores) if many else _own_blocks(M, scores)
        suspect = np.linalg.eigvalsh((M + M.T) / 2).max(initial=0.0) >= 1.0
        diagonal = inverse.diagonal - scores.diagonal()
        self._new = inverse.changed(rows, -1, Y, z, diagonal, inverse.C if suspect else None)
        self._z = (rows.free @ Y).T
        M_new = self._new.product(rows, self._z, rows.unit.T, rows.free.T, self._z)
        self._growth, self._V = np.linalg.eigh((M_new + M_new.T) / 2)
        self.spectrum = self._growth / (1.0 + self._growth)
        if not self._new.possible:
            self.spectrum = np.maximum(self.spectrum, 1.0)

    def solve(self, v, *, damped=False):
        new, rows = self._new, self._rows
        v_unit, v_free, z = new.whiten(np.reshape(v, (-1, 1)))
        if damped:
            share = 1.0 / (1.0 + self._growth)
            w = self._V.T @ new.product(rows, self._z, v_unit, v_free[rows.at], z)
            w = self._V @ ((share * (share * self.factor(damped=True) - 1.0))[:, np.newaxis] * w)
            v_free[rows.at] += rows.free.T @ w
            v_unit, z = v_unit + rows.unit.T @ w, z + self._z @ w
        return new.apply(v_unit, v_free, z)[:, 0]

    def inverse(self):
        return self._new


def _sketched(scores, omega, ridge, kernels):
    """Y over the rows N, and C, of curvature rows that are read once."""
    weight = 1.0 / np.sqrt(ridge)
    groups = omega.groups(weight)
    Y, C = np.zeros((ridge.size, omega.n_columns)), np.zeros((omega.n_columns,) * 2)
    for part in parts(scores):
        groups, Y, C = [part.like(group) for group in groups], part.like(Y), part.like(C)
        products = [part.matvec(group) for group in groups]
        Z = part.xp.concat(products, axis=1)
        C += Z.T @ Z
        for columns, product in zip(slices(omega.n_columns, GROUP), products, strict=True):
            Y[:, columns] += part.rmatvec(product)
    del groups
    Y, C = kernels.to_numpy(Y), kernels.to_numpy(C)
    Y *= weight[:, np.newaxis]
    return omega.split(Y)[1], C


def _own_blocks(M, scores):
    n, c = scores.n_samples, scores.rows_per_sample
    return largest_eigenvalues(M.reshape(n, c, n, c)[np.arange(n), :, np.arange(n)])


def _could_be(C, before):
    """Whether C is positive semi-definite, up to rounding in C ``before`` rows left. If not, some were never there."""
    C = C.copy()
    C.flat[:: len(C) + 1] += (
        IMPOSSIBLE * np.trace(before[-len(C) :, -len(C) :]) + np.finfo(np.float64).tiny
    )
    try:
        np.linalg.cholesky(C)
    except LinAlgError:
        return False
    return True


def _invert(C, ridge):
    """``(I + C)^{-1}``, scaled to unit diagonal on the way."""
    A = C + np.eye(len(C))
    scale = 1.0 / np.sqrt(A.diagonal().clip(min=np.finfo(np.float64).tiny))
    try:
        half = np.linalg.inv(np.linalg.cholesky(A * scale * scale[:, np.newaxis])) * scale
    except LinAlgError:
        raise not_positive_definite(ridge) from None
    return half.T @ half
