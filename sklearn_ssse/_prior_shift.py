"""The automatic damping and the automatic eps of a multi-layer perceptron.

Nets that nearly interpolate have no single good eps. What is known without data is how far the erasure moves the prior of the
erased labels; the step is made as long as it takes for the log-odds of these labels to move as far.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from sklearn_ssse._network import n_batches, n_epochs
from sklearn_ssse.exceptions import ErasureWarning

# Damping: never less than this, and this by the learning rate and the number of steps of the optimiser.
LEAST_DAMPING = 0.01
SHORT_TRAINING = 0.03
# eps for a class that stays, and for one that vanishes (lbfgs makes nets that are certain beyond measure), until so few of its rows are
# still predicted as it.
SHORTEST, LONGEST, FAR, FARTHEST = 1.0, 30.0, 12.0, 200.0
STILL_PREDICTED = 0.02
# A net that predicts this share of the erased rows as they are labelled has learned them by heart: without them it would be less
# certain of them, by more than the prior, in proportion to how certain it is.
BY_HEART = 0.995
MEMORY = 0.03
# Beyond FAR only while the parameters change by no more than this share of their norm.
LARGEST_SHIFT = 0.5
# For a class that stays eps goes below 1 where the log-odds would move so much farther than the prior: block inverses, which ignore what
# units have in common, step too far along what many rows share.
SLACK = 0.75
SHORTEST_OF_ALL = 0.05
N_STEPS = 16


def automatic_damping(estimator, n_rows):
    """lambda for a fitted multi-layer perceptron: a net that was trained for a short time is far from its minimum."""
    if estimator.solver == "lbfgs":
        return LEAST_DAMPING
    n_steps = max(1, n_epochs(estimator, n_rows) * n_batches(estimator, n_rows))
    return max(LEAST_DAMPING, SHORT_TRAINING / (estimator.learning_rate_init * n_steps))


@dataclass(frozen=True)
class PriorShift:
    """eps by the shift of the class prior, from forward passes on the erased rows alone."""

    random: float = 1.0

    def epsilon(self, step):
        """The smallest eps in [1, 30] at which the mean log-odds of the erased labels have moved as far as their prior has.

        Where all of them are predicted: and by 3 % of the log-odds themselves. Less than 1 where they would move by 0.75 more than that.
        If a class vanishes: on to 12, or as far as the parameters change by less than half, until at most 2 % of its erased rows are
        still predicted as it.

        Parameters
        ----------
        step : Step

        Returns
        -------
        float
        """
        batch, theta, weight = step.batch, step.batch.family.theta, step.batch.weight
        target, vanishing = _prior_shift(step)
        before, predicted = batch.log_odds(theta)
        if weight @ predicted.mean(axis=1) >= BY_HEART * weight.sum():
            target -= MEMORY * max(0.0, weight @ before.mean(axis=1) / weight.sum())

        def moved(eps):
            change = batch.log_odds(theta + eps * step.direction)[0] - before
            return weight @ change.mean(axis=1) / weight.sum()

        eps = _smallest(lambda eps: moved(eps) <= target, SHORTEST, LONGEST)
        if not vanishing.any():
            too_far = target - SLACK
            if eps > SHORTEST or moved(eps) >= too_far:
                return eps
            return _smallest(lambda eps: moved(eps) <= too_far, SHORTEST_OF_ALL, SHORTEST)

        def predicted_still(eps):
            return batch.log_odds(theta + eps * step.direction)[1][vanishing].mean()

        share = LARGEST_SHIFT * np.linalg.norm(theta) / max(np.linalg.norm(step.direction), np.finfo(np.float64).tiny)
        farthest = max(eps, FAR, min(FARTHEST, share))
        eps = _smallest(lambda eps: predicted_still(eps) <= STILL_PREDICTED, eps, farthest)
        rest = predicted_still(eps)
        if not rest <= STILL_PREDICTED:
            warnings.warn(
                f"The erased rows of a class that vanishes should not be predicted as it any more, got {rest:.0%} that are at the "
                f"largest step (eps {eps:.3g}). Train again, or pass a larger `epsilon` and compare.",
                ErasureWarning,
                stacklevel=4,
            )
        return eps


def _smallest(holds, low, high):
    """The smallest point of a grid from low to high where a condition holds, made finer once; high if it holds nowhere."""
    for _ in range(2):
        grid = np.geomspace(low, high, N_STEPS + 1)
        found = next((i for i, value in enumerate(grid) if holds(value)), None)
        if found is None:
            return float(high)
        if found == 0:
            return float(low)
        low, high = grid[found - 1], grid[found]
    return float(high)


def _prior_shift(step):
    """Mean over rows and outputs of the log-ratio of the weight that stays with a label; where a label vanishes, (k, outputs)."""
    old, new, y = step.before, step.after, step.batch.y
    with_label = np.log((new.class_mass + 0.5) / (old.class_mass + 0.5))
    gone = new.class_mass <= 1e-12 * old.fit_mass
    if y.ndim == 1:
        shift, vanishing = with_label[y][:, np.newaxis], gone[y][:, np.newaxis]
    else:
        without_label = np.log((new.mass - new.class_mass + 0.5) / (old.mass - old.class_mass + 0.5))
        shift = np.where(y > 0, with_label, without_label)
        vanishing = np.where(y > 0, gone, new.mass - new.class_mass <= 1e-12 * old.fit_mass)
    weight = step.batch.weight
    return weight @ shift.mean(axis=1) / weight.sum(), vanishing
