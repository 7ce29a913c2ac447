"""ForgetSetSplit: its forget sets against counts by hand, and in the searches over eps."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_ssse import ErasableLogisticRegression, ForgetSetSplit, GammaScorer, TunedEpsilonCV
from sklearn_ssse.model_selection import ForgetSetSplit as public

N = 60
X = np.random.default_rng(0).normal(size=(N, 3))
CLASSES = np.repeat(["a", "b", "c"], [10, 20, 30])
COLUMNS = np.column_stack([np.arange(N) < 7, np.arange(N) % 2, np.arange(N) > 50]).astype(int)
# Sizes of the sets of 10 % and 100 % of class c, then of class a, with two repeats.
REPEATED = [3, 3, 30, 1, 1, 10]
PEOPLE = np.arange(N) % 12


def sets(cv, y=None, groups=None):
    return [forget for _, forget in cv.split(X, y, groups)]


@pytest.mark.parametrize(
    ("cv", "y", "groups", "sizes"),
    [
        (ForgetSetSplit(), CLASSES, None, [10, 20, 30]),
        (ForgetSetSplit(0.25, labels="b"), CLASSES, None, [5]),
        (
            ForgetSetSplit([0.1, 1], labels=["c", "a"], n_repeats=2),
            CLASSES,
            None,
            REPEATED,
        ),
        (ForgetSetSplit(), COLUMNS, None, [7, 30, 9]),
        (ForgetSetSplit([0.1, 0.5], labels=[1, 0]), COLUMNS, None, [3, 15, 1, 4]),
        (ForgetSetSplit(labels=2), sparse.csr_matrix(COLUMNS), None, [9]),
        (ForgetSetSplit(labels=2), pd.DataFrame(COLUMNS), None, [9]),
        (ForgetSetSplit(by="group"), None, PEOPLE, [5] * 12),
        (ForgetSetSplit([0.25, 0.5], by="group", n_repeats=2), CLASSES, PEOPLE, [15, 15, 30, 30]),
    ],
)
def test_the_sets_have_the_sizes_and_labels_that_are_asked_for(cv, y, groups, sizes):
    folds = list(cv.split(X, y, groups))
    assert [len(forget) for _, forget in folds] == sizes
    assert cv.get_n_splits(X, y, groups) == len(sizes)
    for retain, forget in folds:
        assert np.array_equal(np.sort(np.r_[retain, forget]), np.arange(N))
        assert np.all(np.diff(forget) > 0)
        if cv.by == "label" and np.ndim(y) == 1:
            assert len(set(y[forget])) == 1
        if groups is not None:
            assert not set(groups[retain]) & set(groups[forget])


def test_rows_of_a_column_have_the_larger_value():
    (forget,) = sets(ForgetSetSplit(labels=0), np.where(COLUMNS == 1, "yes", "no"))
    assert np.array_equal(forget, np.arange(7))


def test_sets_are_nested_and_repeatable():
    cv = ForgetSetSplit([0.1, 0.5], labels="c", n_repeats=2, random_state=0)
    first, second, *larger = sets(cv, CLASSES)
    assert set(first) < set(larger[0])
    assert set(second) < set(larger[1])
    assert set(first) != set(second)
    again = sets(clone(cv, safe=False), CLASSES)
    assert all(np.array_equal(a, b) for a, b in zip(again, [first, second, *larger], strict=True))
    other = sets(ForgetSetSplit([0.1, 0.5], labels="c", n_repeats=2, random_state=1), CLASSES)
    assert not np.array_equal(other[1], second)


def test_both_searches_take_it():
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    cv = ForgetSetSplit(0.2, by="group", n_repeats=2, random_state=0)
    model = ErasableLogisticRegression(curvature="fisher")
    epsilons = [0.5, 1.0]
    options = {"metric": "probability"}
    tuned = TunedEpsilonCV(model, epsilons=epsilons, cv=cv, trust_best=True, **options)
    tuned.fit(X, y, groups=PEOPLE)
    grid = {"unlearn_epsilon": epsilons}
    search = GridSearchCV(model, grid, scoring=GammaScorer(X, y, **options), cv=cv, refit=False)
    search.fit(X, y, groups=PEOPLE)
    expected = search.cv_results_["mean_test_score"]
    assert tuned.cv_results_["mean_test_score"] == pytest.approx(expected)


def test_repr():
    assert public is ForgetSetSplit
    text = "ForgetSetSplit(by='label', labels=None, n_repeats=1, random_state=3, share=0.1)"
    assert " ".join(repr(ForgetSetSplit(0.1, random_state=3)).split()) == text


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"by": "row"}, "by must be one of label, group, got 'row'"),
        ({"share": 0}, "share must be above 0 and at most 1"),
        ({"share": [0.5, 2]}, "share must be above 0 and at most 1"),
        ({"share": []}, "share must be above 0"),
        ({"n_repeats": 0}, "n_repeats must be an integer of at least 1"),
        ({"by": "group", "labels": [1]}, "labels must be None for by='group'"),
    ],
)
def test_wrong_parameters_are_refused(params, match):
    with pytest.raises(ValueError, match=match):
        ForgetSetSplit(**params)


@pytest.mark.parametrize(
    ("cv", "y", "groups", "match"),
    [
        (ForgetSetSplit(0.01), CLASSES, None, "at least one row and leave one, got no row"),
        (ForgetSetSplit(), np.ones(N), None, "got all rows of 60"),
        (ForgetSetSplit(0.01, by="group"), None, PEOPLE, "got no row"),
        (ForgetSetSplit(labels="d"), CLASSES, None, "got none for d"),
        (ForgetSetSplit(labels=3), COLUMNS, None, "positions of columns from 0 to 2, got 3"),
        (ForgetSetSplit(), np.column_stack([PEOPLE, PEOPLE]), None, "got 12 in column 0"),
        (ForgetSetSplit(), None, None, "y must be given"),
        (ForgetSetSplit(by="group"), CLASSES, None, "groups must be given"),
    ],
)
def test_empty_sets_and_missing_arguments_are_refused(cv, y, groups, match):
    with pytest.raises(ValueError, match=match):
        sets(cv, y, groups)


def test_groups_are_requested_with_metadata_routing():
    y = (X[:, 0] > 0).astype(int)
    model = ErasableLogisticRegression(curvature="fisher")
    cv = ForgetSetSplit(by="group")
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, {"C": [1.0]}, cv=cv).fit(X, y, groups=PEOPLE)
    assert search.n_splits_ == 12
