"""pyinfluence: `InfluenceFunctions` of a scikit-learn model, two classes."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from comparators.base import Comparator


class PyInfluence(Comparator):
    """The inverse Hessian and the gradients of all training rows, as pyinfluence keeps them.

    The package returns scores of rows, not parameters. The step is its ``H_inv_`` times the sum of
    its ``train_grads_``, divided by n - k; `damping`, 1e-5 by default, is 0 here.
    """

    name = "pyinfluence"
    reference = "pyinfluence 0.5"
    package = "pyinfluence"
    needs_rows = "all"
    multinomial = False

    def _prepare(self):
        from pyinfluence import InfluenceFunctions

        fit_intercept = self.objective.fit_intercept
        width = self.objective.width - fit_intercept
        model = LogisticRegression(C=self.objective.C, fit_intercept=fit_intercept)
        model.classes_ = np.arange(2)
        model.coef_ = self.theta[:, :width]
        model.intercept_ = self.theta[:, -1] if fit_intercept else np.zeros(1)
        model.n_features_in_ = width
        self.influence = InfluenceFunctions(damping=0.0)
        self.influence.fit(model, self.rows.Z[:, :width], self.rows.Y[:, 0].astype(int))

    def _erase(self, index):
        step = self.influence.H_inv_ @ self.influence.train_grads_[index].sum(axis=0)
        self.theta = self.theta + step / (self.retained.sum() - len(index))
