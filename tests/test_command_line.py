"""The command line: it writes the model that `unlearn` gives in Python, or nothing."""

import csv
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, scale

import sklearn_ssse
from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureRecord,
    preview_unlearn,
    refresh,
    unlearn,
)
from sklearn_ssse._cli import parser as command
from sklearn_ssse._cli.rows import number, read_rows
from sklearn_ssse._cli.tables import read_table
from tests.check_erasable import snapshot
from tests.conftest import ADULT

pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
skops = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[test]'")

N = 2000
K = 25
TRUSTED = [
    *sklearn_ssse.TRUSTED_TYPES,
    "numpy.dtype",
    "sklearn.compose._column_transformer.make_column_selector",
]


@pytest.fixture(scope="module")
def people():
    with gzip.open(ADULT, "rt") as file:
        frame = pandas.read_csv(file, index_col=0, skipinitialspace=True, na_values="?", nrows=N)
    return frame.drop(columns="income"), frame["income"]


def pipeline():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    encode = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(
        encode, ErasableLogisticRegression(curvature="fisher", solver="newton-cholesky")
    )


@pytest.fixture(scope="module")
def fitted(people):
    return pipeline().fit(*people)


@pytest.fixture
def folder(tmp_path, monkeypatch, people, fitted):
    """A folder with a model and the rows to erase, with missing values."""
    X, y = people
    monkeypatch.chdir(tmp_path)
    skops.dump(fitted, "model.skops")
    assert X[:K].isna().any().any()
    X[:K].assign(income=y[:K]).to_csv("rows.csv", index=False)
    return tmp_path


def run(*args):
    return command.main([str(arg) for arg in args])


def erase(
    model="model.skops", rows="rows.csv", *more, target="income", out="erased", record="record.json"
):
    return run(
        "unlearn",
        model,
        "--rows",
        rows,
        "--target",
        target,
        "--out",
        out,
        "--record",
        record,
        *more,
    )


def erased_in_python(fitted, people, **options):
    X, y = people
    return unlearn(pickle.loads(pickle.dumps(fitted)), X[:K], y[:K], **options)


def state(*models):
    """The content of models, bit for bit; of arrays of objects, the values."""
    return [
        {
            name: value.tolist()
            if isinstance(value, np.ndarray) and value.dtype.hasobject
            else snapshot(value)
            for name, value in vars(m).items()
        }
        for m in models
    ]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, []),
        ({"epsilon": 0.5}, ["--epsilon", "0.5"]),
        ({"epsilon": "2*auto"}, ["--epsilon", "2*auto"]),
    ],
)
def test_result_equals_the_result_in_python(folder, fitted, people, capsys, options, more):
    assert erase("model.skops", "rows.csv", *more) == 0
    expected = erased_in_python(fitted, people, **options)
    assert state(skops.load("erased", trusted=TRUSTED)[-1]) == state(expected[-1])
    report = json.loads((folder / "record.json").read_text())
    records = [ErasureRecord.from_dict(record) for record in report["erasures"]]
    assert records == expected[-1].erasures_
    assert report["model"] == "model.skops"
    assert report["erased_model"] == "erased"
    assert report["sha256"] == sha256(folder / "model.skops")
    assert report["erased_sha256"] == sha256(folder / "erased")
    assert report["library"].endswith(sklearn_ssse.__version__)
    assert report["time"].endswith("+00:00")
    assert f"n erased: {K}" in capsys.readouterr().out


def test_preprocessing_and_people(folder, fitted, people):
    """Rows of some people, in a file with more people; imputers and scalers are downdated too."""
    X, y = people
    who = np.where(np.arange(40) < K, "kim", "lee")
    X[:40].assign(income=y[:40], who=who).to_csv("rows.csv", index=False)
    assert erase("model.skops", "rows.csv", "--group-column", "who", "--forget", "kim", "kim") == 0
    assert state(skops.load("erased", trusted=TRUSTED)[-1]) == state(
        erased_in_python(fitted, people)[-1]
    )
    assert (
        erase(
            "model.skops",
            "rows.csv",
            "--group-column",
            "who",
            "--forget",
            "ann",
            out="no",
            record="no.json",
        )
        == 1
    )
    assert not list(folder.glob("no*"))

    numbers = X.select_dtypes("number")
    model = make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher")).fit(
        numbers, y
    )
    skops.dump(model, "numbers.skops")
    numbers[:K].assign(income=y[:K]).to_csv("numbers.csv", index=False)
    files = {"out": "less", "record": "less.json"}
    assert erase("numbers.skops", "numbers.csv", "--preprocessing", "downdate", **files) == 0
    unlearn(model, numbers[:K], y[:K], preprocessing="downdate")
    assert state(*skops.load("less", trusted=TRUSTED)) == state(*model)
    assert json.loads((folder / "less.json").read_text())["erasures"][0]["kept_by"] == []


