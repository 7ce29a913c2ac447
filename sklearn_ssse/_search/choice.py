"""The eps that a search takes: the one with the largest gamma_S, unless a check fails.

gamma_S alone is not enough. It tends to 0.5 for a step that is far too long, so that such a step
has the largest gamma_S if all others are below 0.5.
"""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure import Multiple, read_epsilon
from sklearn_ssse._search.forget_set import MEASURES
from sklearn_ssse._utils.warnings import warn

# Factor between an edge of the grid and the value beyond it at which gamma_S is measured, too.
EDGE_STEP = 1.25
AUTO = Multiple(1.0)


class Means(NamedTuple):
    """Mean measures of each eps: the candidates of a search, then those of `extra_epsilons`.

    Attributes
    ----------
    epsilons : list of float or str
    n_candidates : int
    scores : ndarray of shape (n_epsilons,)
        Mean gamma_S.
    ratios : ndarray of shape (n_epsilons,)
        Mean distance ratio in the norm of the Hessian; nan if it is not defined.
    """

    epsilons: list
    n_candidates: int
    scores: np.ndarray
    ratios: np.ndarray

    @classmethod
    def of(cls, epsilons, n_candidates, measured, informative):
        """The means over forget sets, see `defined_scores`, on which a measure is defined."""
        scores = measured[informative, :, 0].mean(axis=0)
        ratios = measured[:, :, 1 + MEASURES.index("distance_ratio_hessian")]
        defined = ratios[~np.isnan(ratios).all(axis=1)]
        if not len(defined):
            return cls(epsilons, n_candidates, scores, np.full(len(epsilons), np.nan))
        # A ratio that is nan for some eps only belongs to parameters that overflow.
        ratios = np.where(np.isnan(defined), np.inf, defined).mean(axis=0)
        return cls(epsilons, n_candidates, scores, ratios)


class Choice(NamedTuple):
    """The eps that a search takes.

    Attributes
    ----------
    epsilon : float or str
    position : int or None
        Among the candidates; None for an "auto" that is not one of them.
    score : float
        Mean gamma_S.
    """

    epsilon: object
    position: object
    score: float


def extra_epsilons(epsilons):
    """The values that the checks need beside the candidates: "auto", and one beyond each edge.

    Empty for a single candidate, which is taken whatever its gamma_S.
    """
    if len(epsilons) == 1:
        return []
    extra = [] if AUTO in map(read_epsilon, epsilons) else ["auto"]
    edges = _edges(epsilons)
    return extra + [_beyond(eps, edges) for eps in edges]


def choose(means, tolerance, *, trust_best):
    """The first candidate within the tolerance of the largest gamma_S that passes the checks.

    Parameters
    ----------
    means : Means
    tolerance : float
    trust_best : bool
        Whether to make no checks.

    Returns
    -------
    Choice

    Warns
    -----
    ErasureWarning
        If the best candidate fails a check.
    """
    n = means.n_candidates
    best = _first_within(means.scores[:n], tolerance)
    taken = best
    if not trust_best:
        failed = [_failed_checks(means, i, tolerance) for i in range(n)]
        passed = np.array([not checks for checks in failed])
        if failed[best]:
            taken = _replacement(means, best, passed, tolerance)
            warn(_message(means, best, taken, failed[best], any_passed=passed.any()))
    position = taken if taken < n else None
    return Choice(means.epsilons[taken], position, float(means.scores[taken]))


def _first_within(scores, tolerance):
    """The first position whose score is at most the tolerance below the largest; nan is lowest."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    return int(np.argmax(scores >= scores.max() - tolerance))


def _replacement(means, best, passed, tolerance):
    """The position that replaces the best one: the best that passes the checks, or "auto".

    A single candidate is not replaced, and no candidate is replaced by an eps whose gamma_S is no
    larger and whose distance ratio is worse.
    """
    n = means.n_candidates
    if n == 1:
        return best
    if passed.any():
        taken = _first_within(np.where(passed, means.scores[:n], np.nan), tolerance)
    else:
        taken = _position_of_auto(means)
    is_worse = (
        means.scores[taken] <= means.scores[best] and means.ratios[taken] > means.ratios[best]
    )
    return best if is_worse else taken


def _edges(epsilons):
    """The smallest and the largest number of a grid; empty if it has fewer than two numbers."""
    read = {read_epsilon(eps) for eps in epsilons}
    numbers = [eps for eps in read if not isinstance(eps, Multiple)]
    return [min(numbers), max(numbers)] if len(numbers) > 1 else []


def _beyond(eps, edges):
    """The value beyond an edge at which gamma_S is measured, too."""
    return eps / EDGE_STEP if eps == edges[0] else eps * EDGE_STEP


def _position_of_auto(means):
    """The position of "auto", which is a candidate or an extra value."""
    return [read_epsilon(eps) for eps in means.epsilons].index(AUTO)


def _failed_checks(means, i, tolerance):
    """The checks that candidate i fails, by name, each with the numbers that show it."""
    n = means.n_candidates
    eps = means.epsilons[i]
    score = means.scores[i]
    failed = {}
    if np.isnan(score):
        failed["gamma"] = "its gamma_S is nan"
    if means.ratios[i] > 1:
        failed["distance"] = (
            f"its mean distance ratio in the norm of the Hessian is {means.ratios[i]:.3g}, and "
            "without an erasure it is 1"
        )
    if n == 1:
        return failed
    edges = _edges(means.epsilons[:n])
    if eps in edges:
        beyond = _beyond(eps, edges)
        higher = means.scores[means.epsilons.index(beyond, n)]
        if higher > score:
            side = "smallest" if eps == edges[0] else "largest"
            failed["edge"] = (
                f"it is the {side} number of `epsilons`, and gamma_S still rises beyond it, to "
                f"{higher:.3g} at {beyond:.3g}"
            )
    of_auto = means.scores[_position_of_auto(means)]
    if score < of_auto - tolerance:
        failed["auto"] = f"its gamma_S is below the gamma_S of 'auto', {of_auto:.3g}"
    return failed


def _message(means, best, taken, failed, *, any_passed):
    """The text of the warning that the best candidate fails some checks."""
    eps = means.epsilons[best]
    if taken != best:
        ratio = means.ratios[taken]
        ratio = "" if np.isnan(ratio) else f" and distance ratio {ratio:.3g}"
        outcome = (
            f"{means.epsilons[taken]!r} was taken instead, with gamma_S "
            f"{means.scores[taken]:.3g}{ratio}."
        )
    elif means.n_candidates == 1:
        outcome = "It was taken because `epsilons` has no other value."
    else:
        outcome = "It was taken because no other value is better."
    if "edge" in failed:
        outcome += " Extend `epsilons` beyond this edge."
    if not any_passed and "distance" in failed:
        outcome += (
            " Lower `tol` of the model so that each refit converges, or use larger forget sets or "
            "curvature='fisher'."
        )
    return (
        f"The eps with the largest gamma_S must pass the checks of TunedEpsilonCV, got {eps!r} "
        f"with gamma_S {means.scores[best]:.3g}: {'; '.join(failed.values())}. {outcome} Set "
        "trust_best=True to skip the checks."
    )
