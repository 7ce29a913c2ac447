"""Files: a loaded model equals the saved one, bit for bit, and can be erased from."""

import copy
import importlib
import pickle
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    PredefinedSplit,
    StratifiedShuffleSplit,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale
from sklearn.utils.fixes import parse_version

from sklearn_ssse import (
    TRUSTED_TYPES,
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ForgetSetSplit,
    GammaScorer,
    TunedEpsilonCV,
    _saved_format,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._gradients.curvatures import CURVATURES
from sklearn_ssse._inverse import INVERSES
from sklearn_ssse.preprocessing import ErasableSimpleImputer
from tests.check_erasable import arrays, snapshot
from tests.conftest import ADULT
from tests.reference import relative
from tests.warned import DAMPED, LARGE_EPSILON, PREFIT, STALE, may_warn

FIXTURES = sorted(
    path
    for path in (Path(__file__).parent / "fixtures").iterdir()
    if path.suffix in (".joblib", ".skops")
)
X, Y = load_iris(return_X_y=True)
LABELS = np.column_stack([Y == 0, Y > 1]).astype(int)
S = np.arange(0, 150, 15)


def skops():
    return pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[files]'")


def mixed(model):
    """A pipeline for numbers with gaps and a category."""
    numbers = make_pipeline(ErasableSimpleImputer(), StandardScaler())
    return make_pipeline(
        make_column_transformer(
            (numbers, [0, 1, 2]), (OneHotEncoder(handle_unknown="ignore"), [3])
        ),
        model,
    )


MODELS = {
    f"{kind}-{curvature}-{structure}": (model, {"curvature": curvature, "structure": structure}, Y)
    for kind, model in {
        "linear": ErasableLogisticRegression(),
        "adam": ErasableMLPClassifier((4,), max_iter=30, random_state=0),
        "sgd": ErasableMLPClassifier(
            (4,), solver="sgd", early_stopping=True, max_iter=30, random_state=0
        ),
    }.items()
    for curvature in CURVATURES
    for structure in INVERSES
} | {
    "random state": (
        ErasableMLPClassifier((4,), solver="lbfgs", random_state=np.random.RandomState(0)),
        {},
        Y,
    ),
    "labels": (ErasableMLPClassifier((4,), solver="lbfgs", random_state=0), {}, LABELS),
    "words": (
        ErasableLogisticRegression(class_weight="balanced"),
        {},
        np.array(["a", "b", "c"])[Y],
    ),
    "tracked": (ErasableLogisticRegression(track_rows=True), {}, Y),
    "pipeline": (mixed(ErasableLogisticRegression()), {}, Y),
    "outputs": (MultiOutputClassifier(ErasableLogisticRegression()), {}, LABELS),
    "search": (
        TunedEpsilonCV(
            mixed(ErasableLogisticRegression()),
            epsilons=["auto", "0.5 * auto"],
            cv=ForgetSetSplit(0.2, random_state=0),
            metric="probability",
            trust_best=True,
        ),
        {},
        Y,
    ),
}


@pytest.fixture
def census_frame():
    pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
    frame = pandas.read_csv(ADULT, index_col=0, skipinitialspace=True, nrows=1000, na_values="?")
    return frame, frame.pop("income")


@cache
def trained(name):
    model, params, y = MODELS[name]
    return clone(model).set_params(**params).fit(X, y)


def fresh(name):
    """A copy of a fitted model after one erasure."""
    return unlearn(copy.deepcopy(trained(name)), X[S[:3]], MODELS[name][2][S[:3]])


def same(a, b):
    """Whether all attributes of two models are equal, nan included; of a search, its model."""
    a, b = (model.estimator_ if isinstance(model, TunedEpsilonCV) else model for model in (a, b))
    return repr(snapshot(a)) == repr(snapshot(b))


def check_loaded(loaded, name):
    model, y = fresh(name), MODELS[name][2]
    assert same(loaded, model)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with may_warn(STALE, DAMPED):  # erasures from a net, whose training depends on the machine
        for either in (loaded, model):
            unlearn(either, X[S[3:]], y[S[3:]])
    assert same(loaded, model)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("name", MODELS)
def test_pickle_and_joblib(name, tmp_path):
    """Memory-mapped arrays are read-only: loading, predicting and erasing do not write to them."""
    check_loaded(pickle.loads(pickle.dumps(fresh(name))), name)
    plain, compressed = tmp_path / "model.joblib", tmp_path / "model.joblib.gz"
    joblib.dump(fresh(name), plain)
    joblib.dump(fresh(name), compressed, compress=("gzip", 3))
    check_loaded(joblib.load(compressed), name)
    before = plain.read_bytes()
    mapped = joblib.load(plain, mmap_mode="r")
    assert all(
        isinstance(model.curvature_.ridge, np.memmap)
        for model in erasable_models(getattr(mapped, "estimator_", mapped))
    )
    check_loaded(mapped, name)
    assert plain.read_bytes() == before


@pytest.mark.parametrize("name", MODELS)
def test_skops(name):
    """With `TRUSTED_TYPES` only; before its first erasure, a net holds its optimiser too."""
    sio = skops()
    check_loaded(sio.loads(sio.dumps(fresh(name)), trusted=TRUSTED_TYPES), name)
    model = trained(name)
    assert same(sio.loads(sio.dumps(model), trusted=TRUSTED_TYPES), model)


def test_skops_of_a_frame(census_frame):
    """Columns by name, words as categories and labels."""
    sio, (frame, y) = skops(), census_frame
    numbers, words = (
        make_column_selector(dtype_include="number"),
        make_column_selector(dtype_exclude="number"),
    )
    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
            ),
            words,
        ),
    )
    pipe = make_pipeline(encode, ErasableLogisticRegression(max_iter=500)).fit(frame, y)
    loaded = sio.loads(sio.dumps(pipe), trusted=TRUSTED_TYPES)
    assert np.array_equal(loaded.predict(frame), pipe.predict(frame))
    for either in (loaded, pipe):
        unlearn(either, frame[:5], y[:5])
    assert same(loaded[-1].curvature_, pipe[-1].curvature_)
    assert np.array_equal(loaded.predict_proba(frame), pipe.predict_proba(frame))


