"""TunedEpsilonCV against GridSearchCV with GammaScorer, and its measures by hand."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    GammaScorer,
    TunedEpsilonCV,
    gamma_score,
    parameter_distance,
    unlearn,
)
from sklearn_ssse._search import fit_with_weights
from sklearn_ssse._search.attributes import areas
from tests.warned import LARGE_EPSILON, may_warn

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

SETS = ShuffleSplit(3, test_size=0.1, random_state=0)
NET = ErasableMLPClassifier((5,), solver="lbfgs", max_iter=30, random_state=0)


def data(many=False):
    X, y = make_classification(
        180, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.3, random_state=0
    )
    return X, np.column_stack([y == 0, y == 2]).astype(int) if many else y


@pytest.mark.parametrize(
    ("estimator", "name", "many"),
    [
        (ErasableLogisticRegression(max_iter=50), "unlearn_epsilon", False),
        (
            make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher")),
            "logisticregression",
            False,
        ),
        (make_pipeline(StandardScaler(), NET), "mlpclassifier", False),
        (
            make_pipeline(StandardScaler(), MultiOutputClassifier(ErasableLogisticRegression())),
            "estimator",
            True,
        ),
    ],
    ids=["linear", "pipeline", "net", "outputs"],
)
@pytest.mark.parametrize("metric", ["roc_auc", "probability"])
def test_equals_a_grid_search(estimator, name, many, metric):
    X, y = data(many)
    (name,) = [p for p in estimator.get_params() if p.endswith("unlearn_epsilon")]
    epsilons = [0.2, 1.0, "auto", "0.5 * auto", 3.0]
    options = {"epsilons": epsilons, "cv": SETS, "metric": metric, "trust_best": True}
    tuned = TunedEpsilonCV(estimator, **options).fit(X, y)
    search = GridSearchCV(
        estimator,
        {name: epsilons},
        scoring=GammaScorer(X, y, metric=metric),
        cv=SETS,
        error_score="raise",
    ).fit(X, y)
    for key in ("split0_test_score", "split2_test_score", "mean_test_score", "std_test_score"):
        assert np.allclose(tuned.cv_results_[key], search.cv_results_[key], rtol=0, atol=1e-8)
    assert (
        tuned.cv_results_["rank_test_score"].tolist()
        == search.cv_results_["rank_test_score"].tolist()
    )
    assert tuned.best_epsilon_ == search.best_params_[name]
    assert tuned.best_score_ == pytest.approx(search.best_score_, abs=1e-8)
    with may_warn(LARGE_EPSILON):  # the best eps may be 3
        unlearn(tuned, X[:5], y[:5])
        unlearn(search.best_estimator_, X[:5], y[:5])
    assert np.allclose(
        tuned.estimator_.predict_proba(X),
        search.best_estimator_.predict_proba(X),
        rtol=0,
        atol=1e-10,
    )


def test_a_search_is_refused_only_if_each_candidate_ruins_the_model():
    """The rows of positive weight have one label: their log-odds change by 7.6e4 at eps = 1."""
    X = np.random.RandomState(0).uniform(size=(10, 10))
    y = np.arange(10) % 2
    options = {"metric": "probability", "cv": 2, "trust_best": True}
    for epsilons in ([1e-5], [1e-5, 1.0]):
        search = TunedEpsilonCV(ErasableLogisticRegression(), epsilons=epsilons, **options)
        assert search.fit(X, y, sample_weight=y).best_epsilon_ in epsilons
    search = TunedEpsilonCV(ErasableLogisticRegression(), epsilons=[1.0], **options)
    with pytest.raises(ErasureError, match="it would ruin the model"):
        search.fit(X, y, sample_weight=y)


def test_tolerance_takes_the_first_that_is_good_enough():
    X, y = data()
    options = {"epsilons": [0.05, 0.2, 0.5, 1.0, 3.0], "cv": SETS, "metric": "probability"}
    options["trust_best"] = True
    best = TunedEpsilonCV(ErasableLogisticRegression(), **options).fit(X, y)
    gamma = best.cv_results_["mean_test_score"]
    assert best.best_index_ == gamma.argmax() > 0
    for tolerance in (0.0, 0.1, 0.3, 1.0):
        tuned = TunedEpsilonCV(ErasableLogisticRegression(), **options, tolerance=tolerance).fit(
            X, y
        )
        enough = [i for i, value in enumerate(gamma) if value >= gamma.max() - tolerance]
        assert tuned.best_index_ == enough[0]
        assert (
            tuned.best_epsilon_
            == tuned.estimator_.unlearn_epsilon_
            == options["epsilons"][enough[0]]
        )
        assert tuned.best_score_ == gamma[enough[0]]
    with pytest.raises(ValueError, match="tolerance"):
        TunedEpsilonCV(ErasableLogisticRegression(), tolerance=-0.1).fit(X, y)


def test_a_net_is_searched_by_multiples_of_its_own_eps():
    X, y = data()
    pipe = make_pipeline(StandardScaler(), NET)
    tuned = TunedEpsilonCV(pipe, cv=SETS, metric="probability").fit(X, y)
    values = tuned.cv_results_["param_unlearn_epsilon"].tolist()
    assert all(value.endswith("*auto") for value in values)
    gamma = tuned.cv_results_["mean_test_score"]
    assert tuned.best_index_ == int(np.flatnonzero(gamma >= gamma.max() - 0.05)[0])
    factor = float(tuned.best_epsilon_.removesuffix("*auto"))
    net = tuned.estimator_[-1]
    assert net.unlearn_epsilon_ == factor / net._erasure_state.calibration.random
    automatic = tuned.preview_unlearn(X[:9], y[:9], "auto").epsilon
    assert tuned.preview_unlearn(X[:9], y[:9], "0.5*auto").epsilon == 0.5 * automatic
    assert tuned.unlearn(X[:9], y[:9]).estimator_[-1].erasures_[-1].epsilon == pytest.approx(
        factor * automatic
    )
    given = TunedEpsilonCV(pipe, epsilons=values, cv=SETS, metric="probability").fit(X, y)
    assert given.best_index_ == gamma.argmax()


def test_measures_by_hand():
    X, y = data()
    X = scale(X)
    base, test = ErasableLogisticRegression(C=10), np.arange(0, len(y), 9)
    train = np.setdiff1d(np.arange(len(y)), test)
    options = {"epsilons": [0.3, 2.0], "metric": "probability", "trust_best": True}
    results = TunedEpsilonCV(base, cv=[(train, test)], **options).fit(X, y).cv_results_
    original, retrained = clone(base).fit(X, y), LogisticRegression(C=10).fit(X[train], y[train])
    for i, eps in enumerate([0.3, 2.0]):
        erased = clone(base).fit(X, y).unlearn(X[test], y[test], eps)
        assert results["split0_distance_ratio"][i] == pytest.approx(
            parameter_distance(original, erased, retrained)
        )
        assert results["split0_distance_ratio_hessian"][i] == pytest.approx(
            parameter_distance(original, erased, retrained, X[train], norm="hessian")
        )
        for name, rows in (("forget", test), ("retain", train)):
            gap = erased.score(X[rows], y[rows]) - retrained.score(X[rows], y[rows])
            assert results[f"mean_{name}_accuracy_gap"][i] == pytest.approx(gap)


@pytest.mark.parametrize("many", [False, True])
def test_hessian_distance_of_pipelines_with_weights(many):
    X, y = data(many=many)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    train, test = next(SETS.split(X))
    clf = LogisticRegression(class_weight="balanced")
    erasable = ErasableLogisticRegression(class_weight="balanced")
    if many:
        clf, erasable = MultiOutputClassifier(clf), MultiOutputClassifier(erasable)
    pipe = make_pipeline(StandardScaler(), erasable)
    tuned = TunedEpsilonCV(pipe, epsilons=[0.5], cv=[(train, test)], metric="probability")
    tuned.fit(X, y, sample_weight=weight)
    parts = [(erasable, slice(None)), (erasable, slice(None)), (clf, train)]
    original, erased, retrained = (
        fit_with_weights(make_pipeline(StandardScaler(), clone(last)), X[S], y[S], weight[S])
        for last, S in parts
    )
    unlearn(erased, X[test], y[test], 0.5, sample_weight=weight[test])
    expected = parameter_distance(
        original, erased, retrained, X[train], y[train], norm="hessian", sample_weight=weight[train]
    )
    assert tuned.cv_results_["mean_distance_ratio_hessian"] == pytest.approx([expected])


def test_the_trials_do_not_change_the_training_model():
    X, y = data(many=True)
    model = make_pipeline(StandardScaler(), MultiOutputClassifier(ErasableLogisticRegression()))
    tuned = TunedEpsilonCV(model, epsilons=[1.0], cv=SETS, metric="probability").fit(X, y)
    assert np.array_equal(
        tuned.estimator_.predict_proba(X), clone(model).fit(X, y).predict_proba(X)
    )
    assert not any(output.erasures_ for output in tuned.estimator_[-1].estimators_)
    assert tuned.estimator_[-1].estimators_[0].unlearn_epsilon == tuned.best_epsilon_ == 1.0


def test_weights_and_groups():
    X, y = data()
    X, weight = scale(X), np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    groups = np.arange(len(y)) // 6
    cv = GroupShuffleSplit(2, test_size=0.1, random_state=0)
    tuned = TunedEpsilonCV(
        make_pipeline(StandardScaler(), ErasableLogisticRegression()),
        epsilons=[1.0],
        cv=cv,
        metric="probability",
    )
    tuned.fit(X, y, sample_weight=weight, groups=groups)
    gammas = []
    for train, S in cv.split(X, y, groups):

        def fitted(rows):
            pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression())
            given = {"erasablelogisticregression__sample_weight": weight[rows]}
            return pipe.fit(X[rows], y[rows], **given)

        erased = unlearn(fitted(slice(None)), X[S], y[S], 1.0, sample_weight=weight[S])
        models = fitted(slice(None)), erased, fitted(train)
        gammas.append(gamma_score(*models, X[S], y[S], metric="probability"))
    assert tuned.best_score_ == pytest.approx(np.mean(gammas))
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    scaler = StandardScaler().fit(X)  # a pipeline gives its weights to the last step only
    plain = TunedEpsilonCV(ErasableLogisticRegression(), epsilons=[1.0], metric="probability")
    train, test = next(cv.split(X, y, groups))
    folds = [(np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, test)))]
    tuned.set_params(cv=[(train, test)], estimator=ErasableLogisticRegression(tol=1e-10))
    plain.set_params(cv=folds, estimator=ErasableLogisticRegression(tol=1e-10))
    Z = scaler.transform(X)
    a = tuned.fit(Z, y, sample_weight=weight).cv_results_["mean_distance_ratio"]
    b = plain.fit(Z[rows], y[rows]).cv_results_["mean_distance_ratio"]
    assert a == pytest.approx(b, rel=1e-4)


@pytest.fixture(scope="module")
def by_probability():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    return TunedEpsilonCV(ErasableLogisticRegression(), metric="probability").fit(X, y), X, y


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_defaults(by_probability, n_jobs):
    by_probability, X, y = by_probability
    with pytest.warns(UndefinedMetricWarning, match="probability"):  # no rank changes on these sets
        tuned = TunedEpsilonCV(ErasableLogisticRegression(), n_jobs=n_jobs).fit(X, y)
    assert tuned.best_score_ == by_probability.best_score_
    assert tuned.n_splits_ == 5
    assert len(tuned.cv_results_["params"]) == 15
    assert tuned.best_epsilon_ in [p["unlearn_epsilon"] for p in tuned.cv_results_["params"]]
    assert tuned.classes_.tolist() == [0, 1]
    assert tuned.n_features_in_ == 30
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert np.array_equal(getattr(tuned, method)(X), getattr(tuned.estimator_, method)(X))
    assert tuned.score(X, y) == LogisticRegression().fit(X, y).score(X, y)
    assert pickle.loads(pickle.dumps(tuned)).best_epsilon_ == tuned.best_epsilon_
    arrays = [v for v in vars(tuned).values() if isinstance(v, np.ndarray)]
    assert not any(len(X) in a.shape for a in arrays)


def test_sets_without_a_change_of_ranks_are_ignored():
    """A set on which retraining changes no rank is no basis for comparing eps."""
    X, y = data()
    X, one_class = scale(X), np.flatnonzero(y == 0)[:5]
    mixed = np.arange(0, len(y), 2)
    folds = [(np.setdiff1d(np.arange(len(y)), S), S) for S in (one_class, mixed)]
    base = TunedEpsilonCV(ErasableLogisticRegression(), epsilons=[0.5, 1.0], trust_best=True)
    with pytest.warns(UndefinedMetricWarning, match="1 of 2") as caught:
        both = clone(base).set_params(cv=folds).fit(X, y)
    assert caught[0].filename == __file__  # not scikit-learn, which wraps `fit` for callbacks
    alone = clone(base).set_params(cv=folds[1:]).fit(X, y)
    assert np.array_equal(both.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_a_random_state_that_advances():
    """Retrained nets start from the original's initial parameters, whatever was drawn since."""
    X, y = data()
    options = {"epsilons": [0.5, 1.0], "cv": SETS, "metric": "probability", "trust_best": True}
    seed, state = (
        TunedEpsilonCV(clone(NET).set_params(random_state=start, solver="adam"), **options).fit(
            X, y
        )
        for start in (0, np.random.RandomState(0))
    )
    assert np.array_equal(seed.cv_results_["mean_test_score"], state.cv_results_["mean_test_score"])