def test_preview_changes_nothing(folder, fitted, people, capsys):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run("preview", "model.skops", "--rows", "rows.csv", "--target", "income", "--json") == 0
    (record,) = json.loads(capsys.readouterr().out)["erasures"]
    expected = preview_unlearn(fitted, people[0][:K], people[1][:K])
    assert ErasureRecord.from_dict(record) == expected
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_inspect(folder, fitted, capsys):
    erase()
    capsys.readouterr()
    assert run("inspect", "erased", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["erasable"]
    assert (found["rows_remaining"], found["rows_erased"]) == (N - K, K)
    assert found["parameters"] == fitted[-1].coef_.size + 1
    assert found["curvature_bytes"] == fitted[-1].curvature_.nbytes
    assert (found["order"], found["refresh_recommended"]) == (1, None)
    assert found["path_length"] == found["erasures"][0]["path_length"] > 0
    assert found["kept_after_erasure"]["transformers"] == ["columntransformer"]
    assert found["kept_after_erasure"]["kept_by"] == ["columntransformer"]
    assert run("inspect", "erased") == 0
    assert f"rows remaining: {N - K}" in capsys.readouterr().out
    fitted_plain = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    for content in (fitted_plain, LogisticRegression(), {"a": 1}):
        skops.dump(content, "plain")
        assert run("inspect", "plain") == 0
        out = capsys.readouterr().out
        assert "Rows cannot be erased from it" in out
        assert f"type: {type(content).__name__}" in out


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_skops_keeps_its_compression(folder, fitted, compression):
    skops.dump(fitted, "model", compression=compression)
    assert erase("model") == 0
    assert {item.compress_type for item in zipfile.ZipFile("erased").infolist()} == {compression}


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), None])
def test_pickles_only_when_trusted(folder, fitted, people, capsys, compress):
    """The format of a file is kept, whatever its name: joblib's, or Python's own (None)."""
    if compress is None:
        (folder / "model.skops").write_bytes(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, "model.skops", compress=compress)
    assert erase() == 1
    assert "can run any code" in capsys.readouterr().err
    assert not (folder / "erased").exists()
    assert erase("model.skops", "rows.csv", "--trust-pickle") == 0
    model = (
        pickle.loads((folder / "erased").read_bytes())
        if compress is None
        else joblib.load("erased")
    )
    assert state(model[-1]) == state(erased_in_python(fitted, people)[-1])
    assert (folder / "erased").read_bytes()[:2] == (folder / "model.skops").read_bytes()[:2]


class Planted:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_refused_pickle_is_not_loaded(folder):
    (folder / "model.skops").write_bytes(pickle.dumps(Planted()))
    assert erase() == 1
    assert run("inspect", "model.skops") == 1
    assert not (folder / "planted").exists()


def test_untrusted_types_are_named(folder, fitted, people, capsys):
    skops.dump(
        make_pipeline(FunctionTransformer(quotes), *[step for _, step in fitted.steps]),
        "model.skops",
    )
    assert run("inspect", "model.skops") == 1
    error = capsys.readouterr().err
    assert "--trust tests.test_command_line.quotes" in error
    assert "sklearn_ssse." not in error
    assert run("inspect", "model.skops", "--trust", "tests.test_command_line.quotes") == 0


def test_nothing_is_overwritten_unless_forced(folder, capsys):
    for name in ("erased", "record.json"):
        (folder / name).write_text("mine")
        with pytest.raises(SystemExit) as stop:
            erase("no such model")  # found before any work
        assert stop.value.code == 2
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    with pytest.raises(SystemExit):
        erase(out="model.skops")
    for name in ("rows.csv", "model.skops", "erased"):
        with pytest.raises(SystemExit):
            erase("model.skops", "rows.csv", "--force", record=name)
    os.chmod("model.skops", 0o640)
    before = sha256(folder / "model.skops")
    assert erase("model.skops", "rows.csv", "--force", out="model.skops") == 0
    report = json.loads((folder / "record.json").read_text())
    assert (report["sha256"], report["erased_sha256"]) == (before, sha256(folder / "model.skops"))
    assert (folder / "model.skops").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize(
    ("function", "call"), [("fsync", 0), ("fsync", 1), ("replace", 0), ("replace", 1)]
)
def test_both_files_or_none(folder, monkeypatch, function, call, forced):
    """If any write or move fails, the folder is unchanged."""
    if forced:
        (folder / "erased").write_text("old model")
        (folder / "record.json").write_text("old record")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real, calls = getattr(os, function), []

    def fails_once(*args):
        calls.append(args)
        if len(calls) - 1 == call:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(os, function, fails_once)
    assert erase("model.skops", "rows.csv", *(["--force"] if forced else [])) == 1
    assert len(calls) > call
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def broken(people, how):
    """Text of a file of rows that cannot be erased, if possible with a secret in a row."""
    X, y = people[0][:K].copy(), people[1][:K]
    frame = X.assign(income=y)
    if how == "index":
        return frame.to_csv()
    if how == "no names":
        return frame.to_csv(index=False, header=False)
    if how == "lacking":
        return frame.drop(columns="age").to_csv(index=False)
    if how == "further":
        return frame.assign(name="secret").to_csv(index=False)
    if how == "no rows":
        return frame[:0].to_csv(index=False)
    if how == "category":
        return frame.assign(race="secret").to_csv(index=False)
    if how == "text":
        return frame.assign(age="secret").to_csv(index=False)
    if how in ("infinite", "too large", "grouped"):
        age = {"infinite": "-inf", "too large": "9" * 5000, "grouped": "1_000"}[how]
        return frame.assign(age=["", *[age] * (K - 1)]).to_csv(index=False)
    if how == "latin":
        return frame.assign(age="sécret").to_csv(index=False)
    if how == "label":
        return frame.assign(income="secret").to_csv(index=False)
    if how == "no label":
        return frame.assign(income="").to_csv(index=False)
    if how == "short":
        return frame.to_csv(index=False)[:-30]
    if how == "long":
        return frame.to_csv(index=False) + ",".join(["secret"] * 20)
    return {"empty": "", "semicolons": frame.to_csv(index=False, sep=";")}[how]


BROKEN = {
    "index": "to_csv\\(index=False\\)",
    "no names": "none called age",
    "lacking": "none called age\\.",
    "further": "got also name",
    "no rows": "at least one row",
    "category": f"Column race .* {K} of {K} rows",
    "text": f"Column age .* {K} of {K} rows",
    "infinite": f"Column age must hold finite numbers.* {K - 1} of {K} rows",
    "too large": f"Column age must hold finite numbers.* {K - 1} of {K} rows",
    "grouped": f"Column age must hold finite numbers.* {K - 1} of {K} rows",
    "latin": r"rows\.csv must be a whole CSV file in UTF-8, got one that cannot be read",
    "label": f"labels seen at fit .* {K} of {K} rows",
    "no label": f"{K} of {K} rows",
    "short": f"row {K}\\.",
    "long": f"got 20 in row {K + 1}\\.",
    "empty": "an empty file",
    "semicolons": "separated by commas",
}

