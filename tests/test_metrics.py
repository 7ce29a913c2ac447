"""gamma_S and the scorer for GridSearchCV, against the written definitions."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, PredefinedSplit, ShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    GammaScorer,
    gamma_score,
    metrics,
    unlearn,
)
from tests.reference import theta
from tests.warned import LARGE_EPSILON, LONG_STEP, may_warn

EPSILONS = [0.3, 0.6, 1.0]
CV = ShuffleSplit(3, test_size=0.3, random_state=0)


def trio(X, y, S, **params):
    keep = np.setdiff1d(np.arange(len(y)), S)
    original = ErasableLogisticRegression(**params).fit(X, y)
    erased = clone(original).fit(X, y).unlearn(X[S], y[S])
    return original, erased, ErasableLogisticRegression(**params).fit(X[keep], y[keep])


@pytest.fixture
def labels(binary):
    """A multi-label problem of three attributes."""
    X, y = binary
    return X, np.column_stack([y, X[:, 0] + X[:, 1] > 0, X[:, 2] > 0.5]).astype(int)


def test_gamma_by_hand(binary):
    X, y = binary
    S = np.arange(30)
    models = trio(X, y, S)
    auc = [roc_auc_score(y[S], model.predict_proba(X[S])[:, 1]) for model in models]
    expected = abs(auc[1] - auc[0]) / (abs(auc[1] - auc[0]) + abs(auc[1] - auc[2]))
    assert gamma_score(*models, X[S], y[S]) == pytest.approx(expected)
    p = [model.predict_proba(X[S])[:, 1] for model in models]
    moved, missed = np.abs(p[1] - p[0]).mean(), np.abs(p[1] - p[2]).mean()
    assert gamma_score(*models, X[S], y[S], metric="probability") == pytest.approx(
        moved / (moved + missed)
    )


def test_gamma_sums_over_classes_and_labels(four_classes, labels):
    X, y = four_classes
    S = np.flatnonzero(y != 3)[:40]  # class 3 is missing: its area is not defined and counts as 0
    models = trio(X, y, S)
    moved = missed = 0.0
    for c in range(3):
        a, b, r = (roc_auc_score(y[S] == c, model.predict_proba(X[S])[:, c]) for model in models)
        moved, missed = moved + abs(b - a), missed + abs(b - r)
    assert gamma_score(*models, X[S], y[S]) == pytest.approx(moved / (moved + missed))

    X, Y = labels
    S = np.arange(40)
    base = MultiOutputClassifier(ErasableLogisticRegression())
    with may_warn(LONG_STEP):
        erased = unlearn(clone(base).fit(X, Y), X[S], Y[S])
    models = [
        clone(base).fit(X, Y),
        erased,
        clone(base).fit(X[40:], Y[40:]),
    ]
    moved = missed = 0.0
    for j in range(3):
        a, b, r = (roc_auc_score(Y[S, j], model.predict_proba(X[S])[j][:, 1]) for model in models)
        moved, missed = moved + abs(b - a), missed + abs(b - r)
    assert gamma_score(*models, X[S], Y[S]) == pytest.approx(moved / (moved + missed))


def test_gamma_of_string_labels(binary):
    X, y = binary
    S = np.arange(30)
    words = np.array(["no", "yes"])[y]
    assert gamma_score(*trio(X, words, S), X[S], words[S]) == pytest.approx(
        gamma_score(*trio(X, y, S), X[S], y[S])
    )


def test_gamma_extremes(binary):
    X, y = binary
    original, erased, retrained = trio(X, y, np.arange(30))
    S = slice(30)
    for metric in ("roc_auc", "probability"):
        assert gamma_score(original, retrained, retrained, X[S], y[S], metric=metric) == 1.0
        assert gamma_score(original, original, retrained, X[S], y[S], metric=metric) == 0.0
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(gamma_score(original, original, original, X[S], y[S], metric=metric))
    one_class = np.flatnonzero(y == 1)[:9]
    with pytest.warns(UndefinedMetricWarning, match="one class"):
        assert np.isnan(gamma_score(original, erased, retrained, X[one_class], y[one_class]))
    assert (
        gamma_score(original, erased, retrained, X[one_class], y[one_class], metric="probability")
        > 0
    )
    with pytest.raises(ValueError, match="metric"):
        gamma_score(original, erased, retrained, X[S], y[S], metric="auc")


def by_hand(estimator, X, y, metric="roc_auc", cv=CV, groups=None, epsilons=EPSILONS, weight=None):
    """Mean gamma_S of each eps, by loops."""

    def weights(rows):
        return {} if weight is None else {"sample_weight": weight[rows]}

    out, everything = [], slice(None)
    for epsilon in epsilons:
        scores = []
        for train, S in cv.split(X, y, groups):
            original = clone(estimator).fit(X, y, **weights(everything))
            erased = clone(estimator).fit(X, y, **weights(everything))
            with may_warn(LONG_STEP, LARGE_EPSILON):
                unlearn(erased, X[S], y[S], epsilon, **weights(S))
            retrained = clone(estimator).fit(X[train], y[train], **weights(train))
            scores.append(gamma_score(original, erased, retrained, X[S], y[S], metric=metric))
        out.append(np.mean(scores))
    return out


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search_over_eps(binary, n_jobs, routing):
    X, y = binary
    X = 3 + 2 * X
    pipe = Pipeline([("scale", StandardScaler()), ("clf", ErasableLogisticRegression())])
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            pipe,
            {"clf__unlearn_epsilon": EPSILONS},
            scoring=GammaScorer(X, y),
            cv=CV,
            n_jobs=n_jobs,
        )
        search.fit(X, y)
    assert np.allclose(search.cv_results_["mean_test_score"], by_hand(pipe, X, y), atol=1e-8)
    best = search.best_estimator_
    assert best["clf"].n_samples_remaining_ == len(y)
    assert best["clf"].unlearn_epsilon == search.best_params_["clf__unlearn_epsilon"]
    assert (
        unlearn(best, X[:5], y[:5])["clf"].erasures_[0].epsilon
        == search.best_params_["clf__unlearn_epsilon"]
    )


def test_grid_search_bare_and_probability(four_classes):
    X, y = four_classes
    scorer = GammaScorer(X, y, metric="probability")
    clf = ErasableLogisticRegression()
    search = GridSearchCV(clf, {"unlearn_epsilon": EPSILONS}, scoring=scorer, cv=CV).fit(X, y)
    expected = by_hand(clf, X, y, metric="probability")
    assert np.allclose(search.cv_results_["mean_test_score"], expected, atol=1e-8)


def test_grid_search_multi_label(labels):
    X, Y = labels
    base = MultiOutputClassifier(ErasableLogisticRegression())
    search = GridSearchCV(
        base, {"estimator__unlearn_epsilon": EPSILONS}, scoring=GammaScorer(X, Y), cv=CV
    ).fit(X, Y)
    assert np.allclose(search.cv_results_["mean_test_score"], by_hand(base, X, Y), atol=1e-8)


@pytest.mark.parametrize(
    "cv",
    [GroupShuffleSplit(2, test_size=0.2, random_state=0), PredefinedSplit([-1] * 120 + [0] * 30)],
)
def test_any_splitter_makes_forget_sets(binary, cv):
    X, y = binary
    groups = np.arange(len(y)) // 5
    clf, epsilons = ErasableLogisticRegression(), ["auto", 1.0]
    search = GridSearchCV(
        clf,
        {"unlearn_epsilon": epsilons},
        scoring=GammaScorer(X, y),
        cv=cv,
        error_score="raise",
    )
    search.fit(X, y, groups=groups)
    expected = by_hand(clf, X, y, cv=cv, groups=groups, epsilons=epsilons)
    assert np.allclose(search.cv_results_["mean_test_score"], expected, atol=1e-8)


class Counting(ErasableLogisticRegression):
    """Counts its fits on all 150 rows."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Counting.fits += len(y) == 150
        return super().fit(X, y, sample_weight)


