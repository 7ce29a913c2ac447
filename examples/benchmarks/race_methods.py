"""The methods of `race.py`: this library, the comparators and the peers, by name."""

import comparators
import numpy as np
from comparators import Comparator, peers
from sklearn.linear_model import LogisticRegression

from sklearn_ssse import ErasableLogisticRegression

PIP = "pip install 'sklearn-ssse[benchmarks]' && pip install --no-deps pyDVL==0.10.0"
# Parameters up to which this library takes steps of second order.
MAX_SECOND_ORDER = 110
# Standard deviation of the perturbation of certified removal, in the unit of a summed gradient.
STD = 1.0
# Factor of the noise of diagonal Fisher.
SIGMA = 0.001


class Nothing(Comparator):
    """The original model."""

    name = "nothing"
    reference = "-"
    needs_rows = "none"

    def _prepare(self):
        pass

    def _erase(self, index):
        pass


class Ours(Comparator):
    """`ErasableLogisticRegression`.

    Parameters
    ----------
    name : str
        As in the tables.
    params : dict
        Parameters of the estimator.
    """

    reference = "this library"
    needs_rows = "forget"

    def __init__(self, name, **params):
        self.name = name
        self.params = params

    def _prepare(self):
        if self.params.get("order") == 2 and self.objective.size > MAX_SECOND_ORDER:
            raise ValueError(
                f"order=2 must have at most {MAX_SECOND_ORDER} parameters in this race, got "
                f"{self.objective.size}. Use order=1."
            )
        trained = LogisticRegression(C=self.objective.C, solver="newton-cholesky", tol=1e-10)
        labels = np.arange(len(self.classes))
        trained.classes_ = labels
        trained.coef_ = self.theta[:, :-1].copy()
        trained.intercept_ = self.theta[:, -1].copy()
        trained.n_features_in_ = self.theta.shape[1] - 1
        trained.n_iter_ = np.array([1])
        self.features = self.rows.Z[:, :-1]
        two = len(labels) == 2
        self.labels = (self.rows.Y[:, 0] if two else self.rows.Y.argmax(axis=1)).astype(int)
        self.model = ErasableLogisticRegression.from_estimator(
            trained, self.features, self.labels, **self.params
        )

    def _erase(self, index):
        self.model.unlearn(self.features[index], self.labels[index])
        self.theta = np.hstack([self.model.coef_, self.model.intercept_[:, np.newaxis]])

    def copy(self):
        """A copy that shares the training rows, which the model does not hold."""
        features, labels = self.features, self.labels
        del self.features, self.labels
        out = super().copy()
        for method in (self, out):
            method.features, method.labels = features, labels
        return out


def written_here():
    """The comparators, in the order of the tables."""
    return [
        comparators.Retraining(),
        comparators.WarmStart(),
        comparators.Influence(),
        comparators.InfluenceCG(),
        comparators.CertifiedRemoval(),
        comparators.CertifiedRemoval(STD),
        comparators.DiagonalFisher(),
        comparators.DiagonalFisher(SIGMA),
        comparators.SISA(),
        comparators.DeltaGrad(),
        comparators.ProjectiveResidual(),
    ]


def methods():
    """All methods, in the order of the tables."""
    found = [
        Nothing(),
        Ours("ours, Fisher", curvature="fisher"),
        Ours("ours, second order", curvature="fisher", order=2),
        Ours("ours, empirical Fisher", curvature="empirical_fisher"),
        *written_here(),
        peers.PyDVL("Hessian"),
        peers.PyDVL("Gauss-Newton"),
        peers.Curvlinops("Hessian"),
        peers.Curvlinops("empirical Fisher"),
        peers.PyInfluence(),
        peers.Statsmodels(),
        peers.Erasus(),
    ]
    return {method.name: method for method in found}
