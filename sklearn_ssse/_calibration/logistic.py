"""The automatic damping and the automatic eps of logistic regression.

Both compare the stored curvature A with the Hessian H of the objective, which is not stored. On the
quadratic model of the retained objective, the best step along ``s = A^{-1} g_S`` is
``g_S^T s / (s^T H_{-S} s)``. `calibrate` draws pseudo-forget sets and stores
``rho(S) = s^T H_{-S} s / (s^T A_{-S} s)``: one number for a random set, and one for a part of each
class. `Calibration.epsilon` computes eps for a real forget set from these numbers.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq

from sklearn_ssse._gradients import CURVATURES, HESSIAN

# Floors of the automatic damping, as shares of the curvature's own diagonal. FLOOR is for a
# parameter without penalty. FLOOR_FLAT is for a flat direction, such as a constant added to all
# outputs of softmax, so that the inverse remains accurate.
FLOOR = 1e-12
FLOOR_FLAT = 1e-7
# Share of the rows in the random pseudo-forget set, and share of a class in the pseudo-forget set
# of the class. From .05 to 1/3 the results are the same (docs/constants.md).
SHARE = 0.1
# Largest number of rows that are all used; of more rows, a sample with equally many rows of each
# class is used, which limits the time of a fit. On 25,000 to 33,000 rows the sample changes rho by
# no more than another random draw does.
MAX_ROWS = 10_000
# Largest share phi of the curvature along a step that the erased rows are taken to have. It matters
# when rows are erased in many calls: with .99 the worst of 48 distance ratios is 31, with .5 3.3.
MAX_PHI = 0.5
# Smallest share of the curvature along a step that the retained rows are taken to have, with
# leave-out: a smaller one is rounding.
LEAST_REMAINING = 1e-12
# Largest logarithm of rho, without unit. The parts of the classes have weights of the sum 1, but of
# either sign: if they nearly cancel, the sum of the logarithms is not bounded.
LARGEST_LOG_RHO = 100.0
# Largest number of iterations of a root search: as many bisections reach the smallest float64.
MAX_BISECTIONS = 1200


def automatic_ridges(batch, curvature):
    """Ridges for ``damping="auto"``: the L2 penalty at the scale of the curvature, with a floor.

    Parameters
    ----------
    batch : LinearBatch
        The training data.
    curvature : str

    Returns
    -------
    list of callable
        Functions from the diagonal of ``R^T R``, (d,), to the ridge on the scale of a sum, (d,).
        The floor applies to parameters without penalty. In the last function it applies to all
        parameters, for a penalty that is lost in rounding.
    """
    penalty = batch.family.penalty()
    hessian_trace = None if CURVATURES[curvature].is_hessian else batch.trace(HESSIAN)
    tiny = np.finfo(np.float64).tiny

    def ridge(diagonal, floor, everywhere=False):
        trace = diagonal.sum()
        scale = 1.0
        if hessian_trace is not None and min(trace, hessian_trace) >= tiny:
            scale = hessian_trace / trace
        own = penalty / scale
        share = np.maximum(diagonal, np.finfo(np.float64).eps * max(diagonal.max(), tiny))
        floored = np.maximum(own, floor * batch.family.average_over_outputs(share))
        return floored if everywhere else np.where(penalty > 0, own, floored)

    floors = [FLOOR_FLAT] if batch.family.has_flat_direction else [FLOOR, FLOOR_FLAT]
    last = partial(ridge, floor=FLOOR_FLAT, everywhere=True)
    return [*(partial(ridge, floor=floor) for floor in floors), last]


@dataclass(frozen=True)
class Calibration:
    """Ratios rho of the Hessian to the stored curvature along erasure steps.

    Attributes
    ----------
    random : float
        rho of a random pseudo-forget set.
    by_class : ndarray of shape (n_classes,)
        rho of a part of each class.
    """

    random: float
    by_class: np.ndarray

    def epsilon(self, step):
        """eps for rows to erase, rows to add, or both.

        Parameters
        ----------
        step : Step

        Returns
        -------
        float
        """
        s = step.solution
        parts = s @ step.gradients
        total = parts.sum()
        if not total > 0:
            return 1.0 / self.random
        log_rho = min(parts @ np.log(self.by_class) / total, LARGEST_LOG_RHO)
        rho = max(self.random, float(np.exp(log_rho)))
        if step.added is not None:
            return _at_minimum_with_added_rows(step, rho, total)
        phi = 0.0 if step.leave_out else min(MAX_PHI, _square(step.scores, s) / total)
        return 1.0 / (rho * (1.0 - phi)) / step.growth


@dataclass(frozen=True)
class Exact:
    """The calibration of a curvature that equals the Hessian: eps is 1."""

    random: float = 1.0

    def epsilon(self, step):
        """1 for a step that only erases or is of second order.

        For other steps with added rows see `_at_minimum_with_added_rows`.
        """
        total = float(step.solution @ step.gradient)
        if step.added is None or step.order == 2 or not total > 0:
            return 1.0
        return _at_minimum_with_added_rows(step, 1.0, total)


def _at_minimum_with_added_rows(step, rho, total):
    """eps at the minimum, along the step, of the objective with the added rows.

    The objective of the retained rows is approximated by a parabola; the loss of the added rows is
    exact. If the model predicts a low probability for the label of an added row, a parabola
    approximates the loss of the row badly, and a Newton step would fit this row at the expense of
    the others.
    """
    s = step.solution
    slope = step.added.slope(s)
    forget_slope = total + slope(0.0)  # the gradient of the forget rows along s
    if step.leave_out:
        scores = step.added.scores(step.before.curvature)
        least = LEAST_REMAINING
    else:
        scores = step.scores
        least = 1 - MAX_PHI
    curved = rho * max(total - _square(scores, s), least * total)

    def excess(length):
        return length * curved + slope(length) - forget_slope

    longest = 1.0
    while excess(longest) < 0:
        longest *= 2.0
    tiny = np.finfo(np.float64).tiny
    length = brentq(excess, 0.0, longest, xtol=tiny, rtol=1e-6, maxiter=MAX_BISECTIONS)
    return float(length) / step.growth


def _square(scores, s):
    """``||R s||^2``."""
    return float(sum(np.square(chunk.matvec(s[:, np.newaxis])).sum() for chunk in scores.chunks()))


def common_epsilons(calibrations, parts, used, growth):
    """`Calibration.epsilon` of erasures from many binary outputs at once.

    Parameters
    ----------
    calibrations : list of Calibration or of Exact
    parts : ndarray of shape (n_outputs, 2)
        Products of the step with the erased gradient of each class.
    used : ndarray of shape (n_outputs,) or None
        ``||R_S s||^2``; None with leave-out.
    growth : ndarray of shape (n_outputs,)

    Returns
    -------
    ndarray of shape (n_outputs,) or None
        None for calibrations of other types, or of both types.
    """
    kinds = {type(calibration) for calibration in calibrations}
    if kinds == {Exact}:
        return np.ones(len(calibrations))
    if kinds != {Calibration}:
        return None
    random = np.array([calibration.random for calibration in calibrations])
    by_class = np.array([calibration.by_class for calibration in calibrations])
    total = parts.sum(axis=1)
    along = total > 0
    total = np.where(along, total, 1.0)
    log_rho = (parts * np.log(by_class)).sum(axis=1) / total
    rho = np.fmax(random, np.exp(np.minimum(log_rho, LARGEST_LOG_RHO)))
    phi = 0.0 if used is None else np.minimum(MAX_PHI, used / total)
    return np.where(along, 1.0 / (rho * (1.0 - phi)) / growth, 1.0 / random)


def calibrate(batch, inverse, curvature):
    """Compare the Hessian with the stored curvature along the steps of pseudo-forget sets.

    Parameters
    ----------
    batch : LinearBatch
        The training data.
    inverse : AbstractInverse
    curvature : str

    Returns
    -------
    Calibration
    """
    rng = np.random.default_rng(0)
    n_classes = max(2, batch.family.n_outputs)
    batch = _stratified(batch, n_classes, rng)
    forget = _pseudo_forget_sets(batch.y, n_classes, rng)
    steps = inverse.solve(batch.gradients(forget))
    squares = np.square(steps)
    retained = 1.0 - forget
    hessian = _quadratic(batch.scores(HESSIAN), steps, retained) + batch.family.penalty() @ squares
    stored = _quadratic(batch.scores(curvature), steps, retained) + inverse.ridge @ squares
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = hessian / stored
    usable = np.isfinite(rho) & (rho > 0)
    random = float(rho[0]) if usable[0] else 1.0
    return Calibration(random, np.where(usable, rho, random)[1:])


def _stratified(batch, n_classes, rng):
    """About ``MAX_ROWS`` of the rows, equally many of each class, weighted to represent all.

    A class with fewer rows than its part of ``MAX_ROWS`` is taken whole.
    """
    if batch.n_samples <= MAX_ROWS:
        return batch
    index = []
    factor = []
    for c in range(n_classes):
        rows = np.flatnonzero(batch.y == c)
        size = min(rows.size, max(1, MAX_ROWS // n_classes))
        index.append(rng.choice(rows, size, replace=False, shuffle=False))
        factor.append(np.full(size, rows.size / max(size, 1)))
    index = np.concatenate(index)
    order = np.argsort(index)
    batch = batch.take(index[order])
    return batch.reweight(batch.weight * np.concatenate(factor)[order])


def _pseudo_forget_sets(y, n_classes, rng):
    """Indicators of the random set, then of a part of each class: (n_samples, 1 + n_classes)."""
    sets = np.zeros((y.size, 1 + n_classes))
    size = max(1, round(SHARE * y.size))
    sets[rng.choice(y.size, size, replace=False, shuffle=False), 0] = 1.0
    for c in range(n_classes):
        rows = np.flatnonzero(y == c)
        if rows.size:
            size = max(1, round(SHARE * rows.size))
            sets[rng.choice(rows, size, replace=False, shuffle=False), 1 + c] = 1.0
    return sets


def _quadratic(scores, steps, retained):
    """``sum_i retained_i ||R_i s||^2`` for each step s: (m,)."""
    total = 0.0
    start = 0
    for chunk in scores.chunks():
        products = chunk.matvec(steps).reshape(chunk.n_samples, chunk.rows_per_sample, -1)
        stop = start + chunk.n_samples
        total = total + np.einsum("icm,icm,im->m", products, products, retained[start:stop])
        start = stop
    return total
