"""The eps that `TunedEpsilonCV` takes: never one that its own measures speak against."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureWarning,
    TunedEpsilonCV,
)
from sklearn_ssse._search import Means, choose, extra_epsilons, search_results

FISHER = ErasableLogisticRegression(curvature="fisher")
NET = ErasableMLPClassifier((5,), solver="lbfgs", max_iter=30, random_state=0)
MAX = 20.0 * 1.25
MIN = 0.05 / 1.25


def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def means(epsilons, scores, ratios, beyond=(0.0, 0.0)):
    """The means of a grid; ``beyond`` are the scores beyond its edges."""
    extra = extra_epsilons(epsilons)
    assert extra[:-2] == []
    ratios = [*ratios, np.nan, np.nan]
    return Means([*epsilons, *extra], len(epsilons), np.array([*scores, *beyond]), np.array(ratios))


GRID = ["auto", 0.05, 1.0, 20.0]


@pytest.mark.parametrize(
    ("scores", "ratios", "beyond", "tolerance", "expected", "words"),
    [
        # No check fails, whatever the other candidates are.
        ([0.8, 0.1, 0.9, 0.51], [0.3, 0.9, 0.4, 14], (0, 0), 0, 1.0, None),
        ([0.8, 0.1, 0.78, 0.51], [0.3, 0.9, 0.4, 14], (0, 0), 0, "auto", None),
        # A long step has the largest gamma_S. Flights, erasures of one person: 20 was taken.
        ([0.25, 0.02, 0.3, 0.49], [0.9, 1.0, 0.95, 46], (0, 0.492), 0, 1.0, "is 46,"),
        ([0.25, 0.02, 0.2, 0.49], [0.9, 1.0, 0.95, 46], (0, 0.492), 0, "auto", "largest number"),
        # An edge counts only if gamma_S rises beyond it.
        ([0.5, 0.1, 0.2, 0.9], [0.3, 0.9, 0.8, 0.2], (0, 0.8), 0, 20.0, None),
        ([0.5, 0.1, 0.6, 0.9], [0.3, 0.9, 0.2, 0.5], (0, 0.95), 0, 1.0, "0.95 at 25"),
        ([0.5, 0.9, 0.6, 0.2], [0.3, 0.9, 0.2, 0.5], (0.95, 0), 0, 1.0, "0.95 at 0.04"),
        # No eps is replaced by one that is worse in both measures.
        ([0.5, 0.9, 0.6, 0.2], [1.2, 0.9, 1.3, 5], (0.95, 0), 0, 0.05, "no other value"),
        ([0.5, 0.1, 0.9, 0.2], [2.0, 1.1, 1.2, 5], (0, 0), 0, 1.0, "Lower `tol`"),
        # Nothing passes.
        ([0.5, 0.1, 0.9, 0.2], [1.1, 1.2, 2.0, 5], (0, 0), 0, "auto", "Lower `tol`"),
        ([0.9, 0.1, 0.5, 0.2], [1.1, 1.2, 2.0, 5], (0, 0), 0, "auto", "no other value"),
        # A gamma_S or a ratio that is nan.
        ([0.5, 0.1, np.nan, 0.2], [0.3, 0.9, np.inf, 5], (0, 0), 0, "auto", None),
        ([0.5, 0.1, 0.9, 0.2], [np.nan] * 4, (0, 0), 0, 1.0, None),
        ([0.5, 0.1, 0.6, 0.9], [np.nan] * 4, (0, 0.91), 0, 1.0, "largest number"),
        ([np.nan] * 4, [np.inf] * 4, (0, 0), 0, "auto", "gamma_S is nan"),
        # A tolerance takes the first that is good enough, among the candidates that pass.
        ([0.88, 0.1, 0.9, 0.95], [0.3, 0.9, 0.2, 3.0], (0, 0), 0.1, "auto", None),
        ([0.7, 0.1, 0.9, 0.95], [0.3, 0.9, 1.2, 3.0], (0, 0), 0.1, "auto", "is 1.2,"),
    ],
)
def test_choice(scores, ratios, beyond, tolerance, expected, words):
    measured = means(GRID, scores, ratios, beyond)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choice = choose(measured, tolerance, trust_best=False)
    assert choice.epsilon == expected == GRID[choice.position]
    assert choice.score == scores[choice.position] or np.isnan(choice.score)
    assert len(caught) == (words is not None)
    if caught:
        assert words in str(caught[0].message)
    # Without checks: the largest gamma_S, and no warning.
    plain = choose(measured, tolerance, trust_best=True)
    assert not plain.score < np.nanmax([*scores, -1]) - tolerance


@pytest.mark.parametrize("many", [False, True])
def test_a_grid_of_long_steps_is_not_taken(many):
    X, y = iris()
    y = np.column_stack([y == 0, y == 1]).astype(int) if many else y
    model = MultiOutputClassifier(FISHER) if many else FISHER
    options = {"epsilons": [5.0, 10.0, 20.0], "metric": "probability"}
    with pytest.warns(ErasureWarning, match=r"(?s)checks.*got 5.*'auto' was taken"):
        tuned = TunedEpsilonCV(model, **options).fit(X, y)
    assert tuned.best_epsilon_ == "auto"
    assert tuned.best_index_ is None
    # "auto" is measured as if it were a candidate, and is none of the results.
    both = TunedEpsilonCV(model, epsilons=["auto", 5.0], metric="probability").fit(X, y)
    assert both.best_epsilon_ == "auto"
    assert tuned.best_score_ == both.best_score_ > tuned.cv_results_["mean_test_score"].max()
    assert len(tuned.cv_results_["params"]) == len(tuned.cv_results_["rank_test_score"]) == 3
    tuned.unlearn(X[:2], y[:2])
    both.unlearn(X[:2], y[:2])
    a, b = (np.array(part.predict_proba(X)) for part in (tuned, both))
    assert np.array_equal(a, b)
    trusted = TunedEpsilonCV(model, **options, trust_best=True).fit(X, y)
    assert trusted.best_epsilon_ == 5.0
    assert trusted.best_index_ == 0
    for name, values in trusted.cv_results_.items():
        assert np.array_equal(values, tuned.cv_results_[name]), name


def test_a_single_value_is_taken():
    X, y = iris()
    with pytest.warns(ErasureWarning, match="no other value"):
        tuned = TunedEpsilonCV(FISHER, epsilons=[20.0], metric="probability").fit(X, y)
    assert tuned.best_epsilon_ == 20.0
    tuned = TunedEpsilonCV(FISHER, epsilons=[0.1], metric="probability").fit(X, y)
    assert tuned.best_epsilon_ == 0.1


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_the_exact_hessian_never_warns(load):
    """eps 1 is the Newton step, in the default grid and at the edge of a grid."""
    X, y = load(return_X_y=True)
    for epsilons, best in ((None, "auto"), ([0.1, 0.3, 1.0], 1.0), ([1.0, 3.0], 1.0)):
        tuned = TunedEpsilonCV(FISHER, epsilons=epsilons, metric="probability").fit(scale(X), y)
        assert tuned.best_epsilon_ == best
        assert tuned.cv_results_["mean_distance_ratio_hessian"][tuned.best_index_] < 1


def test_the_choice_is_never_farther_than_the_largest_gamma():
    for load in (load_iris, load_wine):
        X, y = load(return_X_y=True)
        for metric in ("roc_auc", "probability"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tuned = TunedEpsilonCV(ErasableLogisticRegression(), metric=metric).fit(scale(X), y)
            results = tuned.cv_results_
            plain = np.argmax(results["mean_test_score"])
            ratios = results["mean_distance_ratio_hessian"]
            assert ratios[tuned.best_index_] <= ratios[plain]
            assert ratios[tuned.best_index_] <= 1
            assert (tuned.best_index_ == plain) == (ratios[plain] <= 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nets_have_no_edge_among_multiples_and_no_distance():
    X, y = iris()
    options = {"metric": "probability", "trust_best": True}
    best = TunedEpsilonCV(NET, **options).fit(X, y)
    tuned = TunedEpsilonCV(NET, metric="probability").fit(X, y)
    assert tuned.best_epsilon_ == best.best_epsilon_
    assert extra_epsilons(["0.25*auto", "1*auto", "1.26*auto"]) == []
    assert extra_epsilons(["0.5*auto", "0.7*auto", 3.0]) == ["auto"]
    assert extra_epsilons([0.05, 20.0]) == ["auto", MIN, MAX]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_net_that_lacks_a_class():
    X, y = iris()
    cv = [(np.flatnonzero(y != 0), np.flatnonzero(y == 0))]
    options = {"epsilons": ["1*auto", "0.1*auto"], "cv": cv, "metric": "probability"}
    tuned = TunedEpsilonCV(NET, **options).fit(X, y)
    assert np.isnan(tuned.cv_results_["mean_distance_ratio_hessian"]).all()
    assert tuned.best_index_ == tuned.cv_results_["mean_test_score"].argmax()


def test_means_over_the_sets_that_define_them():
    measured = np.zeros((3, 2, 6))
    measured[:, :, 0] = [[0.2, 0.4], [0.6, 0.6], [9, 9]]
    measured[:, :, 2] = [[0.5, 0.7], [np.nan, np.nan], [0.3, 0.5]]
    informative = np.array([True, True, False])
    averaged = Means.of([0.1, 1.0], 2, measured, informative)
    assert averaged.scores == pytest.approx([0.4, 0.5])
    assert averaged.ratios == pytest.approx([0.4, 0.6])
    measured[0, 1, 2] = np.nan  # parameters that overflow
    assert Means.of([0.1, 1.0], 2, measured, informative).ratios.tolist() == [0.4, np.inf]
    measured[:, :, 2] = np.nan
    assert np.isnan(Means.of([0.1, 1.0], 2, measured, informative).ratios).all()


def test_a_score_that_is_nan_has_the_last_rank():
    measured = np.zeros((2, 3, 6))
    measured[:, :, 0] = [0.4, np.nan, 0.5]
    results = search_results([0.1, 1.0, 2.0], measured, np.array([True, True]))
    assert results["rank_test_score"].tolist() == [2, 3, 1]
