"""The interface of every structure of the inverse curvature, and the laws that it obeys."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows, Scores
from sklearn_ssse._inverse.limits import Ridge
from sklearn_ssse.exceptions import ErasureError

# Shape (n_outputs, width) of the parameter matrix of each layer.
Shapes: TypeAlias = Sequence[tuple[int, int]]
# Peak memory of a build, as a multiple of the inverse.
PEAK_FACTOR = 3


class AbstractInverse(ABC):
    """Inverse of ``A = R^T R + diag(ridge)``, restricted to a structure. Immutable.

    R has the curvature rows of the training rows; d is the number of parameters. Everything is on
    the scale of a sum over samples, see `_gradients.scores`.

    Laws, for curvature rows R, a subset S of their samples, and a vector v:

    1. ``build(R, ridge).solve(v)`` is the structured dense inverse times v.
    2. ``build(R, ridge).downdate(R[S])`` is ``build(R[~S], ridge)``.
    3. ``downdate`` and ``update`` return a new object; the old one is unchanged.
    4. ``build(R, ridge).update(T)`` is ``build([R; T], ridge)`` for added rows T, and
       ``update(T).downdate(T)`` is the original inverse.
    5. The downdate by no rows is the inverse itself, the order of S does not matter, and a sample
       of weight 2 is the sample twice.
    6. ``block`` with ``block_size >= d`` is ``full``, ``block`` with ``block_size=1`` is
       ``diagonal``, ``low_rank`` with a rank of at least the rank of R is ``full``.

    The laws hold up to rounding. Law 2 holds for ``low_rank`` with any rank, because its sketch is
    linear in ``R^T R``. It does not hold for rows summed over mini-batches
    (``fisher_batch_size > 1``).

    Attributes
    ----------
    ridge : ndarray of shape (d,)
        Diagonal that was added to ``R^T R``.
    diagonal : ndarray of shape (d,)
        Diagonal of A.
    inversion : str
        Algorithm by which `build` inverted A.
    options : tuple of str
        Keywords of `build` other than the rows, the ridge and the kernels. Estimators have
        parameters of the same names.
    is_matrix : bool
        True if the inverse is one dense array ``matrix`` that ``without`` downdates, so that many
        inverses can be downdated together.
    leverage_is_bounded : bool
        True if every sample of R has a leverage below 1.
    keeps_rows : bool
        True if the inverse holds the curvature rows, which are personal data. `bytes_needed` and
        `peak_bytes` then take their number, ``n_rows``.
    is_automatic : bool
        Whether "auto" may choose the structure.
    last_layers_only : bool
        Whether the parameters of the last layers of a network alone move.
    """

    ridge: NDArray
    diagonal: NDArray
    inversion: str
    options: tuple[str, ...]
    is_matrix = False
    leverage_is_bounded = True
    keeps_rows = False
    is_automatic = True
    last_layers_only = False

    @classmethod
    @abstractmethod
    def build(cls, scores: CurvatureRows, ridge: Ridge, **options: Any) -> "AbstractInverse":
        """Build the inverse from curvature rows.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows R. A stream is read chunk by chunk, at most once for each pass.
        ridge : ndarray of shape (d,) or callable
            Diagonal to add. A function is called with the diagonal of ``R^T R`` and returns it.
        **options
            The structure's `options`, and ``kernels`` of the backend (default: "numba").

        Returns
        -------
        inverse : AbstractInverse
            An instance of the class.

        Raises
        ------
        ErasureError
            If A is not positive definite or not finite.
        """

    @staticmethod
    @abstractmethod
    def bytes_needed(shapes: Shapes, **options: Any) -> int:
        """Number of bytes that the result of `build` occupies.

        Parameters
        ----------
        shapes : list of (int, int)
            Shape of the parameter matrix of each layer.
        **options
            The structure's `options` that determine the size.

        Returns
        -------
        n_bytes : int
            Bytes of all arrays of the inverse.
        """

    @classmethod
    def peak_bytes(cls, shapes: Shapes, **options: Any) -> int:
        """Peak memory of `build` in bytes, without a chunk of rows; see `bytes_needed`."""
        return PEAK_FACTOR * cls.bytes_needed(shapes, **options)

    @abstractmethod
    def solve(self, v: NDArray) -> NDArray:
        """Compute ``A^{-1} v``.

        Parameters
        ----------
        v : ndarray of shape (d,) or (d, m)
            Vector, or the columns of a matrix.

        Returns
        -------
        s : ndarray of the shape of v
            The solution.
        """

    def solve_rows(self, scores: CurvatureRows) -> NDArray:
        """Compute ``A^{-1} R^T`` for few rows.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows; they are made dense.

        Returns
        -------
        K : ndarray of shape (d, n_rows)
            The solutions, one column for each row.
        """
        return self.solve(np.ascontiguousarray(scores.to_dense().T))

    @abstractmethod
    def pending_downdate(self, scores: CurvatureRows) -> "PendingDowndate":
        """Prepare the downdate by some rows without applying it.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows to remove from A.

        Returns
        -------
        pending : PendingDowndate
            The downdate, with the spectrum that shows whether it exists.
        """

    @abstractmethod
    def update(self, scores: CurvatureRows) -> "AbstractInverse":
        """Add rows to A. The result exists for all rows.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The added rows; many rows are read chunk by chunk.

        Returns
        -------
        inverse : AbstractInverse
            A new object.

        Raises
        ------
        ErasureError
            If the rows are far larger than A, and their sum with A would lose A in rounding.
        """

    def leverage(self, scores: CurvatureRows) -> NDArray:
        """Compute the leverage of each sample.

        The leverage of a sample is the largest eigenvalue of its own block of ``R A^{-1} R^T``.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows of the samples.

        Returns
        -------
        leverage : ndarray of shape (n_samples,)
            At least 0; below 1 for samples of the curvature if `leverage_is_bounded`.
        """
        leverages = [np.zeros(0)]
        for piece in chain.from_iterable(chunk.pieces() for chunk in scores.chunks()):
            shape = piece.n_samples, piece.rows_per_sample, piece.n_parameters
            R = piece.to_dense().reshape(shape)
            K = self.solve_rows(piece).T.reshape(shape)
            leverages.append(largest_eigenvalues(K @ R.transpose(0, 2, 1)))
        return np.concatenate(leverages)

    @abstractmethod
    def to_dense(self) -> NDArray:
        """Form the inverse as a (d, d) array, on the scale of a sum over samples."""

    @property
    @abstractmethod
    def condition(self) -> float:
        """Sum of the variance inflation factors: a scale-free estimate of the condition of A."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all arrays of the inverse."""

    def downdate(self, scores: CurvatureRows) -> "AbstractInverse":
        """Remove rows from A, without a check that the result exists.

        Check `PendingDowndate.margin` of `pending_downdate` first.

        Parameters
        ----------
        scores : Scores or ScoreStream
            The rows to remove.

        Returns
        -------
        inverse : AbstractInverse
            A new object.
        """
        return self.pending_downdate(scores).inverse()

    def with_columns(self, column_map: Any, shapes: Shapes) -> "AbstractInverse":
        """Transform the inverse to a model whose input columns are affine functions of the old.

        The transformed inverse is ``(T R^T R T^T + diag(ridge))^{-1}`` with T the linear map of the
        gradients.

        Parameters
        ----------
        column_map : AffineColumns
            The affine functions of the columns.
        shapes : list of (int, int)
            Shape of the parameter matrix of each layer.

        Returns
        -------
        inverse : AbstractInverse
            A new object.

        Raises
        ------
        ErasureError
            If the structure is not closed under T.
        """
        raise ErasureError(
            "preprocessing='downdate' needs a curvature that stores the weights and the intercept "
            "of a unit in one block, got a structure that does not. Use structure='full', or "
            "'block' without block_size; or use preprocessing='keep'; or fit again."
        )

    @property
    def n_parameters(self) -> int:
        """Number of parameters d."""
        return self.ridge.size