def test_the_original_is_fitted_once_for_all_eps(binary):
    X, y = binary
    Counting.fits = 0
    grid = {"unlearn_epsilon": [*EPSILONS, "auto"], "C": [0.1, 1.0]}
    scorer = GammaScorer(X, y)
    search = GridSearchCV(Counting(), grid, scoring=scorer, cv=CV, refit=False)
    search.fit(X, y)
    assert Counting.fits == 2  # one for each C
    clone(search).fit(X, y)
    assert Counting.fits == 2


def test_reference(binary):
    X, y = binary
    Counting.fits = 0
    reference = Counting(C=0.5, unlearn_epsilon=7.0).fit(X, y)
    before = theta(reference)
    scorer = GammaScorer(X, y, reference=reference)
    grid = {"unlearn_epsilon": EPSILONS}
    search = GridSearchCV(
        Counting(C=0.5), grid, scoring=scorer, cv=CV, refit=False, error_score="raise"
    ).fit(X, y)
    assert Counting.fits == 1
    assert np.array_equal(theta(reference), before)
    plain = GridSearchCV(Counting(C=0.5), grid, scoring=GammaScorer(X, y), cv=CV, refit=False).fit(
        X, y
    )
    assert np.allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    with pytest.raises(ValueError, match="calibration"):  # not the eps of the reference
        GridSearchCV(
            Counting(C=0.5),
            {"unlearn_epsilon": ["auto"]},
            scoring=scorer,
            cv=CV,
            error_score="raise",
        ).fit(X, y)
    with pytest.raises(ValueError, match="reference"):
        GridSearchCV(Counting(C=0.1), grid, scoring=scorer, cv=CV, error_score="raise").fit(X, y)