ENCODINGS = {"latin": "latin-1"}


@pytest.mark.parametrize("how", BROKEN)
def test_rows_that_are_refused(folder, people, capsys, how):
    (folder / "rows.csv").write_text(broken(people, how), encoding=ENCODINGS.get(how))
    assert erase() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(BROKEN[how], err)
    assert "secret" not in err
    assert "Bachelors" not in err
    assert not {"erased", "record.json"} & {path.name for path in folder.iterdir()}
    assert not list(folder.glob(".*"))


def test_no_row_in_any_output(folder, people, capsys):
    """No written file and no printed line holds a value that only a row has."""
    X, y = people
    frame = X[:K].assign(income=y[:K], who="ida", weight=1.0)
    frame["fnlwgt_probe"] = 918273
    frame.drop(columns="fnlwgt_probe").to_csv("rows.csv", index=False)
    assert (
        erase(
            "model.skops",
            "rows.csv",
            "--group-column",
            "who",
            "--forget",
            "ida",
            "--weights",
            "weight",
        )
        == 0
    )
    out, err = capsys.readouterr()
    for text in (out, err, (folder / "record.json").read_text()):
        assert "ida" not in text
        assert not any(
            word in text for word in X[:K].select_dtypes(exclude="number").stack().dropna().unique()
        )


SENTINEL = "sentinel cell 4711"


class Leaky(TransformerMixin, BaseEstimator):
    """A step that quotes its rows in every error and warning."""

    failure = None

    def fit(self, X, y=None):
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        if isinstance(self.failure, type) and issubclass(self.failure, Warning):
            warnings.warn(str(X.to_numpy().tolist()), self.failure, stacklevel=1)
        elif self.failure is not None:
            raise self.failure(X.to_numpy().tolist())
        return X.drop(columns="note")


@pytest.fixture
def leaky(tmp_path, monkeypatch):
    """A model after a leaky step, and five of its rows, each with the sentinel."""
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = X.assign(note=SENTINEL)
    model = make_pipeline(Leaky(), StandardScaler(), ErasableLogisticRegression())
    joblib.dump(model.fit(frame, y), "model.joblib")
    return frame[:5].assign(y=y[:5])


def outputs(capsys):
    """All text that the command printed and wrote."""
    written = [path.read_text() for path in (Path("record.json"),) if path.exists()]
    return "".join([*capsys.readouterr(), *written])


FAILURES = [
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    OSError,
    FileNotFoundError,
    ImportError,
    NotFittedError,
    UnicodeError,
    MemoryError,
    ZeroDivisionError,
    UserWarning,
    RuntimeWarning,
]


@pytest.mark.parametrize("command_name", ["unlearn", "preview"])
@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_of_a_step_quotes_a_row(leaky, monkeypatch, capsys, failure, command_name):
    leaky.to_csv("rows.csv", index=False)
    monkeypatch.setattr(Leaky, "failure", failure)
    expected = 0 if issubclass(failure, Warning) else 1
    options = ["model.joblib", "--trust-pickle", "--rows", "rows.csv", "--target", "y"]
    if command_name == "unlearn":
        options += ["--out", "erased", "--record", "record.json"]
    assert run(command_name, *options) == expected
    text = outputs(capsys)
    assert failure.__name__ in text
    assert SENTINEL not in text
    assert "4711" not in text


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize(
    ("column", "more"),
    [
        ("y", ()),
        ("sepal length (cm)", ()),
        ("weight", ("--weights", "weight")),
        ("place", ("--positions", "place")),
        ("person", ("--group-column", "person", "--forget", "ida")),
        ("other", ()),
    ],
)
def test_no_refusal_of_a_column_quotes_a_row(leaky, capsys, parquet, column, more):
    """The sentinel in any column that must hold something else, or in a surplus column."""
    frame = leaky.assign(**{column: SENTINEL})
    rows = "rows.parquet" if parquet else "rows.csv"
    frame.to_parquet(rows) if parquet else frame.to_csv(rows, index=False)
    assert erase("model.joblib", rows, "--trust-pickle", *more, target="y") == 1
    assert "4711" not in outputs(capsys)


@pytest.mark.parametrize(
    "content",
    [
        f"a,y\n{SENTINEL},1,2\n".encode(),
        f"a,y\n{SENTINEL}\xe9,1\n".encode("latin-1"),
        f"PAR1{SENTINEL}".encode(),
        f"{SENTINEL}\n".encode() * 3,
    ],
)
def test_no_broken_file_is_quoted(leaky, capsys, content):
    Path("rows.csv").write_bytes(content)
    assert erase("model.joblib", "rows.csv", "--trust-pickle", target="y") == 1
    assert "4711" not in outputs(capsys)


