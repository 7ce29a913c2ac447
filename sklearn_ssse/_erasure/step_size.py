"""The size of a step: silent, doubtful or ruinous, by the log-odds of the rows that it changes.

`docs/guards.md` states the rules, and the measurements behind them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.guards import DOUBTFUL_MARGIN
from sklearn_ssse._erasure.row_limits import CHECK, RowLimits
from sklearn_ssse._erasure.shares import TINY
from sklearn_ssse.exceptions import ErasureError

# Largest mean change of the log-odds of the forget rows' labels, in nats, after a refresh was
# recommended. With 2, 6 of 27 streams end with a ruined model, with .5 none.
LARGEST_LOG_ODDS = 0.5
# Mean change of the log-odds of the changed rows' labels, in nats, from which a step of a convex
# model is doubtful: for several rows, and for a single row. Up to the first, erasures were at most
# .04 in accuracy below retraining, above it up to .16. Random rows of digits, one by one, change by
# up to 4.4.
DOUBTFUL_LOG_ODDS = 1.0
DOUBTFUL_LOG_ODDS_ALONE = 6.0
# The same for several rows and a structure that keeps a part of the inverse, such as its diagonal.
DOUBTFUL_LOG_ODDS_OF_PART = 0.5
# A single row's change from which a step is doubtful, in nats, if it is also this multiple of the
# mean change. 1,000 random rows of Covertype, among them the only rows of a rare category, had a
# change of 1.2 for one row, .02 on average, and a distance ratio of .76.
DOUBTFUL_OF_ONE_ROW = 1.0
DOUBTFUL_MULTIPLE_OF_MEAN = 20.0
# Mean change, in nats, from which a step ruins the model, and the same as a multiple of the mean
# absolute log-odds of the training rows' labels at fit; the larger one holds. Of 2,340 erasures of
# training rows, C <= 100, the largest change is 12.4; of rows that were never training rows, most
# changes are above 100.
RUINOUS_LOG_ODDS = 20.0
RUINOUS_MULTIPLE = 2.0
# Largest eps as a multiple of the automatic one. At 2.5 times, 72 % of 105 erasures with the
# empirical Fisher information were farther from retraining than no erasure, at twice 44 %.
LARGEST_MULTIPLE = 2.5
# The same for a net, as a multiple of the eps for random rows. Of 360 steps with eps by hand, four
# below the limit above cost a net more than 5 points of accuracy; they were 1.6 to 2.5 times it.
LARGEST_MULTIPLE_OF_NET = 1.5
# Longest step of a net without a warning, as a multiple of the norm of the parameters.
LONGEST_STEP = 1.0
# The same for an eps by hand of a net without an automatic eps. Random forget sets have steps of at
# most .3 at the automatic eps.
LONGEST_STEP_BY_HAND = 0.4
# Mean change of the log-odds of the rows that a net learns, as a multiple of the mean absolute
# log-odds of the training rows' labels, from which the step is doubtful. Of 148 sets of hostile
# rows that cost a net more than 5 points of accuracy, 146 are above it; of 383 sets of unseen rows
# of the same data 9 %, among them all 12 that cost as much.
DOUBTFUL_SHARE = 0.3
# The same for the rows that a net forgets, in nats and as a multiple of the mean; the larger one
# holds, and only if at most the last share of a class is erased: the log-odds of a class that
# becomes rarer change more.
DOUBTFUL_LOG_ODDS_OF_NET = 5.0
DOUBTFUL_SHARE_OF_FORGET_ROWS = 0.5
LARGEST_SHARE_OF_CLASS = 0.25
# Norm of an added row, as a multiple of the largest norm of a training row, from which it is likely
# that the row was not scaled as the training rows were.
DOUBTFUL_NORM = 2.0


class StepSize(NamedTuple):
    """Changes of the log-odds of the forget rows' and the added rows' labels, in nats.

    For several outputs the change of a row is the largest of its changes.

    Attributes
    ----------
    mean : float
        Weighted mean of the absolute changes, of the forget rows or of the added rows: the larger.
    largest : float
        The largest absolute change.
    n_rows : int
        Number of the rows.
    """

    mean: float = 0.0
    largest: float = 0.0
    n_rows: int = 0

    @classmethod
    def of(cls, before: NDArray | None, after: NDArray | None, weight: NDArray) -> "StepSize":
        """The size of a step for log-odds before and after it, (k, n_outputs); None for no rows."""
        if before is None or after is None:
            return cls()
        change = np.abs(after - before).max(axis=1)
        return cls(float(weight @ change / weight.sum()), float(change.max()), len(change))

    def joined(self, other: "StepSize") -> "StepSize":
        """The size of a step with other rows too."""
        return StepSize(
            max(self.mean, other.mean),
            max(self.largest, other.largest),
            max(self.n_rows, other.n_rows),
        )


def ruinous_log_odds(limits: RowLimits) -> float:
    """Mean change of the log-odds of the labels from which a step ruins the model."""
    return max(RUINOUS_LOG_ODDS, RUINOUS_MULTIPLE * limits.mean_log_odds)


def is_refused(size: StepSize, state: Any) -> bool:
    """Whether `check_size` or, late in a stream, `check_size_late` refuses a step."""
    late = LARGEST_LOG_ODDS if state.path.recommended else np.inf
    return not size.mean <= min(ruinous_log_odds(state.limits), late)


def check_size(size: StepSize, limits: RowLimits, epsilon: float) -> None:
    """Refuse a step that would ruin the model."""
    limit = ruinous_log_odds(limits)
    if not size.mean <= limit:
        raise ErasureError(
            "A step must not change the log-odds of the forget rows' labels by more than "
            f"{limit:.3g} on average, got {size.mean:.3g} at epsilon {epsilon:.3g}: it would ruin "
            f"the model. {CHECK}. Otherwise lower `epsilon`, or call `refresh`."
        )


def check_size_late(size: StepSize) -> None:
    """Refuse a step that changes the log-odds of the forget rows too much, late in a stream."""
    if not size.mean <= LARGEST_LOG_ODDS:
        raise ErasureError(
            "After earlier erasures a step must not change the log-odds of the forget rows by more "
            f"than {LARGEST_LOG_ODDS:g} on average, got {size.mean:.3g}: the curvature does not "
            "hold that far. Call `refresh` with the retained rows, then erase these rows."
        )


def doubts_of_step(
    size: StepSize, multiple: float, epsilon: float, *, is_whole: bool = True
) -> list[str]:
    """Messages for a step of a convex model, of this size and multiple of the automatic eps.

    ``is_whole`` is False for a structure that keeps a part of the inverse.
    """
    several = DOUBTFUL_LOG_ODDS if is_whole else DOUBTFUL_LOG_ODDS_OF_PART
    limit = several if size.n_rows > 1 else DOUBTFUL_LOG_ODDS_ALONE
    return [*_doubts_of_epsilon(multiple, epsilon, LARGEST_MULTIPLE), *_doubts_of_size(size, limit)]


def doubts_of_curvature(
    missing: NDArray | None, solution: NDArray, square: float, epsilon: float, margin: float
) -> list[str]:
    """Messages for a step of a convex model: of a damping by hand, and of the margin.

    Parameters
    ----------
    missing : ndarray of shape (d,) or None
        See `doubts_of_penalty`; None for an automatic damping.
    solution, square, epsilon
        See `doubts_of_penalty`.
    margin : float
        See `doubts_of_margin`; nan for a step with leave-out.
    """
    doubts = doubts_of_margin(margin)
    if missing is not None:
        doubts += doubts_of_penalty(missing, solution, square, epsilon)
    return doubts


def doubts_of_penalty(
    missing: NDArray, solution: NDArray, square: float, epsilon: float
) -> list[str]:
    """Messages for a step of a convex model that is too long because of a small damping.

    The best eps along a solution s is ``s^T A s / (s^T A s + s^T diag(missing) s)`` for a curvature
    A that is exact but for its ridge.

    Parameters
    ----------
    missing : ndarray of shape (d,)
        The L2 penalty of each parameter minus the ridge of the curvature.
    solution : ndarray of shape (d,)
        The step at eps = 1.
    square : float
        Its squared length in the norm of the curvature.
    epsilon : float
    """
    excess = float(missing @ solution**2)
    multiple = epsilon * (1.0 + excess / max(square, TINY))
    if excess <= 0.0 or multiple <= LARGEST_MULTIPLE:
        return []
    return [
        f"A step should be at most {LARGEST_MULTIPLE:g} times as long as the L2 penalty allows, "
        f"got {multiple:.3g} times at epsilon {epsilon:.3g}: the damping of the curvature is "
        f"smaller than the penalty. Use damping='auto', or epsilon {epsilon / multiple:.3g}."
    ]


def doubts_of_margin(margin: float) -> list[str]:
    """Messages for a step of a convex model without leave-out, whose margin is almost zero."""
    if not margin < DOUBTFUL_MARGIN:
        return []
    return [
        "The rows must not dominate the curvature in any direction, got "
        f"{margin:.2g} as smallest eigenvalue of I - R P R^T (reliable from {DOUBTFUL_MARGIN}): "
        "the step may be far too short. Compare with retraining, use leave_out=True, or erase "
        "fewer rows at once."
    ]


def doubts_of_net(length: float, multiple: float, epsilon: float) -> list[str]:
    """Messages for a step of a net.

    Parameters
    ----------
    length : float
        Norm of the step, as a multiple of the norm of the parameters.
    multiple : float
        eps as a multiple of the automatic one; nan if that is not known.
    epsilon : float
    """
    doubts = _doubts_of_epsilon(multiple, epsilon, LARGEST_MULTIPLE_OF_NET)
    if length > (LONGEST_STEP_BY_HAND if np.isnan(multiple) else LONGEST_STEP):
        doubts.append(
            "A step must be short compared with the parameters, so that the net is linear along "
            f"it, got {length:.2g} times their norm. Compare with retraining, erase fewer rows at "
            "once, or lower `epsilon`."
        )
    return doubts


def _doubts_of_size(size: StepSize, limit: float) -> list[str]:
    """Messages for a step of a convex model that is too long for its quadratic model."""
    if size.mean > limit:
        return [
            "A step should not change the log-odds of the rows' labels by more than "
            f"{limit:g} on average, got {size.mean:.3g}: the quadratic model of the "
            "loss may not hold that far. Compare with retraining, or call `refresh` with the "
            "retained rows."
        ]
    single = max(DOUBTFUL_OF_ONE_ROW, DOUBTFUL_MULTIPLE_OF_MEAN * size.mean)
    if size.largest > single:
        return [
            "A step should not change the log-odds of a single row's label by more than "
            f"{single:.3g}, got {size.largest:.3g} (mean {size.mean:.3g}): a few rows determine a "
            "parameter, for example the coefficient of a rare category, and it may be far from "
            "retraining. Compare with retraining, or call `refresh` with the retained rows."
        ]
    return []


def _doubts_of_epsilon(multiple: float, epsilon: float, limit: float) -> list[str]:
    """Messages for an eps that is a larger multiple of the automatic one than the limit."""
    if not multiple > limit:
        return []
    return [
        f"epsilon should be at most {limit:g} times the automatic one, got "
        f"{multiple:.3g} times ({epsilon:.3g}): the model may be farther from retraining than "
        f"without the step. Use epsilon='auto', or about {epsilon / multiple:.3g}."
    ]


def doubts_of_forget_labels(forget: StepSize, before: Any, after: Any) -> list[str]:
    """Messages for a step of a net that changes the log-odds of random forget rows too much.

    ``before`` and ``after`` are the states before and after the change.
    """
    usual = DOUBTFUL_SHARE_OF_FORGET_ROWS * before.limits.mean_log_odds
    limit = max(DOUBTFUL_LOG_ODDS_OF_NET, usual)
    erased = before.class_mass - after.class_mass
    is_random = bool((erased <= LARGEST_SHARE_OF_CLASS * before.class_mass).all())
    if not (is_random and forget.mean > limit):
        return []
    return [
        "A step should not change the log-odds of the forget rows' labels by more than "
        f"{limit:.3g} on average, got {forget.mean:.3g}: the net may predict other rows worse than "
        "before. Compare its accuracy before and after, lower `epsilon`, or call `refresh` with "
        "the retained rows."
    ]


def doubts_of_added_labels(added: StepSize, limits: RowLimits) -> list[str]:
    """Messages for a step of a net that changes the log-odds of the added rows too much."""
    limit = DOUBTFUL_SHARE * limits.mean_log_odds
    if added.mean <= limit:
        return []
    return [
        "A step should not change the log-odds of the added rows' labels by more than "
        f"{limit:.3g} on average, {DOUBTFUL_SHARE:g} of the mean for the training "
        f"rows, got {added.mean:.3g}: the net may predict other rows worse than before. Compare "
        "its accuracy before and after, add fewer rows at once, or call `refresh` with all rows."
    ]


def doubts_of_added_norms(multiple: float) -> list[str]:
    """Messages for added rows whose norm is a multiple of the largest norm of a training row."""
    if multiple <= DOUBTFUL_NORM:
        return []
    return [
        f"Added rows should be scaled as the training rows were, got a row whose norm is "
        f"{multiple:.3g} times the largest norm of a training row. Check the scaling and the units."
    ]
