"""The path of the parameters since the curvature was computed, and the curvature that stays.

The curvature of an erased row is known at the present parameters, but it was added at the
parameters of the fit. If all of it were subtracted, more might be subtracted than was added: the
curvature of the retained rows would be under-estimated, and the steps would become too long. The
stored curvature is therefore conservative: a share of each erased row's curvature stays in it, the
larger the longer the path is. `docs/method.md` derives the bound that is used here.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import Scores

# Rate c of the bound ``w(fit) >= w(now) exp(-c sqrt(h) D)`` on the curvature w of a row, for its
# leverage h without its weight and the path length D, without unit. After half of the rows the
# distance ratio is 1.90 times the ratio of one call at 0, 1.54 times at .5, and 1.28 times at 1
# (bench_ablation_streams.py).
KEPT_RATE = 1.0
# Path length up to which the curvature is taken to belong to the present parameters.
NOT_MOVED = 1e-6


@dataclass(frozen=True)
class Path:
    """The path of the parameters since the curvature was computed.

    Attributes
    ----------
    length : float
        D, the root of the sum of ``g^T s`` over the steps: each step has the squared length
        ``g^T s`` in the norm of the curvature. Without unit.
    effect : float
        Sum over all forget rows of the squared lengths of the steps that erase each row alone.
    second_order : SecondOrder or None
        The Hessian and its derivative, for steps of second order.
    conservative : AbstractInverse or None
        Inverse of the conservative curvature, beside the Hessian of `second_order`; None if it is
        the inverse ``curvature_`` itself.
    recommended : str
        The reason for a refresh; empty if there is none.
    warned_of_budget : bool
        True if a warning was given that the bounds exceed the budget.
    warned : bool
        True if the reason was given in a warning.
    """

    length: float = 0.0
    effect: float = 0.0
    second_order: Any = None
    conservative: Any = None
    recommended: str = ""
    warned: bool = False
    warned_of_budget: bool = False

    @property
    def has_moved(self) -> bool:
        """Whether the parameters have moved since the curvature was computed."""
        return self.length > NOT_MOVED

    def with_columns(self, column_map: Any, shapes: Any, ridge: NDArray) -> "Path":
        """The path of a model whose input columns change, see `AbstractInverse.with_columns`."""
        conservative = self.conservative and self.conservative.with_columns(column_map, shapes)
        second = self.second_order and self.second_order.with_columns(column_map, shapes, ridge)
        return replace(self, conservative=conservative, second_order=second)


def unweighted(leverage: NDArray, scores: Scores) -> NDArray:
    """Leverage without the weight of the rows at the outputs, (k,): ``x^T P x`` for two classes."""
    weight = scores.output_squares()
    h = np.divide(leverage, weight, out=np.zeros(weight.shape), where=weight > 0)
    return np.maximum(h, 0.0)


def kept_share(h: NDArray, length: NDArray | float) -> NDArray:
    """``1 - exp(-c sqrt(h) D)`` for leverages h without weights and a path length D."""
    return -np.expm1(-KEPT_RATE * np.sqrt(h) * length)
