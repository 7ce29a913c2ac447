"""A bound on the gradient that erasures leave, without data.

For binary logistic regression the third derivative of the loss is at most 1 / (6 sqrt 3). With
``G = sum w x x^T`` over the training rows, the leverages ``h = x^T G^-1 x`` and
``G_h = sum w h x x^T``, a Newton step s leaves on the retained rows a gradient of norm at most
``THIRD / 2 ||X|| sqrt(s^T G s s^T G_h s)``. In a stream, the curvature of the step belongs to other
parameters, and a part of the erased rows' curvature is still in it: both errors are bounded in the
same way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse._gradients import Layer, Scores
from sklearn_ssse._utils.chunks import add_up, slices

# Largest absolute third derivative of the logistic loss, 1 / (6 sqrt 3).
THIRD = 0.09622504486493764
# Largest second derivative of the logistic loss.
SECOND = 0.25
# Ridge of G, as a share of its largest eigenvalue: without it, collinear columns make G singular.
GRAM_RIDGE = 1e-10


@dataclass(frozen=True)
class RowSums:
    """Sums over the training rows, and the path since they were computed.

    Attributes
    ----------
    gram : ndarray of shape (d, d)
        ``G = sum w x x^T``, intercept and a tiny ridge included.
    leverage_gram : ndarray of shape (d, d)
        ``G_h = sum w h x x^T``.
    norm : float
        ``||X||``, the root of the largest eigenvalue of ``gram``.
    moved : float
        Sum over the steps s of ``sqrt(s^T G s)``.
    kept : float
        Largest share of an erased row's curvature that is still in the stored curvature.
    """

    gram: NDArray
    leverage_gram: NDArray
    norm: float
    moved: float = 0.0
    kept: float = 0.0

    @classmethod
    def of(cls, batch: Any) -> "RowSums":
        """The sums of the rows of a `LinearBatch`."""
        parts = list(slices(batch.n_samples, batch.chunk_size))
        gram = add_up(_weighted_rows(batch, rows).gram() for rows in parts)
        largest = float(np.linalg.eigvalsh(gram)[-1])
        gram = gram + GRAM_RIDGE * largest * np.eye(len(gram))
        inverse = np.linalg.inv(gram)

        def by_leverage(rows: slice) -> NDArray:
            weighted = _weighted_rows(batch, rows)
            x = weighted.to_dense()
            weight = batch.weight[rows]
            h = np.einsum("ij,ij->i", x @ inverse, x)
            h = np.divide(h, weight, out=np.zeros(weight.shape), where=weight > 0)
            return weighted.scaled(np.sqrt(np.maximum(h, 0.0))).gram()

        return cls(gram, add_up(by_leverage(rows) for rows in parts), float(np.sqrt(largest)))

    def lengths(self, steps: NDArray) -> tuple[NDArray, NDArray]:
        """The lengths ``sqrt(s^T G s)`` and ``sqrt(s^T G_h s)`` of steps (d, m), each (m,)."""
        return _lengths(steps, self.gram), _lengths(steps, self.leverage_gram)

    def after(self, step: NDArray, kept: float) -> "RowSums":
        """The sums after a step (d,) that keeps this share of the forget rows' curvature."""
        moved = self.moved + float(_lengths(step[:, np.newaxis], self.gram)[0])
        return replace_fields(self, {"moved": moved, "kept": max(self.kept, kept)})

    def bound_of_gradient(self, step: NDArray, kept: float, missing: NDArray) -> float:
        """Bound on the norm of the gradient that a step (d,) leaves.

        Parameters
        ----------
        step : ndarray of shape (d,)
        kept : float
            Largest share of a forget row's curvature that stays in the curvature.
        missing : ndarray of shape (d,)
            The ridge of the curvature minus the penalty.
        """
        length, by_leverage = (float(both[0]) for both in self.lengths(step[:, np.newaxis]))
        change = THIRD * by_leverage * (self.moved + length / 2)
        change += SECOND * max(self.kept, kept) * length
        return self.norm * change + float(np.linalg.norm(missing * step))


def bound_of_choice(model: Any, choice: Any, step: NDArray, attributes: dict) -> tuple:
    """Bound on the norm of the gradient that an erasure leaves, or None and the reason.

    Parameters
    ----------
    model : ErasableLogisticRegression
    choice : Choice
    step : ndarray of shape (d,)
        The change of the parameters.
    attributes : dict
        Attributes of the model after the change; the sums after it are added.

    Returns
    -------
    bound : float or None
    reason : str
    """
    if choice.step.damped:
        return None, "the forget rows dominate the curvature, and the step is damped"
    sums = model._row_sums
    family = model._family()
    downdate = choice.downdate
    kept = 0.0 if downdate.kept is None else float(downdate.kept.max(initial=0.0))
    penalty = family.penalty()
    bound = sums.bound_of_gradient(step, kept, downdate.inverse.ridge - penalty)
    # The parameters are rounded to the type of `coef_`.
    largest = SECOND * sums.norm**2 + penalty.max()
    rounding = np.finfo(attributes["coef_"].dtype).eps * np.linalg.norm(family.theta + step)
    attributes["_row_sums"] = sums.after(step, kept)
    return bound + float(largest * rounding), ""


def _weighted_rows(batch: Any, rows: slice) -> Scores:
    """The rows x, intercept included, times the roots of their weights."""
    deltas = np.sqrt(batch.weight[rows])[:, np.newaxis, np.newaxis]
    return Scores([Layer(batch.inputs(rows), deltas, batch.family.bias)])


def _lengths(steps: NDArray, matrix: NDArray) -> NDArray:
    """Norms of steps (d, m) in the metric of a matrix, (m,)."""
    squares = np.einsum("jm,jm->m", steps, matrix @ steps)
    return np.sqrt(np.maximum(squares, 0.0))
