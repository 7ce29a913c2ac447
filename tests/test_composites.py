"""``unlearn`` for composites: against retraining, all parts or none, and refusals."""

import pickle
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    GammaScorer,
    TunedEpsilonCV,
    learn,
    preview_unlearn,
    rectify,
    refresh,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from tests.check_erasable import snapshot
from tests.reference import theta
from tests.warned import NO_ROWS, PREFIT, may_warn

LR = ErasableLogisticRegression(curvature="fisher", tol=1e-8, max_iter=1000)
PIPE = make_pipeline(FunctionTransformer(np.tanh), LR)
SCALED = make_pipeline(StandardScaler(with_mean=False), LR)
KEPT = ("cv_results_",)

# Composites whose training without S is the same: (estimator, labels, steps that keep the rows).
SAME_WITHOUT = {
    "pipeline": (PIPE, "class", ()),
    "columns": (
        make_pipeline(
            make_column_transformer(
                (FunctionTransformer(np.tanh), [0, 1]), remainder="passthrough"
            ),
            LR,
        ),
        "class",
        ("columntransformer",),
    ),
    "grid": (GridSearchCV(PIPE, {"erasablelogisticregression__C": [1.0]}, cv=3), "class", KEPT),
    "random search": (RandomizedSearchCV(LR, {"C": [1.0]}, n_iter=1, cv=3), "class", KEPT),
    "tuned eps": (TunedEpsilonCV(PIPE, epsilons=[1.0], metric="probability"), "class", KEPT),
    "outputs": (MultiOutputClassifier(PIPE), "labels", ()),
    "rest": (OneVsRestClassifier(LR), "class", ()),
    "rest of pipelines": (OneVsRestClassifier(PIPE), "class", ()),
    "rest, labels": (OneVsRestClassifier(LR), "labels", ()),
    "rest, names": (OneVsRestClassifier(LR), "names", ()),
    "rest, two classes": (OneVsRestClassifier(LR), "binary", ()),
    "one": (OneVsOneClassifier(LR), "class", ()),
    "one, names": (OneVsOneClassifier(PIPE), "names", ()),
    "chain": (ClassifierChain(LR), "labels", ()),
    "chain in an order": (ClassifierChain(PIPE, order=[2, 0, 1]), "labels", ()),
    "vote": (VotingClassifier([("a", LR), ("b", PIPE), ("c", "drop")], voting="soft"), "names", ()),
    "threshold": (FixedThresholdClassifier(LR, threshold=0.3), "binary", ()),
    "tuned threshold": (TunedThresholdClassifierCV(LR, cv=3), "binary", ("best_threshold_",)),
    "nested": (
        make_pipeline(
            FunctionTransformer(), GridSearchCV(OneVsRestClassifier(PIPE), {"n_jobs": [None]}, cv=3)
        ),
        "class",
        KEPT,
    ),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 4))
    scores = X @ rng.standard_normal((4, 3)) + rng.standard_normal((240, 3))
    classes = scores.argmax(axis=1)
    labels = (scores > 0).astype(int)
    return X, {
        "class": classes,
        "names": np.array(["red", "green", "blue"])[classes],
        "binary": labels[:, 0],
        "labels": labels,
    }


def outputs(model, X):
    """Probabilities of a model as one array; for a vote over pairs, of its pairs."""
    if isinstance(model, OneVsOneClassifier):
        return np.column_stack([part.predict_proba(X)[:, 1] for part in model.estimators_])
    proba = model.predict_proba(X)
    return np.column_stack(proba) if isinstance(proba, list) else proba


@pytest.mark.parametrize("name", SAME_WITHOUT)
def test_close_to_retraining(data, name):
    estimator, kind, kept = SAME_WITHOUT[name]
    X, y = data[0], data[1][kind]
    S = np.arange(12)
    keep = np.setdiff1d(np.arange(len(X)), S)
    model, retrained = clone(estimator).fit(X, y), clone(estimator).fit(X[keep], y[keep])
    original, goal = outputs(model, X), outputs(retrained, X)

    before = snapshot(model)
    previewed = preview_unlearn(model, X[S], y[S])
    assert snapshot(model) == before
    assert unlearn(model, X[S], y[S]) is model
    erased = outputs(model, X)
    assert np.linalg.norm(erased - goal) < 0.1 * np.linalg.norm(original - goal)
    inner = erasable_models(model)
    records = [m.erasures_[-1] for m in inner if m.erasures_]
    assert records == (previewed if isinstance(previewed, list) else [previewed])
    assert {record.kept_by for record in records} == {kept}