class PendingDowndate(ABC):
    """Downdate of an inverse P by rows ``R_S``, prepared but not applied.

    Let m and V be the eigenvalues and eigenvectors of ``M = R_S P R_S^T``. The inverse without the
    rows is ``P + U diag(1 / (1 - m)) U^T`` with ``U = P R_S^T V``. It exists if and only if
    ``margin``, the smallest eigenvalue of ``I - M``, is positive.

    Attributes
    ----------
    spectrum : ndarray
        Eigenvalues m. Eigenvalues that are zero may be missing or repeated.
    leverage : ndarray of shape (n_forget_samples,)
        Leverage of each sample, as `AbstractInverse.leverage` returns it.
    """

    spectrum: NDArray
    leverage: NDArray
    _inverse: Any

    @property
    def margin(self) -> float:
        """Smallest eigenvalue of ``I - M``, at most 1; 1 for no rows."""
        return 1.0 - max(self.spectrum.max(initial=0.0), 0.0)

    @property
    def max_leverage(self) -> float:
        """Largest leverage of a sample, at least 0; below 1 if the downdate exists.

        A sample alone cannot have more leverage than all samples together, the largest eigenvalue
        m. For a structure with blocks it is the largest leverage within one block: `leverage` adds
        up the blocks.
        """
        largest = min(self.leverage.max(initial=0.0), self.spectrum.max(initial=0.0))
        return max(float(largest), 0.0)

    @abstractmethod
    def solve(self, v: NDArray, *, damped: bool = False) -> NDArray:
        """Multiply the inverse without the rows by a vector.

        Parameters
        ----------
        v : ndarray of shape (d,)
            The vector.
        damped : bool, default=False
            Whether to limit the growth of the inverse, see `factor`.

        Returns
        -------
        s : ndarray of shape (d,)
            The product.
        """

    @abstractmethod
    def inverse(self) -> AbstractInverse:
        """Return the inverse without the rows, as a new object."""

    def inverse_without_part(self, scores: Scores, factors: NDArray) -> AbstractInverse:
        """Return the inverse without a part of the rows, as a new object.

        Parameters
        ----------
        scores : Scores
            The rows.
        factors : ndarray of shape (n_samples,)
            Factors in [0, 1] that multiply the rows of each sample.

        Returns
        -------
        inverse : AbstractInverse
            The inverse without the multiplied rows.
        """
        return self._inverse.downdate(scores.scaled(factors))

    def factor(self, *, damped: bool = False) -> NDArray:
        """Weight of each eigenvector in ``P + U diag(factor) U^T``: ``1 / (1 - m)``.

        Parameters
        ----------
        damped : bool, default=False
            Whether to limit the growth of the inverse, for a step that is not reliable. Along an
            eigenvector the inverse grows by the factor ``1 / (1 - m)``; for m > 1/2 it is replaced
            by ``2 - ln(2 (1 - m))``.

        Returns
        -------
        factor : ndarray of the shape of `spectrum`
            The weights.
        """
        return downdate_factor(self.spectrum, damped=damped)


