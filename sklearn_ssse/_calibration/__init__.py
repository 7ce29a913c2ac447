"""The automatic damping and the automatic eps: one file for logistic regression, two for networks.

The folder knows the training rows at fit and a step before its length. It must not know an
estimator.
"""

from sklearn_ssse._calibration import logistic, network
from sklearn_ssse._calibration.logistic import Exact, common_epsilons
