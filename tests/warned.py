"""Local filters: in this suite warnings are errors, except the ones that a test expects."""

import warnings
from contextlib import contextmanager

from sklearn_ssse import ErasureWarning

DAMPED = "The .*rows must not dominate"
NO_ROWS = "At least one row of positive weight must be given"
MINI_BATCHES = "The curvature is made of mini-batches"
# After more than a tenth of the rows were changed, or a quarter of a class erased.
REFRESH = "A refresh of the model is recommended"
NOT_A_MINIMUM = "The model must be at a minimum"
# For a net from which rows were erased before. Whether the net gives one of these depends on its
# training, and so on the machine.
STALE = "The curvature must (belong to|contain)"
# Of a step whose rows change their log-odds by more than 1, or one row far more than the others.
LONG_STEP = "A step should not change the log-odds"
LARGE_EPSILON = "epsilon should be at most (2.5|1.5) times"
SMALL_DAMPING = "A step should be at most 2.5 times as long as the L2 penalty allows"
TOO_LONG = "A step must be short compared with the parameters"
# Of added rows with a larger norm than twice the largest norm of a training row.
LARGE_NORM = "Added rows should be scaled as the training rows were"
# The rows cannot be compared with the training rows of a model that was fitted before a composite.
PREFIT = "Rows to erase from (CalibratedClassifierCV|TunedThresholdClassifierCV)"
UNTRAINED = "A trained network must predict"


@contextmanager
def may_warn(*messages):
    """Let the block give an ErasureWarning that begins with one of ``messages``, and no other."""
    with warnings.catch_warnings():
        for message in messages:
            warnings.filterwarnings("ignore", message, ErasureWarning)
        yield
