"""The automatic damping and the automatic eps of a multi-layer perceptron: what a net would say of rows that it has not seen.

After an erasure the rows of S are rows that the net has not seen, of a class that may have become rarer. Of a net that nearly
interpolates, neither its own log-odds nor the curvature say how well it would predict these. What does is the accuracy of nearest
neighbours, each row left out in turn: it gives a temperature at which the net is as certain as it may be. The step is then made as long as
it takes until as many rows of S are predicted as labelled as would be, had they not been seen and the prior of their class moved.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from sklearn_ssse._calibration.neighbors import leave_one_out_accuracy
from sklearn_ssse._erasure import check_remaining, make_step
from sklearn_ssse.exceptions import ErasureError, ErasureWarning

# Where the log-odds of the prior move by one, those of a net move by its temperature, and by at least so much: a net that was trained for a
# short time is less certain than it might be, but learns of a rare class more slowly too.
SMALLEST_SHIFT = 1.5
COLDEST, HOTTEST = 0.1, 10.0
# eps is looked for from here to here; where the rows need not lose at all, at most at 1 and until they lose this share.
SHORTEST, LONGEST = 0.002, 300.0
LEAST_LOSS = 0.01
# A step that is longer, by the norm of the parameters, may lead anywhere.
ANYWHERE = 1.0
# Random pseudo-forget sets: their number, and the rows of each, but no more than a share of all. Their eps weighs as much as so many
# rows of S: the accuracy on a few says little. Less where the prior moves.
N_RANDOM, RANDOM_ROWS, RANDOM_SHARE = 8, 32, 0.05
RANDOM_WEIGHT = 20
# What steps cost the rows that stay: their lengths, by the norm of the parameters, the random sets to learn from, and the rows.
LENGTHS = np.geomspace(0.003, 1.0, 12)
N_COST, COST_SHARE, COST_ROWS = 3, 0.05, 1500
# A class that vanishes: until so few of its rows are still predicted as it; beyond FAR only while the parameters change by no more than
# this share of their norm.
STILL_PREDICTED = 0.02
FAR, FARTHEST = 12.0, 200.0
LARGEST_CHANGE = 0.5
# A step after others is shortened to so many times the length of a random set's at fit, by the number of rows, and to less where it is so
# many times longer still: such a direction leads nowhere.
OUT_OF_PROPORTION, USELESS = 1.5, 4.0
N_POINTS, N_BISECTIONS = 20, 4
# Rows that come: eps is looked for from here to here, until no larger share of them is unknown than this, or than of the training rows.
SHORTEST_NEW, LONGEST_NEW = 0.02, 3.0
STILL_UNKNOWN = 0.02


@dataclass(frozen=True)
class HeldOut:
    """What is known of the net on rows that it has not seen.

    Attributes
    ----------
    temperature : float
        The log-odds of the training rows divided by it are as certain as those of other rows.
    random : float
        1 / eps of random rows.
    length : float
        Norm of the step of a random set at that eps, by the norm of the parameters.
    costs : tuple of float
        Share of the training rows that are not predicted as labelled any more after steps of so many `LENGTHS` for random sets.
    accuracy : float
        Share of the labels of the training rows that the net predicts.
    """

    temperature: float
    random: float = 1.0
    length: float = np.inf
    costs: tuple = (0.0,) * len(LENGTHS)
    accuracy: float = 1.0

    def epsilon(self, step):
        """eps at which the rows of S are predicted as if the net had not seen them, or what is missing is what the step costs others.

        If rows come: at which it knows these.

        If a class vanishes: on to 12, or as far as the parameters change by less than half, until at most 2 % of its erased rows are
        still predicted as it.

        Parameters
        ----------
        step : Step

        Returns
        -------
        float
        """
        if step.added is not None:
            return self._until_known(step)
        batch, theta = step.batch, step.batch.family.theta
        shift, vanishing = _prior_shift(step)
        length = np.linalg.norm(step.direction) / np.linalg.norm(theta)
        own = _smallest_eps(
            [step],
            self._wanted(step, shift),
            lambda eps: np.interp(eps * length, LENGTHS, self.costs),
        )
        weight = RANDOM_WEIGHT * np.exp(step.mean(shift))
        eps = float(
            np.exp(
                (batch.n_samples * np.log(own) - weight * np.log(self.random))
                / (batch.n_samples + weight)
            )
        )
        if eps * length > ANYWHERE:
            warnings.warn(
                f"A step must be short beside the parameters for the net to stay linear along it, got {eps * length:.2g} times their norm. "
                "Compare with retraining, or erase fewer rows at once.",
                ErasureWarning,
                stacklevel=4,
            )
        if not vanishing.any():
            return self._in_proportion(eps, step)

        def predicted_still(eps):
            return batch.log_odds(theta + eps * step.direction)[1][vanishing].mean()

        share = (
            LARGEST_CHANGE
            * np.linalg.norm(theta)
            / max(np.linalg.norm(step.direction), np.finfo(np.float64).tiny)
        )
        eps = _first_below(
            predicted_still, STILL_PREDICTED, eps, max(eps, FAR, min(FARTHEST, share))
        )
        rest = predicted_still(eps)
        if not rest <= STILL_PREDICTED:
            warnings.warn(
                f"The erased rows of a class that vanishes should not be predicted as it any more, got {rest:.0%} that are at the "
                f"largest step (eps {eps:.3g}). Train again, or pass a larger `epsilon` and compare.",
                ErasureWarning,
                stacklevel=4,
            )
        return eps

    def _until_known(self, step):
        """The smallest eps at which as many of the rows that come are predicted as labelled as of the training rows at fit, or 98 %.

        Gradients of rows that the net has not seen are long, and beyond that point they move what it says of all others. Where no eps
        does, the one that comes closest.
        """
        batch, theta = step.added, step.added.family.theta

        def unknown(eps):
            predicted = batch.log_odds(theta + eps * step.direction)[1]
            return 1.0 - float(np.average(predicted.mean(axis=1), weights=batch.weight))

        return _first_below(
            unknown, max(1.0 - self.accuracy, STILL_UNKNOWN), SHORTEST_NEW, LONGEST_NEW
        )

    def _in_proportion(self, eps, step):
        """eps, shortened where earlier erasures have moved the parameters so far from the curvature that the step is out of proportion.

        Steps of a stale curvature grow with each other, and a net that knows its rows by heart falls apart after some of them.
        """
        share = eps * np.linalg.norm(step.direction) / np.linalg.norm(step.batch.family.theta)
        size = step.batch.n_samples / RANDOM_ROWS
        allowed = OUT_OF_PROPORTION * self.length * max(size, size**0.5)
        if not step.before.changed or share <= allowed:
            return eps
        part = allowed / share * min(1.0, USELESS * allowed / share) ** 2
        warnings.warn(
            f"The curvature must belong to the present parameters, got, after earlier erasures, a step of {share:.2g} of their norm where "
            f"{allowed:.2g} is usual; {part:.0%} of it was made. Call `fit_curvature` on the rows that remain before more is erased.",
            ErasureWarning,
            stacklevel=5,
        )
        return eps * part

    def _wanted(self, step, shift):
        """Share of the erased labels that a net without the rows would predict.

        A row that it has not seen is predicted as labelled with the probability that the temperature leaves, if its log-odds are more than
        the prior takes away.
        """
        before, _ = step.batch.log_odds(step.batch.family.theta)
        certain = np.abs(before)
        stays = certain > -max(self.temperature, SMALLEST_SHIFT) * shift
        return step.mean(expit(certain / self.temperature) * stays)


def calibrate(batch, inverse, state, classes, leave_out):
    """Compare the net with nearest neighbours, and look for the eps of random rows.

    Parameters
    ----------
    batch : NetworkBatch
        The training data.
    inverse : AbstractInverse
    state : ErasureState
    classes : ndarray
    leave_out : bool

    Returns
    -------
    HeldOut
    """
    if not batch.weight.all():
        batch = batch.take(np.flatnonzero(batch.weight))
    predicted = batch.log_odds(batch.family.theta)[1]
    found = HeldOut(
        _temperature(batch),
        accuracy=float(np.average(predicted.mean(axis=1), weights=batch.weight)),
    )
    steps, rng = [], np.random.default_rng(0)
    for _ in range(N_RANDOM):
        size = max(1, min(RANDOM_ROWS, int(RANDOM_SHARE * batch.n_samples)))
        rows = batch.take(np.sort(rng.choice(batch.n_samples, size, replace=False)))
        try:
            after = check_remaining(state, classes, rows.y, rows.weight, may_vanish=True)
            scores = rows.scores(state.curvature).collect()
            pending = inverse.pending_downdate(scores) if leave_out else None
        except ErasureError:
            continue
        steps.append(make_step(rows, scores, inverse, pending, state, after))
    if not steps:
        return found
    wanted = np.mean([found._wanted(step, 0.0) for step in steps])
    eps = _smallest_eps(steps, wanted)
    length = np.mean([np.linalg.norm(step.direction) for step in steps]) / np.linalg.norm(
        batch.family.theta
    )
    costs = _costs(batch, inverse, state, classes)
    return replace(found, random=1.0 / eps, length=float(eps * length), costs=costs)


def _costs(batch, inverse, state, classes):
    """`HeldOut.costs`, without leave-out, which takes long for so many rows."""
    rng, theta, directions = np.random.default_rng(1), batch.family.theta, []
    for _ in range(N_COST):
        size = max(1, int(COST_SHARE * batch.n_samples))
        rows = batch.take(np.sort(rng.choice(batch.n_samples, size, replace=False)))
        after = check_remaining(state, classes, rows.y, rows.weight, may_vanish=True)
        direction = make_step(rows, None, inverse, None, state, after).direction
        directions.append(
            direction
            * np.linalg.norm(theta)
            / max(np.linalg.norm(direction), np.finfo(np.float64).tiny)
        )
    sample = batch.take(
        np.sort(rng.choice(batch.n_samples, min(COST_ROWS, batch.n_samples), replace=False))
    )

    def right(length):
        return np.mean(
            [sample.log_odds(theta + length * direction)[1].mean() for direction in directions]
        )

    now = sample.log_odds(theta)[1].mean()
    return tuple(float(max(now - right(length), 0.0)) for length in LENGTHS)


def _temperature(batch):
    """The temperature at which the mean certainty of the net is the leave-one-out accuracy of nearest neighbours."""
    log_odds, predicted = batch.log_odds(batch.family.theta)
    accuracy = min(leave_one_out_accuracy(batch.X, batch.y), predicted.mean())
    certain = np.abs(log_odds)

    def surplus(temperature):
        return expit(certain / temperature).mean() - accuracy

    if surplus(COLDEST) <= 0:
        return COLDEST
    if surplus(HOTTEST) >= 0:
        return HOTTEST
    return float(brentq(surplus, COLDEST, HOTTEST, xtol=1e-3))


def _smallest_eps(steps, wanted, cost=None):
    """The smallest eps at which the mean share of labels that are still predicted is what is wanted, and what the step costs."""

    def share(eps):
        return np.mean(
            [s.mean(s.batch.log_odds(s.batch.family.theta + eps * s.direction)[1]) for s in steps]
        )

    now = share(0.0)
    if cost is not None and now > wanted:
        return _first_below(lambda eps: share(eps) - cost(eps), wanted, SHORTEST, LONGEST)
    wanted, longest = (wanted, LONGEST) if now > wanted else (now - LEAST_LOSS, 1.0)
    return _first_below(share, wanted, SHORTEST, longest)


def _first_below(values, bound, low, high):
    """The smallest point from low to high where ``values`` is at most ``bound``: by a grid, then by bisection; else where it is least.

    Far along a direction that is right at first a net predicts anything: values may grow again.
    """
    grid, found = np.geomspace(low, high, N_POINTS + 1), []
    for point in grid:
        found.append(values(point))
        if found[-1] <= bound:
            break
    else:
        return float(grid[np.argmin(found)])
    if len(found) == 1:
        return float(low)
    low, high = grid[len(found) - 2 : len(found)]
    for _ in range(N_BISECTIONS):
        middle = np.sqrt(low * high)
        low, high = (low, middle) if values(middle) <= bound else (middle, high)
    return float(high)


def _prior_shift(step):
    """Change of the log-odds of the prior of the erased labels, never positive, and which labels vanish: both (k, outputs)."""
    old, new, y = step.before, step.after, step.batch.y
    with_label = np.log((new.class_mass + 0.5) / (old.class_mass + 0.5))
    without_label = np.log((new.mass - new.class_mass + 0.5) / (old.mass - old.class_mass + 0.5))
    least = 1e-12 * old.fit_mass
    shift = with_label - without_label
    if y.ndim == 1:
        shift, vanishing = shift[y][:, np.newaxis], (new.class_mass <= least)[y][:, np.newaxis]
    else:
        shift = np.where(y > 0, shift, -shift)
        vanishing = np.where(y > 0, new.class_mass, new.mass - new.class_mass) <= least
    return np.minimum(shift, 0.0), vanishing
