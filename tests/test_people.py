"""People, not rows: ``groups`` and ``forget``, on the census, for frames of two libraries."""

import gzip
from dataclasses import asdict

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ErasureWarning,
    TunedEpsilonCV,
    preview_unlearn,
    unlearn,
)
from tests.check_erasable import snapshot
from tests.conftest import ADULT
from tests.reference import theta
from tests.warned import NO_ROWS

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def people():
    """Rows of the census as visits: about three of each person, who has a name and a number."""
    with gzip.open(ADULT, "rt") as file:
        frame = pandas.read_csv(file, index_col=0, skipinitialspace=True).iloc[:1200]
    y = (frame.pop("income") == ">50K").to_numpy().astype(int)
    number = np.random.default_rng(0).integers(0, 400, len(frame)) * 7
    frame.index = pandas.Index(np.arange(len(frame)) + 5000, name="visit")
    return frame, y, number


def pipeline():
    numbers = make_column_selector(dtype_include="number")
    words = make_column_selector(dtype_exclude="number")
    encode = make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), words)
    )
    return make_pipeline(
        encode, ErasableLogisticRegression(curvature="fisher", solver="newton-cholesky")
    )


@pytest.fixture(scope="module")
def expected(people):
    """The people 7, 21 and 700 erased row by row."""
    frame, y, number = people
    rows = np.isin(number, [7, 21, 700])
    assert 3 < rows.sum() < 20
    return theta(unlearn(pipeline().fit(frame, y), frame[rows], y[rows])[-1])


@pytest.mark.parametrize("kind", ["array", "list", "series", "column", "index", "words"])
def test_all_rows_of_a_person_are_erased(people, expected, kind):
    frame, y, number = people
    model, forget = pipeline().fit(frame, y), [7, 21, 700]
    groups = {
        "array": number,
        "list": number.tolist(),
        "series": pandas.Series(number, index=frame.index),
    }.get(kind)
    if kind == "column":
        frame, groups = frame.assign(person=number), "person"
    if kind == "index":
        frame, forget = frame, frame.index[np.isin(number, forget)]
    if kind == "words":
        groups, forget = [f"user {i}" for i in number], ["user 7", "user 21", "user 700"]
    assert (
        preview_unlearn(model, frame, y, groups=groups, forget=forget).n_erased
        == np.isin(number, [7, 21, 700]).sum()
    )
    assert unlearn(model, frame, y, groups=groups, forget=forget) is model
    assert np.allclose(theta(model[-1]), expected, rtol=1e-12)


def test_polars(people):
    polars = pytest.importorskip("polars")
    frame, y, number = people
    numbers = frame.select_dtypes("number").columns.tolist()
    thin = polars.from_pandas(frame[numbers])
    models = [
        make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher")).fit(rows, y)
        for rows in (frame[numbers], thin, thin)
    ]
    unlearn(models[0], frame[numbers], y, groups=number, forget=[7, 21])
    unlearn(
        models[1],
        thin,
        polars.Series(y),
        groups=polars.Series(number),
        forget=polars.Series([7, 21]),
    )
    unlearn(
        models[2],
        thin.with_columns(person=polars.Series(number)),
        y,
        groups="person",
        forget=[7, 21],
    )
    for model in models[1:]:
        assert np.allclose(theta(model[-1]), theta(models[0][-1]))
    with pytest.raises(ValueError, match="must be a frame with an index"):
        unlearn(models[1], thin, y, forget=[7])


def test_weights_and_positions_are_selected_with_the_rows(people):
    frame, y, number = people
    X = frame.select_dtypes("number").to_numpy()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
    rows = number == 7
    model, twin = (ErasableLogisticRegression().fit(X, y, weight) for _ in range(2))
    unlearn(model, X, y, sample_weight=weight, groups=number, forget=[7])
    twin.unlearn(X[rows], y[rows], sample_weight=weight[rows])
    assert np.array_equal(theta(model), theta(twin))


def test_a_column_of_the_model_is_not_dropped(people):
    frame, y, number = people
    frame = frame.select_dtypes("number").assign(person=number)
    model = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(frame, y)
    before = model[-1].n_samples_remaining_
    unlearn(model, frame, y, groups="person", forget=[7])
    assert model[-1].n_samples_remaining_ == before - (number == 7).sum()


