"""The automatic damping and the automatic eps: one file for logistic regression, two for networks.

The folder depends on the training rows at fit and on a step before its length is set. It must not
depend on an estimator.
"""

from sklearn_ssse._calibration import logistic, network
from sklearn_ssse._calibration.logistic import Exact, common_epsilons
from sklearn_ssse._calibration.order import second_order