def downdate_factor(m: NDArray, *, damped: bool = False) -> NDArray:
    """Compute `PendingDowndate.factor` for eigenvalues m."""
    if not damped:
        return 1.0 / (1.0 - m)
    high = m > 0.5
    safe = np.where(high, m, 1.0)
    # Rounding may give an eigenvalue of 1 or more.
    gap = np.maximum(1.0 - np.where(high, m, 0.0), np.finfo(np.float64).eps)
    growth = 2.0 - np.log(2.0 * gap)
    return np.where(high, (growth - 1.0) / safe, 1.0 / (1.0 - np.where(high, 0.0, m)))


def largest_eigenvalues(blocks: NDArray) -> NDArray:
    """Largest eigenvalue of each of n symmetric blocks (n, c, c): (n,)."""
    if blocks.shape[1] == 1:
        return blocks[:, 0, 0]
    return np.linalg.eigvalsh(blocks)[:, -1] if len(blocks) else np.zeros(0)


def largest_eigenvalues_by_sample(M: NDArray, scores: CurvatureRows) -> NDArray:
    """Largest eigenvalue of each sample's own block of ``M = R P R^T``: (n_samples,)."""
    n = scores.n_samples
    c = scores.rows_per_sample
    samples = np.arange(n)
    return largest_eigenvalues(M.reshape(n, c, n, c)[samples, :, samples])
