"""statsmodels: one-step changes of the parameters of a GLM if one row is left out."""

import numpy as np
from comparators.base import Comparator


class Statsmodels(Comparator):
    """`GLM.get_influence().d_params`: one row, two classes, no penalty.

    The package computes the change for every row at once, so that an erasure is a look-up. Its
    model is the GLM without a penalty; the changes are applied to the shared parameters.
    """

    name = "statsmodels GLM"
    reference = "statsmodels 0.15"
    needs_rows = "all"
    multinomial = False

    def _prepare(self):
        import statsmodels.api as sm

        model = sm.GLM(self.rows.Y[:, 0], self.rows.Z, family=sm.families.Binomial())
        self.changes = np.asarray(model.fit().get_influence().d_params)

    def _erase(self, index):
        if len(index) > 1 or not self.retained.all():
            raise ValueError(
                "statsmodels must erase one row, once, got more. Erase one row from the original."
            )
        self.theta = self.theta - self.changes[index]