def test_tuned_models_forget_people_too(people):
    frame, y, number = people
    X = StandardScaler().fit_transform(frame.select_dtypes("number"))
    model = TunedEpsilonCV(ErasableLogisticRegression(), epsilons=[1.0], metric="probability").fit(
        X, y
    )
    model.unlearn(X, y, groups=number, forget=[7])
    assert model.estimator_.n_samples_remaining_ == (number != 7).sum()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": "number", "forget": [7, 8, 9]}, "got 2 of 3 without any"),
        ({"groups": "number", "forget": ["7"]}, "`groups` has int, `forget` has str"),
        ({"groups": "number", "forget": [7, 7, 21]}, "each group once, got 1"),
        ({"groups": "number", "forget": 7}, r"Write forget=\[group\]"),
        ({"groups": "number", "forget": "7"}, r"Write forget=\[group\]"),
        ({"groups": "number"}, "must be given with a list of the groups"),
        ({"groups": "name of none", "forget": [7]}, "no column of this DataFrame"),
        ({"forget": [4999]}, "got 1 of 1 without any"),
        ({"groups": "short", "forget": [7]}, "inconsistent numbers of samples"),
    ],
)
def test_clear_errors(people, given, message):
    frame, y, number = people
    arrays = {"number": number, "short": number[:-1]}
    given = {
        name: arrays.get(value, value) if isinstance(value, str) else value
        for name, value in given.items()
    }
    model = pipeline().fit(frame, y)
    before = snapshot(model)
    with pytest.raises((ValueError, ErasureError), match=message):
        unlearn(model, frame, y, **given)
    assert snapshot(model) == before


def test_ids_that_are_equal_as_floating_point_numbers(people):
    frame, y, _ = people
    rows = np.arange(len(y), dtype=np.uint64)
    ids = np.uint64(2**60) + rows
    model = pipeline().fit(frame, y)
    asked = [int(i) for i in ids[:200:2]]
    assert preview_unlearn(model, frame, y, groups=ids, forget=asked).n_erased == 100


def test_a_column_of_ids_before_a_step_without_names(people):
    frame, y, number = people
    numbers = frame.select_dtypes("number")
    model = make_pipeline("passthrough", StandardScaler(), ErasableLogisticRegression()).fit(
        numbers, y
    )
    unlearn(model, numbers.assign(person=number), y, groups="person", forget=[7])
    assert model[-1].n_samples_remaining_ == (number != 7).sum()


def test_no_groups_to_erase(people):
    """An empty list of groups changes nothing, as an erasure of no rows does."""
    frame, y, number = people
    model = pipeline().fit(frame, y)
    before = snapshot(model)
    for given in ({"groups": number, "forget": []}, {"forget": frame.index[:0]}):
        with pytest.warns(ErasureWarning, match=NO_ROWS):
            assert unlearn(model, frame, y, **given) is model
    assert snapshot(model) == before


def test_large_ids_beside_missing_ones(people):
    """A missing id makes the column floating-point, in which the two ids are equal."""
    polars = pytest.importorskip("polars")
    X = np.random.default_rng(0).standard_normal((300, 2))
    y, ids = (X[:, 0] > 0).astype(int), [2**53, 2**53 + 1, None] * 100
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    series = pandas.array(ids, dtype="Int64")
    frame = pandas.DataFrame(X)
    cases = [
        (X, {"groups": series}),
        (X, {"groups": pandas.Series(series)}),
        (X, {"groups": polars.Series(ids, dtype=polars.Int64)}),
        (X, {"groups": ids}),
        (frame.assign(id=series).rename(columns=str), {"groups": "id"}),
        (
            polars.DataFrame(X).with_columns(id=polars.Series(ids, dtype=polars.Int64)),
            {"groups": "id"},
        ),
        (frame.set_index(pandas.Index(series)), {}),
    ]
    for rows, given in cases:
        for forget in ([2**53], [2**53 + 1], pandas.array([2**53], dtype="Int64")):
            assert preview_unlearn(model, rows, y, forget=forget, **given).n_erased == 100


def test_ids_of_several_parts_and_dates():
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = (X[:, 0] > 0).astype(int)
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    frame = pandas.DataFrame(X, index=pandas.MultiIndex.from_product([range(20), range(3)]))
    assert preview_unlearn(model, frame, y, forget=[(1, 2), (5, 0)]).n_erased == 2
    for unit in ("ns", "us"):
        frame.index = pandas.date_range("2020-01-01", periods=60).astype(f"datetime64[{unit}]")
        for forget in (
            frame.index[:4],
            list(frame.index[:4]),
            frame.index[:4].to_numpy(),
            list(frame.index[:4].to_numpy()),
        ):
            assert preview_unlearn(model, frame, y, forget=forget).n_erased == 4
            assert (
                preview_unlearn(model, X, y, groups=frame.index.to_numpy(), forget=forget).n_erased
                == 4
            )
    with pytest.raises(ErasureError, match="`groups` has none"):
        unlearn(model, X[:0], y[:0], groups=[], forget=["a"])


@pytest.mark.parametrize("kind", ["coo", "dia", "bsr", "lil", "dok", "csc"])
def test_sparse_rows(kind):
    X = sparse.random_array((60, 4), density=0.5, rng=0).toarray()
    y = np.arange(60) % 2
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    rows = getattr(sparse, f"{kind}_array")(X)
    record = preview_unlearn(model, rows, y, groups=np.arange(60), forget=[7])
    dense = preview_unlearn(model, X[7:8], y[7:8])
    for name, expected in asdict(dense).items():
        given = getattr(record, name)
        assert given == (pytest.approx(expected) if isinstance(expected, float) else expected)
