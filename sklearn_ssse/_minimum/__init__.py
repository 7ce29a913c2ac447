"""The minimum of the objective of a logistic regression: the distance to it, and steps to it.

The folder depends on the rows, the curvature and the automatic damping of a logistic regression. It
must not depend on an estimator.
"""

from sklearn_ssse._minimum.distance import left_by_training
from sklearn_ssse._minimum.newton import minimise
from sklearn_ssse._minimum.perturbed import perturb
from sklearn_ssse._minimum.refresh import take_newton_steps, takes_newton_steps
