"""Limits of the training rows, by which rows that were not among them are recognised.

A model keeps no rows, but three numbers about them: the largest norm of a row, and the smallest and
the mean absolute log-odds of a row's label. A forget row with a larger norm or smaller log-odds was
not among the training rows, or not with this label or this scaling.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import row_norms

from sklearn_ssse._erasure.path import unweighted
from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError

# Largest norm of a forget row, as a multiple of the largest norm of a training row. The excess is
# for rows that were rounded when they were stored.
NORM_TOLERANCE = 1.01
# Tolerance of the log-odds, as a share of their absolute value plus 1, for the same reason.
LOG_ODDS_TOLERANCE = 0.01
# After earlier changes, the log-odds of a row may be lower than at fit by this multiple of the
# estimated bound sqrt(h) D of their change.
DRIFT = 2.0

CHECK = (
    "Check that these rows were in the training data, with these labels, weights and this scaling; "
    "for a pipeline, pass them to `unlearn(pipeline, X, y)` as they were before its first step"
)


class RowLimits(NamedTuple):
    """Limits of the training rows and of the log-odds of their labels.

    Attributes
    ----------
    largest_norm : float
        Euclidean norm of a row of X, without the intercept.
    least_log_odds : float
        Smallest log-odds of the label that a row has, at the parameters of the curvature.
    mean_log_odds : float
        Mean absolute log-odds of these labels.
    """

    largest_norm: float = np.inf
    least_log_odds: float = -np.inf
    mean_log_odds: float = 0.0

    @classmethod
    def of(cls, batch: Any) -> "RowLimits":
        """The limits of the rows of positive weight of a batch, chunk by chunk."""
        norm = 0.0
        least = np.inf
        total = 0.0
        count = 0
        theta = batch.family.theta
        for rows in slices(batch.n_samples, batch.chunk_size):
            some = batch.take(rows)
            some = some if some.weight.all() else some.take(np.flatnonzero(some.weight))
            norm = max(norm, norms_of_rows(some.X).max(initial=0.0))
            log_odds = some.log_odds(theta)[0]
            least = min(least, log_odds.min(initial=np.inf))
            total += np.abs(log_odds).sum()
            count += log_odds.size
        return cls(float(norm), float(least), float(total / max(count, 1)))

    def with_added(self, norms: NDArray, log_odds: NDArray) -> "RowLimits":
        """The limits after rows with these norms and log-odds of their labels are added."""
        return self._replace(
            largest_norm=max(self.largest_norm, float(norms.max(initial=0.0))),
            least_log_odds=min(self.least_log_odds, float(log_odds.min(initial=np.inf))),
        )

    def with_columns(self, column_map: Any) -> "RowLimits":
        """The limits after a change of the columns; of the norm, an upper bound."""
        scale = float(np.abs(column_map.scale).max(initial=0.0))
        norm = scale * self.largest_norm + float(np.linalg.norm(column_map.shift))
        return self._replace(largest_norm=norm)

    def too_long(self, norms: NDArray) -> NDArray:
        """Which rows have a larger norm than any training row, (k,)."""
        return ~(norms <= NORM_TOLERANCE * self.largest_norm)

    def too_unlikely(self, log_odds: NDArray, drift: NDArray | float) -> NDArray:
        """Which rows have a label of lower log-odds than any training row had, (k,).

        Parameters
        ----------
        log_odds : ndarray of shape (k,)
            Log-odds of the labels at the present parameters.
        drift : ndarray of shape (k,) or float
            Estimated bound of their change since the curvature was computed.
        """
        least = self.least_log_odds
        tolerance = LOG_ODDS_TOLERANCE * (1.0 + abs(least)) + DRIFT * drift
        return ~(log_odds >= least - tolerance)


def norms_of_rows(X: Any) -> NDArray:
    """Euclidean norms of rows, dense or CSR, (n_rows,), in float64; infinite if one overflows."""
    with np.errstate(over="ignore"):
        return row_norms(X.astype(np.float64, copy=False))


def check_norms(batch: Any, limits: RowLimits) -> None:
    """Refuse forget rows, in a `Batch`, with a larger norm than any training row."""
    norms = norms_of_rows(batch.X)
    too_long = limits.too_long(norms)
    if too_long.any():
        raise ErasureError(
            f"Forget rows must be training rows, got {too_long.sum()} of {norms.size} with a "
            f"larger norm than any training row ({_times(norms, limits)}). {CHECK}."
        )


def check_label_odds(batch: Any, log_odds: NDArray, state: Any, inverse: Any) -> None:
    """Refuse forget rows with a label that is less likely than the label of any training row.

    Parameters
    ----------
    batch : Batch
        The forget rows.
    log_odds : ndarray of shape (k, n_outputs)
        Log-odds of their labels.
    state : ErasureState
    inverse : AbstractInverse
        The stored inverse.
    """
    limits = state.limits
    lowest = log_odds.min(axis=1)
    unlikely = np.flatnonzero(limits.too_unlikely(lowest, 0.0))
    if unlikely.size and state.path.has_moved:
        unlikely = _still_unlikely(batch, unlikely, lowest, state, inverse)
    if unlikely.size:
        raise ErasureError(
            f"Forget rows must be training rows, got {unlikely.size} of {lowest.size} with a label "
            "to which the model gives a lower probability than to the label of any training row. "
            f"{CHECK}."
        )


def _still_unlikely(
    batch: Any, rows: NDArray, lowest: NDArray, state: Any, inverse: Any
) -> NDArray:
    """The rows whose log-odds are too low even if the parameters moved as far as possible.

    For a net, whose log-odds can move by any amount, there are none.
    """
    if not batch.family.is_convex:
        return rows[:0]
    scores = batch.take(rows).scores(state.curvature).collect()
    h = unweighted(inverse.leverage(scores), scores)
    drift = np.sqrt(h) * state.path.length
    return rows[state.limits.too_unlikely(lowest[rows], drift)]


def _times(norms: NDArray, limits: RowLimits) -> str:
    """The largest norm as a multiple of the limit, in words."""
    largest = float(norms.max())
    if not np.isfinite(largest):
        return "it overflows"
    if limits.largest_norm == 0.0:
        return "all training rows are zero"
    return f"up to {largest / limits.largest_norm:.3g} times as large"
