"""A model that was trained elsewhere: its objective as parameters, and a check of its fit.

The folder depends on scikit-learn's classifiers and on the curvature of a model. It must not depend
on the steps of an erasure.
"""

from sklearn_ssse._from_estimator.fit_check import warn_if_wrong
from sklearn_ssse._from_estimator.objective import logistic_parameters, refuse_l1
