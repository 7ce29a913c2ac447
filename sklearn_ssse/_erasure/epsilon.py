"""eps as users write it: a number, "auto", or a multiple of "auto" such as "0.5*auto"."""

from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np

from sklearn_ssse._utils.compat import StrOptions
from sklearn_ssse.exceptions import ErasureError


class Multiple(NamedTuple):
    """A multiple of the eps that "auto" finds for each erasure."""

    factor: float


class SearchGrid(NamedTuple):
    """The values of eps that a search compares.

    Attributes
    ----------
    epsilons : tuple of float or str
    tolerance : float
        The search takes the first eps whose mean gamma_S is at most this far below the largest.
    unique_minimum : bool
        Whether every training reaches the same minimum. Only then does a distance between the
        parameters of an erased and a retrained model measure the erasure.
    """

    epsilons: tuple
    tolerance: float
    unique_minimum: bool


# For a model whose best eps is about the same for every forget set.
ABSOLUTE_GRID = SearchGrid(("auto", *np.geomspace(0.05, 20, 14).round(4).tolist()), 0.0, True)
# For a model whose best eps differs between forget sets.
RELATIVE_GRID = SearchGrid(
    tuple(f"{factor:.3g}*auto" for factor in np.geomspace(0.25, 2 ** (1 / 3), 8)), 0.05, False
)


def read_epsilon(epsilon):
    """eps as a positive float or a `Multiple`.

    Raises
    ------
    ErasureError
        If it is neither.
    """
    if isinstance(epsilon, str):
        factor = _factor(epsilon)
        if factor is not None:
            return Multiple(factor)
    elif isinstance(epsilon, Real) and not isinstance(epsilon, bool) and 0 < epsilon < np.inf:
        return float(epsilon)
    raise ErasureError(
        "epsilon must be a positive number, 'auto' or a multiple of it such as '0.5*auto', got "
        f"{epsilon!r}. Values near 1 are usual."
    )


def check_epsilon(epsilon, *, calibrated):
    """`read_epsilon`, and an error for a `Multiple` if the model has no calibration of "auto"."""
    read = read_epsilon(epsilon)
    if isinstance(read, Multiple) and not calibrated:
        raise ErasureError(
            f"epsilon={epsilon!r} needs the calibration that `fit` makes if `unlearn_epsilon` is "
            "'auto', got a model that was fitted with a number. Pass a number, or set "
            "`unlearn_epsilon` to 'auto' and call `fit_curvature` on the retained rows."
        )
    return read


def usual_epsilon(epsilon, calibration):
    """eps as a number; for a `Multiple`, its value for a small random forget set."""
    if isinstance(epsilon, str):
        return read_epsilon(epsilon).factor / calibration.random
    return float(epsilon)


@lru_cache
def _factor(text):
    """0.5 for "0.5*auto", 1 for "auto", None for any other text."""
    *factor, name = text.split("*")
    if name.strip() != "auto" or len(factor) > 1:
        return None
    try:
        value = float(factor[0]) if factor else 1.0
    except ValueError:
        return None
    return value if 0 < value < np.inf else None


class MultiplesOfAuto(StrOptions):
    """The constraint of a parameter that may be "auto" or a multiple of it."""

    def __init__(self):
        super().__init__({"auto"})

    def is_satisfied_by(self, val):
        return isinstance(val, str) and _factor(val) is not None

    def __str__(self):
        return "'auto' or a multiple of it such as '0.5*auto'"