def test_memo_is_dropped_when_pickled(binary):
    X, y = binary
    scorer = GammaScorer(X, y)
    scorer(ErasableLogisticRegression().fit(X[10:], y[10:]), X[:10], y[:10])
    assert scorer._memo
    blob = pickle.dumps(scorer)
    assert b"ErasableLogisticRegression" not in blob
    loaded = pickle.loads(blob)
    assert not loaded._memo
    assert len(metrics._WORKER_MEMOS) <= metrics.MAX_WORKER_MEMOS
    again = pickle.loads(blob)
    assert again._memo is loaded._memo  # the next task of the same worker


def test_keys_distinguish_lambdas_and_steps(binary):
    X, y = binary
    pipe = Pipeline(
        [("f", FunctionTransformer(lambda X: X)), ("clf", ErasableLogisticRegression())]
    )
    scorer = GammaScorer(X, y)
    for C in (0.1, 1.0):
        scorer(clone(pipe).set_params(clf__C=C).fit(X[10:], y[10:]), X[:10], y[:10])
        scorer(
            clone(pipe).set_params(clf__C=C, clf__unlearn_epsilon=0.2).fit(X[10:], y[10:]),
            X[:10],
            y[:10],
        )
    assert len(scorer._memo) == 2


def test_weights_by_metadata_routing(binary):
    X, y = binary
    w = np.random.default_rng(0).uniform(0.5, 2, len(y))
    with config_context(enable_metadata_routing=True):
        clf = ErasableLogisticRegression().set_fit_request(sample_weight=True)
        scorer = GammaScorer(X, y, w).set_score_request(sample_weight=True)
        pipe = Pipeline(
            [("scale", StandardScaler().set_fit_request(sample_weight=False)), ("clf", clf)]
        )
        search = GridSearchCV(
            pipe, {"clf__unlearn_epsilon": EPSILONS}, scoring=scorer, cv=CV, error_score="raise"
        )
        search.fit(X, y, sample_weight=w)
        expected = []
        for train, S in CV.split(X):
            original = clone(pipe).fit(X, y, sample_weight=w)
            erased = unlearn(
                clone(pipe).fit(X, y, sample_weight=w), X[S], y[S], 0.6, sample_weight=w[S]
            )
            retrained = clone(pipe).fit(X[train], y[train], sample_weight=w[train])
            expected.append(gamma_score(original, erased, retrained, X[S], y[S]))
        assert search.cv_results_["mean_test_score"][1] == pytest.approx(
            np.mean(expected), abs=1e-8
        )


def test_weights_without_routing(binary):
    X, y = binary
    w = np.random.default_rng(0).uniform(0.5, 2, len(y))
    search = GridSearchCV(
        ErasableLogisticRegression(),
        {"unlearn_epsilon": EPSILONS},
        scoring=GammaScorer(X, y, w),
        cv=CV,
        error_score="raise",
    )
    search.fit(X, y, sample_weight=w)
    expected = by_hand(ErasableLogisticRegression(), X, y, weight=w)
    assert np.allclose(search.cv_results_["mean_test_score"], expected, atol=1e-8)
    with pytest.raises(ValueError, match="Weights"):
        search.fit(X, y)
    with pytest.raises(ValueError, match="Weights"):
        search.set_params(scoring=GammaScorer(X, y)).fit(X, y, sample_weight=w)


def test_scorer_refuses_rows_that_are_no_forget_set(binary):
    X, y = binary
    cv = ShuffleSplit(2, test_size=0.1, train_size=0.5, random_state=0)
    grid = {"unlearn_epsilon": EPSILONS}
    with pytest.raises(ValueError, match="make up the 150 rows"):
        GridSearchCV(
            ErasableLogisticRegression(),
            grid,
            scoring=GammaScorer(X, y),
            cv=cv,
            error_score="raise",
        ).fit(X, y)
    with pytest.raises(ValueError, match="metric"):
        GammaScorer(X, y, metric="accuracy")
    with pytest.raises(ValueError, match="inconsistent"):
        GammaScorer(X, y[:-1])
    with pytest.raises(ValueError, match="unlearn_epsilon"):
        GammaScorer(X, y)(LogisticRegression().fit(X[10:], y[10:]), X[:10], y[:10])


def test_no_warning_about_feature_names(binary):
    pandas = pytest.importorskip("pandas")
    X, y = binary
    X = pandas.DataFrame(X, columns=list("abcdef"))
    pipe = Pipeline([("scale", StandardScaler()), ("clf", ErasableLogisticRegression())])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GridSearchCV(
            pipe, {"clf__unlearn_epsilon": EPSILONS}, scoring=GammaScorer(X, y), cv=CV
        ).fit(X, y)
