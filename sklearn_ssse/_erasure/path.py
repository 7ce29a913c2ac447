"""The path of the parameters since the curvature was computed, and the conservative curvature.

The curvature of an erased row is subtracted at the present parameters, but it was added at the
parameters of the fit. If it is larger now than it was then, too much is subtracted, and the steps
become too long. No row takes more from the conservative curvature than it had added.
`docs/method.md` derives the bound that is used here.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CURVATURES, Scores

# Rate c of the bound ``w(fit) >= w(now) exp(-c sqrt(h) D)`` on the curvature w of a row, for its
# leverage h without its weight and the path length D, without unit. Measured on streams of five
# data sets (docs/constants.md): with .25 some streams from one class still fail.
KEPT_RATE = 0.5
# Ratio of ``g^T s`` with the curvature to ``g^T s`` with the conservative curvature above which
# the conservative curvature replaces the other for good, without unit.
LARGEST_DISAGREEMENT = 1.3


@dataclass(frozen=True)
class Path:
    """The path of the parameters since the curvature was computed.

    Attributes
    ----------
    length : float
        D, the root of the sum of ``g^T s`` over the steps: each step has the squared length
        ``g^T s`` in the norm of the curvature. Without unit.
    conservative : AbstractInverse or None
        Inverse of the conservative curvature; None if it equals ``curvature_``.
    switched : bool
        True if ``curvature_`` is the conservative curvature.
    second_order : SecondOrder or None
        The Hessian and its derivative, for steps of second order.
    recommended : str
        The reason for a refresh; empty if there is none.
    warned : bool
        True if the reason was given in a warning.
    """

    length: float = 0.0
    conservative: Any = None
    switched: bool = False
    second_order: Any = None
    recommended: str = ""
    warned: bool = False

    def switch(self, curvature: str, reason: str) -> "Path":
        """The path on which the conservative curvature becomes ``curvature_``.

        The reason recommends a refresh for the Hessian only: with any other curvature, a switch is
        no sign of a large error.
        """
        reason = reason if CURVATURES[curvature].is_hessian else ""
        recommended = self.recommended or reason
        return replace(self, switched=True, second_order=None, recommended=recommended)

    def kept(self, scores: Scores, leverage: NDArray) -> NDArray:
        """Share of the present curvature of each forget row that it may not have added, (k,).

        Parameters
        ----------
        scores : Scores
            The curvature rows of the forget rows.
        leverage : ndarray of shape (k,)
            Their leverage.
        """
        weight = np.square(scores.layers[-1].deltas).sum(axis=(1, 2))
        return kept_share(leverage, weight, self.length)

    def with_columns(self, column_map: Any, shapes: Any, ridge: NDArray) -> "Path":
        """The path of a model whose input columns change, see `AbstractInverse.with_columns`."""
        conservative = self.conservative and self.conservative.with_columns(column_map, shapes)
        second = self.second_order and self.second_order.with_columns(column_map, shapes, ridge)
        return replace(self, conservative=conservative, second_order=second)


def kept_share(leverage: NDArray, weight: NDArray, length: NDArray | float) -> NDArray:
    """``1 - exp(-c sqrt(h) D)`` for ``h = leverage / weight``; 0 without a weight.

    Parameters
    ----------
    leverage : ndarray
        Leverage of rows.
    weight : ndarray of the same shape
        Squared norm of the curvature rows at the outputs, which h leaves out.
    length : ndarray or float
        D.
    """
    h = np.divide(leverage, weight, out=np.zeros(weight.shape), where=weight > 0)
    return -np.expm1(-KEPT_RATE * np.sqrt(np.maximum(h, 0.0)) * length)