# An output of several may lose a class, but no more rows than it has.
LOSES_A_CLASS = "(leave at least one row of every class|not take more rows of a class)"


@pytest.mark.parametrize("name", SAME_WITHOUT)
def test_all_parts_or_none(data, name):
    """Erasing the last rows of a class, or an unknown label, is refused and changes no part."""
    estimator, kind, _ = SAME_WITHOUT[name]
    X, y = data[0], data[1][kind]
    model = clone(estimator).fit(X, y)
    before = snapshot(model)
    if y.ndim == 1:
        S = np.flatnonzero(y == np.unique(y)[-1])
        with pytest.raises(ErasureError, match="at least one row of every class"):
            unlearn(model, X[S], y[S])
        unknown = np.repeat("yellow" if y.dtype.kind == "U" else 7, 3)
        with pytest.raises((ErasureError, ValueError), match=r"seen at fit|7"):
            unlearn(model, X[:3], unknown)
    else:
        S = np.flatnonzero(y[:, -1] == 1)
        if name == "outputs":
            S = np.r_[S, S[:1]]
        with pytest.raises(ErasureError, match=LOSES_A_CLASS):
            unlearn(model, X[S], y[S])
    with pytest.raises(ErasureError, match="epsilon must be"):
        preview_unlearn(model, X[:3], y[:3], -1.0)
    with pytest.raises(ValueError, match=r"features|columns"):
        unlearn(model, X[:3, :2], y[:3])
    assert snapshot(model) == before
    with pytest.warns(ErasureWarning, match=NO_ROWS):
        assert unlearn(model, X[:0], y[:0]) is model
    assert snapshot(model) == before


@pytest.mark.parametrize("weighted", [True, False], ids=["by weights", "by rows"])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_bagging_is_erased_from_the_members_that_drew_a_row(data, weighted, bootstrap):
    """The members are close to ones fitted to their draws without S, by rows or by weights."""
    X, y = data[0], data[1]["names"]
    bag = BaggingClassifier(
        LR if weighted else PIPE,
        n_estimators=6,
        max_samples=0.6,
        max_features=3,
        bootstrap=bootstrap,
        oob_score=bootstrap,
        random_state=0,
    ).fit(X, y)
    S = np.arange(30, 42)
    original = outputs(bag, X)
    codes = np.searchsorted(bag.classes_, y)
    expected = 0
    for member, drawn, features in zip(
        bag.estimators_, bag.estimators_samples_, bag.estimators_features_, strict=True
    ):
        drawn = drawn[~np.isin(drawn, S)]
        retrained = clone(member).fit(X[drawn][:, features], codes[drawn])
        expected = expected + retrained.predict_proba(X[:, features]) / 6
    records = preview_unlearn(bag, X[S], y[S], positions=S)
    unlearn(bag, X[S], y[S], positions=S)
    assert np.linalg.norm(outputs(bag, X) - expected) < 0.15 * np.linalg.norm(original - expected)
    for member, drawn in zip(erasable_models(bag), bag.estimators_samples_, strict=True):
        assert member.erasures_[0].weight_erased == np.isin(drawn, S).sum()
    assert records == [member.erasures_[0] for member in erasable_models(bag)]
    if bootstrap:
        assert np.isnan(bag.oob_decision_function_[S]).all()
        assert not np.isnan(bag.oob_decision_function_[~np.isin(np.arange(len(X)), S)]).all()
        assert np.isnan(bag.oob_score_)


def test_bagging_needs_positions(data):
    X, y = data[0], data[1]["class"]
    bag = BaggingClassifier(LR, n_estimators=3, random_state=0).fit(X, y)
    before = snapshot(bag)
    with pytest.raises(TypeError, match="positions"):
        unlearn(bag, X[:3], y[:3])
    for positions, what in [
        ([0, 1], "inconsistent"),
        ([0.5, 1, 2], "one integer for each"),
        ([0, 0, 1], "1 repeated"),
        ([0, 1, 240], "1 outside"),
    ]:
        with pytest.raises(ValueError, match=what):
            unlearn(bag, X[:3], y[:3], positions=positions)
    with pytest.raises(TypeError, match="takes no sample_weight"):
        unlearn(bag, X[:3], y[:3], positions=[0, 1, 2], sample_weight=np.ones(3))
    assert snapshot(bag) == before