def test_parquet(folder, fitted, people):
    """Typed columns with missing values; Parquet is recognised by content or by suffix."""
    X, y = people
    X[:K].assign(income=y[:K]).to_parquet("rows.csv")
    assert erase() == 0
    assert state(skops.load("erased", trusted=TRUSTED)[-1]) == state(
        erased_in_python(fitted, people)[-1]
    )
    frame = X[:K].assign(income=y[:K], place=range(K), person=[1, 2] * 12 + [None])
    frame.set_index("person").to_parquet("rows.parquet")
    more = ("--group-column", "person", "--forget", "1", "--force", "--weights", "weight")
    assert erase("model.skops", "rows.parquet", *more) == 1
    assert erase("model.skops", "rows.parquet", *more[:-2]) == 1  # a surplus column
    frame.drop(columns="place").set_index("person").to_parquet("rows.parquet")
    assert erase("model.skops", "rows.parquet", *more[:-2]) == 0
    expected = unlearn(pickle.loads(pickle.dumps(fitted)), X[:24:2], y[:24:2])
    assert np.array_equal(skops.load("erased", trusted=TRUSTED)[-1].coef_, expected[-1].coef_)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", r"rows\.parquet must be a whole Parquet file, got one that cannot be read"),
        ("empty", r"rows\.parquet must be a whole Parquet file, got one that cannot be read"),
        ("broken", r"rows\.parquet must be a whole Parquet file, got one that cannot be read"),
        ("index", r"rows\.parquet must name every column and index once, got age repeatedly"),
        ("surplus", "got also extra. Add, rename or remove columns"),
    ],
)
def test_parquet_files_that_are_refused(folder, people, capsys, damage, message):
    path = folder / "rows.parquet"
    frame = people[0][:K].assign(income=people[1][:K])
    if damage == "index":
        frame = frame.rename_axis("age")
    if damage == "surplus":
        frame["extra"] = 1
    frame.to_parquet(path)
    whole = path.read_bytes()
    damaged = {"truncated": whole[:-30], "empty": b"", "broken": b"PAR1" + whole[::-1]}
    path.write_bytes(damaged.get(damage, whole))
    assert erase("model.skops", "rows.parquet") == 1
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert "separated by commas" not in err


def test_a_named_index_is_a_column_of_the_model(folder, people, fitted):
    frame = people[0][:K].assign(income=people[1][:K])
    frame.set_index("age").to_parquet("rows.parquet")
    assert erase("model.skops", "rows.parquet") == 0
    expected = erased_in_python(fitted, people)
    assert state(skops.load("erased", trusted=TRUSTED)[-1]) == state(expected[-1])


def test_parquet_keeps_types(tmp_path):
    """Codes, dates and truth values reach a user's own step in the types of fit."""
    n = 20
    frame = pandas.DataFrame(
        {
            "zip": ["02134", "NA"] * 10,
            "day": pandas.date_range("2020-01-01", periods=n),
            "flag": [True, False] * 10,
            "whole": np.arange(n, dtype=np.int8),
            "part": np.arange(n, dtype=np.float32) / 3,
        }
    )
    y = np.array(["no", "yes"])[np.arange(n) // 2 % 2]
    model = make_pipeline(FunctionTransformer(codes_of), ErasableLogisticRegression()).fit(frame, y)
    frame[:6].assign(y=y[:6]).to_parquet(tmp_path / "rows.parquet")
    rows = read_rows(tmp_path / "rows.parquet", model, ["y"])
    pandas.testing.assert_frame_equal(rows.X, frame[:6])
    assert rows.y.tolist() == y[:6].tolist()


def codes_of(frame):
    return np.column_stack([frame["zip"] == "NA", frame["day"].dt.day, frame["whole"]])


def test_parquet_categories_of_no_training_row(folder, people, capsys):
    X, y = people
    X[:K].assign(income=y[:K], race=SENTINEL).to_parquet("rows.csv")
    assert erase() == 1
    text = outputs(capsys)
    assert f"Column race must hold categories of the training rows, got others in {K}" in text
    assert SENTINEL not in text


def test_messages_of_the_library_are_printed(leaky, capsys):
    """An error of a composite, and a missing package with the command that installs it."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    bag = BaggingClassifier(ErasableLogisticRegression(), 3, random_state=0).fit(X, y)
    joblib.dump(bag, "bag.joblib")
    X[:3].assign(y=y[:3], place=[0, 0, 999]).to_csv("rows.csv", index=False)
    assert (
        erase("bag.joblib", "rows.csv", "--trust-pickle", "--positions", "place", target="y") == 1
    )
    assert "positions must be distinct and from 0 to 149" in capsys.readouterr().err
    X[:3].assign(y=y[:3]).to_csv("rows.csv", index=False)
    assert erase("bag.joblib", "rows.csv", "--trust-pickle", target="y") == 1
    assert "Pass positions=" in capsys.readouterr().err


def test_missing_packages_name_the_command(leaky, monkeypatch, capsys):
    leaky.to_parquet("rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert erase("model.joblib", "rows.parquet", "--trust-pickle", target="y") == 1
    assert "pip install 'sklearn-ssse[cli]'" in capsys.readouterr().err


def test_errors_of_transformers_do_not_quote_rows(folder, capsys):
    """A user's own step that quotes a cell in its message."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = X.assign(name="Ann O'Hara")
    model = make_pipeline(
        FunctionTransformer(quotes, validate=False),
        StandardScaler(),
        ErasableLogisticRegression(curvature="fisher"),
    )
    quotes.now = False
    model.fit(frame, y)
    joblib.dump(model, "model.joblib")
    frame[:5].assign(target=y[:5]).to_csv("iris.csv", index=False)
    quotes.now = True
    assert erase("model.joblib", "iris.csv", "--trust-pickle", target="target") == 1
    err = capsys.readouterr().err
    assert "cannot use" not in err
    assert "RuntimeError" in err
    assert "Hara" not in err
    assert str(X.iloc[0, 0]) not in err
    quotes.now = False
    assert erase("model.joblib", "iris.csv", "--trust-pickle", target="target") == 0


def quotes(X):
    if quotes.now:
        raise RuntimeError(f"cannot use {X.iloc[0, 0]} and {X.iloc[0, -1]} of 5.10")
    return X.drop(columns="name")


@pytest.mark.parametrize(
    ("classes", "written"),
    [
        ([0, 1], ["0", "1"]),
        ([0, 1], ["0.0", "1.0"]),
        ([0, 1], ["False", "True"]),
        ([False, True], ["False", "True"]),
        ([False, True], ["0", "1"]),
        ([1.0, 2.0], ["1", "2.00"]),
        (["0", "1"], ["0", "1"]),
        (["01", "1"], ["01", "1"]),
        (["no", "yes"], [" no", "yes "]),
    ],
)
def test_labels_have_the_type_of_the_classes(tmp_path, classes, written):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)[:, :4]
    model = ErasableLogisticRegression(curvature="fisher").fit(X, np.array(classes)[y])
    frame = pandas.DataFrame(X[:30]).assign(label=np.array(written)[y[:30]])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    rows = read_rows(tmp_path / "rows.csv", model, ["label"])
    assert rows.y.dtype == model.classes_.dtype
    assert np.array_equal(rows.y, np.array(classes)[y[:30]])
    assert np.array_equal(rows.X, X[:30])