def test_composites_and_forms_of_input():
    X, y = data()
    options = {"epsilons": [0.5, 1.0], "metric": "probability", "trust_best": True}
    inner = make_pipeline(
        StandardScaler(), make_pipeline(StandardScaler(), ErasableLogisticRegression())
    )
    weighted = TunedEpsilonCV(inner, cv=SETS, **options).fit(X, y, sample_weight=np.ones(len(y)))
    plain = TunedEpsilonCV(inner, cv=SETS, **options).fit(X, y)
    assert weighted.best_score_ == pytest.approx(plain.best_score_)
    with pytest.warns(DataConversionWarning):
        column = TunedEpsilonCV(inner, cv=SETS, **options).fit(X, y[:, None])
    assert column.best_score_ == plain.best_score_
    mask = np.arange(len(y)) % 9 == 0
    masks = TunedEpsilonCV(inner, cv=[(~mask, mask)], **options).fit(X, y)
    lists = TunedEpsilonCV(
        inner, cv=[(np.flatnonzero(~mask).tolist(), np.flatnonzero(mask).tolist())], **options
    ).fit(X, y)
    assert masks.best_score_ == lists.best_score_
    outputs = MultiOutputClassifier(make_pipeline(StandardScaler(), ErasableLogisticRegression()))
    many = TunedEpsilonCV(outputs, cv=SETS, **options).fit(X, data(many=True)[1])
    assert (
        many.estimator_.get_params()["estimator__erasablelogisticregression__unlearn_epsilon"]
        == many.best_epsilon_
    )
    net = clone(NET).set_params(random_state=0)
    Y = data(many=True)[1]
    dense, csr = (
        TunedEpsilonCV(net, cv=SETS, **options).fit(X, labels)
        for labels in (Y, sparse.csr_array(Y))
    )
    assert dense.best_score_ == csr.best_score_
    again = plain.set_params(refit=False).fit(X[:, :3], y)
    assert not hasattr(again, "n_features_in_")
    with pytest.raises(NotFittedError):
        again.predict(X)