def test_a_single_row_that_some_members_did_not_draw(data):
    X, y = data[0], data[1]["class"]
    for base in (LR, PIPE):
        bag = BaggingClassifier(base, n_estimators=8, random_state=0).fit(X, y)
        times = np.array([(drawn == 5).sum() for drawn in bag.estimators_samples_])
        assert 0 in times
        unlearn(bag, X[[5]], y[[5]], positions=[5])
        erased = [
            sum(record.weight_erased for record in model.erasures_)
            for model in erasable_models(bag)
        ]
        assert np.array_equal(erased, times)


def test_arguments_of_other_lengths_change_nothing(data):
    X, y = data[0], data[1]["class"]
    for estimator in (OneVsOneClassifier(LR), BaggingClassifier(LR, random_state=0), PIPE):
        model = clone(estimator).fit(X, y)
        before = snapshot(model)
        with pytest.raises(ValueError, match="inconsistent"):
            unlearn(model, X[:5], y[[0, 80, 81]])
        with pytest.raises(ValueError, match="inconsistent"):
            unlearn(model, X[:5], y[:5], sample_weight=np.ones(4))
        assert snapshot(model) == before
    pairs = OneVsOneClassifier(BaggingClassifier(PIPE, n_estimators=3, random_state=0)).fit(X, y)
    with pytest.raises(TypeError, match="OneVsRestClassifier around"):
        unlearn(pairs, X[:2], y[:2], positions=[0, 1])


@pytest.mark.parametrize("weights", [[-1.0] * 5, [1.0, 1.0, np.nan, 1.0, 1.0]])
def test_wrong_weights_are_refused_for_models_without_weights(data, weights):
    """A scaler that was fitted with weights does not hide them from the check."""
    X, y = data[0], data[1]["class"]
    model = clone(SCALED).fit(X, y, standardscaler__sample_weight=np.full(len(y), 2.0))
    before = snapshot(model)
    calls = [
        lambda: unlearn(model, X[:5], y[:5], sample_weight=weights),
        lambda: learn(model, X[:5], y[:5], sample_weight=weights),
        lambda: rectify(model, X[:5], y[:5], X[:5], y[:5], sample_weight=weights),
        lambda: refresh(model, X, y, np.resize(weights, len(y))),
    ]
    for call in calls:
        with pytest.raises(ErasureError, match=r"[Ss]ample.weight"):
            call()
    assert snapshot(model) == before


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_with_duplicates_are_not_changed(data, kind):
    """SciPy sorts indices and sums duplicates in place; the matrix of the user is not sorted."""
    X, y = data[0], data[1]["class"]
    columns = np.arange(X.shape[1])[::-1].repeat(2)
    rows = kind(
        (X[:3, columns].ravel() / 2, np.tile(columns, 3), np.arange(4) * len(columns)),
        shape=(3, X.shape[1]),
    )
    before = pickle.dumps(rows)
    for estimator in (LR, SCALED, OneVsRestClassifier(LR), OneVsOneClassifier(LR)):
        model = clone(estimator).fit(sparse.csr_matrix(X), y)
        dense = clone(model).fit(X, y)
        unlearn(model, rows, y[:3])
        unlearn(dense, X[:3], y[:3])
        assert pickle.dumps(rows) == before
        assert np.allclose(outputs(model, X), outputs(dense, X), rtol=1e-4)


def test_frozen_and_calibrated(data):
    X, y = data[0], data[1]["binary"]
    model = clone(PIPE).fit(X[:150], y[:150])
    expected = clone(PIPE).fit(X[:150], y[:150])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), ensemble=True, cv=3).fit(
        X[150:], y[150:]
    )
    unlearn(expected, X[:5], y[:5])
    with may_warn(PREFIT):
        unlearn(calibrated, X[:5], y[:5])
    (inner,) = erasable_models(calibrated)
    assert np.array_equal(theta(inner), theta(expected[-1]))
    assert [record.kept_by for record in inner.erasures_] == [("calibrators",)]
    prefit = TunedThresholdClassifierCV(FrozenEstimator(model), cv="prefit", refit=False).fit(
        X[150:], y[150:]
    )
    with may_warn(PREFIT):
        unlearn(prefit, X[5:8], y[5:8])
    assert inner.n_samples_remaining_ == 142
    assert inner.erasures_[-1].kept_by == ("best_threshold_",)


