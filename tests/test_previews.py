"""Previews of the three verbs, and the warning of a call that is given no row."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    TunedEpsilonCV,
    learn,
    preview_learn,
    preview_rectify,
    preview_unlearn,
    rectify,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from sklearn_ssse.preprocessing import ErasableSimpleImputer
from tests.check_erasable import snapshot
from tests.warned import NO_ROWS, may_warn

LR = ErasableLogisticRegression(curvature="fisher", solver="newton-cholesky")
PIPE = make_pipeline(StandardScaler(), LR)
NET = ErasableMLPClassifier(
    (4,), solver="lbfgs", max_iter=200, random_state=0, damping=0.1, unlearn_epsilon=0.05
)
MODELS = {
    "linear": LR,
    "net": NET,
    "pipeline": PIPE,
    "search": GridSearchCV(PIPE, {}, cv=2),
    "tuned": TunedEpsilonCV(LR, epsilons=[1.0], metric="probability"),
    "outputs": MultiOutputClassifier(PIPE),
    "similar outputs": MultiOutputClassifier(LR),
    "chain": ClassifierChain(LR),
    "rest": OneVsRestClassifier(LR),
    "pairs": OneVsOneClassifier(PIPE),
    "votes": VotingClassifier([("a", LR), ("b", PIPE)]),
}
OUTPUTS = ("outputs", "similar outputs", "chain")


@pytest.fixture(scope="module")
def data():
    return make_classification(
        200, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
    )


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, data):
    """A fitted model, its rows and its labels."""
    X, y = data
    if request.param in OUTPUTS:
        y = np.column_stack([y == 0, y == 1]).astype(int)
    return deepcopy(MODELS[request.param]).fit(X, y), X, y


def as_list(records):
    return records if isinstance(records, list) else [records]


def new_records(model):
    return [record for part in erasable_models(model) for record in part.erasures_[-1:]]


@pytest.mark.parametrize(
    ("preview", "verb"),
    [(preview_unlearn, unlearn), (preview_learn, learn), (preview_rectify, rectify)],
)
def test_a_preview_is_the_record_of_the_call(fitted, preview, verb):
    model, X, y = fitted
    rows = (X[:4], y[:4], X[:4] + 0.1, y[:4]) if verb is rectify else (X[:4], y[:4])
    before = snapshot(model)
    records = as_list(preview(model, *rows, 0.5))
    assert snapshot(model) == before
    changed = verb(deepcopy(model), *rows, 0.5)
    given = [record for record in records if record.n_erased or record.n_added]
    assert given
    assert given == new_records(changed)


def test_previews_are_refused_as_the_calls_are(fitted):
    model, X, y = fitted
    before = snapshot(model)
    unseen = np.full_like(y[:4], 99)
    for call in (preview_learn, learn):
        with pytest.raises(ErasureError, match=r"seen at fit|must be 0 or 1"):
            call(model, X[:4], unseen)
    for call in (preview_rectify, rectify):
        with pytest.raises(ErasureError, match="must have its corrected version"):
            call(model, X[:4], y[:4], X[:3], y[:3])
    assert snapshot(model) == before


def test_methods_equal_functions(data):
    X, y = data
    model = deepcopy(LR).fit(X, y)
    rows = X[:4], y[:4]
    corrected = X[:4] + 0.1, y[:4]
    weight = np.array([1.0, 2.0, 0.0, 1.0])
    assert model.preview_learn(*rows, sample_weight=weight) == preview_learn(
        model, *rows, sample_weight=weight
    )
    assert model.preview_rectify(*rows, *corrected, sample_weight=weight) == preview_rectify(
        model, *rows, *corrected, sample_weight=weight
    )


def told(call, *args, **keywords):
    """The texts of the warnings that a call gives for the line of the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **keywords)
    found = [warning for warning in caught if issubclass(warning.category, ErasureWarning)]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message) for warning in found]


def test_no_row_gives_one_warning_and_changes_nothing(fitted):
    """No row, or no row of positive weight: one warning for all models inside together."""
    model, X, y = fitted
    before = snapshot(model)
    zero = {"sample_weight": np.zeros(3)}
    for rows, weights in [((X[:0], y[:0]), {}), ((X[:3], y[:3]), zero)]:
        for call in (unlearn, learn, preview_unlearn, preview_learn):
            (message,) = told(call, model, *rows, **weights)
            assert message.startswith(NO_ROWS)
        for call in (rectify, preview_rectify):
            (message,) = told(call, model, *rows, *rows, **weights)
            assert message.startswith(NO_ROWS)
    assert snapshot(model) == before
    assert new_records(model) == []


