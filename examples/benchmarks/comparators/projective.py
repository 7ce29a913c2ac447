"""Projective residual update: the part of the Newton step in the span of the forget rows."""

import numpy as np
from scipy import linalg, sparse

from comparators.base import Comparator


class ProjectiveResidual(Comparator):
    """The projective residual update (Izzo, Smart, Chaudhuri and Zou 2021, algorithms 1 and 2).

    For a linear regression, the leave-k-out predictions of the forget rows follow from the hat
    matrix, and the step is the change of least norm that gives these predictions: the projection of
    the exact step onto the span of the forget rows. For a logistic regression, the Newton step on
    the retained rows is a weighted least squares problem with weights p (1 - p) and responses
    z theta + (y - p) / (p (1 - p)). With Z the forget rows (k, width), W their weights, P the
    inverse Hessian of all rows and e = p - y:

        M = Z P Z^T,    t = M (I - W M)^-1 e,    theta + pinv(Z) t

    t are the changes of the log-odds by the Newton step; W^1/2 M W^1/2 is the block of the hat
    matrix. The paper keeps the whole hat matrix, (n, n), 2 TB for 500,000 rows, and erases in
    O(k^2 d). Here P is kept and the block computed: O(n d^2 + d^3) to prepare, and
    O(k d^2 + k^2 d + k^3) to erase k rows, which includes the downdate of P.
    """

    name = "projective residual"
    reference = "Izzo et al. 2021"
    needs_rows = "forget"
    multinomial = False

    def _prepare(self):
        self.trained = self.theta.copy()
        factor = linalg.cho_factor(self.objective.hessian(self.theta, self.rows))
        self.inverse = linalg.cho_solve(factor, np.eye(self.objective.size))

    def _erase(self, index):
        forget = self.rows.take(index)
        Z = forget.Z.toarray() if sparse.issparse(forget.Z) else forget.Z
        error = self.objective.probabilities(self.theta, forget) - forget.Y
        p = self.objective.probabilities(self.trained, forget)
        weight = p * (1.0 - p)
        half = Z @ self.inverse
        block = half @ Z.T
        left = np.eye(len(index)) - weight * block
        solved = linalg.solve(left, np.hstack([error, weight * half]))
        change = block @ solved[:, 0]
        self.theta = self.theta + np.linalg.lstsq(Z, change)[0]
        self.inverse = self.inverse + half.T @ solved[:, 1:]
