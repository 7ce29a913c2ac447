"""Finished refits: a search that takes them has the scores of a search that makes them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ForgetSetSplit,
    TunedEpsilonCV,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 140
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
y = (X @ [2.0, -1.0, 0.5, 0.0] + RNG.normal(size=N) > 0).astype(int)
LABELS = np.column_stack([y, X[:, 3] > 1.2]).astype(int)
SETS = ShuffleSplit(3, test_size=0.1, random_state=0)
OPTIONS = {"epsilons": [0.5, 1.0], "metric": "probability", "trust_best": True}
LR = ErasableLogisticRegression(C=0.5)


def search(estimator, cv=SETS, **params):
    return TunedEpsilonCV(estimator, cv=cv, **{**OPTIONS, **params})


def assert_same_results(one, other):
    assert one.best_epsilon_ == other.best_epsilon_
    for name, values in one.cv_results_.items():
        if getattr(values, "dtype", None) == np.float64:
            np.testing.assert_allclose(other.cv_results_[name], values, rtol=1e-10, atol=1e-12)


CASES = {
    "linear": (LR, y, SETS),
    "pipeline": (make_pipeline(StandardScaler(), LR), y, SETS),
    "net": (ErasableMLPClassifier((3,), solver="lbfgs", max_iter=20, random_state=0), y, SETS),
    "outputs": (MultiOutputClassifier(LR), LABELS, SETS),
    "an output of one class": (MultiOutputClassifier(LR), LABELS, ForgetSetSplit(labels=1)),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_scores_of_a_search_without(name):
    estimator, labels, cv = CASES[name]
    first = search(estimator, cv, store_retrained=True).fit(X, labels)
    assert len(first.retrained_) == first.n_splits_
    again = search(estimator, cv).fit(X, labels, retrained=first.retrained_)
    assert_same_results(first, again)
    assert not hasattr(again, "retrained_")


def test_refits_are_shared_over_curvature_and_leave_out(monkeypatch):
    first = search(LR, store_retrained=True).fit(X, y)
    calls = []
    plain_fit = LogisticRegression.fit

    def counted(self, *args, **kwargs):
        calls.append(type(self))
        return plain_fit(self, *args, **kwargs)

    for params in ({"curvature": "fisher"}, {"leave_out": True}, {"damping": "penalty"}):
        other = clone(LR).set_params(**params)
        expected = search(other).fit(X, y)
        monkeypatch.setattr(LogisticRegression, "fit", counted)
        shared = search(other, metric="probability").fit(X, y, retrained=first.retrained_)
        monkeypatch.undo()
        assert_same_results(expected, shared)
        assert calls == [ErasableLogisticRegression]  # the fit on all rows
        calls.clear()


def test_erasable_refits_and_weights():
    weight = RNG.uniform(0.5, 2.0, N)
    weight[:5] = 0.0
    refits = [clone(LR).fit(X[keep], y[keep], weight[keep]) for keep, _ in SETS.split(X)]
    expected = search(LR).fit(X, y, weight)
    found = search(LR, store_retrained=True).fit(X, y, weight, retrained=refits)
    assert_same_results(expected, found)
    assert [type(model) for model in found.retrained_] == [ErasableLogisticRegression] * 3
    assert not hasattr(search(LR).fit(X, y), "retrained_")


def plain(rows=slice(None), columns=slice(None), **params):
    return LogisticRegression(**{"C": 0.5, **params}).fit(X[rows, columns], y[rows])


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (lambda: plain(C=1.0), r"model 1 with C=1.0 instead of 0.5"),
        (lambda: plain(fit_intercept=False), r"fit_intercept=False instead of True"),
        (lambda: plain(columns=slice(0, 3)), r"3 columns instead of 4"),
        (lambda: SVC().fit(X, y), r"SVC instead of LogisticRegression"),
        (lambda: MultiOutputClassifier(LR).fit(X, LABELS), r"2 outputs instead of 1"),
        (lambda: clone(LR).fit(X, y), r"140 rows instead of 126"),
    ],
)
def test_refits_of_another_kind_are_refused(model, match):
    with pytest.raises(ValueError, match=match):
        search(LR).fit(X, y, retrained=[plain(), model(), plain()])


def test_their_number_and_an_unfitted_one_are_refused():
    with pytest.raises(ValueError, match="one model for each forget set, got 2 for 3"):
        search(LR).fit(X, y, retrained=[plain(), plain()])
    with pytest.raises(NotFittedError):
        search(LR).fit(X, y, retrained=[plain(), LogisticRegression(), plain()])
