"""The erased model against retraining, on real data: the figures that the project promises."""

from copy import deepcopy

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_ssse import ErasableLogisticRegression, parameter_distance
from tests.conftest import forget_sets
from tests.reference import theta, without
from tests.warned import DAMPED, LONG_STEP, may_warn

GRID = np.geomspace(0.02, 20, 80)


@pytest.fixture(scope="module")
def distances(real_data):
    """Distance ratios, (data set, forget set) -> {step: ratio}."""
    out = {}
    params = {"solver": "newton-cholesky", "tol": 1e-10}
    for name, (X, y) in real_data.items():
        default = ErasableLogisticRegression(**params).fit(X, y)
        fisher = ErasableLogisticRegression.from_estimator(
            default, X, y, **params, curvature="fisher"
        )
        for seed in range(1 if name == "census" else 2):
            for kind, S in forget_sets(y, seed).items():
                keep = without(S, len(y))
                retrained = LogisticRegression(**params).fit(X[keep], y[keep])
                automatic = deepcopy(default)
                with may_warn(DAMPED, LONG_STEP):  # half of a class
                    automatic.unlearn(X[S], y[S])
                step = theta(automatic) - theta(default)
                one = step / automatic.erasures_[0].epsilon  # the step of eps = 1
                away = theta(retrained) - theta(default)
                by_fisher = deepcopy(fisher)
                with may_warn(DAMPED, LONG_STEP):  # half of a class
                    by_fisher.unlearn(X[S], y[S])
                out[name, seed, kind] = {
                    "auto": parameter_distance(default, automatic, retrained),
                    "best": min(np.linalg.norm(e * one - away) for e in GRID)
                    / np.linalg.norm(away),
                    "fisher": parameter_distance(fisher, by_fisher, retrained),
                }
    return out


def pick(distances, what, half):
    return np.array(
        [row[what] for (_, _, kind), row in distances.items() if kind.startswith("half") == half]
    )


def test_defaults_beat_doing_nothing(distances):
    everything = [row["auto"] for row in distances.values()]
    assert np.median(everything) < 0.7
    assert pick(distances, "auto", half=False).max() < 1.0


def test_automatic_eps_is_near_the_best(distances):
    assert np.median([row["auto"] / row["best"] for row in distances.values()]) < 1.25


def test_fisher_is_close_to_retraining(distances):
    assert np.median(pick(distances, "fisher", half=False)) < 0.10
    assert np.median(pick(distances, "fisher", half=True)) < 0.35
