"""The warning for a call that is given no row."""

from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.warnings import warn

NO_ROWS = (
    "At least one row of positive weight must be given, got none: no row is erased or added, and "
    "nothing changes. The usual reason is a filter that matches no row, for example because the "
    'ids are of another type ("17" against 17). Check the filter and the weights.'
)

_part_of_a_call: ContextVar[bool] = ContextVar("_part_of_a_call", default=False)


def any_row(X, sample_weight):
    """Whether there is a row of positive weight."""
    if num_samples(X) == 0:
        return False
    return sample_weight is None or bool(np.any(np.asarray(sample_weight)))


def warn_of_no_rows():
    """Warn that a call changes nothing, because it was given no row of positive weight."""
    if not _part_of_a_call.get():
        warn(NO_ROWS)


@contextmanager
def part_of_a_call():
    """Allow calls without rows inside: an outer call that has rows gives each model its own."""
    token = _part_of_a_call.set(True)
    try:
        yield
    finally:
        _part_of_a_call.reset(token)
