"""What a logistic regression learns about its own curvature at fit: the automatic damping and the automatic eps.

Both compare the curvature A that is kept with the Hessian H of the objective, which is not. On the quadratic model of the
retained objective the best step along ``s = A^{-1} g_S`` is ``g_S^T s / (s^T H_{-S} s)``. `calibrate` draws pseudo-forget sets
and keeps ``rho(S) = s^T H_{-S} s / (s^T A_{-S} s)``: one number for a random set, one for a part of each class.
`Calibration.epsilon` turns them into eps for a real forget set.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq

from sklearn_ssse._gradients import CURVATURES, HESSIAN

# Floors of the automatic damping, as shares of the curvature's own diagonal: for a parameter without penalty, and where a
# direction is flat (softmax: a constant added to all outputs), so that the inverse stays accurate.
FLOOR = 1e-12
FLOOR_FLAT = 1e-7

# Share of the rows in the random pseudo-forget set, and share of a class in the pseudo-forget set of the class.
# From .05 to 1/3 the results are the same (docs/constants.md).
SHARE = 0.1
# Number of rows beyond which a sample, equally many rows of each class, represents all of them. It limits the
# time of a fit; on 25,000 to 33,000 rows the sample changes rho by no more than other random draws do.
MAX_ROWS = 10_000
# Largest share phi of the curvature along a step that counts for the erased rows. It matters when rows are erased
# in many calls: with .99 the worst of 48 distance ratios is 31, with .5 it is 3.3.
MAX_PHI = 0.5


def automatic_ridges(batch, curvature):
    """Ridges on the scale of a sum for ``damping="auto"``: the L2 penalty at the scale of the curvature, with a floor.

    Parameters
    ----------
    batch : LinearBatch
        The training data.
    curvature : str

    Returns
    -------
    list of callable
        From the diagonal of ``R^T R``, (d,), to the ridge, (d,). The floor holds where there is no penalty, in the last
        one everywhere: for a penalty that is lost in rounding.
    """
    penalty = batch.family.penalty()
    hessian_trace = None if CURVATURES[curvature].is_hessian else batch.trace(HESSIAN)

    def ridge(diagonal, floor, everywhere=False):
        trace = diagonal.sum()
        tiny = np.finfo(np.float64).tiny
        scale = (
            1.0
            if hessian_trace is None or min(trace, hessian_trace) < tiny
            else hessian_trace / trace
        )
        share = np.maximum(diagonal, np.finfo(np.float64).eps * max(diagonal.max(), tiny))
        floored = np.maximum(penalty / scale, floor * batch.family.average_over_outputs(share))
        return floored if everywhere else np.where(penalty > 0, penalty / scale, floored)

    floors = [FLOOR_FLAT] if batch.family.has_flat_direction else [FLOOR, FLOOR_FLAT]
    return [
        *(partial(ridge, floor=floor) for floor in floors),
        partial(ridge, floor=FLOOR_FLAT, everywhere=True),
    ]


@dataclass(frozen=True)
class Calibration:
    """Ratios of the Hessian to the kept curvature along erasure steps.

    Attributes
    ----------
    random : float
        For a random pseudo-forget set.
    by_class : ndarray of shape (n_classes,)
        For a part of each class.
    """

    random: float
    by_class: np.ndarray

    def epsilon(self, step):
        """eps for one forget set S, for rows that come, or for both.

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
        rho = max(self.random, float(np.exp(parts @ np.log(self.by_class) / total)))
        if step.added is not None:
            return _until_balanced(step, rho, total)
        phi = 0.0 if step.leave_out else min(MAX_PHI, _square(step.scores, s) / total)
        return 1.0 / (rho * (1.0 - phi)) / step.growth


def _until_balanced(step, rho, total):
    """eps at the minimum along s of the objective after rows came: a parabola for those that stay, the loss itself for those that come.

    The loss of a row that surprises the model is no parabola: a Newton step overshoots until the model knows this row and little else.
    """
    s, slope = step.solution, step.added.slope(step.solution)
    leaving = total + slope(0.0)  # the gradient of the rows S along s
    taken = step.added.scores(step.before.curvature) if step.leave_out else step.scores
    stays = rho * max(
        total - _square(taken, s), 1e-12 * total if step.leave_out else (1 - MAX_PHI) * total
    )

    def excess(length):
        return length * stays + slope(length) - leaving

    longest = 1.0
    while excess(longest) < 0:
        longest *= 2.0
    return (
        float(brentq(excess, 0.0, longest, xtol=np.finfo(np.float64).tiny, rtol=1e-6)) / step.growth
    )


