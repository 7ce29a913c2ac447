"""statsmodels: one-step changes of the parameters of a GLM if one row is left out."""

import numpy as np

from comparators.base import Comparator


class Statsmodels(Comparator):
    """`GLM.get_influence().d_params`: one row, two classes, no penalty.

    The package computes the change for every row at once, so that an erasure is a look-up. Its
    model is the GLM without a penalty, here after one IRLS step from the shared parameters, since
    the GLM has no minimum if a class is separable. Its changes are added to the shared parameters.
    """

    name = "statsmodels GLM"
    reference = "statsmodels 0.15"
    package = "statsmodels"
    needs_rows = "all"
    multinomial = False

    def _prepare(self):
        import statsmodels.api as sm

        model = sm.GLM(self.rows.Y[:, 0], self.rows.Z, family=sm.families.Binomial())
        fitted = model.fit(start_params=self.theta[0], maxiter=1)
        self.changes = np.asarray(fitted.get_influence().d_params)

    def _erase(self, index):
        if len(index) > 1 or not self.retained.all():
            raise ValueError(
                "statsmodels must erase one row, once, got more. Erase one row from the original."
            )
        self.theta = self.theta - self.changes[index]
