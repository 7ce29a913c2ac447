"""Diagonal Fisher with noise: a Newton step for each parameter on its own, then noise."""

import numpy as np

from comparators.base import Comparator


class DiagonalFisher(Comparator):
    """Scrubbing (Golatkar, Achille, Soatto 2020) by a diagonal Newton step and noise.

        theta + F^-1 g_S / (n - k) + sigma F^-1/4 noise,        noise ~ N(0, I)

    with g_S = sum_S grad l_i(theta) and F the diagonal of the Hessian of the mean objective of the
    retained rows. For a logistic regression it equals the diagonal of the Fisher information, plus
    the penalty. sigma is (lambda sigma_h^2)^1/4 in the paper. Its Fisher forgetting has the noise
    without the step.

    The diagonal at the trained parameters is kept and downdated. Cost: O(n d) to prepare, O(k d) to
    erase k rows.

    Parameters
    ----------
    sigma : float, default=0.0
        Factor of the noise.
    seed : int, default=0
        Seed of the noise.
    """

    reference = "Golatkar et al. 2020"
    needs_rows = "forget"

    def __init__(self, sigma=0.0, seed=0):
        self.sigma = sigma
        self.seed = seed
        self.name = f"diagonal Fisher, sigma {sigma:g}"

    def _prepare(self):
        self.trained = self.theta.copy()
        self.random = np.random.default_rng(self.seed)
        self.diagonal = self.objective.penalty + self._diagonal_of(self.rows)

    def _erase(self, index):
        forget = self.rows.take(index)
        self.diagonal = self.diagonal - self._diagonal_of(forget)
        step = self.objective.loss_gradient(self.theta, forget) / self.diagonal
        mean = self.diagonal / (self.retained.sum() - len(index))
        noise = self.random.standard_normal(step.shape)
        self.theta = self.theta + step + self.sigma * mean**-0.25 * noise

    def _diagonal_of(self, rows):
        """Diagonal of the Hessian of the losses of rows, (n_outputs, width)."""
        total = np.zeros(self.trained.shape)
        for part in rows.chunks():
            p = self.objective.probabilities(self.trained, part)
            squares = part.Z.power(2) if hasattr(part.Z, "power") else part.Z**2
            total += np.asarray(squares.T @ (p * (1.0 - p))).T
        return total
