"""Influence functions: a Newton step with the Hessian of all rows, dense or by products with it."""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, cg

from comparators.base import Comparator

# Largest number of conjugate gradient iterations, as a multiple of the number of parameters.
MAX_PASSES = 10


class Influence(Comparator):
    """Influence functions with the dense Hessian.

    The first-order effect of weighting the forget rows S by zero (Koh and Liang 2017, equation 1,
    on the scale of a sum over rows), H the Hessian of the objective of all rows at the fitted
    parameters:

        theta + H^-1 sum_S grad l_i(theta)

    Cost: O(n d^2 + d^3) to prepare, O(k d + d^2) to erase k rows. H is not updated.
    """

    name = "influence, dense"
    reference = "Koh and Liang 2017"
    needs_rows = "forget"

    def _prepare(self):
        self.factor = linalg.cho_factor(self.objective.hessian(self.theta, self.rows))

    def _erase(self, index):
        gradient = self.objective.loss_gradient(self.theta, self.rows.take(index))
        self.theta = self.theta + self._solve(gradient.ravel()).reshape(self.theta.shape)

    def _solve(self, gradient):
        """``H^-1 gradient``, (d,)."""
        return linalg.cho_solve(self.factor, gradient)


class InfluenceCG(Influence):
    """Influence functions by conjugate gradients, without the matrix.

    The same step as `Influence`. Each iteration multiplies the Hessian by a vector, which is one
    pass over the training rows (Koh and Liang 2017, section 3).

    Cost: nothing to prepare, O(n d) for each iteration of an erasure.

    Parameters
    ----------
    rtol : float, default=1e-8
        The norm of the residual at the end, as a share of the norm of the gradient.
    """

    name = "influence, conjugate gradients"
    needs_rows = "all"

    def __init__(self, rtol=1e-8):
        self.rtol = rtol

    def _prepare(self):
        self.fitted = self.theta.copy()

    def _solve(self, gradient):
        size = self.objective.size
        hessian = LinearOperator((size, size), matvec=self._product, dtype=np.float64)
        step, failed = cg(hessian, gradient, rtol=self.rtol, maxiter=MAX_PASSES * size)
        if failed:
            raise ArithmeticError(
                f"Conjugate gradients must reach rtol={self.rtol:g} within {MAX_PASSES * size} "
                "iterations, got a larger residual. Pass a larger rtol."
            )
        return step

    def _product(self, vector):
        """``H vector`` at the fitted parameters, (d,)."""
        return self.objective.hessian_product(self.fitted, self.rows, vector)
