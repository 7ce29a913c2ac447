"""No error and no warning quotes a cell, a label, a weight, a position or an id.

Planted values are passed in the place of rows, labels and other arguments, to every verb and to
composites. `fit` is scikit-learn's own, and so are its messages.
"""

import re
import traceback
import warnings
from copy import deepcopy
from decimal import Decimal
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    gamma_score,
    learn,
    parameter_distance,
    preview_unlearn,
    rectify,
    refresh,
    unlearn,
)
from sklearn_ssse.exceptions import ErasureTypeError
from sklearn_ssse.metrics import GammaScorer
from sklearn_ssse.model_selection import TunedEpsilonCV
from sklearn_ssse.preprocessing import ErasableSimpleImputer, count_values

pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
polars = pytest.importorskip("polars", reason="pip install 'sklearn-ssse[test]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::sklearn_ssse.ErasureWarning"),
]

# Joined from two parts, since a traceback prints lines of this file.
TEXT = "sent" + "inel"
NUMBER = 918273645.5
INTEGER = 918273645
# The text, and the number in any format.
PLANTED = re.compile("sent" + "inel" + r"|9\.18e\+08|9\.?1827")
N = 40
K = 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
LABELS = {
    "binary": (X[:, 0] + 2 * RNG.normal(size=N) > 0).astype(int),
    "text": np.array(["no", "yes"])[np.arange(N) % 2],
    "three": np.arange(N) % 3,
    "two outputs": np.column_stack([np.arange(N) % 2, (np.arange(N) // 2) % 2]),
}
FRAME = pandas.DataFrame(X, columns=["age", "height", "weight"])
PEOPLE = FRAME.assign(city=np.array(["Rome", "Oslo"])[np.arange(N) % 2])
DOCUMENTS = ["cat dog", "dog fish", "fish cat bird", "bird"] * (N // 4)
LR = ErasableLogisticRegression(curvature="fisher")
NET = ErasableMLPClassifier((3,), max_iter=5, random_state=0)
PIPE = make_pipeline(StandardScaler(), LR)


def quote_the_rows(rows):
    """A transformer with an error that quotes the rows."""
    cells = np.asarray(rows, dtype=object)
    if not all(isinstance(cell, float) and abs(cell) < 100 for cell in cells.ravel()):
        raise RuntimeError(f"bad rows: {cells.tolist()}")
    return cells.astype(float)


def encoded(encoder):
    numbers = (StandardScaler(), list(FRAME.columns))
    return make_pipeline(make_column_transformer(numbers, (encoder, ["city"])), LR)


TEXT_IMPUTER = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
CALIBRATED = CalibratedClassifierCV(FrozenEstimator(PIPE.fit(FRAME, LABELS["binary"])))
ESTIMATORS = {
    "frame": (LR, FRAME, "binary"),
    "text labels": (LR, X, "text"),
    "net": (NET, X, "binary"),
    "multi-label net": (NET, X, "two outputs"),
    "scaler": (PIPE, X, "binary"),
    "imputer": (make_pipeline(ErasableSimpleImputer(), StandardScaler(), LR), FRAME, "binary"),
    "one-hot": (encoded(OneHotEncoder()), PEOPLE, "binary"),
    "ordinal": (encoded(OrdinalEncoder()), PEOPLE, "binary"),
    "target": (encoded(TargetEncoder()), PEOPLE, "binary"),
    "text imputer": (encoded(TEXT_IMPUTER), PEOPLE, "binary"),
    "function": (make_pipeline(FunctionTransformer(quote_the_rows), LR), FRAME, "binary"),
    "union": (make_pipeline(make_union(StandardScaler(), MinMaxScaler()), LR), FRAME, "binary"),
    "documents": (make_pipeline(CountVectorizer(), LR), DOCUMENTS, "binary"),
    "rest": (OneVsRestClassifier(PIPE), FRAME, "three"),
    "rest, labels": (OneVsRestClassifier(LR), X, "two outputs"),
    "one": (OneVsOneClassifier(LR), X, "three"),
    "outputs": (MultiOutputClassifier(LR), X, "two outputs"),
    "outputs of nets": (MultiOutputClassifier(NET), X, "two outputs"),
    "chain": (ClassifierChain(LR), X, "two outputs"),
    "vote": (VotingClassifier([("a", LR), ("b", PIPE)]), X, "text"),
    "bagging": (BaggingClassifier(PIPE, n_estimators=2, random_state=0), FRAME, "text"),
    "calibrated": (CALIBRATED, FRAME, "binary"),
    "threshold": (FixedThresholdClassifier(LR), X, "binary"),
    "tuned threshold": (TunedThresholdClassifierCV(LR, cv=2), X, "binary"),
    "search": (GridSearchCV(PIPE, {"standardscaler__copy": [True]}, cv=2), FRAME, "binary"),
    "tuned eps": (TunedEpsilonCV(PIPE, epsilons=[1.0], metric="probability"), FRAME, "binary"),
}


def put(data, value, row=1, column=0):
    """The data with one other cell or label."""
    if isinstance(data, list):
        return [*data[:row], value, *data[row + 1 :]]
    if hasattr(data, "iloc"):
        data = data.astype(object)
        data.iat[row, column] = value
        return data
    data = data.astype(object)
    data[(row, column) if data.ndim == 2 else row] = value
    return data


def hostile_rows(rows):
    """Rows that no model takes, or that it should not print, by name."""
    wrong = (TEXT, NUMBER, [TEXT], {"a": TEXT}, Decimal(INTEGER), complex(NUMBER), TEXT.encode())
    found = {f"a {type(cell).__name__}": put(rows, cell) for cell in wrong}
    if isinstance(rows, list):
        return {**found, "one text": TEXT}
    shape = rows.shape
    names = getattr(rows, "columns", None)
    whole = pandas.DataFrame(np.full(shape, INTEGER), columns=names)
    table = pandas.DataFrame(put(rows, TEXT), columns=names).rename(columns=str)
    return {
        **found,
        "last column": put(rows, TEXT, column=-1),
        "number in the last column": put(rows, NUMBER, column=-1),
        "nan beside": put(put(rows, np.nan), NUMBER, row=2),
        "infinity beside": put(put(rows, np.inf), NUMBER, row=2),
        "too large": put(put(rows, 1e300), NUMBER, row=2),
        "lists": np.asarray(put(rows, TEXT)).tolist(),
        "ragged": [[NUMBER, 1.0], [TEXT], [1.0], [2.0]],
        "one row": np.full(shape[1], NUMBER),
        "no dimension": np.array(NUMBER),
        "a text": TEXT,
        "texts": [TEXT] * K,
        "three dimensions": np.full((*shape, 1), NUMBER),
        "complex array": np.full(shape, complex(NUMBER)),
        "column missing": np.full((K, shape[1] - 1), NUMBER),
        "text array": np.full(shape, TEXT),
        "text frame": table.astype("string"),
        "headers are cells": whole.set_axis([TEXT, *map(str, range(1, shape[1]))], axis=1),
        "categories": table.astype("category"),
        "nullable": whole.astype("Int64").mask(np.eye(*shape) == 1),
        "polars": polars.from_pandas(table.astype(str)),
        "sparse": sparse.csr_matrix(np.full(shape, NUMBER)),
        "sparse nan": sparse.csr_matrix(np.where(np.eye(*shape) == 1, np.nan, NUMBER)),
        "dicts": [{"a": NUMBER, "b": TEXT}] * K,
        "records": np.array([(NUMBER, TEXT)] * K, dtype=[("a", float), ("b", "U20")]),
        "none": None,
    }


def hostile_labels(y):
    """Labels that were not seen at fit, in forms that arrays and frames have, by name."""
    wrong = (TEXT, NUMBER, [TEXT], {"a": TEXT}, (TEXT,), None, np.nan)
    found = {f"a {type(label).__name__}": put(put(y, TEXT, row=2), label) for label in wrong}
    return {
        **found,
        "number": put(y, NUMBER),
        "texts": np.full(y.shape, TEXT),
        "integers": np.full(y.shape, INTEGER),
        "bytes": np.full(y.shape, TEXT.encode()),
        "complex": np.full(y.shape, complex(NUMBER)),
        "ragged": [[TEXT, NUMBER], [0], 1, 0],
        "a text": TEXT,
        "no dimension": np.array(INTEGER),
        "three columns": np.full((K, 3), TEXT),
        "one column": np.full((K, 1), TEXT),
        "short": [TEXT],
        "categories": pandas.Series([TEXT] * K, dtype="category"),
        "nullable": pandas.Series([INTEGER, None, 1, 0], dtype="Int64"),
        "frame": pandas.DataFrame({"a": [TEXT] * K, "b": [1] * K}),
        "polars": polars.Series([TEXT] * K),
        "sparse": sparse.csr_matrix(np.full((K, 2), NUMBER)),
        "dict": {"a": TEXT},
    }


WEIGHTS = {
    "text": [1, TEXT, 1, 1],
    "negative": [1, -NUMBER, 1, 1],
    "negative number": -NUMBER,
    "nan": [NUMBER, np.nan, 1, 1],
    "infinite": [NUMBER, np.inf, 1, 1],
    "lists": [[NUMBER], [TEXT], 1, 1],
    "dict": np.array([{"a": TEXT}, 1, 1, 1]),
    "two columns": np.full((K, 2), NUMBER),
    "no dimension": np.array(NUMBER),
    "a text": TEXT,
    "complex": np.full(K, complex(NUMBER)),
    "short": [NUMBER],
    "nullable": pandas.Series([INTEGER, None, 1, 1], dtype="Int64"),
    "polars": polars.Series([TEXT] * K),
}
POSITIONS = {
    "outside": [0, 1, 2, INTEGER],
    "repeated": [INTEGER] * K,
    "float": [0, 1, 2, NUMBER],
    "text": [0, 1, 2, TEXT],
    "nested": [[0, INTEGER], [1], 2, 3],
    "no dimension": np.array(INTEGER),
    "short": [INTEGER],
}
FOUR = ["a", "a", "b", "b"]
GROUPS = {
    "no row": (FOUR, [TEXT]),
    "no rows": (FOUR, [f"{TEXT}{i}" for i in range(20)]),
    "integer": ([1, 1, 2, 2], [INTEGER]),
    "bytes": (FOUR, [TEXT.encode()]),
    "dict": (FOUR, [{"a": TEXT}]),
    "a text": (FOUR, TEXT),
    "nested": (FOUR, [[TEXT], "a"]),
    "repeated": (FOUR, [TEXT, TEXT]),
    "no list": ([{"a": TEXT}] * K, ["a"]),
    "two columns": ([[TEXT, TEXT]] * K, ["a"]),
    "no dimension": (np.array(INTEGER), [1]),
    "short": ([TEXT], ["a"]),
    "no forget": ([TEXT] * K, None),
    "index": (None, [TEXT]),
}


def texts_of(error, seen=()):
    """Message, arguments and notes of an error, and of the errors chained to it."""
    if error is None or error in seen:
        return []
    chained = (error.__cause__, error.__context__)
    found = [str(error), repr(error.args), *getattr(error, "__notes__", [])]
    return found + [text for part in chained for text in texts_of(part, (*seen, error))]


def messages(call):
    """All texts of the error and of the warnings of a call."""
    found = []
    with warnings.catch_warnings(record=True) as given, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            call()
        except Exception as error:
            found = [*texts_of(error), *traceback.format_exception(error)]
    return [*found, *(str(warning.message) for warning in given)]


def leaks(calls):
    """Names of the calls with a text that holds a planted value, and the first such text."""
    found = {}
    for name, call in calls:
        quoted = [text for text in messages(call) if PLANTED.search(text)]
        if quoted:
            found[name] = quoted[0]
    return found


def head(data):
    return data.iloc[:K] if hasattr(data, "iloc") else data[:K]


def hostile_arguments(rows, y):
    """Triples (X, y, sample_weight) with one hostile argument, by name."""
    yield from (("X", name, wrong, y, None) for name, wrong in hostile_rows(rows).items())
    yield from (("y", name, rows, wrong, None) for name, wrong in hostile_labels(y).items())
    yield from (("weight", name, rows, y, wrong) for name, wrong in WEIGHTS.items())


def fitted(name):
    estimator, rows, labels = ESTIMATORS[name]
    return deepcopy(estimator).fit(rows, LABELS[labels]), head(rows), LABELS[labels][:K]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_functions_quote_nothing(name):
    model, rows, y = fitted(name)
    extra = {"positions": [0, 1, 2, 3]} if name == "bagging" else {}
    calls = []
    for kind, which, *data, weight in hostile_arguments(rows, y):
        call = partial(unlearn, deepcopy(model), *data, sample_weight=weight, **extra)
        calls += [(f"{kind} {which}", call)]
        if kind == "X":
            calls += [(f"{which}, downdate", partial(call, preprocessing="downdate"))]
            refit = partial(refresh, deepcopy(model), *data, preprocessing="refit", **extra)
            calls += [(f"{which}, refit", refit)]
    for which, positions in POSITIONS.items():
        calls += [(f"positions {which}", partial(unlearn, model, rows, y, positions=positions))]
    assert leaks(calls) == {}


@pytest.mark.parametrize("name", ["frame", "net", "one-hot"])
def test_verbs_quote_nothing(name):
    model, rows, y = fitted(name)
    good = (rows, y)
    verbs = {
        "preview": lambda *data, **w: preview_unlearn(model, *data, **w),
        "learn": lambda *data, **w: learn(deepcopy(model), *data, **w),
        "old": lambda *data, **w: rectify(deepcopy(model), *data, *good, **w),
        "new": lambda *data, **w: rectify(deepcopy(model), *good, *data, **w),
        "refresh": lambda *data, **w: refresh(deepcopy(model), *data, **w),
    }
    if name != "one-hot":
        verbs |= {
            "unlearn": lambda *data, **w: deepcopy(model).unlearn(*data, **w),
            "rectify": lambda *data, **w: deepcopy(model).rectify(*data, *good, **w),
            "fit_curvature": lambda *data, **w: deepcopy(model).fit_curvature(*data, **w),
            "distance": partial(parameter_distance, model, model, model, norm="hessian"),
        }
    calls = [
        (f"{verb}, {kind} {which}", partial(call, *data, sample_weight=weight))
        for kind, which, *data, weight in hostile_arguments(rows, y)
        for verb, call in verbs.items()
    ]
    assert leaks(calls) == {}


def test_groups_quote_nothing():
    model, rows, y = fitted("frame")
    calls = [
        (name, partial(unlearn, model, rows, y, groups=groups, forget=forget))
        for name, (groups, forget) in GROUPS.items()
    ]
    assert leaks(calls) == {}


def test_measures_and_conversions_quote_nothing():
    model, rows, y = fitted("frame")
    plain = model.to_plain()
    sgd = SGDClassifier(loss="log_loss", class_weight="balanced").fit(FRAME, LABELS["binary"])
    scorer = GammaScorer(FRAME, LABELS["binary"], reference=model)
    calls = []
    for kind, which, *data, weight in hostile_arguments(rows, y):
        both = {"sample_weight": weight}
        convert = ErasableLogisticRegression.from_estimator
        for name, call in {
            "gamma": partial(gamma_score, model, model, model, *data),
            "scorer": partial(GammaScorer, *data, **both),
            "score": partial(scorer, model, *data, **both),
            "from_estimator": partial(convert, plain, *data, **both),
            "from sgd": partial(convert, sgd, *data),
            "count": partial(count_values, data[0]),
        }.items():
            calls += [(f"{name}, {kind} {which}", call)]
    assert leaks(calls) == {}


@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("frame", "a str", "finite numbers, got values of type str .* in column age \\(1 of 4"),
        ("frame", "nan beside", "finite numbers, got NaN in column age \\(1 of 4 rows\\)"),
        ("frame", "column missing", "have the 3 features .* got 2"),
        ("frame", "headers are cells", "feature names .* lacks 3 of them \\(age, height, weight"),
        ("text labels", "one row", "must be a table of rows and 3 columns, got ndarray of shape"),
        ("one-hot", "last column", "__onehotencoder .* seen at fit, got others in column city"),
        ("one-hot", "a str", "__standardscaler .* finite numbers, got values of type str"),
        ("imputer", "infinity beside", "erasablesimpleimputer .* got infinite or too large"),
        ("function", "a str", "step functiontransformer .* got RuntimeError, .*pipe\\[:-1\\]"),
    ],
)
def test_messages_keep_the_facts(name, argument, words):
    model, rows, y = fitted(name)
    wrong = hostile_rows(rows)[argument]
    y = np.resize(y, len(wrong))
    with pytest.raises(ValueError, match=words) as caught:
        unlearn(model, wrong, y)
    assert isinstance(caught.value, ErasureError)
    assert caught.value.__context__ is None


def test_labels_keep_the_facts():
    model, rows, y = fitted("text labels")
    with pytest.raises(ErasureError, match=r"labels in 1 of 4 rows, of type str.*no, yes"):
        unlearn(model, rows, put(y, TEXT))
    with pytest.raises(ErasureTypeError, match="y must hold one value for each row"):
        unlearn(model, rows, sparse.csr_matrix(np.eye(K)))


@pytest.mark.parametrize("kind", [NotFittedError, MemoryError, KeyboardInterrupt, ErasureError])
def test_errors_that_are_no_fault_of_the_rows_are_not_replaced(kind):
    broken = FunctionTransformer()
    pipe = make_pipeline(broken, LR).fit(X, LABELS["binary"])

    def fail(rows):
        raise kind("as it is")

    broken.func = fail
    with pytest.raises(kind, match=r"^as it is$"):
        unlearn(pipe, X[:K], LABELS["binary"][:K])
