"""Bounds of the gradient that an erasure leaves, for multinomial logistic regression.

They are looser than the bounds for two classes: they use one constant for the third derivative of
the loss, whatever the probabilities, and no third derivatives that the model keeps.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.bounds import EPS, Call, ErasureBudget, Found
from sklearn_ssse._erasure.row_sums import minus
from sklearn_ssse._erasure.row_sums_at_fit import euclidean_norms, weighted_gram
from sklearn_ssse._utils.chunks import add_up, slices

# Largest third derivative of the loss along a unit vector of outputs, for any number of classes:
# the third cumulant of two outputs with the difference sqrt(2).
LARGEST_THIRD = 0.2721655269759087
# Largest second derivative along a unit vector of outputs: their largest variance.
LARGEST_SECOND = 0.5
NO_PARAMETERS = "no bound of the parameters is computed for more than two classes"


@dataclass(frozen=True)
class SoftmaxBounds:
    """The bounds of a multinomial logistic regression.

    Attributes
    ----------
    by_norm : ndarray of shape (p, p)
        ``sum w |x| x x^T`` over the retained rows, with the Euclidean norm.
    shape : tuple of int
        (n_outputs, p), the shape of the parameters.
    largest_norm : float
        Largest Euclidean norm of a row.
    left : float
        Bound of the gradient that is left and that later steps do not subtract.
    curvature_error : float
        Bound of the error of the stored curvature, from earlier forget rows.
    length, path : float
        Sums over the earlier steps s of their norms and of ``sqrt(tr(s by_norm s^T))``.
    gradient : float
        The sum of the bounds of all calls.
    """

    by_norm: NDArray
    shape: tuple[int, int]
    largest_norm: float
    left: float
    curvature_error: float = 0.0
    length: float = 0.0
    path: float = 0.0
    gradient: float = 0.0

    @classmethod
    def of(cls, batch: Any, left: float) -> "SoftmaxBounds":
        """The bounds of the training rows, with the norm of the gradient that training left."""
        norms = euclidean_norms(batch)
        mass = batch.weight * norms
        by_norm = add_up(
            weighted_gram(batch, rows, mass[rows])
            for rows in slices(batch.n_samples, batch.chunk_size)
        )
        largest = float(norms[batch.weight > 0].max(initial=0.0))
        return cls(by_norm, batch.family.shape, largest, left)

    def after(self, call: Call) -> Found:
        """The bounds after a call."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._after(call)

    def _after(self, call: Call) -> Found:
        x = call.rows.x
        weight = call.rows.weight
        step = call.step.reshape(self.shape)
        norms = np.sqrt(np.einsum("ij,ij->i", x, x))
        square = max(float(np.einsum("kp,pq,kq->", step, self.by_norm, step)), 0.0)
        outputs = np.linalg.norm(x @ step.T, axis=1)
        moved = LARGEST_THIRD * self.length * norms
        left = self.left + float(np.linalg.norm(call.known))
        left += LARGEST_THIRD * (square / 2 + self.path * np.sqrt(square))
        left += float(np.linalg.norm(step)) * self.curvature_error
        left += float((weight * moved * outputs) @ norms)
        left += call.rounding + EPS * call.mass * self.largest_norm
        differs = moved + LARGEST_SECOND * call.kept
        total = left + (0.0 if call.residual is None else float(np.linalg.norm(call.residual)))
        gradient = float(max(total - self.gradient, 0.0))
        after = replace(
            self,
            by_norm=minus(self.by_norm, x, weight * norms),
            left=left,
            curvature_error=self.curvature_error + float((weight * differs) @ norms**2),
            length=self.length + float(np.linalg.norm(step)),
            path=self.path + float(np.sqrt(square)),
            gradient=self.gradient + gradient,
        )
        return Found(gradient, None, NO_PARAMETERS, after)

    def budget(self, limit: float | None) -> ErasureBudget:
        """The sum of the bounds of the gradient."""
        return ErasureBudget(self.gradient, None, limit, NO_PARAMETERS)
