"""Local filters: warnings are errors in this suite, but for those that a test names and expects."""

import warnings
from contextlib import contextmanager

from sklearn_ssse import ErasureWarning

DAMPED = "The .* rows must not dominate"
MINI_BATCHES = "The curvature is made of mini-batches"
NOT_A_MINIMUM = "The model must be a minimum"
# Of a net that was erased from before: whether one appears depends on the path of its training,
# and so on the machine.
STALE = "The curvature must (belong to|hold)"
TOO_LONG = "A step must be short beside the parameters"
UNTRAINED = "A trained network must predict"


@contextmanager
def may_warn(*messages):
    """Let the block give an ErasureWarning that begins with one of ``messages``, and no other."""
    with warnings.catch_warnings():
        for message in messages:
            warnings.filterwarnings("ignore", message, ErasureWarning)
        yield