def test_methods_warn_too(data):
    X, y = data
    model = deepcopy(LR).fit(X, y)
    none = X[y == "1"], y[y == "1"]
    for call in (model.unlearn, model.learn, model.preview_unlearn, model.preview_learn):
        assert len(told(call, *none)) == 1
    for call in (model.rectify, model.preview_rectify):
        assert len(told(call, *none, *none)) == 1
    tuned = deepcopy(MODELS["tuned"]).fit(X, y)
    assert len(told(tuned.unlearn, *none)) == 1
    assert len(told(tuned.preview_unlearn, *none)) == 1


def test_the_warning_may_be_an_error(data):
    """This suite makes it one: the call is atomic then, too."""
    X, y = data
    model = deepcopy(LR).fit(X, y)
    before = snapshot(model)
    with pytest.raises(ErasureWarning, match=NO_ROWS):
        model.unlearn(X[:0], y[:0])
    assert snapshot(model) == before


def test_a_model_inside_without_rows_does_not_warn(data):
    """A pair of other classes, and members of bagging that drew none of the rows."""
    X, y = data
    rows = np.flatnonzero(y == 0)[:3]
    for model in (OneVsOneClassifier(LR), OneVsOneClassifier(PIPE)):
        assert told(unlearn, model.fit(X, y), X[rows], y[rows]) == []
    bag = BaggingClassifier(LR, n_estimators=2, random_state=0).fit(X, y)
    drawn = np.concatenate(bag.estimators_samples_)
    never = np.setdiff1d(np.arange(len(y)), drawn)[:3]
    assert told(unlearn, bag, X[never], y[never], positions=never) == []
    assert new_records(bag) == []
    assert len(told(unlearn, bag, X[:0], y[:0], positions=[])) == 1


def test_rows_of_weight_0_in_transformers(data):
    """A scaler does not change. An imputer takes no weights, so that it changes without warning."""
    X, y = data
    given = {"sample_weight": np.zeros(3), "preprocessing": "downdate"}
    weight = np.linspace(0.5, 2, len(y))
    weights = {f"{name}__sample_weight": weight for name, _ in PIPE.steps}
    model = deepcopy(PIPE).fit(X, y, **weights)
    before = snapshot(model)
    assert len(told(unlearn, model, X[:3], y[:3], **given)) == 1
    assert snapshot(model) == before
    model = make_pipeline(ErasableSimpleImputer(), LR).fit(X, y)
    assert told(unlearn, model, X[:3], y[:3], **given) == []
    assert (model[0].n_samples_seen_ == 197).all()


def test_third_parties(data):
    """Their functions may pass no row to a model; a call without rows warns once."""

    class Halves:
        def __init__(self, models):
            self.models = models

        def predict_proba(self, X):
            """Needed by nothing; the type is only erased from."""

    @unlearn.register(Halves)
    def unlearn_halves(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
        for model, half in zip(estimator.models, (X[:, 0] < 0, X[:, 0] >= 0), strict=True):
            weight = None if sample_weight is None else sample_weight[half]
            unlearn(model, X[half], y[half], epsilon, sample_weight=weight)

    X, y = data
    models = [deepcopy(LR).fit(X[half], y[half]) for half in (X[:, 0] < 0, X[:, 0] >= 0)]
    model = Halves(models)
    rows = np.flatnonzero(X[:, 0] < 0)[:3]
    assert told(unlearn, model, X[rows], y[rows]) == []
    assert [len(part.erasures_) for part in model.models] == [1, 0]
    before = snapshot(model)
    assert len(told(unlearn, model, X[:0], y[:0])) == 1
    assert len(told(unlearn, model, X[:3], y[:3], sample_weight=np.zeros(3))) == 1
    assert snapshot(model) == before
    with may_warn(NO_ROWS):  # a later call warns again
        assert len(told(unlearn, model.models[0], X[:0], y[:0])) == 1