@pytest.mark.parametrize("missing", [np.nan, None])
def test_categories_have_the_type_of_the_encoder(tmp_path, missing):
    """Rows are read with the types of fit: numbers as text, missing values, numeric categories."""
    n = 60
    frame = pandas.DataFrame(
        {
            "zip": np.array(["01", "1", "10"], dtype=object)[np.arange(n) % 3],
            "gaps": np.array(["1", "2", missing], dtype=object)[np.arange(n) % 3],
            "whole": np.arange(n) % 4,
            "part": np.array([0.1, 0.25, np.nan])[np.arange(n) % 3],
            "flag": np.arange(n) % 2 == 0,
            "filled": np.array(["3", "NA", missing], dtype=object)[np.arange(n) % 3],
        }
    )
    frame = frame.astype(dict.fromkeys(["zip", "gaps", "filled"], object))
    frame.loc[2::3, ["gaps", "filled"]] = missing
    y = np.arange(n) // 3 % 2
    filled = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="?", missing_values=missing),
        OneHotEncoder(sparse_output=False),
    )
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["zip", "gaps", "whole", "part", "flag"]),
        (filled, ["filled"]),
    )
    model = make_pipeline(encode, ErasableLogisticRegression(curvature="fisher")).fit(frame, y)
    frame[:20].assign(y=y[:20]).iloc[:, ::-1].to_csv(tmp_path / "rows.csv", index=False)
    rows = read_rows(tmp_path / "rows.csv", model, ["y"])
    pandas.testing.assert_frame_equal(rows.X[frame.columns], frame[:20], check_dtype=False)
    assert np.array_equal(encode.fit(frame).transform(rows.X), encode.transform(frame[:20]))
    lost = rows.X.loc[2, ["gaps", "filled"]]
    assert all(value is None for value in lost) == (missing is None)


def test_several_outputs(folder):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)[:, :5]
    Y = np.column_stack([np.array(["b", "m"])[y], np.where(X[:, 0] > 0, "high", "low")])
    names = [f"x{i}" for i in range(5)]
    model = MultiOutputClassifier(ErasableLogisticRegression(curvature="fisher")).fit(X, Y)
    skops.dump(model, "many.skops")
    pandas.DataFrame(X[:20], columns=names).assign(kind=Y[:20, 0], size=Y[:20, 1]).to_csv(
        "many.csv", index=False
    )
    assert erase("many.skops", "many.csv", target="kind,size") == 0
    unlearn(model, X[:20], Y[:20])
    assert state(*skops.load("erased", trusted=TRUSTED).estimators_) == state(*model.estimators_)
    assert len(json.loads((folder / "record.json").read_text())["erasures"]) == 2
    assert run("preview", "many.skops", "--rows", "many.csv", "--target", "kind") == 1

    labels = np.column_stack([y, X[:, 0] > 0]).astype(int)
    net = ErasableMLPClassifier((4,), max_iter=20, random_state=0, unlearn_epsilon=1.0)
    with pytest.warns(match="Maximum iterations"):
        net.fit(pandas.DataFrame(X, columns=names), labels)
    skops.dump(net, "net.skops")
    rows = pandas.DataFrame(X[:20], columns=names).assign(a=labels[:20, 0], b=labels[:20, 1])
    rows.to_csv("net.csv", index=False)
    preview = ["preview", "net.skops", "--rows", "net.csv", "--target", "a"]
    assert run(*preview, "--target", "b") == 0
    assert run(*preview) == 1


def test_a_model_that_cannot_erase(folder, people, capsys):
    skops.dump(
        make_pipeline(pipeline()[:-1], LogisticRegression(max_iter=1000)).fit(*people),
        "model.skops",
    )
    assert erase() == 1
    assert "from_estimator" in capsys.readouterr().err
    skops.dump(pipeline(), "model.skops")
    assert erase() == 1
    assert "not fitted" in capsys.readouterr().err
    (folder / "model.skops").write_text("no model")
    assert erase() == 1
    assert "saved by skops.io.dump" in capsys.readouterr().err
    assert erase("nowhere.skops") == 1
    assert not (folder / "erased").exists()


def test_weights(folder, capsys):
    X, y = load_iris(return_X_y=True, as_frame=True)
    weight = 1.0 + np.arange(len(y)) % 3
    model = ErasableLogisticRegression(curvature="fisher", max_iter=500).fit(X, y, weight)
    skops.dump(model, "iris.skops")
    X[:9].assign(y=y[:9], w=weight[:9]).to_csv("iris.csv", index=False)
    assert erase("iris.skops", "iris.csv", "--weights", "w", target="y") == 0
    expected = preview_unlearn(model, X[:9], y[:9], sample_weight=weight[:9])
    (record,) = json.loads((folder / "record.json").read_text())["erasures"]
    assert ErasureRecord.from_dict(record) == expected
    X[:9].assign(y=y[:9]).to_csv("iris.csv", index=False)
    assert erase("iris.skops", "iris.csv", "--force", target="y") == 0
    assert "fitted with sample_weight" in capsys.readouterr().err
    assert (
        "fitted with sample_weight"
        in json.loads((folder / "record.json").read_text())["warnings"][0]
    )
    for bad in (-1, "secret", ""):
        X[:9].assign(y=y[:9], w=bad).to_csv("iris.csv", index=False)
        assert erase("iris.skops", "iris.csv", "--weights", "w", "--force", target="y") == 1
        assert "9 of 9 rows" in capsys.readouterr().err
    X[:9].assign(y=y[:9], w=0).to_csv("iris.csv", index=False)
    assert erase("iris.skops", "iris.csv", "--weights", "w", "--force", target="y") == 1