@pytest.mark.parametrize(
    "prefit",
    [CalibratedClassifierCV, partial(TunedThresholdClassifierCV, cv="prefit", refit=False)],
    ids=["calibrated", "threshold"],
)
def test_rows_given_only_to_a_composite_of_a_fitted_model(data, prefit):
    """The model may not hold them: erasing and replacing them warns, adding them does not."""
    X, y = data[0], data[1]["binary"]
    model = clone(PIPE).fit(X[:150], y[:150])
    outer = prefit(FrozenEstimator(model)).fit(X[150:], y[150:])
    before = snapshot(outer)
    # Rows whose labels are less likely than any label of the training rows are refused.
    held = 150 + np.flatnonzero(model.predict(X[150:]) == y[150:])[:5]
    for call in (
        lambda: unlearn(outer, X[held], y[held]),
        lambda: rectify(outer, X[held], y[held], X[held], 1 - y[held]),
    ):
        with pytest.raises(ErasureWarning, match="got 5 rows, for"):
            call()
    assert snapshot(outer) == before
    learn(outer, X[held], y[held])
    assert model[-1].erasures_[-1].kept_by == ()
    unlearn(outer.estimator, X[:5], y[:5])
    assert model[-1].n_samples_remaining_ == 150


def test_sparse_rows_through_composites(data):
    X, y, Y = sparse.csr_matrix(data[0]), data[1]["class"], data[1]["labels"]
    for estimator, labels in [
        (OneVsOneClassifier(LR), y),
        (OneVsRestClassifier(LR), y),
        (ClassifierChain(LR), Y),
        (MultiOutputClassifier(LR), Y),
    ]:
        thin, dense = clone(estimator).fit(X, labels), clone(estimator).fit(X.toarray(), labels)
        unlearn(thin, X[:9], labels[:9])
        unlearn(dense, X[:9].toarray(), labels[:9])
        assert np.allclose(thin.predict(X), dense.predict(X.toarray()))
        for a, b in zip(erasable_models(thin), erasable_models(dense), strict=True):
            assert np.allclose(theta(a), theta(b), atol=1e-6)


def test_frames_through_composites(data):
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(data[0], columns=list("abcd")), data[1]["class"]
    for estimator in (
        OneVsOneClassifier(LR),
        OneVsRestClassifier(LR),
        BaggingClassifier(LR, n_estimators=3, random_state=0),
    ):
        named, plain = clone(estimator).fit(X, y), clone(estimator).fit(data[0], y)
        positions = {"positions": np.arange(9)} if isinstance(estimator, BaggingClassifier) else {}
        unlearn(named, X[:9], y[:9], **positions)
        unlearn(plain, data[0][:9], y[:9], **positions)
        assert np.allclose(outputs(named, X), outputs(plain, data[0]))


def test_a_search_that_holds_the_rows_warns(data):
    X, y = data[0], data[1]["class"]
    search = GridSearchCV(
        LR, {"unlearn_epsilon": [1.0]}, scoring=GammaScorer(X, y, metric="probability"), cv=3
    )
    search.fit(X, y)
    assert preview_unlearn(search, X[:3], y[:3]).kept_by == ("cv_results_", "scoring")
    with pytest.warns(ErasureWarning, match="with it the training data"):
        unlearn(search, X[:3], y[:3])


def test_a_class_that_all_rows_have_needs_no_model(data):
    X, Y = data[0], data[1]["labels"].copy()
    Y[:, 1] = 1
    with pytest.warns(UserWarning, match="present in all"):
        model = OneVsRestClassifier(LR).fit(X, Y)
    unlearn(model, X[:5], Y[:5])
    assert [m.n_samples_remaining_ for m in erasable_models(model)] == [235, 235]