def test_splitters():
    X, y = data()
    X = scale(X)
    for cv, n_sets in (
        (4, 4),
        (StratifiedKFold(3), 3),
        (PredefinedSplit([-1] * 172 + [0] * 4 + [1] * 4), 2),
    ):
        tuned = TunedEpsilonCV(
            ErasableLogisticRegression(), epsilons=[1.0], cv=cv, metric="probability"
        ).fit(X, y)
        assert tuned.n_splits_ == n_sets


def test_bad_input():
    X, y = data()
    X = scale(X)
    model = ErasableLogisticRegression()
    for epsilons in ([0.0], ["large"], [True], [-1.0]):
        with pytest.raises(ErasureError, match="epsilon must be"):
            TunedEpsilonCV(model, epsilons=epsilons).fit(X, y)
    with pytest.raises(ValueError, match="at least one"):
        TunedEpsilonCV(model, epsilons=[]).fit(X, y)
    with pytest.raises(TypeError, match="erasable classifier"):
        TunedEpsilonCV(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="make up the 180 rows"):
        TunedEpsilonCV(model, cv=ShuffleSplit(2, train_size=0.5, test_size=0.1)).fit(X, y)
    for cv in ([], [(np.arange(180), [])], [(np.r_[0, np.arange(6, 179)], np.arange(6))]):
        with pytest.raises(ValueError, match=r"forget set|make up"):
            TunedEpsilonCV(model, cv=cv, epsilons=[1.0]).fit(X, y)
    with pytest.raises(TypeError, match="GridSearchCV inside"):
        TunedEpsilonCV(GridSearchCV(model, {"C": [1, 2]}), epsilons=[1.0]).fit(X, y)
    kept = TunedEpsilonCV(model, cv=SETS, epsilons=[1.0], refit=False).fit(X, y)
    assert kept.best_epsilon_ == 1.0
    with pytest.raises(NotFittedError):
        kept.unlearn(X[:1], y[:1])
    with pytest.raises(NotFittedError):
        kept.predict(X)


def test_areas_equal_the_areas_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(40, 5)) < [0.1, 0.5, 0.9, 0.0, 1.0]
    scores = rng.integers(0, 6, (40, 5)) / 5  # ties
    expected = [roc_auc_score(targets[:, j], scores[:, j]) for j in range(3)]
    assert np.allclose(areas(targets, scores), [*expected, 0.0, 0.0], rtol=0, atol=1e-12)


@parametrize_with_checks(
    [
        TunedEpsilonCV(
            ErasableLogisticRegression(),
            epsilons=["auto"],
            cv=2,
            metric="probability",
            trust_best=True,
        )
    ]
)
def test_scikit_learn(estimator, check):
    check(estimator)