@pytest.mark.parametrize(
    "cv", [3, GroupShuffleSplit(2), StratifiedShuffleSplit(2)], ids=["3", "groups", "strata"]
)
def test_skops_of_a_search(cv):
    sio = skops()
    search = GridSearchCV(
        mixed(ErasableLogisticRegression()), {"erasablelogisticregression__C": [0.1, 1.0]}, cv=cv
    )
    search.fit(X, Y, groups=np.arange(len(Y)) // 2)
    check_composite(sio.loads(sio.dumps(search), trusted=TRUSTED_TYPES), search)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_skops_of_votes_and_calibrated_models(method):
    sio = skops()
    vote = VotingClassifier(
        [("a", ErasableLogisticRegression()), ("b", mixed(ErasableLogisticRegression()))],
        voting="soft",
    )
    vote.fit(X, Y)
    frozen = FrozenEstimator(ErasableLogisticRegression().fit(X, Y))
    for model in (vote, CalibratedClassifierCV(frozen, method=method).fit(X, Y)):
        check_composite(sio.loads(sio.dumps(model), trusted=TRUSTED_TYPES), model)


def check_composite(loaded, model):
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with may_warn(PREFIT):
        for either in (loaded, model):
            unlearn(either, X[S], Y[S])
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_trusted_types_are_types_that_files_hold():
    sio, found = skops(), set()
    for name in MODELS:
        for model in (trained(name), fresh(name)):
            found.update(sio.get_untrusted_types(data=sio.dumps(model)))
    certified = {"C": 0.01, "curvature": "fisher", "certify": (1.0, 1e-5), "certify_std": 5.0}
    second = {"curvature": "fisher", "order": 2, "bounds": "all"}
    for params in (certified, second):
        model = ErasableLogisticRegression(**params).fit(X, Y > 0)
        found.update(sio.get_untrusted_types(data=sio.dumps(model)))
    assert found <= set(TRUSTED_TYPES)
    for name in TRUSTED_TYPES:
        module, _, attribute = name.rpartition(".")
        if name in SINCE_1_9 and parse_version(sklearn.__version__) < parse_version("1.9"):
            continue
        found_there = getattr(importlib.import_module(module), attribute)
        assert isinstance(found_there, type) or module.startswith(
            ("sklearn.metrics.", "sklearn.feature_selection.")
        )
        assert name in found or not name.startswith("sklearn_ssse.") or found_there is GammaScorer


SINCE_1_9 = ("sklearn.callback._progressbar.ProgressBar",)


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: TunedThresholdClassifierCV(ErasableLogisticRegression()).fit(X, y),
        lambda X, y: make_pipeline(SelectKBest(), ErasableLogisticRegression()).fit(X, y),
        lambda X, y: GridSearchCV(
            ErasableLogisticRegression(), {"C": [1.0]}, scoring="f1", cv=2
        ).fit(X, y),
        lambda X, y: OneVsRestClassifier(ErasableLogisticRegression()).fit(
            X, np.column_stack([y, 1 - y, np.ones_like(y)])
        ),
        lambda X, y: TunedEpsilonCV(
            ErasableLogisticRegression(), epsilons=[1.0], cv=PredefinedSplit(np.arange(len(y)) % 2)
        ).fit(X, y),
    ],
    ids=["threshold", "selection", "search", "constant class", "splitter"],
)
def test_models_inside_others_load_with_nothing_else_trusted(make):
    X, y = load_breast_cancer(return_X_y=True)
    model, sio = make(scale(X[:, :10]), y), skops()
    again = sio.loads(sio.dumps(model), trusted=TRUSTED_TYPES)
    assert np.array_equal(again.predict(scale(X[:, :10])), model.predict(scale(X[:, :10])))


