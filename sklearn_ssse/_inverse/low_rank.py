"""The inverse, computed from a linear sketch of the curvature.

In the coordinates whitened by the ridge D, A is ``I + K`` with ``K = Rt^T Rt`` and
``Rt = R D^{-1/2}``. The inverse stores ``Y = K Omega`` for an orthonormal Omega (d, l) that does
not depend on the rows. Y is a sum over rows, so a downdate subtracts rows from Y. The Nystrom
approximation ``K ~ Y C^+ Y^T`` with ``C = Omega^T Y`` is never larger than K, and equals K once l
is at least the rank of K.

An unpenalised coordinate gives K an eigenvalue near ``1 / ridge``. These coordinates, E below, are
the first columns of Omega, as unit vectors, so the rows and columns E of A are known exactly and
are eliminated exactly, with their ridge. The sketch approximates the Schur complement on the other
coordinates, N below. If Omega is the identity, E has all coordinates. ``unit`` in a name refers to
E, ``rest`` to N.
"""

import copy

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows
from sklearn_ssse._inverse.base import (
    AbstractInverse,
    Shapes,
    largest_eigenvalues_by_sample,
)
from sklearn_ssse._inverse.limits import (
    Ridge,
    not_positive_definite,
    resolve_ridge,
    too_large_update,
)
from sklearn_ssse._inverse.low_rank_downdate import LowRankDowndate
from sklearn_ssse._inverse.low_rank_rows import WhitenedRows, row_slices, to_dense, whiten_rows
from sklearn_ssse._inverse.nystrom import (
    EPS,
    eliminate,
    factor_from_sketch,
    factorise,
)
from sklearn_ssse._inverse.sketch import Omega, RowBlocks, compute_sketch
from sklearn_ssse._kernels import Inputs, Kernels, cpu, one_thread

# A coordinate is unpenalised if its ridge is below this share of the diagonal of ``R^T R``.
UNPENALISED_SHARE = 1e-6
# Columns of Omega: the first number for each eigenvalue of the rank, plus the second. The error is
# then 1 to 3 times the error of a truncated SVD.
OVERSAMPLING = 2
EXTRA_COLUMNS = 8
# With rank=None the rank is the number of eigenvalues of K above the first number, within the other
# two. At rank 512 an erasure takes some tenths of a second.
SMALLEST_EIGENVALUE = 0.1
MIN_RANK = 8
MAX_RANK = 512
# The diagonal of ``R^T R`` outside the sketch is added to an automatic ridge if it is more than
# this multiple of the ridge in any coordinate, without unit. Otherwise the inverse would be the
# reciprocal of the ridge in all directions outside the sketch: with rank 2 and 61 parameters, the
# steps of rows that are added again were up to 300 times as long as with the full inverse.
LARGEST_MISSING = 1.0
# Largest eigenvalue of K on N: the inverse is I minus a product whose rounding error is the root of
# the rounding error times the eigenvalue.
LARGEST_EIGENVALUE = 1e8
# Number of rows for which `LowRankInverse.leverage` forms ``R A^{-1} R^T`` at a time.
LEVERAGE_ROWS = 256
# Number of coordinates whose variances `LowRankInverse.condition` computes; it bounds the others.
N_EXACT_VARIANCES = 64


