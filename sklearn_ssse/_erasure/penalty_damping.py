"""The damping "penalty": the L2 penalty of the objective as the ridge of the curvature."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Ridge of a parameter without a penalty, as a share of the mean diagonal entry of the curvature,
# for a family without a rule of its own. The last ridge is at least this for every parameter.
FLOOR_OF_PENALTY = 1e-7


def penalty_ridges(batch: Any) -> list:
    """The ridges of ``damping="penalty"``, to be tried in turn.

    Parameters
    ----------
    batch : Batch
        The training data.

    Returns
    -------
    list of callable
        Functions from the diagonal of ``R^T R``, (d,), to the ridge on the scale of a sum, (d,).
    """
    penalty = batch.family.penalty(int((batch.weight > 0).sum()))
    return [partial(_ridge, penalty, everywhere=everywhere) for everywhere in (False, True)]


def _ridge(penalty: NDArray, diagonal: NDArray, *, everywhere: bool) -> NDArray:
    """The penalty, with a floor for parameters without one, or for all."""
    floor = FLOOR_OF_PENALTY * max(float(diagonal.mean()), np.finfo(np.float64).tiny)
    floored = np.maximum(penalty, floor)
    return floored if everywhere else np.where(penalty > 0, penalty, floored)
