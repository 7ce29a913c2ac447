"""What every structure of the inverse curvature answers, and the laws that it obeys."""

from abc import ABC, abstractmethod
from itertools import chain

import numpy as np

from sklearn_ssse.exceptions import ErasureError


class AbstractInverse(ABC):
    """Inverse of ``A = R^T R + diag(ridge)``, restricted to a structure. Immutable.

    Laws, for curvature rows R, a subset S of their samples, and a vector v:

    1. ``build(R, ridge).solve(v)`` is the structured dense inverse times v.
    2. ``build(R, ridge).downdate(R[S])`` is ``build(R[~S], ridge)``.
    3. ``downdate`` returns a new object; the old one is unchanged.
    4. ``build(R, ridge).update(S)`` is ``build([R; S], ridge)``, a new object too; ``update(S).downdate(S)`` is the inverse itself.

    Attributes
    ----------
    ridge : ndarray of shape (d,)
        Diagonal that was added to the sum.
    diagonal : ndarray of shape (d,)
        Diagonal of A.
    inversion : str
        How `build` inverted.
    options : tuple of str
        Keywords of `build` beside the rows and the ridge: estimators have parameters of these names.
    is_matrix : bool
        True if the inverse is one dense array ``matrix`` that ``without`` downdates, so that many
        inverses can be downdated together.
    leverage_is_bounded : bool
        True if no row that the curvature holds has a leverage of 1 or more.
    """

    ridge: np.ndarray
    diagonal: np.ndarray
    inversion: str
    options: tuple
    is_matrix = False
    leverage_is_bounded = True

    @classmethod
    @abstractmethod
    def build(cls, scores, ridge, **options):
        """Inverse for some curvature rows.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows R.
        ridge : ndarray of shape (d,) or callable
            Diagonal to add; a function is called with the diagonal of ``R^T R`` and returns it.
        **options
            Those of the structure's `options`.
        """

    @staticmethod
    @abstractmethod
    def bytes_needed(shapes, **options):
        """Bytes that the result of `build` keeps, for layers of these shapes."""

    @abstractmethod
    def solve(self, v):
        """``A^{-1} v`` for v of shape (d,) or (d, m)."""

    def solve_rows(self, scores):
        """``A^{-1} R^T`` for few rows R, (d, n_rows)."""
        return self.solve(np.ascontiguousarray(scores.to_dense().T))

    @abstractmethod
    def pending_downdate(self, scores):
        """`PendingDowndate` of the rows ``scores``: the spectrum that decides whether they can go, and what follows."""

    @abstractmethod
    def update(self, scores):
        """The inverse with the rows ``scores`` too, as a new object. It always exists; many rows are read chunk by chunk."""

    def leverage(self, scores):
        """Leverage of each sample: largest eigenvalue of its own block of ``R A^{-1} R^T``, (n_samples,)."""
        out = [np.zeros(0)]
        for part in chain.from_iterable(chunk.pieces() for chunk in scores.chunks()):
            shape = part.n_samples, part.rows_per_sample, part.n_parameters
            R, K = part.to_dense().reshape(shape), self.solve_rows(part).T.reshape(shape)
            out.append(largest_eigenvalues(K @ R.transpose(0, 2, 1)))
        return np.concatenate(out)

    @abstractmethod
    def to_dense(self):
        """The inverse as a (d, d) array, on the scale of a sum over samples."""

    @property
    @abstractmethod
    def condition(self):
        """Sum of the variance inflation factors: a scale-free estimate of the condition number of A."""

    @property
    @abstractmethod
    def nbytes(self):
        """Bytes of the arrays that are kept."""

    def downdate(self, scores):
        """The inverse without the rows ``scores``. No guard: the caller looks at `pending_downdate` first."""
        return self.pending_downdate(scores).inverse()

    def with_columns(self, column_map, shapes):
        """The inverse for a model whose columns have `AffineColumns`, for layers of these shapes: ``(T R^T R T^T + diag(ridge))^-1``.

        Raises
        ------
        ErasureError
            If the structure is not closed under T.
        """
        raise ErasureError(
            "preprocessing='downdate' mixes the weights and the intercept of a unit, got a curvature that does not keep them together. Use "
            "structure='full', or 'block' without block_size; or preprocessing='keep', or fit again."
        )

    @property
    def n_parameters(self):
        return self.ridge.size


class PendingDowndate(ABC):
    """Rows about to leave an inverse ``P``, through the eigenvalues m of ``M = R_S P R_S^T``.

    ``P`` without the rows is ``P + U diag(1 / (1 - m)) U^T`` with ``U = P R_S^T V``, V the eigenvectors. It exists if and
    only if ``margin``, the smallest eigenvalue of ``I - M``, is positive.

    Attributes
    ----------
    spectrum : ndarray
        Eigenvalues m.
    leverage : ndarray of shape (n_erased,)
        Leverage of each sample, as `AbstractInverse.leverage` gives it.
    """

    spectrum: np.ndarray
    leverage: np.ndarray

    @property
    def margin(self):
        return 1.0 - max(self.spectrum.max(initial=0.0), 0.0)

    @abstractmethod
    def solve(self, v, *, damped=False):
        """Inverse without the rows, times v of shape (d,). ``damped`` as in `factor`."""

    @abstractmethod
    def inverse(self):
        """The inverse without the rows, as a new object."""

    def factor(self, *, damped=False):
        """Factor of ``U U^T`` for each eigenvalue: ``1 / (1 - m)``.

        With ``damped``, growth is held back where the step cannot be trusted: ``1 / (1 - m)``, the factor by which A's
        inverse grows, becomes ``2 - ln(2 (1 - m))`` for m > 1/2.
        """
        return downdate_factor(self.spectrum, damped=damped)


def downdate_factor(m, *, damped=False):
    """`PendingDowndate.factor` for eigenvalues m."""
    if not damped:
        return 1.0 / (1.0 - m)
    high = m > 0.5
    safe = np.where(high, m, 1.0)
    growth = 2.0 - np.log(2.0 * (1.0 - np.where(high, m, 0.0)))
    return np.where(high, (growth - 1.0) / safe, 1.0 / (1.0 - np.where(high, 0.0, m)))


def largest_eigenvalues(blocks):
    """Largest eigenvalue of each of n symmetric (c, c) blocks, (n,)."""
    if blocks.shape[1] == 1:
        return blocks[:, 0, 0]
    return np.linalg.eigvalsh(blocks)[:, -1] if len(blocks) else np.zeros(0)


def resolve(ridge, diagonal):
    """The ridge, and the diagonal of ``R^T R`` with it."""
    ridge = ridge(diagonal) if callable(ridge) else ridge
    diagonal = diagonal + ridge
    if not np.isfinite(diagonal).all() or diagonal.min() <= 0:
        raise not_positive_definite(ridge)
    return ridge, diagonal


def not_positive_definite(ridge):
    return ErasureError(
        "The curvature must be positive definite, got a singular or non-finite matrix with damping on the sum's scale from "
        f"{ridge.min():.3g} to {ridge.max():.3g}. Raise `damping`, or scale the columns of X."
    )
