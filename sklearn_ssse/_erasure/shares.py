"""Shares of the training rows that changed since the curvature was computed, and their limits.

Beyond the first limits, a refresh of the model is recommended. Beyond the second, a logistic
regression refuses further erasures until it is refreshed. One call of any size is never refused
for its share: the limits apply to the calls before it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    effect : float
        Squared lengths of the steps that erase each of the erased rows alone, added up, divided by
        their expected sum over all rows. For random rows it is at most their share.
    """

    rows: float
    of_class: float
    curvature: float
    effect: float


# Limits beyond which a refresh is recommended: for the Hessian as curvature, for other curvatures,
# and for steps of second order. Measured in bench_stream.py: on random streams with the Hessian and
# C <= 1 no distance ratio exceeds .36 before them.
RECOMMENDED = Shares(rows=0.1, of_class=0.25, curvature=0.3, effect=0.18)
RECOMMENDED_OTHER = Shares(rows=0.1, of_class=0.25, curvature=0.3, effect=0.25)
RECOMMENDED_SECOND_ORDER = Shares(rows=0.25, of_class=0.25, curvature=0.3, effect=0.3)
# Limits beyond which a logistic regression refuses a further erasure, for the Hessian as curvature
# and for other curvatures. Measured there: without them, streams by class ruin models.
REFUSED = Shares(rows=1.0, of_class=0.6, curvature=0.65, effect=0.6)
REFUSED_OTHER = Shares(rows=0.3, of_class=0.3, curvature=0.4, effect=0.35)
# Number of vectors of signs that estimate a trace for an inverse that is not one matrix.
N_SIGNS = 8

TINY = np.finfo(np.float64).tiny
REASONS = (
    "{:.1%} of the training rows were erased or added since the curvature was computed",
    "{:.1%} of the rows of a class were erased since the curvature was computed",
    "{:.1%} of the curvature was erased since it was computed",
    "the erased rows had as much influence as {:.1%} of the training rows, drawn at random",
)


def changed_shares(state: Any, curvature: float, effect: float) -> Shares:
    """The shares that changed since the curvature was computed.

    Parameters
    ----------
    state : ErasureState
    curvature : float
        `erased_curvature`.
    effect : float
        Of the path.
    """
    at_fit = state.fit_class_mass
    gone = np.divide(
        at_fit - state.class_mass, at_fit, out=np.zeros(at_fit.shape), where=at_fit > 0
    )
    of_class = gone.max(initial=0.0)
    rows = float(state.changed / state.fit_mass)
    return Shares(rows, float(of_class), curvature, effect / state.expected_square)


def erased_curvature(state: Any, inverse: Any) -> float:
    """Share of the curvature that was erased since it was computed, `Shares.curvature`.

    Parameters
    ----------
    state : ErasureState
    inverse : AbstractInverse
        The inverse curvature of the same rows.
    """
    if not state.path.has_moved:
        return 0.0
    return float(1.0 - (inverse.diagonal - inverse.ridge) @ state.diagonal_weights)


def diagonal_weights(inverse: Any) -> NDArray:
    """Weights (d,) with which the diagonal of ``R^T R`` has the sum 1, equal parts for each number.

    Numbers that are zero have the weight 0.
    """
    diagonal = inverse.diagonal - inverse.ridge
    positive = diagonal > TINY
    count = max(int(positive.sum()), 1)
    return np.divide(1.0, count * diagonal, out=np.zeros(diagonal.size), where=positive)


def expected_square(batch: Any, inverse: Any) -> float:
    """Sum over the rows of the expected squared norms of their gradients.

    The norm is in the metric of the inverse curvature P. Divided by the number of rows, it is the
    mean square for one random row. Without sample weights the sum is ``tr(P R^T R)``, which equals
    ``d - ridge @ diag(P)`` because ``R^T R + diag(ridge)`` is the inverse of P: the sum over the
    given labels for the empirical Fisher information, and its expectation over labels that the
    model draws for the Fisher information. Sample weights multiply it by their mean, weighted by
    themselves, which is exact for equal weights. For an inverse that is one matrix the trace is
    exact; otherwise it is estimated from `N_SIGNS` products with random signs. For a low-rank
    inverse, P and the curvature are inverse to each other only approximately.

    Parameters
    ----------
    batch : LinearBatch
    inverse : AbstractInverse

    Returns
    -------
    float
    """
    if inverse.is_matrix:
        ridge_part = inverse.ridge @ inverse.matrix.diagonal()
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (inverse.n_parameters, N_SIGNS))
        signs *= np.sqrt(inverse.ridge)[:, np.newaxis]
        ridge_part = np.einsum("dj,dj->", signs, inverse.solve(signs)) / N_SIGNS
    mass = batch.weight.sum()
    mean_weight = batch.weight @ (batch.weight / mass) if mass > 0 else 0.0
    return float(mean_weight * (inverse.n_parameters - ridge_part))


def excess(shares: Shares, limits: Shares) -> str:
    """A clause about the first share that exceeds its limit; empty if none does."""
    for share, limit, reason in zip(shares, limits, REASONS, strict=True):
        if share > limit:
            return f"{reason.format(share)} (at most {limit:.0%} is reliable)"
    return ""


def recommendation(path: Any, shares: Shares, curvature: str) -> str:
    """The reason for a refresh after a change; empty if there is none."""
    if path.recommended or not path.has_moved:
        return path.recommended
    if path.second_order is not None:
        return excess(shares, RECOMMENDED_SECOND_ORDER)
    exact = CURVATURES[curvature].is_hessian
    return excess(shares, RECOMMENDED if exact else RECOMMENDED_OTHER)


def refusal(state: Any, curvature: float) -> str:
    """The reason to refuse a further erasure from a logistic regression; empty if there is none.

    Parameters
    ----------
    state : ErasureState
        Before the change.
    curvature : float
        `erased_curvature`.
    """
    if not state.path.has_moved:
        return ""
    limits = REFUSED if CURVATURES[state.curvature].is_hessian else REFUSED_OTHER
    return excess(changed_shares(state, curvature, state.path.effect), limits)


def check_shares(state: Any, curvature: float) -> None:
    """Refuse to continue a stream of erasures from a convex model for too long, see `refusal`."""
    reason = refusal(state, curvature)
    if reason:
        raise ErasureError(
            "A model must be refreshed before a stream of erasures changes it too much, but "
            f"{reason}. Call `refresh` with the retained rows, then erase these rows."
        )