@pytest.mark.parametrize(
    ("estimator", "why", "what"),
    [
        (CalibratedClassifierCV(LR, cv=2), "keep", "FrozenEstimator"),
        (StackingClassifier([("a", LR)], cv=2), "out-of-fold", "VotingClassifier"),
        (AdaBoostClassifier(LR, n_estimators=2), "boosting", "Train it again"),
        (HistGradientBoostingClassifier(max_iter=2), "boosting", "Train it again"),
        (ClassifierChain(LR, cv=2), "keep", "cv=None"),
        (GridSearchCV(LR, {"C": [1.0]}, refit=False, cv=2), "best_estimator_", "refit=True"),
        (TunedThresholdClassifierCV(LR, cv=0.5, refit=False), "keeps no list", "refit=True"),
        (OneVsRestClassifier(AdaBoostClassifier(n_estimators=2)), "boosting", "Train it again"),
        (SelectKBest(), "got SelectKBest", "from_estimator"),
    ],
)
def test_refusals_state_the_reason_and_the_advice(data, estimator, why, what):
    X, y = data[0], data[1]["labels" if isinstance(estimator, ClassifierChain) else "binary"]
    model = clone(estimator).fit(X, y)
    before = snapshot(model)
    for verb in (unlearn, preview_unlearn):
        with pytest.raises(TypeError) as error:
            verb(model, X[:3], y[:3])
        assert why in str(error.value)
        assert what in str(error.value)
    assert snapshot(model) == before


def test_nets_in_composites(data):
    X, y = data[0], data[1]["class"]
    net = ErasableMLPClassifier((4,), solver="lbfgs", max_iter=50, random_state=0)
    model = OneVsRestClassifier(make_pipeline(StandardScaler(), net)).fit(X, y)
    unlearn(model, X[:5], y[:5])
    assert [m.n_samples_remaining_ for m in erasable_models(model)] == [235] * 3


def test_a_third_party_inside_is_erased_with_the_rest_or_not_at_all(data):
    class Box(ErasableLogisticRegression):
        pass

    @unlearn.register(Box)
    def unlearn_box(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
        estimator.boxed_ = True
        return estimator.unlearn(X, y, epsilon, sample_weight=sample_weight)

    X, Y = data[0], data[1]["labels"]
    model = MultiOutputClassifier(Box(curvature="fisher")).fit(X, Y)
    before = snapshot(model)
    unknown = np.column_stack([Y[:4, :-1], np.full(4, 7)])
    with pytest.raises(ErasureError, match="seen at fit"):
        unlearn(model, X[:4], unknown)
    assert snapshot(model) == before
    unlearn(model, X[:4], Y[:4])
    assert all(part.boxed_ and part.n_samples_remaining_ == 236 for part in model.estimators_)


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputClassifier(LR),
        OneVsOneClassifier(LR),
        GridSearchCV(LR, {}),
        FrozenEstimator(LR),
        PIPE,
    ],
)
def test_unfitted_estimators_are_refused(data, estimator):
    for verb in (unlearn, preview_unlearn):
        with pytest.raises(NotFittedError):
            verb(estimator, data[0][:3], data[1]["labels"][:3])


def test_a_frozen_model_in_a_vote_is_given_the_labels_themselves(data):
    X, y = data[0], data[1]["class"]
    labels = np.array(["b", "c", "a"])[y % 3]
    frozen = clone(LR).fit(X, labels)
    vote = VotingClassifier([("frozen", FrozenEstimator(frozen)), ("own", LR)], voting="soft").fit(
        X, labels
    )
    expected = clone(LR).fit(X, labels).unlearn(X[:9], labels[:9])
    unlearn(vote, X[:9], labels[:9])
    assert np.array_equal(frozen._erasure_state.class_counts, expected._erasure_state.class_counts)
    assert np.allclose(theta(frozen), theta(expected), rtol=0, atol=1e-12)


def test_positions_are_for_the_bagging_classifiers_among_others(data):
    X, y = data[0], data[1]["class"]
    bag = BaggingClassifier(LR, n_estimators=2, random_state=0)
    vote = unlearn(
        VotingClassifier([("bag", bag), ("own", LR)]).fit(X, y),
        X[:5],
        y[:5],
        positions=np.arange(5),
    )
    alone = unlearn(clone(bag).fit(X, y), X[:5], y[:5], positions=np.arange(5))
    for member, expected in zip(vote.estimators_[0].estimators_, alone.estimators_, strict=True):
        assert np.allclose(theta(member), theta(expected), rtol=0, atol=1e-12)
    assert vote.estimators_[1].n_samples_remaining_ == len(y) - 5
    with pytest.raises(TypeError, match="for a BaggingClassifier, got VotingClassifier"):
        unlearn(VotingClassifier([("own", LR)]).fit(X, y), X[:5], y[:5], positions=np.arange(5))