@pytest.mark.parametrize("name", ["linear-fisher-full", "adam-fisher-full", "pipeline"])
def test_a_newer_format_is_refused(name, monkeypatch):
    known = _saved_format.FORMAT
    monkeypatch.setattr(_saved_format, "FORMAT", known + 1)
    blob = pickle.dumps(trained(name))
    monkeypatch.undo()
    with pytest.raises(
        ValueError,
        match=rf"format {known} or older .* got format {known + 1}.* pip install",
    ):
        pickle.loads(blob)
    assert _saved_format.KEY not in vars(pickle.loads(pickle.dumps(trained("linear-fisher-full"))))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_files_of_every_release(path):
    """An erasure from a loaded model equals one from its parameters with a new curvature."""
    if path.suffix == ".joblib":
        models = joblib.load(path)
    else:
        sio = skops()
        models = sio.load(path, trusted=TRUSTED_TYPES)
    assert {"linear", "net"} <= models.keys()
    for pipe in models.values():
        model, rows = pipe[-1], pipe[:-1].transform(X)
        ours = {
            key: value
            for key, value in model.get_params().items()
            if key not in model._plain().get_params()
        }
        made = type(model).from_estimator(model.to_plain(), rows, Y, **ours)
        for part, eps in ((S[:4], 1.0), (S[4:], 0.5)):
            with may_warn(LARGE_EPSILON):  # a release may have another rule for "auto"
                unlearn(pipe, X[part], Y[part], eps)
                made.unlearn(rows[part], Y[part], eps)
        assert model.n_samples_remaining_ == 140
        assert relative(pipe.predict_proba(X), made.predict_proba(rows)) < 1e-8
        assert relative(model.fisher_inverse_, made.fisher_inverse_) < 1e-8
        automatic, half = (
            model.preview_unlearn(rows[1:3], Y[1:3], epsilon).epsilon
            for epsilon in ("auto", "0.5*auto")
        )
        assert half == 0.5 * automatic
        if isinstance(model, LogisticRegression):  # a release may have another rule for nets
            of_today = made.preview_unlearn(rows[1:3], Y[1:3], "auto").epsilon
            assert automatic == pytest.approx(of_today, rel=1e-6)


def test_every_release_has_its_files():
    from sklearn_ssse import __version__

    assert {f"{__version__}.joblib", f"{__version__}.skops"} <= {path.name for path in FIXTURES}


@pytest.mark.parametrize(
    "name", ["linear-fisher-full", "adam-empirical_fisher-full", "sgd-fisher-low_rank"]
)
def test_nothing_of_the_curvature_is_in_a_plain_model(name):
    model = fresh(name)
    plain = model.to_plain()
    parent = LogisticRegression if name.startswith("linear") else MLPClassifier
    assert type(plain) is parent
    assert b"sklearn_ssse" not in pickle.dumps(plain)
    assert vars(plain).keys() <= vars(clone(plain).fit(X, Y)).keys()
    known = {
        array.tobytes()
        for array in arrays([getattr(plain, key) for key in model._family().parameters])
    }
    assert {array.tobytes() for array in arrays(plain) if array.size > 4} <= known
