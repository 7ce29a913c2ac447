"""The automatic damping and the automatic eps of a multi-layer perceptron.

A net trained without the forget set S would predict only a share of the labels of S: its accuracy
on unseen rows, or less if the classes of S are rarer among the retained rows. The step is about the
shortest one after which the net predicts no more labels of S than this share. The log-odds of a net
that nearly interpolates do not show the share, nor does its curvature. It is estimated by the
leave-one-out accuracy of nearest neighbours or ridge regression, which determines the temperature
at which the net is as certain as it is accurate on unseen rows.

docs/constants_network.md shows the effect of omitting each constant.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from sklearn_ssse._calibration.neighbors import MAX_ROWS, leave_one_out_accuracy
from sklearn_ssse._erasure import check_remaining, make_step
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError

# Range of every search: eps, the temperature, and step lengths as multiples of the usual one.
SEARCHED = (0.01, 100.0)
# Number of points of the logarithmic grid of a search, and of the second grid, over the bracket.
N_POINTS = 20
# A unit shift of the prior log-odds moves the net's log-odds by its temperature, at least by this.
SMALLEST_SHIFT = 1.3
# Largest share of a vanishing class that may still be predicted as that class, and of added rows
# that may be predicted wrongly.
TOLERANCE = 0.02
# Number of random pseudo-forget sets, and number of rows in each. In the average with the eps of S
# their common eps has the weight of RANDOM_ROWS rows of S.
N_RANDOM = 8
RANDOM_ROWS = 32


@dataclass(frozen=True)
class HeldOut:
    """The calibration of a net: its accuracy on unseen rows, and the steps of random forget sets.

    Attributes
    ----------
    temperature : float
        Divisor of the net's log-odds that makes it as certain as it is accurate on unseen rows.
    random : float
        1 / eps of random rows.
    length : float
        Mean norm of the steps of random sets at that eps, divided by the norm of the parameters.
    costs : tuple of float
        Share of the training rows that are no longer predicted as labelled after steps of random
        sets, for multiples of that eps on a logarithmic grid over `SEARCHED`.
    accuracy : float
        Share of the labels of the training rows that the net predicts correctly.
    """

    temperature: float
    random: float = 1.0
    length: float = np.inf
    costs: tuple = (0.0,)
    accuracy: float = 1.0

    def epsilon(self, step):
        """The eps of a step.

        For an erasure: the smallest eps at which the net predicts no more labels of the erased rows
        than a net trained without them, plus the share of other rows that it predicts wrongly after
        the step; and at which it predicts at most 2 % of the rows of a vanishing class as that
        class. The logarithm of this eps is averaged with the logarithm of the eps of random rows.
        For added rows: the smallest eps at which the net predicts them as well as training rows.

        Parameters
        ----------
        step : Step

        Returns
        -------
        float
        """
        if step.added is not None:
            return self._of_added_rows(step)
        shift = _prior_shift(step)
        vanishing = np.isneginf(shift)
        length = _relative_length(step)
        bound = self._largest_share([step], shift)

        def excess(eps):
            predicted = _predicted(step, eps)
            above = step.mean(predicted) - self._cost(eps * length) - bound
            if vanishing.any():
                above = max(above, predicted[vanishing].mean() - TOLERANCE)
            return above

        own = _first_below(excess, 0.0)
        n_rows = step.batch.n_samples
        weight = RANDOM_ROWS * np.exp(step.mean(shift))
        log_eps = (n_rows * np.log(own) - weight * np.log(self.random)) / (n_rows + weight)
        eps = float(np.exp(log_eps))
        if not vanishing.any():
            eps = self._in_proportion(eps, step)
        _warn_if_still_predicted(eps, step, vanishing)
        return eps

    def _cost(self, length):
        """Share of other rows that the net predicts wrongly only after a step of this length."""
        lengths = self.length * np.geomspace(*SEARCHED, len(self.costs))
        return np.interp(length, lengths, self.costs)

    def _of_added_rows(self, step):
        """The smallest eps at which added rows are predicted as well as training rows, or 98 % are.

        Gradients of unseen rows are large: a longer step would change predictions of other rows.
        """
        batch = step.added

        def wrong(eps):
            _, predicted = batch.log_odds(batch.family.theta + eps * step.direction)
            return 1.0 - float(np.average(predicted.mean(axis=1), weights=batch.weight))

        return _first_below(wrong, max(1.0 - self.accuracy, TOLERANCE))

    def _in_proportion(self, eps, step):
        """eps, shortened if the step after earlier erasures is longer than usual.

        The usual length grows with the root of the number of rows up to `RANDOM_ROWS`, and beyond
        it with the number. Each step with a stale curvature is longer than the last, and the
        direction of a step far longer than usual is useless. Therefore eps is multiplied by the
        cube of the usual length divided by the length.
        """
        length = eps * _relative_length(step)
        size = step.batch.n_samples / RANDOM_ROWS
        usual = self.length * max(size, size**0.5)
        if not step.before.changed or length <= usual:
            return eps
        part = (usual / length) ** 3
        warn(
            "The curvature must belong to the present parameters, got one from before earlier "
            f"erasures: the step would be {length:.2g} times their norm (usual: {usual:.2g}), and "
            f"{part:.0%} of it was made. Call `fit_curvature` on the retained rows before the next "
            "erasure."
        )
        return eps * part

    def _largest_share(self, steps, shift=0.0):
        """Share of the labels that a net trained without the rows predicts, at most the share now.

        The label of an unseen row is predicted with the probability given by its log-odds and the
        temperature, and not at all if the log-odds do not exceed the shift of the prior.
        """
        needed = -max(self.temperature, SMALLEST_SHIFT) * shift
        unseen = []
        now = []
        for step in steps:
            log_odds, predicted = step.batch.log_odds(step.batch.family.theta)
            certain = np.abs(log_odds)
            unseen.append(step.mean(expit(certain / self.temperature) * (certain > needed)))
            now.append(step.mean(predicted))
        return min(np.mean(unseen), np.nextafter(np.mean(now), -1.0))


def calibrate(batch, inverse, state, classes, leave_out, held_out=None):
    """Compare the net with its accuracy on unseen rows, and search for the eps of random rows.

    Parameters
    ----------
    batch : NetworkBatch
        The training data.
    inverse : AbstractInverse
    state : ErasureState
    classes : ndarray
    leave_out : bool
    held_out : float, default=None
        The accuracy on rows that were held out in training. None: the leave-one-out accuracy of
        nearest neighbours or ridge regression.

    Returns
    -------
    HeldOut
    """
    if not batch.weight.all():
        batch = batch.take(np.flatnonzero(batch.weight))
    theta = batch.family.theta
    log_odds, predicted = batch.log_odds(theta)
    accuracy = float(np.average(predicted.mean(axis=1), weights=batch.weight))
    unseen = leave_one_out_accuracy(batch.X, batch.y) if held_out is None else held_out
    unseen = min(unseen, predicted.mean())
    found = HeldOut(_temperature(np.abs(log_odds), unseen), accuracy=accuracy)
    rng = np.random.default_rng(0)
    steps = _random_steps(batch, inverse, state, classes, leave_out, rng)
    if not steps:
        return found

    def share(eps):
        return np.mean([step.mean(_predicted(step, eps)) for step in steps])

    eps = _first_below(share, found._largest_share(steps))
    size = min(MAX_ROWS, batch.n_samples)
    parts = np.array_split(rng.permutation(batch.n_samples)[:size], min(len(steps), size))
    samples = [batch.take(np.sort(part)) for part in parts]

    def accuracy_after(eps):
        """Mean accuracy after the steps, each of them on a part of the sample."""
        pairs = zip(samples, steps, strict=False)  # fewer rows than steps: one row for each
        return np.mean([s.log_odds(theta + eps * step.direction)[1].mean() for s, step in pairs])

    now = accuracy_after(0.0)
    multiples = np.geomspace(*SEARCHED, N_POINTS)
    costs = (now - accuracy_after(multiple * eps) for multiple in multiples)
    length = eps * np.mean([_relative_length(step) for step in steps])
    return replace(
        found,
        random=1.0 / eps,
        length=float(length),
        costs=tuple(max(float(cost), 0.0) for cost in costs),
    )


def _random_steps(batch, inverse, state, classes, leave_out, rng):
    """Steps of `N_RANDOM` random sets of rows, without those that must not be erased."""
    size = max(1, min(RANDOM_ROWS, batch.n_samples // N_RANDOM))
    steps = []
    for _ in range(N_RANDOM):
        rows = batch.take(np.sort(rng.choice(batch.n_samples, size, replace=False)))
        try:
            after = check_remaining(state, classes, rows.y, rows.weight, may_vanish=True)
            scores = rows.scores(state.curvature)
            scores = scores.collect() if leave_out else scores
            pending = inverse.pending_downdate(scores) if leave_out else None
        except ErasureError:
            continue
        steps.append(make_step(rows, scores, inverse, pending, state, after))
    return steps


def _temperature(certain, accuracy):
    """The temperature at which the mean certainty of the net is its accuracy on unseen rows.

    Parameters
    ----------
    certain : ndarray of shape (n_samples, n_outputs or 1)
        Absolute log-odds of the training labels.
    accuracy : float
        The leave-one-out accuracy of nearest neighbours or ridge regression, at most the net's
        accuracy on its training rows.

    Returns
    -------
    float
    """

    def surplus(temperature):
        return expit(certain / temperature).mean() - accuracy

    lowest, highest = SEARCHED
    if surplus(lowest) <= 0:
        return lowest
    if surplus(highest) >= 0:
        return highest
    return float(brentq(surplus, lowest, highest, xtol=1e-3))


def _warn_if_still_predicted(eps, step, vanishing):
    """Warn of a class that vanishes and is still predicted."""
    if not vanishing.any():
        return
    rest = _predicted(step, eps)[vanishing].mean()
    if rest > TOLERANCE:
        warn(
            "The erased rows of a class that vanishes must no longer be predicted as that class, "
            f"got {rest:.0%} that are, at eps {eps:.3g}. Train again, or pass a larger "
            "`epsilon` and compare."
        )


def _predicted(step, eps):
    """Which labels of the erased rows the net predicts after the step, (k, outputs)."""
    return step.batch.log_odds(step.batch.family.theta + eps * step.direction)[1]


def _relative_length(step):
    """Norm of the step at eps = 1, divided by the norm of the parameters."""
    return np.linalg.norm(step.direction) / np.linalg.norm(step.batch.family.theta)


def _first_below(values, bound):
    """The smallest point of `SEARCHED` at which ``values`` is at most ``bound``.

    If there is none, the point at which ``values`` is least. Far along any direction the
    predictions of a net are arbitrary and ``values`` may grow again, so small points are tried
    first.
    """
    bracket = SEARCHED
    for _ in range(2):
        grid = np.geomspace(*bracket, N_POINTS)
        found = []
        for point in grid:
            found.append(values(point))
            if found[-1] <= bound:
                break
        else:
            return float(grid[np.argmin(found)])
        if len(found) == 1:
            return float(grid[0])
        bracket = grid[len(found) - 2 : len(found)]
    return float(bracket[1])


def _prior_shift(step):
    """Change of the log-odds of the prior of the erased labels, (k, outputs), never positive.

    Minus infinity for a label that vanishes.
    """
    old = step.before
    new = step.after
    y = step.batch.y
    nothing = 1e-12 * old.fit_mass  # rounding of sums of weights
    kept = np.where(new.class_mass > nothing, new.class_mass, 0.0)
    others = np.where(new.mass - kept > nothing, new.mass - kept, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.log(kept / old.class_mass) - np.log(others / (old.mass - old.class_mass))
    shift = shift[y][:, np.newaxis] if y.ndim == 1 else np.where(y > 0, shift, -shift)
    return np.fmin(shift, 0.0)  # nan if all rows have a label, or none: no change
