"""Shares of the training rows that changed since the curvature was computed, and their limits.

Beyond the first limits, a refresh of the model is recommended. Beyond the second, a logistic
regression refuses further erasures until it is refreshed. One call of any size is never refused
for its share: the limits apply to the calls before it.
"""

from typing import Any, NamedTuple

import numpy as np

from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse.exceptions import ErasureError


class Shares(NamedTuple):
    """Shares in [0, 1], or limits of them.

    Attributes
    ----------
    rows : float
        Weight of the rows that were erased or added, divided by the weight of all rows.
    of_class : float
        Weight of the rows of a class that are gone, divided by the weight of the class; the largest
        of all classes.
    curvature : float
        Mean over the parameters of the share of the diagonal of ``R^T R`` that is gone.
    """

    rows: float
    of_class: float
    curvature: float


# Limits beyond which a refresh is recommended, for steps of first and of second order. Measured in
# bench_stream.py: on random streams with C <= 1 no ratio exceeds .35 before them.
RECOMMENDED = Shares(rows=0.1, of_class=0.25, curvature=0.3)
RECOMMENDED_SECOND_ORDER = Shares(rows=0.25, of_class=0.25, curvature=0.3)
# Limits beyond which a logistic regression refuses a further erasure, for the Hessian as curvature
# and for other curvatures. Measured there: without them, streams by class ruin models.
REFUSED = Shares(rows=1.0, of_class=0.6, curvature=0.65)
REFUSED_OTHER = Shares(rows=0.3, of_class=0.3, curvature=0.4)

DESCRIPTIONS = (
    "the training rows were erased or added",
    "the rows of a class were erased",
    "the curvature was erased",
)


def changed_shares(state: Any, inverse: Any) -> Shares:
    """The shares that changed since the curvature was computed.

    Parameters
    ----------
    state : ErasureState
    inverse : AbstractInverse
        The inverse curvature of the same rows.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        classes = (state.fit_class_mass - state.class_mass) / state.fit_class_mass
        diagonal = 1.0 - (inverse.diagonal - inverse.ridge) / state.fit_diagonal
    finite = np.isfinite(diagonal)
    return Shares(
        rows=float(state.changed / state.fit_mass),
        of_class=float(np.nanmax(classes, initial=0.0)),
        curvature=float(diagonal[finite].mean()) if state.changed and finite.any() else 0.0,
    )


def excess(shares: Shares, limits: Shares) -> str:
    """A clause about the first share that exceeds its limit; empty if none does."""
    for share, limit, description in zip(shares, limits, DESCRIPTIONS, strict=True):
        if share > limit:
            return (
                f"{share:.0%} of {description} since the curvature was computed (at most "
                f"{limit:.0%} is reliable)"
            )
    return ""


def recommendation(path: Any, shares: Shares) -> str:
    """The reason for a refresh after a change; empty if there is none."""
    if path.recommended or not path.has_moved:
        return path.recommended
    limits = RECOMMENDED if path.second_order is None else RECOMMENDED_SECOND_ORDER
    return excess(shares, limits)


def refused_shares(curvature: str) -> Shares:
    """The limits beyond which a logistic regression refuses a further erasure."""
    return REFUSED if CURVATURES[curvature].is_hessian else REFUSED_OTHER


def check_shares(state: Any, inverse: Any) -> None:
    """Refuse to continue a stream of erasures from a convex model for too long."""
    if not state.path.has_moved:
        return
    reason = excess(changed_shares(state, inverse), refused_shares(state.curvature))
    if reason:
        raise ErasureError(
            "A model must be refreshed before a stream of erasures changes it too much, but "
            f"{reason}. Call `refresh` with the retained rows, then erase these rows."
        )