def _square(scores, s):
    """``||R s||^2``."""
    return float(sum(np.square(chunk.matvec(s[:, np.newaxis])).sum() for chunk in scores.chunks()))


def common_epsilons(calibrations, parts, used, growth):
    """`Calibration.epsilon` for many binary outputs at once.

    Parameters
    ----------
    calibrations : list of Calibration or of Exact
    parts : ndarray of shape (n_outputs, 2)
        Products of the step with the erased gradient of each class.
    used : ndarray of shape (n_outputs,) or None
        Square of the norm of the rows times the step; None with leave-out.
    growth : ndarray of shape (n_outputs,)

    Returns
    -------
    ndarray of shape (n_outputs,) or None
        None for other calibrations, or several kinds.
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
    rho = np.fmax(random, np.exp((parts * np.log(by_class)).sum(axis=1) / total))
    phi = 0.0 if used is None else np.minimum(MAX_PHI, used / total)
    return np.where(along, 1.0 / (rho * (1.0 - phi)) / growth, 1.0 / random)


@dataclass(frozen=True)
class Exact:
    """Of a curvature that equals the Hessian: eps is 1."""

    random: float = 1.0

    def epsilon(self, step):
        """1 for any `Step` without rows that come."""
        total = float(step.solution @ step.gradients.sum(axis=1))
        return 1.0 if step.added is None or not total > 0 else _until_balanced(step, 1.0, total)


def calibrate(batch, inverse, curvature):
    """Compare the Hessian with the kept curvature along the steps of pseudo-forget sets.

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
    members = _pseudo_forget_sets(batch.y, n_classes, rng)
    steps = inverse.solve(batch.gradients(members))
    kept = 1.0 - members
    hessian = _quadratic(batch.scores(HESSIAN), steps, kept) + batch.family.penalty() @ np.square(
        steps
    )
    curved = _quadratic(batch.scores(curvature), steps, kept) + inverse.ridge @ np.square(steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = hessian / curved
    usable = np.isfinite(rho) & (rho > 0)
    random = float(rho[0]) if usable[0] else 1.0
    return Calibration(random, np.where(usable, rho, random)[1:])


def _stratified(batch, n_classes, rng):
    """At most about ``MAX_ROWS`` of the rows, equally many of each class where it has them, re-weighted to represent all."""
    if batch.n_samples <= MAX_ROWS:
        return batch
    index, factor = [], []
    for c in range(n_classes):
        rows = np.flatnonzero(batch.y == c)
        size = min(rows.size, max(1, MAX_ROWS // n_classes))
        index.append(rng.choice(rows, size, replace=False, shuffle=False))
        factor.append(np.full(size, rows.size / max(size, 1)))
    index, factor = np.concatenate(index), np.concatenate(factor)
    order = np.argsort(index)
    batch = batch.take(index[order])
    return batch.reweight(batch.weight * factor[order])


def _pseudo_forget_sets(y, n_classes, rng):
    """Indicators of the random set, then of a part of each class: (n_samples, 1 + n_classes)."""
    members = np.zeros((y.size, 1 + n_classes))
    size = max(1, round(SHARE * y.size))
    members[rng.choice(y.size, size, replace=False, shuffle=False), 0] = 1.0
    for c in range(n_classes):
        rows = np.flatnonzero(y == c)
        if rows.size:
            size = max(1, round(SHARE * rows.size))
            members[rng.choice(rows, size, replace=False, shuffle=False), 1 + c] = 1.0
    return members


def _quadratic(scores, steps, kept):
    """``sum_i kept_i ||R_i s||^2`` for each step s: (m,)."""
    total, start = 0.0, 0
    for chunk in scores.chunks():
        products = chunk.matvec(steps).reshape(chunk.n_samples, chunk.rows_per_sample, -1)
        rows = slice(start, start + chunk.n_samples)
        total = total + np.einsum("icm,icm,im->m", products, products, kept[rows])
        start = rows.stop
    return total