class LowRankInverse(AbstractInverse):
    """Inverse of ``diag(ridge)`` plus a low-rank sketch of ``R^T R``: 8 d l bytes.

    The number l of columns of the sketch is about twice the rank. The inverse is exact if l is at
    least the rank of the rows. Otherwise it is too large, never too small, and `discarded` bounds
    the error. A ridge that is given as a function is then raised by the diagonal of ``R^T R``
    outside the sketch. ``downdate`` is as exact as for the other structures, because the sketch is
    linear in ``R^T R``.

    Parameters
    ----------
    omega : Omega of shape (d, l)
        The directions of the sketch.
    Y : RowBlocks of shape (d - e, l)
        Rows N of the sketch. The rows E are the first rows of C.
    C : ndarray of shape (l, l)
        ``Omega^T Y`` over all rows.
    G : ndarray of shape (l, l) or None
        ``Y^T Y`` over the rows N; None to compute it.
    ridge, diagonal
        See `AbstractInverse`.
    reused : int, default=0
        Number of updates of G since it was computed from Y.

    Attributes
    ----------
    unit_inverse, cross, factor
        See `nystrom.NystromFactors`.
    """

    options = ("rank",)
    inversion = "nystrom"

    def __init__(
        self,
        omega: Omega,
        Y: RowBlocks,
        C: NDArray,
        G: NDArray | None,
        ridge: NDArray,
        diagonal: NDArray,
        *,
        reused: int = 0,
    ) -> None:
        self.omega = omega
        self.Y = Y
        self.C = C
        self.ridge = ridge
        self.diagonal = diagonal
        factors = factorise(Y, C, G, ridge, omega.unit.size, reused)
        self.G, self.reused, self.unit_inverse, self.cross, self.factor, self._eigenvalues = factors

    @classmethod
    def build(
        cls, scores: CurvatureRows, ridge: Ridge, *, kernels: Kernels = cpu, rank: int | None = None
    ) -> "LowRankInverse":
        is_automatic = callable(ridge)
        given, diagonal = resolve_ridge(ridge, kernels.to_numpy(scores.diagonal()))
        resolved = np.asarray(given, dtype=np.float64)
        built = cls._build_with_ridge(scores, resolved, diagonal, rank, kernels)
        missing = built.missing_diagonal() if is_automatic else np.zeros(1)
        if (missing > LARGEST_MISSING * built.ridge).any():
            data = diagonal - resolved
            raised = np.maximum(resolved + missing, UNPENALISED_SHARE * data)
            built = cls._build_with_ridge(scores, raised, data + raised, rank, kernels)
        largest = built.largest_eigenvalue()
        if not largest <= LARGEST_EIGENVALUE:
            raise not_positive_definite(built.ridge)
        return built

    @classmethod
    def _build_with_ridge(
        cls,
        scores: CurvatureRows,
        ridge: NDArray,
        diagonal: NDArray,
        rank: int | None,
        kernels: Kernels,
    ) -> "LowRankInverse":
        """Build the inverse for a ridge, (d,), with the rank that was given or is needed."""
        if rank is not None:
            return cls._build_with_rank(scores, ridge, diagonal, rank, kernels)
        rank = MIN_RANK
        while True:
            rank = min(2 * rank, MAX_RANK)
            built = cls._build_with_rank(scores, ridge, diagonal, rank, kernels)
            needed = int(np.sum(built.eigenvalues() > SMALLEST_EIGENVALUE))
            if needed <= rank or rank == MAX_RANK:
                break
        n_random = OVERSAMPLING * max(needed, MIN_RANK) + EXTRA_COLUMNS
        if n_random >= built.omega.frequencies.size:
            return built
        first = slice(built.omega.unit.size + n_random)
        Y = RowBlocks(built.Y.array()[:, first])
        C = built.C[first, first].copy()
        return cls(built.omega.first(n_random), Y, C, None, ridge, diagonal)

    @classmethod
    def _build_with_rank(
        cls, scores: CurvatureRows, ridge: NDArray, diagonal: NDArray, rank: int, kernels: Kernels
    ) -> "LowRankInverse":
        """Build the inverse from a sketch for a given rank."""
        d = ridge.size
        data = diagonal - ridge
        share = np.full(d, np.inf)
        np.divide(ridge, data, out=share, where=data > EPS * ridge)
        n_unpenalised = int(np.sum(share < UNPENALISED_SHARE))
        e = min(sum(n_outputs for n_outputs, _ in scores.shapes), n_unpenalised)
        unit = np.sort(np.argsort(share, kind="stable")[:e])
        n_random = OVERSAMPLING * rank + EXTRA_COLUMNS
        if unit.size + n_random >= d:
            unit = np.arange(d)
        omega = Omega(d, unit, min(n_random, d - unit.size))
        Y, C = compute_sketch(scores, omega, ridge, kernels)
        return cls(omega, RowBlocks(Y), C, None, ridge, diagonal)

    @staticmethod
    def bytes_needed(shapes: Shapes, rank: int | None = None) -> int:
        d = sum(n_outputs * width for n_outputs, width in shapes)
        # A linear model may have unpenalised intercepts, which take a column each. The damping of a
        # network is positive everywhere.
        n_unpenalised = shapes[0][0] if len(shapes) == 1 else 0
        n_columns = min(d, OVERSAMPLING * (rank or MAX_RANK) + EXTRA_COLUMNS + n_unpenalised)
        return 8 * (d * (n_columns + 6) + 3 * n_columns**2) + d

    def eigenvalues(self) -> NDArray:
        """Eigenvalues of the sketch of the whitened curvature after E is eliminated, ascending."""
        if self._eigenvalues is not None:
            return self._eigenvalues
        return factor_from_sketch(*eliminate(self.C, self.unit_inverse), self.G, self.Y)[1]

    @property
    def discarded(self) -> float:
        """Bound of the spectral error of the whitened curvature: the trace outside the sketch."""
        e = self.omega.unit.size
        trace = self.omega.split((self.diagonal - self.ridge) / self.ridge)[1].sum()
        trace -= np.trace(self.cross[:e])
        return max(float(trace - self.eigenvalues().sum()), 0.0)

    def missing_diagonal(self) -> NDArray:
        """Diagonal of ``R^T R`` outside the sketch, (d,), on the scale of the ridge."""
        rest = self.omega.split((self.diagonal - self.ridge) / self.ridge)[1]
        e = self.omega.unit.size
        values = np.sqrt(1.0 + self.eigenvalues())
        parts = [
            np.square(slab @ self.factor * values).sum(axis=1)
            + np.einsum("ij,ij->i", slab[:, :e] @ self.unit_inverse, slab[:, :e])
            for slab in self.Y.slabs()
        ]
        out = np.zeros(self.ridge.size)
        in_rest = np.ones(out.size, dtype=bool)
        in_rest[self.omega.unit] = False
        out[in_rest] = np.maximum(rest - np.concatenate([np.zeros(0), *parts]), 0.0)
        return out * self.ridge

    def largest_eigenvalue(self) -> float:
        """Largest eigenvalue of K on N, or an upper bound of at most `LARGEST_EIGENVALUE`."""
        bound = self.omega.split((self.diagonal - self.ridge) / self.ridge)[1].sum()
        if bound <= LARGEST_EIGENVALUE:
            return float(bound)
        return float(self.eigenvalues().max(initial=0.0))

    def _coefficients(self, v_unit: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        """Coefficients a and s such that ``A^{-1} v`` on N is ``v - Y s``.

        The whitened v is given by its rows on E and by ``z = Y^T v`` over N.
        """
        e = self.omega.unit.size
        a = self.unit_inverse @ v_unit
        # T T^T is not formed: T has elements as large as 1 / sqrt(rounding error).
        s = self.factor @ (self.factor.T @ (z - self.cross @ v_unit))
        s[:e] += a
        return a, s

    def _solution_on_unit(self, a: NDArray, s: NDArray, z: NDArray) -> NDArray:
        """Rows E of ``A^{-1} v``, whitened, from the coefficients of v."""
        return a - self.unit_inverse @ z[: len(a)] + self.cross.T @ s

    def whiten(self, v: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Whiten v, (d, m): return its rows on E, its rows on N, and ``Y^T v`` over N."""
        v_unit, v_rest = self.omega.split(v / np.sqrt(self.ridge)[:, np.newaxis])
        return v_unit, v_rest, self.Y.tdot(v_rest)

    def solve_whitened(self, v_unit: NDArray, v_rest: NDArray, z: NDArray) -> NDArray:
        """Compute ``A^{-1} v``, (d, m), for v as `whiten` returns it."""
        a, s = self._coefficients(v_unit, z)
        out = np.empty((self.ridge.size, v_rest.shape[1]))
        in_rest = np.ones(self.ridge.size, dtype=bool)
        in_rest[self.omega.unit] = False
        out[in_rest] = v_rest - self.Y.dot(s)
        out[self.omega.unit] = self._solution_on_unit(a, s, z)
        out /= np.sqrt(self.ridge)[:, np.newaxis]
        return out

    def solve(self, v: NDArray) -> NDArray:
        columns = np.reshape(v, (self.ridge.size, -1))
        return self.solve_whitened(*self.whiten(columns)).reshape(np.shape(v))

    def pending_downdate(self, scores: CurvatureRows) -> "LowRankDowndate":
        with one_thread():
            return LowRankDowndate(self, scores.collect())

    def update(self, scores: CurvatureRows) -> "LowRankInverse":
        diagonal = self.diagonal + scores.diagonal()
        with one_thread():
            if scores.n_rows >= len(self.C):
                Y, C = compute_sketch(scores, self.omega, self.ridge, cpu)
                Y += self.Y.array()
                C = self.C + C
                new = LowRankInverse(self.omega, RowBlocks(Y), C, None, self.ridge, diagonal)
            else:
                rows = whiten_rows(scores.collect(), self.ridge, self.omega.unit)
                Y = self.Y.take(rows.positions)
                new = self.with_rows(rows, +1, Y, (rows.rest @ Y).T, diagonal)
            largest = new.largest_eigenvalue()
        if not largest <= LARGEST_EIGENVALUE:
            raise too_large_update(largest)
        return new

    def with_rows(
        self, rows: WhitenedRows, sign: int, Y: NDArray, z: NDArray, diagonal: NDArray
    ) -> "LowRankInverse":
        """Add or remove whitened rows.

        Parameters
        ----------
        rows : WhitenedRows
            The rows.
        sign : {1, -1}
            1 to add the rows, -1 to remove them.
        Y : ndarray of shape (t, l)
            Rows of the sketch at the positions of the rows; overwritten by the new ones.
        z : ndarray of shape (l, m)
            ``Y^T R^T`` over N, before the change.
        diagonal : ndarray of shape (d,)
            Diagonal of A after the change.
        """
        if not len(rows.unit):
            return copy.copy(self)
        sketched = np.hstack([rows.unit, rows.rest @ self.omega.random_rows(rows.positions)])
        Y += sign * (rows.rest.T @ sketched)
        G = None
        if len(sketched) < len(self.C):
            gram = to_dense(rows.rest @ rows.rest.T)
            half = (z + sign * (sketched.T @ gram / 2)) @ sketched
            G = self.G + sign * (half + half.T)
        return LowRankInverse(
            self.omega,
            self.Y.replace(rows.positions, Y),
            self.C + sign * (sketched.T @ sketched),
            G,
            self.ridge,
            diagonal,
            reused=self.reused + 1,
        )

    def product(
        self, rows: WhitenedRows, z_rows: NDArray, v_unit: NDArray, v_rest: Inputs, z: NDArray
    ) -> NDArray:
        """Compute ``R A^{-1} v`` for whitened rows R.

        Parameters
        ----------
        rows : WhitenedRows
            The m rows.
        z_rows : ndarray of shape (l, m)
            ``Y^T R^T`` over N.
        v_unit : ndarray of shape (e, k)
            The whitened v on E.
        v_rest : ndarray or csr_array of shape (t, k)
            The whitened v at the positions of the rows.
        z : ndarray of shape (l, k)
            ``Y^T v`` over N.
        """
        a, s = self._coefficients(v_unit, z)
        on_unit = rows.unit @ self._solution_on_unit(a, s, z)
        return to_dense(rows.rest @ v_rest) - z_rows.T @ s + on_unit

    def quadratic_form(self, rows: WhitenedRows, z_rows: NDArray) -> NDArray:
        """Compute ``R A^{-1} R^T``, (m, m), see `product`."""
        return self.product(rows, z_rows, rows.unit.T, rows.rest.T, z_rows)

    def leverage(self, scores: CurvatureRows) -> NDArray:
        leverages = [np.zeros(0)]
        for some in row_slices(scores, LEVERAGE_ROWS):
            rows = whiten_rows(some, self.ridge, self.omega.unit)
            M = self.quadratic_form(rows, (rows.rest @ self.Y.take(rows.positions)).T)
            leverages.append(largest_eigenvalues_by_sample(M, some))
        return np.concatenate(leverages)

    def to_dense(self) -> NDArray:
        P = self.solve(np.eye(self.n_parameters))
        return (P + P.T) / 2

    @property
    def condition(self) -> float:
        """See `AbstractInverse.condition`; an upper bound, exact for few parameters."""
        e = self.omega.unit.size
        on_unit, on_rest = self.omega.split(self.diagonal / self.ridge)
        variances = (self.unit_inverse @ (np.eye(e) + self.cross[:e])).diagonal()
        variances = variances - np.square(self.cross.T @ self.factor).sum(axis=1)
        bound = on_unit @ variances + on_rest.sum()
        largest = np.arange(on_rest.size)
        if on_rest.size > N_EXACT_VARIANCES:
            largest = np.sort(np.argpartition(-on_rest, N_EXACT_VARIANCES)[:N_EXACT_VARIANCES])
        reductions = np.square(self.Y.take(largest) @ self.factor).sum(axis=1)
        return float(bound - on_rest[largest] @ reductions)

    @property
    def nbytes(self) -> int:
        sketch = self.omega.nbytes + self.Y.nbytes + self.C.nbytes + self.G.nbytes
        factors = self.unit_inverse.nbytes + self.cross.nbytes + self.factor.nbytes
        return sketch + factors + self.ridge.nbytes + self.diagonal.nbytes