def test_bagging_passes_text_to_its_members(data):
    X = data[0]
    y = (X[:, 0] > 0).astype(int)
    table = np.column_stack([np.where(X[:, 1] > 0, "ada", "bob"), X[:, :1].astype(object)]).astype(
        object
    )
    pipe = make_pipeline(
        make_column_transformer((OneHotEncoder(), [0]), (StandardScaler(), [1])), LR
    )
    bag = BaggingClassifier(pipe, n_estimators=2, random_state=0).fit(table, y)
    unlearn(bag, table[:3], y[:3], positions=np.arange(3))
    times = [np.isin(drawn, [0, 1, 2]).sum() for drawn in bag.estimators_samples_]
    assert [member[-1].n_samples_remaining_ for member in bag.estimators_] == [
        len(y) - k for k in times
    ]


def test_weights_for_other_steps_are_not_passed_to_many_outputs(data):
    X = data[0]
    Y, w = (X[:, :2] > 0).astype(int), np.random.default_rng(0).uniform(2, 5, len(X))
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            MultiOutputClassifier(clone(LR).set_fit_request(sample_weight=False)),
        ).fit(X, Y, sample_weight=w)
        unlearn(pipe, X[:5], Y[:5], sample_weight=w[:5])
    assert [output.erasures_[0].weight_erased for output in pipe[-1].estimators_] == [5.0, 5.0]


def test_scalers_without_weights_were_fitted_to_rows_that_no_member_drew(data):
    X, y = data[0], data[1]["class"]
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, clone(LR).set_fit_request(sample_weight=True))
        bag = BaggingClassifier(pipe, n_estimators=3, max_samples=0.3, random_state=0).fit(X, y)
        unlearn(bag, X[:5], y[:5], positions=np.arange(5), preprocessing="downdate")
    for member in bag.estimators_:
        assert np.allclose(member[0].mean_, X[5:].mean(axis=0), rtol=0, atol=1e-12)


def test_an_error_names_the_model(data):
    X = data[0]
    Y = np.column_stack([X[:, 0] > 0, np.arange(len(X)) < 3]).astype(int)
    twice = [0, 1, 2, 0]
    with pytest.raises(ErasureError, match=r"^In output 1: An erasure must not take"):
        unlearn(MultiOutputClassifier(LR).fit(X, Y), X[twice], Y[twice])
    labels = np.where(np.arange(len(X)) < 3, "rare", np.where(X[:, 0] > 0, "a", "b"))
    with pytest.raises(ErasureError, match=r"^In class rare \(label 1 there\) against the rest: "):
        unlearn(OneVsRestClassifier(LR).fit(X, labels), X[:3], labels[:3])


def test_no_intercept_of_liblinear(data):
    X = data[0]
    Y = (X[:, :2] > 0).astype(int)
    model = MultiOutputClassifier(
        ErasableLogisticRegression(solver="liblinear", fit_intercept=False)
    ).fit(X, Y)
    expected = [clone(model.estimator).fit(X, y).unlearn(X[:2], y[:2]) for y in Y.T]
    for output, alone in zip(unlearn(model, X[:2], Y[:2]).estimators_, expected, strict=True):
        assert np.allclose(output.coef_, alone.coef_, rtol=0, atol=1e-12)


def test_one_class_that_all_rows_have(data):
    X, y = data[0], np.ones(len(data[0]))
    with pytest.warns(UserWarning, match="present in all"):
        model = OneVsRestClassifier(LR).fit(X, y)
    assert unlearn(model, X[:5], y[:5]) is model


def test_one_weight_for_all_rows(data):
    X, y = data[0], data[1]["class"]
    one, each = (
        unlearn(clone(LR).fit(X, y), X[:5], y[:5], sample_weight=w) for w in (2.0, np.full(5, 2.0))
    )
    assert np.array_equal(theta(one), theta(each))