def test_usage(folder, capsys):
    for args in (
        [],
        ["unlearn", "model.skops"],
        ["preview", "model.skops", "--rows", "rows.csv", "--epsilon", "much"],
    ):
        with pytest.raises(SystemExit) as stop:
            run(*args)
        assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        erase("model.skops", "rows.csv", "--forget", "ida")
    assert stop.value.code == 2
    capsys.readouterr()
    for args in (["--help"], ["unlearn", "--help"], ["preview", "--help"], ["inspect", "--help"]):
        with pytest.raises(SystemExit) as stop:
            run(*args)
        assert stop.value.code == 0
        help = capsys.readouterr().out
        assert "exit codes" in help
        assert "example" in help


def test_as_a_process(folder, people):
    """All commands, in another process, on the census file, which marks missing values by "?"."""
    X, y = people
    X[:K].assign(income=y[:K]).to_csv("rows.csv", index=False, na_rep="?")
    command = [
        sys.executable,
        "-m",
        "sklearn_ssse",
        "unlearn",
        "model.skops",
        "--rows",
        "rows.csv",
        "--target",
        "income",
    ]
    command += ["--out", "erased", "--record", "record.json"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "--missing" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = subprocess.run([*command, "--missing", "?"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "erased").exists()
    assert (folder / "record.json").exists()


def test_columns_are_found_by_name_after_a_passthrough_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = make_pipeline(
        "passthrough", ErasableLogisticRegression(curvature="fisher", max_iter=500)
    ).fit(X, y)
    skops.dump(model, "model.skops")
    X[:5].assign(income=y[:5])[[*X.columns[::-1], "income"]].to_csv("rows.csv", index=False)
    assert erase() == 0
    unlearn(model, X[:5], y[:5])
    erased = skops.load("erased", trusted=TRUSTED)
    assert np.array_equal(erased[-1].coef_, model[-1].coef_)
    X[:5].assign(income=y[:5], other=1).to_csv("rows.csv", index=False)
    assert erase(out="more", record="more.json") == 1


def test_rows_of_other_groups_are_not_checked(folder, people, fitted, capsys):
    """New customers in the same file have new categories, and no labels."""
    X, y = people
    frame = X[:K].assign(income=y[:K], person=np.arange(K) // 5)
    others = frame.iloc[[0]].assign(workclass="of a new kind", age="?", income="", person=99)
    pandas.concat([others, frame]).to_csv("rows.csv", index=False)
    assert erase("model.skops", "rows.csv", "--group-column", "person", "--forget", "1", "3") == 0
    rows = np.isin(np.arange(K) // 5, [1, 3])
    expected = unlearn(pickle.loads(pickle.dumps(fitted)), X[:K][rows], y[:K][rows])
    assert np.array_equal(skops.load("erased", trusted=TRUSTED)[-1].coef_, expected[-1].coef_)
    assert (
        erase(
            "model.skops",
            "rows.csv",
            "--group-column",
            "person",
            "--forget",
            "7",
            out="m",
            record="r",
        )
        == 1
    )
    assert "got 1 of 1 without a row" in capsys.readouterr().err


def test_a_preview_warns_as_the_erasure_would(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = ErasableLogisticRegression(curvature="fisher", max_iter=500).fit(
        X, y, np.linspace(1, 2, len(y))
    )
    skops.dump(model, "model.skops")
    X[:3].assign(income=y[:3]).to_csv("rows.csv", index=False)
    assert run("preview", "model.skops", "--rows", "rows.csv", "--target", "income", "--json") == 0
    out = capsys.readouterr()
    assert "fitted with sample_weight" in out.err
    assert len(json.loads(out.out)["warnings"]) == 1
    X[:3].assign(income=y[:3], w=0).to_csv("rows.csv", index=False)
    assert (
        run("preview", "model.skops", "--rows", "rows.csv", "--target", "income", "--weights", "w")
        == 1
    )


def test_inspect_of_models_with_added_rows_and_of_unfitted_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)
    skops.dump(
        ErasableLogisticRegression(max_iter=500).fit(X[20:], y[20:]).learn(X[:20], y[:20]),
        "model.skops",
    )
    assert run("inspect", "model.skops", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["erasable"]
    assert (found["rows_added"], found["rows_erased"], found["rows_remaining"]) == (20, 0, 150)
    assert found["changed_fraction"] == pytest.approx(20 / 130)
    assert found["refresh_recommended"].startswith("15.4% of the training rows")
    skops.dump(MultiOutputClassifier(ErasableLogisticRegression()), "model.skops")
    assert run("inspect", "model.skops") == 1
    assert "must hold a fitted model" in capsys.readouterr().err


def test_text_is_not_converted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes = np.array(
        ["12", "NA", "late again", "paid in full", "12 days late", "paid"] * 6, dtype=object
    )
    frame, y = pandas.DataFrame({"note": notes}), np.arange(36) % 2
    encode = make_column_transformer((CountVectorizer(token_pattern=r"\w+"), "note"))
    model = make_pipeline(encode, ErasableLogisticRegression(curvature="fisher")).fit(frame, y)
    joblib.dump(model, "model.joblib")
    frame[:2].assign(income=y[:2]).to_csv("rows.csv", index=False)
    assert erase("model.joblib", "rows.csv", "--trust-pickle") == 0
    unlearn(model, frame[:2], y[:2])
    assert np.array_equal(joblib.load("erased")[-1].coef_, model[-1].coef_)


def test_positions_of_rows_in_bagged_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True, as_frame=True)
    bag = BaggingClassifier(
        ErasableLogisticRegression(curvature="fisher", max_iter=500), 3, random_state=0
    ).fit(X, y)
    skops.dump(bag, "model.skops")
    S = [3, 70, 71]
    X.iloc[S].assign(income=y.iloc[S], place=S).to_csv("rows.csv", index=False)
    assert erase("model.skops", "rows.csv", "--positions", "place") == 0
    unlearn(bag, X.iloc[S], y.iloc[S], positions=S)
    erased = skops.load("erased", trusted=TRUSTED)
    assert np.array_equal(erased.predict_proba(X), bag.predict_proba(X))
    others = X.iloc[[9]].assign(income=y.iloc[9], who=" lee ")
    forget = X.iloc[S].assign(income=y.iloc[S], place=S, who=[" kim", "kim ", "kim"])
    pandas.concat([others, forget]).to_parquet("rows.parquet")  # the positions as floats
    options = ("--positions", "place", "--group-column", "who", "--forget", "kim")
    assert erase("model.skops", "rows.parquet", *options, "--force") == 0
    erased = skops.load("erased", trusted=TRUSTED)
    assert np.array_equal(erased.predict_proba(X), bag.predict_proba(X))
    X.iloc[S].assign(income=y.iloc[S], place=["3", "-1", "x"]).to_csv("rows.csv", index=False)
    assert erase("model.skops", "rows.csv", "--positions", "place", out="m", record="r") == 1
    assert "got others in 2 of 3 rows" in capsys.readouterr().err


def rare(frame):
    """A user's own step, which does not define its columns."""
    return frame.astype(str)


@pytest.fixture
def codes(tmp_path, monkeypatch):
    """A model after such a step, fitted to codes that look like numbers or missing values."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"zip": rng.choice(["02134", "12207", "NA"], 200), "age": rng.integers(20, 60, 200)}
    )
    y = (rng.uniform(size=200) < np.where(frame["zip"] == "NA", 0.8, 0.3)).astype(int)
    model = make_pipeline(
        FunctionTransformer(rare),
        OneHotEncoder(handle_unknown="ignore"),
        ErasableLogisticRegression(),
    )
    joblib.dump(model.fit(frame, y), "model.joblib")
    return model, frame, y


@pytest.mark.parametrize(("value", "what"), [("02134", "zero in front"), ("NA", "missing value")])
def test_columns_that_the_model_does_not_define_are_not_guessed(codes, capsys, value, what):
    model, frame, y = codes
    rows = np.flatnonzero(frame["zip"] == value)[:5]
    frame.iloc[rows].assign(y=y[rows]).to_csv("rows.csv", index=False)
    trust = ("--trust-pickle", "--trust", "x")[:1]
    assert erase("model.joblib", "rows.csv", *trust, target="y") == 1
    assert what in capsys.readouterr().err
    assert erase("model.joblib", "rows.csv", *trust, "--text", "zip", target="y") == 0
    assert "does not define whether age held text or numbers" in capsys.readouterr().err
    expected = unlearn(pickle.loads(pickle.dumps(model)), frame.iloc[rows], y[rows])
    assert np.array_equal(joblib.load("erased")[-1].coef_, expected[-1].coef_)
    assert erase("model.joblib", "rows.csv", *trust, "--text", "town", "--force", target="y") == 1
    assert "--text must name columns of the model, got town" in capsys.readouterr().err


def test_files_are_written_even_if_the_output_cannot_be(folder):
    """With the exit code of a refusal, a user would repeat it and erase the rows twice."""
    for i, stdout in enumerate(("> /dev/full", "| true", ">&-")):
        done = subprocess.run(
            f"{sys.executable} -u -m sklearn_ssse unlearn model.skops --rows rows.csv "
            f"--target income --out e{i} --record r{i} {stdout}; "
            "exit ${PIPESTATUS[0]}",
            shell=True,
            executable="bash",
            capture_output=True,
        )
        assert done.returncode == 0
        assert (folder / f"e{i}").exists()
    os.rename("model.skops", "modèle.skops")
    command_line = [
        sys.executable,
        "-m",
        "sklearn_ssse",
        "unlearn",
        "modèle.skops",
        "--rows",
        "rows.csv",
        "--target",
        "income",
    ]
    done = subprocess.run(
        [*command_line, "--out", "e", "--record", "r"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0


def test_a_name_that_the_output_cannot_encode_is_escaped(folder, monkeypatch):
    """Also for a caller of `main` in the same process."""
    os.rename("model.skops", "modèle.skops")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    assert run("inspect", "modèle.skops") == 0
    assert rb"mod\xe8le.skops" in printed.getvalue()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_stopped_command_writes_both_files_or_neither(
    folder, monkeypatch, request, number, after, force
):
    moved, replace = [], os.replace
    inherited = signal.signal(getattr(signal, number), signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(getattr(signal, number), inherited))

    def move(*args):
        replace(*args)
        moved.append(args)
        if len(moved) == after:
            os.kill(os.getpid(), getattr(signal, number))

    monkeypatch.setattr(os, "replace", move)
    names = {"out": "model.skops", "record": "record.json"} if force else {}
    model, before = Path("model.skops").read_bytes(), sorted(folder.iterdir())
    if force:
        Path("record.json").write_text("old")
    with pytest.raises(SystemExit) as stop:
        erase("model.skops", "rows.csv", *(["--force"] if force else []), **names)
    assert stop.value.code == 128 + getattr(signal, number)
    assert signal.getsignal(getattr(signal, number)) is signal.SIG_DFL
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    if after == 2:  # all was written
        assert (Path("model.skops").read_bytes() != model) is force
        assert json.loads(Path("record.json").read_text())["erasures"]
    else:
        assert Path("model.skops").read_bytes() == model
        assert (
            Path("record.json").read_text() == "old"
            if force
            else sorted(folder.iterdir()) == before
        )


def test_an_ignored_signal_remains_ignored(folder, monkeypatch):
    monkeypatch.setattr(
        command, "run_inspect", lambda args: os.kill(os.getpid(), signal.SIGHUP) or "alive"
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("inspect", "model.skops") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_columns_that_the_model_drops_may_hold_anything(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)
    frame = pandas.DataFrame(X[:, :2], columns=["a", "b"]).assign(
        id=[f"{i:03}" for i in range(150)], word="NA", k=range(150)
    )
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["a", "b"])), ErasableLogisticRegression()
    )
    joblib.dump(model.fit(frame, y), "model.joblib")
    frame[:5].assign(y=y[:5]).to_csv("rows.csv", index=False)
    assert erase("model.joblib", "rows.csv", "--trust-pickle", target="y") == 0
    assert capsys.readouterr().err == ""


def test_an_object_that_is_no_model_is_not_printed(folder, capsys):
    joblib.dump(np.array([[5.125, 3.5]]), "array.joblib")
    assert erase("array.joblib", "rows.csv", "--trust-pickle") == 1
    assert "must hold a fitted model, got ndarray" in (told := capsys.readouterr().err)
    assert "5.125" not in told


def test_only_files_are_overwritten(folder, capsys):
    os.mkfifo("pipe")
    with pytest.raises(SystemExit):
        erase("model.skops", "rows.csv", "--force", record="pipe")
    assert "--record must be a file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        erase("model.skops", "rows.csv", "--group-column", "income", "--forget", "")
    assert "got an empty one" in capsys.readouterr().err


def test_texts_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [f"{'good' if i % 3 else 'bad'} news no {i % 7}" for i in range(90)]
    y = np.array([i % 3 > 0 for i in range(90)]).astype(int)
    model = make_pipeline(CountVectorizer(), ErasableLogisticRegression()).fit(texts, y)
    joblib.dump(model, "model.joblib")
    pandas.DataFrame({"text": texts[:4], "y": y[:4]}).to_csv("rows.csv", index=False)
    assert erase("model.joblib", "rows.csv", "--trust-pickle", target="y") == 0
    expected = unlearn(pickle.loads(pickle.dumps(model)), texts[:4], y[:4])
    assert np.array_equal(joblib.load("erased")[-1].coef_, expected[-1].coef_)


@pytest.mark.parametrize(
    "header", ["x,x,x.1", "x,x.1,x", "x,x,x,x.1,x.2,x.1", "a,,a,", "x.1,x,x,x.1.1,x.1"]
)
def test_repeated_names_are_numbered_as_in_pandas(tmp_path, header):
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n" + ",".join("1" * (header.count(",") + 1)) + "\n")
    names = list(read_table(path)[0].columns)
    assert names == list(pandas.read_csv(path).columns)
    assert len(set(names)) == len(names)


def test_long_cells_are_read_and_the_limit_of_csv_is_restored(tmp_path):
    before = csv.field_size_limit()
    (tmp_path / "rows.csv").write_text("a\n" + "x" * (before + 1) + "\n")
    assert read_table(tmp_path / "rows.csv")[0].shape == (1, 1)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["True", "1", "0"], object),
        (["True", "FALSE", "true"], bool),
        (["1_0", "1", "2"], object),
        (["1", "2", "3"], np.int64),
    ],
)
def test_columns_of_undefined_type_are_numbers_truth_values_or_text(codes, cells, dtype):
    """Truth values among numbers are text, as in pandas."""
    model, frame, y = codes
    frame[:3].assign(y=y[:3], zip=cells, age=cells).to_csv("rows.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        column = read_rows(Path("rows.csv"), model, ["y"]).X["age"]
    if dtype is object:
        assert column.tolist() == cells
    else:
        assert column.dtype == dtype


def test_a_text_with_underscores_is_no_number():
    assert number("1_000") is None
    assert number("1000") == 1000


def refreshed(*more, model="erased", rows="remaining.csv", out="refreshed", record="refresh.json"):
    files = ["--rows", rows, "--target", "income", "--out", out, "--record", record]
    return run("refresh", model, *files, *more)


@pytest.mark.parametrize("preprocessing", ["keep", "refit"])
def test_refresh_equals_refresh_in_python(folder, fitted, people, capsys, preprocessing):
    X, y = people
    assert erase() == 0
    X[K:].assign(income=y[K:]).to_csv("remaining.csv", index=False)
    capsys.readouterr()
    assert refreshed("--preprocessing", preprocessing) == 0
    expected = erased_in_python(fitted, people)
    refresh(expected, X[K:], y[K:], preprocessing=preprocessing)
    found = skops.load("refreshed", trusted=TRUSTED)
    assert state(found[-1]) == state(expected[-1])
    assert np.array_equal(found.predict_proba(X), expected.predict_proba(X))
    report = json.loads((folder / "refresh.json").read_text())
    counts = dict(zip(expected.classes_, np.bincount(y[K:] == ">50K").tolist(), strict=True))
    (facts,) = report["refreshed"]
    assert facts.pop("iterations") == expected[-1].n_iter_.tolist()
    assert facts == {
        "type": "ErasableLogisticRegression",
        "rows_remaining": N - K,
        "rows_by_class": counts,
    }
    assert (report["model"], report["refreshed_model"]) == ("erased", "refreshed")
    assert report["sha256"] == sha256(folder / "erased")
    assert report["refreshed_sha256"] == sha256(folder / "refreshed")
    assert report["warnings"] == []
    assert f"rows remaining: {N - K}" in capsys.readouterr().out


def test_a_refused_refresh_writes_nothing(folder, capsys):
    assert erase() == 0
    before = sorted(folder.iterdir())
    assert refreshed(rows="rows.csv") == 1
    assert f"be the {N - K} rows of positive weight" in capsys.readouterr().err
    assert refreshed("--preprocessing", "refit", model="plain") == 1
    with pytest.raises(SystemExit):
        refreshed("--preprocessing", "downdate")
    with pytest.raises(SystemExit):
        refreshed("--epsilon", "1")
    with pytest.raises(SystemExit):
        refreshed(out="erased")
    assert sorted(folder.iterdir()) == before
