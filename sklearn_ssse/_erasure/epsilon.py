"""eps as users write it: a number, "auto", or a multiple of "auto" such as "0.5*auto"."""

from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np

from sklearn_ssse._utils.compat import StrOptions
from sklearn_ssse.exceptions import ErasureError


class Multiple(NamedTuple):
    """So many times the eps of "auto", which each erasure finds anew."""

    factor: float


class SearchGrid(NamedTuple):
    """What a search for eps looks at: values, and how far below the best the first of them may be."""

    epsilons: tuple
    tolerance: float


# For a model with one best eps, and for one that needs another for each forget set.
ABSOLUTE_GRID = SearchGrid(("auto", *np.geomspace(0.05, 20, 14).round(4).tolist()), 0.0)
RELATIVE_GRID = SearchGrid(
    tuple(f"{factor:.3g}*auto" for factor in np.geomspace(0.25, 2 ** (1 / 3), 8)), 0.05
)


def read_epsilon(epsilon):
    """A positive float, or a `Multiple`; an `ErasureError` if it is neither."""
    if isinstance(epsilon, str):
        factor = _factor(epsilon)
        if factor is not None:
            return Multiple(factor)
    elif isinstance(epsilon, Real) and not isinstance(epsilon, bool) and 0 < epsilon < np.inf:
        return float(epsilon)
    raise ErasureError(
        f"epsilon must be a positive number, 'auto' or a multiple of it such as '0.5*auto', got {epsilon!r}. Values near 1 are usual."
    )


def check_epsilon(epsilon, *, calibrated):
    """As `read_epsilon`; an error for a `Multiple` where there is no calibration to resolve it."""
    read = read_epsilon(epsilon)
    if isinstance(read, Multiple) and not calibrated:
        raise ErasureError(
            f"epsilon={epsilon!r} needs the calibration that `fit` makes when `unlearn_epsilon` is 'auto', got a model fitted with "
            "a number. Pass a number, or call `fit_curvature` on the rows that remain."
        )
    return read


def usual_epsilon(epsilon, calibration):
    """The number that an eps stands for on random rows."""
    return (
        read_epsilon(epsilon).factor / calibration.random
        if isinstance(epsilon, str)
        else float(epsilon)
    )


@lru_cache
def _factor(text):
    """0.5 of "0.5*auto", 1 of "auto"; None of anything else."""
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
