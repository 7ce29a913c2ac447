"""Certified removal: a Newton step on the retained objective, and a bound of its error."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from sklearn.utils.extmath import row_norms

from comparators.base import Comparator
from comparators.objective import Objective, weighted_gram

# Lipschitz constant of the second derivative of the logistic loss, as in the paper.
LIPSCHITZ = 0.25


@dataclass(frozen=True, eq=False)
class Perturbed(Objective):
    """The shared objective plus ``b^T theta``.

    Parameters
    ----------
    b : ndarray of shape (n_outputs, width)
        The perturbation.
    """

    b: np.ndarray = None

    def value(self, theta, rows):
        """f(theta) + b^T theta."""
        return super().value(theta, rows) + float(np.sum(self.b * theta))

    def gradient(self, theta, rows):
        """``grad f(theta) + b``, (n_outputs, width)."""
        return super().gradient(theta, rows) + self.b


class CertifiedRemoval(Comparator):
    """Certified removal for two classes (Guo, Goldstein, Hannun, van der Maaten 2020, section 3).

    Training minimises f(theta) + b^T theta with b ~ N(0, std^2 I). An erasure of S makes the Newton
    step on the retained objective, whose gradient at the minimum is -sum_S grad l_i:

        theta + (H - H_S)^-1 sum_S grad l_i(theta)

    H and ``Z^T Z`` are kept and downdated. H is the Hessian at the trained parameters theta*, also
    in later calls. With the step s, the design matrix Z of the retained rows and its longest row z,
    a call adds at most ``1/4 ||Z|| ||z|| (||theta - theta*|| + ||s||) ||Z s||`` to the norm of the
    gradient. Corollary 1 of the paper is the case theta = theta* with rows of norm at most 1.
    `spent` is the sum of these bounds. The certificate holds while it is at most `budget`.

    Cost: O(n d^2) to prepare, O(k d^2 + d^3) to erase k rows.

    Parameters
    ----------
    std : float, default=0.0
        Standard deviation of b. 0: the step without a certificate, from the shared minimum.
    seed : int, default=0
        Seed of b.
    """

    reference = "Guo et al. 2020"
    needs_rows = "forget"
    multinomial = False

    def __init__(self, std=0.0, seed=0):
        self.std = std
        self.seed = seed
        self.name = f"certified removal, std {std:g}"
        self.trains_itself = std > 0

    def _prepare(self):
        if self.trains_itself:
            shape = (self.objective.n_outputs, self.objective.width)
            b = np.random.default_rng(self.seed).normal(0.0, self.std, shape)
            plain = self.objective
            self.objective = Perturbed(plain.C, *shape, plain.fit_intercept, b)
            self.theta = self.objective.minimise(self.rows)[0]
        self.trained = self.theta.copy()
        self.hessian = self.objective.hessian(self.theta, self.rows)
        self.gram = weighted_gram(self.rows.Z, np.ones(len(self.rows)))
        # The norms of all rows bound the norms of the retained rows.
        self.largest = float(np.sqrt(np.linalg.eigvalsh(self.gram)[-1]))
        self.longest = float(row_norms(self.rows.Z).max())
        self.spent = 0.0

    def _erase(self, index):
        forget = self.rows.take(index)
        self.hessian -= self.objective.loss_hessian(self.trained, forget)
        self.gram -= weighted_gram(forget.Z, np.ones(len(index)))
        gradient = self.objective.loss_gradient(self.theta, forget).ravel()
        step = linalg.cho_solve(linalg.cho_factor(self.hessian), gradient)
        moved = np.linalg.norm(self.theta - self.trained) + np.linalg.norm(step)
        self.theta = self.theta + step.reshape(self.theta.shape)
        change = np.sqrt(max(0.0, step @ self.gram @ step))
        self.spent += LIPSCHITZ * self.largest * self.longest * moved * change

    def own_retraining(self, index):
        """The perturbed minimum on the retained rows, with the same b."""
        if not self.trains_itself:
            return None
        return self.objective.minimise(self.retained_after(index), self.theta)[0]

    def budget(self, epsilon, delta):
        """The largest `spent` of an (epsilon, delta) certificate (their theorem 3)."""
        return self.std * epsilon / np.sqrt(2 * np.log(1.5 / delta))
